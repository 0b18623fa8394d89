"""Convolutions and pools: torch's classes with TensorFlow's padding.

Their `padding` is torch's only where it gives the same windows at every input size. Everywhere else it is TensorFlow's,
which torch's layers and functions refuse. `extra_repr` is part of saved fingerprints.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from converters import functional
from converters.functional import Expression, Padding, Pair


class Conv2d(nn.Conv2d):
    """Conv2D without a bias, which is a layer of its own; with `groups=in_channels` DepthwiseConv2dNative.

    Attributes:
        tensorflow_padding: the argument `padding`.
        padding: torch's (rows, columns) if they are equal to it at every input size; otherwise the argument, which
            torch refuses.
    """

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
        nn.Module.__init__(self)  # torch's own constructor draws random weights
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride, self.dilation = _pair(kernel_size), _pair(stride), _pair(dilation)
        self.tensorflow_padding = padding
        self.padding = functional.torch_padding(kernel_size, stride, dilation, padding)  # type: ignore[assignment]
        self.padding_mode, self.transposed, self.output_padding = "zeros", False, (0, 0)
        self.weight = nn.Parameter(torch.empty(out_channels, in_channels // groups, *kernel_size))
        self.register_parameter("bias", None)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight, self.bias)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padding = self.tensorflow_padding
        return functional.conv2d(input, weight, self.stride, padding, self.dilation, self.groups, bias)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, stride={tuple(self.stride)}, padding={self.tensorflow_padding!r}"


class ConvTranspose2d(nn.ConvTranspose2d):
    """Conv2DBackpropInput, a transposed convolution; `size` is (batch, rows, columns), of size expressions.

    Attributes:
        padding: the argument, which torch refuses: torch computes the output's size in another way.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        size: Sequence[Expression],
        stride: Pair = (1, 1),
        padding: Padding = "SAME",
        dilation: Pair = (1, 1),
    ) -> None:
        nn.Module.__init__(self)  # torch's own constructor draws random weights
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, 1
        self.kernel_size, self.stride, self.dilation = _pair(kernel_size), _pair(stride), _pair(dilation)
        self.size, self.padding = tuple(size), padding  # type: ignore[assignment]
        self.padding_mode, self.transposed, self.output_padding = "zeros", True, (0, 0)
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels, *kernel_size))
        self.register_parameter("bias", None)

    def forward(self, *inputs: Tensor) -> Tensor:  # type: ignore[override]
        size = functional.evaluate_sizes(self.size, inputs)
        functional.check_batch(inputs[0], size[0])
        found = functional.conv2d_transpose(
            inputs[0],
            self.weight,
            size[1:],
            self.stride,
            self.padding,
            self.dilation,
        )
        return found if self.bias is None else found + self.bias[:, None, None]

    def extra_repr(self) -> str:
        return ""


class MaxPool2d(nn.MaxPool2d):
    """MaxPool; `padding` and `tensorflow_padding` as for `Conv2d`."""

    kernel_size: tuple[int, int]
    stride: tuple[int, int]

    def __init__(self, kernel_size: Pair, stride: Pair, padding: Padding = "SAME") -> None:
        super().__init__(_pair(kernel_size), _pair(stride))
        self.tensorflow_padding = padding
        self.padding = functional.torch_padding(kernel_size, stride, (1, 1), padding)  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(x, self.kernel_size, self.stride, self.tensorflow_padding)

    def extra_repr(self) -> str:
        return ""


class AvgPool2d(nn.AvgPool2d):
    """AvgPool, whose averages do not count padding; `padding` and `tensorflow_padding` as for `Conv2d`."""

    kernel_size: tuple[int, int]
    stride: tuple[int, int]

    def __init__(self, kernel_size: Pair, stride: Pair, padding: Padding = "SAME") -> None:
        super().__init__(_pair(kernel_size), _pair(stride), count_include_pad=False)
        self.tensorflow_padding = padding
        self.padding = functional.torch_padding(kernel_size, stride, (1, 1), padding)  # type: ignore[assignment]

    def forward(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(x, self.kernel_size, self.stride, self.tensorflow_padding)

    def extra_repr(self) -> str:
        return ""


def _pair(sizes: Pair) -> tuple[int, int]:
    rows, columns = sizes
    return rows, columns
