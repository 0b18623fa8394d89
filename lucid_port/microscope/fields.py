"""Effective receptive fields: the part of a picture that a unit responds to at a place of its layer.

The theoretical field of a unit in a deep layer is mostly larger than the picture, and little of it matters (Luo et al.:
Understanding the Effective Receptive Field, 2016). Here, the pixels of a few rows or columns of a picture at a time
change by a small random amount, and the change of all units in the middle of all layers is read. It is the derivative
in a random direction, whose mean magnitude is proportional to the norm of the gradient in these rows. One set of
pictures serves all units of all layers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor

from converters import checks
from converters.signatures import checked
from lucid_port.microscope.pictures import PICTURE_CHANNELS, Pictures
from lucid_port.modelzoo.preprocessing import Preprocessing
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis.engine.coerce import layer_info
from lucid_port.optvis.engine.precision import strictly
from lucid_port.recipes.inputs import LayerValue, channels_of, model_size, read_layers

__all__ = ["Box", "Fields", "effective_fields", "some_images"]

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels; a pixel reaches from its number to the next."""

SHARE = 0.95
"""Share of a unit's changes, along rows and along columns, that its field holds."""

AMOUNT = 0.02
"""Change of a pixel, of the range from 0 to 1."""

STRIPS = 56
"""Most strips that a side of an image is cut into."""

CONTEXT = 3
"""Side of a token's field in patches: its own, and one on each side."""

NOISE = 1e-4
"""Least change of a unit that counts, of its greatest; smaller ones are rounding."""


@checked
@dataclass(frozen=True)
class Fields:
    """The effective receptive fields of a layer's units in prepared images of one size.

    Attributes:
        layer: Name of the layer.
        kind: "places" of a convolutional layer, "patches" of a layer of tokens on a grid, or "whole" if the units
            have no place in the image, as in a fully connected layer.
        image: (height, width) of the images.
        grid: (rows, columns) of the layer's places.
        stride: (height, width): distance of neighboring places in pixels.
        offset: (y, x): center of the first place in pixels.
        sizes: float32 [units]: side of the square around the center of a place that holds 95 % of the changes.
    """

    layer: str
    kind: Literal["places", "patches", "whole"]
    image: tuple[int, int]
    grid: tuple[int, int]
    stride: tuple[float, float]
    offset: tuple[float, float]
    sizes: np.ndarray

    @checked
    def box(self, unit: int, place: int) -> Box:
        """Returns the field of a unit in the prepared image; it may reach beyond the image.

        Args:
            unit: Number of the unit.
            place: row * columns + column, as in `PooledLayer`.
        """
        if self.kind == "whole":
            return 0.0, 0.0, float(self.image[1]), float(self.image[0])
        checks.whole(unit, "unit", 0, len(self.sizes) - 1)
        return self._around(place, (float(self.sizes[unit]),) * 2)

    @checked
    def cell(self, place: int) -> Box | None:
        """Returns the part of the prepared image that belongs to a place; None if the units have no place."""
        if self.kind == "whole":
            return None
        left, top, right, bottom = self._around(place, self.stride)
        height, width = self.image
        return max(left, 0.0), max(top, 0.0), min(right, float(width)), min(bottom, float(height))

    def to_data(self) -> dict[str, Any]:
        """Returns the fields as JSON has them, to keep what was measured."""
        return {**vars(self), "sizes": self.sizes.tolist()}

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> Fields:
        """Returns the fields of `to_data`, also after JSON made lists of its tuples.

        Raises:
            ValueError: It is of another version, or damaged.
        """
        try:
            pairs = {name: tuple(data[name]) for name in ("image", "grid", "stride", "offset")}
            return cls(data["layer"], data["kind"], **pairs, sizes=np.array(data["sizes"], np.float32))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"These are no receptive fields ({' '.join(str(error).split())}).") from error

    def _around(self, place: int, size: tuple[float, float]) -> Box:
        row, column = divmod(int(place), self.grid[1])
        y, x = self.offset[0] + row * self.stride[0], self.offset[1] + column * self.stride[1]
        return x - size[1] / 2, y - size[0] / 2, x + size[1] / 2, y + size[0] / 2


@checked
def some_images(pictures: Pictures, count: int = 4) -> Tensor | None:
    """Returns a few prepared pictures at equal distances in a collection, (N, 3, height, width) in [0, 1].

    Pictures that cannot be read are left out. None if there are no others among them.
    """
    numbers = np.unique(np.linspace(0, len(pictures) - 1, min(checks.whole(count, "count", 1), len(pictures))).round())
    images = [image for image, _ in (pictures[int(number)] for number in numbers) if image is not None]
    return torch.stack(images) if images else None


@strictly
@checked
def effective_fields(
    model: Model,
    layers: Sequence[str],
    images: Tensor | None = None,
    *,
    batch_size: int = 32,
    seed: int = 0,
) -> dict[str, Fields]:
    """Measures the effective receptive fields of all units of layers.

    A unit that does not change in the middle of any of the images gets the median of the layer.

    Args:
        model: The model.
        layers: Names of layers.
        images: A few prepared images (N, 3, height, width) in [0, 1], as from `some_images`; by default noise of the
            model's size.
        batch_size: Number of images in a batch.
        seed: Seed of the changes.

    Returns:
        Layer -> its fields.

    Raises:
        converters.LayerNotFoundError: The model has no such layer.
        ValueError: A layer splits an image into windows.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> found = effective_fields(TinyInceptionV1(), ["conv2d0"], torch.full((1, 3, 32, 40), 0.5))["conv2d0"]
        >>> found.grid, found.stride, found.cell(21)
        ((16, 20), (2.0, 2.0), (2.5, 2.5, 4.5, 4.5))
    """
    size = checks.whole(batch_size, "batch_size", 1)
    draws = np.random.default_rng(seed)
    channels = 3 if model.image_shape[-1] in PICTURE_CHANNELS else model.image_shape[-1]
    noise_shape = (4, channels, *model_size(model))
    given = torch.from_numpy(draws.random(noise_shape, np.float32)) if images is None else images
    if given.ndim != 4 or not len(given):
        raise ValueError(f"The images are (N, 3, height, width), not {checks.shown(given)}.")
    if model.image_shape[-1] == 1 and given.shape[1] != 1:
        given = given.mean(1, keepdim=True)
    height, width = given.shape[2:]
    values = _read(model, given[:1], layers)
    found = {}
    for layer, value in values.items():
        if _kind(value) != "places":
            found[layer] = _unmeasured(model, layer, value, (height, width))
    rest = [layer for layer in layers if layer not in found]
    if rest:
        found |= _measured(model, rest, given, size, draws)
    return {layer: found[layer] for layer in layers}


def _read(model: Model, images: Tensor, layers: Sequence[str]) -> dict[str, LayerValue]:
    with torch.no_grad():
        return read_layers(model, images.to(model.device), list(layers))


def _kind(value: LayerValue) -> Literal["places", "patches", "whole"]:
    if value.layout.grid is not None:
        return "patches"
    return "places" if value.layout.positions in ("HW", "WH") else "whole"


def _unmeasured(model: Model, layer: str, value: LayerValue, image: tuple[int, int]) -> Fields:
    """Returns the fields of tokens, which read all patches, and of units without places."""
    units = channels_of(model, layer)
    if _kind(value) == "whole":
        grid = (1, max(1, value.first[0, 0].numel()))
        return Fields(layer, "whole", image, grid, (0.0, 0.0), (0.0, 0.0), np.full(units, max(image), np.float32))
    assert value.layout.grid is not None
    info = layer_info(model, layer)
    stated = info.tokens.stride if info is not None and info.tokens is not None else (0.0, 0.0)
    tall, wide = (float(own) or side / count for own, side, count in zip(stated, image, value.layout.grid, strict=True))
    sizes = np.full(units, CONTEXT * max(tall, wide), np.float32)
    return Fields(layer, "patches", image, value.layout.grid, (tall, wide), (tall / 2, wide / 2), sizes)


# Measured fields --------------------------------------------------------------------------------


def _measured(
    model: Model, layers: Sequence[str], images: Tensor, batch_size: int, draws: np.random.Generator
) -> dict[str, Fields]:
    geometry = _geometry(model, layers, images[:1], batch_size)
    signs = torch.from_numpy(draws.choice(np.array([-AMOUNT, AMOUNT], np.float32), tuple(images.shape)))
    profiles = [_profiles(model, layers, images, signs, axis, batch_size) for axis in (0, 1)]
    found = {}
    size = (images.shape[2], images.shape[3])
    for layer in layers:
        axes = geometry[layer]
        rows, columns = axes
        stride, offset = (rows.stride, columns.stride), (rows.offset, columns.offset)
        middles = [one.offset + one.count // 2 * one.stride for one in axes]
        halves = np.stack([_half(profiles[axis][layer], middles[axis], size[axis]) for axis in (0, 1)])
        sizes = np.minimum(2 * halves, [[one.reach] for one in axes]).max(0)
        known = sizes[np.isfinite(sizes)]
        sizes = np.where(np.isfinite(sizes), sizes, np.median(known) if len(known) else max(size))
        sizes = sizes.clip(max(stride), max(size)).astype(np.float32)
        found[layer] = Fields(layer, "places", size, (rows.count, columns.count), stride, offset, sizes)
    return found


def _strips(image: Tensor, signs: Tensor, axis: int, step: int) -> Iterator[Tensor]:
    """Yields copies of an image (1, C, H, W) of which a strip of rows (axis 0) or columns (axis 1) is changed."""
    for first in range(0, image.shape[2 + axis], step):
        changed = image.clone()
        strip = (slice(None),) * (2 + axis) + (slice(first, first + step),)
        changed[strip] += signs[strip]
        yield changed


def _batches(items: Iterator[Tensor], size: int) -> Iterator[Tensor]:
    waiting: list[Tensor] = []
    for item in items:
        waiting.append(item)
        if len(waiting) == size:
            yield torch.cat(waiting)
            waiting = []
    if waiting:
        yield torch.cat(waiting)


@dataclass(frozen=True)
class _Geometry:
    """Where the cells of a layer lie, along an axis.

    Attributes:
        count: Number of cells.
        stride: Distance of neighboring cells in pixels.
        offset: Center of the first cell.
        reach: Length of the theoretical field; infinite if no two cells see less than the image.
    """

    count: int
    stride: float
    offset: float
    reach: float


def _geometry(
    model: Model, layers: Sequence[str], image: Tensor, batch_size: int
) -> dict[str, tuple[_Geometry, _Geometry]]:
    """Returns where the cells of each layer lie, along rows and columns.

    A pixel that is not a number makes all cells that see it not a number, so that the theoretical field of a cell is
    exact. An image has one row and one column of these pixels: a row of cells sees the row if all of its cells see
    either.
    """
    height, width = image.shape[2:]

    def erased() -> Iterator[Tensor]:
        for number in range(max(height, width)):
            changed = image.clone()
            changed[:, :, number : number + 1] = torch.nan
            changed[:, :, :, number : number + 1] = torch.nan
            yield changed

    parts: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
    with torch.backends.cudnn.flags(enabled=False):  # its fast convolutions mix pixels that a cell does not see
        for batch in _batches(erased(), batch_size):
            for layer, value in _read(model, batch, layers).items():
                parts[layer].append(value.places().isnan().any(1).cpu().numpy())
    found = {}
    for layer, some in parts.items():
        lost = np.concatenate(some)
        found[layer] = (_steps(np.all(lost, 2)[:height]), _steps(np.all(lost, 1)[:width]))
    return found


def _steps(seen: np.ndarray) -> _Geometry:
    """Returns where cells lie.

    Args:
        seen: bool [pixels, cells]: whether a cell sees a pixel.
    """
    pixels, count = seen.shape
    low, high = seen.argmax(0), pixels - seen[::-1].argmax(0)
    whole = np.flatnonzero(seen.any(0) & (low > 0) & (high < pixels))
    if len(whole) >= 2:
        middles = (low + high)[whole] / 2
        stride = float((middles[-1] - middles[0]) / (whole[-1] - whole[0]))
        if stride > 0:
            offset = float(np.mean(middles - whole * stride))
            return _Geometry(count, stride, offset, float((high - low)[whole].max()))
    return _Geometry(count, pixels / count, pixels / count / 2, math.inf)


def _profiles(
    model: Model, layers: Sequence[str], images: Tensor, signs: Tensor, axis: int, batch_size: int
) -> dict[str, np.ndarray]:
    """Returns the mean change of each unit in the middle of a layer for each row or column, [units, pixels]."""
    pixels = images.shape[2 + axis]
    step = math.ceil(pixels / STRIPS)
    found: dict[str, np.ndarray] = {}
    for image, sign in zip(images[:, None], signs[:, None], strict=True):
        changes: dict[str, list[np.ndarray]] = {layer: [] for layer in layers}
        for batch in _batches(_strips(image, sign, axis, step), max(1, batch_size - 1)):
            # The unchanged image is in the same batch, because rounding depends on its size.
            for layer, value in _read(model, torch.cat([image, batch]), layers).items():
                places = value.places()
                middle = places[:, :, places.shape[2] // 2, places.shape[3] // 2].float()
                changes[layer].append((middle[1:] - middle[:1]).abs().cpu().numpy())
        for layer, parts in changes.items():
            total = np.nan_to_num(np.concatenate(parts).T, posinf=0)
            found[layer] = found.get(layer, np.zeros_like(total)) + total
    widths = np.diff([*range(0, pixels, step), pixels])
    return {layer: np.repeat(profile / widths, widths, 1) for layer, profile in found.items()}


def _half(profile: np.ndarray, middle: float, pixels: int) -> np.ndarray:
    """Returns half of the least interval around the middle that holds a share of each profile; NaN for a profile of 0.

    Args:
        profile: [units, pixels].
        middle: Its center in pixels.
        pixels: Length of the image.
    """
    profile = np.where(profile > NOISE * profile.max(1, keepdims=True), profile, 0)
    centers = np.arange(pixels) + 0.5
    reach = np.abs(centers - middle) + 0.5  # half of the side that holds the whole pixel
    order = np.argsort(reach, kind="stable")
    total = np.cumsum(profile[:, order], 1)
    enough = total >= SHARE * total[:, -1:]
    halves = reach[order][enough.argmax(1)]
    return np.where(total[:, -1] > 0, halves, np.nan)


# Places in pictures -----------------------------------------------------------------------------


def original_box(prepare: object, box: Box, size: tuple[int, int]) -> Box | None:
    """Maps a box of a prepared image to the picture that it was prepared from.

    Args:
        prepare: How the picture was prepared.
        box: Left, top, right and bottom in pixels of the prepared image.
        size: (width, height) of the picture.

    Returns:
        The box in pixels of the picture; None unless `prepare` is a `Preprocessing`, because other functions do not
        state which part they keep.
    """
    return prepare.original_box(box, size) if isinstance(prepare, Preprocessing) else None


def inside(box: Box, size: tuple[int, int]) -> Box:
    """Moves a box into a picture; sides that are longer than the picture's are cut.

    Args:
        box: Left, top, right and bottom.
        size: (width, height) of the picture.

    Example:
        >>> inside((-4.0, 2.0, 6.0, 12.0), (30, 8))
        (0.0, 0.0, 10.0, 8.0)
    """
    edges = []
    for low, high, whole in zip(box[:2], box[2:], size, strict=True):
        length = min(high - low, float(whole))
        first = min(max(low, 0.0), whole - length)
        edges.append((first, first + length))
    (left, right), (top, bottom) = edges
    return left, top, right, bottom
