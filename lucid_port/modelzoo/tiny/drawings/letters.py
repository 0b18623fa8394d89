"""Drawings of letters with straight strokes."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

from torch import Tensor

from lucid_port.modelzoo.tiny.drawings.canvas import Canvas, segment_distance
from lucid_port.modelzoo.tiny.drawings.registry import ink
from lucid_port.modelzoo.tiny.drawings.shapes import UPRIGHT

Stroke = Sequence[tuple[float, float]]

# Corner points (x, y) of each stroke, in [-1, 1].
LETTERS: dict[str, Sequence[Stroke]] = {
    "A": [[(-0.7, -0.9), (0.0, 0.9), (0.7, -0.9)], [(-0.42, -0.25), (0.42, -0.25)]],
    "E": [[(0.55, 0.9), (-0.5, 0.9), (-0.5, -0.9), (0.55, -0.9)], [(-0.5, 0.0), (0.4, 0.0)]],
    "K": [[(-0.5, 0.9), (-0.5, -0.9)], [(0.6, 0.9), (-0.5, 0.0), (0.6, -0.9)]],
    "S": [
        [(0.55, 0.65), (0.3, 0.88), (-0.3, 0.88), (-0.55, 0.6), (-0.5, 0.25), (0.5, -0.25)],
        [(0.5, -0.25), (0.55, -0.6), (0.3, -0.88), (-0.3, -0.88), (-0.55, -0.65)],
    ],
}


def letter(canvas: Canvas, strokes: Sequence[Stroke]) -> Tensor:
    """Draws a letter in strokes of one width."""
    field = canvas.shapes(0.4, 0.9, turn=UPRIGHT)
    pieces = [segment_distance(field, *ends) for stroke in strokes for ends in itertools.pairwise(stroke)]
    nearest = functools.reduce(lambda one, other: one.minimum(other), pieces)
    return canvas.gather(field, field.line(nearest, canvas.uniform(0.22, 0.42, len(field.owner))))


for _name, _strokes in LETTERS.items():
    ink(f"letter {_name}")(functools.partial(letter, strokes=_strokes))
