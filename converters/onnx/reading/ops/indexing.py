"""Indexing: slices and gathers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from converters.onnx.reading.ops.registry import Node, register
from converters.onnx.reading.ops.shapes import numbers


@register("Slice", since=10, host="starts ends axes steps")
def slice_(x: Tensor, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Tensor:
    first, last = numbers(starts), numbers(ends)
    dims = range(len(first)) if axes is None else numbers(axes)
    jumps = [1] * len(first) if steps is None else numbers(steps)
    for start, end, dim, step in zip(first, last, dims, jumps, strict=True):
        x = _sliced(x, dim, start, end, step)
    return x


@register("Slice")
def slice_1(x: Tensor, *, starts: Sequence[int], ends: Sequence[int], axes: Sequence[int] | None = None) -> Tensor:
    return slice_(x, starts, ends, axes)


def _sliced(x: Tensor, dim: int, start: int, end: int, step: int) -> Tensor:
    length = x.shape[dim]
    if step < 0 and end < -length:  # beyond the first element, where Python's slices need None
        places = range(*slice(start, None, step).indices(length))
    else:
        places = range(*slice(start, end, step).indices(length))
    if step > 0:
        index: list[Any] = [slice(None)] * x.ndim
        index[dim] = slice(places.start, max(places.stop, places.start), step)
        return x[tuple(index)]
    return x.index_select(dim, torch.tensor(list(places), dtype=torch.int64, device=x.device))


@register("Gather")
def gather(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    axis = axis % x.ndim
    places = _from_the_start(indices, x.shape[axis])
    taken = x.index_select(axis, places.reshape(-1))
    return taken.reshape(*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])


def _from_the_start(indices: Tensor, length: int) -> Tensor:
    """Returns indices without negative ones, which count from the end."""
    places = indices.long()
    return torch.where(places < 0, places + length, places)


@register("GatherElements", since=11)
def gather_elements(x: Tensor, indices: Tensor, *, axis: int = 0) -> Tensor:
    return x.gather(axis, _from_the_start(indices, x.shape[axis]))


@register("GatherND", since=11)
def gather_nd(x: Tensor, indices: Tensor, *, batch_dims: int = 0) -> Tensor:
    count = indices.shape[-1]
    lead = [
        torch.arange(x.shape[dim], device=x.device).reshape(-1, *[1] * (indices.ndim - 2 - dim))
        for dim in range(batch_dims)
    ]
    given = [_from_the_start(indices[..., part], x.shape[batch_dims + part]) for part in range(count)]
    return x[tuple(lead + given)]


@register("OneHot", since=9, host="depth")
def one_hot(indices: Tensor, depth: Any, values: Tensor, *, axis: int = -1) -> Tensor:
    count = int(np.asarray(depth).item())
    places = _from_the_start(indices, count)
    hot = places.unsqueeze(-1) == torch.arange(count, device=places.device)
    return torch.where(hot, values[1], values[0]).movedim(-1, axis)


@register("ScatterND", since=11, builds=True)
def check_scatter_nd(node: Node, *, reduction: str = "none") -> None:
    if reduction not in ("none", "add"):
        raise node.error(f"scatters with reduction {reduction!r}; 'none' and 'add' are supported")


@register("ScatterND", since=11)
def scatter_nd(x: Tensor, indices: Tensor, updates: Tensor, *, reduction: str = "none") -> Tensor:
    places = tuple(_from_the_start(indices[..., part], x.shape[part]) for part in range(indices.shape[-1]))
    return x.index_put(places, updates.to(x.dtype), accumulate=reduction == "add")


@register("ScatterElements", since=11)
def scatter_elements(x: Tensor, indices: Tensor, updates: Tensor, *, axis: int = 0, reduction: str = "none") -> Tensor:
    places = _from_the_start(indices, x.shape[axis])
    if reduction == "none":
        return x.scatter(axis, places, updates)
    names = {"add": "sum", "mul": "prod", "max": "amax", "min": "amin"}
    return x.scatter_reduce(axis, places, updates, names[reduction])


@register("GridSample", since=16)
def grid_sample(
    x: Tensor, grid: Tensor, *, align_corners: int = 0, mode: str = "bilinear", padding_mode: str = "zeros"
) -> Tensor:
    method = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    return F.grid_sample(x, grid, method, padding_mode, bool(align_corners))
