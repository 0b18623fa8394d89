"""Per-channel layers: bias and normalizations."""

from __future__ import annotations

import numpy as np

from converters.onnx.nodes import NodeWriter
from converters.onnx.writing.exporters.base import Call, Value, exports


def per_channel(vector: np.ndarray, rank: int) -> np.ndarray:
    """Returns a vector with one number per channel in a shape that broadcasts over values of a rank."""
    return vector.reshape(-1, 1, 1) if rank == 4 else vector


@exports("Bias")
def bias(call: Call, w: NodeWriter) -> list[Value]:
    vector = w.constant("bias", per_channel(call.tensors["bias"], call.x.rank))
    return call.result(w, "Add", [call.x.name, vector])


@exports("BatchNorm")
def batch_norm(call: Call, w: NodeWriter) -> list[Value]:
    vectors = [w.constant(key, call.tensors[key]) for key in ("weight", "bias", "mean", "variance")]
    return call.result(w, "BatchNormalization", [call.x.name, *vectors], epsilon=float(call.arguments["epsilon"]))


@exports("LocalResponseNorm")
def local_response_norm(call: Call, w: NodeWriter) -> list[Value]:
    size = 2 * call.arguments["depth_radius"] + 1
    alpha, beta, bias = (float(call.arguments[key]) for key in ("alpha", "beta", "bias"))
    # ONNX, like Caffe, divides alpha by the window's length.
    return call.result(w, "LRN", [call.x.name], size=size, alpha=alpha * size, beta=beta, bias=bias)
