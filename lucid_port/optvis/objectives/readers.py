"""`T`, the readers of activations that objectives are functions of."""

from __future__ import annotations

import abc
import functools
from collections.abc import Sequence
from typing import Any, Protocol

import torch

from lucid_port.modelzoo.layouts import Layout, channels_last, plain_layout

__all__ = [
    "Activations",
    "Images",
    "Nhwc",
    "Reader",
    "as_reader",
    "by_image",
    "channel_in",
    "check_index",
    "each_image",
]


class Activations(Protocol):
    """`T`: maps a layer's name to its activation (N, C, ...).

    "input" is the image, "labels" the class names and "global_step" the number of updates made.
    """

    def __call__(self, name: str, /) -> Any: ...


BESIDE_LAYERS = ("input", "labels", "global_step")
"""Names that `T` reads, and that are no layers of the network."""


class Reader(abc.ABC):
    """`T` of a render, which also knows the axes of its layers.

    Objectives accept any function of a layer's name, such as the `get` of a dict; `as_reader` gives it these methods.

    Attributes:
        images: Number of images that the network got; None if it is not known.
        steps: Number of updates that the render has made; None outside of a render.
    """

    images: int | None = None
    steps: int | None = None

    @abc.abstractmethod
    def __call__(self, name: str, /) -> Any:
        """Returns an activation with the axes (N, C, ...): images, channels, and positions or tokens.

        N is a multiple of the number of images in a layer that flattens positions or windows into rows.

        Raises:
            converters.ChannelAxisError: The channel axis is not known.
        """

    @abc.abstractmethod
    def raw(self, name: str, /) -> Any:
        """Returns the network's own tensor, whose axes may have any order, also if its channel axis is not known.

        Gradients with respect to a layer are those of this tensor.
        """

    @abc.abstractmethod
    def layout(self, name: str, /) -> Layout:
        """Returns the layout of a layer.

        Raises:
            converters.ChannelAxisError: The axes are not known.
        """

    def channel(self, layer: str, number: int, /) -> torch.Tensor:
        """Returns one channel without the channel axis; a render computes it alone if its network can.

        Raises:
            IndexError: The layer does not have this channel.
        """
        value = self(layer)
        check_index(number, value.shape[1], layer, "channel", "channels")
        return value[:, number]


class _Plain(Reader):
    """`T` of a function of names, whose activations are (N, C, ...)."""

    def __init__(self, T: Activations) -> None:
        self._T = T

    def __call__(self, name: str, /) -> Any:
        return self._T(name)

    def raw(self, name: str, /) -> Any:
        return self._T(name)

    def layout(self, name: str, /) -> Layout:
        return plain_layout(name, self._T(name).ndim)


def as_reader(T: Activations) -> Reader:
    """Returns a function of names as a `Reader`.

    Example:
        >>> T = as_reader({"mixed4a": torch.ones(1, 8, 5, 5)}.get)
        >>> T.channel("mixed4a", 7).shape, T.layout("mixed4a").axes
        (torch.Size([1, 5, 5]), 'NCHW')
    """
    return T if isinstance(T, Reader) else _Plain(T)


# Axis order -----------------------------------------------------------------------------------


class Nhwc(Reader):
    """`T` in Lucid's axis order, with the channels last."""

    def __init__(self, T: Activations) -> None:
        self._T = as_reader(T)
        self.images, self.steps = self._T.images, self._T.steps

    def __call__(self, name: str, /) -> Any:
        value = self._T(name)
        if not isinstance(value, torch.Tensor) or value.ndim < 2:
            return value
        if value.ndim == 3:
            layout = self._T.layout(name)
            if layout.grid is not None and not (layout.before or layout.after):
                value = layout.in_places(value)
        return channels_last(value)

    def raw(self, name: str, /) -> Any:
        return self._T.raw(name)

    def layout(self, name: str, /) -> Layout:
        return self._T.layout(name)

    def channel(self, layer: str, number: int, /) -> torch.Tensor:
        return self._T.channel(layer, number)


def channel_in(tensor: torch.Tensor, number: int, layer: str) -> torch.Tensor:
    """Returns one channel of a tensor with the channels last, without the channel axis."""
    check_index(number, tensor.shape[-1], layer, "channel", "channels")
    return tensor[..., number]


def check_index(index: int, count: int, layer: str, kind: str, kinds: str) -> None:
    if not -count <= index < count:
        raise IndexError(f"Layer {layer!r} has no {kind} {index}: its {kinds} are 0 to {count - 1}.")


# Images ---------------------------------------------------------------------------------------


def rows_of_image(value: torch.Tensor, axis: int, images: int, layer: str) -> int:
    """Returns the number of rows of each image: 1, or more in a layer that flattens positions or windows into rows.

    Raises:
        ValueError: The rows cannot be divided between the images.
    """
    if value.ndim == 0 or value.shape[axis] % images:
        raise ValueError(f"Layer {layer!r} of shape {list(value.shape)} has no rows for each of {images} images.")
    return value.shape[axis] // images


def _image_axis(T: Reader, name: str) -> int:
    axis = 0 if name == "input" else T.layout(name).image_axis
    if axis is None:
        raise ValueError(f"Layer {name!r} has no image axis: its value is the same for all images of a batch.")
    return axis


class Images(Reader):
    """`T` of consecutive images of a batch.

    Args:
        T: `T` of the batch.
        first: Index of the first image.
        count: Number of images.

    Example:
        >>> Images({"mixed4a": torch.arange(3.0).reshape(3, 1)}.get, 1, 2)("mixed4a").flatten()
        tensor([1., 2.])
    """

    def __init__(self, T: Activations, first: int, count: int = 1) -> None:
        self._T = as_reader(T)
        self._first, self._count = first, count
        self.images, self.steps = count, self._T.steps

    def __call__(self, name: str, /) -> Any:
        return self._cut(self._T(name), 0, name)

    def raw(self, name: str, /) -> Any:
        value = self._T.raw(name)
        if not isinstance(value, torch.Tensor) or self._T.images == self._count:
            return value
        return self._cut(value, _image_axis(self._T, name), name)

    def layout(self, name: str, /) -> Layout:
        return self._T.layout(name)

    def _cut(self, value: Any, axis: int, name: str) -> Any:
        if not isinstance(value, torch.Tensor):
            return value
        images = self._T.images if self._T.images is not None and name != "input" else value.shape[axis]
        rows = rows_of_image(value, axis, images, name)
        if not 0 <= self._first <= images - self._count:
            last = self._first + self._count - 1
            raise IndexError(f"batch={last} is outside the batch of {images} images.")
        return value.narrow(axis, self._first * rows, self._count * rows)


def each_image(T: Activations, count: int, images: int = 1) -> list[Reader]:
    """Returns `T` for each image of a batch, or for each group of consecutive images. A layer is split once for all.

    Args:
        T: `T` of the batch.
        count: Number of groups.
        images: Number of images in each.
    """
    batch = as_reader(T)

    @functools.cache
    def parts(name: str) -> Sequence[Any]:
        value = batch(name)
        if not torch.is_tensor(value):
            return [value] * count
        return value.split(rows_of_image(value, 0, count, name))

    @functools.cache
    def raw_parts(name: str) -> Sequence[Any]:
        value = batch.raw(name)
        if not torch.is_tensor(value) or count == 1:
            return [value] * count
        axis = _image_axis(batch, name)
        return value.split(rows_of_image(value, axis, count, name), axis)

    return [_One(batch, parts, raw_parts, index, images) for index in range(count)]


class _One(Reader):
    """`T` of one image, or one group of images, of a batch that is split once for all."""

    def __init__(self, T: Reader, parts: Any, raw_parts: Any, index: int, images: int) -> None:
        self._T, self._parts, self._raw_parts, self._index = T, parts, raw_parts, index
        self.images, self.steps = images, T.steps

    def __call__(self, name: str, /) -> Any:
        return self._parts(name)[self._index]

    def raw(self, name: str, /) -> Any:
        return self._raw_parts(name)[self._index]

    def layout(self, name: str, /) -> Layout:
        return self._T.layout(name)


def by_image(T: Reader, name: str) -> torch.Tensor:
    """Returns an activation (N, C, ...) of N images. The rows of an image become an axis behind its channels."""
    value: torch.Tensor = T(name)
    if T.images is None or name == "input" or value.shape[0] == T.images or value.shape[0] % T.images:
        return value
    return value.unflatten(0, (T.images, -1)).movedim(1, 2)
