"""`lucid-port attribute`: pictures, numbers, and errors of one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from lucid_port.attribution import attribute
from lucid_port.misc.io import load
from parity_tests.cli.test_cli import fails, run


@pytest.fixture(scope="module")
def photo(tmp_path_factory):
    path = tmp_path_factory.mktemp("photos") / "noise.png"
    Image.fromarray(np.random.RandomState(0).randint(0, 256, (70, 90, 3), np.uint8)).save(path)
    return path


def test_numbers_are_those_of_the_function(photo, tmp_path, capsys):
    from lucid_port.modelzoo.vision_models import TinyInceptionV1

    path = tmp_path / "a.npz"
    options = ("--layer", "mixed4c", "--target", "softmax2:spiral", "--option", "n_steps=3", "--baseline", "0.5")
    assert run("attribute", photo, "TinyInceptionV1", *options, "-o", path, "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    found = attribute(TinyInceptionV1(), photo, "softmax2:spiral", "mixed4c", "conductance", n_steps=3, baselines=0.5)
    np.testing.assert_allclose(load(path)["values"], found.values, atol=1e-6 * np.abs(found.values).max())
    assert facts["labels"] == ["spiral"]
    assert facts["channels"][0][0] == found.ranked(1)[0][0].name
    assert facts["output"] == str(path)


def test_a_picture_with_icons(photo, tmp_path, capsys):
    path = tmp_path / "a.png"
    options = ("--layer", "mixed4c", "--method", "gradient_x_activation", "--icons", "--icon-steps", "1")
    assert run("attribute", photo, "TinyInceptionV1", *options, "-o", path, "--quiet") == 0
    assert capsys.readouterr().out.strip() == str(path)
    assert Image.open(path).height > 300
    assert run("attribute", photo, "TinyInceptionV1", *options, "-o", path) == 1
    fails(capsys, 1, "exists: name another file, or pass --overwrite")


def test_a_network_of_a_library(photo, tmp_path, capsys):
    """The picture comes first, and the option takes the place of the model."""
    path = tmp_path / "a.npy"
    network = ("--torchvision", "squeezenet1_1", "--weights", "none", "--image-shape", "64,64,3", "--value-range=0,1")
    assert run("attribute", photo, *network, "--method", "saliency", "--target", "3", "-o", path) == 0
    assert load(path).shape == (1, 64, 64, 3)
    assert "saliency, " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--target", "spirl"], 1, ["Did you mean spiral?"]),
        (["--method", "nothing"], 1, ["there are saliency, input_x_gradient"]),
        (["--option", "n_steps"], 2, ["--option takes NAME=VALUE"]),
        (["--option", "n_stps=3"], 1, ["takes no n_stps"]),
        (["--baseline", "none.png"], 1, ["none.png"]),
        (["--icon-steps", "3"], 2, ["it belongs to --icons"]),
        (["--icons"], 1, ["explains pixels, which are no channels of a layer"]),
    ],
)
def test_wrong_arguments(photo, tmp_path, capsys, arguments, code, words):
    assert run("attribute", photo, "TinyInceptionV1", *arguments, "-o", tmp_path / "a.png") == code
    fails(capsys, code, *words)
    assert not (tmp_path / "a.png").exists()


def test_a_command_without_a_file(photo, tmp_path, capsys):
    assert run("attribute", photo, "TinyInceptionV1") == 2
    fails(capsys, 2, "name a picture to write")
    assert run("attribute", tmp_path / "none.png", "TinyInceptionV1", "-o", tmp_path / "a.png") == 1
    fails(capsys, 1, "There is no picture")
