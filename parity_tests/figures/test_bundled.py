"""Figures of the network that comes with the package: they need nothing else, and show what they say."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from lucid_port.cli import main
from lucid_port.figures import run
from lucid_port.figures.base import Settings, catalogue, find_figure
from lucid_port.figures.common import TINY, class_label, likeliest
from lucid_port.figures.photographs import DRAWINGS, SUBJECTS, photograph
from lucid_port.modelzoo.nets_factory import open_model


@pytest.fixture(scope="module")
def model():
    return open_model(TINY)


def draft(*arguments) -> int:
    return main(["figure", *map(str, arguments), "--model", TINY, "--fast"])


@pytest.mark.parametrize("name", [name for name in catalogue() if not name.startswith("aa-")])
def test_a_figure_names_units_or_says_why_not(name):
    figure = find_figure(name)
    assert (TINY in figure.options) != (TINY in figure.without)
    assert all(why.endswith(".") for why in figure.without.values())


def test_the_hearts_and_the_bricks_are_what_the_network_sees(model):
    picture = photograph(Settings(model, {}, 0), SUBJECTS[0])
    assert {class_label(model, one) for one in likeliest(model, picture, 2)} == {"heart", "bricks"}


def test_the_face_is_a_face(model):
    (first,) = likeliest(model, photograph(Settings(model, {}, 0), "one thing"), 1)
    assert class_label(model, first) == "face"


@pytest.mark.parametrize("subject", SUBJECTS)
def test_drawings_are_the_same_each_time(subject):
    first, second = DRAWINGS[subject](), DRAWINGS[subject]()
    assert (first == second).all()
    assert first.shape == (96, 96, 3)


def test_drawings_need_no_scikit_image(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    assert draft("fv-gradient-artefacts", "-o", tmp_path) == 0
    assert "face" in (tmp_path / "fv-gradient-artefacts.html").read_text()


def test_why_it_is_not_there(tmp_path, capsys):
    assert draft("zi-car-circuit", "-o", tmp_path) == 1
    assert "which show no cars. Choose one of InceptionV1" in capsys.readouterr().err


# Bad input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"a text", b"\x89PNG\r\n\x1a\n"])
def test_a_file_that_is_no_picture(tmp_path, capsys, content):
    (tmp_path / "mine.png").write_bytes(content)
    assert draft("fv-gradient-artefacts", "--image", tmp_path / "mine.png", "-o", tmp_path / "out") == 1
    said = capsys.readouterr().err
    assert "mine.png cannot be read as .png" in said
    assert "BytesIO" not in said
    assert not list((tmp_path / "out").glob("*"))


def test_a_folder_that_cannot_be_written_to_is_known_before_the_work(tmp_path, monkeypatch, capsys):
    def not_reached(*_):
        raise AssertionError("the figure was made")

    def refuse(dir):
        raise PermissionError(13, "Permission denied", str(dir))

    monkeypatch.setattr(run, "make", not_reached)
    monkeypatch.setattr(run.tempfile, "TemporaryFile", refuse)
    assert draft("fv-channel", "-o", tmp_path) == 1
    assert f"{tmp_path} is not a writable folder (Permission denied)" in capsys.readouterr().err
    assert not list(Path(tmp_path).iterdir())


def test_units_alone_are_not_enough_for_a_circuit(tmp_path, capsys):
    assert draft("zi-car-circuit", "--units", "mixed4b:1", "-o", tmp_path) == 1
    assert "needs more than --units for this model: its option 'whole' is missing" in capsys.readouterr().err


@pytest.mark.parametrize("units", ["", " , "])
def test_units_that_name_none_are_wrong_usage(tmp_path, capsys, units):
    assert draft("ev-conv1-weights", "--units", units, "-o", tmp_path) == 2
    assert "'--units': it names no unit" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_layer_without_a_middle(tmp_path, capsys):
    assert draft("fe-nmf-factors", "--units", "softmax2:1", "-o", tmp_path) == 1
    assert "Layer 'softmax2' is fully connected: it has no positions." in capsys.readouterr().err
