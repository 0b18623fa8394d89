"""A frozen TensorFlow graph as plain PyTorch, written by lucid_port's converter.

    model = load()                                  # weights.safetensors beside this file
    found = model(x, ["sizes-resize-twice/y"])  # TensorFlow name -> value

x is (N, C, H, W) with 4 channels, any height and width, in the value range and channel order of the original input.
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
OUTPUTS = ('sizes-transposed-SAME/y', 'sizes-zeros/y', 'sizes-crop-and-count/y', 'sizes-atrous/y', 'sizes-resize-twice/y')
SOURCE_SHA256 = '46bd165d6a0402c7203a5e33cf5f532455d995fcc0449f1447e5c0d50b0b3c82'


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


def split(x: Tensor, sizes: Sequence[int], dim: int) -> tuple[Tensor, ...]:
    """TensorFlow's SplitV along torch's axis `dim`; one size may be -1, for what the others leave.

    Raises:
        InputSizeError: the sizes are not the axis's length together.
    """
    length, stated = x.shape[dim], sum(size for size in sizes if size >= 0)
    if stated > length or (stated != length and -1 not in sizes):
        raise InputSizeError(f"it splits an axis of length {length} into {list(sizes)}")
    return x.split([length - stated if size < 0 else size for size in sizes], dim)


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


def reduce_prod(x: Tensor, dims: Sequence[int], keepdim: bool) -> Tensor:
    """The product over several axes."""
    for dim in sorted(dims, reverse=True):
        x = x.prod(dim, keepdim)
    return x


def resize_scale(source: int, target: int, convention: str) -> Tensor:
    """Input pixels to an output pixel, float32."""
    if convention == "corners" and target > 1:
        source, target = source - 1, target - 1
    return torch.tensor(float(source)) / float(target)


def bilinear_table(source: int, target: int, convention: str) -> tuple[Tensor, Tensor, Tensor]:
    """For each output pixel along one axis: the input pixels on both sides, and the weight of the upper one."""
    index = torch.arange(target, dtype=torch.float32)
    scale = resize_scale(source, target, convention)
    at = (index + 0.5) * scale - 0.5 if convention == "half_pixel" else index * scale
    below = at.floor()
    low = below.long().clamp(min=0)
    return low, (below.long() + 1).clamp(0, source - 1), at - below


def nearest_table(source: int, target: int, convention: str) -> Tensor:
    """For each output pixel along one axis: the input pixel that it is."""
    index = torch.arange(target, dtype=torch.float32)
    at = (index + 0.5 if convention == "half_pixel" else index) * resize_scale(source, target, convention)
    at = (at + 0.5).floor() if convention == "corners" else at.floor()
    return at.long().clamp(0, source - 1)


def _lerp_axis(x: Tensor, dim: int, target: int, convention: str) -> Tensor:
    low, high, weight = (table.to(x.device) for table in bilinear_table(x.shape[dim], target, convention))
    below = x.index_select(dim, low)
    weight = weight.to(x.dtype)
    return below + (x.index_select(dim, high) - below) * (weight[:, None] if dim == 2 else weight)


def resize(x: Tensor, size: Sequence[int], method: str, convention: str) -> Tensor:
    """TensorFlow's ResizeBilinear and ResizeNearestNeighbor of (N, C, H, W).

    Args:
        x: the images.
        size: (height, width) to resize to.
        method: `bilinear` or `nearest`.
        convention: `legacy`, `half_pixel` (half_pixel_centers) or `corners` (align_corners).

    Raises:
        InputSizeError: the size is none.
    """
    height, width = size
    if min(height, width, *x.shape[-2:]) < 1:
        raise InputSizeError(f"it resizes images of {list(x.shape[-2:])} to {list(size)}")
    if method == "bilinear":
        return _lerp_axis(_lerp_axis(x, 3, width, convention), 2, height, convention)
    rows, columns = (nearest_table(x.shape[dim], n, convention).to(x.device) for dim, n in ((2, height), (3, width)))
    return x.index_select(2, rows).index_select(3, columns)


def space_to_batch(x: Tensor, block: Sequence[int], padding: Sequence[int], dims: Sequence[int]) -> Tensor:
    """SpaceToBatchND.

    Args:
        x: any value whose first axis is the batch.
        block: positions of a block along each axis.
        padding: zeros before and after each axis, in pairs.
        dims: torch's axes.

    Raises:
        InputSizeError: an axis does not consist of whole blocks.
    """
    pads = [(0, 0)] * x.dim()
    for index, dim in enumerate(dims):
        pads[dim] = (padding[2 * index], padding[2 * index + 1])
    x = F.pad(x, [amount for pair in reversed(pads) for amount in pair])
    split: list[int] = []
    position = {}  # of the block within the split axes
    for dim, size in enumerate(x.shape):
        if dim not in dims:
            split.append(size)
            continue
        length = block[list(dims).index(dim)]
        if size % length:
            raise InputSizeError(f"it cuts an axis of length {size} into blocks of {length}")
        split += [size // length, length]
        position[dim] = len(split) - 1
    blocks = [position[dim] for dim in dims]
    order = [*blocks, *(axis for axis in range(len(split)) if axis not in blocks)]
    sizes = [size // block[list(dims).index(dim)] if dim in dims else size for dim, size in enumerate(x.shape)]
    return x.reshape(split).permute(order).reshape([x.shape[0] * math.prod(block), *sizes[1:]])


def batch_to_space(x: Tensor, block: Sequence[int], crops: Sequence[int], dims: Sequence[int]) -> Tensor:
    """BatchToSpaceND; the arguments are those of `space_to_batch`, whose reverse it is, with crops for paddings.

    Raises:
        InputSizeError: the batch does not consist of whole blocks, or less is left than is cut off.
    """
    if x.shape[0] % math.prod(block):
        raise InputSizeError(f"it makes blocks of {list(block)} of a batch of {x.shape[0]}")
    x = x.reshape([*block, x.shape[0] // math.prod(block), *x.shape[1:]])
    order = [len(block)]
    for dim in range(1, x.dim() - len(block)):
        order.append(len(block) + dim)
        if dim in dims:
            order.append(list(dims).index(dim))
    x = x.permute(order)
    sizes, axis = [], 0
    for dim in range(x.dim() - len(block)):
        sizes.append(x.shape[axis] * (x.shape[axis + 1] if dim in dims else 1))
        axis += 2 if dim in dims else 1
    x = x.reshape(sizes)
    for index, dim in enumerate(dims):
        before, after = crops[2 * index], crops[2 * index + 1]
        if before + after > x.shape[dim]:
            raise InputSizeError(f"it cuts {before + after} off an axis of length {x.shape[dim]}")
        x = x.narrow(dim, before, x.shape[dim] - before - after)
    return x


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


class ConvTranspose2d(nn.Module):
    """Conv2DBackpropInput, the transposed convolution; `size` (batch, rows, columns) may be expressions of sizes."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Pair,
        size: Sequence[Any],
        stride: Pair = (1, 1),
        padding: Padding = "SAME",
        dilation: Pair = (1, 1),
    ) -> None:
        super().__init__()
        self.size, self.stride, self.padding, self.dilation = tuple(size), stride, padding, dilation
        self.weight = nn.Parameter(torch.empty(in_channels, out_channels, *kernel_size))

    def forward(self, *inputs: Tensor) -> Tensor:
        batch, *size = evaluate_sizes(self.size, inputs)
        check_batch(inputs[0], batch)
        return conv2d_transpose(inputs[0], self.weight, size, self.stride, self.padding, self.dilation)


class Bias(nn.Module):
    """BiasAdd: one number a channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + (self.bias[:, None, None] if x.dim() == 4 else self.bias)


class Relu(nn.Module):
    """Relu."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x)


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


class Concat(nn.Module):
    """Concat and ConcatV2; `dim` counts torch's axes (1 for the channels of NCHW)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *towers: Tensor) -> Tensor:
        return concat(towers, self.dim)


class Tile(nn.Module):
    """Tile: each of torch's axes repeated some `times`."""

    def __init__(self, times: Sequence[Any]) -> None:
        super().__init__()
        self.times = tuple(times)

    def forward(self, *inputs: Tensor) -> Tensor:
        return tile(inputs[0], evaluate_sizes(self.times, inputs))


class Fill(nn.Module):
    """Fill: one number all over a shape that depends on the inputs' sizes."""

    def __init__(self, shape: Sequence[Any], value: float) -> None:
        super().__init__()
        self.shape, self.value = tuple(shape), value

    def forward(self, *inputs: Tensor) -> Tensor:
        return inputs[0].new_full(evaluate_sizes(self.shape, inputs), self.value)


class Index(nn.Module):
    """Slice and StridedSlice; `items` are those of `index_axes`, with expressions of sizes for bounds."""

    def __init__(self, items: Sequence[tuple[Any, ...]]) -> None:
        super().__init__()
        self.items = tuple(items)

    def forward(self, *inputs: Tensor) -> Tensor:
        items = [(kind, *(evaluate_size(bound, inputs) for bound in bounds)) for kind, *bounds in self.items]
        return index_axes(inputs[0], items)


class Resize(nn.Module):
    """ResizeBilinear and ResizeNearestNeighbor; `size` may be expressions of sizes."""

    def __init__(self, size: Sequence[Any], method: str, convention: str) -> None:
        super().__init__()
        self.size, self.method, self.convention = tuple(size), method, convention

    def forward(self, *inputs: Tensor) -> Tensor:
        return resize(inputs[0], evaluate_sizes(self.size, inputs), self.method, self.convention)


class SpaceToBatch(nn.Module):
    """SpaceToBatchND over torch's axes `dims`."""

    def __init__(self, block: Sequence[int], padding: Sequence[Any], dims: Sequence[int]) -> None:
        super().__init__()
        self.block, self.padding, self.dims = tuple(block), tuple(padding), tuple(dims)

    def forward(self, *inputs: Tensor) -> Tensor:
        padding = evaluate_sizes(self.padding, inputs)
        return space_to_batch(inputs[0], self.block, padding, self.dims)


class BatchToSpace(nn.Module):
    """BatchToSpaceND over torch's axes `dims`."""

    def __init__(self, block: Sequence[int], crops: Sequence[Any], dims: Sequence[int]) -> None:
        super().__init__()
        self.block, self.crops, self.dims = tuple(block), tuple(crops), tuple(dims)

    def forward(self, *inputs: Tensor) -> Tensor:
        crops = evaluate_sizes(self.crops, inputs)
        return batch_to_space(inputs[0], self.block, crops, self.dims)


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


class Numbers(nn.Module):
    """Numbers that follow from its inputs' sizes, as a value of some `shape`."""

    def __init__(self, numbers: Sequence[Any], shape: Sequence[int]) -> None:
        super().__init__()
        self.numbers, self.shape = tuple(numbers), tuple(shape)

    def forward(self, *inputs: Tensor) -> Tensor:
        numbers = [float(evaluate_size(number, inputs)) for number in self.numbers]
        return torch.tensor(numbers, dtype=inputs[0].dtype, device=inputs[0].device).reshape(self.shape)


class Model(nn.Module):
    """The graph, one attribute a layer."""

    def __init__(self) -> None:
        super().__init__()

        self.sizes_zeros__filled = Fill((('size', 0, 0), 2, ('size', 0, 2), ('size', 0, 3)), 0.5)
        self.sizes_zeros__v__value = Constant((1, 1, 1, 2))
        self.sizes_zeros__vector = Tile((('size', 1, 0), ('size', 1, 2), ('size', 1, 3), 1))
        self.sizes_zeros__relu = Relu()
        self.sizes_zeros__vector__NHWC = Arrange((0, 3, 1, 2))
        self.sizes_zeros__y = Concat(1)
        self.sizes_zeros__y_pre_relu = Concat(1)

        self.sizes_crop_and_count__part = Index((('slice', None, None, 1), ('slice', None, None, 1), ('slice', ('floordiv', ('size', 0, 2), 4), None, 1), ('slice', ('floordiv', ('size', 0, 3), 4), None, 1)))
        self.sizes_crop_and_count__total = Reduce('sum', (2, 3))
        self.sizes_crop_and_count__count = Numbers((('float', ('mul', ('size', 0, 2), ('size', 0, 3))),), ())
        self.sizes_crop_and_count__y = Binary('div')

        self.sizes_atrous__apart = SpaceToBatch((2, 2), (2, ('add', ('mod', ('sub', 2, ('mod', ('add', ('size', 0, 2), 4), 2)), 2), 2), 2, ('add', ('mod', ('sub', 2, ('mod', ('add', ('size', 0, 3), 4), 2)), 2), 2)), (2, 3))
        self.sizes_atrous__conv = Conv2d(4, 4, (3, 3), padding='VALID')
        self.sizes_atrous__y = BatchToSpace((2, 2), (0, ('mod', ('sub', 2, ('mod', ('add', ('size', 1, 2), 4), 2)), 2), 0, ('mod', ('sub', 2, ('mod', ('add', ('size', 1, 3), 4), 2)), 2)), (2, 3))

        self.sizes_transposed_SAME__conv = ConvTranspose2d(4, 3, (3, 3), (('size', 0, 0), ('mul', ('size', 0, 2), 2), ('mul', ('size', 0, 3), 2)), stride=(2, 2))
        self.sizes_transposed_SAME__y = Bias(3)

        self.sizes_resize_twice__y = Resize((('mul', ('size', 0, 2), 2), ('mul', ('size', 0, 3), 3)), 'nearest', 'legacy')

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

        yield 'sizes-zeros/filled', (sizes_zeros__filled := self.sizes_zeros__filled(x))
        sizes_zeros__v__value = self.sizes_zeros__v__value()
        yield 'sizes-zeros/vector', (sizes_zeros__vector := self.sizes_zeros__vector(sizes_zeros__v__value, x))
        yield 'sizes-zeros/relu', (sizes_zeros__relu := self.sizes_zeros__relu(x))
        sizes_zeros__vector__NHWC = self.sizes_zeros__vector__NHWC(sizes_zeros__vector)
        yield 'sizes-zeros/y', (sizes_zeros__y := self.sizes_zeros__y(sizes_zeros__relu, sizes_zeros__filled, sizes_zeros__vector__NHWC))
        yield 'sizes-zeros/y_pre_relu', (sizes_zeros__y_pre_relu := self.sizes_zeros__y_pre_relu(x, sizes_zeros__filled, sizes_zeros__vector__NHWC))

        yield 'sizes-crop-and-count/part', (sizes_crop_and_count__part := self.sizes_crop_and_count__part(x))
        yield 'sizes-crop-and-count/total', (sizes_crop_and_count__total := self.sizes_crop_and_count__total(sizes_crop_and_count__part))
        yield 'sizes-crop-and-count/count', (sizes_crop_and_count__count := self.sizes_crop_and_count__count(x))
        yield 'sizes-crop-and-count/y', (sizes_crop_and_count__y := self.sizes_crop_and_count__y(sizes_crop_and_count__total, sizes_crop_and_count__count))

        yield 'sizes-atrous/apart', (sizes_atrous__apart := self.sizes_atrous__apart(x))
        yield 'sizes-atrous/conv', (sizes_atrous__conv := self.sizes_atrous__conv(sizes_atrous__apart))
        yield 'sizes-atrous/y', (sizes_atrous__y := self.sizes_atrous__y(sizes_atrous__conv, x))

        yield 'sizes-transposed-SAME/conv', (sizes_transposed_SAME__conv := self.sizes_transposed_SAME__conv(x))
        yield 'sizes-transposed-SAME/y', (sizes_transposed_SAME__y := self.sizes_transposed_SAME__y(sizes_transposed_SAME__conv))

        yield 'sizes-resize-twice/y', (sizes_resize_twice__y := self.sizes_resize_twice__y(x))


def load(folder: str | Path = Path(__file__).parent) -> Model:
    """The model with its weights, in evaluation mode and frozen."""
    model = Model()
    model.load_state_dict(load_file(Path(folder) / "weights.safetensors"))
    return model.requires_grad_(False).eval().to(memory_format=torch.channels_last)
