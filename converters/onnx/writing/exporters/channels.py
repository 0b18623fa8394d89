"""What a channel is added to, multiplied by, or normalised with."""

from __future__ import annotations

import numpy as np

from converters.onnx.nodes import NodeWriter
from converters.onnx.writing.exporters.base import Call, Value, exports


def per_channel(vector: np.ndarray, rank: int) -> np.ndarray:
    """A vector of one number a channel in a shape that broadcasts over values of a rank."""
    return vector.reshape(-1, 1, 1) if rank == 4 else vector


@exports("Bias")
def bias(call: Call, w: NodeWriter) -> list[Value]:
    vector = w.constant(call.part("bias"), per_channel(call.tensors["bias"], call.x.rank))
    w.result("Add", [call.x.name, vector], [call.name])
    return call.same()


@exports("BatchNorm")
def batch_norm(call: Call, w: NodeWriter) -> list[Value]:
    vectors = [w.constant(call.part(key), call.tensors[key]) for key in ("weight", "bias", "mean", "variance")]
    w.result("BatchNormalization", [call.x.name, *vectors], [call.name], epsilon=float(call.arguments["epsilon"]))
    return call.same()


@exports("LocalResponseNorm")
def local_response_norm(call: Call, w: NodeWriter) -> list[Value]:
    size = 2 * call.arguments["depth_radius"] + 1
    numbers = {key: float(call.arguments[key]) for key in ("bias", "beta")}
    # ONNX, like Caffe, divides alpha by the window's length.
    w.result("LRN", [call.x.name], [call.name], size=size, alpha=float(call.arguments["alpha"]) * size, **numbers)
    return call.same()
