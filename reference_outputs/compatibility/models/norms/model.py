"""A frozen TensorFlow graph as plain PyTorch, written by lucid_port's converter.

    model = load()                                  # weights.safetensors beside this file
    found = model(x, ["lrn-defaults/y"])  # TensorFlow name -> value

x is (N, C, H, W) with 13 channels, any height and width, in the value range and channel order of the original input.
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
OUTPUTS = ('lrn-3-1.5-1-0.5/y', 'lrn-defaults/y')
SOURCE_SHA256 = 'ae16efbb572a954ccb5c9b74ccf1ecd7f89dd007ed4b258f4af640c20c3ceafa'


class InputSizeError(ValueError):
    """A layer cannot be computed at this input size."""


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


def lrn_band(channels: int, depth_radius: int, alpha: float) -> Tensor:
    """The (channels, channels, 1, 1) kernel that sums alpha times the neighbours of each channel."""
    index = torch.arange(channels)
    near = (index[:, None] - index[None, :]).abs() <= depth_radius
    return (near * alpha).to(torch.float32)[:, :, None, None]


def _inverse_power(scale: Tensor, beta: float) -> Tensor:
    """scale ** -beta, by roots where those do."""
    if beta == 0.5:
        return scale.rsqrt()
    if beta == 0.75:
        root = scale.rsqrt()
        return root * root.sqrt()
    return scale.pow(-beta)


class _LocalResponseNorm(torch.autograd.Function):
    """With its gradient written out, which takes half as many passes over the memory as that of its parts."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, band: Tensor, bias: float, beta: float) -> Tensor:
        scale = conv2d(x * x, band).add_(bias)
        factor = _inverse_power(scale, beta)
        result = x * factor
        ctx.save_for_backward(x, band, scale, factor, result)
        ctx.bias, ctx.beta = bias, beta
        return result

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None]:
        (grad,), (x, band, scale, factor, result) = grads, ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient's own gradient is wanted: let torch take it from the parts
            parts = x * _inverse_power(conv2d(x * x, band) + ctx.bias, ctx.beta)
            return torch.autograd.grad(parts, x, grad, create_graph=True)[0], None, None, None
        shares = conv2d((grad * result).div_(scale), band)  # the band is symmetric
        return (grad * factor).addcmul_(x, shares, value=-2 * ctx.beta), None, None, None


def local_response_norm(x: Tensor, band: Tensor, bias: float, beta: float) -> Tensor:
    """TensorFlow's LRN: x / (bias + alpha * sum of squares over 2 * depth_radius + 1 channels) ** beta.

    torch's own (like Caffe's) divides alpha by the window's length and runs a 3-D pool, which costs as much as all
    convolutions of InceptionV1 together; a banded 1x1 convolution over the squares is the same sum.

    Args:
        x: (N, C, H, W).
        band: from `lrn_band`.
        bias, beta: TensorFlow's attributes.
    """
    return _LocalResponseNorm.apply(x, band, bias, beta)


def take(x: Tensor, positions: Sequence[int], dim: int) -> Tensor:
    """TensorFlow's Gather of some positions along torch's axis `dim`.

    Raises:
        InputSizeError: a position lies outside.
    """
    if max(positions, default=-1) >= x.shape[dim]:
        raise InputSizeError(f"it takes position {max(positions)} of an axis of length {x.shape[dim]}")
    return x.index_select(dim, torch.tensor(positions, dtype=torch.long, device=x.device))


class LocalResponseNorm(nn.Module):
    """LRN, with TensorFlow's constants (alpha is not divided by the window's length)."""

    band: Tensor

    def __init__(self, channels: int, depth_radius: int, bias: float, alpha: float, beta: float) -> None:
        super().__init__()
        self.bias, self.beta = bias, beta
        band = lrn_band(channels, depth_radius, alpha)
        self.register_buffer("band", band, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return local_response_norm(x, self.band, self.bias, self.beta)


class Model(nn.Module):
    """The graph, one attribute a layer."""

    def __init__(self) -> None:
        super().__init__()

        self.lrn_3_1_5_1_0_5__y = LocalResponseNorm(13, 3, 1.5, 1.0, 0.5)

        self.lrn_defaults__y = LocalResponseNorm(13, 5, 1.0, 1.0, 0.5)

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

        yield 'lrn-3-1.5-1-0.5/y', (lrn_3_1_5_1_0_5__y := self.lrn_3_1_5_1_0_5__y(x))

        yield 'lrn-defaults/y', (lrn_defaults__y := self.lrn_defaults__y(x))


def load(folder: str | Path = Path(__file__).parent) -> Model:
    """The model with its weights, in evaluation mode and frozen."""
    model = Model()
    model.load_state_dict(load_file(Path(folder) / "weights.safetensors"))
    return model.requires_grad_(False).eval().to(memory_format=torch.channels_last)
