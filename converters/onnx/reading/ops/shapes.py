"""Shapes: reshapes, transposes, joins, splits, padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converters.errors import InputSizeError
from converters.onnx.reading.ops.registry import Built, Node, register


def numbers(value: Any) -> list[int]:
    """Returns numbers on the host as a list."""
    return [int(number) for number in np.asarray(value).ravel()]


@register("Reshape", host="shape")
def reshape(x: Tensor, shape: Any, *, allowzero: int = 0) -> Tensor:
    sizes = numbers(shape)
    if not allowzero:
        sizes = [x.shape[axis] if size == 0 else size for axis, size in enumerate(sizes)]
    return x.reshape(sizes)


@register("Flatten", builds=True)
def flatten_module(node: Node, *, axis: int = 1) -> Built | None:
    return Built(nn.Flatten()) if axis == 1 and node.rank() != 1 else None  # which takes no vector


@register("Flatten")
def flatten(x: Tensor, *, axis: int = 1) -> Tensor:
    rows = int(np.prod(x.shape[: axis if axis >= 0 else axis + x.ndim]))
    return x.reshape(rows, -1 if rows else int(np.prod(x.shape[axis:])))


@register("Squeeze", since=13, host="axes")
def squeeze(x: Tensor, axes: Any = None) -> Tensor:
    if axes is None:
        return x.squeeze()
    dims = tuple(axis % x.ndim for axis in numbers(axes))
    longer = [x.shape[dim] for dim in dims if x.shape[dim] != 1]
    if longer:
        raise InputSizeError(f"it drops an axis of length {longer[0]}; only axes of length 1 are dropped")
    return x.squeeze(dims)


@register("Squeeze")
def squeeze_1(x: Tensor, *, axes: Sequence[int] | None = None) -> Tensor:
    return squeeze(x, axes)


@register("Unsqueeze", since=13, host="axes", is_stored=False)
def unsqueeze(x: Tensor, axes: Any) -> Tensor:
    rank = x.ndim + len(numbers(axes))
    for axis in sorted(axis % rank for axis in numbers(axes)):
        x = x.unsqueeze(axis)
    return x


@register("Unsqueeze")
def unsqueeze_1(x: Tensor, *, axes: Sequence[int]) -> Tensor:
    return unsqueeze(x, axes)


@register("Transpose")
def transpose(x: Tensor, *, perm: Sequence[int] | None = None) -> Tensor:
    return x.permute(tuple(perm) if perm is not None else tuple(reversed(range(x.ndim))))


@register("Concat")
def concat(*values: Tensor, axis: int = 1) -> Tensor:
    return torch.cat(values, axis)


@register("Split", several=True)
def split_1(x: Tensor, *, axis: int = 0, split: Sequence[int] | None = None, parts: int = 0) -> tuple[Tensor, ...]:
    return _split(x, split, axis, parts)


@register("Split", since=13, host="split", several=True)
def split(
    x: Tensor, split: Any = None, *, axis: int = 0, num_outputs: int | None = None, parts: int = 0
) -> tuple[Tensor, ...]:
    """`parts` is the node's number of outputs; parts of the same length, of which the last may be shorter."""
    return _split(x, split, axis, num_outputs or parts)


def _split(x: Tensor, sizes: Any, axis: int, parts: int) -> tuple[Tensor, ...]:
    if sizes is not None:
        return x.split(numbers(sizes), axis)
    length = -(-x.shape[axis] // parts)
    left = [max(0, min(length, x.shape[axis] - index * length)) for index in range(parts)]
    return x.split(left, axis)


@register("Expand", host="shape")
def expand(x: Tensor, shape: Any) -> Tensor:
    return x.expand(torch.broadcast_shapes(x.shape, tuple(numbers(shape))))


@register("Tile", host="repeats")
def tile(x: Tensor, repeats: Any) -> Tensor:
    return x.repeat(numbers(repeats))


@register("Shape")
def shape(x: Tensor, *, start: int = 0, end: int | None = None) -> np.ndarray:
    return np.array(x.shape[start:end], np.int64)


@register("Size")
def size(x: Tensor) -> np.ndarray:
    return np.array(x.numel(), np.int64)


@register("DepthToSpace")
def depth_to_space(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    if mode == "CRD":
        return F.pixel_shuffle(x, blocksize)
    n, channels, height, width = x.shape
    parts = x.reshape(n, blocksize, blocksize, channels // blocksize**2, height, width)
    return parts.permute(0, 3, 4, 1, 5, 2).reshape(n, channels // blocksize**2, height * blocksize, width * blocksize)


@register("SpaceToDepth")
def space_to_depth(x: Tensor, *, blocksize: int, mode: str = "DCR") -> Tensor:
    if mode == "CRD":
        return F.pixel_unshuffle(x, blocksize)
    n, channels, height, width = x.shape
    parts = x.reshape(n, channels, height // blocksize, blocksize, width // blocksize, blocksize)
    rows, columns = height // blocksize, width // blocksize
    return parts.permute(0, 3, 5, 1, 2, 4).reshape(n, channels * blocksize**2, rows, columns)


@register("Pad")
def pad_2(x: Tensor, *, pads: Sequence[int], mode: str = "constant", value: float = 0.0) -> Tensor:
    return _pad(x, pads, range(x.ndim), mode, value)


@register("Pad", since=11, host="pads value axes")
def pad(x: Tensor, pads: Any, value: Any = None, axes: Any = None, *, mode: str = "constant") -> Tensor:
    filled = 0.0 if value is None or np.size(value) == 0 else np.asarray(value).item()
    dims = range(x.ndim) if axes is None else [axis % x.ndim for axis in numbers(axes)]
    return _pad(x, numbers(pads), dims, mode, filled)


def _pad(x: Tensor, pads: Sequence[int], dims: Sequence[int], mode: str, value: float) -> Tensor:
    """Pads, or crops where an amount is negative.

    Args:
        x: the tensor.
        pads: the amounts before all axes, then those after them.
        dims: the axes.
        mode: "constant", "reflect", "edge" or "wrap".
        value: of the padding in mode "constant".
    """
    amounts = {dim: (pads[index], pads[len(dims) + index]) for index, dim in enumerate(dims)}
    if mode == "constant":
        flat = [amount for dim in reversed(range(x.ndim)) for amount in amounts.get(dim, (0, 0))]
        return F.pad(x, flat, value=value)
    for dim, (before, after) in amounts.items():
        if before or after:
            x = x.index_select(dim, _positions(x.shape[dim], before, after, mode).to(x.device))
    return x


def _positions(length: int, before: int, after: int, mode: str) -> Tensor:
    """Returns the position in the input for each position of a padded axis."""
    places = torch.arange(-before, length + after)
    if mode == "edge":
        return places.clamp(0, length - 1)
    if mode == "wrap":
        return places % length
    if max(before, after) >= length:
        raise InputSizeError(f"it mirrors {max(before, after)} rows or columns of {length}")
    period = max(2 * (length - 1), 1)
    places = places % period
    return torch.minimum(places, period - places)


@register("Trilu", since=14, host="k")
def triangle(x: Tensor, k: Any = None, *, upper: int = 1) -> Tensor:
    diagonal = 0 if k is None else int(np.asarray(k).item())
    return x.triu(diagonal) if upper else x.tril(diagonal)


@register("EyeLike", since=9)
def eye_like(x: Tensor, *, dtype: int | None = None, k: int = 0) -> Tensor:
    rows, columns = x.shape
    return (torch.arange(columns) == torch.arange(rows)[:, None] + k).to(x)


@register("CenterCropPad", since=18, host="shape")
def center_crop_pad(x: Tensor, shape: Any, *, axes: Sequence[int] | None = None) -> Tensor:
    wanted = numbers(shape)
    pads: dict[int, tuple[int, int]] = {}
    for dim, size in zip(range(x.ndim) if axes is None else axes, wanted, strict=True):
        more = size - x.shape[dim]
        first = more // 2 if more >= 0 else -(-more // 2)
        pads[dim % x.ndim] = (first, more - first)
    return F.pad(x, [amount for dim in reversed(range(x.ndim)) for amount in pads.get(dim, (0, 0))])
