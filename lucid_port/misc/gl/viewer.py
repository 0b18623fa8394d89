"""Pages that show a mesh with a texture, and turn it by the mouse: trimesh's viewer, which needs no network."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping

import numpy as np

from converters.signatures import checked
from lucid_port.misc.gl.files import kept_random_state, textured, trimesh_package
from lucid_port.misc.tensors import ArrayLike

__all__ = ["mesh_page"]

_TITLE = "<title>trimesh: threejs viewer</title>"
_END = re.compile(r"</body\s*>")
_SETTINGS = """scene.background = new THREE.Color(%s);
renderer.outputEncoding = THREE.sRGBEncoding;
tracklight.intensity = 0.5;
scene.add(new THREE.AmbientLight(0xffffff, 0.5));"""
"""Settings of the viewer, whose script has run before: colors as in the texture where it faces the camera."""


@checked
def mesh_page(
    mesh: Mapping[str, np.ndarray],
    texture: ArrayLike,
    background: str = "0xffffff",
    title: str = "Textured mesh",
) -> str:
    """Returns a page of HTML that shows a mesh with a texture. It holds all that it shows, and loads nothing.

    Dragging turns the mesh, the wheel changes its size. The light comes from the camera.

    Args:
        mesh: The mesh, with texture coordinates.
        texture: Picture [H, W, 3] in [0, 1], or uint8.
        background: Color of the background, as "0xffffff" or "#ffffff".
        title: Title of the page.

    Raises:
        TypeError, ValueError: The mesh cannot be rendered, see `check_mesh`, or the texture or the color have another
            form.
        converters.MissingPackageError: trimesh is not installed.

    Example:
        >>> from lucid_port.misc.gl.meshutil import torus
        >>> page = mesh_page(torus(8, 6), np.zeros((4, 4, 3)))
        >>> page.lstrip().startswith("<!DOCTYPE html>"), "<script src=" in page
        (True, False)
    """
    color = _color(background)
    package = trimesh_package()
    from trimesh.viewer.notebook import scene_to_html

    with kept_random_state():
        camera = package.scene.cameras.Camera(name="camera", fov=(42, 42))  # without a name, trimesh draws one
        scene = package.Scene([textured(mesh, texture)], camera=camera)
        scene.set_camera(fov=(42, 42))
        page = scene_to_html(scene)
    script = f"<script>{_SETTINGS % color}</script>"
    page = page.replace(_TITLE, f"<title>{html.escape(title)}</title>", 1)
    end = [one.start() for one in _END.finditer(page)][-1]
    return page[:end] + script + page[end:]


def _color(text: str) -> str:
    """Returns a color as a number of JavaScript."""
    digits = text.removeprefix("0x").removeprefix("#").lower()
    if len(digits) != 6 or not set(digits) <= set("0123456789abcdef"):
        raise ValueError(f"background is a color such as '0xffffff' or '#ffffff', not {text!r}.")
    return f"0x{digits}"
