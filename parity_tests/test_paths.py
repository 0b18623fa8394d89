"""Paths that start with `~` are expanded; empty ones and `/` give one sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import converters
from converters.paths import user_path
from lucid_port.cli import main
from lucid_port.misc.io import io_scope, load, save
from lucid_port.modelzoo.nets_factory import get_model, open_model
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import checkpoints
from lucid_port.optvis.recipe_files import check_output, read_recipe
from lucid_port.optvis.recipe_plan import Plan
from lucid_port.optvis.render_many import render_many
from lucid_port.recipes.inputs import load_folder, load_image

MODEL = "TinyInceptionV1"
SMALL = ["--size", "8", "--steps", "1"]


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The user's home folder; the current folder is another one."""
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    yield tmp_path / "home"
    assert not list(Path().iterdir()), "a file is in the current folder"


def test_the_command_line_expands_paths(home, capsys):
    assert main(["render", MODEL, "mixed3a:1", "--output=~/new/a.png", *SMALL]) == 0
    assert main(["rerender", "~/new/a.png", "-o", "~/b.png"]) == 0
    assert "the same, bit for bit" in capsys.readouterr().out
    assert main(["run", "~/new/a.png.json", "--output=~/c.png"]) == 0
    assert main(["convert", MODEL, "--output=~/model"]) == 0
    assert main(["layers", "~/model"]) == 0
    assert main(["render", MODEL, "mixed3a:1-2", "--output=~/units", *SMALL]) == 0
    names = {"new", "b.png", "b.png.json", "c.png", "c.png.json", "model", "units"}
    assert {path.name for path in home.iterdir()} == names


@pytest.mark.parametrize("command", [["demo"], ["parity", MODEL]])
def test_commands_expand_the_paths_that_they_check(command, home, capsys):
    (home / "page").mkdir()
    assert main([*command, "--output=~/page"]) == 1
    assert f"{home / 'page'} is a folder" in capsys.readouterr().err


def test_functions_expand_paths(home):
    model = get_model(MODEL)
    save(np.zeros((4, 6, 3)), "~/pictures/a.png")
    with io_scope("~/pictures"):
        assert load("a.png").shape == (4, 6, 3)
    assert load("~/pictures/a.png").shape == load_image("~/pictures/a.png").shape == (4, 6, 3)
    assert load_folder("~/pictures")[0].shape == (1, 4, 6, 3)
    model.network.save("~/model")
    assert converters.load("~/model").layers == model.network.layers
    assert open_model("~/model").network.layers == model.network.layers
    made = render_many(model, "mixed3a:1", size=8, steps=1, output="~/units", verbose=False)
    assert made[0].path == home / "units" / "mixed3a_0001.png"
    assert read_recipe("~/units/mixed3a_0001.png").steps == 1
    with checkpoints.kept("~/work", {}) as folder:
        assert folder.path == home / "work"


def test_a_plan_does_not_reach_the_home_folder(home):
    with pytest.raises(ValueError, match="outside of the current folder"):
        Plan(MODEL, "mixed3a:1", output="~/a.png").target()


READING = [load, load_image, read_recipe, open_model, Model.load, converters.load, converters.convert]
READING += [converters.open_source, load_folder]


@pytest.mark.parametrize("read", READING)
@pytest.mark.parametrize("path", ["", "/"])
def test_paths_without_a_name_are_refused_where_files_are_read(read, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if read is load_folder and path == "/":
        return
    with pytest.raises((ValueError, OSError)) as caught:
        read(path)
    _is_a_sentence(caught.value, path)


def _many(path):
    render_many(get_model(MODEL), "mixed3a:1", size=8, steps=1, output=path, verbose=False)


WRITING = {
    "save": lambda path: save(np.zeros((4, 6, 3)), path),
    "check_output": check_output,
    "render_many": _many,
    "network.save": lambda path: get_model(MODEL).network.save(path),
    "to_onnx": lambda path: get_model(MODEL).network.to_onnx(path),
}


@pytest.mark.parametrize("write", WRITING)
@pytest.mark.parametrize("path", ["", "/"])
def test_paths_without_a_name_are_refused_where_files_are_written(write, path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if write == "render_many" and path == "/":
        return  # a folder as others
    with pytest.raises((ValueError, OSError)) as caught:
        WRITING[write](path)
    _is_a_sentence(caught.value, path)
    assert not list(tmp_path.iterdir())


def _is_a_sentence(error, path):
    text = str(error)
    assert text.endswith("."), text
    assert "PosixPath" not in text
    assert "Errno" not in text
    assert (text == "The path is empty: name a file or a folder.") or path, text


@pytest.mark.parametrize("option", [["-o", ""], ["--output="], ["--output", ""]])
def test_an_empty_output_is_refused(option, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["render", MODEL, "mixed3a:1", *option]) == 2
    assert "is empty: name a file or a folder." in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_cache_folder_is_expanded(home, monkeypatch):
    from lucid_port.misc.downloads import cache_folder

    monkeypatch.setenv("LUCID_PORT_CACHE", "~/cache")
    assert cache_folder() == home / "cache"


@pytest.mark.parametrize("path", ["\ud800", "a\0b.png", "folder/\udfff.png"])
def test_paths_that_no_file_can_have_give_one_sentence(path):
    with pytest.raises(ValueError, match="characters that no file's name can have"):
        user_path(path)
