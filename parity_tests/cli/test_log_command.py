"""--log-dir of the commands, and `lucid-port log`."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from lucid_port.cli import main
from parity_tests.event_files import read, runs, steps


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def run(*arguments):
    return main([str(argument) for argument in arguments])


def _pictures(path):
    for name in ("cats/a.png", "dogs/b.png"):
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.RandomState(0).randint(0, 256, (40, 50, 3), np.uint8)).save(path / name)


def test_renders_are_runs(tmp_path):
    small = ("TinyInceptionV1", "--size", 24, "--steps", 3, "--log-dir", "runs")
    assert run("render", *small, "mixed4a:3", "-o", "one.png") == 0
    assert run("render", *small, "mixed4a:3,8", "-o", "many") == 0
    assert run("render", *small, "mixed4a:3", "-o", "diverse", "--diversity", 2) == 0
    assert (
        run(
            "run",
            "one.png.json" if (tmp_path / "one.png.json").exists() else "one.json",
            "-o",
            "two.png",
            "--log-dir",
            "runs",
        )
        == 0
    )
    found = runs(tmp_path / "runs")
    assert "Channel_mixed4a_3" in found
    assert "mixed4a/3-8" in found
    assert len(found) == 4
    assert all(steps(read(tmp_path / "runs" / name), "objective") == [1, 3] for name in found)


def test_a_plan_is_logged_once(tmp_path):
    (tmp_path / "plan.toml").write_text('model = "TinyInceptionV1"\nunits = "mixed4a:3"\nsize = 24\nsteps = 2\n')
    assert run("run", "plan.toml", "-o", "a.png", "--log-dir", "runs") == 0
    assert runs(tmp_path / "runs") == ["Channel_mixed4a_3"]


def test_a_figure_is_a_run(tmp_path, monkeypatch):
    monkeypatch.setenv("LUCID_PORT_MOST_STEPS", "1")
    assert run("figure", "fv-channel", "--model", "TinyInceptionV1", "--fast", "--log-dir", "runs") == 0
    assert "fv-channel" in runs(tmp_path / "runs")


def test_a_model_is_logged(tmp_path, capsys):
    _pictures(tmp_path / "pictures")
    words = ("--log-dir", "runs/tiny", "--layers", "mixed4a", "--projector", "mixed3a")
    assert run("log", "TinyInceptionV1", "pictures", *words, "--json") == 0
    assert json.loads(capsys.readouterr().out)["logged"] == ["graph", "weights", "activations", "projector"]
    log = read(tmp_path / "runs/tiny")
    assert log.Graph().node
    assert "activations/mixed4a" in log.Tags()["histograms"]
    assert (tmp_path / "runs/tiny/projector_config.pbtxt").is_file()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("log", "TinyInceptionV1"), "name a folder, as in --log-dir runs"),
        (("log", "TinyInceptionV1", "--log-dir", "runs", "--layers", "mixed4a"), "it needs pictures"),
        (("log", "TinyInceptionV1", "nothing", "--log-dir", "runs"), "There is no picture nothing."),
        (("log", "TinyInceptionV1", "--log-dir", "file"), "is a file: name a folder."),
        (("render", "TinyInceptionV1", "mixed4a:3", "-o", "a.png", "--log-dir", "file"), "is a file: name a folder."),
        (("figure", "fv-channel", "--model", "TinyInceptionV1", "--log-dir", "file"), "is a file: name a folder."),
        (("microscope", "TinyInceptionV1", "-o", "site", "--log-dir", "file"), "is a file: name a folder."),
    ],
)
def test_mistakes_are_one_line(tmp_path, capsys, words, error):
    (tmp_path / "file").write_text("")
    assert run(*words) != 0
    said = capsys.readouterr().err
    assert error in said
    assert said.count("\n") == 1
    assert sorted(one.name for one in tmp_path.iterdir()) == ["file"]
