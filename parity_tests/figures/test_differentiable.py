"""Figures of Differentiable Image Parameterizations: what is shown is what the recipes give."""

from __future__ import annotations

import io
import tarfile

import numpy as np
import pytest
from PIL import Image

from lucid_port.figures.common import SHOWN
from lucid_port.figures.meshes import ARCHIVE, find_mesh
from lucid_port.misc.gl.shapes import torus
from lucid_port.recipes.cppn import paint
from lucid_port.recipes.interpolation import interpolations
from lucid_port.recipes.textured_meshes import texture_3d, turntable
from lucid_port.recipes.transparency import transparent

PAIR = ["mixed3a:1", "mixed3b:2"]
LAYERS = ["conv2d2", "mixed3a"]


def test_a_row_with_sharing_and_one_without(make, network):
    result = make("dp-aligned-interpolation", PAIR, 2, size=32, frames=3)
    assert [len(panel.pictures) for panel in result.panels] == [3, 3, 3, 3]
    (row,) = interpolations(network, [tuple(PAIR)], 3, sharing="pyramid", size=32, steps=2)
    np.testing.assert_array_equal(result.panels[1].pictures, row.pictures)
    np.testing.assert_array_equal(result.panels[3].pictures, row.shared)
    assert np.abs(np.asarray(result.panels[0].pictures) - row.pictures).max() > 0.01


def test_content_style_and_both_results(make, drawing):
    result = make("dp-style-transfer", ["mixed3a"], style=drawing, style_layers=LAYERS, size=32)
    (panel,) = result.panels
    assert list(panel.captions) == ["content", "style", "pixels", "decorrelated"]
    assert {picture.shape for picture in panel.pictures} == {(32, 32, 3)}
    assert set(result.data["distances"]) == {"pixel", "decorrelated"}


def test_paintings_at_growing_numbers_of_updates(make, network):
    result = make("dp-cppn", PAIR, 2, size=24, shown=40)
    assert [len(panel.pictures) for panel in result.panels] == [2, 2, 2]
    made = paint(network, PAIR, size=24, steps=2, thresholds=[1])
    np.testing.assert_array_equal(result.panels[1].pictures, made.pictures[:, 1])
    assert result.panels[2].pictures[0].shape == (40, 40, 3)


def test_what_covers_and_how_much(make, network):
    result = make("dp-transparency", PAIR, 2, size=32)
    made = transparent(network, PAIR, size=32, steps=2)
    np.testing.assert_array_equal(np.stack(result.panels[1].pictures)[..., 0], made.pictures[..., 3])
    np.testing.assert_allclose(result.data["covered"], made.pictures[..., 3].mean((1, 2)))
    assert result.panels[0].pictures[0].shape == (32, 32, 3)


def test_sides_of_a_mesh_a_film_and_pages(make, network, tmp_path):
    result = make("dp-3d-texture", PAIR, 2, size=32, texture_size=24, frames=4, mesh="torus")
    made = texture_3d(network, PAIR[1], texture_size=24, size=32, steps=2)
    sides = turntable("torus", made.texture, 4, SHOWN)
    np.testing.assert_array_equal(result.panels[1].pictures, sides)
    assert result.data["mesh"] == "torus"
    assert result.data["renderer"] == made.backend
    assert list(result.files) == ["-turning.webp", "-1.html", "-2.html"]
    for ending, write in result.files.items():
        write(tmp_path / f"figure{ending}")
    with Image.open(tmp_path / "figure-turning.webp") as film:
        assert (film.n_frames, film.size) == (4, (2 * SHOWN, SHOWN))
    assert "3b:2 on a mesh" in (tmp_path / "figure-2.html").read_text()


def test_the_articles_mesh_is_found_in_the_folder_of_published_files(tmp_path, monkeypatch):
    monkeypatch.setenv("LUCID_PORT_PUBLISHED", str(tmp_path))
    assert find_mesh(None)[0] == "torus"
    with pytest.raises(FileNotFoundError, match="choose the mesh torus"):
        find_mesh("bunny")
    ring = torus(5, 4)
    with tarfile.open(tmp_path / ARCHIVE, "w") as archive:
        for member, array in (("position.3d", ring["position"]), ("uv.3d", ring["uv"]), ("face.3d", ring["face"])):
            entry = tarfile.TarInfo(member)
            entry.size = array.nbytes
            archive.addfile(entry, io.BytesIO(array.tobytes()))
    name, mesh = find_mesh(None)
    assert name == "bunny"
    for key in ("position", "uv", "face"):
        np.testing.assert_array_equal(mesh[key], ring[key])
    assert find_mesh("torus")[0] == "torus"
    (tmp_path / ARCHIVE).write_bytes(b"no archive")
    with pytest.raises(ValueError, match=rf"{ARCHIVE} is damaged"):
        find_mesh("bunny")


def test_a_mesh_that_is_not_known(make):
    with pytest.raises(ValueError, match="option mesh is one of bunny, torus, not 'teapot'"):
        make("dp-3d-texture", PAIR, 1, mesh="teapot")
