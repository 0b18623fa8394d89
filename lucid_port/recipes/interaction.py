"""Interaction of neurons: pictures of sums of channels, of random directions, and of all pairs of some neurons.

Olah, Mordvintsev, Schubert: Feature Visualization (Distill, 2017), https://distill.pub/2017/feature-visualization,
section "Interaction between neurons"; Lucid's notebooks feature-visualization/neuron_interaction and
misc/neuron_interaction_grids.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.optvis import objectives, param
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.objectives import Objective
from lucid_port.optvis.objectives.base import Activations
from lucid_port.optvis.param.base import Memo, Parameterization
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.feature_visualization import FeatureVisualization, visualize
from lucid_port.recipes.inputs import UnitLike, channels_of, named_unit, unit_names
from lucid_port.recipes.steps import run

__all__ = ["InteractionGrid", "Sums", "interaction_grid", "random_directions", "sums"]

CHANNEL_SHARE = 0.2  # weight of a neuron's channel, relative to the neuron
BLUR = 10.0
SHARED = 2.0
CROPPED = (15 / 128, 25 / 128)  # share of each axis cut off at its start and at its end in the grid


# Sums --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sums:
    """Pictures of sums of two channels.

    Attributes:
        columns: names of the C first channels.
        rows: names of the R second channels.
        of_columns: pictures of the first channels alone, [C, H, W, 3].
        of_rows: pictures of the second channels alone, [R, H, W, 3].
        pictures: pictures of the sums, [R, C, H, W, 3].
        losses: objective values before each update, [C + R + R * C, steps]: first channels, second channels, sums.
    """

    columns: tuple[str, ...]
    rows: tuple[str, ...]
    of_columns: np.ndarray
    of_rows: np.ndarray
    pictures: np.ndarray
    losses: np.ndarray

    @property
    def mosaic(self) -> np.ndarray:
        """The article's layout, with the single channels above and to the left, [(R + 1) H, (C + 1) W, 3]."""
        corner = np.ones_like(self.of_rows[:1])
        above = np.concatenate([corner, self.of_columns])[None]
        below = np.concatenate([self.of_rows[:, None], self.pictures], 1)
        return tiled(np.concatenate([above, below]))


def tiled(pictures: np.ndarray) -> np.ndarray:
    """Joins rows and columns of pictures, [R, C, H, W, channels], to one picture, [R * H, C * W, channels]."""
    rows, columns, height, width, channels = pictures.shape
    return pictures.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)


@checked
def sums(
    model: Model,
    columns: Iterable[UnitLike],
    rows: Iterable[UnitLike],
    *,
    size: int = 128,
    steps: int = 512,
    seed: int = 0,
    batch_size: int | None = None,
    verbose: bool = False,
) -> Sums:
    """Renders the sum of each first channel and each second channel: the article's "Neuron Addition".

    Args:
        model: the model.
        columns: the first channels, `"layer:channel"` or (layer, channel).
        rows: the second channels.
        size: height and width in pixels.
        steps: number of updates.
        seed: seed of all random draws.
        batch_size: as for `render_many`.
        verbose: show progress.

    Raises:
        TypeError, ValueError: a unit has another form, or its layer has no such channel.
        converters.LayerNotFoundError: a layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> made = sums(TinyInceptionV1(), ["mixed3a:31", "mixed3a:30"], ["mixed3a:22"], size=32, steps=2)
        >>> made.pictures.shape, made.mosaic.shape
        ((1, 2, 32, 32, 3), (64, 96, 3))
    """
    first, second = _units(model, columns, "columns"), _units(model, rows, "rows")
    # A unit that is named twice is rendered once.
    wanted: dict[Any, Objective] = {unit: objectives.channel(*unit) for unit in (*first, *second)}
    wanted |= {(b, a): wanted[a] + wanted[b] for b in second for a in first}
    made = visualize(model, wanted.values(), size=size, steps=steps, seed=seed, batch_size=batch_size, verbose=verbose)
    place = {key: number for number, key in enumerate(wanted)}
    one, two = ([place[unit] for unit in units] for units in (first, second))
    both = np.array([[place[b, a] for a in first] for b in second])
    losses = made.losses[[*one, *two, *both.ravel()]]
    return Sums(
        unit_names(first), unit_names(second), made.pictures[one], made.pictures[two], made.pictures[both], losses
    )


def _units(model: Model, units: Iterable[UnitLike], what: str) -> list[tuple[str, int]]:
    found = [named_unit(model, unit) for unit in checks.items(units, what, "a list of units, as in 'mixed4a:476'")]
    if not found:
        raise ValueError(f"{what} names no units: name at least one.")
    return found


# Random directions -------------------------------------------------------------------------------


@checked
def random_directions(
    model: Model, layer: str, count: int = 4, *, seed: int = 0, **options: Any
) -> FeatureVisualization:
    """Renders random directions of a layer, which are usually less interpretable than its neurons.

    Args:
        model: the model.
        layer: name of the layer.
        count: number of directions.
        seed: seed of the directions and of all other draws.
        options: as for `feature_visualization.visualize`.

    Raises:
        ValueError: `count` is below 1.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> random_directions(TinyInceptionV1(), "mixed3a", 2, size=32, steps=2).names
        ('mixed3a, direction 0', 'mixed3a, direction 1')
    """
    count = checks.whole(count, "count", 1)
    channels = channels_of(model, layer)
    vectors = RandomSource(seed).normal("directions", (count, channels))
    made = visualize(model, [objectives.direction(layer, vector) for vector in vectors], seed=seed, **options)
    names = tuple(f"{layer}, direction {number}" for number in range(count))
    return FeatureVisualization(names, made.pictures, made.losses)


# All pairs ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class InteractionGrid:
    """Pictures of all pairs of some neurons, with each neuron alone on the diagonal.

    Attributes:
        names: names of the N neurons.
        pictures: [N, N, H, W, 3], symmetric in the first two axes.
        losses: objective value before each update, [steps].
    """

    names: tuple[str, ...]
    pictures: np.ndarray
    losses: np.ndarray

    @property
    def cropped(self) -> np.ndarray:
        """The pictures without their borders, which are optimized less, as the notebook shows them."""
        height, width = self.pictures.shape[2:4]
        (top, left), (bottom, right) = ([round(share * side) for side in (height, width)] for share in CROPPED)
        return self.pictures[:, :, top : height - bottom, left : width - right]

    @property
    def mosaic(self) -> np.ndarray:
        """The cropped pictures side by side."""
        return tiled(self.cropped)


@checked
def interaction_grid(
    model: Model,
    units: Iterable[UnitLike],
    *,
    size: int = 128,
    steps: int = 512,
    seed: int = 0,
    verbose: bool = False,
) -> InteractionGrid:
    """Renders all pairs of some neurons with shared parameters, so that the pictures can be compared.

    The picture of a pair is half the sum of three images: the mean of the two neurons' images, an image of the pair,
    and twice an image that all pictures share. The objective of a pair does not change the neurons' images. All
    pictures are optimized in one batch.

    Args:
        model: the model.
        units: the neurons, `"layer:channel"` or (layer, channel).
        size: height and width in pixels, at least 16.
        steps: number of updates.
        seed: seed of all random draws.
        verbose: show progress.

    Raises:
        TypeError, ValueError: a unit has another form or does not exist, or `size` is below 16.
        converters.LayerNotFoundError: a layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> interaction_grid(TinyInceptionV1(), ["mixed3a:31", "mixed3a:30"], size=32, steps=2).pictures.shape
        (2, 2, 32, 32, 3)
    """
    neurons = _units(model, units, "units")
    pairs = [(a, b) for a in range(len(neurons)) for b in range(a, len(neurons))]
    images = _Pairs(len(neurons), pairs, checks.whole(size, "size", 16))
    vis = VisT(model, _all_pairs(neurons, pairs), images, seed=seed)
    losses = run(vis, steps, verbose)
    place = {pair: number for number, pair in enumerate(pairs)}
    order = [[place[min(a, b), max(a, b)] for a in range(len(neurons))] for b in range(len(neurons))]
    return InteractionGrid(unit_names(neurons), vis.image()[np.array(order)], losses)


def _all_pairs(neurons: Sequence[tuple[str, int]], pairs: Sequence[tuple[int, int]]) -> Objective:
    """The notebook's objective of N x N images. Images off the diagonal count twice, for their mirror images."""

    def of(neuron: int, image: int) -> Objective:
        wanted = neurons[neuron]
        return CHANNEL_SHARE * objectives.channel(*wanted, batch=image) + objectives.neuron(*wanted, batch=image)

    counts = [1 if a == b else 2 for a, b in pairs]
    wanted = [
        count * (of(a, image) + of(b, image)) for image, ((a, b), count) in enumerate(zip(pairs, counts, strict=True))
    ]
    # The penalty is quadratic in the image: scaling an image by the root of its count multiplies the penalty by it.
    roots = torch.tensor(counts, dtype=torch.float32).sqrt()[:, None, None, None]
    blur = objectives.blur_input_each_step()

    def penalty(T: Activations) -> torch.Tensor:
        image = T("input")
        return -BLUR * blur(lambda _: image * roots.to(image))

    return Objective.sum([*wanted, penalty])


class _Pairs(Parameterization):
    """Images of pairs of neurons."""

    def __init__(self, count: int, pairs: Sequence[tuple[int, int]], size: int) -> None:
        super().__init__()
        self._pairs = pairs
        mixed = sum(a != b for a, b in pairs)
        self.pure = param.fft_image((count, size, size, 3))
        self.blend = param.fft_image((mixed, size, size, 3)) if mixed else None
        self.shared = param.fft_image((1, size, size, 3))
        self.coarse = param.lowres_tensor((1, size, size, 3), (1, size // 4, size // 4, 3))

    def compute(self, memo: Memo) -> torch.Tensor:
        pure = self.pure.evaluate(memo)
        blends = iter(self.blend.evaluate(memo) if self.blend is not None else ())
        shared = SHARED * (self.shared.evaluate(memo)[0] + self.coarse.evaluate(memo)[0])
        images = [
            # For a neuron alone, its image replaces both the mean and the image of the pair.
            2 * pure[a] + shared if a == b else (pure[a] + pure[b]).detach() / 2 + next(blends) + shared
            for a, b in self._pairs
        ]
        return param.color.to_valid_rgb_tensor(torch.stack(images) / 2, decorrelate=True)
