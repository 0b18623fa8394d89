"""Random small graphs: every layer has the value that TensorFlow 1.15.5 computed."""

from __future__ import annotations

import functools
import random
from dataclasses import replace

import pytest

from converters.frozen.graphdef import read_graph
from converters.lowering.lower import supported_ops
from converters.reference.inputs import array_sha256
from parity_tests.properties.graphs import INPUT, STEPS, random_graph
from parity_tests.properties.random_graphs import (
    COMMITTED,
    LEFT_OUT,
    Comparison,
    committed_graphs,
    committed_references,
    graph_of,
    parse_seeds,
)

# Ops that a step adds beside its own.
BESIDE = {"BatchToSpaceND", "Cast", "Const", "LogicalNot", "Select"}
# Supported ops that no random graph has, with the reason. All have cases in `parity_tests/cases`.
NOT_DRAWN = {
    "an old name of a drawn op": {"BiasAddV1", "Div", "Gather", "SelectV2"},
    "drawn as Identity": {"CheckNumerics", "IdentityN", "PreventGradient", "Print", "Snapshot"},
    "computed from sizes, not from images": {
        "BroadcastTo", "Fill", "InvertPermutation", "Range", "Rank", "Shape", "ShapeN", "Size",
    },
    "part of a training switch": {"Merge", "PlaceholderWithDefault", "RandomUniform", "Switch"},
    "jumps where its arguments are rounded": {"FloorDiv", "FloorMod"},
    "joins answers, which references do not hold": {"LogicalAnd", "LogicalOr"},
}  # fmt: skip


@functools.cache
def graphs():
    return committed_graphs()


@functools.cache
def references():
    return committed_references()


@pytest.mark.parametrize("seed", COMMITTED)
def test_every_layer_has_tensorflows_values(seed):
    name = f"seed-{seed}"
    found, reference = Comparison(), references()[name]
    assert reference.fingerprint == read_graph(graphs()[name]).fingerprint()
    found.add(name, graphs()[name], reference.inputs[INPUT])
    assert not found.failures
    assert found.layers or found.left_out


def test_nearly_all_layers_are_compared():
    found = Comparison()
    for name, graph in graphs().items():
        found.add(name, graph, references()[name].inputs[INPUT])
    assert found.graphs == len(COMMITTED)
    assert found.layers > 1000
    assert found.left_out < found.layers / 50
    assert len(LEFT_OUT) == 1


def test_a_wrong_value_fails():
    found, reference = Comparison(), references()["seed-0"].inputs[INPUT]
    spec = replace(reference.spec, seed=reference.spec.seed + 1)
    found.add("seed-0", graphs()["seed-0"], replace(reference, spec=spec, sha256=array_sha256(spec.make())))
    assert found.failures


def test_a_seed_gives_the_same_graph():
    assert graph_of(3) == random_graph(random.Random(3))
    assert graph_of(3) != graph_of(4)


def test_every_supported_op_is_drawn_or_named():
    left = [op for ops in NOT_DRAWN.values() for op in ops]
    assert len(left) == len(set(left))
    assert set(STEPS) | BESIDE | set(left) >= set(supported_ops())
    assert not set(left) & set(STEPS)


def test_the_committed_graphs_have_every_drawn_op():
    """But for products of matrices: few values of random graphs have two axes. `parity_tests/cases` has them."""
    assert (set(STEPS) | BESIDE) - {node.op for graph in graphs().values() for node in graph.node} == {"MatMul"}


@pytest.mark.parametrize("text", ["5", "5-4", "-1-4", "a-b"])
def test_seeds_that_are_no_range(text):
    with pytest.raises(ValueError, match="first-last"):
        parse_seeds(text)
