"""Helpers of objectives: read channels, positions and directions of a layer, and check arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from converters import checks
from lucid_port.misc.tensors import ArrayLike, as_tensor
from lucid_port.modelzoo.layouts import channels_last
from lucid_port.optvis.objectives.readers import Activations, Nhwc, as_reader, check_index

__all__ = [
    "as_index",
    "as_place",
    "as_vector",
    "channel_of",
    "channels_at_places",
    "channels_at_the_end",
    "channels_of_head",
    "channels_of_part",
    "check_direction",
    "check_fits_image",
    "check_layer",
    "direction_in",
    "dot_product",
    "position_in",
]


def check_layer(layer: Any, objective: str) -> None:
    checks.text(layer, f"{objective}'s layer", "the name of a layer, as in 'mixed4a'")


def as_place(at: Any, what: str) -> int | None:
    """Checks a row or column; None is the center."""
    return None if at is None else checks.whole(at, what)


def as_index(number: int | None, what: str) -> int | None:
    """Checks the number of a head or a time; None names none of them."""
    return None if number is None else checks.whole(number, what)


def channel_of(value: torch.Tensor, number: int, layer: str) -> torch.Tensor:
    """Returns one channel of an activation (N, C, ...), without the channel axis.

    Raises:
        IndexError: The layer does not have this channel.
    """
    check_index(number, value.shape[1], layer, "channel", "channels")
    return value[:, number]


def channels_at_the_end(T: Activations, layer: str) -> torch.Tensor:
    """Returns an activation with the channels last, as `T` with `require_format="NHWC"` does."""
    value: torch.Tensor = Nhwc(T)(layer)
    return value


def channels_of_head(T: Activations, layer: str, head: int) -> torch.Tensor:
    """Returns an activation of one attention head, with the channels last.

    Raises:
        IndexError: The layer does not have this head.
        ValueError: The layer has no heads.
    """
    reader = as_reader(T)
    return channels_last(reader.layout(layer).at_head(reader(layer), head)[0])


def channels_at_places(T: Activations, layer: str) -> torch.Tensor:
    """Returns an activation by its places in the image, [N, rows, columns, C].

    Patches of the image are places; the class token and other tokens are left out. Dense layers have one place.

    Raises:
        ValueError: The layer has no rows and columns.
    """
    reader = as_reader(T)
    value = reader(layer)
    return channels_last(value if value.ndim == 2 else reader.layout(layer).in_places(value))


def channels_of_part(T: Activations, layer: str, head: int | None, time: int | None) -> torch.Tensor:
    """Returns an activation of one attention head and one time by its places, [N, rows, columns, C].

    Args:
        T: Activations.
        layer: Name of the layer.
        head: Attention head; None in layers without heads.
        time: Time in a layer of a video, the middle one by default.

    Raises:
        IndexError: The layer does not have this head or time.
        ValueError: The layer has no rows and columns.
    """
    reader = as_reader(T)
    value = reader(layer)
    if value.ndim == 2 and head is None and time is None:
        return channels_last(value)
    value, layout = reader.layout(layer).at_head(value, head)
    value, layout = layout.at_time(value, time)
    return channels_last(value if value.ndim == 2 else layout.in_places(value))


def position_in(tensor: torch.Tensor, x: int | None, y: int | None) -> torch.Tensor:
    """Returns one position of an NHWC tensor, [N, 1, 1, C].

    Args:
        tensor: NHWC.
        x: Row, `height // 2` by default.
        y: Column, `width // 2` by default.
    """
    row = tensor.shape[1] // 2 if x is None else int(x)
    column = tensor.shape[2] // 2 if y is None else int(y)
    if not (0 <= row < tensor.shape[1] and 0 <= column < tensor.shape[2]):
        raise IndexError(
            f"Position x={row}, y={column} is outside the layer's {tensor.shape[1]} rows (x) and "
            f"{tensor.shape[2]} columns (y)."
        )
    return tensor[:, row : row + 1, column : column + 1]


def dot_product(x: torch.Tensor, y: torch.Tensor, cossim_pow: float) -> torch.Tensor:
    """Dot product over the last axis, times a power of the cosine, which is at least 0.1."""
    dot = (x * y).sum(-1)
    if cossim_pow == 0:
        return dot
    # vector_norm, because sqrt(sum(x * x)) has the gradient 0/0 at zero.
    length_x, length_y = (torch.linalg.vector_norm(v, dim=-1) for v in (x, y))
    cosine = dot / (1e-4 + length_x) / (1e-4 + length_y)
    # masked_fill, because clamp's gradient at the limit depends on the version of torch; TensorFlow's is 0.
    return dot * cosine.masked_fill(cosine <= 0.1, 0.1) ** cossim_pow


def as_vector(vec: ArrayLike, like: torch.Tensor) -> torch.Tensor:
    """Converts an array to a tensor with the dtype and device of `like`."""
    if isinstance(vec, torch.Tensor):
        return vec.to(like.device, like.dtype)
    return as_tensor(np.asarray(vec)).to(like.device, like.dtype)


def check_direction(layer: Any, vec: Any, cossim_pow: Any, objective: str) -> None:
    """Checks the arguments of an objective of a direction, as far as that is possible without the layer."""
    check_layer(layer, objective)
    checks.finite_values(vec, f"{objective}'s vec")
    if np.ndim(vec) == 0:
        raise TypeError(f"{objective}'s vec has one number for each channel; it is the number {checks.shown(vec)}.")
    checks.number(cossim_pow, f"{objective}'s cossim_pow")


def direction_in(vec: ArrayLike, activation: torch.Tensor, layer: str) -> torch.Tensor:
    """Converts `vec` to a tensor that can be multiplied with an NHWC activation.

    Raises:
        ValueError: The shapes do not fit.
    """
    vector = as_vector(vec, activation)
    if vector.shape[-1] != activation.shape[-1]:
        raise ValueError(
            f"The direction has {vector.shape[-1]} numbers, but layer {layer!r} has {activation.shape[-1]} channels."
        )
    if any(a != b and 1 not in (a, b) for a, b in zip(vector.shape[::-1], activation.shape[::-1], strict=False)):
        raise ValueError(
            f"The direction of shape {list(vector.shape)} does not fit the activation of layer {layer!r}, which has "
            f"the shape {list(activation.shape)} (images, rows, columns, channels)."
        )
    return vector


def check_fits_image(what: str, shape: Sequence[int], image: torch.Tensor) -> None:
    """Raises ValueError if `shape` cannot be broadcast to that of an NHWC image."""
    if not checks.broadcasts(shape, image.shape):
        raise ValueError(
            f"{what} has the shape {list(shape)}, which does not fit the image's {list(image.shape)} "
            "(images, rows, columns, channels)."
        )
