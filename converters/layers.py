"""Thin modules over `functional`: one class for each kind of layer that a converted graph is made of.

A layer's constructor arguments are plain data (numbers, strings, tuples), so a model can be written as JSON and
as a Python module; its tensors live in `state_dict()`. `LAYERS` lists every class that a saved model may name.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converters import functional
from converters.functional import Padding, Pair


class Identity(nn.Module):
    """Identity and other ops that pass values through."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class StopGradient(nn.Module):
    """StopGradient: the value without its history."""

    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


class Conv2d(nn.Module):
    """Conv2D, without a bias (TensorFlow adds that in an op of its own); depthwise with `groups=in_channels`."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        stride: Pair = (1, 1),
        padding: Padding = "SAME",
        dilation: Pair = (1, 1),
        groups: int = 1,
    ) -> None:
        super().__init__()
        self.stride, self.padding, self.dilation, self.groups = stride, padding, dilation, groups
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *kernel_size))

    def forward(self, x: Tensor) -> Tensor:
        return functional.conv2d(x, self.weight, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, stride={tuple(self.stride)}, padding={self.padding!r}"


class Bias(nn.Module):
    """BiasAdd: one number a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + (self.bias[:, None, None] if x.dim() == 4 else self.bias)


class Linear(nn.Module):
    """MatMul with a constant matrix."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight)


class BatchNorm(nn.Module):
    """FusedBatchNorm at inference: the stored mean and variance."""

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.register_buffer("mean", torch.empty(channels))
        self.register_buffer("variance", torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.mean, self.variance, self.weight, self.bias, eps=self.epsilon)


class MaxPool2d(nn.Module):
    """MaxPool."""

    def __init__(self, kernel_size: Pair, stride: Pair, padding: Padding = "SAME") -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AvgPool2d(nn.Module):
    """AvgPool."""

    def __init__(self, kernel_size: Pair, stride: Pair, padding: Padding = "SAME") -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class LocalResponseNorm(nn.Module):
    """LRN, with TensorFlow's constants (alpha is not divided by the window's length)."""

    band: Tensor

    def __init__(self, channels: int, depth_radius: int, bias: float, alpha: float, beta: float) -> None:
        super().__init__()
        self.bias, self.beta = bias, beta
        band = functional.lrn_band(channels, depth_radius, alpha)
        self.register_buffer("band", band, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.local_response_norm(x, self.band, self.bias, self.beta)


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


class Concat(nn.Module):
    """Concat and ConcatV2; `dim` counts torch's axes (1 for the channels of NCHW)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *towers: Tensor) -> Tensor:
        return functional.concat(towers, self.dim)


class Reshape(nn.Module):
    """Reshape; `shape` and the order of the values are TensorFlow's (NHWC)."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        return functional.reshape(x, self.shape)


class Squeeze(nn.Module):
    """Squeeze of torch's axes `dims`."""

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = tuple(dims)

    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze(self.dims)


class Mean(nn.Module):
    """Mean over torch's axes `dims`."""

    def __init__(self, dims: Sequence[int], keepdim: bool = False) -> None:
        super().__init__()
        self.dims, self.keepdim = tuple(dims), keepdim

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(self.dims, self.keepdim)


class Pad(nn.Module):
    """Pad with a constant; `padding` is in the order of `torch.nn.functional.pad` (last axis first)."""

    def __init__(self, padding: Sequence[int], value: float = 0.0) -> None:
        super().__init__()
        self.padding, self.value = tuple(padding), value

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.padding, value=self.value)


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


LAYERS: dict[str, type[nn.Module]] = {
    layer.__name__: layer
    for layer in (
        AvgPool2d,
        BatchNorm,
        Bias,
        Binary,
        Concat,
        Conv2d,
        Elu,
        Identity,
        LeakyRelu,
        Linear,
        LocalResponseNorm,
        MaxPool2d,
        Mean,
        Pad,
        Relu,
        Relu6,
        Reshape,
        Selu,
        Sigmoid,
        Softmax,
        Softplus,
        Squeeze,
        StopGradient,
        Tanh,
    )
}
