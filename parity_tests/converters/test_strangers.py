"""Graphs as other projects freeze them: each layer has TensorFlow's value, and each hint opens its graph."""

from __future__ import annotations

import functools
import re

import pytest
import torch

import converters
from converters.reference.check import ACTIVATION_BOUND, tensorflow_array
from converters.reference.store import InputReference
from parity_tests.strangers import INPUT, STRANGERS, graph_file, references


@functools.cache
def reference(name: str) -> InputReference:
    return references()[name].inputs[INPUT]


def picture(name: str) -> torch.Tensor:
    return torch.from_numpy(reference(name).make_input()).permute(0, 3, 1, 2).contiguous()


@pytest.mark.parametrize("name", STRANGERS)
def test_every_layer_has_tensorflows_values(name):
    model, recorded = converters.convert(graph_file(name), **STRANGERS[name].options), reference(name)
    layers = [layer for layer in model.layers if layer != model.metadata.input_name]
    with torch.no_grad():
        values = model.activations(picture(name), layers)
    compared = {}
    for layer in layers:
        if not layer.endswith("_pre_relu"):  # Lucid adds these layers after import
            compared[layer] = recorded.layers[layer].error(tensorflow_array(model, layer, values[layer]))
    assert len(compared) > 1
    assert max(compared.values()) <= ACTIVATION_BOUND, max(compared.items(), key=lambda item: item[1])


@pytest.mark.parametrize("name", STRANGERS)
def test_the_layers_left_out_depend_on_what_does_not_convert(name):
    model, wanted = converters.convert(graph_file(name), **STRANGERS[name].options), STRANGERS[name].left_out
    assert bool(model.left_out) == bool(wanted)
    assert not wanted or any(wanted in why for why in model.left_out.values())
    assert not set(model.left_out) & set(model.layers)


def followed(message: str, options: dict[str, object]) -> dict[str, object]:
    """The options after one hint of an error: the input that it names, and the placeholders that it sets."""
    inputs = re.search(r"has \d+ inputs \((\w+)", message)
    named = re.search(r"--input-name ([^ )]+)\)", message)
    settings = dict(re.findall(r"--set (\w+)=(\w+)", message))
    given = dict(options)
    if named or inputs:
        given["input_name"] = named[1] if named else inputs[1]
    elif settings:
        values = {"VALUE": {"keep_prob": 1.0, "training": False}, "false": dict.fromkeys(settings, False)}
        chosen = {key: values[value][key] for key, value in settings.items()}
        given["constants"] = {**given.get("constants", {}), **chosen}
    assert given != options, f"no hint in: {message}"
    return given


@pytest.mark.parametrize("name", STRANGERS)
def test_the_hints_of_the_errors_open_the_graph(name):
    options: dict[str, object] = {}
    for _ in range(4):
        try:
            converters.convert(graph_file(name), **options)
            break
        except converters.GraphError as error:
            options = followed(str(error), options)
    assert options == STRANGERS[name].options
