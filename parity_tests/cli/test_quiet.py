"""`--quiet`: only errors, and the paths of the written files."""

from __future__ import annotations

import inspect
import json
import sys

import pytest

from lucid_port.cli import main
from lucid_port.cli.app import app
from lucid_port.misc.progress import is_watched
from lucid_port.optvis import render_many

RENDER = ("render", "TinyInceptionV1", "mixed3a:1", "--steps", "2", "--size", "16")
COMMANDS = {command.name: command.callback for command in app.registered_commands}
LISTING = {"doctor", "models"}
"""Commands that show no progress and print nothing but a table."""


@pytest.mark.parametrize("option", ["-q", "--quiet"])
def test_a_render_prints_its_path_alone(option, tmp_path, capfd):
    path = tmp_path / "a.png"
    assert main([*RENDER, "-o", str(path), option]) == 0
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == (f"{path}\n", "")
    assert path.is_file()


@pytest.mark.parametrize(("options", "watched"), [([], True), (["-q"], False)])
def test_progress_and_remarks_are_hidden_on_a_terminal(options, watched, tmp_path, capsys, monkeypatch):
    seen = []
    original = render_many.render_many

    def noisy(*arguments, **given):
        seen.append(is_watched())
        print("a remark")
        print("a warning", file=sys.stderr)
        return original(*arguments, **given)

    monkeypatch.setattr(render_many, "render_many", noisy)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    words = ["render", "TinyInceptionV1", "mixed3a:1,2", "--steps", "2", "--size", "16", "-o", str(tmp_path / "many")]
    assert main([*words, *options]) == 0
    assert seen == [watched]
    printed = capsys.readouterr()
    if watched:
        assert "a remark" in printed.out
        assert "a warning" in printed.err
    else:
        assert printed == (f"{tmp_path / 'many'}\n", "")


def test_errors_are_printed(tmp_path, capsys):
    assert main([*RENDER, "-o", str(tmp_path / "a.txt"), "-q"]) == 1
    assert main(["render", "TinyInceptionV1", "mixed3a:1", "--steps", "no", "-q", "-o", "a.png"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert [line.startswith("error: ") for line in printed.err.splitlines()] == [True, True]


def test_an_error_within_the_command_ends_the_silence(tmp_path, capsys):
    assert main([*RENDER[:2], "nothing:1", "-o", str(tmp_path / "a.png"), "-q"]) == 1
    assert "nothing" in capsys.readouterr().err
    assert main(["layers", "TinyInceptionV1", "--grep", "conv2d0"]) == 0
    assert "conv2d0" in capsys.readouterr().out


def test_json_is_printed_in_full(tmp_path, capsys):
    assert main([*RENDER, "-o", str(tmp_path / "a.png"), "--json", "-q"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 2


def test_tables_are_printed(capsys):
    assert main(["layers", "TinyInceptionV1", "--grep", "conv2d0_pre_relu", "-q"]) == 0
    assert capsys.readouterr().out.startswith("name\top\tchannels\nconv2d0_pre_relu")


def test_units_to_choose_from_are_printed(capsys):
    assert main(["render", "TinyInceptionV1", "-q"]) == 0
    assert "mixed4a:" in capsys.readouterr().out


def test_a_rerender_without_output_prints_nothing(tmp_path, capsys):
    path = tmp_path / "a.png"
    assert main([*RENDER, "-o", str(path), "-q"]) == 0
    capsys.readouterr()
    assert main(["rerender", str(path), "-q"]) == 0
    assert capsys.readouterr() == ("", "")


def test_conversion_prints_its_folder(tmp_path, capsys):
    assert main(["convert", "TinyInceptionV1", "-o", str(tmp_path / "tiny"), "-q"]) == 0
    assert capsys.readouterr() == (f"{tmp_path / 'tiny'}\n", "")


def test_sheets_are_printed_beside_the_pictures(tmp_path, capsys):
    folder = tmp_path / "many"
    words = ["render", "TinyInceptionV1", "mixed3a:1,2", "--steps", "2", "--size", "16", "-o", str(folder)]
    assert main([*words, "--sheet", "-q"]) == 0
    assert capsys.readouterr() == (f"{folder}\n{folder / 'sheet.png'}\n", "")
    assert main(["sheet", str(folder), "-q"]) == 0
    assert capsys.readouterr() == (f"{folder / 'sheet.png'}\n", "")


def test_every_command_that_shows_progress_has_the_option():
    without = {name for name, command in COMMANDS.items() if "quiet" not in inspect.signature(command).parameters}
    assert without == LISTING
