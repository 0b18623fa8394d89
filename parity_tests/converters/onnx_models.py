"""Small ONNX models, and helpers that read them or expect an error."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import converters
from converters import from_onnx

BOUND = 1e-5  # of a layer's maximum


def values(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.RandomState(seed).uniform(-1, 1, shape).astype(np.float32)


def small_model(nodes, constants=None, shape: Sequence[object] = ("n", 4, "h", "w"), **more) -> onnx.ModelProto:
    """A model with the input `x` and the nodes' last value as its output."""
    inputs = more.pop("inputs", [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)])
    last = nodes[-1].output[0]
    output = helper.make_tensor_value_info(last, TensorProto.FLOAT, [None] * more.pop("rank", 4))
    initializers = [numpy_helper.from_array(array, name) for name, array in (constants or {}).items()]
    graph = helper.make_graph(nodes, "small", inputs, [output], initializers)
    opset = more.pop("opset", 15)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8, **more)


def read(tmp_path, model: onnx.ModelProto, *arguments, **options):
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return from_onnx(path, *arguments, **options)


def assert_close(found, expected, bound: float = BOUND) -> None:
    found, expected = np.asarray(found), np.asarray(expected)
    assert found.shape == expected.shape
    assert np.abs(found - expected).max() <= bound * np.abs(expected).max()


def window(op: str, inputs: Sequence[str], **attributes) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), ["y:0"], name="window", **attributes)


def nhwc_model() -> onnx.ModelProto:
    """An image that is shifted by a number a channel before it is turned, as tf2onnx writes preprocessing."""
    nodes = [
        helper.make_node("Sub", ["x:0", "mean"], ["shifted:0"], name="shifted"),
        helper.make_node("Transpose", ["shifted:0"], ["turned"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["turned", "w"], ["y:0"], name="y"),
    ]
    entry = helper.make_tensor_value_info("x:0", TensorProto.FLOAT, [None, None, None, 3])
    return small_model(nodes, {"mean": np.float32([1, 2, 3]), "w": values(5, 3, 3, 3)}, inputs=[entry])


def refuses(tmp_path, model: onnx.ModelProto | bytes, *words: str, kind=converters.GraphError, **options) -> str:
    """Checks that a model raises an error with all of these words, and returns its message."""
    path = tmp_path / "bad.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    with pytest.raises(kind) as caught:
        from_onnx(path, **options)
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text
    return text


def conv_model(**more) -> onnx.ModelProto:
    return small_model([window("Conv", ["x", "w"])], {"w": values(50, 4, 3, 3)}, **more)
