"""Modules that moved are found by their old names, with a warning."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

NAMES = {
    "converters.model": ("converters.network.model", "ConvertedModel"),
    "converters.graphdef": ("converters.frozen.graphdef", "parse_graphdef"),
    "converters.onnx.export": ("converters.onnx.writing.export", "to_onnx"),
    "converters.onnx.reading.reading": ("converters.onnx.reading.conversion", "from_onnx"),
    "converters.references": ("converters.reference.store", "read_references"),
    "lucid_port.optvis.vis": ("lucid_port.optvis.engine.vis", "VisT"),
    "lucid_port.optvis.plain": ("lucid_port.optvis.serialization", "register"),
    "lucid_port.optvis.objectives.units": ("lucid_port.optvis.objectives.neurons", "channel"),
}


@pytest.mark.parametrize("old", NAMES)
def test_an_old_name_gives_the_same_module_and_warns(old):
    new, member = NAMES[old]
    sys.modules.pop(old, None)
    moved = importlib.import_module(new)
    with pytest.warns(DeprecationWarning, match=f"{old} is now {new}"):
        found = importlib.import_module(old)
    assert found is moved
    assert getattr(found, member) is getattr(moved, member)
    assert moved.__spec__.name == new


@pytest.mark.parametrize(
    ("package", "module", "name"),
    [("converters.program", "program", "Program"), ("converters.onnx.reading", "conversion", "from_onnx")],
)
def test_the_contents_of_a_module_that_became_a_package(package, module, name):
    with pytest.warns(DeprecationWarning, match=f"{package}.{name} is now"):
        found = getattr(importlib.import_module(package), name)
    assert found is getattr(importlib.import_module(f"{package}.{module}"), name)
    with pytest.raises(AttributeError, match="nothing"):
        importlib.import_module(package).nothing  # noqa: B018


def test_importing_the_packages_warns_of_nothing():
    code = "import converters, lucid_port.optvis.render, lucid_port.cli, lucid_port.figures.distill"
    subprocess.run([sys.executable, "-W", "error::DeprecationWarning:converters", "-c", code], check=True)
