"""Functions of one value at a time, or of two, whose gradients are TensorFlow's where torch's own differ."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from converters.errors import InputSizeError

# The constants of self-normalising networks (Klambauer et al. 2017).
_SELU_SCALE = 1.0507009873554805
_SELU_ALPHA = 1.6732632423543772


def selu(x: Tensor) -> Tensor:
    """TensorFlow's Selu: zero counts as positive, where torch's counts it as negative (which the gradient shows)."""
    # The clamp keeps the branch that is not taken finite, as an infinite one would make the gradient NaN.
    return _SELU_SCALE * torch.where(x < 0, _SELU_ALPHA * torch.expm1(x.clamp(max=0)), x)


def maximum(x: Tensor, y: Tensor) -> Tensor:
    """TensorFlow's Maximum: where both are equal, the gradient is the first argument's."""
    return torch.where(x >= y, x, y)


def minimum(x: Tensor, y: Tensor) -> Tensor:
    """TensorFlow's Minimum: where both are equal, the gradient is the first argument's."""
    return torch.where(x <= y, x, y)


def check_broadcast(x: Tensor, y: Tensor) -> None:
    """Raises InputSizeError where two values cannot be combined number by number."""
    sides = zip(reversed(x.shape), reversed(y.shape), strict=False)  # the shorter one has ones in front
    if any(a != b and 1 not in (a, b) for a, b in sides):
        raise InputSizeError(f"it combines values of sizes {list(x.shape)} and {list(y.shape)}")


def squared_difference(x: Tensor, y: Tensor) -> Tensor:
    """SquaredDifference."""
    return (x - y).square()


def floor_divide(x: Tensor, y: Tensor) -> Tensor:
    """FloorDiv; its gradient is zero, where torch's own has none."""
    return torch.div(x, y, rounding_mode="floor")


def div_no_nan(x: Tensor, y: Tensor) -> Tensor:
    """DivNoNan: zero where the divisor is, also in the gradient."""
    divides = y != 0
    return torch.where(divides, x / torch.where(divides, y, torch.ones_like(y)), torch.zeros_like(x))


def add_all(values: Sequence[Tensor]) -> Tensor:
    """AddN: the sum of any number of values, in their order."""
    total = values[0]
    for value in values[1:]:
        check_broadcast(total, value)
        total = total + value
    return total
