"""The command microscope: words that stand for options, and what it asks and says."""

import json
from pathlib import Path

import numpy as np
import pytest
import typer
from PIL import Image

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


def test_status_refuses_what_it_would_ignore(capsys):
    assert main(["microscope", "TinyInceptionV1", "-o", "site", "--status", "--layers", "mixed3a"]) == 2
    assert "--status reads the folder of the site alone: leave out --layers" in capsys.readouterr().err


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


# Upkeep -----------------------------------------------------------------------------------------


@pytest.fixture
def site(tmp_path):
    """A site of a folder of pictures."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(5):
        pixels = np.random.default_rng(number).integers(0, 256, (30, 40, 3), np.uint8)
        Image.fromarray(pixels).save(photos / f"secret{number}.png")
    command = ["microscope", "TinyInceptionV1", "-o", "site", "--data", "photos", *UNITS]
    assert main([*command, "-q"]) == 0
    return command


def test_check_lists_faults(site, capsys):
    assert main(["microscope", "check", "site"]) == 0
    assert capsys.readouterr().out == "site: no faults\n"
    Places("site").render("mixed3a", "channel", 2).unlink()
    assert main(["microscope", "check", "site"]) == 1
    assert "mixed3a/2.html: shows data/mixed3a/renders/channel/0002.webp, which is missing" in capsys.readouterr().out
    assert main(["microscope", "check", "site", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["faults"][0]["path"].startswith("mixed3a/")


def test_check_refuses_a_folder_that_is_no_site(capsys):
    assert main(["microscope", "check", "photos"]) == 1
    assert "photos is no site" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["secret3.png", "#3"])
def test_a_removed_picture_stays_removed_when_the_command_runs_again(site, capsys, name):
    assert main(["microscope", "remove", "site", name]) == 0
    assert capsys.readouterr().out.startswith(f"{name} was taken out: ")
    for _ in range(2):
        for path in Path("site").rglob("*"):
            assert not path.is_file() or b"secret3" not in path.read_bytes(), path
        assert not Places("site").original(3).exists()
        assert main([*site, "--techniques", "neuron"]) == 0
        said = capsys.readouterr()
        assert "secret3" not in said.out + said.err
    assert main(["microscope", "check", "site", "-q"]) == 0


def test_a_picture_that_is_not_there_is_not_removed(site, capsys):
    assert main(["microscope", "remove", "site", "secret9.png"]) == 1
    assert "error: The site has no picture 'secret9.png'." in capsys.readouterr().err


def test_compare_writes_pages(site, capsys):
    assert main(["microscope", "compare", "site", "site", "-o", "both", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["layers"] == ["mixed3a"]
    assert Path(found["output"]).is_file()
    assert Path("both/mixed3a/index.html").is_file()


def test_sites_of_other_pictures_are_not_compared(site, capsys):
    assert main(["microscope", "TinyInceptionV1", "-o", "other", *UNITS, "-q"]) == 0
    assert main(["microscope", "compare", "site", "other", "-o", "both"]) == 1
    assert "have 0 pictures in common: make both sites of the same pictures" in capsys.readouterr().err
    assert not Path("both").exists()


def test_pictures_that_cannot_be_read_are_named_also_for_scripts(site, capsys):
    Path("photos/broken.png").write_bytes(b"")
    Path("photos/a.gif").write_bytes(b"")
    assert main([*site, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["output"].endswith("index.html")
    assert "Not read: broken.png: " in said.err
    assert "are read: a.gif." in said.err
