"""`lucid-port render` for several units: what it writes, what it says, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lucid_port.cli import main

QUICK = ["--size", "24", "--steps", "2"]


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


def render(units, output, *options) -> int:
    return run("render", "InceptionV1_seeded", units, "-o", output, *QUICK, *options)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_several_units_go_into_a_folder_and_are_not_made_twice(tmp_path, capsys):
    folder = tmp_path / "out"
    assert render("conv2d0:3-4,7", folder, "--batch-size", 2) == 0
    pictures = ["conv2d0_0003.png", "conv2d0_0004.png", "conv2d0_0007.png"]
    assert names(folder) == [*pictures, "manifest.json"]
    assert "3 units of conv2d0:3-4,7, 24x24, 2 steps" in capsys.readouterr().out
    assert render("conv2d0:3-8", folder) == 0
    assert "6 units of conv2d0:3-8, 24x24, 2 steps, 3 of them were there" in capsys.readouterr().out


def test_a_folders_picture_is_that_of_the_unit_alone(tmp_path):
    assert render("conv2d0:3", tmp_path / "alone.png") == 0
    assert render("conv2d0:3", tmp_path) == 0
    alone, among_others = (np.asarray(Image.open(tmp_path / name), int) for name in ("alone.png", "conv2d0_0003.png"))
    assert np.abs(alone - among_others).max() <= 1  # the mean is summed in another order
    assert render("conv2d0:3", tmp_path / "no-ending") == 0
    assert names(tmp_path / "no-ending") == ["conv2d0_0003.png", "manifest.json"]


def test_a_sheet_lies_beside_the_pictures(tmp_path, capsys):
    assert render("conv2d0:3-6", tmp_path / "out", "--sheet") == 0
    pictures = [f"conv2d0_{number:04d}.png" for number in (3, 4, 5, 6)]
    assert names(tmp_path / "out") == [*pictures, "manifest.json", "sheet.png"]
    lines = capsys.readouterr().out.strip().splitlines()
    assert lines[-2:] == [
        f"{tmp_path / 'out'}: 4 units of conv2d0:3-6, 24x24, 2 steps",
        str(tmp_path / "out" / "sheet.png"),
    ]
    assert render("conv2d0:3-6", tmp_path / "out", "--sheet") == 0
    assert "4 of them were there" in capsys.readouterr().out


def test_other_settings_need_overwrite(tmp_path, capsys):
    assert render("conv2d0:1,2", tmp_path) == 0
    capsys.readouterr()
    assert render("conv2d0:1,2", tmp_path, "--seed", 1, "--lr", 0.1) == 1
    error = capsys.readouterr().err
    assert "seed is 0 there and 1 now" in error
    assert "optimizer is" in error
    assert "--overwrite" in error
    assert render("conv2d0:1,2", tmp_path, "--seed", 1, "--lr", 0.1, "--overwrite") == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["mixed4q:*", "-o", "out"], 1, ["mixed4q", "Did you mean mixed4"]),
        (["mixed4a:500-508", "-o", "out"], 1, ["layer 'mixed4a' has channels 0..507"]),
        (["mixed4a:508", "-o", "out"], 1, ["layer 'mixed4a' has channels 0..507"]),
        (["mixed4a:508", "-o", "out.png"], 1, ["layer 'mixed4a' has channels 0..507"]),
        (["mixed4a:1-3", "-o", "out.png"], 1, ["several units", "give a folder"]),
        (["mixed4a:3-1", "-o", "out"], 1, ["ends before it begins"]),
        (["mixed4a:*:", "-o", "out"], 1, ["'mixed4a:*:'", "at character 9"]),
        (["mixed4a:3", "-o", "out.png", "--sheet"], 2, ["--sheet", "folder"]),
        (["mixed4a:3", "-o", "out.png", "--batch-size", "2"], 2, ["--batch-size", "folder"]),
        (["mixed4a:*", "-o", "/dev/null/out"], 1, ["/dev/null"]),
    ],
)
def test_errors_are_one_line_and_come_before_the_work(arguments, code, words, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run("render", "InceptionV1_seeded", *arguments) == code
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert all(word in lines[0] for word in words), lines
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_says_how_to_go_on(tmp_path, capsys, monkeypatch):
    from lucid_port.optvis.many.picture_folder import PictureFolder

    add = PictureFolder.add

    def interrupted(folder, *arguments):
        add(folder, *arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(PictureFolder, "add", interrupted)
    assert render("conv2d0:0-3", tmp_path, "--batch-size", 2) == 130
    captured = capsys.readouterr()
    assert "2 of 4 units; the same command resumes it" in captured.out
    assert captured.err == "error: interrupted\n"
    monkeypatch.undo()
    assert render("conv2d0:0-3", tmp_path) == 0
    assert "2 of them were there" in capsys.readouterr().out
