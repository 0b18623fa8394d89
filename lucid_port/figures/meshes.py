"""Meshes of figures: the article's, if its published files are at hand, or the one that comes with this package."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import numpy as np

from lucid_port.misc.gl.mesh import Mesh, check_mesh
from lucid_port.misc.gl.shapes import torus

__all__ = ["ARCHIVE", "MESHES", "find_mesh"]

ARCHIVE = "dp_bunny_mesh.tar"
"""The published mesh, in a folder of the environment variable `LUCID_PORT_PUBLISHED`. It has another owner."""

MESHES = ("bunny", "torus")
"""Names of meshes; the first that is at hand is the default."""

_MEMBERS = {
    "position": ("position.3d", "<f4", (-1, 3)),
    "uv": ("uv.3d", "<f4", (-1, 2)),
    "face": ("face.3d", "<u4", (-1, 3)),
}


def find_mesh(name: str | None) -> tuple[str, Mesh]:
    """Returns the name and the arrays of a mesh.

    Args:
        name: one of `MESHES`; by default the first that is at hand.

    Raises:
        FileNotFoundError: the article's mesh is asked for, and is not at hand.
        ValueError: there is no mesh of this name, or the article's is damaged.
    """
    if name is not None and name not in MESHES:
        raise ValueError(f"The figure's option mesh is one of {', '.join(MESHES)}, not {name!r}.")
    path = None if name == "torus" else _archive()
    if path is not None:
        return "bunny", _read(path)
    if name == "bunny":
        raise FileNotFoundError(
            f"{ARCHIVE} is not in a folder named in LUCID_PORT_PUBLISHED: choose the mesh torus, or get the file."
        )
    return "torus", torus()


def _archive() -> Path | None:
    folders = os.environ.get("LUCID_PORT_PUBLISHED", "").split(os.pathsep)
    paths = [Path(folder) / ARCHIVE for folder in folders if folder]
    return next((path for path in paths if path.is_file()), None)


def _read(path: Path) -> Mesh:
    mesh: Mesh = {}
    try:
        with tarfile.open(path) as archive:
            for key, (member, kind, shape) in _MEMBERS.items():
                file = archive.extractfile(member)
                assert file is not None
                mesh[key] = np.frombuffer(file.read(), kind).reshape(shape)
        mesh["face"] = mesh["face"].reshape(-1)
        check_mesh(mesh)
    except (tarfile.TarError, KeyError, AssertionError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error
    return mesh
