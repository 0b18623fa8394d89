"""Redirected ReLU gradients: they let an image leave a region in which no unit is active.

If a ReLU blocks all gradients of an image, the gradients that increase its inputs are passed
nevertheless. Renders do this in the first updates. Gradients are those of *minus* the objective,
which optimizers minimize.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F

from converters.signatures import checked
from lucid_port.optvis.overrides.gradient_override import GradientSubstitute, Op, gradient_override_map

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
"""Number of updates with redirected gradients: TensorFlow's global steps 0 to 16."""


def plain_relu_grad(op: Op, grad: torch.Tensor) -> torch.Tensor:
    """Gradient of a ReLU that passes where the input is at least 0; torch's own is 0 at 0."""
    return grad.masked_fill(op.inputs[0] < 0, 0)


def plain_relu6_grad(op: Op, grad: torch.Tensor) -> torch.Tensor:
    """Gradient of a ReLU6 that passes where the input is in [0, 6]."""
    x = op.inputs[0]
    return grad.masked_fill((x < 0) | (x > 6), 0)


def _choose(passed: torch.Tensor, redirected: torch.Tensor) -> torch.Tensor:
    """Selects `redirected` for images whose `passed` is 0 everywhere, and `passed` for the others."""
    if passed.ndim < 2:
        raise ValueError("A redirected ReLU needs a batch axis and one more, not a vector.")
    alive = passed.flatten(1).square().sum(1) > 0
    return torch.where(alive.reshape(-1, *[1] * (passed.ndim - 1)), passed, redirected)


def redirected_relu_grad(op: Op, grad: torch.Tensor) -> torch.Tensor:
    """Gradient of a ReLU. If it is 0 for a whole image, gradients that increase the input pass instead.

    Args:
        op: The ReLU, with `op.inputs[0]` of shape [N, ...].
        grad: Gradient of minus the objective with respect to the output.

    Returns:
        Gradient of minus the objective with respect to the input.

    Raises:
        ValueError: The input has fewer than 2 axes.

    Example:
        >>> op = Op("Relu", (torch.tensor([[-1.0, -2.0], [-1.0, 2.0]]),), ())
        >>> redirected_relu_grad(op, torch.tensor([[-3.0, 3.0], [-3.0, 3.0]]))
        tensor([[-3.,  0.],
                [ 0.,  3.]])
    """
    x = op.inputs[0]
    redirected = grad.masked_fill((x < 0) & (grad > 0), 0)
    return _choose(plain_relu_grad(op, grad), redirected)


def redirected_relu6_grad(op: Op, grad: torch.Tensor) -> torch.Tensor:
    """`redirected_relu_grad` for a ReLU6: it also passes gradients that decrease inputs above 6.

    Args:
        op: The ReLU6, with `op.inputs[0]` of shape [N, ...].
        grad: Gradient of minus the objective with respect to the output.

    Returns:
        Gradient of minus the objective with respect to the input.

    Raises:
        ValueError: The input has fewer than 2 axes.

    Example:
        >>> op = Op("Relu6", (torch.tensor([[-1.0, 7.0, 8.0]]),), ())
        >>> redirected_relu6_grad(op, torch.tensor([[-3.0, 3.0, -3.0]]))
        tensor([[-3.,  3.,  0.]])
    """
    x = op.inputs[0]
    outwards = ((x < 0) & (grad > 0)) | ((x > 6) & (grad < 0))
    return _choose(plain_relu6_grad(op, grad), grad.masked_fill(outwards, 0))


def relu_passing_at_zero(x: torch.Tensor) -> torch.Tensor:
    """A ReLU whose gradient passes at 0, as one native op.

    The threshold is the negative normal number nearest to 0; subnormal inputs stay unchanged. (The gradient of
    `clamp` at its limits depends on the version of torch, and `masked_fill` takes 30 times as long on a CPU.)
    """
    return F.threshold(x, -torch.finfo(x.dtype).smallest_normal, 0.0)


def _relu6_passing_at_limits(x: torch.Tensor) -> torch.Tensor:
    x = relu_passing_at_zero(x)
    return x.masked_fill(x > 6, 6)


PASSING_AT_LIMITS = {"Relu": relu_passing_at_zero, "Relu6": _relu6_passing_at_limits}
"""Lucid's gradients after the first updates, as forward functions with native gradients."""


@checked
def redirection(step: int = 0) -> gradient_override_map:
    """Context manager for the ReLU gradients of one update of a render, as in Lucid.

    The first 17 updates redirect gradients. Later updates pass them where the input is at least 0
    (ReLU6: in [0, 6]).

    Args:
        step: Number of updates made so far.

    Example:
        >>> for step in (0, 17):
        ...     x = torch.tensor([[-1.0, -2.0]], requires_grad=True)
        ...     with redirection(step):
        ...         loss = -torch.relu(x).sum()
        ...     print(torch.autograd.grad(loss, x)[0].abs())
        tensor([[1., 1.]])
        tensor([[0., 0.]])
    """
    if step < REDIRECTED_UPDATES:
        return gradient_override_map({"Relu": redirected_relu_grad, "Relu6": redirected_relu6_grad})
    return gradient_override_map({op: GradientSubstitute(function) for op, function in PASSING_AT_LIMITS.items()})
