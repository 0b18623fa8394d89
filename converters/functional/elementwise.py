"""Elementwise functions whose values or gradients differ between TensorFlow and torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from converters.errors import InputSizeError

# The constants of self-normalizing networks (Klambauer et al. 2017).
_SELU_SCALE = 1.0507009873554805
_SELU_ALPHA = 1.6732632423543772


def selu(x: Tensor) -> Tensor:
    """TensorFlow's Selu. At zero it has the gradient of the positive side; torch's has that of the negative side."""
    # The clamp keeps the unused branch finite: if it were infinite, the gradient would be NaN.
    return _SELU_SCALE * torch.where(x < 0, _SELU_ALPHA * torch.expm1(x.clamp(max=0)), x)


def maximum(x: Tensor, y: Tensor) -> Tensor:
    """TensorFlow's Maximum: if both values are equal, the first one gets the gradient."""
    return torch.where(x >= y, x, y)


def minimum(x: Tensor, y: Tensor) -> Tensor:
    """TensorFlow's Minimum: if both values are equal, the first one gets the gradient."""
    return torch.where(x <= y, x, y)


def check_broadcast(x: Tensor, y: Tensor) -> None:
    """Checks that two values broadcast to a common shape.

    Raises:
        InputSizeError: the values do not broadcast.
    """
    sides = zip(reversed(x.shape), reversed(y.shape), strict=False)  # the shorter shape gets leading ones
    if any(a != b and 1 not in (a, b) for a, b in sides):
        raise InputSizeError(f"it combines values of sizes {list(x.shape)} and {list(y.shape)}")


def channel_axis(x: Tensor) -> int:
    """The axis of the channels of a value: 1 for images, the last one for other values."""
    return 1 if x.dim() == 4 else -1


def add_bias(x: Tensor, bias: Tensor) -> Tensor:
    """BiasAdd of a value (N, C, H, W) or (..., C) and a bias (C,)."""
    return x + (bias[:, None, None] if x.dim() == 4 else bias)


def cast(x: Tensor, kind: str) -> Tensor:
    """Cast to a kind of dtype: float (float32, unless `x` is floating point already), int (int64) or bool."""
    if kind == "float":
        return x if x.is_floating_point() else x.to(torch.float32)
    return x.to(torch.int64 if kind == "int" else torch.bool)


def squared_difference(x: Tensor, y: Tensor) -> Tensor:
    """SquaredDifference."""
    return (x - y).square()


def floor_divide(x: Tensor, y: Tensor) -> Tensor:
    """FloorDiv, with a gradient of zero; torch's `floor_divide` has no gradient."""
    return torch.div(x, y, rounding_mode="floor")


def div_no_nan(x: Tensor, y: Tensor) -> Tensor:
    """DivNoNan: the result and the gradient are zero if the divisor is zero."""
    divides = y != 0
    return torch.where(divides, x / torch.where(divides, y, torch.ones_like(y)), torch.zeros_like(x))


def add_all(values: Sequence[Tensor]) -> Tensor:
    """AddN: adds any number of values in their order."""
    total = values[0]
    for value in values[1:]:
        check_broadcast(total, value)
        total = total + value
    return total
