"""Sheets of folders of pictures."""

import json

import numpy as np
import pytest
from PIL import Image

from lucid_port.modelzoo.vision_models import TinyInceptionV1
from lucid_port.optvis import render
from lucid_port.optvis.many import contact_sheet as module
from lucid_port.optvis.many.contact_sheet import contact_sheet


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("renders") / "mixed4a"
    render.render_many(TinyInceptionV1(), "mixed4a:3-7,-mixed4a:4", size=33, steps=2, output=folder, verbose=False)
    return folder


def drawn(monkeypatch, *arguments, **options):
    """The captions, columns and title that a sheet is drawn with."""
    seen = {}

    def spy(pictures, captions, columns, title, **_):
        seen.update(pictures=pictures, captions=captions, columns=columns, title=title)
        return Image.new("RGB", (5, 5))

    monkeypatch.setattr(module, "draw_grid", spy)
    contact_sheet(*arguments, **options)
    return seen


def test_files_in_a_folder_of_the_layers_name_do_not_repeat_it(folder):
    names = sorted(path.name for path in folder.glob("*.png"))
    assert names == ["0003.png", "0004.png", "0005.png", "0006.png", "0007.png", "minus_0004.png"]


def test_units_are_numbered_in_order(folder, monkeypatch):
    seen = drawn(monkeypatch, folder)
    assert seen["captions"] == ["3", "4", "5", "6", "7", "-4"]
    assert seen["title"] == "TinyInceptionV1: mixed4a (6 units)"
    assert seen["columns"] == 3
    for picture, name in zip(seen["pictures"], ["0003", "0004", "0005", "0006", "0007", "minus_0004"], strict=True):
        np.testing.assert_array_equal(np.asarray(picture), np.asarray(Image.open(folder / f"{name}.png")))


def test_a_sheet_has_gaps_and_a_margin(folder):
    sheet = contact_sheet(folder, columns=4, title="")
    assert sheet.size == (4 * 33 + 3 * 4 + 24, 24 + 2 * (33 + 15 + 4) - 4)


def test_several_layers_are_named(tmp_path, monkeypatch):
    render.render_many(
        TinyInceptionV1(), ["mixed3a:3", "mixed4a:3"], size=32, steps=1, output=tmp_path / "two", verbose=False
    )
    seen = drawn(monkeypatch, tmp_path / "two")
    assert seen["captions"] == ["mixed3a:3", "mixed4a:3"]
    assert seen["title"] == "TinyInceptionV1: mixed3a, mixed4a (2 units)"


def test_a_unit_with_two_seeds_has_two_captions(tmp_path, monkeypatch):
    render.render_many(
        TinyInceptionV1(), ["mixed3a:3"] * 2, seeds=[0, 5], size=32, steps=1, output=tmp_path / "seeds", verbose=False
    )
    assert drawn(monkeypatch, tmp_path / "seeds")["captions"] == ["3", "3 seed 5"]


def test_a_sprite_is_cut_into_its_pictures(folder, tmp_path, monkeypatch):
    render.render_many(
        TinyInceptionV1(), "mixed4a:3-7", size=33, steps=2, output=tmp_path / "all", sheet=True, verbose=False
    )
    seen = drawn(monkeypatch, tmp_path / "all")
    assert seen["captions"] == ["3", "4", "5", "6", "7"]
    np.testing.assert_array_equal(np.asarray(seen["pictures"][3]), np.asarray(Image.open(folder / "0006.png")))


def test_a_folder_without_a_list_is_drawn_by_names(tmp_path, monkeypatch):
    for name in ("b.png", "a.webp", "sheet.png"):
        Image.new("RGBA", (8, 9), (255, 0, 0, 128)).save(tmp_path / name)
    seen = drawn(monkeypatch, tmp_path, columns=2, title="Mine")
    assert (seen["captions"], seen["columns"], seen["title"]) == (["a", "b"], 2, "Mine")
    assert {picture.mode for picture in seen["pictures"]} == {"RGB"}


def test_wrong_folders(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no folder"):
        contact_sheet(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match="has no pictures"):
        contact_sheet(tmp_path)
    (tmp_path / "manifest.json").write_text(json.dumps({"format": 1}))
    with pytest.raises(ValueError, match="is not a readable list of renders"):
        contact_sheet(tmp_path)
