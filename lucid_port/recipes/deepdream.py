"""DeepDream: changes a picture, octave by octave, so that it excites a layer or another objective more.

Mordvintsev, Olah, Tyka: Inceptionism: Going Deeper into Neural Networks (Google Research Blog, 2015). The settings are
those of the DeepDream tool in Lucid's notebook differentiable-parameterizations/appendix/infinite_patterns: octaves,
gradients normalized by a Laplacian pyramid, random shifts, and tiles.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from converters import checks
from converters.signatures import checked
from lucid_port.misc.tensors import constant
from lucid_port.optvis import objectives
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.precision import strictly
from lucid_port.optvis.engine.step import ModelReader
from lucid_port.optvis.many.setup import each_for_itself
from lucid_port.optvis.many.workers import split_evenly
from lucid_port.optvis.objectives import Objective
from lucid_port.optvis.param.color import color_correlation_normalized
from lucid_port.optvis.progress import ManyProgress
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.inputs import (
    ImageLike,
    ObjectiveLike,
    as_batch,
    load_scaled,
    named_objectives,
    scaled_size,
)

__all__ = ["DeepDream", "deepdream", "laplacian_normalize"]

RATE = 0.02
LEAST_RATE = 0.2  # smallest share of the rate in later octaves
SMALLEST = 48  # least number of pixels of the shorter side of an octave
COLOR_FLOOR = 0.08  # added to the diagonal of the colors' covariance, so that rare colors are kept
EPSILON = 1e-10


@dataclass(frozen=True)
class DeepDream:
    """Dreams of one picture.

    Attributes:
        names: names of the N objectives.
        image: the picture, [H, W, 3].
        pictures: the dreams, [N, H, W, 3] in [0, 1].
        octaves: (height, width) of each octave, the smallest first.
        values: objective values before each update, [N, octaves * steps].
    """

    names: tuple[str, ...]
    image: np.ndarray
    pictures: np.ndarray
    octaves: tuple[tuple[int, int], ...]
    values: np.ndarray


@strictly
@checked
def deepdream(
    model: Model,
    image: ImageLike,
    wanted: ObjectiveLike | Sequence[ObjectiveLike],
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
    """Changes a picture by gradient ascent, for one or several objectives in one batch.

    The smallest octave comes first. Each octave starts from the picture at its size, plus the enlarged change that
    the previous octave made.

    Args:
        model: the model.
        image: a path, or an array [H, W, C] in [0, 1].
        wanted: a layer's name (its mean square is maximized), `"layer:channel"`, an objective, or a list of these.
        size: pixels of the longer side, with the aspect ratio kept; the picture's own by default.
        octaves: number of sizes; sizes whose shorter side is below 48 pixels are left out, except the picture's own.
        octave_scale: ratio of each size to the previous size, at least 1.
        steps: number of updates in each octave.
        rate: length of an update, in standard deviations of the gradient; decreases with the octaves to a fifth.
        levels: levels of the pyramid that normalizes the gradient; 0 normalizes by the root mean square alone.
        tile: maximum side of the tiles into which the picture is split for the network, at least 32 pixels.
        seed: seed of the random shifts.
        verbose: show progress.

    Raises:
        TypeError, ValueError: an argument has the wrong type or is out of range.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> made = deepdream(TinyInceptionV1(), np.full((48, 64, 3), 0.5), "mixed3a", octaves=1, steps=2)
        >>> made.pictures.shape, made.octaves
        ((1, 48, 64, 3), ((48, 64),))
    """
    given: list[ObjectiveLike] = list(wanted) if isinstance(wanted, (list, tuple)) else [wanted]  # type: ignore[list-item]
    named = named_objectives([_dream(one) for one in given], model)
    names = tuple(one if isinstance(one, str) else name for one, (name, _) in zip(given, named, strict=True))
    asked = [objective for _, objective in named]
    picture = load_scaled(image, size)
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


def _dream(wanted: ObjectiveLike) -> ObjectiveLike:
    """Replaces a layer's name by the objective of its mean square."""
    return objectives.deepdream(wanted) if isinstance(wanted, str) and not _names_unit(wanted) else wanted


def _names_unit(text: str) -> bool:
    layer, colon, channel = text.rpartition(":")
    return bool(layer and colon) and channel.strip().isdecimal()


def _octaves(shape: Sequence[int], count: int, scale: float) -> list[tuple[int, int]]:
    """(height, width) of each octave, from the smallest to the picture's own."""
    sizes = [scaled_size(shape, scale**-number) for number in range(count)]
    return [sizes[0], *(size for size in sizes[1:] if min(size) >= SMALLEST)][::-1]


def _resized(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    if tuple(image.shape[2:]) == size:
        return image
    return F.interpolate(image, size, mode="bilinear", align_corners=False, antialias=True)


# Gradients ---------------------------------------------------------------------------------------


class _Gradients:
    """Computes gradients of objectives for whole pictures, tile by tile.

    A random shift in each call moves the seams between tiles.
    """

    def __init__(self, model: Model, wanted: Sequence[Objective], tile: int, source: RandomSource) -> None:
        self._model, self._wanted, self._tile, self._source = model, each_for_itself(wanted), tile, source
        self._layers: dict[str, None] = {}

    def __call__(self, pictures: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The N objective values, averaged over tiles by area, [N], and their gradients, [N, 3, H, W]."""
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


class _Seen(ModelReader):
    """`T` of one tile. All layers that earlier tiles have read are computed in one forward pass."""

    def __init__(self, model: Model, image: torch.Tensor, layers: dict[str, None]) -> None:
        super().__init__(model, image)
        self._layers = layers
        self._values: dict[str, torch.Tensor] = {}

    def _read(self, name: str) -> torch.Tensor:
        if name not in self._values:
            self._values.update(self._model.activations(self.image, [*self._layers, name]))
            self._layers[name] = None
            self._first = {}
        return self._values[name]


def _parts(length: int, most: int) -> list[slice]:
    """Splits an axis into parts of nearly equal length, each at most `most` long."""
    return [slice(part[0], part[-1] + 1) for part in split_evenly(range(length), most)]


def _direction(gradient: torch.Tensor, levels: int) -> torch.Tensor:
    """The direction of an update, of standard deviation 1 per picture.

    It is the normalized gradient, multiplied by the covariance of natural colors.
    """
    covariance = color_correlation_normalized @ color_correlation_normalized.T
    colors = torch.from_numpy(covariance + COLOR_FLOOR * np.eye(3, dtype=np.float32)).to(gradient)
    colored = torch.einsum("ij,njhw->nihw", colors, laplacian_normalize(gradient, levels))
    return colored / colored.std((1, 2, 3), keepdim=True).clamp(min=EPSILON)


@checked
def laplacian_normalize(image: torch.Tensor, levels: int = 4) -> torch.Tensor:
    """Scales each band of a Laplacian pyramid to a root mean square of 1, so that all frequencies are equally strong.

    Args:
        image: (N, C, H, W), floats.
        levels: number of bands above the lowest; with 0, the image is a single band.

    Returns:
        The sum of the scaled bands, (N, C, H, W).

    Example:
        >>> import torch
        >>> laplacian_normalize(torch.eye(4).reshape(1, 1, 4, 4), levels=0).square().mean()
        tensor(1.)
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
