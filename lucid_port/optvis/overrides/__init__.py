"""Gradient overrides for the ReLUs and max pools of any model."""

from __future__ import annotations

from lucid_port.optvis.overrides.gradient_override import (
    Op,
    gradient_override_map,
    use_gradient,
)
from lucid_port.optvis.overrides.identity_grad import identity_grad
from lucid_port.optvis.overrides.redirected_relu_grad import (
    redirected_relu6_grad,
    redirected_relu_grad,
    redirection,
)
from lucid_port.optvis.overrides.rules import (
    default_overrides,
    default_overrides_map,
    linearization_overrides,
    pooling_overrides,
    pooling_overrides_map,
    relu_overrides,
    relu_overrides_map,
)
from lucid_port.optvis.overrides.smoothed_maxpool_grad import (
    avg_smoothed_maxpool_grad,
    l2_smoothed_maxpool_grad,
    make_smoothed_maxpool_grad,
)

__all__ = [
    "Op",
    "avg_smoothed_maxpool_grad",
    "default_overrides",
    "default_overrides_map",
    "gradient_override_map",
    "identity_grad",
    "l2_smoothed_maxpool_grad",
    "linearization_overrides",
    "make_smoothed_maxpool_grad",
    "pooling_overrides",
    "pooling_overrides_map",
    "redirected_relu6_grad",
    "redirected_relu_grad",
    "redirection",
    "relu_overrides",
    "relu_overrides_map",
    "use_gradient",
]
