"""Completion of units: layers, layers before their ReLU, and classes."""

from __future__ import annotations

import pytest

from lucid_port.cli.completion import unit_names
from lucid_port.modelzoo.nets_factory import open_model

MODEL = "TinyInceptionV1"


def test_every_layer_that_is_offered_exists():
    layers = open_model(MODEL).network.layers
    offered = [name.removesuffix(":") for name in unit_names(MODEL, "") if name != "class:"]
    assert set(offered) <= set(layers)
    before = {name for name in offered if name.endswith("_pre_relu")}
    assert before == {f"{name}_pre_relu" for name in offered if f"{name}_pre_relu" in layers}
    assert len(before) == 16


def test_a_prefix_selects():
    assert unit_names(MODEL, "mixed4a") == ["mixed4a:", "mixed4a_pre_relu:"]
    assert unit_names(MODEL, "mixed4a_") == ["mixed4a_pre_relu:"]


def test_classes_are_offered_for_models_with_labels():
    assert unit_names(MODEL, "cl") == ["class:"]
    assert unit_names(MODEL, "class:sp") == ["class:spiral"]
    assert len(unit_names(MODEL, "class:")) == len(open_model(MODEL).labels)


@pytest.mark.parametrize("source", ["Clip_ResNet50_4x", "nothing.pb"])
def test_models_without_labels_have_no_classes(source):
    assert unit_names(source, "class:") == []


def test_other_topologies_have_no_layers_before_a_relu():
    assert not any("_pre_relu" in name for name in unit_names("InceptionV1_caffe", ""))
