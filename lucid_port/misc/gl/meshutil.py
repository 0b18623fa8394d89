"""Meshes, their files, and matrices of cameras, by Lucid's names."""

from lucid_port.misc.gl.cameras import (
    anorm,
    homotrans,
    lookat,
    normalize,
    perspective,
    sample_view,
    turned_view,
    view_from,
)
from lucid_port.misc.gl.files import load_mesh, load_obj, save_mesh
from lucid_port.misc.gl.mesh import check_mesh, normalize_mesh
from lucid_port.misc.gl.shapes import torus

__all__ = [
    "anorm",
    "check_mesh",
    "homotrans",
    "load_mesh",
    "load_obj",
    "lookat",
    "normalize",
    "normalize_mesh",
    "perspective",
    "sample_view",
    "save_mesh",
    "torus",
    "turned_view",
    "view_from",
]
