"""Convolutions and pools with padding that torch's modules do not have: `auto_pad=SAME_*`, asymmetric padding.

The modules here take weights and sizes from torch's modules without padding, and pad by the size of their input.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, fx, nn

from converters import functional
from converters.functional import Padding


@dataclass(frozen=True)
class AutoPad:
    """The padding of a node.

    Attributes:
        kind: "SAME_UPPER", "SAME_LOWER" or "NOTSET".
        pads: (top, bottom, left, right) if the kind is "NOTSET".
        output_shape: (height, width) of a transposed convolution's result, if the node states it.
    """

    kind: str
    pads: tuple[int, ...] = (0, 0, 0, 0)
    output_shape: tuple[int, ...] | None = None

    def amounts(self, x: Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Padding:
        """Returns the padding for an input, as an argument for `converters.functional`."""
        if self.kind == "NOTSET":
            return self.pads
        if self.kind == "SAME_UPPER":
            return "SAME"
        top, bottom, left, right = functional.spatial_padding(x.shape[-2:], kernel, stride, dilation, "SAME")
        return (bottom, top, right, left)


def _pair(size: int | Sequence[int]) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else (size[0], size[1])


class PaddedConv2d(nn.Module):
    """Conv that pads by the input's size."""

    def __init__(self, layer: nn.Conv2d, padding: AutoPad) -> None:
        super().__init__()
        self.weight, self.bias = layer.weight, layer.bias
        self.stride, self.dilation, self.groups = _pair(layer.stride), _pair(layer.dilation), layer.groups
        self.out_channels, self.padding = layer.out_channels, padding

    def forward(self, x: Tensor) -> Tensor:
        pads = amounts(self.padding, x, self.weight.shape[-2:], self.stride, self.dilation)
        return functional.conv2d(x, self.weight, self.stride, pads, self.dilation, self.groups, self.bias)


class _PaddedPool2d(nn.Module):
    def __init__(self, layer: nn.MaxPool2d | nn.AvgPool2d, padding: AutoPad) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = _pair(layer.kernel_size), _pair(layer.stride), padding

    def pads(self, x: Tensor) -> Padding:
        return amounts(self.padding, x, self.kernel_size, self.stride, (1, 1))


class PaddedMaxPool2d(_PaddedPool2d):
    """MaxPool that pads by the input's size; the padding is -infinity."""

    def forward(self, x: Tensor) -> Tensor:
        return functional.max_pool2d(x, self.kernel_size, self.stride, self.pads(x))


class PaddedAvgPool2d(_PaddedPool2d):
    """AveragePool that pads by the input's size; the padding counts only with `count_include_pad`."""

    def __init__(self, layer: nn.AvgPool2d, padding: AutoPad) -> None:
        super().__init__(layer, padding)
        self.count_include_pad = layer.count_include_pad

    def forward(self, x: Tensor) -> Tensor:
        pads = self.pads(x)
        if not self.count_include_pad:
            return functional.avg_pool2d(x, self.kernel_size, self.stride, pads)
        return mean_of_padded(x, self.kernel_size, self.stride, pads)


class PaddedConvTranspose2d(nn.Module):
    """ConvTranspose whose full result is cropped by the padding. SAME crops it to the input's size times the stride."""

    def __init__(self, layer: nn.ConvTranspose2d, padding: AutoPad) -> None:
        super().__init__()
        self.weight, self.bias, self.padding = layer.weight, layer.bias, padding
        self.stride, self.dilation, self.groups = _pair(layer.stride), _pair(layer.dilation), layer.groups
        self.output_padding, self.out_channels = _pair(layer.output_padding), layer.out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = F.conv_transpose2d(x, self.weight, None, self.stride, 0, self.output_padding, self.groups, self.dilation)
        is_stated = self.padding.kind == "NOTSET" and self.padding.output_shape is None
        y = cropped(y, self.padding.pads if is_stated else to_size(self.padding, self.stride, x, y))
        return y if self.bias is None else y + self.bias[:, None, None]


def to_size(padding: AutoPad, stride: Sequence[int], x: Tensor, y: Tensor) -> tuple[int, ...]:
    """Returns the numbers of rows and columns to crop: (top, bottom, left, right); negative ones are added.

    Args:
        padding: the padding of a ConvTranspose.
        stride: its strides.
        x, y: its input and its full result.
    """
    sides: list[int] = []
    for axis, step in enumerate(stride):
        wanted = (padding.output_shape or ())[axis:] or (x.shape[2 + axis] * step,)
        total = y.shape[2 + axis] - wanted[0]
        less, more = total // 2, total - total // 2
        if total < 0:
            sides += [0, total]
        else:
            sides += [less, more] if padding.kind == "SAME_UPPER" else [more, less]
    return tuple(sides)


def cropped(y: Tensor, sides: Sequence[int]) -> Tensor:
    """Crops (top, bottom, left, right) rows and columns."""
    top, bottom, left, right = sides
    return F.pad(y, (-left, -right, -top, -bottom))


def mean_of_padded(x: Tensor, kernel: Sequence[int], stride: Sequence[int], pads: Padding) -> Tensor:
    """Averages windows over an input that is padded with zeros."""
    top, bottom, left, right = functional.spatial_padding(x.shape[-2:], kernel, stride, (1, 1), pads)
    return F.avg_pool2d(F.pad(x, (left, right, top, bottom)), tuple(kernel), tuple(stride))


def amounts(
    padding: AutoPad, x: Tensor, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Padding:
    """Returns the padding for an input, as `AutoPad.amounts` does."""
    return padding.amounts(x, kernel, stride, dilation)


# torch.fx records their calls and does not trace into them, because they depend on the size of the image.
for _name in ("amounts", "cropped", "mean_of_padded", "to_size"):
    fx.wrap(_name)
