"""A frozen TensorFlow graph as plain PyTorch, written by lucid_port's converter.

    model = load()                                  # weights.safetensors beside this file
    found = model(x, ["Select/y"])  # TensorFlow name -> value

x is (N, C, H, W) with 6 channels, any height and width, in the value range and channel order of the original input.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

INPUT_NAME = 'x'
IMAGE_SHAPE = None
IMAGE_VALUE_RANGE = None
IS_BGR = False
OUTPUTS = ('class-token/y', 'NCHW-within/y', 'Squeeze-one/y', 'Unpack-3/y', 'ArgMax-3/y', 'Add-vector/divisor', 'Add-vector/y', 'AddN-4/y', 'MaxPool-2-stride-1-SAME/y', 'AvgPool-2-stride-1-SAME/y', 'FusedBatchNorm-0.001/y', 'pad-positions/y', 'Relu6/y', 'Selu/y', 'Sigmoid/y', 'StopGradient/y', 'LeakyRelu/y', 'Slice-inner/y', 'Tile-1213/y', 'MirrorPad-REFLECT/y', 'LogSoftmax-rank-4/y', 'Split-3-3/y', 'Split-2-7/y', 'GatherV2-channels/y', 'ArgMin-3/y', 'ExpandDims-1-of-rank-2/y', 'Concat-constant-map/y', 'Squeeze-all/y', 'Select/y')
SOURCE_SHA256 = 'f5a45fbc2dbed873a07aff9355bb338f0f534a2923df6d29e12ce2cd9c2a9660'


class InputSizeError(ValueError):
    """A layer cannot be computed at this input size."""


def float32(number: float) -> float:
    """A number rounded to float32, in which TensorFlow computes scaled sizes."""
    if not math.isfinite(number):
        return number
    mantissa, exponent = math.frexp(number)
    return math.ldexp(round(mantissa * 2**24), exponent - 24)


SIZE_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "max": max,
    "min": min,
    "floor": math.floor,
    "ceil": math.ceil,
    "round": round,
    "int": int,
    "float": float,
    "float32": float32,
}


def evaluate_size(expression: Any, tensors: Sequence[Tensor]) -> Any:
    """The number that an expression stands for.

    Args:
        expression: see above.
        tensors: the layer's inputs.
    """
    if not isinstance(expression, tuple):
        return expression
    name, *operands = expression
    if name == "size":
        return tensors[operands[0]].shape[operands[1]]
    return SIZE_FUNCTIONS[name](*(evaluate_size(operand, tensors) for operand in operands))


def evaluate_sizes(expressions: Sequence[Any], tensors: Sequence[Tensor]) -> tuple[int, ...]:
    """The whole numbers that some expressions stand for."""
    return tuple(int(evaluate_size(expression, tensors)) for expression in expressions)


Pair = Sequence[int]


Padding = str | Sequence[int]


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


_SELU_SCALE = 1.0507009873554805


_SELU_ALPHA = 1.6732632423543772


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


def check_broadcast(x: Tensor, y: Tensor) -> None:
    """Raises InputSizeError where two values cannot be combined number by number."""
    sides = zip(reversed(x.shape), reversed(y.shape), strict=False)  # the shorter one has ones in front
    if any(a != b and 1 not in (a, b) for a, b in sides):
        raise InputSizeError(f"it combines values of sizes {list(x.shape)} and {list(y.shape)}")


def squared_difference(x: Tensor, y: Tensor) -> Tensor:
    """SquaredDifference."""
    return (x - y).square()


def floor_divide(x: Tensor, y: Tensor) -> Tensor:
    """FloorDiv; its gradient is zero, where torch's own has none."""
    return torch.div(x, y, rounding_mode="floor")


def div_no_nan(x: Tensor, y: Tensor) -> Tensor:
    """DivNoNan: zero where the divisor is, also in the gradient."""
    divides = y != 0
    return torch.where(divides, x / torch.where(divides, y, torch.ones_like(y)), torch.zeros_like(x))


def add_all(values: Sequence[Tensor]) -> Tensor:
    """AddN: the sum of any number of values, in their order."""
    total = values[0]
    for value in values[1:]:
        check_broadcast(total, value)
        total = total + value
    return total


def concat(towers: Sequence[Tensor], dim: int) -> Tensor:
    """Joins values along torch's axis `dim`.

    Raises:
        InputSizeError: their other sizes differ.
    """
    shapes = [tuple(tower.shape) for tower in towers]
    axis = dim % len(shapes[0])
    if len({shape[:axis] + shape[axis + 1 :] for shape in shapes}) != 1:
        raise InputSizeError(f"it joins values of sizes {[list(shape) for shape in shapes]}")
    return torch.cat(list(towers), dim)


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """MatMul of rows with the transpose of `weight`.

    Raises:
        InputSizeError: the rows have another length.
    """
    if x.shape[-1] != weight.shape[1]:
        raise InputSizeError(f"it multiplies rows of {x.shape[-1]} values by a matrix of {weight.shape[1]}")
    return F.linear(x, weight)


def to_tensorflow_order(x: Tensor, layout: str = "NHWC") -> Tensor:
    """A turned image (layout NHWC) as TensorFlow has it; what has another rank or layout is in its order already."""
    return x.permute(0, 2, 3, 1) if x.dim() == 4 and layout == "NHWC" else x


def from_tensorflow_order(x: Tensor, layout: str = "NHWC") -> Tensor:
    """The reverse of `to_tensorflow_order`."""
    return x.permute(0, 3, 1, 2) if x.dim() == 4 and layout == "NHWC" else x


def reshape(x: Tensor, shape: Sequence[int], source: str = "NHWC", target: str = "NHWC") -> Tensor:
    """TensorFlow's Reshape: values are read and laid out in TensorFlow's order.

    A leading -1 folds spatial positions into the batch where they do not fit into the row, as TensorFlow does.

    Args:
        x: any value.
        shape: to reshape to; one size may be -1.
        source: how `x` lies, if it has rank 4.
        target: how the result lies, if it has rank 4.

    Raises:
        InputSizeError: the number of values does not fit the shape.
    """
    values, fixed = x.numel(), math.prod(size for size in shape if size >= 0)
    fits = values % fixed == 0 if -1 in shape and fixed else values == fixed
    if not fits:
        sizes = list(to_tensorflow_order(x, source).shape)
        raise InputSizeError(f"{values} values of shape {sizes} do not fill rows of shape {list(shape)}")
    return from_tensorflow_order(to_tensorflow_order(x, source).reshape(tuple(shape)), target)


def split(x: Tensor, sizes: Sequence[int], dim: int) -> tuple[Tensor, ...]:
    """TensorFlow's SplitV along torch's axis `dim`; one size may be -1, for what the others leave.

    Raises:
        InputSizeError: the sizes are not the axis's length together.
    """
    length, stated = x.shape[dim], sum(size for size in sizes if size >= 0)
    if stated > length or (stated != length and -1 not in sizes):
        raise InputSizeError(f"it splits an axis of length {length} into {list(sizes)}")
    return x.split([length - stated if size < 0 else size for size in sizes], dim)


def chunk(x: Tensor, count: int, dim: int) -> tuple[Tensor, ...]:
    """TensorFlow's Split into equal parts along torch's axis `dim`.

    Raises:
        InputSizeError: the axis cannot be split so.
    """
    if x.shape[dim] % count:
        raise InputSizeError(f"it splits an axis of length {x.shape[dim]} into {count} equal parts")
    return x.split(x.shape[dim] // count, dim)


def unbind(x: Tensor, count: int, dim: int) -> tuple[Tensor, ...]:
    """TensorFlow's Unpack along torch's axis `dim`.

    Raises:
        InputSizeError: the axis has another length.
    """
    if x.shape[dim] != count:
        raise InputSizeError(f"it takes an axis of length {x.shape[dim]} apart into {count}")
    return x.unbind(dim)


def stack(values: Sequence[Tensor], dim: int) -> Tensor:
    """TensorFlow's Pack along a new axis `dim`.

    Raises:
        InputSizeError: the values' sizes differ.
    """
    shapes = [list(value.shape) for value in values]
    if any(shape != shapes[0] for shape in shapes):
        raise InputSizeError(f"it joins values of sizes {shapes}")
    return torch.stack(list(values), dim)


def squeeze(x: Tensor, dims: Sequence[int]) -> Tensor:
    """TensorFlow's Squeeze of torch's axes `dims`.

    Raises:
        InputSizeError: one of them is not of length 1.
    """
    if any(x.shape[dim] != 1 for dim in dims):
        raise InputSizeError(f"it drops axes of lengths {[x.shape[dim] for dim in dims]}, which have to be 1")
    return x.squeeze(tuple(dims))


def squeeze_all(x: Tensor, rank: int) -> Tensor:
    """TensorFlow's Squeeze of all axes of length 1.

    Where the image's size or the batch adds further such axes, TensorFlow drops them, too; layers behind see a value of
    a rank that they were not made for, so the batch's axis stays.

    Raises:
        InputSizeError: another number of axes is left than `rank`.
    """
    sizes = list(x.shape)
    left = [size for index, size in enumerate(sizes) if size != 1 or (index == 0 and sizes.count(1) > x.dim() - rank)]
    if len(left) != rank:
        raise InputSizeError(f"it drops all axes of length 1 of {sizes}, where {rank} axes were to stay")
    return x.reshape(left)


def index_axes(x: Tensor, items: Sequence[tuple[Any, ...]]) -> Tensor:
    """Parts of a value, as StridedSlice takes them.

    Args:
        x: any value.
        items: for each of its axes ("slice", begin, end, step) or ("at", position), and ("new",) for a new axis
            between; bounds may be None.

    Raises:
        InputSizeError: a position lies outside.
    """
    dim = 0
    for item in items:
        if item[0] == "new":
            x = x.unsqueeze(dim)
        elif item[0] == "at":
            if not -x.shape[dim] <= item[1] < x.shape[dim]:
                raise InputSizeError(f"it takes position {item[1]} of an axis of length {x.shape[dim]}")
            x = x.select(dim, item[1])
            continue
        else:
            x = slice_axis(x, dim, slice(*item[1:]))
        dim += 1
    return x


def slice_axis(x: Tensor, dim: int, piece: slice) -> Tensor:
    """A piece of one axis; steps may be negative."""
    positions = range(*piece.indices(x.shape[dim]))
    if positions.step > 0:
        return x[(slice(None),) * dim + (slice(positions.start, max(positions.stop, positions.start), positions.step),)]
    turned = positions[::-1]
    return x[(slice(None),) * dim + (slice(turned.start, max(turned.stop, turned.start), turned.step),)].flip(dim)


def take(x: Tensor, positions: Sequence[int], dim: int) -> Tensor:
    """TensorFlow's Gather of some positions along torch's axis `dim`.

    Raises:
        InputSizeError: a position lies outside.
    """
    if max(positions, default=-1) >= x.shape[dim]:
        raise InputSizeError(f"it takes position {max(positions)} of an axis of length {x.shape[dim]}")
    return x.index_select(dim, torch.tensor(positions, dtype=torch.long, device=x.device))


def tile(x: Tensor, times: Sequence[int]) -> Tensor:
    """Tile: each axis repeated.

    Raises:
        InputSizeError: the value has more axes than there are numbers of times.
    """
    if x.dim() != len(times):
        raise InputSizeError(f"it repeats {len(times)} axes of a value that has {x.dim()}")
    return x.repeat(*times)


def transpose(x: Tensor, order: Sequence[int]) -> Tensor:
    """A value whose axes are put in another order.

    Raises:
        InputSizeError: the value has another number of axes.
    """
    if x.dim() != len(order):
        raise InputSizeError(f"it puts {len(order)} axes in order, of a value that has {x.dim()}")
    return x.permute(tuple(order))


def mirror_pad(x: Tensor, padding: Sequence[int], repeats_border: bool) -> Tensor:
    """TensorFlow's MirrorPad.

    Args:
        x: any value.
        padding: in the order of `torch.nn.pad`, last axis first.
        repeats_border: whether the outermost values are mirrored, too (SYMMETRIC), or not (REFLECT).

    Raises:
        InputSizeError: more is padded than there is.
    """
    edge = 0 if repeats_border else 1
    for count in range(len(padding) // 2):
        before, after = padding[2 * count : 2 * count + 2]
        dim, length = x.dim() - 1 - count, x.shape[x.dim() - 1 - count]
        if max(before, after) > length - edge:
            raise InputSizeError(f"it mirrors {max(before, after)} values of an axis of length {length}")
        if before or after:
            ahead = range(before - 1 + edge, edge - 1, -1)
            behind = range(length - 1 - edge, length - 1 - edge - after, -1)
            order = torch.tensor([*ahead, *range(length), *behind], dtype=torch.long, device=x.device)
            x = x.index_select(dim, order)
    return x


def reduce_prod(x: Tensor, dims: Sequence[int], keepdim: bool) -> Tensor:
    """The product over several axes."""
    for dim in sorted(dims, reverse=True):
        x = x.prod(dim, keepdim)
    return x


def matmul(x: Tensor, y: Tensor) -> Tensor:
    """Matrix products of the last two axes.

    Raises:
        InputSizeError: the sizes do not fit.
    """
    if x.shape[-1] != y.shape[-2]:
        raise InputSizeError(f"it multiplies rows of {x.shape[-1]} values by a matrix of {y.shape[-2]}")
    return torch.matmul(x, y)


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
        return conv2d(x, self.weight, self.stride, self.padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        return f"{tuple(self.weight.shape)}, stride={tuple(self.stride)}, padding={self.padding!r}"


class MaxPool2d(nn.Module):
    """MaxPool."""

    def __init__(self, kernel_size: Pair, stride: Pair, padding: Padding = "SAME") -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        return max_pool2d(x, self.kernel_size, self.stride, self.padding)


class AvgPool2d(nn.Module):
    """AvgPool."""

    def __init__(self, kernel_size: Pair, stride: Pair, padding: Padding = "SAME") -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        return avg_pool2d(x, self.kernel_size, self.stride, self.padding)


class Bias(nn.Module):
    """BiasAdd: one number a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + (self.bias[:, None, None] if x.dim() == 4 else self.bias)


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
        return selu(x)


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
    """Softmax over the channels, or torch's axis `dim`."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return torch.softmax(x, dim=_channels(x) if self.dim is None else self.dim)


class LogSoftmax(nn.Module):
    """LogSoftmax over the channels, or torch's axis `dim`."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return torch.log_softmax(x, dim=_channels(x) if self.dim is None else self.dim)


def _channels(x: Tensor) -> int:
    return 1 if x.dim() == 4 else -1


class Cast(nn.Module):
    """Cast to a `kind` of numbers: float (which what is floating already stays), int or bool."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor) -> Tensor:
        if self.kind == "float":
            return x if x.is_floating_point() else x.to(torch.float32)
        return x.to(torch.int64 if self.kind == "int" else torch.bool)


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
    """A function of one value at a time."""

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
        return add_all(values)


class Select(nn.Module):
    """Select and SelectV2: the second value where the first holds, otherwise the third."""

    def forward(self, condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
        check_broadcast(condition, x)
        check_broadcast(x, y)
        return torch.where(condition.to(torch.bool), x, y)


BINARY_FUNCTIONS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "maximum": maximum,
    "minimum": minimum,
    "pow": torch.pow,
    "squared_difference": squared_difference,
    "div_no_nan": div_no_nan,
    "floordiv": floor_divide,
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
    """A function of two layers, or of a layer and a constant of `constant_shape`; see `BINARY_FUNCTIONS`."""

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
        check_broadcast(x, other)
        first, second = (other, x) if self.constant_first else (x, other)
        return BINARY_FUNCTIONS[self.function](first, second)

    def extra_repr(self) -> str:
        return repr(self.function)


class Linear(nn.Module):
    """MatMul with a constant matrix."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))

    def forward(self, x: Tensor) -> Tensor:
        return linear(x, self.weight)


class Concat(nn.Module):
    """Concat and ConcatV2; `dim` counts torch's axes (1 for the channels of NCHW)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *towers: Tensor) -> Tensor:
        return concat(towers, self.dim)


class Reshape(nn.Module):
    """Reshape; `shape` and the order of the values are TensorFlow's.

    Sizes may be expressions (`sizes`) over the layer's inputs, of which the first is reshaped.
    """

    def __init__(self, shape: Sequence[Any], source: str = "NHWC", target: str = "NHWC") -> None:
        super().__init__()
        self.shape, self.source, self.target = tuple(shape), source, target

    def forward(self, *inputs: Tensor) -> Tensor:
        shape = evaluate_sizes(self.shape, inputs)
        return reshape(inputs[0], shape, self.source, self.target)


class Squeeze(nn.Module):
    """Squeeze of torch's axes `dims`."""

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = tuple(dims)

    def forward(self, x: Tensor) -> Tensor:
        return squeeze(x, self.dims)


class SqueezeAll(nn.Module):
    """Squeeze without axes, which leaves `rank` of them."""

    def __init__(self, rank: int) -> None:
        super().__init__()
        self.rank = rank

    def forward(self, x: Tensor) -> Tensor:
        return squeeze_all(x, self.rank)


class Unsqueeze(nn.Module):
    """ExpandDims: a new axis `dim`; then the axes are put in another `order`."""

    def __init__(self, dim: int, order: Sequence[int] | None = None) -> None:
        super().__init__()
        self.dim, self.order = dim, order

    def forward(self, x: Tensor) -> Tensor:
        x = x.unsqueeze(self.dim)
        return x if self.order is None else transpose(x, self.order)


class Mean(nn.Module):
    """Mean over torch's axes `dims`."""

    def __init__(self, dims: Sequence[int], keepdim: bool = False) -> None:
        super().__init__()
        self.dims, self.keepdim = tuple(dims), keepdim

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(self.dims, self.keepdim)


class Pad(nn.Module):
    """Pad with a constant; `padding` is in the order of `torch.nn.pad` (last axis first)."""

    def __init__(self, padding: Sequence[Any], value: float = 0.0) -> None:
        super().__init__()
        self.padding, self.value = tuple(padding), value

    def forward(self, *inputs: Tensor) -> Tensor:
        return F.pad(inputs[0], evaluate_sizes(self.padding, inputs), value=self.value)


class MirrorPad(nn.Module):
    """MirrorPad; `padding` is in the order of `torch.nn.pad` (last axis first)."""

    def __init__(self, padding: Sequence[Any], repeats_border: bool) -> None:
        super().__init__()
        self.padding, self.repeats_border = tuple(padding), repeats_border

    def forward(self, *inputs: Tensor) -> Tensor:
        padding = evaluate_sizes(self.padding, inputs)
        return mirror_pad(inputs[0], padding, self.repeats_border)


class Tile(nn.Module):
    """Tile: each of torch's axes repeated some `times`."""

    def __init__(self, times: Sequence[Any]) -> None:
        super().__init__()
        self.times = tuple(times)

    def forward(self, *inputs: Tensor) -> Tensor:
        return tile(inputs[0], evaluate_sizes(self.times, inputs))


class Stack(nn.Module):
    """Pack: values joined along a new axis `dim`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *values: Tensor) -> Tensor:
        return stack(values, self.dim)


class Index(nn.Module):
    """Slice and StridedSlice; `items` are those of `index_axes`, with expressions of sizes for bounds."""

    def __init__(self, items: Sequence[tuple[Any, ...]]) -> None:
        super().__init__()
        self.items = tuple(items)

    def forward(self, *inputs: Tensor) -> Tensor:
        items = [(kind, *(evaluate_size(bound, inputs) for bound in bounds)) for kind, *bounds in self.items]
        return index_axes(inputs[0], items)


class Take(nn.Module):
    """Gather: some `positions` along torch's axis `dim`."""

    def __init__(self, positions: Sequence[int], dim: int) -> None:
        super().__init__()
        self.positions, self.dim = tuple(positions), dim

    def forward(self, x: Tensor) -> Tensor:
        return take(x, self.positions, self.dim)


class MatMul(nn.Module):
    """MatMul and BatchMatMul of two values."""

    def __init__(self, transpose_a: bool = False, transpose_b: bool = False) -> None:
        super().__init__()
        self.transpose_a, self.transpose_b = transpose_a, transpose_b

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return matmul(x.mT if self.transpose_a else x, y.mT if self.transpose_b else y)


REDUCTIONS: dict[str, Callable[[Tensor, tuple[int, ...], bool], Tensor]] = {
    "sum": torch.sum,
    "max": torch.amax,
    "min": torch.amin,
    "prod": reduce_prod,
}


class Reduce(nn.Module):
    """Sum, Max, Min and Prod over torch's axes `dims`."""

    def __init__(self, function: str, dims: Sequence[int], keepdim: bool = False) -> None:
        super().__init__()
        self.function, self.dims, self.keepdim = function, tuple(dims), keepdim

    def forward(self, x: Tensor) -> Tensor:
        return REDUCTIONS[self.function](x, self.dims, self.keepdim)

    def extra_repr(self) -> str:
        return repr(self.function)


class ArgMax(nn.Module):
    """ArgMax along torch's axis `dim`: the first of equal values wins."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return x.argmax(self.dim)


class ArgMin(nn.Module):
    """ArgMin along torch's axis `dim`: the first of equal values wins."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, x: Tensor) -> Tensor:
        return x.argmin(self.dim)


class Split(nn.Module):
    """Split and SplitV: parts of some `sizes` along torch's axis `dim`, one of which may be -1 for the rest."""

    def __init__(self, sizes: Sequence[int], dim: int) -> None:
        super().__init__()
        self.sizes, self.dim = tuple(sizes), dim

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return split(x, self.sizes, self.dim)


class Chunk(nn.Module):
    """Split of an axis whose length only the image tells, into `count` equal parts."""

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.count, self.dim = count, dim

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return chunk(x, self.count, self.dim)


class Unbind(nn.Module):
    """Unpack: `count` values along torch's axis `dim`, which goes."""

    def __init__(self, count: int, dim: int) -> None:
        super().__init__()
        self.count, self.dim = count, dim

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return unbind(x, self.count, self.dim)


class Arrange(nn.Module):
    """A value with `lead` axes of length 1 put in front, and then turned so that its axes are `dims`."""

    def __init__(self, dims: Sequence[int], lead: int = 0) -> None:
        super().__init__()
        self.dims, self.lead = tuple(dims), lead

    def forward(self, x: Tensor) -> Tensor:
        return transpose(x.reshape((1,) * self.lead + tuple(x.shape)), self.dims)


class Constant(nn.Module):
    """A constant that the graph joins to its values."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.value = nn.Parameter(torch.empty(tuple(shape)))

    def forward(self) -> Tensor:
        return self.value


class Model(nn.Module):
    """The graph, one attribute a layer."""

    def __init__(self) -> None:
        super().__init__()

        self.class_token__tokens = Reshape((-1, 35, 6))
        self.class_token__mean = Mean((1,), keepdim=True)
        self.class_token__joined = Concat(1)
        self.class_token__positioned = Binary('add', constant_shape=(36, 6))
        self.class_token__query__flat = Reshape((-1, 6))
        self.class_token__query__rows = Linear(6, 6)
        self.class_token__query__heads = Reshape((-1, 36, 2, 3))
        self.class_token__query__turned = Arrange((0, 1, 3, 2))
        self.class_token__key__flat = Reshape((-1, 6))
        self.class_token__key__rows = Linear(6, 6)
        self.class_token__key__heads = Reshape((-1, 36, 2, 3))
        self.class_token__key__turned = Arrange((0, 1, 3, 2))
        self.class_token__value__flat = Reshape((-1, 6))
        self.class_token__value__rows = Linear(6, 6)
        self.class_token__value__heads = Reshape((-1, 36, 2, 3))
        self.class_token__value__turned = Arrange((0, 1, 3, 2))
        self.class_token__query__turned__NCHW = Arrange((0, 2, 3, 1))
        self.class_token__key__turned__NCHW = Arrange((0, 2, 3, 1))
        self.class_token__logits = MatMul(transpose_b=True)
        self.class_token__scaled = Binary('mul', constant_shape=(1, 1, 1, 1))
        self.class_token__attention = Softmax(dim=3)
        self.class_token__value__turned__NCHW = Arrange((0, 2, 3, 1))
        self.class_token__mixed = MatMul()
        self.class_token__back = Arrange((0, 2, 1, 3))
        self.class_token__y = Reshape((-1, 36, 6), source='NCHW')

        self.NCHW_within__conv = Conv2d(6, 4, (3, 3), stride=(2, 2))
        self.NCHW_within__nchw = Identity()
        self.NCHW_within__relu = Relu()
        self.NCHW_within__back = Identity()
        self.NCHW_within__y = Bias(4)

        self.Squeeze_one__row = Reduce('max', (2,), keepdim=True)
        self.Squeeze_one__row__NCHW = Arrange((0, 2, 3, 1))
        self.Squeeze_one__less = Squeeze((1,))
        self.Squeeze_one__y = Tanh()

        self.Squeeze_all__pool = Mean((2, 3), keepdim=True)
        self.Squeeze_all__pool__NCHW = Arrange((0, 2, 3, 1))
        self.Squeeze_all__less = SqueezeAll(2)
        self.Squeeze_all__y = Linear(6, 3)

        self.ExpandDims_1_of_rank_2__less = Mean((2, 3))
        self.ExpandDims_1_of_rank_2__more = Unsqueeze(1)
        self.ExpandDims_1_of_rank_2__y = Tanh()

        self.Concat_constant_map__map__value = Constant((2, 5, 7, 2))
        self.Concat_constant_map__map__value__NHWC = Arrange((0, 3, 1, 2))
        self.Concat_constant_map__y = Concat(1)
        self.Concat_constant_map__y_pre_relu = Concat(1)

        self.Select__tanh = Tanh()
        self.Select__condition = Binary('greater')
        self.Select__exp = Unary('exp')
        self.Select__square = Unary('square')
        self.Select__y = Select()

        self.Unpack_3__parts = Unbind(6, 1)
        self.Unpack_3__y = Stack(1)

        self.ArgMax_3__found = ArgMax(1)
        self.ArgMax_3__y = Cast('float')

        self.Add_vector__shifted = Elu()
        self.Add_vector__divisor = Softplus()
        self.Add_vector__y = Binary('add', constant_shape=(1, 6, 1, 1))

        self.AddN_4__other0 = Tanh()
        self.AddN_4__other1 = Unary('exp')
        self.AddN_4__other2 = Relu()
        self.AddN_4__y = Sum()

        self.Split_3_3__parts = Split((2, 2, 2), 1)
        self.Split_3_3__y = Tanh()

        self.Split_2_7__parts = Chunk(7, 3)
        self.Split_2_7__y = Tanh()

        self.GatherV2_channels__found = Take((2, 1, 0, 2), 1)
        self.GatherV2_channels__y = Tanh()

        self.ArgMin_3__found = ArgMin(1)
        self.ArgMin_3__y = Cast('float')

        self.MaxPool_2_stride_1_SAME__y = MaxPool2d((2, 2), (1, 1))

        self.AvgPool_2_stride_1_SAME__y = AvgPool2d((2, 2), (1, 1))

        self.FusedBatchNorm_0_001__y = BatchNorm(6, 0.0010000000474974513)

        self.pad_positions__y = Pad((3, 0, 1, 2, 0, 0, 0, 0))

        self.Relu6__y = Relu6()

        self.Selu__y = Selu()

        self.Sigmoid__y = Sigmoid()

        self.StopGradient__y = StopGradient()

        self.LeakyRelu__y = LeakyRelu(0.2)

        self.Slice_inner__y = Index((('slice', 0, None, 1), ('slice', 1, None, 1), ('slice', 1, 4, 1), ('slice', 2, 6, 1)))

        self.Tile_1213__y = Tile((1, 3, 2, 1))

        self.MirrorPad_REFLECT__y = MirrorPad((3, 0, 2, 1, 0, 0, 0, 0), False)

        self.LogSoftmax_rank_4__y = LogSoftmax()

    def forward(self, x: Tensor, names: Sequence[str] = OUTPUTS) -> dict[str, Tensor]:
        """TensorFlow name -> value for some layers; runs the layers in order until all of them are found."""
        if x.dim() != 4:
            raise ValueError(f"The input has shape {list(x.shape)}; the model reads a batch of images, (N, C, H, W).")
        wanted = [names] if isinstance(names, str) else list(names)
        found: dict[str, Tensor] = {}
        last = INPUT_NAME
        try:
            for last, value in self.run(x):
                if last in wanted:
                    found[last] = value
                if len(found) == len(set(wanted)):
                    return found
        except InputSizeError as error:
            raise InputSizeError(f"The layer after {last!r} cannot be computed at this size: {error}.") from None
        raise KeyError(f"There are no layers {sorted(set(wanted) - set(found))}.")

    def run(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Each layer's TensorFlow name and value, in order."""

        yield 'class-token/tokens', (class_token__tokens := self.class_token__tokens(x))
        yield 'class-token/mean', (class_token__mean := self.class_token__mean(class_token__tokens))
        yield 'class-token/joined', (class_token__joined := self.class_token__joined(class_token__mean, class_token__tokens))
        yield 'class-token/positioned', (class_token__positioned := self.class_token__positioned(class_token__joined))
        yield 'class-token/query/flat', (class_token__query__flat := self.class_token__query__flat(class_token__positioned))
        yield 'class-token/query/rows', (class_token__query__rows := self.class_token__query__rows(class_token__query__flat))
        yield 'class-token/query/heads', (class_token__query__heads := self.class_token__query__heads(class_token__query__rows))
        yield 'class-token/query/turned', (class_token__query__turned := self.class_token__query__turned(class_token__query__heads))
        yield 'class-token/key/flat', (class_token__key__flat := self.class_token__key__flat(class_token__positioned))
        yield 'class-token/key/rows', (class_token__key__rows := self.class_token__key__rows(class_token__key__flat))
        yield 'class-token/key/heads', (class_token__key__heads := self.class_token__key__heads(class_token__key__rows))
        yield 'class-token/key/turned', (class_token__key__turned := self.class_token__key__turned(class_token__key__heads))
        yield 'class-token/value/flat', (class_token__value__flat := self.class_token__value__flat(class_token__positioned))
        yield 'class-token/value/rows', (class_token__value__rows := self.class_token__value__rows(class_token__value__flat))
        yield 'class-token/value/heads', (class_token__value__heads := self.class_token__value__heads(class_token__value__rows))
        yield 'class-token/value/turned', (class_token__value__turned := self.class_token__value__turned(class_token__value__heads))
        class_token__query__turned__NCHW = self.class_token__query__turned__NCHW(class_token__query__turned)
        class_token__key__turned__NCHW = self.class_token__key__turned__NCHW(class_token__key__turned)
        yield 'class-token/logits', (class_token__logits := self.class_token__logits(class_token__query__turned__NCHW, class_token__key__turned__NCHW))
        yield 'class-token/scaled', (class_token__scaled := self.class_token__scaled(class_token__logits))
        yield 'class-token/attention', (class_token__attention := self.class_token__attention(class_token__scaled))
        class_token__value__turned__NCHW = self.class_token__value__turned__NCHW(class_token__value__turned)
        yield 'class-token/mixed', (class_token__mixed := self.class_token__mixed(class_token__attention, class_token__value__turned__NCHW))
        yield 'class-token/back', (class_token__back := self.class_token__back(class_token__mixed))
        yield 'class-token/y', (class_token__y := self.class_token__y(class_token__back))

        yield 'NCHW-within/conv', (NCHW_within__conv := self.NCHW_within__conv(x))
        yield 'NCHW-within/nchw', (NCHW_within__nchw := self.NCHW_within__nchw(NCHW_within__conv))
        yield 'NCHW-within/relu', (NCHW_within__relu := self.NCHW_within__relu(NCHW_within__nchw))
        yield 'NCHW-within/back', (NCHW_within__back := self.NCHW_within__back(NCHW_within__relu))
        yield 'NCHW-within/y', (NCHW_within__y := self.NCHW_within__y(NCHW_within__back))

        yield 'Squeeze-one/row', (Squeeze_one__row := self.Squeeze_one__row(x))
        Squeeze_one__row__NCHW = self.Squeeze_one__row__NCHW(Squeeze_one__row)
        yield 'Squeeze-one/less', (Squeeze_one__less := self.Squeeze_one__less(Squeeze_one__row__NCHW))
        yield 'Squeeze-one/y', (Squeeze_one__y := self.Squeeze_one__y(Squeeze_one__less))

        yield 'Squeeze-all/pool', (Squeeze_all__pool := self.Squeeze_all__pool(x))
        Squeeze_all__pool__NCHW = self.Squeeze_all__pool__NCHW(Squeeze_all__pool)
        yield 'Squeeze-all/less', (Squeeze_all__less := self.Squeeze_all__less(Squeeze_all__pool__NCHW))
        yield 'Squeeze-all/y', (Squeeze_all__y := self.Squeeze_all__y(Squeeze_all__less))

        yield 'ExpandDims-1-of-rank-2/less', (ExpandDims_1_of_rank_2__less := self.ExpandDims_1_of_rank_2__less(x))
        yield 'ExpandDims-1-of-rank-2/more', (ExpandDims_1_of_rank_2__more := self.ExpandDims_1_of_rank_2__more(ExpandDims_1_of_rank_2__less))
        yield 'ExpandDims-1-of-rank-2/y', (ExpandDims_1_of_rank_2__y := self.ExpandDims_1_of_rank_2__y(ExpandDims_1_of_rank_2__more))

        Concat_constant_map__map__value = self.Concat_constant_map__map__value()
        Concat_constant_map__map__value__NHWC = self.Concat_constant_map__map__value__NHWC(Concat_constant_map__map__value)
        yield 'Concat-constant-map/y', (Concat_constant_map__y := self.Concat_constant_map__y(x, Concat_constant_map__map__value__NHWC))
        yield 'Concat-constant-map/y_pre_relu', (Concat_constant_map__y_pre_relu := self.Concat_constant_map__y_pre_relu(x, Concat_constant_map__map__value__NHWC))

        yield 'Select/tanh', (Select__tanh := self.Select__tanh(x))
        yield 'Select/condition', (Select__condition := self.Select__condition(x, Select__tanh))
        yield 'Select/exp', (Select__exp := self.Select__exp(x))
        yield 'Select/square', (Select__square := self.Select__square(x))
        yield 'Select/y', (Select__y := self.Select__y(Select__condition, Select__exp, Select__square))

        Unpack_3__parts = self.Unpack_3__parts(x)
        yield 'Unpack-3/parts', Unpack_3__parts[0]
        yield 'Unpack-3/parts:1', Unpack_3__parts[1]
        yield 'Unpack-3/parts:2', Unpack_3__parts[2]
        yield 'Unpack-3/parts:3', Unpack_3__parts[3]
        yield 'Unpack-3/parts:4', Unpack_3__parts[4]
        yield 'Unpack-3/parts:5', Unpack_3__parts[5]
        yield 'Unpack-3/y', (Unpack_3__y := self.Unpack_3__y(Unpack_3__parts[5], Unpack_3__parts[0], Unpack_3__parts[1]))

        yield 'ArgMax-3/found', (ArgMax_3__found := self.ArgMax_3__found(x))
        yield 'ArgMax-3/y', (ArgMax_3__y := self.ArgMax_3__y(ArgMax_3__found))

        yield 'Add-vector/shifted', (Add_vector__shifted := self.Add_vector__shifted(x))
        yield 'Add-vector/divisor', (Add_vector__divisor := self.Add_vector__divisor(Add_vector__shifted))
        yield 'Add-vector/y', (Add_vector__y := self.Add_vector__y(Add_vector__shifted))

        yield 'AddN-4/other0', (AddN_4__other0 := self.AddN_4__other0(x))
        yield 'AddN-4/other1', (AddN_4__other1 := self.AddN_4__other1(x))
        yield 'AddN-4/other2', (AddN_4__other2 := self.AddN_4__other2(x))
        yield 'AddN-4/y', (AddN_4__y := self.AddN_4__y(x, AddN_4__other0, AddN_4__other1, AddN_4__other2))

        Split_3_3__parts = self.Split_3_3__parts(x)
        yield 'Split-3-3/parts', Split_3_3__parts[0]
        yield 'Split-3-3/parts:1', Split_3_3__parts[1]
        yield 'Split-3-3/parts:2', Split_3_3__parts[2]
        yield 'Split-3-3/y', (Split_3_3__y := self.Split_3_3__y(Split_3_3__parts[2]))

        Split_2_7__parts = self.Split_2_7__parts(x)
        yield 'Split-2-7/parts', Split_2_7__parts[0]
        yield 'Split-2-7/parts:1', Split_2_7__parts[1]
        yield 'Split-2-7/parts:2', Split_2_7__parts[2]
        yield 'Split-2-7/parts:3', Split_2_7__parts[3]
        yield 'Split-2-7/parts:4', Split_2_7__parts[4]
        yield 'Split-2-7/parts:5', Split_2_7__parts[5]
        yield 'Split-2-7/parts:6', Split_2_7__parts[6]
        yield 'Split-2-7/y', (Split_2_7__y := self.Split_2_7__y(Split_2_7__parts[3]))

        yield 'GatherV2-channels/found', (GatherV2_channels__found := self.GatherV2_channels__found(x))
        yield 'GatherV2-channels/y', (GatherV2_channels__y := self.GatherV2_channels__y(GatherV2_channels__found))

        yield 'ArgMin-3/found', (ArgMin_3__found := self.ArgMin_3__found(x))
        yield 'ArgMin-3/y', (ArgMin_3__y := self.ArgMin_3__y(ArgMin_3__found))

        yield 'MaxPool-2-stride-1-SAME/y', (MaxPool_2_stride_1_SAME__y := self.MaxPool_2_stride_1_SAME__y(x))

        yield 'AvgPool-2-stride-1-SAME/y', (AvgPool_2_stride_1_SAME__y := self.AvgPool_2_stride_1_SAME__y(x))

        yield 'FusedBatchNorm-0.001/y', (FusedBatchNorm_0_001__y := self.FusedBatchNorm_0_001__y(x))

        yield 'pad-positions/y', (pad_positions__y := self.pad_positions__y(x))

        yield 'Relu6/y', (Relu6__y := self.Relu6__y(x))

        yield 'Selu/y', (Selu__y := self.Selu__y(x))

        yield 'Sigmoid/y', (Sigmoid__y := self.Sigmoid__y(x))

        yield 'StopGradient/y', (StopGradient__y := self.StopGradient__y(x))

        yield 'LeakyRelu/y', (LeakyRelu__y := self.LeakyRelu__y(x))

        yield 'Slice-inner/y', (Slice_inner__y := self.Slice_inner__y(x))

        yield 'Tile-1213/y', (Tile_1213__y := self.Tile_1213__y(x))

        yield 'MirrorPad-REFLECT/y', (MirrorPad_REFLECT__y := self.MirrorPad_REFLECT__y(x))

        yield 'LogSoftmax-rank-4/y', (LogSoftmax_rank_4__y := self.LogSoftmax_rank_4__y(x))


def load(folder: str | Path = Path(__file__).parent) -> Model:
    """The model with its weights, in evaluation mode and frozen."""
    model = Model()
    model.load_state_dict(load_file(Path(folder) / "weights.safetensors"))
    return model.requires_grad_(False).eval().to(memory_format=torch.channels_last)
