"""From one unit to another in a row of pictures that stay alike, because they share what they are made of.

Olah, Mordvintsev, Schubert: Feature Visualization (Distill, 2017), section "Interaction between neurons"; Mordvintsev,
Pezzotti, Schubert, Olah: Differentiable Image Parameterizations (Distill, 2018),
https://distill.pub/2018/differentiable-parameterizations, section "Aligned feature visualization interpolation";
Lucid's notebooks feature-visualization/neuron_interaction and differentiable-parameterizations/aligned_interpolation.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lucid_port.misc import checks
from lucid_port.optvis import objectives, param
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.many.setup import joined
from lucid_port.optvis.objectives import Objective
from lucid_port.optvis.param.base import Memo, Parameterization
from lucid_port.optvis.param.color import to_valid_rgb_tensor
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.inputs import named_unit
from lucid_port.recipes.steps import alike, batches, run

__all__ = ["SHARING", "Interpolation", "interpolate", "interpolations"]

ALIGNMENT = 0.1
DECAY = 5.0

Level = tuple[int, int]
"""A shared part: how many images along the row it has, and how many times coarser than the pictures it is."""

SHARING: dict[str, tuple[bool, tuple[Level, ...]]] = {
    "none": (True, ()),
    "whole": (False, ((1, 1),)),
    "coarse": (False, ((1, 16),)),
    "ends": (False, ((2, 16),)),
    "pyramid": (True, ((1, 2), (1, 4), (1, 8), (2, 8), (1, 16), (2, 16))),
}
"""What the pictures of a row are made of: whether of a part of their own, and the parts that they share.

`none` is an image for each; `whole`, `coarse` and `ends` are the notebook's steps on the way (one image for all, one
that is coarse, two coarse ones that fade into each other); `pyramid` is its result, a part of each picture's own and
six shared ones.
"""


@dataclass(frozen=True)
class Interpolation:
    """A row of pictures from one unit to another.

    Attributes:
        names: the two units.
        pictures: [frames, H, W, 3].
        unique: what each picture has of its own, as a picture, [frames, H, W, 3].
        shared: what it has from the parts that all share, as a picture, [frames, H, W, 3].
        losses: the objective's value before each update, [steps].
    """

    names: tuple[str, str]
    pictures: np.ndarray
    unique: np.ndarray
    shared: np.ndarray
    losses: np.ndarray


def interpolate(model: Model, first: Any, second: Any, frames: int = 6, **options: Any) -> Interpolation:
    """One row of pictures; see `interpolations`, whose options it has."""
    return interpolations(model, [(first, second)], frames, **options)[0]


def interpolations(
    model: Model,
    pairs: Iterable[Any],
    frames: int = 6,
    *,
    sharing: str = "pyramid",
    align: Sequence[str] = (),
    alignment: float = ALIGNMENT,
    decay: float = DECAY,
    size: int = 128,
    steps: int = 512,
    seed: int = 0,
    batch_size: int | None = None,
    verbose: bool = False,
) -> list[Interpolation]:
    """Rows of pictures, each from one unit to another; several rows are optimised in one batch.

    Along a row, the objective goes from the first channel to the second. That alone leaves each picture free to put
    what it shows anywhere. They stay alike by what they share, by an objective that holds layers' activations of
    neighbours together, or both, as the notebook has it.

    Args:
        model: the model.
        pairs: two units for each row, `"layer:channel"` or (layer, channel).
        frames: pictures of a row, from 2 on.
        sharing: see `SHARING`.
        align: layers in which neighbours are held together (the notebook's: mixed3b and mixed4a).
        alignment: how much that weighs.
        decay: how much less it weighs with each step of distance, up to four.
        size: height and width in pixels, at least 16 times 1.
        steps: number of updates.
        seed: of all random draws.
        batch_size: rows of a batch at most; by default what fits into memory.
        verbose: show progress.

    Raises:
        TypeError, ValueError: a unit is none of the model's, or an argument makes no sense.
        converters.LayerNotFoundError: there is no such layer.
    """
    units = [_pair(model, pair) for pair in checks.items(pairs, "pairs", "a list of pairs of units")]
    if not units:
        raise ValueError("pairs names no pairs of units.")
    if sharing not in SHARING:
        raise ValueError(f"sharing is one of {', '.join(map(repr, SHARING))}, not {checks.shown(sharing)}.")
    frames, size = checks.whole(frames, "frames", 2), checks.whole(size, "size", 16)
    layers = checks.items(align, "align", "a list of layers")
    weight = checks.number(alignment, "alignment", 0)
    held = [weight * objectives.alignment(layer, decay) for layer in layers]

    def make(rows: Sequence[tuple[Any, Any]]) -> VisT:
        images = [_Row(frames, size, sharing) for _ in rows]
        wanted = [Objective.sum([objectives.channel_interpolate(*a, *b), *held]) for a, b in rows]
        source = RandomSource(seed) if len(rows) == 1 else alike(seed, len(rows))
        together = images[0] if len(rows) == 1 else joined(images)
        return VisT(model, _each_row(wanted, frames), together, relu_gradient_override=True, seed=source)

    found = []
    for rows in batches(units, make, batch_size):
        vis = make(rows)
        losses = run(vis, steps, verbose)
        found += _rows(vis, rows, frames, losses)
    return found


def _pair(model: Model, pair: Any) -> tuple[tuple[str, int], tuple[str, int]]:
    given = checks.items(pair, "A pair", "two units, as in ('mixed4a:476', 'mixed4a:460')")
    if len(given) != 2:
        raise ValueError(f"A pair is two units, not {checks.shown(pair)}.")
    return named_unit(model, given[0]), named_unit(model, given[1])


def _each_row(wanted: Sequence[Objective], frames: int) -> Callable[[Any], torch.Tensor]:
    """[rows]: each row's objective, of its own part of the batch."""

    def values(T: Any) -> torch.Tensor:
        return torch.stack([one(_part(T, number, frames)) for number, one in enumerate(wanted)])

    return values


def _part(T: Any, number: int, frames: int) -> Callable[[str], Any]:
    return lambda name: T(name)[number * frames : (number + 1) * frames]


def _rows(
    vis: VisT, rows: Sequence[tuple[tuple[str, int], tuple[str, int]]], frames: int, losses: np.ndarray
) -> list[Interpolation]:
    pictures = vis.image()
    images = [part for part in vis.param.modules() if isinstance(part, _Row)]
    found = []
    for number, (ends, row) in enumerate(zip(rows, images, strict=True)):
        names = tuple(f"{layer}:{channel}" for layer, channel in ends)
        own = pictures[number * frames : (number + 1) * frames].copy()
        found.append(Interpolation(names, own, *row.parts(), losses[:, number]))  # type: ignore[arg-type]
    return found


class _Row(Parameterization):
    """The images of one row."""

    def __init__(self, frames: int, size: int, sharing: str) -> None:
        super().__init__()
        own, levels = SHARING[sharing]
        shape = (frames, size, size, 3)
        self._shape = (frames, 3, size, size)
        self.unique = param.fft_image(shape) if own else None
        self.shared = torch.nn.ModuleList(
            param.lowres_tensor(shape, (count, size // coarser, size // coarser, 3)) for count, coarser in levels
        )

    def compute(self, memo: Memo) -> torch.Tensor:
        unique, shared = self._parts(memo)
        return to_valid_rgb_tensor(unique + shared, decorrelate=True)

    def _parts(self, memo: Memo) -> tuple[Any, Any]:
        unique = 0 if self.unique is None else self.unique.evaluate(memo)
        return unique, sum(part.evaluate(memo) for part in self.shared)  # type: ignore[operator]

    def parts(self) -> tuple[np.ndarray, np.ndarray]:
        """What is each picture's own, and what is shared, as pictures."""
        with torch.no_grad():
            unique, shared = self._parts({})
            like = unique if torch.is_tensor(unique) else shared
            seen = [to_valid_rgb_tensor(part + torch.zeros_like(like), decorrelate=True) for part in (unique, shared)]
        first, second = (part.permute(0, 2, 3, 1).float().cpu().numpy().copy() for part in seen)
        return first, second
