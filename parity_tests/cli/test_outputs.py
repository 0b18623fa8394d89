"""Outputs that cannot be written are refused before the work; outputs that are deleted meanwhile are errors."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from converters.atomic import check_writable, write_bytes
from lucid_port.cli import main
from lucid_port.optvis import recipe_plan
from lucid_port.optvis.engine import loop
from lucid_port.optvis.engine.vis import VisT
from parity_tests.test_untrusted_files import RECIPE

MODEL = "TinyInceptionV1"
SIZED = ["--size", "16", "--steps", "2"]
LONG = "n" * 240  # fits into 255 bytes, but not with a random suffix
TOO_LONG = "n" * 300
IS_TOO_LONG = r"bytes, more than the file system takes|File name too long"


@pytest.fixture
def no_work(monkeypatch):
    def work(*args, **kwargs):
        raise AssertionError("the work has begun")

    monkeypatch.setattr(loop, "run", work)
    monkeypatch.setattr("lucid_port.figures.run.make", work)
    monkeypatch.setattr("lucid_port.cli.convert._open", work)
    monkeypatch.setattr("lucid_port.cli.export._open", work, raising=False)
    monkeypatch.setattr(recipe_plan.Plan, "open_model", work)


def _plan(folder, units="mixed4a:1"):
    path = folder / "plan.json"
    path.write_text(json.dumps({"model": MODEL, "units": units, "size": 16, "steps": 2}))
    return path


def _recipe(folder):
    """A recipe whose model is not opened, because the output is checked first."""
    path = folder / "recipe.json"
    path.write_text(json.dumps(RECIPE))
    return path


def _commands(folder, output):
    yield ["run", _plan(folder), "-o", output]
    yield ["run", _recipe(folder), "-o", output]
    yield ["rerender", _recipe(folder), "-o", output]
    yield ["render", MODEL, "mixed4a:1", "-o", output, *SIZED]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("unit.xyz", "known extensions are|pictures end in"),
        (f"{TOO_LONG}.png", IS_TOO_LONG),
        (f"{'n' * 249}.png", IS_TOO_LONG),  # the recipe beside the picture
        (f"new/{TOO_LONG}/unit.png", IS_TOO_LONG),
        ("file/unit.png", "file is a file"),
        ("/proc/unit.png", "is not a writable folder"),
        ("unit.webp", "The recipe of .* cannot be written: .* is a folder"),
    ],
)
def test_pictures_that_cannot_be_written_are_refused_before_the_work(tmp_path, capsys, no_work, name, words):
    (tmp_path / "file").write_text("")
    (tmp_path / "unit.webp.json").mkdir()
    for command in _commands(tmp_path, tmp_path / name):
        assert main([*map(str, command)]) == 1
        assert re.search(words, capsys.readouterr().err)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("name", ["file", "file/folder", TOO_LONG, f"new/{TOO_LONG}", "/proc/folder"])
def test_folders_that_cannot_be_written_are_refused_before_the_work(tmp_path, capsys, no_work, name):
    (tmp_path / "file").write_text("")
    output = tmp_path / name
    several = "mixed4a:1-2"
    for command in (
        ["run", _plan(tmp_path, several), "-o", output],
        ["render", MODEL, several, "-o", output, *SIZED],
        ["figure", "fv-channel", "--fast", "-o", output],
        ["convert", MODEL, "-o", output],
    ):
        assert main([*map(str, command)]) == 1, command
        error = capsys.readouterr().err
        assert re.search("cannot be written|exists already|is a file|too long", error), (command, error)
        assert "Traceback" not in error
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("option", ["convert --keep-pb", "demo -o", "parity -o", "export -o"])
def test_files_that_cannot_be_written_are_refused_before_the_work(tmp_path, capsys, no_work, option):
    command, flag = option.split()
    arguments = {
        "convert": [MODEL, "-o", tmp_path / "model"],
        "demo": [],
        "parity": [MODEL],
        "export": [MODEL],
    }[command]
    assert main([*map(str, [command, *arguments, flag, tmp_path / TOO_LONG])]) == 1
    assert re.search(IS_TOO_LONG, capsys.readouterr().err)


def test_names_that_just_fit_are_written(tmp_path):
    data = b"x" * 10
    for name in (LONG, "ä" * 120, "n" * 255):
        check_writable(tmp_path / name)
        write_bytes(tmp_path / name, data)
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {data}
    assert main(["render", MODEL, "mixed4a:1", "-o", str(tmp_path / f"{LONG}.png"), *SIZED]) == 0
    assert main(["convert", MODEL, "-o", str(tmp_path / ("m" * 250))]) == 0


def _delete_after(monkeypatch, steps, delete):
    step, made = VisT.step, []

    def deleting(vis):
        value = step(vis)
        made.append(vis)
        if len(made) == steps:
            delete()
        return value

    monkeypatch.setattr(VisT, "step", deleting)


@pytest.mark.parametrize("steps", [1, 3, 4])
@pytest.mark.parametrize("options", [[], ["--sheet"]])
def test_a_folder_that_is_deleted_meanwhile_is_an_error(tmp_path, capsys, monkeypatch, steps, options):
    folder = tmp_path / "units"
    _delete_after(monkeypatch, steps, lambda: shutil.rmtree(folder))
    command = ["render", MODEL, "mixed4a:1-2", "-o", folder, *SIZED, "--batch-size", 1, *options]
    assert main([*map(str, command)]) == 1
    assert "units was deleted or replaced during the run" in capsys.readouterr().err
    assert main([*map(str, command)]) == 0
    assert "2 units" in capsys.readouterr().out


def test_a_picture_that_is_deleted_meanwhile_is_an_error(tmp_path, capsys, monkeypatch):
    folder = tmp_path / "units"
    _delete_after(monkeypatch, 3, lambda: (folder / "mixed4a_0001.png").unlink())
    command = ["render", MODEL, "mixed4a:1-2", "-o", folder, *SIZED, "--batch-size", 1]
    assert main([*map(str, command)]) == 1
    assert "were deleted during the run (mixed4a_0001.png)" in capsys.readouterr().err
    assert main([*map(str, command)]) == 0
    assert "1 of them were there" in capsys.readouterr().out


def test_the_folder_of_one_picture_is_made_again(tmp_path, monkeypatch):
    folder = tmp_path / "new"
    folder.mkdir()
    _delete_after(monkeypatch, 1, lambda: shutil.rmtree(folder))
    assert main(["render", MODEL, "mixed4a:1", "-o", str(folder / "unit.png"), *SIZED]) == 0
    assert (folder / "unit.png").is_file()


def test_the_folder_of_a_figure_that_is_deleted_meanwhile(tmp_path, monkeypatch):
    folder = tmp_path / "figures"
    _delete_after(monkeypatch, 2, lambda: shutil.rmtree(folder))
    command = ["figure", "fv-channel", "--fast", "--steps", "3", "--model", MODEL, "--units", "mixed4a:1"]
    code = main([*command, "-o", str(folder)])
    assert code == 1 or len(list(folder.iterdir())) == 3
