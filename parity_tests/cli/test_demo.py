"""`lucid-port demo`: the whole job on the bundled model."""

from __future__ import annotations

import re

import pytest

from converters.references import read_references
from lucid_port.cli import demo, main
from lucid_port.modelzoo.files import PACKAGE_DATA
from lucid_port.modelzoo.tiny.record import RECIPES
from lucid_port.modelzoo.vision_models import MODELS


def test_one_page_with_everything(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", "http://localhost:9")  # nothing is fetched
    page = tmp_path / "demo.html"
    assert main(["demo", "-o", str(page), "--steps", "2"]) == 0
    assert re.search(r"\d{3} comparisons with TensorFlow, 0 beyond bounds", capsys.readouterr().out)
    text = page.read_text()
    assert text.count("data:image/png;base64,") == len(demo.UNITS) + len(demo.CLASSES) == 12
    for name in (*demo.UNITS, *demo.CLASSES, "mixed4a", "TensorFlow 1.15.5", "lucid-port convert"):
        assert name in text
    assert "http" not in text


def test_the_package_has_tensorflows_values_of_its_graph():
    """They are of this graph, and cover every layer, at the size it was trained on and an odd one."""
    (references,) = read_references(PACKAGE_DATA / "references").values()
    network = MODELS[demo.MODEL]().network
    assert references.fingerprint == network.program.fingerprint
    assert set(references.inputs) == set(RECIPES)
    names = {layer for layer in network.layers if not layer.endswith("_pre_relu_1")}
    recorded = set(references.inputs["square"].layers)
    assert len(recorded) > 150
    assert recorded <= names | {f"{layer}:0" for layer in names}


def test_a_wrong_network_does_not_pass(tmp_path, capsys, monkeypatch):
    made = demo._comparisons

    def broken(model):
        model.network.get_submodule("conv2d2_pre_relu").bias.data += 1.0
        return made(model)

    monkeypatch.setattr(demo, "_comparisons", broken)
    assert main(["demo", "-o", str(tmp_path / "demo.html"), "--steps", "1"]) == 1
    assert "beyond their bounds" in capsys.readouterr().err
    assert "class=failed" in (tmp_path / "demo.html").read_text()


@pytest.mark.parametrize("unit", demo.UNITS)
def test_its_units_exist(unit):
    layer, _, number = unit.partition(":")
    assert int(number) < MODELS[demo.MODEL]().network.layers[layer].channels
