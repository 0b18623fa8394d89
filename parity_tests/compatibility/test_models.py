"""Saved models, standalone modules and files of other programs, as an earlier version read and wrote them.

Values are compared within a bound everywhere, and bit for bit on the fixtures' machine. Names, fingerprints and what is
written again are compared exactly everywhere.
"""

from __future__ import annotations

import ast
import importlib.util

import numpy as np
import pytest
import torch

import converters
from lucid_port.modelzoo import from_torch
from lucid_port.modelzoo.nets_factory import open_model
from lucid_port.modelzoo.vision_models import InceptionV1_seeded
from lucid_port.optvis.recipe import describe_model
from parity_tests.compatibility import cases
from parity_tests.compatibility.fixtures import (
    FOLDER,
    assert_close,
    network_fingerprint,
    other_machine,
    read_json,
    sha256,
    tiny,
)

MODELS = FOLDER / "models"
KEPT = read_json("models.json")
IMPORTED = read_json("imported.json")
FINGERPRINTS = read_json("fingerprints.json")
BOUND = 2e-6  # measured with kernels for other processors: 1.8e-7


def assert_same_values(values, kept) -> None:
    """Compares layers' values, in order of the layers."""
    for name, summary in kept["layers"].items():
        value = np.asarray(values[name])
        assert_close(value, summary, BOUND, name)
        assert other_machine() or sha256(value) == summary["sha256"], f"{name} has other bits"


def assert_same_network(model, kept) -> None:
    assert list(model.layers) == list(kept["layers"])
    assert network_fingerprint(model) == kept["fingerprint"]
    with torch.no_grad():
        assert_same_values(model.activations(cases.image(*kept["size"]), list(model.layers)), kept)


@pytest.mark.parametrize("name", KEPT)
def test_a_saved_model_loads(name):
    assert_same_network(converters.load(MODELS / name), KEPT[name])


@pytest.mark.parametrize("name", KEPT)
def test_a_saved_model_is_written_as_it_was(tmp_path, name):
    converters.save(converters.load(MODELS / name), tmp_path / name, standalone=True)
    for file in ("model.json", "weights.safetensors"):
        assert (tmp_path / name / file).read_bytes() == (MODELS / name / file).read_bytes(), file
    assert classes(tmp_path / name / "model.py") == classes(MODELS / name / "model.py")


def classes(path) -> list[str]:
    """Names of a module's classes, in order."""
    return [node.name for node in ast.parse(path.read_text("utf-8")).body if isinstance(node, ast.ClassDef)]


@pytest.mark.parametrize("name", KEPT)
def test_an_earlier_standalone_module_computes_the_same(name):
    spec = importlib.util.spec_from_file_location(f"standalone_{name}", MODELS / name / "model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    kept = KEPT[name]
    with torch.no_grad():
        values = module.load()(cases.image(*kept["size"]), [key for key in kept["layers"] if key != module.INPUT_NAME])
    for layer, value in values.items():
        assert_close(value, kept["layers"][layer], BOUND, layer)


def test_a_saved_model_opens_as_a_model():
    model = open_model(str(MODELS / "reserved"), image_value_range=(0, 1))
    assert describe_model(model)["fingerprint"] == KEPT["reserved"]["fingerprint"]


@pytest.mark.parametrize("name", IMPORTED)
def test_a_file_of_another_program_becomes_the_same_network(name):
    assert_same_network(cases.IMPORTED[name](FOLDER / "imported"), IMPORTED[name])


def test_models_of_the_catalogue_have_the_fingerprints_that_recipes_name():
    for model in (tiny(), InceptionV1_seeded()):
        kept = FINGERPRINTS[type(model).__name__]
        assert describe_model(model)["fingerprint"] == kept["fingerprint"]
        assert list(model.network.layers) == kept["layers"]


def test_a_network_of_torch_has_the_fingerprint_that_recipes_name():
    model = from_torch(cases.Residual().eval(), image_value_range=(0, 1), image_shape=(32, 32, 3))
    kept = FINGERPRINTS["from_torch"]
    assert describe_model(model)["fingerprint"] == kept["fingerprint"]
    assert list(model.network.layers) == kept["layers"]
