"""Graphs of ONNX: order of nodes, opsets, branches, further inputs, number types, training mode, batches."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import onnx
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

import converters
from converters.sources import open_source
from parity_tests.converters.onnx_models import assert_close, read, refuses, small_model, values
from parity_tests.converters.onnx_runtimes import run


def node(op: str, inputs, outputs, **attributes) -> onnx.NodeProto:
    return helper.make_node(op, list(inputs), list(outputs), name=f"the {outputs[0]}", **attributes)


def image(*shape: int) -> torch.Tensor:
    return torch.from_numpy(values(*shape))


def assert_as_onnxruntime(tmp_path, model, *shape: int, **options) -> None:
    """The last value of a model, at a size, equals onnxruntime's."""
    x = values(*shape)
    (output,) = model.graph.output
    found = read(tmp_path, model, **options).activations(torch.from_numpy(x), [output.name])[output.name]
    assert_close(found, run("onnxruntime", model, {"x": x})[output.name])


# -- order, opsets, names ---------------------------------------------------------------------------------------------


def test_nodes_in_any_order(tmp_path):
    nodes = [node("Relu", ["c"], ["y"]), node("Conv", ["b", "w"], ["c"]), node("Tanh", ["x"], ["b"])]
    model = small_model(nodes[::-1], {"w": values(5, 4, 3, 3)})
    expected = read(tmp_path, model).activations(image(2, 4, 5, 7), ["y"])["y"]
    mixed = copy.deepcopy(model)
    for place, one in enumerate(nodes):
        mixed.graph.node[place].CopyFrom(one)
    network = read(tmp_path, mixed)
    assert list(network.layers)[:4] == ["x", "b", "c", "y"]
    assert torch.equal(network.activations(image(2, 4, 5, 7), ["y"])["y"], expected)


def test_circles_and_values_that_are_made_twice(tmp_path):
    circle = [node("Add", ["x", "b"], ["a"]), node("Relu", ["a"], ["b"]), node("Tanh", ["x"], ["y"])]
    refuses(tmp_path, small_model(circle), "'the a'", "circle")
    refuses(tmp_path, small_model([node("Relu", ["x"], ["y"]), node("Tanh", ["x"], ["y"])]), "'y'", "made elsewhere")


def test_an_output_that_no_node_makes(tmp_path):
    model = small_model([node("Relu", ["x"], ["y"])])
    model.graph.output.add().CopyFrom(model.graph.output[0])
    model.graph.output[1].name = "nothing"
    refuses(tmp_path, model, "'nothing'", "made by no node")


def test_ops_of_other_domains_are_not_the_standards(tmp_path):
    model = small_model([helper.make_node("Relu", ["x"], ["y"], name="r", domain="com.example")])
    model.opset_import.append(helper.make_opsetid("com.example", 1))
    error = refuses(tmp_path, model, "com.example.Relu (r)", kind=converters.UnsupportedOpsError)
    assert error == "The graph has ops that cannot be converted: com.example.Relu (r)."


@pytest.mark.parametrize("opset", range(7, onnx.defs.onnx_opset_version() + 1))
def test_every_opset(opset, tmp_path):
    """A small classifier in each opset, with ops whose attributes became inputs."""
    constants = {"w": values(6, 4, 3, 3), "g": values(6, 5), "shape": np.int64([-1, 6]), "half": np.float32([0.5])}
    axes = {"axes": [2, 3]}
    reduced = node("ReduceMean", ["c"], ["m"], keepdims=1, **axes)
    if opset >= 18:
        constants["axes"] = np.int64([2, 3])
        reduced = node("ReduceMean", ["c", "axes"], ["m"], keepdims=1)
    nodes = [
        node("Conv", ["x", "w"], ["c"], pads=[1, 1, 1, 1]), reduced, node("Reshape", ["m", "shape"], ["r"]),
        node("Gemm", ["r", "g"] if opset >= 11 else ["r", "g", "zero"], ["l"]), node("Softmax", ["l"], ["y"], axis=1),
    ]  # fmt: skip
    if opset < 11:
        constants["zero"] = np.zeros(5, np.float32)
    network = read(tmp_path, small_model(nodes, constants, opset=opset, rank=2))
    x = image(2, 4, 5, 7)
    rows = F.conv2d(x, torch.from_numpy(constants["w"]), padding=1).mean((2, 3)) @ torch.from_numpy(constants["g"])
    assert_close(network.activations(x, ["y"])["y"], rows.softmax(1))


def test_constants_of_all_kinds(tmp_path):
    nodes = [
        node("Constant", [], ["numbers"], value_floats=[1.0, 2.0, 3.0, 4.0]),
        node("Constant", [], ["two"], value_float=2.0),
        node("Constant", [], ["shape"], value_ints=[1, 4, 1, 1]), node("Reshape", ["numbers", "shape"], ["bias"]),
        node("Mul", ["bias", "two"], ["twice"]), node("Add", ["x", "twice"], ["y"]),
    ]  # fmt: skip
    x = image(2, 4, 5, 7)
    network = read(tmp_path, small_model(nodes))
    assert set(network.layers) == {"x", "y", "the y"}
    assert_close(network.activations(x, ["y"])["y"], x + torch.tensor([2.0, 4.0, 6.0, 8.0]).reshape(4, 1, 1))


def test_a_constant_that_would_fill_the_memory_is_refused(tmp_path):
    nodes = [node("ConstantOfShape", ["huge"], ["c"]), node("Add", ["x", "c"], ["y"])]
    refuses(tmp_path, small_model(nodes, {"huge": np.int64([2**20, 2**20])}), "'the c'")


# -- branches ---------------------------------------------------------------------------------------------------------


def branches(condition: bool | None) -> onnx.ModelProto:
    """Relu, then an If whose branches read the Relu's value, then Sigmoid."""

    def branch(name: str, op: str) -> onnx.GraphProto:
        output = helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
        return helper.make_graph([node(op, ["c"], ["inner"]), node("Identity", ["inner"], [name])], name, [], [output])

    nodes = [
        node("Relu", ["x"], ["c"]),
        node("If", ["k"], ["i"], then_branch=branch("o1", "Exp"), else_branch=branch("o2", "Neg")),
        node("Sigmoid", ["i"], ["y"]),
    ]
    if condition is not None:
        return small_model(nodes, {"k": np.array(condition)})
    sized = [
        node("ReduceMax", ["x"], ["m"], keepdims=0), node("Greater", ["m", "zero"], ["k"]), *nodes,
    ]  # fmt: skip
    return small_model(sized, {"zero": np.float32(0)})


@pytest.mark.parametrize(("condition", "function"), [(True, torch.exp), (False, torch.neg)])
def test_an_if_with_a_constant_condition_is_its_branch(condition, function, tmp_path):
    network = read(tmp_path, branches(condition))
    x = image(2, 4, 5, 7)
    assert network.outputs == ("y",)
    assert_close(network.activations(x, ["y"])["y"], function(F.relu(x)).sigmoid())


def test_an_if_that_depends_on_the_image_is_left_out(tmp_path):
    network = read(tmp_path, branches(None))
    assert network.left_out["y"] == "the op If, which has graphs of its own, of 'the i' cannot be converted"
    x = image(2, 4, 5, 7)
    assert torch.equal(network.activations(x, ["c"])["c"], F.relu(x))
    refuses(tmp_path, branches(None), "control flow", "If (the i)", outputs=["y"])


# -- inputs -----------------------------------------------------------------------------------------------------------


def two_inputs() -> onnx.ModelProto:
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4, None, None]),
        helper.make_tensor_value_info("scale", TensorProto.FLOAT, [4, 1, 1]),
    ]
    return small_model([node("Relu", ["x"], ["r"]), node("Mul", ["r", "scale"], ["y"])], inputs=inputs)


def test_further_inputs_are_set_or_left_out(tmp_path):
    x = image(2, 4, 5, 7)
    assert "y" not in read(tmp_path, two_inputs(), "x").layers
    network = read(tmp_path, two_inputs(), constants={"scale": 2.0})
    assert torch.equal(network.activations(x, ["y"])["y"], F.relu(x) * 2)
    factors = values(4, 1, 1)
    network = open_source(tmp_path / "model.onnx", constants={"scale": factors})
    assert torch.equal(network.activations(x, ["y"])["y"], F.relu(x) * torch.from_numpy(factors))
    refuses(tmp_path, two_inputs(), "'scal'", "Did you mean scale?", constants={"scal": 1.0})


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE, TensorProto.BFLOAT16])
def test_other_floats_are_computed_in_float32(kind, tmp_path):
    weights = values(5, 4, 3, 3).astype(np.float16).astype(np.float32)
    nodes = [node("Cast", ["x"], ["f"], to=kind), node("Conv", ["f", "w"], ["y"])]
    entry = [helper.make_tensor_value_info("x", kind, [None, 4, None, None])]
    model = small_model(nodes, inputs=entry, opset=22)
    model.graph.output[0].type.tensor_type.elem_type = kind
    model.graph.initializer.append(helper.make_tensor("w", kind, weights.shape, weights.ravel()))
    stored = numpy_helper.to_array(model.graph.initializer[0]).astype(np.float32)
    x = image(2, 4, 5, 7)
    found = read(tmp_path, model).activations(x, ["y"])["y"]
    assert found.dtype == torch.float32
    assert_close(found, F.conv2d(x, torch.from_numpy(stored)))


def test_an_image_of_bytes(tmp_path):
    entry = [helper.make_tensor_value_info("x", TensorProto.UINT8, [None, None, None, 3])]
    nodes = [
        node("Transpose", ["x"], ["t"], perm=[0, 3, 1, 2]), node("Cast", ["t"], ["f"], to=TensorProto.FLOAT),
        node("Div", ["f", "most"], ["y"]),
    ]  # fmt: skip
    network = read(tmp_path, small_model(nodes, {"most": np.float32(255)}, inputs=entry))
    x = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5).float()
    assert_close(network.activations(x, ["y"])["y"], x / 255)
    overflows = small_model([node("Add", ["x", "x"], ["a"]), node("Cast", ["a"], ["y"], to=1)], inputs=entry)
    refuses(tmp_path, overflows, "'the a'", "UINT8")


# -- training mode ----------------------------------------------------------------------------------------------------

STATISTICS = {name: np.float32([1, 2, 3, 4]) for name in "sbmv"}


@pytest.mark.parametrize(("opset", "attributes", "outputs"), [
    (15, {"training_mode": 1}, ["y", "m1", "v1"]), (9, {}, ["y", "m1", "v1", "m2", "v2"]),
])  # fmt: skip
def test_batch_norm_in_training_mode_is_refused(opset, attributes, outputs, tmp_path):
    model = small_model(
        [node("BatchNormalization", ["x", *"sbmv"], outputs, **attributes), node("Relu", ["y"], ["z"])],
        STATISTICS,
        opset=opset,
    )
    refuses(tmp_path, model, "'the y'", "training mode")


@pytest.mark.parametrize("training", [True, False])
def test_dropout_in_training_mode_is_refused(training, tmp_path):
    constants = {"ratio": np.float32(0.5), "training": np.array(training)}
    model = small_model([node("Dropout", ["x", "ratio", "training"], ["y"])], constants)
    if training:
        refuses(tmp_path, model, "'the y'", "training mode")
    else:
        x = image(1, 4, 5, 7)
        assert torch.equal(read(tmp_path, model).activations(x, ["y"])["y"], x)


# -- sizes ------------------------------------------------------------------------------------------------------------


def flattened(batch: object) -> onnx.ModelProto:
    """Global means by a Reshape to [1, 4, -1], as exporters write it for a fixed batch."""
    nodes = [node("Reshape", ["x", "shape"], ["r"]), node("ReduceMean", ["r"], ["y"], axes=[2], keepdims=0)]
    return small_model(nodes, {"shape": np.int64([1, 4, -1])}, shape=(batch, 4, 5, 6), rank=2)


def test_a_file_for_one_image_computes_the_images_of_a_batch_apart(tmp_path):
    network = read(tmp_path, flattened(1))
    x = image(3, 4, 5, 6)
    found = network.activations(x, ["r", "y"])
    assert_close(found["y"], x.mean((2, 3)))
    assert_close(found["r"], x.flatten(2))
    given = torch.stack([x.flatten(2)[index] + index for index in range(3)])
    replaced = network.activations(x, ["y"], given={"r": given})["y"]
    assert_close(replaced, x.mean((2, 3)) + torch.arange(3.0)[:, None])


def test_sizes_are_computed_on_the_host(tmp_path):
    """Upsampling to the size of another value, as PyTorch's exporter writes it; also without data (fake tensors)."""
    nodes = [
        node("MaxPool", ["x"], ["p"], kernel_shape=[2, 2], strides=[2, 2]), node("Shape", ["x"], ["s"]),
        node("Slice", ["s", "two", "four"], ["hw"]), node("Shape", ["p"], ["q"]),
        node("Slice", ["q", "zero", "two"], ["nc"]), node("Concat", ["nc", "hw"], ["sizes"], axis=0),
        node("Resize", ["p", "", "", "sizes"], ["u"], mode="nearest", coordinate_transformation_mode="asymmetric",
             nearest_mode="floor"),
        node("Add", ["x", "u"], ["y"]),
    ]  # fmt: skip
    model = small_model(nodes, {"zero": np.int64([0]), "two": np.int64([2]), "four": np.int64([4])})
    assert_as_onnxruntime(tmp_path, model, 2, 4, 7, 9)
    network = read(tmp_path, model)
    assert set(network.layers) == {"x", "p", "u", "y", "the p", "the u", "the y"}
    with torch._subclasses.FakeTensorMode():
        assert network.activations(torch.empty(2, 4, 7, 9), ["y"])["y"].shape == (2, 4, 7, 9)
    again = pickle.loads(pickle.dumps(network))
    x = image(2, 4, 8, 6)
    assert torch.equal(again.activations(x, ["y"])["y"], network.activations(x, ["y"])["y"])


def test_sizes_that_meet_a_large_constant(tmp_path):
    """Places of rows by the height, divided by 17 frequencies, as position encodings compute them."""
    nodes = [
        node("Shape", ["x"], ["s"]), node("Gather", ["s", "two"], ["h"]), node("Cast", ["h"], ["f"], to=1),
        node("Range", ["zero", "f", "one"], ["places"]), node("Unsqueeze", ["places", "last"], ["column"]),
        node("Div", ["column", "frequencies"], ["angles"]), node("Sin", ["angles"], ["sines"]),
        node("ReduceSum", ["sines", "last"], ["sum"], keepdims=1), node("Add", ["x", "sum"], ["y"]),
    ]  # fmt: skip
    constants = {
        "two": np.int64(2), "zero": np.float32(0), "one": np.float32(1), "last": np.int64([1]),
        "frequencies": np.linspace(1, 9, 17, dtype=np.float32),
    }  # fmt: skip
    assert_as_onnxruntime(tmp_path, small_model(nodes, constants), 2, 4, 5, 7)
    assert_as_onnxruntime(tmp_path, small_model(nodes, constants), 1, 4, 8, 3)


# -- files of old exporters -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stated", ["initializer", "node"])
def test_weights_of_files_in_which_initializers_are_inputs(tmp_path, stated):
    """Version 3 of the format, which PyTorch wrote until 2019: every initializer is an input as well."""
    weights = numpy_helper.from_array(values(5, 4, 3, 3), "w")
    model = small_model([node("Conv", ["x", "w"], ["y"])], opset=8)
    model.ir_version = 3
    if stated == "initializer":
        model.graph.initializer.append(weights)
        model.graph.input.append(helper.make_tensor_value_info("w", TensorProto.FLOAT, weights.dims))
    else:
        model.graph.node.insert(0, helper.make_node("Constant", [], ["w"], value=weights))
    assert_as_onnxruntime(tmp_path, model, 2, 4, 5, 7)


def test_a_vector_is_flattened_to_a_column(tmp_path):
    nodes = [node("ReduceMean", ["x"], ["v"], axes=[1, 2, 3], keepdims=0), node("Flatten", ["v"], ["y"], axis=1)]
    assert_as_onnxruntime(tmp_path, small_model(nodes, rank=2), 3, 4, 5, 7)
