"""The command microscope: words that stand for options, and what it asks and says."""

import json

import pytest
import typer

from lucid_port.cli import main
from lucid_port.cli import microscope as module
from lucid_port.microscope import settings
from lucid_port.microscope.drawings import Drawings
from lucid_port.microscope.estimate import Estimate
from lucid_port.microscope.names import Places

LONG = Estimate(10, 1, 20, 0, 3 * 3600.0, 1e9)
UNITS = ["--units", "mixed3a:1,2", "--executor", "here"]


@pytest.fixture(autouse=True)
def few(monkeypatch, tmp_path):
    """Works in a folder of its own, with few updates and drawings."""
    monkeypatch.chdir(tmp_path)
    tiny = {"size": 32, "steps": 2, "dream_steps": 1}
    monkeypatch.setattr(settings, "QUALITIES", {**settings.QUALITIES, "preview": tiny})
    monkeypatch.setattr("lucid_port.microscope.run.Drawings", lambda: Drawings(12))


def test_make_need_not_be_named(capsys, tmp_path):
    assert main(["microscope", "TinyInceptionV1", "-o", "site", *UNITS]) == 0
    assert capsys.readouterr().out.endswith("site/index.html\n")
    assert Places("site").render("mixed3a", "channel", 2).is_file()


def test_status_reads_files_alone(capsys):
    assert main(["microscope", "TinyInceptionV1", "-o", "site", *UNITS, "-q"]) == 0
    capsys.readouterr()
    assert main(["microscope", "no-such-model", "-o", "site", "--status", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["done"]["renders/channel"] == 2


def test_parts_are_merged_with_the_model_of_the_runs(capsys):
    for part in ("1/2", "2/2"):
        assert main(["microscope", "TinyInceptionV1", "-o", "site", *UNITS, "--part", part, "-q"]) == 0
    assert main(["microscope", "merge", "site"]) == 0
    assert capsys.readouterr().out.endswith("site/index.html\n")


def test_a_folder_without_parts_is_not_merged(capsys):
    assert main(["microscope", "merge", "site"]) == 1
    assert capsys.readouterr().err == "error: site holds no parts of a site.\n"


@pytest.mark.parametrize(("text", "hours"), [("2h", 2), ("90min", 1.5), ("90m", 1.5), ("1800s", 0.5), ("0.5", 0.5)])
def test_times(text, hours):
    assert module.hours_of(text) == pytest.approx(hours)


@pytest.mark.parametrize("text", ["", "h", "-2h", "2 weeks", "0h", "nan"])
def test_other_times_are_refused(text):
    with pytest.raises(typer.BadParameter, match="written as 2h or 90min"):
        module.hours_of(text)


def test_long_work_is_not_begun_without_a_word():
    with pytest.raises(ValueError, match=r"about 3.0 hours .* pass --yes to begin, or --budget"):
        module._confirm(False)(LONG)
    assert module._confirm(True)(LONG)
