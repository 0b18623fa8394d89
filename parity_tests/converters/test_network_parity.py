"""Every layer and six gradients of whole networks, against TensorFlow's recorded values."""

from __future__ import annotations

import functools
import os

import numpy as np
import pytest
import torch

import converters
from converters.reference.check import GRADIENT_BOUND, LayerCheck, check_activations, check_gradients, check_refusals
from converters.reference.store import InputReference, find_references
from parity_tests.networks import NETWORKS, WITHOUT_CAFFE, Network

# Rounding flips decisions of ReLUs and maxima. TensorFlow's gradient then moves by this much and more from itself, so a
# few images may differ; half of them may not, and none by more than 3 times what TensorFlow was seen to move.
MEDIAN_BOUND = 5e-6
FLIPS = 3
# On a GPU with TF32 off, sums are added in yet another order.
CUDA_BOUND = 1e-4

INPUTS = [(network.name, name) for network in NETWORKS.values() for name in network.specs]
REAL = [network.name for network in NETWORKS.values() if not network.smooth]
SMOOTH = [network.name for network in NETWORKS.values() if network.smooth]


def skip_or_fail(network: Network) -> None:
    """Skips a network whose file is not at hand; where tests have to be complete, that is a failure."""
    if os.environ.get("CI", "").lower() in ("1", "true"):
        pytest.fail(f"{network.name} {WITHOUT_CAFFE}; `lucid-port models` says where models come from")
    pytest.skip(WITHOUT_CAFFE)


@functools.lru_cache(maxsize=2)  # tests come network by network
def converted(name: str) -> converters.ConvertedModel | None:
    graph_def = NETWORKS[name].graph_def()
    return None if graph_def is None else converters.convert(graph_def)


def prepare(name: str, input_name: str) -> tuple[converters.ConvertedModel, InputReference]:
    """A converted network, and TensorFlow's values for one input."""
    model = converted(name)
    if model is None:
        skip_or_fail(NETWORKS[name])
    references = find_references(model.program.fingerprint)
    assert references is not None, f"{name} is not the graph the references were made of; run tox -e reference"
    return model, references.inputs[input_name]


@functools.cache
def gradient_rows(name: str, input_name: str) -> tuple[LayerCheck, ...]:
    model, reference = prepare(name, input_name)
    return tuple(check_gradients(model, reference, reference.make_input()))


def failures(rows: list[LayerCheck]) -> str:
    """The failed comparisons in the network's order: the first is the culprit, the others follow from it."""
    failed = [str(row) for row in rows if not row.passed]
    return f"{len(failed)} of {len(rows)} layers; the first are:\n" + "\n".join(failed[:8]) if failed else ""


@pytest.mark.parametrize(("name", "input_name"), INPUTS)
def test_every_layer_has_tensorflows_values(name, input_name):
    model, reference = prepare(name, input_name)
    assert not failures(check_activations(model, reference, reference.make_input()))


@pytest.mark.parametrize("name", NETWORKS)
def test_every_layer_of_the_model_is_compared(name):
    model, reference = prepare(name, "225")
    assert set(model.layers) - set(reference.shapes) == {NETWORKS[name].input_name}


@pytest.mark.parametrize(("name", "input_name"), INPUTS)
def test_what_tensorflow_refuses_is_refused(name, input_name):
    model, reference = prepare(name, input_name)
    assert not failures(check_refusals(model, reference, reference.make_input()))


def test_a_refusal_names_the_layer_and_the_size():
    model, reference = prepare("inceptionv1-seeded", "97x161")
    x = torch.zeros(1, 3, 97, 161)
    with pytest.raises(converters.InputSizeError, match=r"'head0_bottleneck/reshape'.* 97x161"):
        model.activations(x, ["softmax0"])
    assert "softmax0" in reference.refused


@pytest.mark.parametrize("name", [name for name in NETWORKS if "seeded" in name])
def test_heads_are_refused_at_small_sizes_only(name):
    _, small = prepare(name, "97x161")
    _, large = prepare(name, "225")
    assert {"softmax0", "softmax1", "softmax2"} <= set(small.refused)
    assert not large.refused
    # Four positions an image fold into the batch.
    assert large.shapes["softmax2"] == (12, 1008)


@pytest.mark.parametrize(("name", "input_name"), [pair for pair in INPUTS if pair[0] in SMOOTH])
def test_gradients_of_a_smooth_network(name, input_name):
    rows = gradient_rows(name, input_name)
    assert len({row.layer for row in rows}) == 6
    assert not failures(list(rows))


@pytest.mark.parametrize("name", REAL)
def test_gradients_of_a_real_network_by_median(name):
    rows = [row for input_name in NETWORKS[name].specs for row in gradient_rows(name, input_name)]
    assert len(rows) == 6 * sum(spec.shape[0] for spec in NETWORKS[name].specs.values())  # every image counts
    assert np.median([row.error for row in rows]) <= MEDIAN_BOUND


@pytest.mark.parametrize(("name", "input_name"), [pair for pair in INPUTS if pair[0] in REAL])
def test_gradients_of_a_real_network_at_worst(name, input_name):
    # What TensorFlow moves on the photo is left out of the bound: equal pixels make ties there, which move it by up to
    # half of its maximum. The port has to be right about ties too.
    moved = [
        row.moved for other in NETWORKS[name].specs if other != "photo" for row in gradient_rows(name, other)
    ]  # fmt: skip
    bound = max(GRADIENT_BOUND, FLIPS * max(moved))
    assert bound < 0.25  # a wrong gradient is as far off as its own maximum
    worst = max(gradient_rows(name, input_name), key=lambda row: row.error)
    assert worst.error <= bound, str(worst)


@pytest.mark.gpu
@pytest.mark.parametrize(("name", "input_name"), INPUTS)
def test_every_layer_on_a_gpu(name, input_name, monkeypatch):
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    model, reference = prepare(name, input_name)
    try:
        assert not failures(check_activations(model.cuda(), reference, reference.make_input(), CUDA_BOUND))
    finally:
        model.cpu()
