"""Quantization: integers of 8 and 16 bits are held as whole numbers in floating point.

The gradient of rounding is 1 inside of the range of the integers (a straight-through estimator), and 0 outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from converters.onnx.reading.ops.linear import convolve
from converters.onnx.reading.ops.registry import Built, Node, register

_UINT8 = (0, 255)
RANGES = {
    "uint8": _UINT8,
    "int8": (-128, 127),
    "uint16": (0, 65535),
    "int16": (-32768, 32767),
    "uint4": (0, 15),
    "int4": (-8, 7),
}
# ONNX's numbers of the types.
_TYPES = {2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 21: "uint4", 22: "int4"}


def _range(node: Node, index: int, output_dtype: int = 0) -> tuple[int, int]:
    """Returns the limits of the integers of a zero point, or of a stated type."""
    zero = node.constant(index)
    if zero is None and node.has(index):
        raise node.error("has a zero point that the graph computes, not a constant one")
    name = str(zero.dtype) if zero is not None else _TYPES.get(output_dtype, "uint8" if not output_dtype else "")
    if name not in RANGES:
        raise node.error(f"quantizes to {name or f'type {output_dtype}'}; integers of 4, 8 and 16 bits are supported")
    return RANGES[name]


def _along(values: Tensor, x: Tensor, axis: int, block_size: int) -> Tensor:
    """Returns scales or zero points, one for the tensor, for each index of an axis or for each block, for `x`."""
    if block_size:
        return values.repeat_interleave(block_size, axis).narrow(axis, 0, x.shape[axis])
    if values.ndim == 0 or values.numel() == 1:
        return values.reshape(())
    return values.reshape([-1 if dim == axis % x.ndim else 1 for dim in range(x.ndim)])


def _rounded(x: Tensor, low: Tensor | float, high: Tensor | float) -> Tensor:
    """Rounds to the even neighbor within limits, with a straight-through gradient."""
    limited = torch.clamp(x, low, high)  # type: ignore[arg-type]
    return torch.round(limited).detach() + (limited - limited.detach())


def _quantized(x: Tensor, scale: Tensor, zero: Tensor | float, limits: Sequence[int]) -> Tensor:
    low, high = (torch.as_tensor(limit, dtype=x.dtype, device=x.device) for limit in limits)
    return _rounded(x / scale, low - zero, high - zero) + zero


class QuantizeLinear(nn.Module):
    """Divides by the scale, rounds to even and saturates.

    Args:
        limits: the smallest and the greatest integer.
        axis: axis of the scales, if there is one for each index.
        block_size: number of values of a scale along the axis; 0 for one scale for the axis or the tensor.
    """

    def __init__(self, limits: Sequence[int], axis: int, block_size: int) -> None:
        super().__init__()
        self.limits, self.axis, self.block_size = tuple(limits), axis, block_size

    def forward(self, x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        places = 0.0 if zero is None else _along(zero, x, self.axis, self.block_size)
        return _quantized(x, _along(scale, x, self.axis, self.block_size), places, self.limits)

    def extra_repr(self) -> str:
        return f"limits={self.limits}, axis={self.axis}, block_size={self.block_size}"


@register("QuantizeLinear", since=10, builds=True)
def quantize(
    node: Node, *, axis: int = 1, block_size: int = 0, output_dtype: int = 0, precision: int = 0, saturate: int = 1
) -> Built:
    """`saturate` concerns types of floating point, which are refused; all types divide in float32."""
    inputs = (0, 1, 2) if node.has(2) else (0, 1)
    return Built(QuantizeLinear(_range(node, 2, output_dtype), axis, block_size), inputs)


@register("DequantizeLinear", since=10)
def dequantize(
    x: Tensor, scale: Tensor, zero: Tensor | None = None, *, axis: int = 1, block_size: int = 0, output_dtype: int = 0
) -> Tensor:
    """All types of floating point are float32."""
    values = x.to(scale.dtype)
    values = values if zero is None else values - _along(zero.to(scale.dtype), x, axis, block_size)
    return values * _along(scale, x, axis, block_size)


@register("DynamicQuantizeLinear", since=11, several=True)
def dynamic_quantize(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    high, low = x.amax().clamp(min=0), x.amin().clamp(max=0)
    scale = (high - low) / 255
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    zero = _rounded(-low / scale, 0.0, 255.0).detach()
    return _quantized(x, scale, zero, _UINT8), scale, zero


class QLinear(nn.Module):
    """A convolution or matrix product of integers, whose sums are exact, scaled and rounded to integers.

    Args:
        limits: the smallest and the greatest integer of the result.
        settings: of the convolution; None for a matrix product.
    """

    def __init__(self, limits: Sequence[int], settings: dict[str, Any] | None = None) -> None:
        super().__init__()
        self.limits, self.settings = tuple(limits), settings

    def forward(self, *inputs: Tensor) -> Tensor:
        x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero = inputs[:8]
        if self.settings is None:
            sums = integer_product(x, w, x_zero, w_zero)
            return _quantized(sums * (x_scale * w_scale / y_scale), torch.ones_like(y_scale), y_zero, self.limits)
        dim = (-1, *[1] * (w.ndim - 2))
        sums = _integer_convolution(x, w, x_zero, w_zero.reshape(-1, *[1] * (w.ndim - 1)), self.settings)
        sums = sums + inputs[8].reshape(dim) if len(inputs) > 8 else sums
        factor = (x_scale * w_scale / y_scale).reshape(dim)
        return _quantized((sums * factor).to(x), torch.ones_like(y_scale), y_zero, self.limits)

    def extra_repr(self) -> str:
        return f"limits={self.limits}, settings={self.settings}"


def integer_product(x: Tensor, w: Tensor, x_zero: Tensor, w_zero: Tensor) -> Tensor:
    """The matrix product of integers without their zero points; sums are exact."""
    rows = x_zero.unsqueeze(-1) if x_zero.ndim == 1 and x_zero.numel() > 1 else x_zero
    return ((x - rows).double() @ (w - w_zero).double()).to(x)


def _integer_convolution(x: Tensor, w: Tensor, x_zero: Tensor, w_zero: Tensor, settings: dict[str, Any]) -> Tensor:
    return convolve((x - x_zero).double(), (w - w_zero).double(), **settings)


def _convolution(node: Node, auto_pad: str, **settings: Any) -> dict[str, Any]:
    if auto_pad not in ("NOTSET", "VALID"):
        raise node.error(f"pads automatically ({auto_pad}), which is not supported for integers")
    return {**settings, "pads": settings["pads"] if auto_pad == "NOTSET" else None}


@register("QLinearConv", since=10, builds=True)
def qlinear_conv(
    node: Node, *, auto_pad: str = "NOTSET", dilations: Sequence[int] | None = None, group: int = 1,
    kernel_shape: Sequence[int] | None = None, pads: Sequence[int] | None = None, strides: Sequence[int] | None = None,
) -> Built:  # fmt: skip
    settings = _convolution(node, auto_pad, strides=strides, pads=pads, dilations=dilations, group=group)
    return Built(QLinear(_range(node, 7), settings), tuple(range(9 if node.has(8) else 8)))


@register("QLinearMatMul", since=10, builds=True)
def qlinear_matmul(node: Node) -> Built:
    return Built(QLinear(_range(node, 7)), tuple(range(8)))


@register("ConvInteger", since=10, builds=True)
def check_conv_integer(
    node: Node, *, auto_pad: str = "NOTSET", dilations: Sequence[int] | None = None, group: int = 1,
    kernel_shape: Sequence[int] | None = None, pads: Sequence[int] | None = None, strides: Sequence[int] | None = None,
) -> None:  # fmt: skip
    _convolution(node, auto_pad, pads=pads)


@register("ConvInteger", since=10)
def conv_integer(
    x: Tensor, w: Tensor, x_zero: Tensor | None = None, w_zero: Tensor | None = None, *, auto_pad: str = "NOTSET",
    dilations: Sequence[int] | None = None, group: int = 1, kernel_shape: Sequence[int] | None = None,
    pads: Sequence[int] | None = None, strides: Sequence[int] | None = None,
) -> Tensor:  # fmt: skip
    zero = x.new_zeros(())
    w_zero = zero if w_zero is None else w_zero.reshape(-1, *[1] * (w.ndim - 1))
    settings = {"strides": strides, "pads": pads, "dilations": dilations, "group": group}
    return _integer_convolution(x, w, zero if x_zero is None else x_zero, w_zero, settings).to(x)


@register("MatMulInteger", since=10)
def matmul_integer(x: Tensor, w: Tensor, x_zero: Tensor | None = None, w_zero: Tensor | None = None) -> Tensor:
    zero = x.new_zeros(())
    return integer_product(x, w, zero if x_zero is None else x_zero, zero if w_zero is None else w_zero)
