"""Convolutions and pools."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from converters import functional
from converters.functional import Expression, Padding, Pair


class Conv2d(nn.Module):
    """Conv2D without a bias, which is a layer of its own; with `groups=in_channels` DepthwiseConv2dNative."""

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


class ConvTranspose2d(nn.Module):
    """Conv2DBackpropInput, a transposed convolution; `size` is (batch, rows, columns), of size expressions."""

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
        super().__init__()
        self.size, self.stride, self.padding, self.dilation = tuple(size), stride, padding, dilation
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels, *kernel_size))

    def forward(self, *inputs: Tensor) -> Tensor:
        batch, *size = functional.evaluate_sizes(self.size, inputs)
        functional.check_batch(inputs[0], batch)
        return functional.conv2d_transpose(inputs[0], self.weight, size, self.stride, self.padding, self.dilation)


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
