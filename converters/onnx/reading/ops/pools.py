"""Pools."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converters.functional import padding_amounts
from converters.onnx.reading.ops.linear import padding_of
from converters.onnx.reading.ops.registry import Built, Node, register
from converters.onnx.reading.padding import AutoPad, PaddedAvgPool2d, PaddedMaxPool2d

_MAX_POOLS: tuple[type[nn.Module], ...] = (nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d)
_AVERAGE_POOLS: tuple[type[nn.Module], ...] = (nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d)


def _is_torchs(node: Node, kernel: Sequence[int], auto_pad: str, pads: Sequence[int] | None, is_plain: bool) -> bool:
    """Returns whether torch's pool supports a padding: symmetric, up to half of the window, no automatic padding."""
    sides = list(pads or ()) if auto_pad == "NOTSET" else []
    axes = len(kernel)
    fits = all(2 * pad <= size for pad, size in zip(sides, kernel, strict=False))
    return is_plain and auto_pad in ("NOTSET", "VALID") and sides[:axes] == sides[axes:] and fits and axes <= 3


@register("MaxPool", builds=True)
def max_pool(
    node: Node, *, auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: Sequence[int] | None = None,
    kernel_shape: Sequence[int], pads: Sequence[int] | None = None, storage_order: int = 0,
    strides: Sequence[int] | None = None,
) -> Built | None:  # fmt: skip
    """The storage order concerns the second output only, which is refused."""
    axes, steps = len(kernel_shape), list(strides or [1] * len(kernel_shape))
    gaps = list(dilations) if dilations else 1
    if _is_torchs(node, kernel_shape, auto_pad, pads, not ceil_mode):
        padding = list(pads[:axes]) if pads and auto_pad == "NOTSET" else [0] * axes
        return Built(_MAX_POOLS[axes - 1](list(kernel_shape), steps, padding, gaps, ceil_mode=False))
    if axes != 2 or ceil_mode or set(dilations or ()) - {1}:
        return None
    padding_ = padding_of(node, axes, auto_pad, pads)
    padding_ = padding_ if isinstance(padding_, AutoPad) else AutoPad("NOTSET", _sides(pads))
    return Built(PaddedMaxPool2d(nn.MaxPool2d(tuple(kernel_shape), tuple(steps)), padding_))


def _sides(pads: Sequence[int] | None) -> tuple[int, ...]:
    top, left, bottom, right = pads or (0, 0, 0, 0)
    return (top, bottom, left, right)


@register("AveragePool", builds=True)
def average_pool(
    node: Node, *, auto_pad: str = "NOTSET", ceil_mode: int = 0, count_include_pad: int = 0,
    dilations: Sequence[int] | None = None, kernel_shape: Sequence[int], pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Built | None:  # fmt: skip
    axes, steps = len(kernel_shape), list(strides or [1] * len(kernel_shape))
    is_plain = not ceil_mode and not set(dilations or ()) - {1}
    counts = count_include_pad == 1
    if _is_torchs(node, kernel_shape, auto_pad, pads, is_plain):
        padding = list(pads[:axes]) if pads and auto_pad == "NOTSET" else [0] * axes
        return Built(_AVERAGE_POOLS[axes - 1](list(kernel_shape), steps, padding, count_include_pad=counts))
    if axes != 2 or not is_plain:
        return None
    padding_ = padding_of(node, axes, auto_pad, pads)
    padding_ = padding_ if isinstance(padding_, AutoPad) else AutoPad("NOTSET", _sides(pads))
    pool = nn.AvgPool2d((kernel_shape[0], kernel_shape[1]), (steps[0], steps[1]), 0, count_include_pad=counts)
    return Built(PaddedAvgPool2d(pool, padding_))


def _windows(
    x: Tensor, kernel: Sequence[int], auto_pad: str, pads: Sequence[int] | None, strides: Sequence[int] | None,
    dilations: Sequence[int] | None, is_ceil: bool, value: float,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """Returns the windows of a pool: (N, C, ..., cells), and for each cell whether it is 1, padded or 2, beyond it."""
    axes = len(kernel)
    steps, gaps = list(strides or [1] * axes), list(dilations or [1] * axes)
    sides = list(pads or [0] * 2 * axes) if auto_pad == "NOTSET" else [0] * 2 * axes
    flat: list[int] = []
    kinds = torch.zeros((), dtype=torch.int64)
    for axis in range(axes):
        length, extent = x.shape[2 + axis], (kernel[axis] - 1) * gaps[axis] + 1
        before, after = sides[axis], sides[axes + axis]
        if auto_pad.startswith("SAME"):
            before, after = padding_amounts(length, kernel[axis], steps[axis], gaps[axis])
            before, after = (before, after) if auto_pad == "SAME_UPPER" else (after, before)
        room = length + before + after - extent
        count = room // steps[axis] + 1
        if is_ceil and room % steps[axis] and count * steps[axis] < length + before:
            count += 1  # a window that starts inside the input or the padding before it
        beyond = max(0, (count - 1) * steps[axis] + extent - (length + before + after))
        flat = [before, after + beyond, *flat]
        along = torch.tensor([1] * before + [0] * length + [1] * after + [2] * beyond)
        kinds = torch.maximum(kinds.unsqueeze(-1), along) if axis else along
    padded = F.pad(x, flat, value=value)
    kinds = kinds.to(x.device)
    for axis in range(axes):
        places = torch.arange(kernel[axis], device=x.device) * gaps[axis]
        extent = (kernel[axis] - 1) * gaps[axis] + 1
        padded = padded.unfold(2 + axis, extent, steps[axis]).index_select(-1, places)
        kinds = kinds.unfold(axis, extent, steps[axis]).index_select(-1, places)
    return padded.flatten(2 + axes), kinds.flatten(axes)


@register("MaxPool")
def max_pool_of_windows(
    x: Tensor, *, auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: Sequence[int] | None = None,
    kernel_shape: Sequence[int], pads: Sequence[int] | None = None, storage_order: int = 0,
    strides: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    values, _ = _windows(x, kernel_shape, auto_pad, pads, strides, dilations, bool(ceil_mode), float("-inf"))
    return values.amax(-1)


@register("AveragePool")
def average_pool_of_windows(
    x: Tensor, *, auto_pad: str = "NOTSET", ceil_mode: int = 0, count_include_pad: int = 0,
    dilations: Sequence[int] | None = None, kernel_shape: Sequence[int], pads: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    values, kinds = _windows(x, kernel_shape, auto_pad, pads, strides, dilations, bool(ceil_mode), 0.0)
    return values.sum(-1) / (kinds <= count_include_pad).sum(-1)


@register("LpPool", since=2)
def lp_pool(
    x: Tensor, *, auto_pad: str = "NOTSET", ceil_mode: int = 0, dilations: Sequence[int] | None = None,
    kernel_shape: Sequence[int], p: int = 2, pads: Sequence[int] | None = None, strides: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    values, _ = _windows(x.abs() ** p, kernel_shape, auto_pad, pads, strides, dilations, bool(ceil_mode), 0.0)
    return values.sum(-1) ** (1 / p)


def _places(x: Tensor) -> list[int]:
    return list(range(2, x.ndim))


@register("GlobalAveragePool")
def global_average_pool(x: Tensor) -> Tensor:
    return x.mean(_places(x), keepdim=True)


@register("GlobalMaxPool")
def global_max_pool(x: Tensor) -> Tensor:
    return x.amax(_places(x), keepdim=True)


@register("GlobalLpPool", since=2)
def global_lp_pool(x: Tensor, *, p: int = 2) -> Tensor:
    return (x.abs() ** p).sum(_places(x), keepdim=True) ** (1 / p)
