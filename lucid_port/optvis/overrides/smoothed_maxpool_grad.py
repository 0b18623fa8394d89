"""Max pools with the gradient of a smoother pooling.

The gradient of a max pool reaches one cell of each window, which makes gradients rough in space;
that of a surrogate with the same windows reaches all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from lucid_port.optvis.overrides.gradient_override import GradientFunction, Op

__all__ = [
    "avg_smoothed_maxpool_grad",
    "l2_smoothed_maxpool_grad",
    "make_smoothed_maxpool_grad",
]


def _window_sum(value: torch.Tensor, attributes: Any) -> torch.Tensor:
    if attributes["dilation"] not in (1, (1, 1), [1, 1]):
        raise ValueError("A smoothed max-pool gradient is not defined for dilated windows.")
    return F.avg_pool2d(
        value,
        attributes["kernel_size"],
        attributes["stride"],
        attributes["padding"],
        ceil_mode=attributes["ceil_mode"],
        divisor_override=1,
    )


def _valid_average(value: torch.Tensor, valid: torch.Tensor, op: Op) -> torch.Tensor:
    """Average over the cells of each window that are no padding."""
    total = _window_sum(value, op.attributes)
    return total / _window_sum(valid, op.attributes).clamp(min=1)


def make_smoothed_maxpool_grad(smooth_type: str = "avg", epsilon: float = 1e-2) -> GradientFunction:
    """Gradient function for max pools, through a surrogate with the same windows.

    Padding never counts, neither the pool's own nor cells of `-inf` (how uneven padding is
    written).

    Args:
        smooth_type: `"avg"`, or `"L2"`: `avg(x^2) / (epsilon + avg(|x|))`.
        epsilon: see there.

    Raises:
        ValueError: another type.
    """
    if smooth_type not in _SURROGATES:
        raise ValueError(f"smooth_type is one of {', '.join(_SURROGATES)}, not {smooth_type!r}.")
    surrogate = _SURROGATES[smooth_type]

    def gradient(op: Op, grad: torch.Tensor) -> torch.Tensor:
        source = op.inputs[0].detach()
        is_valid = source != float("-inf")
        with torch.enable_grad():
            value = source.masked_fill(~is_valid, 0).requires_grad_()
            smooth = surrogate(value, is_valid.to(value.dtype), op, epsilon)
            (result,) = torch.autograd.grad(smooth, value, grad)
        return result.masked_fill(~is_valid, 0)

    return gradient


def _average(value: torch.Tensor, valid: torch.Tensor, op: Op, epsilon: float) -> torch.Tensor:
    return _valid_average(value, valid, op)


def _l2(value: torch.Tensor, valid: torch.Tensor, op: Op, epsilon: float) -> torch.Tensor:
    squares = _valid_average(value * value, valid, op)
    return squares / (epsilon + _valid_average(value.abs(), valid, op))


_SURROGATES: dict[str, Callable[..., torch.Tensor]] = {"avg": _average, "L2": _l2}

avg_smoothed_maxpool_grad = make_smoothed_maxpool_grad("avg")
"""Gradient of an average pool."""

l2_smoothed_maxpool_grad = make_smoothed_maxpool_grad("L2")
"""Gradient of `avg(x^2) / (0.01 + avg(|x|))`: large activations get more."""
