"""The networks of Lucid's modelzoo with seeded weights: every layer, against TensorFlow's recorded values."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from converters.reference.check import GRADIENT_BOUND, LayerCheck
from lucid_port.modelzoo.catalogue import entry
from parity_tests.zoo.draws import WIDTH_OF_DEVIATION, draw
from parity_tests.zoo.measure import Comparison, compare, references
from parity_tests.zoo.networks import GRADIENTS
from parity_tests.zoo.structures import STRUCTURES, described, names, outside_branches, structure

# A ReLU or a maximum whose two sides are equal but for rounding goes one way or the other: TensorFlow's own gradient
# moves by `moved` of its maximum when the input moves by its last bit. Where the port's goes another way than
# TensorFlow's, which in ResnetV2_50 is 4.9e-3 (and 2.1e-7 in float64), it does not for all inputs so near.
FLIPS = 3
DRAWS = 4


# At least one of each family. The others, with the largest networks, take 25 seconds of one core in `pytest -m slow`.
QUICK = GRADIENTS


@pytest.fixture(
    scope="module", params=[name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names()]
)
def comparison(request: pytest.FixtureRequest) -> Comparison:
    """One network at a time: the largest are 0.6 GB."""
    return compare(request.param)


def failures(rows: list[LayerCheck]) -> str:
    """The failed comparisons in the network's order: the first is the culprit, the others follow from it."""
    failed = [str(row) for row in rows if not row.passed]
    return f"{len(failed)} of {len(rows)} layers; the first are:\n" + "\n".join(failed[:8]) if failed else ""


def test_every_layer_has_tensorflows_values(comparison):
    rows = comparison.layers()
    assert len(rows) > 30
    assert not failures(rows)


def test_every_layer_of_the_model_is_compared(comparison):
    others = set(comparison.model.layers) - set(comparison.reference.shapes) - {comparison.zoo.input_name}
    graph_def = structure(comparison.zoo.name)
    if any(node.op == "Switch" for node in graph_def.node):
        # What the Merge ops hand on is compared; of what leads there TensorFlow gives one branch only.
        others -= {node.name for node in graph_def.node} - set(outside_branches(graph_def, comparison.zoo.input_name))
    assert not others
    assert not comparison.reference.refused


def test_lucids_layers_are_there_with_their_depths(comparison):
    expected = [(name, depth) for name, depth, _ in entry(comparison.zoo.name).layers]
    shapes = comparison.reference.shapes
    assert [(name, shapes[name][-1]) for name, _ in expected] == expected
    assert {name for name, _ in expected} <= set(comparison.model.layers)
    assert comparison.zoo.input_name == entry(comparison.zoo.name).input_name


def test_gradient_is_tensorflows(comparison):
    if comparison.zoo.name not in GRADIENTS:
        assert not comparison.reference.gradient_of  # recorded for one network of each family
        return
    remaining = set(range(comparison.zoo.spec.shape[0]))
    for number in range(DRAWS):
        rows = comparison.gradients(number)
        bounds = [max(GRADIENT_BOUND, FLIPS * row.moved) for row in rows]
        assert max(bounds) < 0.25  # a wrong gradient is as far off as its own maximum
        remaining -= {index for index in remaining if rows[index].error <= bounds[index]}
        if not remaining:
            return
    pytest.fail("\n".join(str(rows[index]) for index in remaining))


@pytest.mark.parametrize("name", names())
def test_activations_have_a_trained_networks_size(name):
    (reference,) = references()[name].inputs.values()
    operations = {node.name: node.op for node in structure(name).node}
    for layer, sample in reference.layers.items():
        if operations.get(layer) == "Softmax":
            assert sample.maximum < 0.9, layer
        else:
            # Values in 0 to 255 and softmax's neighbours reshaped are the extremes.
            assert 1e-3 < sample.maximum < 1e4, layer


@pytest.mark.parametrize("name", names())
def test_relus_have_both_sides(name):
    (reference,) = references()[name].inputs.values()
    operations = {node.name: node.op for node in structure(name).node}
    values = [
        sample.values
        for layer, sample in reference.layers.items()
        if operations.get(layer) in ("Relu", "Relu6")
    ]  # fmt: skip
    assert 0.2 < np.mean(np.concatenate(values) > 0) < 0.9


def test_relu6_meets_both_bounds():
    (reference,) = references()["MobilenetV2_10_slim"].inputs.values()
    relus = [sample.values for layer, sample in reference.layers.items() if layer.endswith("/Relu6")]
    assert 0.005 < np.mean(np.concatenate(relus) == 6.0) < 0.2


def test_draws_are_the_same_bits_everywhere():
    plain, balanced = draw((3, 5, 7, 11), 4, 0.3, 0.1), draw((3, 5, 7, 11), 4, 0.3, balance=1.0)
    digests = [hashlib.sha256(values.tobytes()).hexdigest()[:16] for values in (plain, balanced)]
    assert digests == ["a79b77c24c355f29", "7e3202272892a124"]


def test_draws_have_the_wanted_size():
    values = draw((3, 3, 64, 64), 1, 0.5 * WIDTH_OF_DEVIATION, 2.0)
    assert values.mean() == pytest.approx(2.0, abs=0.01)
    assert values.std() == pytest.approx(0.5, rel=0.01)


def test_balanced_filters_sum_up_to_zero():
    values = draw((3, 3, 64, 64), 1, 1.0, balance=1.0)
    assert np.abs(values.sum(axis=2)).max() < 1e-5
    assert values.std() == pytest.approx(np.sqrt(2) / WIDTH_OF_DEVIATION, rel=0.01)


def test_structures_are_small():
    assert sum(path.stat().st_size for path in STRUCTURES.iterdir()) < 1e6


@pytest.mark.parametrize("name", names())
def test_only_described_constants_are_large(name):
    graph_def = structure(name)
    assert len(list(described(graph_def))) > 10
    assert max(len(node.attr["value"].tensor.tensor_content) for node in graph_def.node) < 10_000


def test_what_is_between_switch_and_merge_is_not_compared():
    graph_def = structure("ResnetV2_50_slim")
    outside = set(outside_branches(graph_def, "input"))
    operations = {node.name: node.op for node in graph_def.node}
    assert "Switch" in operations.values()
    assert not [name for name in outside if operations[name] == "Switch"]
    assert [name for name in outside if operations[name] == "Merge"]
    assert "resnet_v2_50/predictions/Softmax" in outside
