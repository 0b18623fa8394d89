"""Interpolation between units: a row of aligned pictures that share parameters.

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

from converters import checks
from converters.signatures import checked
from lucid_port.optvis import objectives, param
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.many.setup import joined
from lucid_port.optvis.objectives import Objective
from lucid_port.optvis.objectives.readers import Activations, Images
from lucid_port.optvis.param.base import Memo, Parameterization
from lucid_port.optvis.param.color import to_valid_rgb_tensor
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.inputs import UnitLike, named_unit, unit_names
from lucid_port.recipes.steps import alike, in_batches, run

__all__ = ["SHARING", "Interpolation", "interpolate", "interpolations"]

ALIGNMENT = 0.1
DECAY = 5.0

Pair = tuple[tuple[str, int], tuple[str, int]]
Level = tuple[int, int]
"""A shared image: its number of frames along the row, and the factor by which it is coarser than the pictures."""

SHARING: dict[str, tuple[bool, tuple[Level, ...]]] = {
    "none": (True, ()),
    "whole": (False, ((1, 1),)),
    "coarse": (False, ((1, 16),)),
    "ends": (False, ((2, 16),)),
    "pyramid": (True, ((1, 2), (1, 4), (1, 8), (2, 8), (1, 16), (2, 16))),
}
"""Parameters of the pictures of a row, by name: whether each has its own image, and the images that they share.

`none` has separate images. `whole`, `coarse` and `ends` are intermediate results of the notebook: one shared image, one
coarse image, and two coarse images that are interpolated. `pyramid` is the notebook's result: each picture has an image
of its own and shares six.
"""


@dataclass(frozen=True)
class Interpolation:
    """A row of pictures from one unit to another.

    Attributes:
        names: names of the two units.
        pictures: [frames, H, W, 3] in [0, 1].
        unique: each picture's own image, shown as a picture, [frames, H, W, 3].
        shared: the sum of the shared images, shown as a picture, [frames, H, W, 3].
        losses: objective value before each update, [steps].
    """

    names: tuple[str, str]
    pictures: np.ndarray
    unique: np.ndarray
    shared: np.ndarray
    losses: np.ndarray


@checked
def interpolate(model: Model, first: UnitLike, second: UnitLike, frames: int = 6, **options: Any) -> Interpolation:
    """Renders one row of pictures, with the options of `interpolations`.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> row = interpolate(TinyInceptionV1(), "mixed3a:31", "mixed3a:30", 3, size=32, steps=2)
        >>> row.names, row.pictures.shape
        (('mixed3a:31', 'mixed3a:30'), (3, 32, 32, 3))
    """
    return interpolations(model, [(first, second)], frames, **options)[0]


@checked
def interpolations(
    model: Model,
    pairs: Iterable[tuple[UnitLike, UnitLike]],
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
    """Renders rows of pictures, each from one unit to another, several rows in one batch.

    Along a row, the objective changes linearly from the first channel to the second. The pictures are aligned by shared
    parameters, by a penalty on different activations of neighbors, or by both, as in the notebook.

    Args:
        model: the model.
        pairs: two units for each row, `"layer:channel"` or (layer, channel).
        frames: number of pictures in a row, at least 2.
        sharing: see `SHARING`.
        align: layers in which differences between neighbors are penalized (mixed3b and mixed4a in the notebook).
        alignment: weight of this penalty.
        decay: factor by which the weight decreases with each step of distance between pictures, up to four steps.
        size: height and width in pixels, at least 16.
        steps: number of updates.
        seed: seed of all random draws.
        batch_size: most rows in a batch; by default as many as fit into memory.
        verbose: show progress.

    Raises:
        TypeError, ValueError: a unit has another form or does not exist, or an argument is out of range.
        converters.LayerNotFoundError: a layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> rows = interpolations(TinyInceptionV1(), [("mixed3a:31", "mixed3a:30")], 2, size=32, steps=2)
        >>> rows[0].shared.shape
        (2, 32, 32, 3)
    """
    units = [_pair(model, pair) for pair in checks.items(pairs, "pairs", "a list of pairs of units")]
    if not units:
        raise ValueError("pairs names no pairs of units: name at least one.")
    checks.choice(sharing, "sharing", SHARING)
    frames, size = checks.whole(frames, "frames", 2), checks.whole(size, "size", 16)
    layers = checks.items(align, "align", "a list of layers")
    weight = checks.number(alignment, "alignment", 0)
    held = [weight * objectives.alignment(layer, decay) for layer in layers]

    def make(rows: Sequence[Pair]) -> VisT:
        images = [_Row(frames, size, sharing) for _ in rows]
        wanted = [Objective.sum([objectives.channel_interpolate(*a, *b), *held]) for a, b in rows]
        source = RandomSource(seed) if len(rows) == 1 else alike(seed, len(rows))
        together = images[0] if len(rows) == 1 else joined(images)
        return VisT(model, _each_row(wanted, frames), together, relu_gradient_override=True, seed=source)

    def rendered(rows: Sequence[Pair]) -> list[Interpolation]:
        vis = make(rows)
        losses = run(vis, steps, verbose)
        return _rows(vis, rows, losses)

    return [row for rows in in_batches(model, units, make, rendered, batch_size) for row in rows]


def _pair(model: Model, pair: Sequence[UnitLike]) -> Pair:
    given = checks.items(pair, "A pair", "two units, as in ('mixed4a:476', 'mixed4a:460')")
    if len(given) != 2:
        raise ValueError(f"A pair is two units, not {checks.shown(pair)}.")
    return named_unit(model, given[0]), named_unit(model, given[1])


def _each_row(wanted: Sequence[Objective], frames: int) -> Callable[[Activations], torch.Tensor]:
    """The objective of each row, [rows], evaluated on the row's images of the batch."""
    return lambda T: torch.stack([one(Images(T, number * frames, frames)) for number, one in enumerate(wanted)])


def _rows(vis: VisT, rows: Sequence[Pair], losses: np.ndarray) -> list[Interpolation]:
    images = [part for part in vis.param.modules() if isinstance(part, _Row)]
    return [
        Interpolation(unit_names(ends), own.copy(), *row.parts(), losses[:, number])  # type: ignore[arg-type]
        for number, (ends, row, own) in enumerate(zip(rows, images, np.split(vis.image(), len(rows)), strict=True))
    ]


class _Row(Parameterization):
    """The parameters of one row of pictures."""

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
        """Each picture's own image and the sum of the shared images, as pictures [frames, H, W, 3]."""
        with torch.no_grad():
            unique, shared = self._parts({})
            like = unique if torch.is_tensor(unique) else shared
            seen = [to_valid_rgb_tensor(part + torch.zeros_like(like), decorrelate=True) for part in (unique, shared)]
        first, second = (part.permute(0, 2, 3, 1).float().cpu().numpy().copy() for part in seen)
        return first, second
