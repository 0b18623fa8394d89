"""Choices of inputs, outputs and values of an ONNX file, and the sentences about those that cannot be had."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper

import converters
from parity_tests.converters.onnx_models import assert_close, read, refuses, small_model, values


def node(op: str, inputs, outputs, **attributes):
    return helper.make_node(op, list(inputs), list(outputs), **attributes)


def entry(name: str, shape=(None, 4, None, None), kind: int = TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def image(*shape: int) -> torch.Tensor:
    return torch.from_numpy(values(*shape))


# -- outputs that depend on other inputs ------------------------------------------------------------------------------


def scaled():
    """x -> c (Conv) -> r (Relu) -> rr = r * sc, and ss = sc + sc."""
    nodes = [
        node("Conv", ["x", "w"], ["c"]), node("Relu", ["c"], ["r"]), node("Mul", ["r", "sc"], ["rr"]),
        node("Add", ["sc", "sc"], ["ss"]),
    ]  # fmt: skip
    return small_model(nodes, {"w": values(5, 4, 3, 3)}, inputs=[entry("x"), entry("sc", [])], rank=0)


def test_an_output_that_depends_on_another_input_is_refused_with_the_advice_that_helps(tmp_path):
    options = {"input_name": "x", "outputs": ["rr"]}
    refuses(tmp_path, scaled(), "'rr' depends on the input 'sc'", "constants={'sc': ...} (--set sc=VALUE)", **options)
    network = read(tmp_path, scaled(), constants={"sc": 2.0}, **options)
    x = image(2, 4, 5, 7)
    assert torch.equal(network(x), F.relu(F.conv2d(x, torch.from_numpy(values(5, 4, 3, 3)))) * 2)
    assert network.outputs == ("rr",)


def test_an_output_that_does_not_depend_on_the_image_is_refused(tmp_path):
    refuses(tmp_path, scaled(), "'ss' does not depend on the image 'x'", input_name="x", outputs=["r", "ss"])
    refuses(tmp_path, scaled(), "'c' does not depend on the image 'r'", input_name="r", outputs=["c"])


# -- values of other inputs -------------------------------------------------------------------------------------------


def of_numbers(kind: int, shape):
    nodes = [node("Cast", ["n"], ["f"], to=TensorProto.FLOAT), node("Mul", ["x", "f"], ["y"])]
    return small_model(nodes, inputs=[entry("x"), entry("n", shape, kind)])


@pytest.mark.parametrize(("kind", "shape", "value", "words"), [
    (TensorProto.FLOAT, [4, 1, 1], np.ones((5, 1, 1)), ["[4, 1, 1]", "[5, 1, 1]"]),
    (TensorProto.FLOAT, [None, 1, 1], np.ones(4), ["[?, 1, 1]", "[4]"]),
    (TensorProto.FLOAT, [], "much", ["FLOAT", "'much'"]),
    (TensorProto.FLOAT, [], True, ["FLOAT", "True"]),
    (TensorProto.FLOAT, [4], [[1.0], [1.0, 2.0]], ["FLOAT"]),
    (TensorProto.INT64, [], 1.5, ["INT64", "1.5"]),
    (TensorProto.BOOL, [], 2.0, ["BOOL", "2.0"]),
    (TensorProto.STRING, [], 1.0, ["STRING", "1.0"]),
])  # fmt: skip
def test_values_that_do_not_fit_are_refused(kind, shape, value, words, tmp_path):
    refuses(tmp_path, of_numbers(kind, shape), "'n'", *words, constants={"n": value})


@pytest.mark.parametrize(("kind", "shape", "value"), [
    (TensorProto.FLOAT, [4, 1, 1], 2), (TensorProto.FLOAT, [None, 1, 1], np.full((4, 1, 1), 2.0)),
    (TensorProto.INT64, [], 2.0), (TensorProto.INT32, [1], [2]), (TensorProto.DOUBLE, [], np.float32(2)),
])  # fmt: skip
def test_values_that_fit(kind, shape, value, tmp_path):
    x = image(2, 4, 5, 7)
    network = read(tmp_path, of_numbers(kind, shape), constants={"n": value})
    assert torch.equal(network(x), 2 * x)


@pytest.mark.parametrize(("stated", "given"), [("n:0", "n"), ("n", "n:0")])
def test_an_input_is_set_with_or_without_tensorflows_index(stated, given, tmp_path):
    model = small_model([node("Mul", ["x", stated], ["y"])], inputs=[entry("x"), entry(stated, [1])])
    x = image(2, 4, 5, 7)
    assert torch.equal(read(tmp_path, model, constants={given: 3.0})(x), 3 * x)


def test_several_inputs_are_named_and_set(tmp_path):
    refuses(tmp_path, scaled(), "2 inputs (x, sc)", "input_name", "constants={NAME: ...} (--set NAME=VALUE)")


# -- images inside the graph ------------------------------------------------------------------------------------------


def behind_an_unknown_op():
    """x -> Foo -> f -> Conv -> Relu."""
    nodes = [
        helper.make_node("Foo", ["x"], ["f"], domain="com.x"), node("Conv", ["f", "w"], ["c"]),
        node("Relu", ["c"], ["y"]),
    ]  # fmt: skip
    model = small_model(nodes, {"w": values(5, 4, 3, 3)})
    model.opset_import.append(helper.make_opsetid("com.x", 1))
    return model


@pytest.mark.parametrize("name", ["f", "f:0"])
def test_the_image_behind_an_unknown_op(name, tmp_path):
    words = "cannot be converted: com.x.Foo (f).", "input_name='f' (--input-name f)"
    refuses(tmp_path, behind_an_unknown_op(), *words, kind=converters.UnsupportedOpsError)
    x = image(2, 4, 5, 7)
    found = read(tmp_path, behind_an_unknown_op(), name)(x)
    assert_close(found, F.relu(F.conv2d(x, torch.from_numpy(values(5, 4, 3, 3)))))
    refuses(tmp_path, behind_an_unknown_op(), "no value called 'g'", input_name="g")


def test_the_image_that_is_made_of_rows_of_pixels(tmp_path):
    nodes = [node("Reshape", ["x", "shape"], ["im"]), node("Conv", ["im", "w"], ["y"])]
    constants = {"w": values(5, 3, 3, 3), "shape": np.int64([-1, 3, 4, 5])}
    model = small_model(nodes, constants, inputs=[entry("x", ["n", 60])])
    refuses(tmp_path, model, "four axes", "input_name='im' (--input-name im)")
    x = image(2, 3, 4, 5)
    assert_close(read(tmp_path, model, "im")(x), F.conv2d(x, torch.from_numpy(constants["w"])))


@pytest.mark.parametrize("name", ["r", "r:0"])
def test_a_circle_that_the_outputs_do_not_need(name, tmp_path):
    nodes = [node("Relu", ["x"], ["r"]), node("Add", ["r", "b"], ["a"]), node("Tanh", ["a"], ["b"])]
    network = read(tmp_path, small_model(nodes), outputs=[name])
    assert network.outputs == ("r",)
    assert network.left_out["b"] == "it depends on a circle of the graph"
    x = image(2, 4, 5, 7)
    assert torch.equal(network(x), F.relu(x))
    refuses(tmp_path, small_model(nodes), "circle")
    refuses(tmp_path, small_model(nodes), "circle", outputs=["r", "b"])
