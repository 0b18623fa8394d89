"""`lucid-port inspect`: a page, facts for scripts, and errors of one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from lucid_port.inspection import inspect
from parity_tests.cli.test_cli import fails, run


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "noise.png"
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (70, 90, 3), np.uint8)).save(path)
    return path


def test_facts_are_those_of_the_function(photo, tmp_path, capsys):
    from lucid_port.modelzoo.vision_models import TinyInceptionV1

    path, options = tmp_path / "a.html", ("--layers", "mixed3a,softmax2", "--target", "spiral")
    assert run("inspect", "TinyInceptionV1", photo, *options, "-o", path, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    found = inspect(TinyInceptionV1(), photo, "spiral", ["mixed3a", "softmax2"])
    assert facts["output"] == str(path)
    assert facts["target"] == "softmax2_pre_activation:22"
    assert [one["label"] for one in facts["classes"]] == [one.label for one in found.top_classes]
    assert facts["layers"][0]["gradient"] == pytest.approx(found.gradients.means["mixed3a"])
    assert facts["layers"][0]["std"] == pytest.approx(found.statistics["mixed3a"].std)
    assert facts["layers"][1]["gradient"] is None
    text = path.read_text(encoding="utf-8")
    assert "lucid-port inspect TinyInceptionV1 noise.png --target spiral --layers mixed3a,softmax2" in text
    assert text.count("Activation of mixed3a:") == 6


def test_a_folder_with_icons(photo, tmp_path, capsys):
    options = ("--layers", "mixed4c", "--icons", "--icon-steps", "1", "--channels", "2")
    for _ in range(2):  # an earlier page is replaced
        assert run("inspect", "TinyInceptionV1", photo, *options, "-o", tmp_path / "page", "--quiet") == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / "page" / "index.html")] * 2
    assert (tmp_path / "page" / "index.html").read_text(encoding="utf-8").count("Render of mixed4c:") == 2
    assert [one.name for one in (tmp_path / "page").iterdir()] == ["index.html"]


def test_a_network_of_a_library(photo, tmp_path, capsys):
    path = tmp_path / "a.html"
    network = ("--torchvision", "squeezenet1_1", "--weights", "none", "--image-shape", "64,64,3", "--value-range=0,1")
    assert run("inspect", photo, *network, "--target", "3", "-o", path) == 0
    assert "Looking inside squeezenet1_1" in path.read_text(encoding="utf-8")
    assert "Top class: " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--target", "spirl"], 1, ["Did you mean spiral?"]),
        (["--target", "softmax2:99"], 1, ["its units are 0 to 27"]),
        (["--layers", "mixd4a"], 1, ["Did you mean mixed4a"]),
        (["--layers", ","], 1, ["layers is empty"]),
        (["--icon-steps", "3"], 2, ["it belongs to --icons"]),
        (["--channels", "0"], 2, ["--channels"]),
    ],
)
def test_wrong_arguments(photo, tmp_path, capsys, arguments, code, words):
    assert run("inspect", "TinyInceptionV1", photo, *arguments, "-o", tmp_path / "a.html") == code
    fails(capsys, code, *words)
    assert not (tmp_path / "a.html").exists()


def test_files(photo, tmp_path, capsys):
    assert run("inspect", "TinyInceptionV1", tmp_path / "none.png", "-o", tmp_path / "a.html") == 1
    fails(capsys, 1, "There is no picture")
    assert run("inspect", "TinyInceptionV1", photo, "-o", photo.parent) == 1
    fails(capsys, 1, "is a folder that holds something else")
    assert run("inspect", "TinyInceptionV1", photo, "-o", tmp_path / "a.png") == 1
    fails(capsys, 1, "is no page's name")
    (tmp_path / "own.html").write_text("mine")
    assert run("inspect", "TinyInceptionV1", photo, "-o", tmp_path / "own.html") == 1
    fails(capsys, 1, "pass --overwrite to replace it")
