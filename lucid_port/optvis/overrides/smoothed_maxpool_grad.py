"""Gradients of smoother pools for max pools.

The gradient of a max pool reaches one cell of each window, so gradients are not smooth in space. The
gradient of a surrogate, an average or L2 pool with the same windows, reaches all cells.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F

from converters import checks
from lucid_port.optvis.overrides.gradient_override import Op

__all__ = [
    "avg_smoothed_maxpool_grad",
    "l2_smoothed_maxpool_grad",
    "make_smoothed_maxpool_grad",
]


def _window_sum(value: torch.Tensor, attributes: Mapping[str, Any]) -> torch.Tensor:
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
    """Averages over the cells of each window that are not padding."""
    total = _window_sum(value, op.attributes)
    return total / _window_sum(valid, op.attributes).clamp(min=1)


def make_smoothed_maxpool_grad(
    smooth_type: str = "avg", epsilon: float = 1e-2
) -> Callable[[Op, torch.Tensor], torch.Tensor]:
    """Returns a gradient function for max pools: the gradient of a surrogate with the same windows.

    Averages exclude padding: the padding of the pool, and cells of `-inf` (asymmetric padding).

    Args:
        smooth_type: Surrogate: `"avg"`, or `"L2"`, which is `avg(x^2) / (epsilon + avg(|x|))`.
        epsilon: Constant of `"L2"`.

    Raises:
        ValueError: `smooth_type` is unknown, or (on call) the windows are dilated.

    Example:
        >>> x = torch.arange(4.0).reshape(1, 1, 2, 2)
        >>> attributes = {"kernel_size": 2, "stride": 2, "padding": 0, "dilation": 1, "ceil_mode": False}
        >>> gradient = make_smoothed_maxpool_grad("avg")
        >>> gradient(Op("MaxPool", (x,), (), attributes), torch.ones(1, 1, 1, 1))
        tensor([[[[0.2500, 0.2500],
                  [0.2500, 0.2500]]]])
    """
    if smooth_type not in _SURROGATES:
        raise ValueError(f"smooth_type is one of {', '.join(_SURROGATES)}, not {checks.shown(smooth_type)}.")
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


def _l2(value: torch.Tensor, valid: torch.Tensor, op: Op, epsilon: float) -> torch.Tensor:
    squares = _valid_average(value * value, valid, op)
    return squares / (epsilon + _valid_average(value.abs(), valid, op))


_SURROGATES: dict[str, Callable[[torch.Tensor, torch.Tensor, Op, float], torch.Tensor]] = {
    "avg": lambda value, valid, op, epsilon: _valid_average(value, valid, op),
    "L2": _l2,
}


def avg_smoothed_maxpool_grad(op: Op, grad: torch.Tensor) -> torch.Tensor:
    """Gradient of an average pool, for a max pool; see `make_smoothed_maxpool_grad`.

    Example:
        >>> from lucid_port.optvis.overrides import gradient_override_map
        >>> x = torch.arange(4.0).reshape(1, 1, 2, 2).requires_grad_()
        >>> with gradient_override_map({"MaxPool": avg_smoothed_maxpool_grad}):
        ...     y = torch.max_pool2d(x, 2)
        >>> torch.autograd.grad(y.sum(), x)[0].flatten()
        tensor([0.2500, 0.2500, 0.2500, 0.2500])
    """
    return make_smoothed_maxpool_grad("avg")(op, grad)


def l2_smoothed_maxpool_grad(op: Op, grad: torch.Tensor) -> torch.Tensor:
    """Gradient of `avg(x^2) / (0.01 + avg(|x|))`, for a max pool: larger inputs get larger gradients.

    Example:
        >>> from lucid_port.optvis.overrides import gradient_override_map
        >>> x = torch.arange(4.0).reshape(1, 1, 2, 2).requires_grad_()
        >>> with gradient_override_map({"MaxPool": l2_smoothed_maxpool_grad}):
        ...     y = torch.max_pool2d(x, 2)
        >>> torch.autograd.grad(y.sum(), x)[0].flatten().round(decimals=2)
        tensor([ 0.0000, -0.0500,  0.2800,  0.6100])
    """
    return make_smoothed_maxpool_grad("L2")(op, grad)
