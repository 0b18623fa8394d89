"""Converters of pools and local response normalization."""

from __future__ import annotations

from typing import Any

import numpy as np

from converters.frozen.graph import NHWC
from converters.lowering.ops.registry import Call, Operation, Read, image, register
from converters.lowering.ops.window import padding, spatial

POOLS = {"MaxPool": "MaxPool2d", "AvgPool": "AvgPool2d"}


@register(*POOLS)
def pool(op: Operation) -> Call:
    channels = op.image_channels(0)
    arguments: dict[str, Any] = {
        "kernel_size": spatial(op, "ksize"),
        "stride": spatial(op, "strides"),
        "padding": padding(op),
    }
    layout = op.layout()
    return Call(POOLS[op.node.op], image(channels, layout), arguments, inputs=(Read(0, layout),), layout=layout)


def shortest(number: Any) -> Any:
    """Rounds a float32 attribute to its shortest decimal (2e-05, not 1.9999999494757503e-05); keeps other values."""
    return float(str(np.float32(number))) if isinstance(number, float) else number


@register("LRN")
def lrn(op: Operation) -> Call:
    channels = op.image_channels(0, NHWC)  # LRN has no data_format
    if channels is None:
        raise op.error("reads an unknown number of channels")
    arguments = {
        "channels": channels,
        "depth_radius": op.attr("depth_radius", 5),
        "bias": shortest(op.attr("bias", 1.0)),
        "alpha": shortest(op.attr("alpha", 1.0)),
        "beta": shortest(op.attr("beta", 0.5)),
    }
    return Call("LocalResponseNorm", image(channels), arguments, inputs=(Read(0, NHWC),), layout=NHWC)
