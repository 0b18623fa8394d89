"""Ready-made sets of gradient overrides."""

from __future__ import annotations

import torch

from lucid_port.optvis.overrides.gradient_override import Op, gradient_override_map
from lucid_port.optvis.overrides.redirected_relu_grad import redirection
from lucid_port.optvis.overrides.smoothed_maxpool_grad import avg_smoothed_maxpool_grad

__all__ = [
    "default_overrides",
    "identity_grad",
    "linearization_overrides",
    "pooling_overrides",
    "relu_overrides",
]


def identity_grad(op: Op, grad: torch.Tensor) -> torch.Tensor:
    """The gradient, unchanged."""
    return grad


def relu_overrides(step: int = 0) -> gradient_override_map:
    """Redirected gradients for ReLU and ReLU6; see `redirection` for `step`."""
    return redirection(step)


def pooling_overrides() -> gradient_override_map:
    """Max pools with the gradient of average pools."""
    return gradient_override_map({"MaxPool": avg_smoothed_maxpool_grad})


def default_overrides(step: int = 0) -> gradient_override_map:
    """Redirected ReLUs and smoothed max pools."""
    return gradient_override_map({**relu_overrides(step).overrides, **pooling_overrides().overrides})


def linearization_overrides() -> gradient_override_map:
    """ReLUs that pass all gradients and smoothed max pools: a linear model's attribution."""
    return gradient_override_map({"Relu": identity_grad, "MaxPool": avg_smoothed_maxpool_grad})
