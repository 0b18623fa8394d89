"""Stateless NCHW functions that compute what TensorFlow's ops compute, at every input size.

TensorFlow's SAME padding depends on the input's size and is asymmetric when the total is odd (the extra row and
column go to the bottom and the right), so no fixed `padding=` reproduces it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from converters.errors import InputSizeError

Pair = Sequence[int]
Padding = str | Sequence[int]  # "SAME", "VALID", or (top, bottom, left, right)


def padding_amounts(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
    """SAME padding along one axis: rows added before and after an input of `size` rows."""
    extent = (kernel - 1) * dilation + 1
    total = max((math.ceil(size / stride) - 1) * stride + extent - size, 0)
    return total // 2, total - total // 2


def spatial_padding(x: Tensor, kernel: Pair, stride: Pair, dilation: Pair, padding: Padding) -> list[int]:
    """(top, bottom, left, right) for an NCHW input under TensorFlow's `padding`."""
    if padding == "VALID":
        return [0, 0, 0, 0]
    if padding == "SAME":
        rows = padding_amounts(x.shape[-2], kernel[0], stride[0], dilation[0])
        columns = padding_amounts(x.shape[-1], kernel[1], stride[1], dilation[1])
        return [*rows, *columns]
    return [int(amount) for amount in padding]


def check_window(x: Tensor, kernel: Pair, dilation: Pair, pads: Sequence[int]) -> None:
    """Raises InputSizeError where a window does not fit into the padded input, as TensorFlow does."""
    for axis, name in ((0, "height"), (1, "width")):
        size = x.shape[axis - 2] + pads[2 * axis] + pads[2 * axis + 1]
        extent = (kernel[axis] - 1) * dilation[axis] + 1
        if size < extent:
            raise InputSizeError(f"its window of {name} {extent} does not fit into an input of {name} {size}")


def conv2d(
    x: Tensor,
    weight: Tensor,
    stride: Pair = (1, 1),
    padding: Padding = "SAME",
    dilation: Pair = (1, 1),
    groups: int = 1,
) -> Tensor:
    """TensorFlow's Conv2D and DepthwiseConv2dNative.

    Args:
        x: (N, C, H, W).
        weight: (out, C / groups, kernel height, kernel width).
        stride, dilation: (rows, columns).
        padding: "SAME", "VALID" or (top, bottom, left, right).
        groups: number of channel groups; C for a depthwise convolution.

    Raises:
        InputSizeError: the kernel does not fit into the input.
    """
    kernel = weight.shape[-2:]
    top, bottom, left, right = spatial_padding(x, kernel, stride, dilation, padding)
    check_window(x, kernel, dilation, (top, bottom, left, right))
    symmetric = top == bottom and left == right
    if not symmetric:
        x = F.pad(x, (left, right, top, bottom))
    return F.conv2d(x, weight, None, tuple(stride), (top, left) if symmetric else 0, tuple(dilation), groups)


def pool_arguments(x: Tensor, kernel: Pair, stride: Pair, padding: Padding) -> tuple[bool, bool, list[int]]:
    """How torch's pools can reproduce TensorFlow's padding without copying the input.

    torch pads both sides alike; with `ceil_mode` the last window may reach past the end, which stands for one more
    row of padding there.

    Returns:
        (fits, ceil_mode, pads): if `fits`, torch's own `padding=(top, left)` with that `ceil_mode` gives
        TensorFlow's windows exactly; otherwise the input has to be padded by hand.
    """
    pads = spatial_padding(x, kernel, stride, (1, 1), padding)
    check_window(x, kernel, (1, 1), pads)
    for ceil_mode in (False, True):
        rows = _same_windows(x.shape[-2], kernel[0], stride[0], pads[0], pads[1], ceil_mode)
        if rows and _same_windows(x.shape[-1], kernel[1], stride[1], pads[2], pads[3], ceil_mode):
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


def lrn_band(channels: int, depth_radius: int, alpha: float) -> Tensor:
    """The (channels, channels, 1, 1) kernel that sums alpha times the neighbours of each channel."""
    index = torch.arange(channels)
    near = (index[:, None] - index[None, :]).abs() <= depth_radius
    return (near * alpha).to(torch.float32)[:, :, None, None]


def local_response_norm(x: Tensor, band: Tensor, bias: float, beta: float) -> Tensor:
    """TensorFlow's LRN: x / (bias + alpha * sum of squares over 2 * depth_radius + 1 channels) ** beta.

    torch's own (like Caffe's) divides alpha by the window's length and runs a 3-D pool, which costs as much as all
    convolutions of InceptionV1 together; a banded 1x1 convolution over the squares is the same sum.

    Args:
        x: (N, C, H, W).
        band: from `lrn_band`.
        bias, beta: TensorFlow's attributes.
    """
    scale = F.conv2d(x * x, band) + bias
    if beta == 0.5:
        return x * scale.rsqrt()
    if beta == 0.75:
        root = scale.rsqrt()
        return x * (root * root.sqrt())
    return x * scale.pow(-beta)


# The constants of self-normalising networks (Klambauer et al. 2017).
_SELU_SCALE, _SELU_ALPHA = 1.0507009873554805, 1.6732632423543772


def selu(x: Tensor) -> Tensor:
    """TensorFlow's Selu: zero counts as positive, where torch's counts it as negative (which the gradient shows)."""
    # The clamp keeps the branch that is not taken finite, as an infinite one would make the gradient NaN.
    return _SELU_SCALE * torch.where(x < 0, _SELU_ALPHA * torch.expm1(x.clamp(max=0)), x)


def maximum(x: Tensor, y: Tensor) -> Tensor:
    """TensorFlow's Maximum: where both are equal, the gradient is the first argument's."""
    return torch.where(x >= y, x, y)


def minimum(x: Tensor, y: Tensor) -> Tensor:
    """TensorFlow's Minimum: where both are equal, the gradient is the first argument's."""
    return torch.where(x <= y, x, y)


def concat(towers: Sequence[Tensor], dim: int) -> Tensor:
    """Joins values along torch's axis `dim`.

    Raises:
        InputSizeError: their other sizes differ.
    """
    sizes = {tuple(size for axis, size in enumerate(tower.shape) if axis != dim) for tower in towers}
    if len(sizes) != 1:
        raise InputSizeError(f"it joins values of sizes {[list(tower.shape) for tower in towers]}")
    return torch.cat(list(towers), dim)


def check_broadcast(x: Tensor, y: Tensor) -> None:
    """Raises InputSizeError where two values cannot be combined number by number."""
    sides = zip(reversed(x.shape), reversed(y.shape), strict=False)  # the shorter one has ones in front
    if any(a != b and 1 not in (a, b) for a, b in sides):
        raise InputSizeError(f"it combines values of sizes {list(x.shape)} and {list(y.shape)}")


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """MatMul of rows with the transpose of `weight`.

    Raises:
        InputSizeError: the rows have another length.
    """
    if x.shape[-1] != weight.shape[1]:
        raise InputSizeError(f"it multiplies rows of {x.shape[-1]} values by a matrix of {weight.shape[1]}")
    return F.linear(x, weight)


def to_tensorflow_order(x: Tensor) -> Tensor:
    """NCHW to NHWC; tensors of another rank are in TensorFlow's order already."""
    return x.permute(0, 2, 3, 1) if x.dim() == 4 else x


def from_tensorflow_order(x: Tensor) -> Tensor:
    """NHWC to NCHW; tensors of another rank stay as they are."""
    return x.permute(0, 3, 1, 2) if x.dim() == 4 else x


def reshape(x: Tensor, shape: Sequence[int]) -> Tensor:
    """TensorFlow's Reshape: values are read and laid out in NHWC order.

    A leading -1 folds spatial positions into the batch where they do not fit into the row, as TensorFlow does.

    Raises:
        InputSizeError: the number of values does not fit the shape.
    """
    values, fixed = x.numel(), math.prod(size for size in shape if size >= 0)
    fits = values % fixed == 0 if -1 in shape and fixed else values == fixed
    if not fits:
        sizes = list(to_tensorflow_order(x).shape)
        raise InputSizeError(f"{values} values of shape {sizes} do not fill rows of shape {list(shape)}")
    return from_tensorflow_order(to_tensorflow_order(x).reshape(tuple(shape)))
