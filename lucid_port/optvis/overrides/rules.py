"""Ready-made sets of gradient overrides."""

from __future__ import annotations

from collections.abc import Mapping

from converters.signatures import checked
from lucid_port.optvis.overrides.gradient_override import GradientFunction, gradient_override_map
from lucid_port.optvis.overrides.identity_grad import identity_grad
from lucid_port.optvis.overrides.redirected_relu_grad import redirected_relu6_grad, redirected_relu_grad, redirection
from lucid_port.optvis.overrides.smoothed_maxpool_grad import avg_smoothed_maxpool_grad

__all__ = [
    "default_overrides",
    "default_overrides_map",
    "linearization_overrides",
    "pooling_overrides",
    "pooling_overrides_map",
    "relu_overrides",
    "relu_overrides_map",
]

relu_overrides_map: Mapping[str, GradientFunction] = {"Relu": redirected_relu_grad, "Relu6": redirected_relu6_grad}
pooling_overrides_map: Mapping[str, GradientFunction] = {"MaxPool": avg_smoothed_maxpool_grad}
default_overrides_map: Mapping[str, GradientFunction] = {**pooling_overrides_map, **relu_overrides_map}


@checked
def relu_overrides(step: int = 0) -> gradient_override_map:
    """Redirects the gradients of ReLUs and ReLU6s; the same as `redirection`.

    Args:
        step: Number of updates made so far.

    Example:
        >>> sorted(relu_overrides().overrides)
        ['Relu', 'Relu6']
    """
    return redirection(step)


def pooling_overrides() -> gradient_override_map:
    """Replaces the gradients of max pools by those of average pools.

    Example:
        >>> import torch
        >>> x = torch.arange(4.0).reshape(1, 1, 2, 2).requires_grad_()
        >>> with pooling_overrides():
        ...     y = torch.max_pool2d(x, 2)
        >>> y.item(), torch.autograd.grad(y.sum(), x)[0].unique()
        (3.0, tensor([0.2500]))
    """
    return gradient_override_map(pooling_overrides_map)


@checked
def default_overrides(step: int = 0) -> gradient_override_map:
    """Combines `relu_overrides` and `pooling_overrides`.

    Args:
        step: Number of updates made so far.

    Example:
        >>> sorted(default_overrides().overrides)
        ['MaxPool', 'Relu', 'Relu6']
    """
    return gradient_override_map({**relu_overrides(step).overrides, **pooling_overrides().overrides})


def linearization_overrides() -> gradient_override_map:
    """Passes all gradients through ReLUs and averages those of max pools, as if the model were linear.

    Example:
        >>> import torch
        >>> x = torch.tensor([-1.0, 2.0], requires_grad=True)
        >>> with linearization_overrides():
        ...     y = torch.relu(x)
        >>> torch.autograd.grad(y.sum(), x)[0]
        tensor([1., 1.])
    """
    return gradient_override_map({"Relu": identity_grad, "MaxPool": avg_smoothed_maxpool_grad})
