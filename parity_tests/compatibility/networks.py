"""Writes the networks among the fixtures: graphs with layers of every class, and files of other programs."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from converters.frozen.writer import GraphWriter
from parity_tests.cases import CASES
from parity_tests.compatibility.cases import wave
from parity_tests.converters.caffe_files import CaffeLayer, caffemodel, prototxt

TOWERS: dict[str, tuple[tuple[int, int, int], tuple[str, ...]]] = {
    "values": (
        (5, 7, 6),
        (
            "class-token", "NCHW-within", "Squeeze-one", "Unpack-3", "ArgMax-3", "Add-vector", "AddN-4",
            "MaxPool-2-stride-1-SAME", "AvgPool-2-stride-1-SAME", "FusedBatchNorm-0.001", "pad-positions", "Relu6",
            "Selu", "Sigmoid", "StopGradient", "LeakyRelu", "Slice-inner", "Tile-1213", "MirrorPad-REFLECT",
            "LogSoftmax-rank-4", "Split-3-3", "Split-2-7", "GatherV2-channels", "ArgMin-3", "ExpandDims-1-of-rank-2",
            "Concat-constant-map", "Squeeze-all", "Select",
        ),
    ),
    "sizes": (
        (5, 7, 4),
        ("sizes-transposed-SAME", "sizes-zeros", "sizes-crop-and-count", "sizes-atrous", "sizes-resize-twice"),
    ),
    "blocks": ((6, 12, 3), ("SpaceToDepth-2", "SpaceToDepth-3", "ResizeNearestNeighbor-half-pixel-up")),
    "depths": ((2, 3, 12), ("DepthToSpace-2",)),
    "norms": ((5, 7, 13), ("lrn-3-1.5-1-0.5", "lrn-defaults")),
}  # fmt: skip
"""Name of a saved model: height, width and channels of its input, and the cases that it is made of.

Together they have a layer of every class.
"""


def towers(names: Iterable[str], channels: int) -> bytes:
    """One frozen graph of several cases, each under its own scope, with one input `x`."""
    writer = GraphWriter()
    writer.placeholder("x", [None, None, None, channels])
    merged = writer.graph_def()
    for scope in names:
        for node in CASES[scope].graph_def().node:
            if node.name == "x":
                continue
            node.name = f"{scope}/{node.name}"
            inputs = [one if one.split(":")[0] == "x" else f"{scope}/{one}" for one in node.input]
            del node.input[:]
            node.input.extend(inputs)
            merged.node.add().CopyFrom(node)
    return bytes(merged.SerializeToString(deterministic=True))


RESERVED = ("run", "layers", "save", "self", "metadata", "forward", "class", "2nd", "a/b", "a__b", "c-d", "outputs")
"""Names of layers that cannot be a module's as they are."""


def reserved() -> bytes:
    """A frozen graph whose layers have names that Python, torch or the module itself needs."""
    writer = GraphWriter()
    last = writer.placeholder("input", [None, None, None, 3])
    for number, name in enumerate(RESERVED):
        last = writer.op(name, ("Relu", "Sigmoid", "Softplus")[number % 3], [last])
    return bytes(writer.graph_def().SerializeToString(deterministic=True))


def weights(*shape: int) -> np.ndarray:
    """Weights around zero."""
    return (wave(*shape) - 0.5).astype(np.float32)


# Files of other programs -------------------------------------------------------------------------


def write_onnx(path: Path) -> None:
    """A small network: convolution, pool, a branch that is added, global pool, classifier."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    constants = {"k": weights(5, 3, 3, 3), "b": weights(5), "k2": weights(5, 5, 1, 1), "w": weights(4, 5)}
    nodes = [
        helper.make_node("Conv", ["x", "k", "b"], ["conv"], name="conv", pads=[1, 1, 1, 1], strides=[2, 2]),
        helper.make_node("Relu", ["conv"], ["relu"], name="relu"),
        helper.make_node("Conv", ["relu", "k2"], ["branch"], name="branch"),
        helper.make_node("Add", ["relu", "branch"], ["sum"], name="sum"),
        helper.make_node("MaxPool", ["sum"], ["pool"], name="pool", kernel_shape=[2, 2], strides=[1, 1]),
        helper.make_node("GlobalAveragePool", ["pool"], ["mean"], name="mean"),
        helper.make_node("Flatten", ["mean"], ["flat"], name="flat"),
        helper.make_node("Gemm", ["flat", "w"], ["logits"], name="logits", transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3, "h", "w"))],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [None, 4])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    onnx.checker.check_model(str(path))


def write_caffe(caffemodel_path: Path, prototxt_path: Path) -> None:
    """A small network: convolution, pool, norm, two towers, classifier."""
    pool = {"pool": "MAX", "kernel_size": 3, "stride": 2}
    conv = {"num_output": 6, "pad": 1, "kernel_size": 3, "stride": 2}
    layers = [
        CaffeLayer(
            "conv", "Convolution", ["data"], ["conv"], "convolution_param", conv, (weights(6, 3, 3, 3), weights(6))
        ),
        CaffeLayer("relu", "ReLU", ["conv"], ["conv"]),
        CaffeLayer("pool", "Pooling", ["conv"], ["pool"], "pooling_param", pool),
        CaffeLayer("norm", "LRN", ["pool"], ["norm"], "lrn_param", {"local_size": 3, "alpha": 0.01, "beta": 0.75}),
        CaffeLayer(
            "one", "Convolution", ["norm"], ["one"], "convolution_param",
            {"num_output": 4, "kernel_size": 1}, (weights(4, 6, 1, 1), weights(4)),
        ),
        CaffeLayer("both", "Concat", ["norm", "one"], ["both"]),
        CaffeLayer("logits", "InnerProduct", ["both"], ["logits"], "inner_product_param", {"num_output": 3},
                   (weights(3, 10 * 12), weights(3))),
        CaffeLayer("prob", "Softmax", ["logits"], ["prob"]),
    ]  # fmt: skip
    caffemodel_path.write_bytes(caffemodel(layers))
    prototxt_path.write_bytes(prototxt(layers, (1, 3, 12, 16)))
