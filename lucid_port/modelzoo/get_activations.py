"""Activations of a layer for many images, for example families of synthetic stimuli."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import DTypeLike
from PIL import Image

from converters import checks
from converters.signatures import checked
from lucid_port.misc.io.pictures import check_range, gray, pixels_of, unit_floats, without_alpha
from lucid_port.misc.iter_nd_utils import batch_iter, dict_to_ndarray, recursive_enumerate_nd
from lucid_port.misc.tensors import as_tensor
from lucid_port.modelzoo.layer import Layer
from lucid_port.modelzoo.layouts import Layout, described, layout_of

__all__ = ["get_activations", "get_activations_iter"]

Index: TypeAlias = tuple[int, ...]


class Model(Protocol):
    """The part of `lucid_port.modelzoo.vision_base.Model` that this module uses."""

    @property
    def device(self) -> torch.device: ...

    def activations(self, image: torch.Tensor, names: Sequence[str]) -> Mapping[str, torch.Tensor]: ...


@dataclass(frozen=True)
class Reducer:
    """A reduction over the activations of all images that have the same index.

    Attributes:
        prepare: maps the activations of one image.
        combine: reduces two prepared values to one.
        finish: computes the result from the combined value and the number of images.
    """

    prepare: Callable[[np.ndarray], np.ndarray]
    combine: Callable[[np.ndarray, np.ndarray], np.ndarray]
    finish: Callable[[np.ndarray, int | np.ndarray], np.ndarray]


_ONE_LAYER = "the name of one layer (model.activations reads several layers of a tensor)"

REDUCERS: Mapping[str, Reducer] = {
    "mean": Reducer(np.asarray, np.add, lambda total, count: total / count),
    "rms": Reducer(np.square, np.add, lambda total, count: np.sqrt(total / count)),
    "max": Reducer(np.asarray, np.maximum, lambda largest, count: largest),
}


@checked
def get_activations(
    model: Model,
    layer: str | Layer,
    examples: np.ndarray | Iterable[Any],
    batch_size: int = 64,
    dtype: DTypeLike | None = None,
    ind_shape: Sequence[int] | None = None,
    center_only: bool = False,
) -> np.ndarray:
    """Computes the activations of a layer for an array of images with any number of leading axes.

    Args:
        model: the model.
        layer: a layer's name, or one of `model.layers`.
        examples: (..., height, width, 3), or nested iterables (also generators) of images: floats in [0, 1], uint8
            (0 to 255), uint16 (0 to 65535), or Pillow's images.
        batch_size: number of images per forward pass. The images of a batch have the same size.
        dtype: dtype of the result and of intermediate sums; None means that of the network.
        ind_shape: shape of the leading axes. It saves memory if `examples` is not an array.
        center_only: return only the position [height // 2, width // 2] of the layer; the patch there in a layer of
            tokens.

    Returns:
        (*ind_shape, height, width, channels), or (*ind_shape, channels) with `center_only` and for fully connected
        layers. A layer of tokens gives (*ind_shape, tokens, channels), with all tokens in the network's order. If they
        are patches of the image, token `before + row * columns + column` is the patch at (row, column), where `before`
        is the number of the class token and others before the patches. A layer that flattens windows or positions into
        rows has an axis of rows after those of `ind_shape`.

    Raises:
        ValueError: there are no images, the images of a batch differ in size, values are far outside of [0, 1], or
            `center_only` is given for tokens that are not on a grid.
        TypeError: `layer` is not one name, or an image is not an array or one of Pillow's images, or has integers of
            another type.
        converters.ChannelAxisError: the axes of the layer are not known.
        converters.LayerNotFoundError: the model has no layer of this name.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> get_activations(TinyInceptionV1(), "mixed4a", np.zeros((2, 3, 32, 32, 3), np.float32)).shape
        (2, 3, 2, 2, 127)
    """
    if ind_shape is None and isinstance(examples, np.ndarray):
        ind_shape = examples.shape[:-3]
    images = recursive_enumerate_nd(examples, stop_iter=_is_image)
    return get_activations_iter(
        model, layer, images, batch_size=batch_size, dtype=dtype, ind_shape=ind_shape, center_only=center_only
    )


@checked
def get_activations_iter(
    model: Model,
    layer: str | Layer,
    generator: Iterable[tuple[int | Index, np.ndarray]],
    reducer: str = "mean",
    batch_size: int = 64,
    dtype: DTypeLike | None = None,
    ind_shape: Sequence[int] | None = None,
    center_only: bool = False,
) -> np.ndarray:
    """Computes the activations of a layer for pairs of index and image, and reduces those that have the same index.

    Args:
        model, layer, batch_size, dtype, ind_shape, center_only: as in `get_activations`.
        generator: pairs of an index (a number or a tuple) and an image (height, width, 3) as in `get_activations`, in
            any order.
        reducer: reduction over the images of one index: "mean", "max" or "rms" (root mean square).

    Returns:
        As `get_activations`; zero at an index without an image.

    Raises:
        ValueError: the reducer is unknown, there are no images, the images of a batch differ in size, or values are far
            outside of [0, 1].
        TypeError: an image is not an array or one of Pillow's images, or has integers of another type.
        IndexError: an index is outside of `ind_shape`.
        converters.LayerNotFoundError: the model has no layer of this name.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> images = ((index % 2, np.full((32, 32, 3), index / 4)) for index in range(4))
        >>> get_activations_iter(TinyInceptionV1(), "mixed4a", images, center_only=True).shape
        (2, 127)
    """
    if reducer not in REDUCERS:
        raise ValueError(f"reducer is one of {', '.join(REDUCERS)}, not {checks.shown(reducer)}.")
    name = layer.name if isinstance(layer, Layer) else checks.text(layer, "layer", _ONE_LAYER)
    responses = _responses(model, name, generator, batch_size, dtype, center_only)
    return _reduce(responses, REDUCERS[reducer], None if ind_shape is None else tuple(ind_shape))


def _responses(
    model: Model,
    name: str,
    generator: Iterable[tuple[int | Index, np.ndarray]],
    batch_size: int,
    dtype: DTypeLike | None,
    center_only: bool,
) -> Iterator[tuple[Index, np.ndarray]]:
    """Yields index and activations, (height, width, channels) or (channels), of each image."""
    *_, channels = getattr(model, "image_shape", (3,))
    for batch in batch_iter(generator, batch_size):
        images = _stack([image for _, image in batch], channels).to(model.device)
        with torch.no_grad():
            value = model.activations(images, [name])[name]
            height, width = images.shape[2:]
            layout = layout_of(described(model, name), name, value, (height, width), len(batch))
            values = _by_image(layout, layout.channels_first(value), len(batch), center_only).cpu().numpy()
        values = values if dtype is None else values.astype(dtype)
        for (index, _), value in zip(batch, values, strict=True):
            yield (index if isinstance(index, tuple) else (int(index),)), value


def _by_image(layout: Layout, value: torch.Tensor, count: int, center_only: bool) -> torch.Tensor:
    """Returns activations (N, C, ...) of some images with the channels last, [images, ..., C]."""
    if value.shape[0] % count:
        raise ValueError(
            f"Layer {layout.layer!r} gives {value.shape[0]} values for {count} images: its value does not belong to "
            "single images."
        )
    if center_only and layout.positions:
        if value.shape[0] != count:
            windows = f"{value.shape[0] // count} windows"
            raise ValueError(f"Layer {layout.layer!r} splits an image into {windows}: it has no position in it.")
        places = layout.in_places(value)
        value = places[:, :, places.shape[2] // 2, places.shape[3] // 2]
    value = value.movedim(1, -1)
    return value if value.shape[0] == count else value.unflatten(0, (count, -1))


def _is_image(part: object) -> bool:
    return isinstance(part, torch.Tensor) or (isinstance(part, np.ndarray) and part.ndim <= 3)


def _pixels(image: object, channels: int | None) -> np.ndarray:
    """Converts an image to float32 (height, width, channels). Pillow's images become gray for one channel."""
    if isinstance(image, torch.Tensor):
        raise TypeError(
            "An image is an array (height, width, channels) or Pillow's image, not a tensor: give arrays, or use "
            "model.activations, which takes tensors (N, C, H, W)."
        )
    if isinstance(image, Image.Image):
        pixels = without_alpha(pixels_of(image))
        pixels = np.repeat(pixels, 3, -1) if pixels.shape[-1] == 1 else pixels
        return gray(pixels) if channels == 1 else pixels
    return unit_floats(np.asarray(image))


def _stack(images: Sequence[object], channels: int | None = 3) -> torch.Tensor:
    """Stacks images (height, width, channels) to an NCHW batch; `channels` is the number that the model takes."""
    arrays = [_pixels(image, channels) for image in images]
    shapes = {array.shape for array in arrays}
    if len(shapes) > 1:
        raise ValueError(f"The images of a batch must have one size, not {sorted(shapes)}: give batch_size=1.")
    if arrays[0].ndim != 3 or not arrays[0].size:
        raise ValueError(f"An image is an array (height, width, channels), not one of shape {list(arrays[0].shape)}.")
    stacked = np.stack(arrays)
    check_range(float(stacked.min()), float(stacked.max()), "An image")
    return as_tensor(np.ascontiguousarray(stacked.transpose(0, 3, 1, 2)))


def _reduce(responses: Iterable[tuple[Index, np.ndarray]], reducer: Reducer, shape: Index | None) -> np.ndarray:
    """Reduces the activations of each index, in one array if the shape of the indices is known, else in a dict."""
    counts: Any = Counter() if shape is None else np.zeros(shape, np.int64)
    totals: Any = None
    for index, value in responses:
        prepared = reducer.prepare(value)
        if totals is None:
            totals = {} if shape is None else np.zeros((*shape, *prepared.shape), prepared.dtype)
        totals[index] = reducer.combine(totals[index], prepared) if counts[index] else prepared
        counts[index] += 1
    if totals is None:
        raise ValueError("There are no images.")

    def finish(total: np.ndarray, count: int | np.ndarray) -> np.ndarray:
        return reducer.finish(total, count).astype(total.dtype, copy=False)  # division may have promoted the dtype

    if isinstance(totals, dict):
        return dict_to_ndarray({index: finish(total, counts[index]) for index, total in totals.items()})
    return finish(totals, np.maximum(counts, 1).reshape(*counts.shape, *[1] * (totals.ndim - counts.ndim)))
