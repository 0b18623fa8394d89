"""Converters of ops with weights: convolutions, matrix products, biases, batch norm."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.errors import TrainingModeError
from converters.frozen.graph import NCHW
from converters.lowering.ops.elementwise import broadcast
from converters.lowering.ops.registry import Call, Operation, Read, Value, image, register
from converters.lowering.ops.window import padding, spatial
from converters.program.sizes import Number


def _convolution(
    op: Operation,
    layer: str,
    weight: np.ndarray,
    channels: tuple[int, int],
    *,
    index: int = 0,
    size: tuple[Number, ...] | None = None,
    groups: int = 1,
) -> Call:
    """Converts a convolution.

    Args:
        op: the op.
        layer: the layer's class name.
        weight: the layer's weight.
        channels: numbers of input and output channels.
        index: index of the op's input that is the image.
        size: the layer's argument `size`.
        groups: number of channel groups.
    """
    in_channels, out_channels = channels
    layout, known = op.layout(), op.image_channels(index)
    if known not in (None, in_channels):
        raise op.error(f"reads {known} channels, but its weights take {in_channels}")
    arguments: dict[str, Any] = {
        "in_channels": in_channels,
        "out_channels": out_channels,
        "kernel_size": weight.shape[2:],
    }
    if size is not None:
        arguments["size"] = size
    arguments |= {"stride": spatial(op, "strides"), "padding": padding(op)}
    dilation = spatial(op, "dilations", (1, 1, 1, 1))
    if dilation != (1, 1):
        arguments["dilation"] = dilation
    if groups != 1:
        arguments["groups"] = groups
    reads = (Read(index, layout),)
    return Call(layer, image(out_channels, layout), arguments, {"weight": weight}, inputs=reads, layout=layout)


def _kernel(op: Operation) -> np.ndarray:
    kernel = op.constant(1, rank=4)
    if not kernel.size:
        raise op.error(f"has empty weights of shape {list(kernel.shape)}")
    return kernel


@register("Conv2D")
def conv2d(op: Operation) -> Call:
    kernel = _kernel(op)  # height, width, in, out
    return _convolution(op, "Conv2d", kernel.transpose(3, 2, 0, 1), kernel.shape[2:])


@register("DepthwiseConv2dNative")
def depthwise_conv2d(op: Operation) -> Call:
    kernel = _kernel(op)  # height, width, channels, multiplier
    height, width, channels, multiplier = kernel.shape
    weight = kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    return _convolution(op, "Conv2d", weight, (channels, channels * multiplier), groups=channels)


@register("Conv2DBackpropInput")
def conv2d_transpose(op: Operation) -> Call:
    """Transposed convolution: the gradient of a convolution with respect to an input of the given size."""
    sizes, kernel = op.sizes(0), _kernel(op)  # height, width, out, in
    _, _, out_channels, in_channels = kernel.shape
    height, width, channels = (2, 3, 1) if op.layout() == NCHW else (1, 2, 3)
    if len(sizes) != 4 or (isinstance(sizes[channels], int) and sizes[channels] != out_channels):
        raise op.error(f"has an output of sizes {list(sizes)}, but its weights give {out_channels} channels")
    size = (sizes[0], sizes[height], sizes[width])
    weight = kernel.transpose(3, 2, 0, 1)
    return _convolution(op, "ConvTranspose2d", weight, (in_channels, out_channels), index=2, size=size)


@register("BiasAdd", "BiasAddV1")
def bias_add(op: Operation) -> Call:
    bias, value, layout = op.constant(1, rank=1), op.value(0), op.layout()
    if layout == NCHW and value.rank not in (2, 4):
        raise op.error(f"adds NCHW biases to a value of rank {value.rank}, not 2 or 4")
    axis = 1 if layout == NCHW else value.rank - 1
    known = value.shape[axis] if value.rank > 1 else None
    if value.rank < 2 or known not in (None, len(bias)):
        raise op.error(f"adds {len(bias)} biases to {known} channels")
    shape = (*value.shape[:axis], len(bias), *value.shape[axis + 1 :])
    return Call("Bias", shape, {"channels": len(bias)}, {"bias": bias}, inputs=(Read(0, layout),), layout=layout)


@register("MatMul")
def matmul(op: Operation) -> Call:
    first, second = op.value(0), op.value(1)
    if first.rank != 2 or second.rank != 2:
        raise op.error(f"needs matrices (rank 2), not values of rank {first.rank} and {second.rank}")
    if second.constant is None or first.constant is not None or op.flag("transpose_a"):
        return _products(op, op.flag("transpose_a"), op.flag("transpose_b"))
    matrix = op.constant(1, rank=2)  # in, out
    weight = matrix if op.flag("transpose_b") else matrix.T
    features, inputs = weight.shape
    if first.channels not in (None, inputs):
        raise op.error(f"multiplies rows of {first.channels} by a matrix of {inputs} rows")
    arguments = {"in_features": inputs, "out_features": features}
    return Call("Linear", (first.shape[0], features), arguments, {"weight": weight})


@register("BatchMatMul", "BatchMatMulV2")
def batch_matmul(op: Operation) -> Call:
    return _products(op, op.flag("adj_x"), op.flag("adj_y"))


def _products(op: Operation, transpose_a: bool, transpose_b: bool) -> Call:
    """Matrix products over the last two axes of two values."""
    first, second = op.value(0).shape, op.value(1).shape
    if min(len(first), len(second)) < 2:
        raise op.error(f"multiplies values of rank {len(first)} and {len(second)}")
    rows, inner = first[-2:][::-1] if transpose_a else first[-2:]
    other, columns = second[-2:][::-1] if transpose_b else second[-2:]
    if None not in (inner, other) and inner != other:
        raise op.error(f"multiplies rows of {inner} by a matrix of {other} rows")
    batch = broadcast(op, Value(first[:-2]), Value(second[:-2]))
    arguments = {"transpose_a": transpose_a, "transpose_b": transpose_b}
    reads = (Read(0, NCHW), Read(1, NCHW))
    return Call("MatMul", (*batch, rows, columns), arguments, inputs=reads, layout=NCHW)


@register("FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3")
def fused_batch_norm(op: Operation) -> Call:
    if op.flag("is_training", True):
        raise TrainingModeError(str(op.error("is in training mode")), "bool", "false")
    known = op.image_channels(0)
    scale, offset, mean, variance = (op.constant(index, rank=1) for index in range(1, 5))
    lengths = {len(scale), len(offset), len(mean), len(variance)}
    if len(lengths) != 1 or known not in (None, len(scale)):
        raise op.error(f"normalizes {known} channels with vectors of {sorted(lengths)} numbers")
    arguments = {"channels": len(scale), "epsilon": op.attr("epsilon", 1e-4)}
    tensors = {"weight": scale, "bias": offset, "mean": mean, "variance": variance}
    layout = op.layout()
    # TensorFlow leaves these outputs undefined in inference mode; leftovers of updates of moving averages read them.
    statistics = {1: mean, 2: variance}
    shape = image(len(scale), layout)
    return Call("BatchNorm", shape, arguments, tensors, inputs=(Read(0, layout),), layout=layout, constants=statistics)
