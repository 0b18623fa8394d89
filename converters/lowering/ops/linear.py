"""Ops with weights: convolutions, matrix products, biases, batch norm."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.frozen.graph import NCHW
from converters.lowering.ops.elementwise import broadcast
from converters.lowering.ops.registry import Call, Operation, Read, Value, image, register
from converters.lowering.ops.window import padding, spatial


def _convolution(op: Operation, weight: np.ndarray, in_channels: int, groups: int) -> Call:
    known = op.image_channels(0)
    if known is not None and known != in_channels:
        raise op.error(f"reads {known} channels, but its weights take {in_channels}")
    arguments = {
        "in_channels": in_channels,
        "out_channels": weight.shape[0],
        "kernel_size": weight.shape[2:],
        "stride": spatial(op, "strides"),
        "padding": padding(op),
    }
    dilation = spatial(op, "dilations", (1, 1, 1, 1))
    if dilation != (1, 1):
        arguments["dilation"] = dilation
    if groups != 1:
        arguments["groups"] = groups
    layout = op.layout()
    shape = image(weight.shape[0], layout)
    return Call("Conv2d", shape, arguments, {"weight": weight}, inputs=(Read(0, layout),), layout=layout)


def _kernel(op: Operation) -> np.ndarray:
    kernel = op.constant(1, rank=4)
    if not kernel.size:
        raise op.error(f"has weights of shape {list(kernel.shape)}, which hold nothing")
    return kernel


@register("Conv2D")
def conv2d(op: Operation) -> Call:
    kernel = _kernel(op)  # height, width, in, out
    return _convolution(op, kernel.transpose(3, 2, 0, 1), kernel.shape[2], groups=1)


@register("DepthwiseConv2dNative")
def depthwise_conv2d(op: Operation) -> Call:
    kernel = _kernel(op)  # height, width, channels, multiplier
    height, width, channels, multiplier = kernel.shape
    rows = kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)
    return _convolution(op, rows, channels, groups=channels)


@register("Conv2DBackpropInput")
def conv2d_transpose(op: Operation) -> Call:
    """Transposed convolution: the gradient of a convolution whose input has the size that is given."""
    sizes, kernel = op.sizes(0), _kernel(op)  # height, width, out, in
    layout, known = op.layout(), op.image_channels(2)
    height, width, channels, inputs = kernel.shape
    if known not in (None, inputs):
        raise op.error(f"reads {known} channels, but its weights take {inputs}")
    rows = (2, 3, 1) if layout == NCHW else (1, 2, 3)
    if len(sizes) != 4 or (isinstance(sizes[rows[2]], int) and sizes[rows[2]] != channels):
        raise op.error(f"gives a value of sizes {list(sizes)}, but its weights give {channels} channels")
    arguments: dict[str, Any] = {
        "in_channels": inputs,
        "out_channels": channels,
        "kernel_size": (height, width),
        "size": (sizes[0], sizes[rows[0]], sizes[rows[1]]),
        "stride": spatial(op, "strides"),
        "padding": padding(op),
    }
    dilation = spatial(op, "dilations", (1, 1, 1, 1))
    if dilation != (1, 1):
        arguments["dilation"] = dilation
    weight = kernel.transpose(3, 2, 0, 1)
    shape = image(channels, layout)
    return Call("ConvTranspose2d", shape, arguments, {"weight": weight}, inputs=(Read(2, layout),), layout=layout)


@register("BiasAdd", "BiasAddV1")
def bias_add(op: Operation) -> Call:
    bias, value, layout = op.constant(1, rank=1), op.value(0), op.layout()
    if layout == NCHW and value.rank not in (2, 4):
        raise op.error(f"adds biases in the layout NCHW to a value of rank {value.rank}")
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
    """Matrix products of two values' last two axes."""
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
        raise op.error("is in training mode: freeze the graph in inference mode")
    known = op.image_channels(0)
    scale, offset, mean, variance = (op.constant(index, rank=1) for index in range(1, 5))
    lengths = {len(scale), len(offset), len(mean), len(variance)}
    if len(lengths) != 1 or known not in (None, len(scale)):
        raise op.error(f"normalises {known} channels with vectors of {sorted(lengths)} numbers")
    arguments = {"channels": len(scale), "epsilon": op.attr("epsilon", 1e-4)}
    tensors = {"weight": scale, "bias": offset, "mean": mean, "variance": variance}
    layout = op.layout()
    return Call("BatchNorm", image(len(scale), layout), arguments, tensors, inputs=(Read(0, layout),), layout=layout)
