"""The viewer of meshes, in notebooks and as a page."""

from __future__ import annotations

import base64
import html
import random
import re

import numpy as np
import pytest

from lucid_port.misc.gl.meshutil import load_mesh, save_mesh, torus
from lucid_port.misc.gl.viewer import mesh_page
from lucid_port.misc.io import showing


@pytest.fixture
def texture():
    return np.random.RandomState(0).uniform(size=(6, 5, 3)).astype(np.float32)


def test_the_texture_is_left_as_it_is(texture, capsys):
    kept, ring = texture.copy(), torus(5, 4)
    showing.textured_mesh(ring, texture)
    np.testing.assert_array_equal(texture, kept)
    assert capsys.readouterr().out.startswith("A mesh of 40 triangles. Meshes are shown in notebooks")


def test_a_notebook_gets_a_frame_with_the_whole_page(texture, monkeypatch):
    shown = []
    monkeypatch.setattr(showing, "is_notebook_environment", lambda: True)
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append(data))
    showing.textured_mesh(torus(5, 4), texture, "0x102030", height=321)
    (data,) = shown
    (page,) = re.findall(r'<iframe srcdoc="([^"]*)" sandbox="allow-scripts"', data["text/html"])
    assert "height: 321px" in data["text/html"]
    assert html.unescape(page).strip() == mesh_page(torus(5, 4), texture, "0x102030").strip()


def test_a_page_loads_nothing(texture):
    """No element has an address, no script fetches one: the mesh is in the page. Two addresses are in comments."""
    page = mesh_page(torus(5, 4), texture, "#102030", title="A <ring>")
    elements = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)
    assert re.findall(r"<(\w+)", elements) == [
        "html", "head", "title", "meta", "meta", "style", "body", "div",
    ]  # fmt: skip
    assert not re.search(r"src\s*=|href\s*=|url\(|@import", elements)
    assert set(re.findall(r"https?://[^\s\"'<>)]+", page)) <= {
        "http://www.w3.org/1999/xhtml",  # the name of a namespace
        "https://github.com/mrdoob/three.js/pull/23228",  # in a comment
    }
    (script,) = re.findall(r"function init\(\)\{.*?\n", page)
    assert re.findall(r"load\((.{27})", script) == ['"data:text/plain;base64,"+b']
    (encoded,) = re.findall(r'base64_data="([^"]*)"', script)
    scene = base64.b64decode(encoded)
    assert scene.startswith(b"glTF")
    assert b'"uri"' not in scene
    assert "<title>A &lt;ring&gt;</title>" in page
    assert "new THREE.Color(0x102030)" in page


def test_random_numbers_of_the_user_stay(texture, tmp_path):
    random.seed(5)
    before = random.getstate()
    mesh_page(torus(5, 4), texture)
    load_mesh(save_mesh(torus(5, 4), tmp_path / "ring.glb", texture))
    assert random.getstate() == before


def test_textures_of_bytes_and_of_four_channels(texture):
    codes = (texture * 255).astype(np.uint8)
    pages = [mesh_page(torus(5, 4), one) for one in (codes, np.dstack([codes, codes[..., :1]]))]
    assert pages[0] == pages[1]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"background": "white"}, "background is a color"),
        ({"texture": np.zeros((4, 4))}, r"\[height, width, 3\]"),
        ({"texture": np.full((4, 4, 3), np.nan)}, "texture contains NaN"),
        ({"mesh": {"position": np.eye(3)}}, "no texture coordinates"),
        ({"height": 0}, "height"),
    ],
)
def test_arguments_that_make_no_sense(texture, arguments, words):
    with pytest.raises((TypeError, ValueError), match=words):
        showing.textured_mesh(**{"mesh": torus(5, 4), "texture": texture, **arguments})
