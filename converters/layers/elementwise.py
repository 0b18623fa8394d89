"""Activations and arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converters import functional


class Identity(nn.Module):
    """Identity and other ops that pass values through."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class StopGradient(nn.Module):
    """StopGradient: the value without its history."""

    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


class Relu(nn.Module):
    """Relu."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x)


class Relu6(nn.Module):
    """Relu6."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x)


class LeakyRelu(nn.Module):
    """LeakyRelu."""

    def __init__(self, alpha: float) -> None:
        super().__init__()
        self.alpha = alpha

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(x, self.alpha)


class Elu(nn.Module):
    """Elu."""

    def forward(self, x: Tensor) -> Tensor:
        return F.elu(x)


class Selu(nn.Module):
    """Selu."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.selu(x)


class Softplus(nn.Module):
    """Softplus."""

    def forward(self, x: Tensor) -> Tensor:
        return F.softplus(x)


class Sigmoid(nn.Module):
    """Sigmoid."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)


class Tanh(nn.Module):
    """Tanh."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x)


class Softmax(nn.Module):
    """Softmax over the channels."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x, dim=1 if x.dim() == 4 else -1)


BINARY_FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "maximum": functional.maximum,
    "minimum": functional.minimum,
}


class Binary(nn.Module):
    """Add, Sub, Mul, RealDiv, Maximum, Minimum of two layers, or of a layer and a constant of `constant_shape`."""

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
