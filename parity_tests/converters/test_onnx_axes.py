"""The channel axes of layers of ONNX files: as the ops tell them, or as the user states them."""

from __future__ import annotations

import re

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper

import converters
from converters.errors import ChannelAxisError
from lucid_port import modelzoo
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import objectives, render

RANDOM = np.random.RandomState(3)
SIDES = (8, 12)


def tensor(name: str, *shape: int) -> onnx.TensorProto:
    return numpy_helper.from_array(RANDOM.standard_normal(shape).astype(np.float32), name)


def integers(name: str, *values: int) -> onnx.TensorProto:
    return numpy_helper.from_array(np.array(values, np.int64), name)


NODES = [
    helper.make_node("Conv", ["x", "k"], ["conv"], kernel_shape=[4, 4], strides=[4, 4]),
    helper.make_node("Reshape", ["conv", "flat"], ["patches"]),
    helper.make_node("Conv", ["patches", "k1"], ["conv1d"], kernel_shape=[3], pads=[1, 1]),
    helper.make_node("Relu", ["conv1d"], ["relu1d"]),
    helper.make_node("Transpose", ["patches"], ["tokens"], perm=[0, 2, 1]),
    helper.make_node("MatMul", ["tokens", "w"], ["linear"]),
    helper.make_node("Transpose", ["conv"], ["nhwc"], perm=[0, 2, 3, 1]),
    helper.make_node("MatMul", ["nhwc", "w"], ["linear4"]),
    helper.make_node("Reshape", ["conv", "join"], ["joined"]),
    helper.make_node("ReduceMean", ["linear"], ["pooled"], axes=[1], keepdims=0),
]
CONSTANTS = [
    *(tensor("k", 5, 3, 4, 4), tensor("k1", 4, 5, 3), tensor("w", 5, 7)),
    *(integers("flat", 0, 0, -1), integers("join", 0, -1, 3)),
]
AXES = {
    "conv": "NCHW",
    "patches": "NCL",
    "conv1d": "NCL",
    "relu1d": "NCL",
    "tokens": "NLC",
    "linear": "NLC",
    "nhwc": "NHWC",
    "linear4": "NHWC",
    "pooled": "NC",
}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    sizes = ["n", 3, *SIDES]
    graph = helper.make_graph(
        NODES,
        "tokens",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for node in NODES for name in node.output],
        CONSTANTS,
    )
    file = tmp_path_factory.mktemp("axes") / "tokens.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), file)
    return file


@pytest.fixture(scope="module")
def values(path):
    x = RANDOM.standard_normal((2, 3, *SIDES)).astype(np.float32)
    session = onnxruntime.InferenceSession(str(path))
    names = [output.name for output in session.get_outputs()]
    return torch.from_numpy(x), dict(zip(names, session.run(None, {"x": x}), strict=True))


@pytest.mark.parametrize(("name", "axes"), AXES.items())
def test_channels_lie_where_the_ops_put_them(name, axes, path, values):
    network, (x, expected) = converters.from_onnx(path), values
    info = network.layers[name]
    assert info.axes_of(len(axes)) == axes
    found = info.channels_first(network.activations(x, [name])[name])[:, 2]
    np.testing.assert_allclose(found, expected[name].take(2, axes.index("C")), atol=1e-5)
    assert info.channels in (None, expected[name].shape[axes.index("C")])


def test_the_tokens_of_an_onnx_file_form_a_grid(path):
    info = converters.from_onnx(path).layers["linear"]
    assert info.tokens.places(6, *SIDES) == (2, 3)


def test_an_objective_reads_the_channel_of_a_one_dimensional_convolution(path, values):
    x, expected = values
    model = Model(path, image_value_range=(0, 1))
    vis = render.make_vis_T(model, objectives.channel("conv1d", 2), lambda: x.clone().requires_grad_(), transforms=[])
    value, _ = vis.value_and_gradients()
    assert float(value) == pytest.approx(expected["conv1d"][:, 2].mean(), rel=1e-5)


def advised(error: Exception) -> dict[str, str]:
    """The layouts that an error suggests."""
    return dict(re.findall(r"'([\w/.]+)': '([A-Z]+)'", str(error).partition("layouts=")[2]))


def test_the_advice_opens_a_layer_whose_axes_are_not_known(path, values):
    with pytest.raises(ChannelAxisError, match="one axis joins channels and places") as caught:
        converters.from_onnx(path).layers["joined"].channel_axis(3)
    layouts = advised(caught.value)
    assert list(layouts) == ["joined"]
    model = Model(path, image_value_range=(0, 1), layouts=layouts)
    assert model.network.layers["joined"].channel_axis(3) == layouts["joined"].index("C")
    assert model.opened_with["layouts"] == layouts
    network = converters.from_onnx(path)
    wrapped = modelzoo.from_torch(network, (0, 1), image_shape=(*SIDES, 3), layouts={"joined": "NCW"})
    assert wrapped.network.layers["joined"].channel_axis(3) == 1


def test_the_axes_of_a_frozen_graph_can_be_stated(tmp_path):
    from converters.frozen.writer import GraphWriter

    graph = GraphWriter()
    x = graph.placeholder("x", [None, 8, 6, 3])
    shape = graph.const("shape", np.array([-1, 8, 18], np.int32))
    graph.op("rows", "Reshape", [x, shape])
    file = graph.write(tmp_path / "rows.pb")
    assert converters.open_source(file).layers["rows"].channel_axis(3) == 2
    stated = converters.open_source(file, layouts={"rows:0": "NCW"}).layers["rows"]
    assert (stated.channel_axis(3), stated.channels) == (1, None)
    with pytest.raises(converters.LayerNotFoundError, match="Did you mean rows"):
        converters.open_source(file, layouts={"row": "NCW"})
    with pytest.raises(ValueError, match="one letter for each axis"):
        converters.open_source(file, layouts={"rows": "NXC"})


def test_images_computed_one_by_one_have_their_axes(tmp_path):
    """The file states a batch of one, and joins it with other axes."""
    nodes = [*NODES[:1], helper.make_node("Reshape", ["conv", "one"], ["patches"]), *NODES[2:3]]
    constants = [*CONSTANTS[:2], integers("one", 1, 5, -1)]
    graph = helper.make_graph(
        nodes,
        "one",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, *SIDES])],
        [helper.make_tensor_value_info("conv1d", TensorProto.FLOAT, None)],
        constants,
    )
    file = tmp_path / "one.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), file)
    network = converters.from_onnx(file)
    assert network.takes_one_image
    assert [network.layers[name].axes_of(3) for name in ("patches", "conv1d")] == ["NCL", "NCL"]
