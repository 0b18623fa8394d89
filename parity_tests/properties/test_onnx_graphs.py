"""Random small models of ONNX: every value is onnxruntime's, in every opset from 7."""

from __future__ import annotations

import random
import warnings

import numpy as np
import onnx
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from converters import from_onnx
from converters.onnx.reading.ops import OPS
from parity_tests.converters.onnx_runtimes import run
from parity_tests.properties.onnx_graphs import INPUT, OPSETS, SINCE, STEPS, random_model

BOUND = 1e-5  # of a value's maximum

# Ops that a step adds beside its own.
BESIDE = {"And", "Cast", "Not", "Or", "Where", "Xor"}
# Supported ops that no random model has, with the reason. All but these are drawn.
NOT_DRAWN = {
    "reads sizes, not images": {"EyeLike", "Shape", "Size"},
    "reads quantized numbers": {
        "ConvInteger", "DequantizeLinear", "DynamicQuantizeLinear", "MatMulInteger", "QLinearConv", "QLinearMatMul",
        "QuantizeLinear",
    },
    "has other inputs than images": {
        "Attention", "CastLike", "CenterCropPad", "GatherElements", "GatherND", "GridSample", "OneHot",
        "ScatterElements", "ScatterND",
    },
    "is undefined for most images": {"Acosh", "IsInf", "IsNaN"},
    "not in onnxruntime's newest opsets": {"RMSNormalization", "Swish"},
}  # fmt: skip


def check(seed: int, opset: int, folder) -> None:
    drawn = random_model(random.Random(seed), opset)
    wanted = run("onnxruntime", drawn.all_values, {INPUT: drawn.image})
    path = folder / "random.onnx"
    path.write_bytes(drawn.model.SerializeToString())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # torch's, about the padding of even kernels
        network = from_onnx(path, layout="NCHW")
    assert not network.left_out
    names = [name for name in wanted if name in network.layers]
    assert set(wanted) - set(names) <= constants(drawn.all_values)
    with torch.no_grad():
        found = network.activations(torch.from_numpy(drawn.image), names)
    for name in names:
        compare(found[name].numpy(), wanted[name], name)
    outputs = [output.name for output in drawn.model.graph.output]
    assert set(outputs) <= set(wanted)


def constants(model: onnx.ModelProto) -> set[str]:
    """Values that do not depend on the image, which are no layers."""
    depends = {INPUT}
    for node in model.graph.node:
        if depends & set(node.input):
            depends.update(node.output)
    return {output.name for output in model.graph.output} - depends


def compare(found: np.ndarray, wanted: np.ndarray, name: str) -> None:
    assert found.shape == wanted.shape, name
    assert np.abs(found - wanted).max() <= BOUND * np.abs(wanted).max(), name


@pytest.mark.parametrize("opset", OPSETS)
@given(seed=st.integers(0, 10**9))
def test_every_value_is_onnxruntimes(opset, seed, tmp_path_factory):
    check(seed, opset, tmp_path_factory.getbasetemp())


def test_a_seed_gives_the_same_model():
    first, again = (random_model(random.Random(5)) for _ in range(2))
    assert first.model == again.model
    assert np.array_equal(first.image, again.image)


def test_every_supported_op_is_drawn_or_named():
    left = [op for ops in NOT_DRAWN.values() for op in ops]
    assert len(left) == len(set(left))
    assert set(STEPS) | BESIDE | set(left) >= set(OPS)
    assert not set(left) & set(STEPS)
    assert set(SINCE) == set(STEPS)


def test_the_models_have_initializers_that_several_nodes_read_and_nodes_in_any_order():
    shared = shuffled = several = 0
    for seed in range(60):
        drawn = random_model(random.Random(seed))
        reads = [name for node in drawn.model.graph.node for name in node.input]
        shared += any(reads.count(tensor.name) > 1 for tensor in drawn.model.graph.initializer)
        shuffled += list(drawn.model.graph.node) != list(drawn.all_values.graph.node)
        several += len(drawn.model.graph.output) > 1
    assert min(shared, shuffled, several) > 10
