"""Reductions, and the positions of extremes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from converters.onnx.reading.ops.registry import register

Reduction = Callable[[Tensor, list[int], bool], Tensor]


def _product(x: Tensor, dims: list[int], keep: bool) -> Tensor:
    for dim in sorted(dims, reverse=True):
        x = x.prod(dim, keepdim=keep)
    return x


_REDUCTIONS: Mapping[str, Reduction] = {
    "ReduceL1": lambda x, dims, keep: x.abs().sum(dims, keepdim=keep),
    "ReduceL2": lambda x, dims, keep: x.square().sum(dims, keepdim=keep).sqrt(),
    "ReduceLogSum": lambda x, dims, keep: x.sum(dims, keepdim=keep).log(),
    "ReduceLogSumExp": lambda x, dims, keep: torch.logsumexp(x, dims, keepdim=keep),
    "ReduceMax": lambda x, dims, keep: x.amax(dims, keepdim=keep),
    "ReduceMean": lambda x, dims, keep: x.mean(dims, keepdim=keep),
    "ReduceMin": lambda x, dims, keep: x.amin(dims, keepdim=keep),
    "ReduceProd": _product,
    "ReduceSum": lambda x, dims, keep: x.sum(dims, keepdim=keep),
    "ReduceSumSquare": lambda x, dims, keep: x.square().sum(dims, keepdim=keep),
}


def _reduce(op: str, x: Tensor, axes: Sequence[int] | None, keep: bool, is_noop: bool = False) -> Tensor:
    given = [] if axes is None else [int(axis) % max(x.ndim, 1) for axis in axes]
    if not given and is_noop:
        return _REDUCTIONS[op](x[None], [0], False)
    dims = given or list(range(x.ndim))
    return _REDUCTIONS[op](x, dims, keep) if dims else _REDUCTIONS[op](x[None], [0], False)


@register(*_REDUCTIONS)
def reduce_1(x: Tensor, *, op: str, axes: Sequence[int] | None = None, keepdims: int = 1) -> Tensor:
    return _reduce(op, x, axes, bool(keepdims))


def reduce(x: Tensor, axes: Any = None, *, op: str, keepdims: int = 1, noop_with_empty_axes: int = 0) -> Tensor:
    """Axes are an input from opset 18 on, for ReduceSum from opset 13 on."""
    return _reduce(op, x, axes, bool(keepdims), bool(noop_with_empty_axes))


register("ReduceSum", since=13, host="axes", is_stored=False)(reduce)
register(*(op for op in _REDUCTIONS if op != "ReduceSum"), since=18, host="axes", is_stored=False)(reduce)


@register("ArgMax", "ArgMin")
def extreme(x: Tensor, *, op: str, axis: int = 0, keepdims: int = 1, select_last_index: int = 0) -> Tensor:
    find = torch.argmax if op == "ArgMax" else torch.argmin
    if select_last_index:
        return x.shape[axis] - 1 - find(x.flip(axis), axis, keepdim=bool(keepdims))
    return find(x, axis, keepdim=bool(keepdims))


@register("TopK", since=10, host="k", several=True)
def top_k(x: Tensor, k: Any, *, axis: int = -1, largest: int = 1, sorted: int = 1) -> tuple[Tensor, Tensor]:
    """Sorted in any case; equal values in the order of their positions."""
    values, places = torch.sort(x, dim=axis, descending=bool(largest), stable=True)
    count = int(k[0])
    return values.narrow(axis, 0, count), places.narrow(axis, 0, count)


@register("TopK", several=True)
def top_k_1(x: Tensor, *, k: int, axis: int = -1) -> tuple[Tensor, Tensor]:
    return top_k(x, [k], axis=axis)
