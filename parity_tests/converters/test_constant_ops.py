"""Ops of constants, and of values of different ranks: the layers behind them have the right values."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

import converters
from converters.frozen.writer import GraphWriter
from converters.functional import to_tensorflow_order

NUMBERS = np.array([-1.5, -0.25, 0.5, 2.0], np.float32)
X = torch.linspace(0.1, 2, 2 * 4 * 3 * 5).reshape(2, 4, 3, 5)

OF_CONSTANTS = {
    "Cos": torch.cos,
    "Elu": F.elu,
    "Erf": torch.erf,
    "Expm1": torch.expm1,
    "LogSoftmax": lambda x: torch.log_softmax(x, -1),
    "Relu": torch.relu,
    "Relu6": F.relu6,
    "Selu": F.selu,
    "Sigmoid": torch.sigmoid,
    "Sin": torch.sin,
    "Softmax": lambda x: torch.softmax(x, -1),
    "Softplus": F.softplus,
    "Softsign": F.softsign,
    "Tanh": torch.tanh,
}


def multiplied(op: str, *constants: np.ndarray, **attributes: float) -> tuple[torch.Tensor, converters.ConvertedModel]:
    """The numbers by which a graph multiplies channels, which an op computes from constants; and the network."""
    graph = GraphWriter()
    x = graph.placeholder("x", [None, None, None, 4])
    names = [graph.const(f"c{index}", constant) for index, constant in enumerate(constants)]
    graph.op("y", "Mul", [x, graph.op("computed", op, names, **attributes)])
    model = converters.convert(graph.graph_def())
    assert not model.left_out
    return model.activations(X, ["y"])["y"] / X, model


@pytest.mark.parametrize("op", OF_CONSTANTS)
def test_activations_of_constants(op):
    found, _ = multiplied(op, NUMBERS)
    wanted = OF_CONSTANTS[op](torch.from_numpy(NUMBERS)).reshape(4, 1, 1)
    torch.testing.assert_close(found, wanted.expand_as(found))


def test_activations_of_constants_with_arguments():
    found, _ = multiplied("LeakyRelu", NUMBERS, alpha=0.3)
    torch.testing.assert_close(found[0, :, 0, 0], torch.tensor([-0.45, -0.075, 0.5, 2.0]))
    found, _ = multiplied("Log1p", NUMBERS + 2)
    torch.testing.assert_close(found[0, :, 0, 0], torch.log(torch.from_numpy(NUMBERS + 3)))
    found, _ = multiplied("DivNoNan", NUMBERS, np.array([2, 0, 4, -1], np.float32))
    torch.testing.assert_close(found[0, :, 0, 0], torch.tensor([-0.75, 0.0, 0.125, -2.0]))


def test_an_op_that_is_converted_only_for_images_says_so():
    graph = GraphWriter()
    x = graph.placeholder("x", [None, None, None, 3])
    constant = graph.const("constant", np.ones((1, 3), np.float32))
    bias = graph.op("bias", "BiasAdd", [constant, graph.const("b", np.ones(3, np.float32))])
    graph.op("y", "Mul", [x, bias])
    graph.op("z", "Relu", [x])
    left = converters.convert(graph.graph_def()).left_out
    assert left == {"y": "node 'bias' (BiasAdd) reads constants only, and the op is converted only for images"}


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("op", ["Add", "SelectV2"])
def test_an_image_with_a_value_of_five_axes(op, first):
    """The image is broadcast in TensorFlow's order of axes."""
    graph = GraphWriter()
    x = graph.placeholder("x", [None, 3, 5, 4])
    more = graph.reshape("more", x, [-1, 2, 3, 5, 2])
    bounds = [graph.const("begin", [0, 0, 0, 0]), graph.const("size", [2, 3, 5, 2])]
    image = graph.op("image", "Slice", [x, *bounds], Index=np.int32)
    pair = [more, image] if first else [image, more]
    condition = [graph.op("positive", "Greater", [more, graph.const("one", 1.0)])] if op == "SelectV2" else []
    graph.op("y", op, [*condition, *pair])
    found = converters.convert(graph.graph_def()).activations(X, ["y"])["y"]
    last = to_tensorflow_order(X)
    five, four = last.reshape(2, 2, 3, 5, 2), last[..., :2]
    values = (five, four) if first else (four, five)
    wanted = torch.where(five > 1, *values) if op == "SelectV2" else values[0] + values[1]
    assert torch.equal(found, wanted)
