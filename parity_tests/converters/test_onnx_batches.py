"""Batches and outputs of ONNX files: images of a file for one image stay apart, and outputs have names."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper

import converters
from converters.frozen.writer import GraphWriter
from parity_tests.converters.onnx_models import assert_close, read, small_model, values
from parity_tests.converters.onnx_runtimes import run


def node(op: str, inputs, outputs, **attributes):
    return helper.make_node(op, list(inputs), list(outputs), **attributes)


def image(*shape: int) -> torch.Tensor:
    return torch.from_numpy(values(*shape))


def of_one_image(nodes, constants, rank: int, opset: int = 17):
    return small_model(nodes, constants, shape=(1, 4, 5, 6), rank=rank, opset=opset)


def alone(model, x: torch.Tensor, output: str) -> np.ndarray:
    """onnxruntime's values of each image."""
    found = [run("onnxruntime", model, {"x": one.numpy()})[output] for one in x.split(1)]
    return np.concatenate([value if value.ndim else value[None] for value in found])


# -- files that state a batch of one ----------------------------------------------------------------------------------


def rows():
    """Rows of features by a Reshape to [1, 120], as exporters write it for a fixed batch, and two more outputs."""
    nodes = [
        node("Relu", ["x"], ["r"]), node("Reshape", ["r", "shape"], ["flat"]), node("MatMul", ["flat", "w"], ["y"]),
    ]  # fmt: skip
    return of_one_image(nodes, {"shape": np.int64([1, 120]), "w": values(120, 6)}, 2)


def test_forward_computes_the_images_of_a_batch_apart(tmp_path):
    network = read(tmp_path, rows())
    x = image(3, 4, 5, 6)
    found = network(x)
    assert_close(found, alone(rows(), x, "y"))
    assert torch.equal(found, network.activations(x, ["y"])["y"])


def test_forward_names_the_layer_that_does_not_fit(tmp_path):
    network = read(tmp_path, rows())
    with pytest.raises(converters.InputSizeError, match="Layer 'flat' cannot be computed for images of 7x6"):
        network(image(2, 4, 7, 6))
    with pytest.raises(ValueError, match=r"\(N, 4, H, W\)"):
        network(image(2, 3, 5, 6))


def test_an_exported_network_computes_the_images_of_a_batch_apart(tmp_path):
    network = read(tmp_path, rows())
    x = image(3, 4, 5, 6)
    compiled = torch.compile(network, backend="eager")
    assert_close(compiled(x), network(x))


MIXING = {
    "all axes": ([node("ReduceMean", ["x"], ["m"]), node("Sub", ["x", "m"], ["y"])], {}, 4),
    "all axes, a number": ([node("ReduceMax", ["x"], ["y"], keepdims=0)], {}, 0),
    "softmax": ([node("Softmax", ["x"], ["y"], axis=0)], {}, 4),
    "softmax, negative axis": ([node("Softmax", ["x"], ["y"], axis=-4)], {}, 4),
    "flatten": ([node("Flatten", ["x"], ["f"], axis=0), node("Softmax", ["f"], ["y"])], {}, 2),
    "maximum": ([node("ReduceMax", ["x"], ["m"], axes=[0]), node("Add", ["x", "m"], ["y"])], {}, 4),
    "turned": (
        [node("Transpose", ["x"], ["t"], perm=[1, 0, 2, 3]), node("Softmax", ["t"], ["s"], axis=1),
         node("Transpose", ["s"], ["y"], perm=[1, 0, 2, 3])], {}, 4,
    ),
    "sum": ([node("CumSum", ["x", "zero"], ["y"])], {"zero": np.int64(0)}, 4),
    "norm": ([node("LpNormalization", ["x"], ["y"], axis=0)], {}, 4),
    "rows": (
        [node("Flatten", ["x"], ["f"]), node("Gemm", ["f", "f"], ["g"], transB=1), node("Tanh", ["g"], ["y"])], {}, 2,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", MIXING)
def test_images_of_a_file_for_one_image_do_not_influence_each_other(name, tmp_path):
    nodes, constants, rank = MIXING[name]
    if name == "sum":
        nodes = [node("CumSum", ["x", "zero"], ["y"])]
    model = of_one_image(nodes, constants, rank)
    network = read(tmp_path, model)
    x = image(3, 4, 5, 6)
    assert network.takes_one_image
    assert_close(network.activations(x, ["y"])["y"], alone(model, x, "y"))
    assert_close(network(x), alone(model, x, "y"))


def test_a_file_for_one_image_whose_ops_keep_images_apart_computes_batches(tmp_path):
    constants = {
        "w": values(6, 4, 3, 3), "b": values(6, 1, 1), "scales": np.float32([1, 1, 2, 2]), "zeros": np.int64([0, -1]),
        "m": values(6, 5), "starts": np.int64([1]), "ends": np.int64([2**40]), "two": np.int64([2]),
        "pads": np.int64([0, 0, 1, 1, 0, 0, 1, 1]),
    }  # fmt: skip
    nodes = [
        node("Conv", ["x", "w"], ["c"]), node("Add", ["c", "b"], ["a"]), node("Mul", ["a", "c"], ["p"]),
        node("Resize", ["p", "", "scales"], ["u"], mode="nearest"), node("Pad", ["u", "pads"], ["q"]),
        node("Slice", ["q", "starts", "ends", "two"], ["s"]), node("Concat", ["s", "s"], ["j"], axis=-1),
        node("Transpose", ["j"], ["t"], perm=[0, 2, 3, 1]), node("MatMul", ["t", "m"], ["l"]),
        node("ReduceMean", ["l"], ["r"], axes=[1, -2], keepdims=0), node("Reshape", ["r", "zeros"], ["f"]),
        node("Softmax", ["f"], ["y"]),
    ]  # fmt: skip
    model = of_one_image(nodes, constants, 2)
    network = read(tmp_path, model)
    x = image(3, 4, 5, 6)
    assert not network.takes_one_image
    assert_close(network(x), alone(model, x, "y"))


# -- outputs ----------------------------------------------------------------------------------------------------------


def two_outputs():
    """Scores, and the number of the greatest one."""
    model = small_model([node("GlobalMaxPool", ["x"], ["y"]), node("ArgMax", ["y"], ["best"], axis=1)])
    model.graph.output.add().CopyFrom(helper.make_tensor_value_info("y", TensorProto.FLOAT, None))
    model.graph.output[0].CopyFrom(helper.make_tensor_value_info("best", TensorProto.INT64, None))
    return model


def test_outputs_are_a_dictionary_by_the_names_of_outputs(tmp_path):
    x = image(3, 4, 5, 6)
    network = read(tmp_path, two_outputs())
    for one in (network, copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        found = one(x)
        assert tuple(found) == one.outputs == ("best", "y")
        for name, value in run("onnxruntime", two_outputs(), {"x": x.numpy()}).items():
            assert np.array_equal(found[name], value)
    assert torch.equal(network.activations(x, "best")["best"], found["best"])


def test_an_integer_output_alone(tmp_path):
    x = image(3, 4, 5, 6)
    network = read(tmp_path, two_outputs(), outputs=["best"])
    assert network.outputs == ("best",)
    assert torch.equal(network(x), F.adaptive_max_pool2d(x, 1).argmax(1, keepdim=True))


def test_a_round_trip_keeps_the_outputs(tmp_path):
    graph = GraphWriter()
    x = graph.placeholder("x", [None, None, None, 3])
    graph.op("a", "Relu", [x])
    graph.op("b", "Tanh", [x])
    model = converters.convert(graph.graph_def())
    network = converters.from_onnx(model.to_onnx(tmp_path / "two.onnx"))
    images = image(2, 3, 5, 6)
    assert tuple(network(images)) == tuple(network.outputs) == tuple(model.outputs)
    for name, value in model(images).items():
        assert_close(network(images)[name], value)


# -- tracers ----------------------------------------------------------------------------------------------------------


def padded(op: str = "Conv", auto_pad: str = "SAME_UPPER"):
    if op == "Conv":
        nodes = [node("Conv", ["x", "w"], ["y"], auto_pad=auto_pad, strides=[2, 2])]
    else:
        nodes = [node(op, ["x"], ["y"], kernel_shape=[3, 3], auto_pad=auto_pad, strides=[2, 2])]
    return small_model(nodes, {"w": values(5, 4, 3, 3)} if op == "Conv" else {})


@pytest.mark.parametrize("auto_pad", ["SAME_UPPER", "SAME_LOWER"])
def test_a_jit_trace_refuses_other_sizes(auto_pad, tmp_path):
    network = read(tmp_path, padded(auto_pad=auto_pad))
    traced = torch.jit.trace(network, image(1, 4, 8, 8))
    x = image(3, 4, 8, 8)
    assert_close(traced(x), network(x))
    with pytest.raises(RuntimeError):
        traced(image(1, 4, 9, 9))


def test_a_jit_trace_of_a_file_for_one_image_refuses_batches(tmp_path):
    network = read(tmp_path, rows())
    traced = torch.jit.trace(network, image(1, 4, 5, 6))
    with pytest.raises(RuntimeError):
        traced(image(3, 4, 5, 6))


TRACED = {
    "MaxPool": padded("MaxPool"),
    "AveragePool": padded("AveragePool", "SAME_LOWER"),
    "Conv": padded(),
    "lower Conv": padded(auto_pad="SAME_LOWER"),
    "ceiled MaxPool": small_model(
        [node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)]
    ),
    "padded AveragePool": small_model(
        [node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], auto_pad="SAME_UPPER", count_include_pad=1)]
    ),
    "ConvTranspose": small_model(
        [node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2], auto_pad="SAME_UPPER")], {"w": values(4, 5, 3, 3)}
    ),
    "Softmax": small_model([node("Softmax", ["x"], ["y"], axis=1)]),
}  # fmt: skip


@pytest.mark.parametrize("name", TRACED)
def test_a_symbolic_trace_computes_every_size(name, tmp_path):
    network = read(tmp_path, TRACED[name])
    traced = torch.fx.symbolic_trace(network)
    for x in (image(2, 4, 8, 8), image(1, 4, 9, 7)):
        assert_close(traced(x), network(x))
        assert_close(traced(x), run("onnxruntime", TRACED[name], {"x": x.numpy()})["y"])


def test_a_symbolic_trace_of_a_file_for_one_image_refuses_batches(tmp_path):
    network = read(tmp_path, rows())
    traced = torch.fx.symbolic_trace(network)
    assert_close(traced(image(1, 4, 5, 6)), network(image(1, 4, 5, 6)))
    with pytest.raises(converters.InputSizeError, match="one image at a time"):
        traced(image(3, 4, 5, 6))


def test_a_symbolic_trace_of_computed_sizes_says_what_to_use(tmp_path):
    nodes = [
        node("Shape", ["x"], ["s"]), node("Slice", ["s", "zero", "one"], ["n"]),
        node("Concat", ["n", "rest"], ["shape"], axis=0), node("Reshape", ["x", "shape"], ["y"]),
    ]  # fmt: skip
    constants = {"zero": np.int64([0]), "one": np.int64([1]), "rest": np.int64([-1])}
    network = read(tmp_path, small_model(nodes, constants, rank=2))
    with pytest.raises(TypeError, match=r"torch\.export\.export"):
        torch.fx.symbolic_trace(network)
    x = image(2, 4, 5, 6)
    assert_close(torch.export.export(network, (x,)).module()(x), x.flatten(1))
