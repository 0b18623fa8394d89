"""Ops with weights: convolutions, matrix products, biases, batch norm."""

from __future__ import annotations

import numpy as np

from converters.ops.registry import Call, Operation, Shape, register
from converters.ops.window import padding, spatial


def _image(channels: int | None) -> Shape:
    return (None, None, None, channels)


def _convolution(op: Operation, kernel: np.ndarray, in_channels: int, groups: int) -> Call:
    known = op.image_channels(0)
    if known is not None and known != in_channels:
        raise op.error(f"reads {known} channels, but its weights take {in_channels}")
    weight = np.ascontiguousarray(kernel)
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
    return Call("Conv2d", _image(weight.shape[0]), arguments, {"weight": weight})


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


@register("BiasAdd", "BiasAddV1")
def bias_add(op: Operation) -> Call:
    bias = op.constant(1, rank=1)
    value = op.value(0)
    if value.rank == 4:
        op.image_channels(0)
    if value.channels not in (None, len(bias)):
        raise op.error(f"adds {len(bias)} biases to {value.channels} channels")
    return Call("Bias", (*value.shape[:-1], len(bias)), {"channels": len(bias)}, {"bias": bias})


@register("MatMul")
def matmul(op: Operation) -> Call:
    if op.flag("transpose_a"):
        raise op.error("transposes its input, which would mix the images of a batch")
    matrix = op.constant(1, rank=2)  # in, out
    weight = np.ascontiguousarray(matrix if op.flag("transpose_b") else matrix.T)
    features, inputs = weight.shape
    if op.value(0).rank != 2:
        raise op.error(f"needs a matrix (rank 2) as input 0, not rank {op.value(0).rank}")
    if op.value(0).channels not in (None, inputs):
        raise op.error(f"multiplies rows of {op.value(0).channels} by a matrix of {inputs} rows")
    return Call("Linear", (None, features), {"in_features": inputs, "out_features": features}, {"weight": weight})


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
    return Call("BatchNorm", _image(len(scale)), arguments, tensors)
