"""Replace the gradients of ReLUs and max pools.

TensorFlow overrides gradients by op type while it imports a graph. Here, a `TorchFunctionMode`
intercepts the calls while a model runs. It covers modules, functions and tensor methods, in place or
not, of any model in eager mode. It does not see the calls of scripted and compiled models.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from converters import checks
from converters.signatures import checked

__all__ = ["GradientFunction", "GradientSubstitute", "Op", "gradient_override_map", "use_gradient"]


@dataclass(frozen=True)
class Op:
    """A call whose gradient is replaced.

    Attributes:
        type: `"Relu"`, `"Relu6"` or `"MaxPool"`; `"Function"` with `use_gradient`.
        inputs: Input tensors.
        outputs: Output tensors.
        attributes: For a max pool, kernel_size, stride, padding, dilation and ceil_mode.

    Example:
        >>> def clipped(op, grad):
        ...     return grad.clamp(-1, 1) * (op.inputs[0] > 0)
        >>> x = torch.tensor([-1.0, 2.0], requires_grad=True)
        >>> with gradient_override_map({"Relu": clipped}):
        ...     y = torch.relu(x)
        >>> (5 * y).sum().backward()
        >>> x.grad
        tensor([0., 1.])
    """

    type: str
    inputs: tuple[torch.Tensor, ...]
    outputs: tuple[torch.Tensor, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


GradientFunction: TypeAlias = Callable[[Op, torch.Tensor], "torch.Tensor | Sequence[torch.Tensor | None]"]
"""Function of the call and the gradient of its output that returns the gradient of its input."""


@dataclass(frozen=True)
class GradientSubstitute:
    """A forward function that replaces the op and its gradient; an alternative to a `GradientFunction`.

    Attributes:
        function: Function of the input and, for a max pool, of the `Op.attributes` as keywords.
    """

    function: Callable[..., torch.Tensor]


Override: TypeAlias = GradientFunction | GradientSubstitute


class _WithGradient(torch.autograd.Function):
    """Calls a function of tensors, and replaces its gradient."""

    @staticmethod
    def forward(
        ctx: Any,
        function: Callable[..., torch.Tensor],
        gradient: GradientFunction,
        op_type: str,
        attributes: Mapping[str, Any],
        *inputs: torch.Tensor,
    ) -> torch.Tensor:
        result = function(*inputs)
        ctx.save_for_backward(*inputs, result)
        ctx.gradient, ctx.op_type, ctx.attributes = gradient, op_type, attributes
        return result

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[Any, ...]:
        *inputs, result = ctx.saved_tensors
        found = ctx.gradient(Op(ctx.op_type, tuple(inputs), (result,), ctx.attributes), grads[0])
        found = tuple(found) if isinstance(found, (list, tuple)) else (found,)
        return (None, None, None, None, *found)


class gradient_override_map(TorchFunctionMode):
    """Context manager that replaces the gradients of ops.

    Args:
        overrides: Map from op type (`"Relu"`, `"Relu6"`, `"MaxPool"`) to a function of (`Op`,
            gradient of the output) that returns the gradient of the input.

    Raises:
        ValueError: An op type is unknown.

    Example:
        >>> x = torch.tensor([-1.0, 2.0], requires_grad=True)
        >>> with gradient_override_map({"Relu": lambda op, grad: grad}):
        ...     y = torch.relu(x)
        >>> y.sum().backward()
        >>> x.grad
        tensor([1., 1.])
    """

    @checked
    def __init__(self, overrides: Mapping[str, Override]) -> None:
        super().__init__()
        for op_type in overrides:
            if op_type not in _KNOWN:
                raise ValueError(f"Unknown op type {checks.shown(op_type)}: use one of {', '.join(_KNOWN)}.")
        self.overrides = dict(overrides)

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        handler = _HANDLERS.get(func)
        result = NotImplemented if handler is None else handler(self.overrides, *args, **kwargs)
        return func(*args, **kwargs) if result is NotImplemented else result


def _apply(
    override: Override | None,
    op_type: str,
    forward: Callable[[torch.Tensor], torch.Tensor],
    value: torch.Tensor,
    inplace: bool = False,
    attributes: Mapping[str, Any] | None = None,
) -> Any:
    """Calls `forward` with the overridden gradient; returns NotImplemented if there is no override."""
    if override is None:
        return NotImplemented
    source = value.clone() if inplace else value  # the backward pass reads the input, which an in-place op overwrites
    if isinstance(override, GradientSubstitute):
        result = override.function(source, **(attributes or {}))
    else:
        result = _WithGradient.apply(forward, override, op_type, attributes or {}, source)
    return value.copy_(result) if inplace else result


# A handler takes the overrides, then the arguments of its torch function.

Overrides: TypeAlias = Mapping[str, Override]


def _on_relu(overrides: Overrides, input: torch.Tensor, inplace: bool = False) -> Any:
    return _apply(overrides.get("Relu"), "Relu", torch.relu, input, inplace)


def _on_relu6(overrides: Overrides, input: torch.Tensor, inplace: bool = False) -> Any:
    return _apply(overrides.get("Relu6"), "Relu6", lambda t: t.clamp(0, 6), input, inplace)


def _on_hardtanh(
    overrides: Overrides, input: torch.Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Any:
    return _on_relu6(overrides, input, inplace) if (min_val, max_val) == (0, 6) else NotImplemented


def _on_max_pool(
    overrides: Overrides,
    input: torch.Tensor,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    if return_indices:
        return NotImplemented
    attributes = {
        "kernel_size": kernel_size,
        "stride": kernel_size if stride is None or stride == [] else stride,
        "padding": padding,
        "dilation": dilation,
        "ceil_mode": ceil_mode,
    }
    return _apply(
        overrides.get("MaxPool"), "MaxPool", lambda t: F.max_pool2d(t, **attributes), input, attributes=attributes
    )


_KNOWN = ("Relu", "Relu6", "MaxPool")
_RELU_INPLACE = (torch.relu_, torch.Tensor.relu_, F.relu_)
_HANDLERS: dict[Callable[..., Any], Callable[..., Any]] = {
    **dict.fromkeys((F.relu, torch.relu, torch.Tensor.relu), _on_relu),
    **dict.fromkeys(_RELU_INPLACE, functools.partial(_on_relu, inplace=True)),
    **dict.fromkeys((F.relu6, torch._C._nn.relu6), _on_relu6),
    F.hardtanh: _on_hardtanh,
    F.hardtanh_: functools.partial(_on_hardtanh, inplace=True),
    **dict.fromkeys((F.max_pool2d, torch.max_pool2d), _on_max_pool),
}


@checked
def use_gradient(
    grad_f: GradientFunction,
) -> Callable[[Callable[..., torch.Tensor]], Callable[..., torch.Tensor]]:
    """Decorator that replaces the gradient of a function of tensors.

    Args:
        grad_f: Function of (`Op`, gradient of the output) that returns the gradient of the input, or
            a sequence with one gradient for each input.

    Example:
        >>> @use_gradient(lambda op, grad: grad)
        ... def rounded(x):
        ...     return x.round()
        >>> x = torch.tensor([0.3, 1.8], requires_grad=True)
        >>> rounded(x).sum().backward()
        >>> x.grad
        tensor([1., 1.])
    """

    def decorate(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        return lambda *inputs: _WithGradient.apply(function, grad_f, "Function", {}, *inputs)

    return decorate
