"""DeepDream: more of what a network sees in a picture, at one scale after another.

Mordvintsev, Olah, Tyka: Inceptionism: Going Deeper into Neural Networks (Google Research Blog, 2015); the settings are
those of the DeepDream tool in Lucid's notebook differentiable-parameterizations/appendix/infinite_patterns: octaves,
gradients normalised by a Laplacian pyramid, random shifts, tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from lucid_port.misc import checks
from lucid_port.misc.tensors import constant
from lucid_port.optvis import objectives
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.precision import strictly
from lucid_port.optvis.many.setup import each_for_itself
from lucid_port.optvis.objectives import Objective
from lucid_port.optvis.param.color import color_correlation_normalized
from lucid_port.optvis.progress import ManyProgress
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.inputs import as_batch, load_image, named_objectives, scaled_size

__all__ = ["DeepDream", "deepdream", "laplacian_normalize"]

RATE = 0.02
LEAST_RATE = 0.2  # share of the rate below which it does not fall in later octaves
SMALLEST = 48  # pixels of the shorter side of the first octave
COLOR_FLOOR = 0.08  # added to the colours' covariance, so that rare colours are not lost
EPSILON = 1e-10


@dataclass(frozen=True)
class DeepDream:
    """Dreams of one picture.

    Attributes:
        names: what each maximises.
        image: the picture, [H, W, 3].
        pictures: [N, H, W, 3].
        octaves: sizes (height, width) on the way.
        values: objective values before each update, [N, octaves * steps].
    """

    names: tuple[str, ...]
    image: np.ndarray
    pictures: np.ndarray
    octaves: tuple[tuple[int, int], ...]
    values: np.ndarray


@strictly
def deepdream(
    model: Model,
    image: Any,
    wanted: Any,
    *,
    size: int | None = None,
    octaves: int = 6,
    octave_scale: float = 1.5,
    steps: int = 50,
    rate: float = RATE,
    levels: int = 4,
    tile: int = 768,
    seed: int = 0,
    verbose: bool = False,
) -> DeepDream:
    """Changes a picture so that a layer, or anything else, is more excited; several dreams in one batch.

    The picture is dreamt of small first. Each octave adds what was dreamt, enlarged, to the picture at the next size.

    Args:
        model: the model.
        image: a path, or an array [H, W, C] in [0, 1].
        wanted: a layer's name (the mean of its squares), `"layer:channel"`, an objective, or a list of these.
        size: pixels of the longer side, aspect ratio kept; the picture's own by default.
        octaves: number of sizes; those smaller than 48 pixels are left out.
        octave_scale: from one size to the next.
        steps: updates of each octave.
        rate: how far an update goes, in deviations of the gradient; falls with the octaves to a fifth.
        levels: of the pyramid that normalises the gradient; 0 for its deviation alone.
        tile: side of the part that the network sees at a time.
        seed: of the random shifts.
        verbose: show progress.

    Raises:
        TypeError, ValueError: an argument makes no sense.
        converters.LayerNotFoundError: there is no such layer.
    """
    given = list(wanted) if isinstance(wanted, (list, tuple)) else [wanted]
    named = named_objectives([_dream(one) for one in given])
    names = tuple(one if isinstance(one, str) else name for one, (name, _) in zip(given, named, strict=True))
    asked = [objective for _, objective in named]
    picture = load_image(image)
    if size is not None:
        factor = checks.whole(size, "size", 1) / max(picture.shape[:2])
        picture = load_image(picture, scaled_size(picture.shape, factor))
    steps, levels = checks.whole(steps, "steps", 1), checks.whole(levels, "levels", 0)
    sizes = _octaves(picture.shape, checks.whole(octaves, "octaves", 1), checks.number(octave_scale, "octave_scale", 1))
    gradients = _Gradients(model, asked, checks.whole(tile, "tile", 32), RandomSource(seed))
    base = as_batch(model, picture)
    dreamt = torch.zeros(len(asked), 3, *sizes[0], device=base.device)
    values = []
    with ManyProgress(len(asked), steps * len(sizes), verbose) as progress:
        for octave, shape in enumerate(sizes):
            start = _resized(base, shape)
            pictures = (start + _resized(dreamt, shape)).clamp(0, 1)
            step = checks.number(rate, "rate", 0) * max(LEAST_RATE, octave_scale**-octave)
            for _ in range(steps):
                value, gradient = gradients(pictures)
                pictures = (pictures + step * _direction(gradient, levels)).clamp(0, 1)
                values.append(value)
                progress.stepped(len(asked))
            dreamt = pictures - start
    made = pictures.permute(0, 2, 3, 1).cpu().numpy().copy()
    losses = torch.stack(values, 1).cpu().numpy()
    return DeepDream(names, picture, made, tuple(sizes), losses)


def _dream(wanted: Any) -> Any:
    """A layer's name alone stands for the mean of its squares."""
    return objectives.deepdream(wanted) if isinstance(wanted, str) and not _names_unit(wanted) else wanted


def _names_unit(text: str) -> bool:
    layer, colon, channel = text.rpartition(":")
    return bool(layer and colon) and channel.strip().isdecimal()


def _octaves(shape: Sequence[int], count: int, scale: float) -> list[tuple[int, int]]:
    """Sizes from the smallest to the picture's own."""
    sizes = [scaled_size(shape, scale**-number) for number in range(count)]
    return [sizes[0], *(size for size in sizes[1:] if min(size) >= SMALLEST)][::-1]


def _resized(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if tuple(image.shape[2:]) == size:
        return image
    return F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)


# Gradients ---------------------------------------------------------------------------------------


class _Gradients:
    """Objectives' gradients for whole pictures, computed tile by tile under a random shift.

    Tiles have seams; the shift puts them elsewhere each time.
    """

    def __init__(self, model: Model, wanted: Sequence[Objective], tile: int, source: RandomSource) -> None:
        self._model, self._wanted, self._tile, self._source = model, each_for_itself(wanted), tile, source
        self._layers: dict[str, None] = {}

    def __call__(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """[N] values, averaged over tiles by their area, and their gradients [N, 3, H, W]."""
        height, width = pictures.shape[2:]
        shift = [int(self._source.integers(axis, side)) for axis, side in (("y", height), ("x", width))]
        rolled = pictures.roll(shift, (2, 3))
        total = torch.zeros(len(pictures), device=pictures.device)
        gradient = torch.zeros_like(rolled)
        for rows in _parts(height, self._tile):
            for columns in _parts(width, self._tile):
                part = rolled[:, :, rows, columns].clone().requires_grad_()
                share = part.shape[2] * part.shape[3] / (height * width)
                with torch.enable_grad():
                    value = self._wanted(_Seen(self._model, part, self._layers)) * share
                    (gradient[:, :, rows, columns],) = torch.autograd.grad(value.sum(), part)
                total += value.detach()
        return total, gradient.roll([-one for one in shift], (2, 3))


class _Seen:
    """`T` of one tile: all layers that were ever read come from one pass."""

    def __init__(self, model: Model, image: torch.Tensor, layers: dict[str, None]) -> None:
        self._model, self._image, self._layers = model, image, layers
        self._values: dict[str, torch.Tensor] = {}

    def __call__(self, name: str) -> Any:
        if name == "input":
            return self._image
        if name == "labels":
            return self._model.labels
        if name not in self._values:
            self._values.update(self._model.activations(self._image, [*self._layers, name]))
            self._layers[name] = None
        return self._values[name]


def _parts(length: int, most: int) -> list[slice]:
    """An axis in parts of nearly one length."""
    count = -(-length // most)
    ends = [length * number // count for number in range(count + 1)]
    return [slice(a, b) for a, b in pairwise(ends)]


def _direction(gradient: torch.Tensor, levels: int) -> torch.Tensor:
    """Where an update goes: the gradient normalised, in natural colours, of deviation 1 in each picture."""
    covariance = color_correlation_normalized @ color_correlation_normalized.T
    colors = torch.from_numpy(covariance + COLOR_FLOOR * np.eye(3, dtype=np.float32)).to(gradient)
    colored = torch.einsum("ij,njhw->nihw", colors, laplacian_normalize(gradient, levels))
    return colored / colored.std((1, 2, 3), keepdim=True).clamp(min=EPSILON)


def laplacian_normalize(image: torch.Tensor, levels: int = 4) -> torch.Tensor:
    """Gives all frequencies the same strength: each band of a Laplacian pyramid gets the root mean square 1.

    Args:
        image: (N, C, H, W).
        levels: bands beside the lowest; 0 for one band, all of it.

    Returns:
        (N, C, H, W).
    """
    bands = []
    for _ in range(levels):
        if min(image.shape[2:]) < 2:
            break
        low = _halved(image)
        bands.append(image - _doubled(low, image))
        image = low
    image = _unit(image)
    for band in reversed(bands):
        image = _doubled(image, band) + _unit(band)
    return image


def _unit(image: torch.Tensor) -> torch.Tensor:
    return image / image.square().mean((1, 2, 3), keepdim=True).sqrt().clamp(min=EPSILON)


def _binomial(image: torch.Tensor) -> torch.Tensor:
    return constant(_kernel, (), image.device, image.dtype).expand(image.shape[1], 1, 5, 5)


def _kernel() -> np.ndarray:
    line = np.array([1, 4, 6, 4, 1]) / 16
    return np.outer(line, line)


def _halved(image: torch.Tensor) -> torch.Tensor:
    return F.conv2d(image, _binomial(image), stride=2, padding=2, groups=image.shape[1])


def _doubled(image: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    odd = [size - (2 * small - 1) for size, small in zip(like.shape[2:], image.shape[2:], strict=True)]
    return F.conv_transpose2d(
        image, 4 * _binomial(image), stride=2, padding=2, output_padding=odd, groups=image.shape[1]
    )
