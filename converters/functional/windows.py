"""TensorFlow's convolutions and pools of (N, C, H, W), at every input size.

TensorFlow's SAME padding depends on the input's size, and is asymmetric if its total is odd (the extra row and column
are at the bottom and on the right). No fixed `padding=` of torch reproduces it.
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
    """SAME padding along one axis of length `size`: (before, after)."""
    extent = (kernel - 1) * dilation + 1
    total = max((math.ceil(size / stride) - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2


def torch_padding(kernel: Pair, stride: Pair, dilation: Pair, padding: Padding) -> Padding:
    """Returns torch's `padding` (rows, columns) if it equals TensorFlow's at every input size.

    Other paddings are returned unchanged: torch's convolutions and pools refuse "SAME" and tuples of four.

    Args:
        kernel, stride, dilation: (rows, columns).
        padding: "SAME", "VALID" or (top, bottom, left, right).
    """
    if padding == "VALID":
        return (0, 0)
    extents = [(length - 1) * step + 1 for length, step in zip(kernel, dilation, strict=True)]
    if padding == "SAME":
        fixed = all(extent == 1 or (step == 1 and extent % 2) for extent, step in zip(extents, stride, strict=True))
        return tuple(extent // 2 for extent in extents) if fixed else padding
    top, bottom, left, right = (int(amount) for amount in padding)
    return (top, left) if top == bottom and left == right else padding


def spatial_padding(size: Pair, kernel: Pair, stride: Pair, dilation: Pair, padding: Padding) -> tuple[int, ...]:
    """Resolves TensorFlow's `padding` to (top, bottom, left, right).

    Args:
        size: (height, width) of the input.
        kernel, stride, dilation: (rows, columns).
        padding: "SAME", "VALID" or (top, bottom, left, right).

    Raises:
        InputSizeError: the window does not fit into the padded input; TensorFlow refuses it, too.
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
    """TensorFlow's Conv2D and DepthwiseConv2dNative, with an optional BiasAdd.

    On a CPU, two kinds of convolutions are faster than torch's: see `pointwise` and
    `strided_input_gradient`.

    Args:
        x: (N, C, H, W).
        weight: (out, C / groups, kernel height, kernel width).
        stride, dilation: (rows, columns).
        padding: "SAME", "VALID" or (top, bottom, left, right).
        groups: number of channel groups; C for a depthwise convolution.
        bias: (out,), or None.

    Returns:
        (N, out, height, width).

    Raises:
        InputSizeError: the kernel does not fit into the padded input.
    """
    # Sizes are read once, because each access to a tensor costs microseconds under a gradient override.
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
    """A 1x1 convolution; for channels_last tensors a matrix product, which is twice as fast on a CPU."""
    if not x.is_contiguous(memory_format=torch.channels_last):
        return F.conv2d(x, weight, bias)
    return F.linear(x.permute(0, 2, 3, 1), weight.flatten(1), bias).permute(0, 3, 1, 2)


FEW_CHANNELS = 4
"""The number of input channels up to which torch's gradient of a strided convolution is slow on a CPU."""


_ONEDNN_BLOCK = 16
"""With fewer input channels, oneDNN's weight gradient of a 1x1 convolution with a stride writes past its workspace.

That corrupts memory or ends the process (issue 6035 of uxlfoundation/oneDNN). Dropping the unread positions first
leaves a convolution without a stride, which computes the same.
"""


def is_strided_square(kernel: Pair, stride: Pair, dilation: Pair) -> bool:
    """Whether `strided_input_gradient` supports a convolution's windows."""
    return stride[0] == stride[1] and max(dilation) == 1 and 1 < stride[0] < min(kernel)


class _StridedConvolution(torch.autograd.Function):
    """A strided convolution without padding, with a faster gradient on a CPU.

    The gradient with respect to the input equals that of a convolution with stride 1 on blocks of stride x stride
    pixels, which have stride**2 times as many channels. For the three channels of an image it is three times as fast as
    torch's. The backward pass is differentiable.
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
    """The gradient of a strided convolution without padding with respect to its input.

    Args:
        grad: (N, out, h, w), the gradient with respect to the output.
        weight: (out, C, kernel height, kernel width).
        stride: the stride of both axes.
        size: (H, W) of the input.

    Returns:
        (N, C, H, W).
    """
    missing = [-length % stride for length in weight.shape[-2:]]
    blocks = F.pixel_unshuffle(F.pad(weight, (0, missing[1], 0, missing[0])), stride)
    x = F.pixel_shuffle(_transposed_convolution(grad, blocks), stride)
    # Adds zeros for rows after the last window, or removes the rows by which the kernel was extended.
    return F.pad(x, (0, size[1] - x.shape[-1], 0, size[0] - x.shape[-2]))


def _transposed_convolution(x: Tensor, weight: Tensor) -> Tensor:
    """`F.conv_transpose2d` for few output channels, in two thirds of its time on a CPU.

    The results of the kernel's rows are computed as separate channels, which uses the processor's vector registers
    fully, and then added.

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
    """Finds arguments of torch's pools that reproduce TensorFlow's padding without a padded copy of the input.

    torch pads both sides equally. With `ceil_mode`, the last window may extend past the end, like one more row of
    padding there.

    Returns:
        (fits, ceil_mode, pads): pads is (top, bottom, left, right). If `fits`, torch's `padding=(top, left)` with this
        `ceil_mode` gives TensorFlow's windows; otherwise the input has to be padded.

    Raises:
        InputSizeError: the window does not fit into the padded input.
    """
    height, width = x.shape[-2:]
    pads = spatial_padding((height, width), kernel, stride, (1, 1), padding)
    for ceil_mode in (False, True):
        rows = _same_windows(height, kernel[0], stride[0], pads[0], pads[1], ceil_mode)
        if rows and _same_windows(width, kernel[1], stride[1], pads[2], pads[3], ceil_mode):
            return True, ceil_mode, pads
    return False, False, pads


def _same_windows(size: int, kernel: int, stride: int, before: int, after: int, ceil_mode: bool) -> bool:
    """Whether a pool with torch's padding of `before` on both sides has as many windows as with (before, after)."""
    if 2 * before > kernel:
        return False
    wanted = (size + before + after - kernel) // stride + 1
    count = -(-(size + 2 * before - kernel) // stride) if ceil_mode else (size + 2 * before - kernel) // stride
    if ceil_mode and count * stride >= size + before:
        count -= 1
    return count + 1 == wanted


def max_pool2d(x: Tensor, kernel: Pair, stride: Pair, padding: Padding = "SAME") -> Tensor:
    """TensorFlow's MaxPool of (N, C, H, W); padding counts as minus infinity.

    Raises:
        InputSizeError: the window does not fit into the padded input.
    """
    fits, ceil_mode, (top, bottom, left, right) = pool_arguments(x, kernel, stride, padding)
    if not fits:
        x = F.pad(x, (left, right, top, bottom), value=-math.inf)
        return F.max_pool2d(x, tuple(kernel), tuple(stride))
    return F.max_pool2d(x, tuple(kernel), tuple(stride), (top, left), ceil_mode=ceil_mode)


def avg_pool2d(x: Tensor, kernel: Pair, stride: Pair, padding: Padding = "SAME") -> Tensor:
    """TensorFlow's AvgPool of (N, C, H, W); averages do not count padding.

    Raises:
        InputSizeError: the window does not fit into the padded input.
    """
    fits, ceil_mode, (top, bottom, left, right) = pool_arguments(x, kernel, stride, padding)
    kernel, stride = tuple(kernel), tuple(stride)
    if fits:
        return F.avg_pool2d(x, kernel, stride, (top, left), ceil_mode, count_include_pad=False)
    inside = F.pad(x.new_ones(1, 1, *x.shape[-2:]), (left, right, top, bottom))
    sums = F.avg_pool2d(F.pad(x, (left, right, top, bottom)), kernel, stride)
    return sums / F.avg_pool2d(inside, kernel, stride)


def check_batch(x: Tensor, batch: int) -> None:
    """Checks that a value has the batch size that the graph states; -1 allows any.

    Raises:
        InputSizeError: the value has another batch size.
    """
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
    """TensorFlow's Conv2DBackpropInput: the gradient of a convolution with respect to its input of the given size.

    Args:
        x: (N, in, h, w), of the size of the convolution's output.
        weight: (in, out, kernel height, kernel width).
        size: (H, W) of the convolution's input.
        stride, padding, dilation: the convolution's arguments, as for `conv2d`.

    Returns:
        (N, out, H, W).

    Raises:
        InputSizeError: the convolution of a tensor of this size does not have the size of `x`.
    """
    kernel = weight.shape[-2:]
    pads = spatial_padding(size, kernel, stride, dilation, padding)
    made = [
        (size[axis] + pads[2 * axis] + pads[2 * axis + 1] - (kernel[axis] - 1) * dilation[axis] - 1) // stride[axis] + 1
        for axis in (0, 1)
    ]
    if made != list(x.shape[-2:]):
        raise InputSizeError(f"an output of {size[0]}x{size[1]} needs an input of {made}, not {list(x.shape[-2:])}")
    full = F.conv_transpose2d(x, weight, stride=tuple(stride), dilation=tuple(dilation))
    top, _, left, _ = pads
    # Removes the padding, and adds zeros for rows that are in no window.
    return F.pad(full, (-left, size[1] + left - full.shape[-1], -top, size[0] + top - full.shape[-2]))
