"""Redirected ReLU gradients: a way out for images that start where nothing is active.

Where a ReLU passes no gradient at all to an image, the gradient that would push its inputs up is
passed nevertheless, for the first updates. Gradients are those of *minus* the objective, which
is what an optimiser descends.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from lucid_port.optvis.overrides.gradient_override import (
    Op,
    Substitute,
    gradient_override_map,
)

__all__ = [
    "PASSING_AT_LIMITS",
    "REDIRECTED_UPDATES",
    "plain_relu6_grad",
    "plain_relu_grad",
    "redirected_relu6_grad",
    "redirected_relu_grad",
    "redirection",
]

REDIRECTED_UPDATES = 17
"""Updates with redirected gradients: TensorFlow's global steps 0 to 16."""


def plain_relu_grad(op: Op, grad: torch.Tensor) -> torch.Tensor:
    """The gradient where the input is not negative: it passes at 0, unlike torch's own."""
    return grad.masked_fill(op.inputs[0] < 0, 0)


def plain_relu6_grad(op: Op, grad: torch.Tensor) -> torch.Tensor:
    """The gradient where the input is in [0, 6], both ends included."""
    x = op.inputs[0]
    return grad.masked_fill((x < 0) | (x > 6), 0)


def _choose(passed: torch.Tensor, redirected: torch.Tensor) -> torch.Tensor:
    """For each image, what passed if anything did, and what is redirected if not."""
    if passed.ndim < 2:
        raise ValueError("A redirected ReLU needs a batch axis and one more, not a vector.")
    alive = passed.flatten(1).square().sum(1) > 0
    return torch.where(alive.reshape(-1, *[1] * (passed.ndim - 1)), passed, redirected)


def redirected_relu_grad(op: Op, grad: torch.Tensor) -> torch.Tensor:
    """Gradient of a ReLU that lets images without any gradient be pushed up.

    Args:
        op: the ReLU; `op.inputs[0]` [N, ...] is what went in.
        grad: gradient of minus the objective with respect to its output.
    """
    x = op.inputs[0]
    redirected = grad.masked_fill((x < 0) & (grad > 0), 0)
    return _choose(plain_relu_grad(op, grad), redirected)


def redirected_relu6_grad(op: Op, grad: torch.Tensor) -> torch.Tensor:
    """As `redirected_relu_grad`, and from above 6 an image may be pushed down."""
    x = op.inputs[0]
    outwards = ((x < 0) & (grad > 0)) | ((x > 6) & (grad < 0))
    return _choose(plain_relu6_grad(op, grad), grad.masked_fill(outwards, 0))


def relu_passing_at_zero(x: torch.Tensor) -> torch.Tensor:
    """A ReLU whose gradient passes where the input is 0, in one native call.

    The threshold is the largest negative number that is no subnormal: what lies between it and 0 stays as it is. (A
    clamp's gradient at its limits is not the same in all versions of torch, and filling in by a mask takes 30 times as
    long on a CPU.)
    """
    return F.threshold(x, -torch.finfo(x.dtype).smallest_normal, 0.0)


def _relu6_passing_at_limits(x: torch.Tensor) -> torch.Tensor:
    x = relu_passing_at_zero(x)
    return x.masked_fill(x > 6, 6)


PASSING_AT_LIMITS = {"Relu": relu_passing_at_zero, "Relu6": _relu6_passing_at_limits}
"""Lucid's rule after the first updates, as other formulas for the same functions: no custom gradients."""


def redirection(step: int = 0) -> gradient_override_map:
    """Lucid's rule for one update: redirected in the first 17, then only passing at the limits.

    Args:
        step: number of updates made so far.
    """
    if step < REDIRECTED_UPDATES:
        return gradient_override_map({"Relu": redirected_relu_grad, "Relu6": redirected_relu6_grad})
    return gradient_override_map({op: Substitute(function) for op, function in PASSING_AT_LIMITS.items()})
