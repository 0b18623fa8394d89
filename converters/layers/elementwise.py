"""Activations, arithmetic and other elementwise layers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converters import functional


class Identity(nn.Identity):
    """Identity and other ops that return their input."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class StopGradient(nn.Module):
    """StopGradient: detaches the value."""

    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


class Relu(nn.ReLU):
    """Relu."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x)


class Relu6(nn.ReLU6):
    """Relu6."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x)


class LeakyRelu(nn.LeakyReLU):
    """LeakyRelu."""

    def __init__(self, alpha: float) -> None:
        super().__init__(alpha)
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.alpha)

    def extra_repr(self) -> str:
        return ""


class Elu(nn.ELU):
    """Elu."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return F.elu(x)

    def extra_repr(self) -> str:
        return ""


class Selu(nn.SELU):
    """Selu."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return functional.selu(x)


class Softplus(nn.Softplus):
    """Softplus."""

    def __init__(self) -> None:
        super().__init__()

    def forward(self, x: Tensor) -> Tensor:
        return F.softplus(x)

    def extra_repr(self) -> str:
        return ""


class Sigmoid(nn.Sigmoid):
    """Sigmoid."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)


class Tanh(nn.Tanh):
    """Tanh."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x)


CHANNELS = "channels"
"""`dim` of a softmax over the channels. torch refuses it: its None means another axis for values of rank 3."""


class Softmax(nn.Softmax):
    """Softmax over the channels (None), or torch's axis `dim`."""

    dim: int | str  # type: ignore[assignment]

    def __init__(self, dim: int | None = None) -> None:
        super().__init__(dim)
        self.dim = CHANNELS if dim is None else dim

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x, functional.channel_axis(x) if isinstance(self.dim, str) else self.dim)

    def extra_repr(self) -> str:
        return ""


class LogSoftmax(nn.LogSoftmax):
    """LogSoftmax over the channels (None), or torch's axis `dim`."""

    dim: int | str  # type: ignore[assignment]

    def __init__(self, dim: int | None = None) -> None:
        super().__init__(dim)
        self.dim = CHANNELS if dim is None else dim

    def forward(self, x: Tensor) -> Tensor:
        return torch.log_softmax(x, functional.channel_axis(x) if isinstance(self.dim, str) else self.dim)

    def extra_repr(self) -> str:
        return ""


class Cast(nn.Module):
    """Cast to a `kind` of dtype: float (float32, unless the value is floating point already), int (int64) or bool."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        return functional.cast(x, self.kind)


UNARY_FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "abs": torch.abs,
    "ceil": torch.ceil,
    "cos": torch.cos,
    "erf": torch.erf,
    "exp": torch.exp,
    "expm1": torch.expm1,
    "floor": torch.floor,
    "log": torch.log,
    "log1p": torch.log1p,
    "neg": torch.neg,
    "not": torch.logical_not,
    "ones_like": torch.ones_like,
    "reciprocal": torch.reciprocal,
    "round": torch.round,
    "rsqrt": torch.rsqrt,
    "sign": torch.sign,
    "sin": torch.sin,
    "softsign": F.softsign,
    "sqrt": torch.sqrt,
    "square": torch.square,
    "zeros_like": torch.zeros_like,
}


class Unary(nn.Module):
    """A unary function, by its name in `UNARY_FUNCTIONS`."""

    def __init__(self, function: str) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return UNARY_FUNCTIONS[self.function](x)

    def extra_repr(self) -> str:
        return repr(self.function)


class Sum(nn.Module):
    """AddN."""

    def forward(self, *values: Tensor) -> Tensor:
        return functional.add_all(values)


class Select(nn.Module):
    """Select and SelectV2: `x` where `condition` is true, and `y` elsewhere."""

    def forward(self, condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
        functional.check_broadcast(condition, x)
        functional.check_broadcast(x, y)
        return torch.where(condition.to(torch.bool), x, y)


BINARY_FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "maximum": functional.maximum,
    "minimum": functional.minimum,
    "pow": torch.pow,
    "squared_difference": functional.squared_difference,
    "div_no_nan": functional.div_no_nan,
    "floordiv": functional.floor_divide,
    "mod": torch.remainder,
    "greater": torch.gt,
    "greater_equal": torch.ge,
    "less": torch.lt,
    "less_equal": torch.le,
    "equal": torch.eq,
    "not_equal": torch.ne,
    "and": torch.logical_and,
    "or": torch.logical_or,
}


class Binary(nn.Module):
    """A binary function, by its name in `BINARY_FUNCTIONS`, of two values, or of a value and a constant.

    Args:
        function: key of `BINARY_FUNCTIONS`.
        constant_shape: shape of the constant; None if both values are inputs.
        constant_first: the constant is the first argument.
    """

    constant: nn.Parameter | None

    def __init__(
        self, function: str, constant_shape: Sequence[int] | None = None, constant_first: bool = False
    ) -> None:
        super().__init__()
        self.function, self.constant_first = function, constant_first
        constant = None if constant_shape is None else nn.Parameter(torch.empty(tuple(constant_shape)))
        self.register_parameter("constant", constant)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        other = self.constant if y is None else y
        if other is None:
            raise ValueError(f"{self.function} needs a second value.")
        functional.check_broadcast(x, other)
        first, second = (other, x) if self.constant_first else (x, other)
        return BINARY_FUNCTIONS[self.function](first, second)

    def extra_repr(self) -> str:
        return repr(self.function)
