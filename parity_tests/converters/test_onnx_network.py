"""Networks read from ONNX files: what they say of themselves, and of images that do not fit."""

from __future__ import annotations

import copy

import numpy as np
import onnx
import pytest
import torch

import converters
from converters.frozen.writer import GraphWriter


@pytest.fixture
def path(tmp_path):
    """x (5 channels) -> conv (VALID, 3x3) -> flat (a row of an image's 4 x 6 values of 2 channels) and relu."""
    writer = GraphWriter()
    kernel = writer.const("w", np.random.RandomState(0).randn(3, 3, 5, 2).astype(np.float32))
    conv = writer.conv2d("conv", writer.placeholder("x", [None, None, None, 5]), kernel, padding="VALID")
    writer.reshape("flat", conv, [-1, 48])
    writer.op("relu", "Relu", [conv])
    converters.convert(writer.graph_def()).to_onnx(tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def test_outputs_and_channels(path):
    network = converters.from_onnx(path)
    assert network.layers["x"].channels == 5
    assert set(network.outputs) == {"flat", "relu"}
    assert copy.deepcopy(network).outputs == network.outputs


@pytest.mark.parametrize("shape", [(1, 3, 6, 8), (5, 6, 8), (1, 1, 5, 6, 8)])
def test_what_is_no_batch_of_its_images(path, shape):
    with pytest.raises(ValueError, match=r"reads a batch of images, \(N, 5, H, W\)"):
        converters.from_onnx(path).activations(torch.zeros(shape), ["relu"])


def test_numbers_that_are_no_reals(path):
    with pytest.raises(ValueError, match=r"torch\.int64"):
        converters.from_onnx(path).activations(torch.zeros(1, 5, 6, 8, dtype=torch.int64), ["relu"])


def test_the_layer_that_does_not_fit_is_named(path):
    network = converters.from_onnx(path)
    assert network.activations(torch.rand(2, 5, 6, 8), ["flat"])["flat"].shape == (2, 48)
    with pytest.raises(converters.InputSizeError, match="Layer 'flat' cannot be computed for images of 7x9: "):
        network.activations(torch.rand(1, 5, 7, 9), ["flat", "relu"])
    with pytest.raises(converters.InputSizeError, match="Layer 'conv' cannot be computed for images of 2x9: "):
        network.activations(torch.rand(1, 5, 2, 9), ["relu"])
    assert network.activations(torch.rand(1, 5, 7, 9), ["relu"])["relu"].shape == (1, 2, 5, 7)


def test_an_error_of_a_hook_is_left_as_it_is(path):
    network = converters.from_onnx(path)
    calls = []

    def fail(module, inputs, output):
        calls.append(module)
        if len(calls) == 1:
            raise RuntimeError("of the hook")

    network.get_submodule(network.layers["relu"].module).register_forward_hook(fail)
    with pytest.raises(RuntimeError, match="of the hook"):
        network.activations(torch.rand(1, 5, 7, 9), ["relu"])


def change(path, edit) -> None:
    model = onnx.load(path)
    edit(model)
    path.write_bytes(model.SerializeToString())


def clear_strides(model) -> None:
    attribute = next(a for node in model.graph.node for a in node.attribute if a.name == "strides")
    del attribute.ints[:]


def far_opset(model) -> None:
    model.opset_import[0].version = 2**40


def far_axis(model) -> None:
    model.graph.node.add(op_type="Softmax", input=["x"], output=["far"]).attribute.add(name="axis", type=2, i=2**40)
    model.graph.output.add().CopyFrom(model.graph.output[0])
    model.graph.output[-1].name = "far"


def far_axes(model) -> None:
    for name, value in (("starts", 0), ("ends", 1), ("axes", 2**40)):
        model.graph.initializer.add().CopyFrom(onnx.numpy_helper.from_array(np.array([value]), name))
    model.graph.node.add(op_type="Slice", input=["x", "starts", "ends", "axes"], output=["far"])
    model.graph.output.add().CopyFrom(model.graph.output[0])
    model.graph.output[-1].name = "far"


def node_without_outputs(model) -> None:
    model.graph.node.add(op_type="Relu", input=["nowhere"])


def identity_of_nothing(model) -> None:
    model.graph.node.add(op_type="Identity", name="odd", output=["odd"])


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (clear_strides, "'strides' without a value"),
        (far_opset, "opset 1099511627776"),
        (far_axis, "axis 1099511627776"),
    ],
)
def test_damaged_files(path, edit, words):
    change(path, edit)
    with pytest.raises(converters.GraphError, match=words):
        converters.from_onnx(path)


def test_a_node_of_nothing_that_nobody_reads(path):
    change(path, identity_of_nothing)
    assert "odd" not in converters.from_onnx(path).layers


def test_layers_have_the_paths_of_their_modules(path):
    network = converters.from_onnx(path)
    for one in (network, copy.deepcopy(network)):
        module = one.get_submodule(one.layers["conv"].module)
        assert module is one.layer_module("conv")
        assert module.weight.shape == (2, 5, 3, 3)
    with pytest.raises(ValueError, match="the network's input"):
        network.layer_module("x")


@pytest.mark.parametrize(("name", "words"), [("save", "from_onnx"), ("to_onnx", "file"), ("subgraph", "activations")])
def test_methods_of_converted_graphs_say_what_to_do_instead(path, name, words):
    network = converters.from_onnx(path)
    assert not hasattr(network, name)
    with pytest.raises(AttributeError, match=f"OnnxNetwork has no {name}: .*{words}"):
        getattr(network, name)
