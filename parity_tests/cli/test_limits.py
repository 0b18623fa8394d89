"""LUCID_PORT_MOST_STEPS limits the updates of every command that renders, and recipes state what was made."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lucid_port.cli import main
from lucid_port.cli.limits import VARIABLE, limited

MODEL = "TinyInceptionV1"


@pytest.mark.parametrize(("value", "steps"), [("", 512), (" ", 512), ("3", 3), ("1000", 512)])
def test_the_smaller_number_counts(value: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, value)
    assert limited(512) == steps


@pytest.mark.parametrize("value", ["0", "-1", "two", "1.5"])
def test_other_values_are_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, value)
    with pytest.raises(ValueError, match=rf"{VARIABLE} is the most updates of a picture, .* not '{value}'"):
        limited(512)


@pytest.mark.parametrize("stated", [[], ["--steps", "40"]], ids=["default", "stated"])
def test_renders_and_figures_state_what_was_made(
    stated: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "2")
    assert main(["render", MODEL, "mixed3a:5", "-o", "a.png", "--size", "48", "--json", *stated]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 2
    assert main(["figure", "fv-channel", "--model", MODEL, "-o", "figures", *stated]) == 0
    assert json.loads(Path("figures/fv-channel.json").read_text())["steps"] == 2


def test_recipes_are_limited(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(VARIABLE, "2")
    Path("a.json").write_text(json.dumps({"model": MODEL, "units": "mixed3a:5", "size": 48, "output": "a.png"}))
    assert main(["run", "a.json"]) == 0
    assert main(["rerender", "a.png", "--json"]) == 0
    capsys.readouterr()
    from lucid_port.optvis.recipe_files import read_recipe

    assert read_recipe("a.png").steps == 2
