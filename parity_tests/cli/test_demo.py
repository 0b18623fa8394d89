"""`lucid-port demo`: the whole job on the bundled model."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import subprocess

import numpy as np
import pytest
import torch
from PIL import Image

from converters.reference.store import read_references
from lucid_port.cli import demo, main
from lucid_port.misc.threads import torch_threads
from lucid_port.modelzoo.files import PACKAGE_DATA
from lucid_port.modelzoo.tiny.record import SPECS
from lucid_port.modelzoo.vision_models import MODELS


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "demo.html"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HTTPS_PROXY", "http://localhost:9")  # nothing is fetched
        assert main(["demo", "-o", str(path), "--steps", "2"]) == 0
    return path.read_text()


def test_one_page_with_everything(page):
    assert len(pictures(page)) == len(demo.UNITS) + 2 * len(demo.CLASSES) == 18
    for name in (*demo.UNITS, *demo.CLASSES, "mixed4a", "TensorFlow 1.15.5", "lucid-port convert"):
        assert name in page
    assert "http" not in page
    assert "take an ONNX file as it is" in page  # convert refuses it


def test_every_picture_is_shown_at_twice_its_size_and_has_a_text(page):
    shown = re.findall(r'<img width="(\d+)" height="(\d+)" alt="([^"]+)" src="data:image/png;base64,([^"]+)"', page)
    assert len(shown) == 18
    for width, height, _, data in shown:
        assert [int(width), int(height)] == [2 * side for side in decoded(base64.b64decode(data)).shape[1::-1]]
    assert len({words for *_, words, _ in shown}) == 18


def test_the_proof_is_one_sentence_and_a_fold(page):
    proof = re.search(r"<h2>Proof</h2><p>([^<]*)</p>\s*<details><summary>", page)
    assert re.fullmatch(r"All \d+ comparisons .* TensorFlow 1\.15\.5 are within their bounds\.", proof[1])


def test_it_is_dark_and_narrow_where_the_reader_is(page):
    assert "@media (prefers-color-scheme: dark)" in page
    assert '<meta name="viewport" content="width=device-width' in page


def test_what_it_says_to_scripts(tmp_path, capsys):
    threads = torch.get_num_threads()
    assert main(["demo", "-o", str(tmp_path / "demo.html"), "--steps", "1", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["output"] == str(tmp_path / "demo.html")
    assert facts["comparisons"] > 400
    assert facts["failed"] == 0
    assert torch.get_num_threads() == threads


def pictures(page):
    """The page's pictures: a drawing and a render of each class, then those of channels."""
    return [base64.b64decode(data) for data in re.findall(r"data:image/png;base64,([^\"]+)", page)]


@pytest.mark.parametrize(("name", "shown"), [("classes", slice(1, 12, 2)), ("channels", slice(12, 18))])
def test_its_recipes_make_its_pictures(page, name, shown, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    found = re.search(rf">(cat &gt; {name}.json .*?)lucid-port run {name}.json</pre>", page, re.DOTALL)
    subprocess.run(["sh", "-c", html.unescape(found[1])], check=True)
    capsys.readouterr()
    with torch_threads(1):
        assert main(["run", f"{name}.json"]) == 0
    made = [decoded((tmp_path / line).read_bytes()) for line in capsys.readouterr().out.splitlines()]
    for one, there in zip(made, pictures(page)[shown], strict=True):
        np.testing.assert_array_equal(one, decoded(there))


def decoded(data):
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture)


def test_the_package_has_tensorflows_values_of_its_graph():
    """They are of this graph, and cover every layer, at the size it was trained on and an odd one."""
    (references,) = read_references(PACKAGE_DATA / "references").values()
    network = MODELS[demo.MODEL]().network
    assert references.fingerprint == network.program.fingerprint
    assert set(references.inputs) == set(SPECS)
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
