"""The networks of Lucid's modelzoo as standalone modules: no name is missing, and they can be trained."""

from __future__ import annotations

import pytest
import torch

import converters
from converters.program.standalone import standalone_source
from converters.reference.check import model_input
from parity_tests.standalone import check_training_step, complaints, sharing_weights
from parity_tests.zoo.networks import network
from parity_tests.zoo.structures import names

# One of each large family. The others take 90 seconds of one core; `pytest -m slow` runs them. Every layer class is
# trained in parity_tests/converters/test_standalone.py.
QUICK = {
    "InceptionV1_caffe_Places365",
    "InceptionV3_slim",
    "MobilenetV2_10_slim",
    "PnasnetMobile_slim",
    "ResnetV2_50_slim",
}


def test_quick_networks_are_in_the_zoo():
    assert set(names()) >= QUICK


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names()]
)
def test_a_training_step_has_the_models_gradients(name, tmp_path):
    zoo = network(name)
    model = converters.convert(zoo.graph_def(), input_name=zoo.input_name)
    text = standalone_source(model.program)
    assert not complaints(text)
    standalone = sharing_weights(model, text, tmp_path)
    check_training_step(model, standalone, model_input(model, zoo.spec.make()), model.outputs)
    # Without weights that no output reads, each was trained.
    assert all(parameter.grad is not None for parameter in standalone.parameters())
    assert all(torch.isfinite(parameter.grad).all() for parameter in standalone.parameters())
