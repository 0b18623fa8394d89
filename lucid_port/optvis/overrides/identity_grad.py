"""The gradient rule that passes gradients through."""

from __future__ import annotations

import torch

from lucid_port.optvis.overrides.gradient_override import Op

__all__ = ["identity_grad"]


def identity_grad(op: Op, grad: torch.Tensor) -> torch.Tensor:
    """Returns the gradient of the output unchanged.

    Example:
        >>> from lucid_port.optvis.overrides import gradient_override_map
        >>> x = torch.tensor([-1.0, 2.0], requires_grad=True)
        >>> with gradient_override_map({"Relu": identity_grad}):
        ...     y = torch.relu(x)
        >>> torch.autograd.grad(y.sum(), x)[0]
        tensor([1., 1.])
    """
    return grad
