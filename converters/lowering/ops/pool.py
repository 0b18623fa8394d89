"""Pools and local response normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.frozen.graph import NHWC
from converters.lowering.ops.registry import Call, Operation, Read, image, register
from converters.lowering.ops.window import padding, spatial


def _pool(op: Operation, layer: str) -> Call:
    channels = op.image_channels(0)
    arguments: dict[str, Any] = {
        "kernel_size": spatial(op, "ksize"),
        "stride": spatial(op, "strides"),
        "padding": padding(op),
    }
    layout = op.layout()
    return Call(layer, image(channels, layout), arguments, inputs=(Read(0, layout),), layout=layout)


@register("MaxPool")
def max_pool(op: Operation) -> Call:
    return _pool(op, "MaxPool2d")


@register("AvgPool")
def avg_pool(op: Operation) -> Call:
    return _pool(op, "AvgPool2d")


def shortest(number: Any) -> Any:
    """The number that a float32 attribute was written as (2e-05, not 1.9999999494757503e-05)."""
    return float(str(np.float32(number))) if isinstance(number, float) else number


@register("LRN")
def lrn(op: Operation) -> Call:
    channels = op.image_channels(0, NHWC)  # TensorFlow has no other
    if channels is None:
        raise op.error("stands before the number of channels is known")
    arguments = {
        "channels": channels,
        "depth_radius": op.attr("depth_radius", 5),
        "bias": shortest(op.attr("bias", 1.0)),
        "alpha": shortest(op.attr("alpha", 1.0)),
        "beta": shortest(op.attr("beta", 0.5)),
    }
    return Call("LocalResponseNorm", image(channels), arguments, inputs=(Read(0, NHWC),), layout=NHWC)
