"""ONNX files as networks: tf2onnx's files equal the graphs they were made from; names, layouts, constants."""

from __future__ import annotations

import contextlib
import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from onnx import TensorProto, helper, numpy_helper

import converters
from converters import from_onnx
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import param, render
from parity_tests.converters.onnx_models import assert_close, nhwc_model, read, refuses, small_model, values, window
from parity_tests.converters.onnx_networks import FOLDER, NETWORKS

# -- the route .pb -> tf2onnx -> torch --------------------------------------------------------------------------------

# TensorFlow's Mean drops the axes that tf2onnx's GlobalAveragePool keeps.
KEPT_AXES = {"mobilenet/global_pool"}
SIZES = {
    "inception": ((224, 224), (225, 237), (97, 161)),
    "resnet": ((97, 161), (64, 67)),
    "mobilenet": ((97, 161), (64, 67)),
}
RELU6 = "mobilenet/Conv2d_2_pointwise/Relu6:3"
RANGES = {"inception": (-117, 138), "resnet": (-1, 1), "mobilenet": (-1, 1)}
RENDER_BOUND = 2e-5  # of pixels in [0, 1]; 2.6e-6 at worst


@functools.cache
def both(name: str):
    """A network by tf2onnx's file, and as it converts directly."""
    return from_onnx(FOLDER / f"{name}.onnx"), converters.convert(NETWORKS[name].graph_def())


def computable(model: converters.ConvertedModel, x: torch.Tensor, names: list[str]) -> dict[str, torch.Tensor]:
    """The values of the layers that an image of this size has."""
    with contextlib.suppress(converters.InputSizeError):
        return model.activations(x, names)
    found = {}
    for name in names:
        with contextlib.suppress(converters.InputSizeError):
            found |= model.activations(x, [name])
    return found


@pytest.mark.parametrize(("name", "size"), [(name, size) for name, sizes in SIZES.items() for size in sizes])
def test_both_routes_agree_at_every_common_name(name, size):
    network, direct = both(name)
    x = torch.from_numpy(values(2, 3, *size)) * (100 if name == "inception" else 1)
    expected = computable(direct, x, [layer for layer in direct.layers if layer in network.layers])
    found = network.activations(x, list(expected))
    for layer, value in expected.items():
        assert_close(found[layer].flatten(1) if layer in KEPT_AXES else found[layer], value)
    assert len(expected) >= {"inception": 140, "resnet": 27, "mobilenet": 18}[name]


@pytest.mark.parametrize("name", NETWORKS)
def test_what_tf2onnx_folds_keeps_no_name_of_another_value(name):
    network, direct = both(name)
    gone = set(direct.layers) - set(network.layers)
    extra = set(network.layers) - set(direct.layers)
    assert all("__" in layer for layer in extra)  # tf2onnx's own transposes and reshapes
    folded = {"inception": ("/conv", "/matmul", "_pre_relu", "softmax", "output", "nn"), "resnet": ("/Conv2D", "/Pad"),
              "mobilenet": ("/Conv2D", "/depthwise")}[name]  # fmt: skip
    assert all(layer.endswith(folded) or layer.startswith(folded) for layer in gone)


def test_names_of_tensorflow_are_addressable():
    network, _ = both("resnet")
    name = "resnet/block1/unit_2/bottleneck_v2/conv2/BatchNorm/FusedBatchNormV3"
    x = torch.from_numpy(values(1, 3, 33, 41))
    found = network.activations(x, [name, f"{name}:0"])
    assert torch.equal(found[name], found[f"{name}:0"])
    assert network.layers[f"{name}:0"].name == name
    assert network.layers[name].op == "Conv"
    assert next(iter(network.layers)) == "input"
    assert network.metadata.input_name == "input"


@pytest.mark.parametrize(("name", "objective"), [("inception", "mixed3b:9"), ("mobilenet", RELU6)])
def test_renders_are_those_of_the_direct_route(name, objective):
    """Eight steps, gradients of ReLUs redirected as Lucid redirects them, are the same render on both routes."""
    pictures = [
        render.render_vis(
            Model(network=network, image_value_range=RANGES[name]), objective, lambda: param.image(40),
            thresholds=(0, 7), verbose=False, seed=3,
        )
        for network in both(name)
    ]  # fmt: skip
    for by_onnx, direct in zip(*pictures, strict=True):
        assert np.abs(by_onnx - direct).max() < RENDER_BOUND
    assert pictures[0].losses[-1] > pictures[0].losses[0]


# -- names, outputs, constants ----------------------------------------------------------------------------------------


def test_every_output_of_a_split_is_a_layer(tmp_path):
    nodes = [
        helper.make_node("Split", ["x"], ["parts:0", "parts:1"], name="parts", axis=1),
        helper.make_node("Add", ["parts:0", "parts:1"], ["sum:0"], name="sum"),
    ]
    network = read(tmp_path, small_model(nodes))
    x = torch.from_numpy(values(2, 4, 3, 5))
    found = network.activations(x, ["parts", "parts:1", "sum"])
    assert torch.equal(found["parts"], x[:, :2])
    assert torch.equal(found["parts:1"], x[:, 2:])
    assert torch.equal(found["sum"], x[:, :2] + x[:, 2:])


def test_names_of_nodes_and_values(tmp_path):
    """Node names of other exporters stand for what the node gives, unless a value has the name."""
    nodes = [
        helper.make_node("Relu", ["x"], ["/features/0/Relu_output_0"], name="/features/0/Relu"),
        helper.make_node("Sigmoid", ["/features/0/Relu_output_0"], ["graph"], name="parameters"),
        helper.make_node("Tanh", ["graph"], ["a.b"], name="graph"),
        helper.make_node("Abs", ["a.b"], ["forward"]),
    ]
    network = read(tmp_path, small_model(nodes))
    assert list(network.layers) == [
        "x",
        "/features/0/Relu_output_0",
        "graph",
        "a.b",
        "forward",
        "/features/0/Relu",
        "parameters",
    ]
    x = torch.from_numpy(values(1, 4, 3, 5))
    found = network.activations(x, list(network.layers))
    assert torch.equal(found["/features/0/Relu"], F.relu(x))
    assert torch.equal(found["graph"], F.relu(x).sigmoid())
    assert torch.equal(found["parameters"], found["graph"])
    assert torch.equal(network(x), found["a.b"].abs())


def test_values_that_are_called_alike(tmp_path):
    nodes = [helper.make_node("Relu", ["x"], ["y"]), helper.make_node("Tanh", ["y"], ["y:0"])]
    network = read(tmp_path, small_model(nodes))
    x = torch.from_numpy(values(1, 4, 3, 5))
    found = network.activations(x, ["y", "y:0"])
    assert torch.equal(found["y"], F.relu(x))
    assert torch.equal(found["y:0"], F.relu(x).tanh())


def test_constants_in_nodes(tmp_path):
    """Weights as PyTorch's exporter writes some: in Constant nodes, and by way of Identity."""
    weights = values(5, 4, 3, 3)
    nodes = [
        helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(weights)),
        helper.make_node("Identity", ["c"], ["w"]),
        helper.make_node("Conv", ["x", "w"], ["y"], name="conv"),
    ]
    x = torch.from_numpy(values(1, 4, 5, 6))
    network = read(tmp_path, small_model(nodes))
    assert_close(network.activations(x, ["conv"])["conv"], F.conv2d(x, torch.from_numpy(weights)))
    assert set(network.layers) == {"x", "y", "conv"}


def test_outputs_that_nobody_reads_do_not_matter(tmp_path):
    nodes = [
        helper.make_node("MaxPool", ["x"], ["y", "indices"], kernel_shape=[2, 2]),
        helper.make_node("Dropout", ["y"], ["z", "mask"]),
        helper.make_node("Relu", ["z"], ["r"]),
    ]
    x = torch.from_numpy(values(2, 4, 5, 6))
    assert_close(read(tmp_path, small_model(nodes)).activations(x, ["r"])["r"], F.relu(F.max_pool2d(x, 2, 1)))


def test_an_output_that_is_read_but_not_computed_is_refused(tmp_path):
    nodes = [
        helper.make_node("MaxPool", ["x"], ["y", "indices"], name="pool", kernel_shape=[2, 2]),
        helper.make_node("Cast", ["indices"], ["z"], to=TensorProto.FLOAT),
    ]
    refuses(tmp_path, small_model(nodes), "MaxPool with 2 outputs", "pool")


def test_functions_of_the_model_are_put_in(tmp_path):
    opset = [helper.make_opsetid("", 15)]
    square = helper.make_function("mine", "Square", ["a"], ["b"], [helper.make_node("Mul", ["a", "a"], ["b"])], opset)
    model = small_model([helper.make_node("Square", ["x"], ["y"], domain="mine")], functions=[square])
    model.opset_import.append(helper.make_opsetid("mine", 1))
    x = torch.from_numpy(values(1, 4, 3, 5))
    assert torch.equal(read(tmp_path, model).activations(x, ["y"])["y"], x * x)


# -- how the image lies -----------------------------------------------------------------------------------------------


def test_an_image_with_the_channels_last_is_read_as_nchw(tmp_path):
    x = torch.from_numpy(values(2, 3, 7, 9))
    found = read(tmp_path, nhwc_model()).activations(x, ["y", "shifted", "x"])
    shifted = x - torch.tensor([1.0, 2.0, 3.0]).reshape(3, 1, 1)
    assert_close(found["y"], F.conv2d(shifted, torch.from_numpy(values(5, 3, 3, 3))))
    assert_close(found["shifted"], shifted.permute(0, 2, 3, 1))  # up to its own Transpose, the graph is NHWC
    assert torch.equal(found["x"], x)


def test_the_layout_can_be_said(tmp_path):
    model = small_model([helper.make_node("Softmax", ["x"], ["y"], axis=1)], shape=(None, None, None, None))
    x = torch.from_numpy(values(2, 3, 7, 9))
    assert_close(read(tmp_path, model).activations(x, ["y"])["y"], x.softmax(1))
    assert_close(read(tmp_path, model, layout="NHWC").activations(x, ["y"])["y"], x.permute(0, 2, 3, 1).softmax(1))
    assert_close(read(tmp_path, nhwc_model(), layout="NCHW").activations(x.permute(0, 2, 3, 1), ["shifted"])["shifted"],
                 x.permute(0, 2, 3, 1) - torch.tensor([1.0, 2.0, 3.0]))  # fmt: skip
    with pytest.raises(ValueError, match="layout"):
        read(tmp_path, model, layout="HWC")


def test_stated_sizes_do_not_bind(tmp_path):
    model = small_model(
        [window("Conv", ["x", "w"], auto_pad="SAME_UPPER")], {"w": values(5, 3, 3, 3)}, shape=(1, 3, 8, 8)
    )
    network = read(tmp_path, model)
    assert network.activations(torch.zeros(2, 3, 11, 5), ["y"])["y"].shape == (2, 5, 11, 5)
    assert network.metadata == converters.Metadata("x", (8, 8, 3))


# -- there and back ---------------------------------------------------------------------------------------------------


def test_what_is_written_can_be_read(tmp_path):
    metadata = converters.Metadata("input", (224, 224, 3), (-117.0, 138.0), True)
    direct = converters.convert(NETWORKS["inception"].graph_def(), metadata=metadata)
    names = [name for name in direct.layers if name != "input"]
    network = from_onnx(direct.to_onnx(tmp_path / "m.onnx", names))
    assert network.metadata == metadata
    assert set(names) <= set(network.layers)
    x = torch.from_numpy(values(2, 3, 225, 237)) * 100
    found, expected = network.activations(x, names), direct.activations(x, names)
    for name in names:
        assert_close(found[name], expected[name])
    assert Model(network=network).image_value_range == (-117.0, 138.0)


def test_given_metadata_win(tmp_path):
    metadata = converters.Metadata("x", (8, 8, 3), (-1.0, 1.0))
    assert read(tmp_path, nhwc_model(), metadata=metadata).metadata is metadata
