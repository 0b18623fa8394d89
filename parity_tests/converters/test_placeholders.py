"""Placeholders besides the image, such as `is_training` and `keep_prob`, get constants."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import converters
from converters.frozen.writer import GraphWriter
from converters.reference.check import check_model, default_inputs, make_references
from converters.tensorflow.process import find_tensorflow

IMAGE = [None, None, None, 3]


def network(image: list[int | None] = IMAGE, default: bool | None = None) -> GraphWriter:
    """y = keep_prob * (3 relu(image) while training, tanh(image) + 1 otherwise)."""
    graph = GraphWriter()
    x = graph.placeholder("image", image)
    if default is None:
        training = graph.placeholder("is_training", [], np.bool_)
    else:
        constant = graph.const("default", np.bool_(default))
        training = graph.placeholder_with_default("is_training", constant, [], np.bool_)
    graph.op("switch", "Switch", [x, training])
    relu = graph.op("relu", "Relu", ["switch:1"])
    tanh = graph.op("tanh", "Tanh", ["switch"])
    first = graph.op("first", "Mul", [relu, graph.const("three", np.float32(3))])
    second = graph.op("second", "Add", [tanh, graph.const("one", np.float32(1))])
    merged = graph.op("merge", "Merge", [second, first], N=2)
    graph.op("y", "Mul", [merged, graph.placeholder("keep_prob", [])])
    return graph


def picture() -> torch.Tensor:
    return torch.from_numpy(np.random.RandomState(0).randn(2, 3, 5, 7).astype(np.float32))


def expected(x: torch.Tensor, training: bool, keep: float) -> torch.Tensor:
    return keep * (3 * x.relu() if training else x.tanh() + 1)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("default", [None, True, False])
def test_a_graph_with_its_placeholders_set(training, default):
    constants = {"is_training": training, "keep_prob:0": 0.5}
    model = converters.convert(network(default=default).graph_def(), constants=constants)
    torch.testing.assert_close(model(picture()), expected(picture(), training, 0.5))


@pytest.mark.parametrize("default", [True, False])
def test_a_default_needs_no_value(default):
    model = converters.convert(network(default=default).graph_def(), constants={"keep_prob": 1})
    torch.testing.assert_close(model(picture()), expected(picture(), default, 1.0))


def test_a_switch_that_only_a_dead_branch_reads_is_no_output():
    constants = {"is_training": False, "keep_prob": 1.0}
    graph = network()
    graph.op("image2", "Switch", ["image", "is_training"])
    graph.op("dead", "Neg", ["image2:1"])
    graph.op("also_dead", "Add", ["dead", "image2"])
    model = converters.convert(graph.graph_def(), constants=constants)
    assert model.outputs == ("y",)
    assert "image2" in model.layers


def test_other_constants_make_another_graph():
    graph = network().graph_def()
    values = [{"is_training": False, "keep_prob": keep} for keep in (0.5, 1.0, 1)]
    half, whole, again = (converters.convert(graph, constants=each).program.fingerprint for each in values)
    assert half != whole == again


def refuses(graph: GraphWriter, *words: str, **options: object) -> None:
    with pytest.raises(converters.GraphError) as caught:
        converters.convert(graph.graph_def(), **options)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_the_errors_lead_from_one_placeholder_to_the_next():
    graph = network()
    refuses(graph, "'switch'", "constants={'is_training': ...}", "--set is_training=VALUE")
    given = {"is_training": False}
    refuses(graph, "'keep_prob' (float32)", "{'keep_prob': ...}", "--set keep_prob=VALUE", constants=given)
    refuses(graph, "'keep_prob' (float32)", "--set keep_prob=VALUE", constants=given, input_name="image")
    converters.convert(graph.graph_def(), constants={**given, "keep_prob": 1})


def test_inputs_that_may_both_be_the_image():
    graph = network([])
    given = {"is_training": False}
    refuses(graph, "2 inputs (image, keep_prob)", "input_name", "--set NAME=VALUE", constants=given)
    converters.convert(graph.graph_def(), constants={**given, "keep_prob": 1})


@pytest.mark.parametrize(
    ("constants", "words"),
    [
        ({"is_trainig": False}, ["no placeholder called 'is_trainig'", "Did you mean is_training?"]),
        ({"relu": 1.0}, ["'relu' is a Relu, no placeholder", "image, is_training, keep_prob"]),
        ({"is_training": 0}, ["'is_training' (bool) takes true or false, not 0"]),
        ({"is_training": None}, ["takes true or false, not None"]),
        ({"keep_prob": True}, ["'keep_prob' (float32) takes numbers, not True"]),
        ({"keep_prob": "half"}, ["takes numbers, not 'half'"]),
        ({"keep_prob": float("nan")}, ["takes numbers, not nan"]),
        ({"keep_prob": [[1], [1, 2]]}, ["takes numbers"]),
        ({"steps": 0.5}, ["'steps' (int32) takes whole numbers, not 0.5"]),
        ({"steps": 2**40}, ["'steps' (int32) takes whole numbers"]),
        ({"size": [3, 4, 5]}, ["'size' (int32) has shape [2]", "[3]"]),
        ({"size": [[3]]}, ["has shape [2]", "[1, 1]"]),
        ({"image": 0.5}, ["'image' is the image"]),
    ],
)
def test_constants_that_do_not_fit(constants, words):
    graph = network()
    graph.placeholder("steps", [], np.int32)
    graph.placeholder("size", [2], np.int32)
    refuses(graph, *words, constants=constants, input_name="image")


@pytest.mark.parametrize("shape", [[None, None, None, 3], [3], []])
def test_a_number_fills_the_shape_of_its_placeholder(shape):
    graph = GraphWriter()
    graph.op("y", "Mul", [graph.placeholder("image", IMAGE), graph.placeholder("scale", shape)])
    model = converters.convert(graph.graph_def(), constants={"scale": 3}, input_name="image")
    torch.testing.assert_close(model(picture()), 3 * picture())


def test_an_input_by_the_name_of_its_tensor():
    named = {"constants": {"is_training": False, "keep_prob": 1}, "input_name": "image:0"}
    model = converters.convert(network().graph_def(), **named)
    assert model.metadata.input_name == "image"
    torch.testing.assert_close(model(picture()), expected(picture(), False, 1))
    metadata = converters.Metadata("image:0", (5, 7, 3), (-1, 1))
    stated = converters.convert(network().graph_def(), constants=named["constants"], metadata=metadata)
    assert (stated.metadata.input_name, stated.metadata.image_shape) == ("image", (5, 7, 3))
    assert stated.program.fingerprint == model.program.fingerprint
    refuses(network(), "no node called 'imag:0'", "Did you mean image?", input_name="imag:0")


@pytest.mark.parametrize("constants", [["is_training"], {1: 2}])
def test_constants_are_a_mapping_from_names(constants):
    with pytest.raises(TypeError, match="mapping from placeholders' names"):
        converters.convert(network().graph_def(), constants=constants)


def test_sizes_that_are_fed_are_followed():
    graph = GraphWriter()
    x = graph.placeholder("image", IMAGE)
    size = graph.placeholder("size", [2], np.int32)
    graph.op("resized", "ResizeNearestNeighbor", [x, size], align_corners=False)
    model = converters.convert(graph.graph_def(), constants={"size": [10, 14]})
    assert model(picture()).shape == (2, 3, 10, 14)


def test_the_placeholders_size_is_the_images_shape():
    constants = {"is_training": False, "keep_prob": 1}
    for sizes, shape in (([None, 32, 24, 3], (32, 24, 3)), (IMAGE, None)):
        assert converters.convert(network(sizes).graph_def(), constants=constants).metadata.image_shape == shape


@pytest.fixture
def dropout() -> GraphWriter:
    """y = image * floor(keep_prob + random): TensorFlow 1's dropout without its division."""
    graph = GraphWriter()
    x, keep = graph.placeholder("image", IMAGE), graph.placeholder("keep_prob", [])
    shape = graph.op("shape", "Shape", [x], out_type=np.int32)
    uniform = graph.op("uniform", "RandomUniform", [shape], T=np.int32, dtype=np.float32, seed=1, seed2=2)
    graph.op("y", "Mul", [x, graph.op("mask", "Floor", [graph.op("sum", "Add", [keep, uniform])])])
    return graph


def test_dropout_that_its_constant_turns_off(dropout):
    model = converters.convert(dropout.graph_def(), constants={"keep_prob": 1})
    torch.testing.assert_close(model(picture()), picture(), rtol=0, atol=0)
    refuses(dropout, "'y'", "random numbers", "--set keep_prob=1", constants={"keep_prob": 0.5})


def test_random_numbers_are_not_compared_with_tensorflow(dropout):
    python = find_tensorflow()
    if python is None:
        pytest.skip("needs a Python with TensorFlow, named by LUCID_PORT_TENSORFLOW")
    graph, constants = dropout.graph_def(), {"keep_prob": 1}
    references = make_references(graph, "image", default_inputs((-1.0,), (1.0,)), python, constants)
    rows = check_model(converters.convert(graph, constants=constants), references)
    assert {row.layer for row in rows} == {"y"}
    assert all(row.passed for row in rows), rows[0]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("image", "default"), [(IMAGE, None), ([1, 32, 32, 3], None), (IMAGE, True)])
def test_every_layer_that_runs_is_compared_with_tensorflow(training, image, default):
    python = find_tensorflow()
    if python is None:
        pytest.skip("needs a Python with TensorFlow, named by LUCID_PORT_TENSORFLOW")
    graph, constants = network(image, default).graph_def(), {"is_training": training, "keep_prob": 0.5}
    model = converters.convert(graph, constants=constants)
    specs = default_inputs((-1.0,), (1.0,), stated=(32, 32))
    references = make_references(graph, "image", specs, python, constants)
    assert references.fingerprint == model.program.fingerprint
    rows = check_model(model, references)
    branch = {"relu", "first"} if training else {"switch", "tanh", "second"}
    assert {row.layer for row in rows} == {*branch, "merge", "y"}
    assert {row.input for row in rows} == {"224", "225", "97x161", "32x32"}
    assert all(row.passed for row in rows), rows[0]
