"""Indexing: slices and gathers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from converters.onnx.reading.ops.registry import register
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
    if not places.ndim:
        return x.select(axis, int(places)) if not places.is_cuda else x.index_select(axis, places[None]).squeeze(axis)
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
    return x[(*lead, *given)]


@register("OneHot", since=9, host="depth")
def one_hot(indices: Tensor, depth: Any, values: Tensor, *, axis: int = -1) -> Tensor:
    count = int(np.asarray(depth).item())
    places = _from_the_start(indices, count)
    hot = places.unsqueeze(-1) == torch.arange(count, device=places.device)
    return torch.where(hot, values[1], values[0]).movedim(-1, axis)
