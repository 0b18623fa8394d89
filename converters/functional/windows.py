"""Convolutions and pools of (N, C, H, W) that compute what TensorFlow's compute, at every size.

TensorFlow's SAME padding depends on the input's size and is asymmetric when the total is odd (the extra row and
column go to the bottom and the right), so no fixed `padding=` reproduces it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.grad import conv2d_weight

from converters.errors import InputSizeError

Pair = Sequence[int]
Padding = str | Sequence[int]  # "SAME", "VALID", or (top, bottom, left, right)


def padding_amounts(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """SAME padding along one axis: rows added before and after an input of `size` rows."""
    extent = (kernel - 1) * dilation + 1
    total = max((math.ceil(size / stride) - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2


def spatial_padding(size: Pair, kernel: Pair, stride: Pair, dilation: Pair, padding: Padding) -> tuple[int, ...]:
    """(top, bottom, left, right) for an input of some (height, width) under TensorFlow's `padding`.

    Raises:
        InputSizeError: a window does not fit into the padded input, which TensorFlow refuses, too.
    """
    pads: tuple[int, ...] = (0, 0, 0, 0)
    if padding == "SAME":
        rows = padding_amounts(size[0], kernel[0], stride[0], dilation[0])
        pads = (*rows, *padding_amounts(size[1], kernel[1], stride[1], dilation[1]))
    elif padding != "VALID":
        pads = tuple(int(amount) for amount in padding)
    _check_window(size, kernel, dilation, pads)
    return pads


def _check_window(size: Pair, kernel: Pair, dilation: Pair, pads: Sequence[int]) -> None:
    for axis, name in ((0, "height"), (1, "width")):
        padded = size[axis] + pads[2 * axis] + pads[2 * axis + 1]
        extent = (kernel[axis] - 1) * dilation[axis] + 1
        if padded < extent:
            raise InputSizeError(f"its window of {name} {extent} does not fit into an input of {name} {padded}")


def conv2d(
    x: Tensor,
    weight: Tensor,
    stride: Pair = (1, 1),
    padding: Padding = "SAME",
    dilation: Pair = (1, 1),
    groups: int = 1,
    bias: Tensor | None = None,
) -> Tensor:
    """TensorFlow's Conv2D and DepthwiseConv2dNative, with a BiasAdd if wanted.

    On a CPU, where torch's own convolution is slow, the same sums are computed another way: see `pointwise` and
    `strided_input_gradient`.

    Args:
        x: (N, C, H, W).
        weight: (out, C / groups, kernel height, kernel width).
        stride, dilation: (rows, columns).
        padding: "SAME", "VALID" or (top, bottom, left, right).
        groups: number of channel groups; C for a depthwise convolution.
        bias: (out,), or None.

    Raises:
        InputSizeError: the kernel does not fit into the input.
    """
    # Sizes are read once: under a gradient override, each look at a tensor costs microseconds.
    kernel = weight.shape[-2:]
    top, bottom, left, right = pads = spatial_padding(x.shape[-2:], kernel, stride, dilation, padding)
    if groups == 1 and x.device.type == "cpu":
        if max(*kernel, *stride) == 1 and not any(pads):
            return pointwise(x, weight, bias)
        if is_strided_square(kernel, stride, dilation) and weight.shape[1] <= FEW_CHANNELS:
            padded = F.pad(x, (left, right, top, bottom)).contiguous(memory_format=torch.channels_last)
            return _StridedConvolution.apply(padded, weight, bias, stride[0])
        if max(kernel) == 1 < max(stride) and weight.requires_grad and weight.shape[1] < _ONEDNN_BLOCK:
            return F.conv2d(F.pad(x, (left, right, top, bottom))[..., :: stride[0], :: stride[1]], weight, bias)
    symmetric = top == bottom and left == right
    if not symmetric:
        x = F.pad(x, (left, right, top, bottom))
    return F.conv2d(x, weight, bias, tuple(stride), (top, left) if symmetric else 0, tuple(dilation), groups)


def pointwise(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """A 1x1 convolution; of a channels_last tensor as a matrix product, which is twice as fast on a CPU."""
    if not x.is_contiguous(memory_format=torch.channels_last):
        return F.conv2d(x, weight, bias)
    return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


FEW_CHANNELS = 4
"""Up to so many input channels, torch's gradient of a convolution with a stride is slow on a CPU."""


_ONEDNN_BLOCK = 16
"""With fewer input channels, oneDNN's weight gradient of a 1x1 convolution with a stride writes past its workspace.

That corrupts memory or ends the process (issue 6035 of uxlfoundation/oneDNN). Dropping the unread positions first
leaves a convolution without a stride, which computes the same.
"""


def is_strided_square(kernel: Pair, stride: Pair, dilation: Pair) -> bool:
    """Whether `strided_input_gradient` knows a convolution's windows."""
    return stride[0] == stride[1] and max(dilation) == 1 and 1 < stride[0] < min(kernel)


class _StridedConvolution(torch.autograd.Function):
    """A strided convolution without padding whose gradient is computed block by block of stride x stride pixels.

    The gradient of a convolution with a stride is one without a stride over blocks of pixels, as many times as many
    channels: with an image's three channels, that is three times as fast as torch's own on a CPU. It is made of
    differentiable functions, so that it has gradients, too.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, stride: int) -> Tensor:
        ctx.save_for_backward(x if weight.requires_grad else None, weight)
        ctx.size, ctx.stride = x.shape[-2:], stride
        return F.conv2d(x, weight, bias, stride)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        (grad,), (x, weight), wanted = grads, ctx.saved_tensors, ctx.needs_input_grad
        of_x = strided_input_gradient(grad, weight, ctx.stride, ctx.size) if wanted[0] else None
        of_weight = conv2d_weight(x, weight.shape, grad, ctx.stride) if wanted[1] else None
        return of_x, of_weight, grad.sum((0, 2, 3)) if wanted[2] else None, None


def strided_input_gradient(grad: Tensor, weight: Tensor, stride: int, size: Pair) -> Tensor:
    """Gradient of a strided convolution without padding with respect to its input.

    Args:
        grad: (N, out, h, w), of the result.
        weight: (out, C, kernel height, kernel width).
        stride: of rows and columns.
        size: (H, W) of the input.

    Returns:
        (N, C, H, W).
    """
    missing = [-length % stride for length in weight.shape[-2:]]
    blocks = F.pixel_unshuffle(F.pad(weight, (0, missing[1], 0, missing[0])), stride)
    x = F.pixel_shuffle(_transposed_convolution(grad, blocks), stride)
    # Behind the last window there may be rows that none reads, and what the kernel was rounded up by is cut off.
    return F.pad(x, (0, size[1] - x.shape[-1], 0, size[0] - x.shape[-2]))


def _transposed_convolution(x: Tensor, weight: Tensor) -> Tensor:
    """`F.conv_transpose2d` where it has few channels to compute, in two thirds of the time on a CPU.

    What comes of each of the kernel's rows is computed as channels of their own, which fills the processor's registers,
    and then added up.

    Args:
        x: (N, in, H, W).
        weight: (in, out, kernel height, kernel width).
    """
    _, channels, rows, columns = weight.shape
    of_rows = weight.permute(2, 1, 0, 3).flatten(0, 1)[:, :, None].flip(3)
    of_rows = of_rows.contiguous(memory_format=torch.channels_last)
    shares = F.conv2d(x, of_rows, padding=(rows - 1, columns - 1)).split(channels, 1)
    height = x.shape[-2] + rows - 1
    result = shares[0].narrow(2, rows - 1, height).clone()
    for row, share in enumerate(shares[1:], 1):
        result.add_(share.narrow(2, rows - 1 - row, height))
    return result


def pool_arguments(x: Tensor, kernel: Pair, stride: Pair, padding: Padding) -> tuple[bool, bool, tuple[int, ...]]:
    """How torch's pools can reproduce TensorFlow's padding without copying the input.

    torch pads both sides alike; with `ceil_mode` the last window may reach past the end, which stands for one more
    row of padding there.

    Returns:
        (fits, ceil_mode, pads): if `fits`, torch's own `padding=(top, left)` with that `ceil_mode` gives
        TensorFlow's windows exactly; otherwise the input has to be padded by hand.
    """
    height, width = x.shape[-2:]
    pads = spatial_padding((height, width), kernel, stride, (1, 1), padding)
    for ceil_mode in (False, True):
        rows = _same_windows(height, kernel[0], stride[0], pads[0], pads[1], ceil_mode)
        if rows and _same_windows(width, kernel[1], stride[1], pads[2], pads[3], ceil_mode):
            return True, ceil_mode, pads
    return False, False, pads


def _same_windows(size: int, kernel: int, stride: int, before: int, after: int, ceil_mode: bool) -> bool:
    """Whether torch's pool padded by `before` on both sides has as many windows as one padded (before, after)."""
    if 2 * before > kernel:
        return False
    wanted = (size + before + after - kernel) // stride + 1
    count = -(-(size + 2 * before - kernel) // stride) if ceil_mode else (size + 2 * before - kernel) // stride
    if ceil_mode and count * stride >= size + before:
        count -= 1
    return count + 1 == wanted


def max_pool2d(x: Tensor, kernel: Pair, stride: Pair, padding: Padding = "SAME") -> Tensor:
    """TensorFlow's MaxPool of (N, C, H, W): padding never wins, also where all values are negative.

    Raises:
        InputSizeError: the window does not fit into the input.
    """
    fits, ceil_mode, (top, bottom, left, right) = pool_arguments(x, kernel, stride, padding)
    if not fits:
        x = F.pad(x, (left, right, top, bottom), value=-math.inf)
        return F.max_pool2d(x, tuple(kernel), tuple(stride))
    return F.max_pool2d(x, tuple(kernel), tuple(stride), (top, left), ceil_mode=ceil_mode)


def avg_pool2d(x: Tensor, kernel: Pair, stride: Pair, padding: Padding = "SAME") -> Tensor:
    """TensorFlow's AvgPool of (N, C, H, W): a window's sum over the number of its cells that are not padding.

    Raises:
        InputSizeError: the window does not fit into the input.
    """
    fits, ceil_mode, (top, bottom, left, right) = pool_arguments(x, kernel, stride, padding)
    kernel, stride = tuple(kernel), tuple(stride)
    if fits:
        return F.avg_pool2d(x, kernel, stride, (top, left), ceil_mode, count_include_pad=False)
    inside = F.pad(x.new_ones(1, 1, *x.shape[-2:]), (left, right, top, bottom))
    sums = F.avg_pool2d(F.pad(x, (left, right, top, bottom)), kernel, stride)
    return sums / F.avg_pool2d(inside, kernel, stride)


def check_batch(x: Tensor, batch: int) -> None:
    """Raises InputSizeError where a value has another batch than the graph states."""
    if batch not in (-1, x.shape[0]):
        raise InputSizeError(f"the graph states a batch of {batch}, not of {x.shape[0]}")


def conv2d_transpose(
    x: Tensor,
    weight: Tensor,
    size: Pair,
    stride: Pair = (1, 1),
    padding: Padding = "SAME",
    dilation: Pair = (1, 1),
) -> Tensor:
    """TensorFlow's Conv2DBackpropInput: the gradient of a convolution with respect to an input of some size.

    Args:
        x: (N, in, h, w), the convolution's result.
        weight: (in, out, kernel height, kernel width).
        size: (H, W) of the convolution's input.
        stride, padding, dilation: the convolution's.

    Returns:
        (N, out, H, W).

    Raises:
        InputSizeError: the convolution of an input of that size has a result of another size than `x`.
    """
    kernel = weight.shape[-2:]
    pads = spatial_padding(size, kernel, stride, dilation, padding)
    made = [
        (size[axis] + pads[2 * axis] + pads[2 * axis + 1] - (kernel[axis] - 1) * dilation[axis] - 1) // stride[axis] + 1
        for axis in (0, 1)
    ]
    if made != list(x.shape[-2:]):
        raise InputSizeError(f"it makes {size[0]}x{size[1]} of {list(x.shape[-2:])}, where it needs {made}")
    full = F.conv_transpose2d(x, weight, stride=tuple(stride), dilation=tuple(dilation))
    top, _, left, _ = pads
    # Rows of padding are cut off; rows that no window reaches are zero.
    return F.pad(full, (-left, size[1] + left - full.shape[-1], -top, size[0] + top - full.shape[-2]))
