"""Batch norms folded into convolutions: the same values at every name, and nothing missed that somebody watches."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

import converters
from converters.frozen.writer import GraphWriter
from converters.network.request import LayerRequest

# A folded weight is rounded once more: 6e-7 of the maximum measured in these graphs.
BOUND = 2e-6
X = torch.rand(2, 4, 9, 11, generator=torch.Generator().manual_seed(0)) * 4 - 2


def vector(graph: GraphWriter, name: str, seed: int) -> str:
    return graph.const(name, np.random.RandomState(seed).uniform(0.5, 1.5, 6).astype(np.float32))


def graph_def(layout: str = "NHWC"):
    """conv, bias, fused batch norm, ReLU; then a depthwise convolution and a batch norm by parts."""
    graph = GraphWriter()
    shape = [None, 4, None, None] if layout == "NCHW" else [None, None, None, 4]
    x = graph.placeholder("input", shape)
    random = np.random.RandomState(1)
    kernel = graph.const("w", random.randn(3, 3, 4, 6).astype(np.float32))
    strides = [1, 1, 2, 2] if layout == "NCHW" else [1, 2, 2, 1]
    y = graph.op("conv", "Conv2D", [x, kernel], strides=strides, padding="SAME", data_format=layout)
    y = graph.op("bias", "BiasAdd", [y, vector(graph, "b", 2)], data_format=layout)
    vectors = [vector(graph, name, seed) for seed, name in enumerate(("gamma", "beta", "mean", "variance"), 3)]
    y = graph.op("norm", "FusedBatchNorm", [y, *vectors], epsilon=1e-3, is_training=False, data_format=layout)
    y = graph.op("relu", "Relu", [y])
    kernel = graph.const("dw", random.randn(3, 3, 6, 1).astype(np.float32))
    y = graph.op(
        "depthwise", "DepthwiseConv2dNative", [y, kernel], strides=[1, 1, 1, 1], padding="VALID", data_format=layout
    )
    constants = [graph.const(name, random.rand(*(6, 1, 1) if layout == "NCHW" else (6,)).astype(np.float32) + 0.5)
                 for name in ("factor", "summand", "divisor")]  # fmt: skip
    y = graph.op("scaled", "Mul", [y, constants[0]])
    y = graph.op("turned", "Sub", [constants[1], y])
    y = graph.op("shifted", "Add", [graph.const("half", 0.5), y])
    graph.op("divided", "RealDiv", [y, constants[2]])
    return graph.graph_def()


def close(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> bool:
    return all((found[name] - value).abs().max() <= BOUND * value.abs().max() for name, value in expected.items())


def layers_run(model: converters.ConvertedModel, names: list[str]) -> list[str]:
    graph = model._prepared(LayerRequest.of(names)).graph
    return [type(layer).__name__ for layer in graph.children()]


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_every_name_alone_and_all_together_have_their_values(layout):
    plain = converters.convert(graph_def(layout))
    folded = converters.convert(graph_def(layout), fold=True)
    names = [name for name in plain.layers if name != "input"]
    expected = plain.activations(X, names)
    assert close(folded.activations(X, names), expected)
    for name in names:
        assert close(folded.activations(X, [name]), {name: expected[name]})


@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
def test_only_convolutions_and_what_is_between_them_run(layout):
    model = converters.convert(graph_def(layout), fold=True)
    assert layers_run(model, ["divided"]) == ["FoldedConvolution", "Relu", "FoldedConvolution"]
    assert layers_run(model, ["bias", "relu"]) == ["FoldedConvolution", "BatchNorm", "Relu"]


def test_nothing_is_folded_unasked():
    assert "BatchNorm" in layers_run(converters.convert(graph_def()), ["relu"])


def test_gradients_are_the_same():
    plain, folded = (converters.convert(graph_def(), fold=fold) for fold in (False, True))
    grads = []
    for model in (plain, folded):
        x = X.clone().requires_grad_()
        grads.append(torch.autograd.grad(model.activations(x, ["divided"])["divided"].square().mean(), x)[0])
    assert (grads[0] - grads[1]).abs().max() <= BOUND * grads[0].abs().max()


def test_changed_weights_take_part():
    model, plain = converters.convert(graph_def(), fold=True), converters.convert(graph_def())
    before = model.activations(X, ["norm"])["norm"]
    for each in (model, plain):
        each.norm.variance.mul_(4)
    after = model.activations(X, ["norm"])
    assert not torch.equal(after["norm"], before)
    assert close(after, plain.activations(X, ["norm"]))


def test_thawed_weights_get_gradients():
    model = converters.convert(graph_def(), fold=True).requires_grad_()
    model.activations(X, ["norm"])["norm"].sum().backward()
    assert model.conv.weight.grad.abs().max() > 0
    assert model.norm.weight.grad.abs().max() > 0


def test_a_hook_on_a_batch_norm_is_called():
    model, seen = converters.convert(graph_def(), fold=True), []
    model.norm.register_forward_hook(lambda module, args, result: seen.append(1))
    model.activations(X, ["relu"])
    assert seen == [1]


def test_a_replaced_batch_norm_takes_part():
    model = converters.convert(graph_def(), fold=True)
    model.norm = torch.nn.Identity()
    found = model.activations(X, ["norm", "bias"])
    torch.testing.assert_close(found["norm"], found["bias"], rtol=0, atol=0)


def test_saving_and_copying_keep_it(tmp_path):
    model = converters.convert(graph_def(), fold=True)
    model.save(tmp_path / "model")
    for twin in (converters.load(tmp_path / "model"), copy.deepcopy(model)):
        assert layers_run(twin, ["divided"]) == ["FoldedConvolution", "Relu", "FoldedConvolution"]
        torch.testing.assert_close(twin.activations(X, ["divided"]), model.activations(X, ["divided"]), rtol=0, atol=0)
