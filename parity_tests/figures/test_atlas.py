"""Figures of Activation Atlas."""

from __future__ import annotations

import numpy as np
import pytest

from lucid_port.figures.base import Settings, find_figure
from lucid_port.figures.collections import PATCHED, photographs
from lucid_port.misc.io.saving import save
from lucid_port.modelzoo.vision_models import TinyInceptionV1
from lucid_port.recipes.inputs import load_folder
from lucid_port.recipes.patches import patch_table

SMALL = {
    "layout": "tsne",
    "layout_options": {"perplexity": 5},
    "grid": 2,
    "threshold": 2,
    "per_image": 12,
    "rows": 1,
    "size": 40,
}


@pytest.fixture
def folder(tmp_path):
    """Three pictures, and a file that is none."""
    random = np.random.default_rng(0)
    for number in range(3):
        save(random.random((60, 50, 3)).astype(np.float32), str(tmp_path / f"{number}.png"))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    return str(tmp_path)


def test_an_atlas_of_a_folder(network, folder):
    result = find_figure("aa-mini-atlas").make(Settings(network, {"units": ["mixed4c"], **SMALL}, 1, 0, folder))
    canvas, row = result.panels
    assert canvas.pictures[0].shape == (80, 80, 3)
    assert {picture.shape for picture in row.pictures} == {(92, 92, 3)}
    assert len(row.pictures) == 7 * len(row.sides)
    assert (result.data["pictures"], result.data["activations"]) == (3, 36)
    assert len(result.data["skipped"]) == 1
    assert "broken.png" in result.data["skipped"][0]
    assert "36 activations of 3 pictures" in canvas.title
    fullest = int(np.argmax(result.data["counts"]))
    x, y = result.data["cells"][fullest]
    place = f"row {SMALL['grid'] - 1 - y}, column {x}"  # from 0, as in the other figures
    assert row.sides[0].text == f"{place} ({result.data['counts'][fullest]})"


def test_the_tiny_networks_atlas_is_of_drawings():
    options = {**find_figure("aa-mini-atlas").options_for("TinyInceptionV1", True), **SMALL, "drawings": 4}
    result = find_figure("aa-mini-atlas").make(Settings(TinyInceptionV1(), options, 1))
    assert result.data["pictures"] == 4


def test_without_a_folder_there_are_photographs():
    pictures = photographs()
    assert len(pictures) == 12
    assert all(max(picture.shape) <= 600 and picture.std() > 0.05 for picture in pictures)


@pytest.mark.parametrize(
    ("units", "words"), [(["mixed4c", "mixed4d"], "takes a layer; 2 given"), (["softmax2"], "fully connected")]
)
def test_an_atlas_that_cannot_be_made(network, folder, units, words):
    with pytest.raises(ValueError, match=words):
        find_figure("aa-mini-atlas").make(Settings(network, {"units": units, **SMALL}, 1, 0, folder))


def test_a_table_of_patches(network):
    result = find_figure("aa-adversarial-table").make(Settings(network, {"units": ["coffee+coins"]}, 0))
    shown, tables = result.panels
    assert list(shown.captions) == [
        "the picture",
        "with the patch, 45 % of its side",
        "with the patch, 70 % of its side",
        "the patch alone",
    ]
    assert len(shown.pictures) == len(tables.pictures) == 4
    how = PATCHED["coffee+coins"]
    found = patch_table(network, *how.pictures(), how.ratios, how.place)
    np.testing.assert_array_equal(shown.pictures[1], found.pictures[1])
    rows = result.data["percentages"]["coffee+coins"][shown.captions[1]]
    np.testing.assert_allclose([share for _, share in rows], 100 * np.sort(found.probabilities[1])[::-1][:6])


def test_patches_go_on_an_own_picture(network, drawing):
    result = find_figure("aa-adversarial-table").make(Settings(network, {"units": ["coffee+coins"]}, 0, 0, drawing))
    own = load_folder(drawing.rsplit("/", 1)[0], (224, 224))[0][0]
    np.testing.assert_array_equal(result.panels[0].pictures[0], own)


def test_a_pair_that_is_not_there(network):
    with pytest.raises(ValueError, match=r"no pair 'a\+b'; it knows tripod\+wheel"):
        find_figure("aa-adversarial-table").make(Settings(network, {"units": ["a+b"]}, 0))
