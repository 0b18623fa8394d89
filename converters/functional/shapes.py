"""TensorFlow's ops that join, split, move and multiply values; each refuses sizes that TensorFlow refuses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from converters.errors import InputSizeError


def concat(towers: Sequence[Tensor], dim: int) -> Tensor:
    """Concatenates values along torch's axis `dim`.

    Raises:
        InputSizeError: the sizes along other axes differ.
    """
    shapes = [tuple(tower.shape) for tower in towers]
    axis = dim % len(shapes[0])
    others = [shape[:axis] + shape[axis + 1 :] for shape in shapes]
    if any(other != others[0] for other in others):
        raise InputSizeError(f"it joins values of sizes {[list(shape) for shape in shapes]}")
    return torch.cat(list(towers), dim)


def linear(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """MatMul of (N, in) with the transpose of `weight` (out, in), and an optional bias (out,): (N, out).

    Raises:
        InputSizeError: the rows of `x` and those of `weight` differ in length.
    """
    check_rows(x, weight.shape[1])
    return F.linear(x, weight, bias)


def check_rows(x: Tensor, length: int) -> None:
    """Checks the length of a value's last axis.

    Raises:
        InputSizeError: it is not `length`.
    """
    if x.shape[-1] != length:
        raise InputSizeError(f"it multiplies rows of {x.shape[-1]} values by a matrix of {length}")


def to_tensorflow_order(x: Tensor, layout: str = "NHWC") -> Tensor:
    """Permutes a rank-4 tensor of layout NHWC to (N, H, W, C); other values already have TensorFlow's axis order."""
    return x.permute(0, 2, 3, 1) if x.dim() == 4 and layout == "NHWC" else x


def from_tensorflow_order(x: Tensor, layout: str = "NHWC") -> Tensor:
    """The inverse of `to_tensorflow_order`."""
    return x.permute(0, 3, 1, 2) if x.dim() == 4 and layout == "NHWC" else x


def reshape(x: Tensor, shape: Sequence[int], source: str = "NHWC", target: str = "NHWC") -> Tensor:
    """TensorFlow's Reshape, which orders elements by TensorFlow's axes.

    As in TensorFlow, a leading -1 gives several rows for each image if an image has more values than one row.

    Args:
        x: a value of any shape.
        shape: the new shape in TensorFlow's axis order; one size may be -1.
        source: layout of `x`, if it has rank 4.
        target: layout of the result, if it has rank 4.

    Raises:
        InputSizeError: the number of elements does not fit the shape.
    """
    values, fixed = x.numel(), math.prod([size for size in shape if size >= 0])
    fits = values % fixed == 0 if -1 in shape and fixed else values == fixed
    if not fits:
        sizes = list(to_tensorflow_order(x, source).shape)
        raise InputSizeError(f"{values} values of shape {sizes} do not fill rows of shape {list(shape)}")
    return from_tensorflow_order(to_tensorflow_order(x, source).reshape(tuple(shape)), target)


def split(x: Tensor, sizes: Sequence[int], dim: int) -> tuple[Tensor, ...]:
    """TensorFlow's SplitV along torch's axis `dim`; one size may be -1 for the rest.

    Raises:
        InputSizeError: the sizes do not add up to the axis's length.
    """
    length, stated = x.shape[dim], sum(size for size in sizes if size >= 0)
    if stated > length or (stated != length and -1 not in sizes):
        raise InputSizeError(f"it splits an axis of length {length} into {list(sizes)}")
    return x.split([length - stated if size < 0 else size for size in sizes], dim)


def chunk(x: Tensor, count: int, dim: int) -> tuple[Tensor, ...]:
    """TensorFlow's Split into equal parts along torch's axis `dim`.

    Raises:
        InputSizeError: the axis's length is not a multiple of `count`.
    """
    if x.shape[dim] % count:
        raise InputSizeError(f"it splits an axis of length {x.shape[dim]} into {count} equal parts")
    return x.split(x.shape[dim] // count, dim)


def unbind(x: Tensor, count: int, dim: int) -> tuple[Tensor, ...]:
    """TensorFlow's Unpack along torch's axis `dim`.

    Raises:
        InputSizeError: the axis's length is not `count`.
    """
    if x.shape[dim] != count:
        raise InputSizeError(f"it unpacks {count} values from an axis of length {x.shape[dim]}")
    return x.unbind(dim)


def stack(values: Sequence[Tensor], dim: int) -> Tensor:
    """TensorFlow's Pack along a new axis `dim`.

    Raises:
        InputSizeError: the values' sizes differ.
    """
    shapes = [list(value.shape) for value in values]
    if any(shape != shapes[0] for shape in shapes):
        raise InputSizeError(f"it joins values of sizes {shapes}")
    return torch.stack(list(values), dim)


def squeeze(x: Tensor, dims: Sequence[int]) -> Tensor:
    """TensorFlow's Squeeze of torch's axes `dims`.

    Raises:
        InputSizeError: the length of one of these axes is not 1.
    """
    if any(x.shape[dim] != 1 for dim in dims):
        raise InputSizeError(f"it drops axes of lengths {[x.shape[dim] for dim in dims]}, which have to be 1")
    return x.squeeze(tuple(dims))


def squeeze_all(x: Tensor, rank: int) -> Tensor:
    """TensorFlow's Squeeze of all axes of length 1.

    TensorFlow also drops axes that have length 1 only for this image or batch. Later layers expect a fixed rank, so the
    batch axis is kept if necessary.

    Args:
        x: a value of any shape.
        rank: the number of axes to keep.

    Raises:
        InputSizeError: another number of axes than `rank` is left.
    """
    sizes = list(x.shape)
    left = [size for index, size in enumerate(sizes) if size != 1 or (index == 0 and sizes.count(1) > x.dim() - rank)]
    if len(left) != rank:
        raise InputSizeError(f"it drops all axes of length 1 of {sizes}, but {rank} axes must remain")
    return x.reshape(left)


def index_axes(x: Tensor, items: Sequence[tuple[Any, ...]]) -> Tensor:
    """Indexes a value like StridedSlice.

    Args:
        x: a value of any shape.
        items: for each axis ("slice", begin, end, step), where begin and end may be None, or ("at", position), which
            removes the axis; and ("new",) for each new axis of length 1.

    Raises:
        InputSizeError: a position is out of range.
    """
    dim = 0
    for item in items:
        if item[0] == "new":
            x = x.unsqueeze(dim)
        elif item[0] == "at":
            if not -x.shape[dim] <= item[1] < x.shape[dim]:
                raise InputSizeError(f"it takes position {item[1]} of an axis of length {x.shape[dim]}")
            x = x.select(dim, item[1])
            continue
        else:
            x = slice_axis(x, dim, slice(*item[1:]))
        dim += 1
    return x


def slice_axis(x: Tensor, dim: int, piece: slice) -> Tensor:
    """Slices one axis; the step may be negative."""
    if piece.step is not None and piece.step < 0:
        # Position p from one end is position -1 - p from the other end, so the axis's length is not needed.
        start, stop = (None if bound is None else -1 - bound for bound in (piece.start, piece.stop))
        x, piece = x.flip(dim), slice(start, stop, -piece.step)
    return x[(slice(None),) * dim + (piece,)]


def take(x: Tensor, positions: Sequence[int], dim: int) -> Tensor:
    """TensorFlow's Gather of constant positions along torch's axis `dim`.

    Raises:
        InputSizeError: a position is out of range.
    """
    if max(positions, default=-1) >= x.shape[dim]:
        raise InputSizeError(f"it takes position {max(positions)} of an axis of length {x.shape[dim]}")
    return x.index_select(dim, torch.tensor(positions, dtype=torch.long, device=x.device))


def tile(x: Tensor, times: Sequence[int]) -> Tensor:
    """TensorFlow's Tile: repeats each of torch's axes.

    Raises:
        InputSizeError: the value's rank is not the length of `times`.
    """
    if x.dim() != len(times):
        raise InputSizeError(f"it repeats {len(times)} axes of a value of rank {x.dim()}")
    return x.repeat(*times)


def transpose(x: Tensor, order: Sequence[int]) -> Tensor:
    """Permutes a value's axes.

    Raises:
        InputSizeError: the value's rank is not the length of `order`.
    """
    if x.dim() != len(order):
        raise InputSizeError(f"it permutes {len(order)} axes of a value of rank {x.dim()}")
    return x.permute(tuple(order))


def arrange(x: Tensor, dims: Sequence[int], lead: int = 0) -> Tensor:
    """Adds `lead` leading axes of length 1, and then permutes the axes to `dims`.

    Raises:
        InputSizeError: the rank of the result is not the length of `dims`.
    """
    return transpose(x.reshape((1,) * lead + tuple(x.shape)), dims)


def mirror_pad(x: Tensor, padding: Sequence[int], repeats_border: bool) -> Tensor:
    """TensorFlow's MirrorPad.

    Args:
        x: a value of any shape.
        padding: in the order of `torch.nn.functional.pad`, last axis first.
        repeats_border: whether the mirror image includes the border (SYMMETRIC) or not (REFLECT).

    Raises:
        InputSizeError: the padding is larger than the axis.
    """
    edge = 0 if repeats_border else 1
    for count in range(len(padding) // 2):
        before, after = padding[2 * count : 2 * count + 2]
        dim, length = x.dim() - 1 - count, x.shape[x.dim() - 1 - count]
        if max(before, after) > length - edge:
            raise InputSizeError(f"it mirrors {max(before, after)} values of an axis of length {length}")
        if before or after:
            ahead = torch.arange(before, device=x.device).flip(0) + edge
            behind = length - 1 - edge - torch.arange(after, device=x.device)
            x = x.index_select(dim, torch.cat([ahead, torch.arange(length, device=x.device), behind]))
    return x


def reduce_prod(x: Tensor, dims: Sequence[int], keepdim: bool) -> Tensor:
    """The product over torch's axes `dims`."""
    for dim in sorted(dims, reverse=True):
        x = x.prod(dim, keepdim)
    return x


def matmul(x: Tensor, y: Tensor) -> Tensor:
    """Matrix products over the last two axes.

    Raises:
        InputSizeError: the rows of `x` and the columns of `y` differ in length.
    """
    if x.shape[-1] != y.shape[-2]:
        raise InputSizeError(f"it multiplies rows of {x.shape[-1]} values by a matrix of {y.shape[-2]}")
    return torch.matmul(x, y)
