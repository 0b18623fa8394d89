"""Replace the gradients of ReLUs and max pools, whoever calls them.

TensorFlow overrides gradients by op type while a graph is imported. Here a
`TorchFunctionMode` catches the calls while a model runs, so that module, functional and tensor
forms, in place or not, of converted, torchvision or any other models are all seen. Scripted and
compiled models hide their calls and are not.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

__all__ = ["GradientFunction", "Op", "Substitute", "gradient_override_map", "use_gradient"]


@dataclass(frozen=True)
class Op:
    """What a gradient function gets to know about the call whose gradient it replaces.

    Attributes:
        type: `"Relu"`, `"Relu6"` or `"MaxPool"`; `"Function"` from `use_gradient`.
        inputs: the tensors that went in.
        outputs: the tensors that came out.
        attributes: of a max pool: kernel_size, stride, padding, dilation, ceil_mode.
    """

    type: str
    inputs: tuple[torch.Tensor, ...]
    outputs: tuple[torch.Tensor, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)


GradientFunction = Callable[[Op, torch.Tensor], Any]
"""From the call and the gradient of its output to that of its input."""


@dataclass(frozen=True)
class Substitute:
    """Instead of a gradient function: another forward, with its own native gradient.

    Attributes:
        function: takes what goes in, and of a max pool `Op.attributes` as further arguments.
    """

    function: Callable[..., torch.Tensor]


class _Override(torch.autograd.Function):
    """Forward as given, backward as given."""

    @staticmethod
    def forward(
        ctx: Any,
        value: torch.Tensor,
        forward: Callable[[torch.Tensor], torch.Tensor],
        gradient: GradientFunction,
        op_type: str,
        attributes: Mapping[str, Any],
    ) -> torch.Tensor:
        result = forward(value)
        ctx.save_for_backward(value, result)
        ctx.gradient, ctx.op_type, ctx.attributes = gradient, op_type, attributes
        return result

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[Any, ...]:
        value, result = ctx.saved_tensors
        op = Op(ctx.op_type, (value,), (result,), ctx.attributes)
        return ctx.gradient(op, grads[0]), None, None, None, None


def _relu6(value: torch.Tensor) -> torch.Tensor:
    return value.clamp(0, 6)


_RELU = {F.relu, torch.relu, torch.Tensor.relu}
_RELU_INPLACE = {torch.relu_, torch.Tensor.relu_, F.relu_}
_POOL = {F.max_pool2d, torch.max_pool2d}
_POOL_ARGUMENTS = inspect.Signature(
    [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)
        for name, default in (
            ("input", inspect.Parameter.empty),
            ("kernel_size", inspect.Parameter.empty),
            ("stride", None),
            ("padding", 0),
            ("dilation", 1),
            ("ceil_mode", False),
            ("return_indices", False),
        )
    ]
)
_HARDTANH_ARGUMENTS = inspect.Signature(
    [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default)
        for name, default in (
            ("input", inspect.Parameter.empty),
            ("min_val", -1.0),
            ("max_val", 1.0),
            ("inplace", False),
        )
    ]
)
_KNOWN = ("Relu", "Relu6", "MaxPool")


class gradient_override_map(TorchFunctionMode):
    """Context manager in which ops have other gradients.

    Args:
        overrides: from op type (`"Relu"`, `"Relu6"`, `"MaxPool"`) to a function of
            (`Op`, gradient of the output) that returns the gradient of the input.

    Raises:
        ValueError: another op type is named.

    Example:
        >>> with gradient_override_map({"Relu": lambda op, grad: grad}):
        ...     y = torch.relu(torch.tensor([-1.0, 2.0], requires_grad=True))
    """

    def __init__(self, overrides: Mapping[str, GradientFunction | Substitute]) -> None:
        super().__init__()
        for op_type in overrides:
            if op_type not in _KNOWN:
                raise ValueError(f"Unknown op type {op_type!r}: use one of {', '.join(_KNOWN)}.")
        self.overrides = dict(overrides)

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        handler = _HANDLERS.get(func)
        if handler is None:
            return func(*args, **kwargs)
        result = handler(self.overrides, args, kwargs)
        return func(*args, **kwargs) if result is NotImplemented else result


def _apply(
    overrides: Mapping[str, GradientFunction | Substitute],
    op_type: str,
    forward: Callable[[torch.Tensor], torch.Tensor],
    value: torch.Tensor,
    inplace: bool = False,
    attributes: Mapping[str, Any] | None = None,
) -> Any:
    gradient = overrides.get(op_type)
    if gradient is None:
        return NotImplemented
    # Gradients need what went in, which an in-place op would destroy.
    kept = value.clone() if inplace else value
    if isinstance(gradient, Substitute):
        result = gradient.function(kept, **(attributes or {}))
        return value.copy_(result) if inplace else result
    result = _Override.apply(kept, forward, gradient, op_type, attributes or {})
    return value.copy_(result) if inplace else result


def _first(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> torch.Tensor:
    return args[0] if args else kwargs["input"]


def _on_relu(overrides: Any, args: Any, kwargs: Any) -> Any:
    inplace = bool(args[1] if len(args) > 1 else kwargs.get("inplace", False))
    return _apply(overrides, "Relu", torch.relu, _first(args, kwargs), inplace)


def _on_relu_inplace(overrides: Any, args: Any, kwargs: Any) -> Any:
    return _apply(overrides, "Relu", torch.relu, _first(args, kwargs), True)


def _on_relu6(overrides: Any, args: Any, kwargs: Any) -> Any:
    inplace = bool(args[1] if len(args) > 1 else kwargs.get("inplace", False))
    return _apply(overrides, "Relu6", _relu6, _first(args, kwargs), inplace)


def _on_hardtanh(overrides: Any, args: Any, kwargs: Any) -> Any:
    call = _HARDTANH_ARGUMENTS.bind(*args, **kwargs)
    call.apply_defaults()
    value, low, high, inplace = call.arguments.values()
    if (low, high) != (0, 6):
        return NotImplemented
    return _apply(overrides, "Relu6", _relu6, value, inplace)


def _on_hardtanh_inplace(overrides: Any, args: Any, kwargs: Any) -> Any:
    return _on_hardtanh(overrides, args, {**kwargs, "inplace": True})


def _on_max_pool(overrides: Any, args: Any, kwargs: Any) -> Any:
    call = _POOL_ARGUMENTS.bind(*args, **kwargs)
    call.apply_defaults()
    arguments = dict(call.arguments)
    value = arguments.pop("input")
    if arguments.pop("return_indices"):
        return NotImplemented
    if arguments["stride"] is None or arguments["stride"] == []:
        arguments["stride"] = arguments["kernel_size"]
    return _apply(overrides, "MaxPool", lambda t: F.max_pool2d(t, **arguments), value, False, arguments)


_HANDLERS: dict[Any, Callable[[Any, Any, Any], Any]] = {
    **dict.fromkeys(_RELU, _on_relu),
    **dict.fromkeys(_RELU_INPLACE, _on_relu_inplace),
    F.relu6: _on_relu6,
    torch._C._nn.relu6: _on_relu6,
    F.hardtanh: _on_hardtanh,
    F.hardtanh_: _on_hardtanh_inplace,
    **dict.fromkeys(_POOL, _on_max_pool),
}


class _UseGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Any, gradient: Any, *inputs: torch.Tensor) -> torch.Tensor:
        result = function(*inputs)
        ctx.save_for_backward(*inputs, result)
        ctx.gradient = gradient
        return result

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[Any, ...]:
        *inputs, result = ctx.saved_tensors
        found = ctx.gradient(Op("Function", tuple(inputs), (result,)), grads[0])
        found = tuple(found) if isinstance(found, (list, tuple)) else (found,)
        return (None, None, *found)


def use_gradient(
    grad_f: GradientFunction,
) -> Callable[[Callable[..., torch.Tensor]], Callable[..., torch.Tensor]]:
    """Decorator that gives a whole function of tensors another gradient.

    Args:
        grad_f: from (`Op`, gradient of the output) to the gradient of the input, or one
            for each input.
    """

    def decorate(function: Callable[..., torch.Tensor]) -> Callable[..., torch.Tensor]:
        return lambda *inputs: _UseGradient.apply(function, grad_f, *inputs)

    return decorate
