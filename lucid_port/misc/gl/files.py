"""Files of meshes, read and written by trimesh, which is an optional dependency: `pip install -e '.[mesh]'`."""

from __future__ import annotations

import contextlib
import io
import os
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TextIO, TypeAlias

import numpy as np
from PIL import Image

from converters import checks
from converters.atomic import check_writable, write_bytes
from converters.errors import MissingPackageError, reason
from converters.paths import naming_file, user_path
from converters.signatures import checked
from lucid_port.misc.gl.mesh import Mesh, check_mesh, check_positions, check_triangles
from lucid_port.misc.io.serialize_array import normalize_array, to_array
from lucid_port.misc.tensors import ArrayLike

__all__ = [
    "READ",
    "SAVED",
    "kept_random_state",
    "load_mesh",
    "load_obj",
    "save_mesh",
    "texture_pixels",
    "textured",
    "trimesh_package",
]

MeshFile: TypeAlias = str | os.PathLike[str] | BinaryIO | TextIO
"""A path, or an open file."""

SAVED = (".glb", ".obj", ".ply")
"""Formats that hold texture coordinates, to write."""

READ = (*SAVED, ".off", ".stl")
"""Formats to read. The last two hold no texture coordinates."""


def trimesh_package() -> Any:
    """Returns the package trimesh.

    Raises:
        converters.MissingPackageError: It is not installed.
    """
    try:
        import trimesh
    except ImportError:
        raise MissingPackageError(
            "Mesh files and the mesh viewer need the package trimesh: pip install -e '.[mesh]'."
        ) from None
    return trimesh


@contextlib.contextmanager
def kept_random_state() -> Iterator[None]:
    """Context that restores the state of Python's random numbers, from which trimesh draws names."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


@checked
def load_obj(fn: MeshFile) -> Mesh:
    r"""Reads a Wavefront OBJ file.

    Polygons become triangles. Each different combination of position, texture coordinate and normal is a vertex. If
    only some faces have texture coordinates, the mesh has none.

    Args:
        fn: A path, or an open file.

    Returns:
        The mesh, with the keys `position`, `face` and, if all faces have them, `uv` and `normal`.

    Raises:
        FileNotFoundError, OSError: The file cannot be read.
        ValueError: The file holds no mesh.
        converters.MissingPackageError: trimesh is not installed.

    Example:
        >>> corner = b"v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nf 1/1 2/2 3/3 4/4"
        >>> mesh = load_obj(io.BytesIO(corner))
        >>> mesh["uv"].shape, mesh["face"]
        ((4, 2), array([0, 1, 2, 2, 3, 0], dtype=int32))
    """
    data, name = _contents(fn)
    return _parsed(data, name, ".obj")


@checked
def load_mesh(path: str | os.PathLike[str]) -> Mesh:
    """Reads a mesh by its file's extension: .glb, .obj or .ply with texture coordinates, .off or .stl without.

    Raises:
        FileNotFoundError, OSError: The file cannot be read.
        ValueError: The extension is unknown, or the file holds no mesh.
        converters.MissingPackageError: trimesh is not installed.

    Example:
        >>> import tempfile
        >>> from lucid_port.misc.gl.shapes import torus
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     mesh = load_mesh(save_mesh(torus(8, 6), f"{folder}/torus.glb"))
        >>> mesh["position"].shape == torus(8, 6)["position"].shape
        True
    """
    suffix = user_path(path).suffix.lower()
    if suffix not in READ:
        raise ValueError(f"{path} is no mesh's name: meshes end in {', '.join(READ)}.")
    data, name = _contents(path)
    return _parsed(data, name, suffix)


def _contents(file: MeshFile) -> tuple[bytes, str]:
    """Returns the bytes of a file and its name."""
    if isinstance(file, (str, os.PathLike)):
        path = user_path(file)
        with naming_file(path):
            return path.read_bytes(), str(path)
    data = file.read()
    return data.encode() if isinstance(data, str) else data, str(getattr(file, "name", "The file"))


class _Part(NamedTuple):
    position: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray | None
    normal: np.ndarray | None


def _parsed(data: bytes, name: str, suffix: str) -> Mesh:
    package = trimesh_package()
    try:
        with kept_random_state():
            parts = list(_obj_parts(data) if suffix == ".obj" else _other_parts(package, data, suffix))
    except MemoryError:
        raise
    except Exception as error:  # trimesh's parsers raise whatever a damaged file leads to
        raise ValueError(f"{name} cannot be read as a mesh ({suffix}): {reason(error)}.") from error
    parts = [part for part in parts if len(part.triangles)]
    if not parts:
        raise ValueError(f"{name} holds no triangles: it is no mesh, or an empty one.")
    mesh = _joined(parts)
    try:
        check_positions(mesh)
        check_triangles(mesh["face"], len(mesh["position"]))
    except ValueError as error:
        raise ValueError(f"{name} holds a damaged mesh: {reason(error)}.") from error
    return mesh


def _obj_parts(data: bytes) -> Iterable[_Part]:
    from trimesh.exchange.obj import load_obj as read
    from trimesh.geometry import triangulate_quads

    for part in read(io.BytesIO(data), skip_materials=True).get("geometry", {}).values():
        visual, faces = part.get("visual"), triangulate_quads(part["faces"])
        yield _Part(part["vertices"], faces, getattr(visual, "uv", None), part.get("vertex_normals"))


def _other_parts(package: Any, data: bytes, suffix: str) -> Iterable[_Part]:
    scene = package.load(io.BytesIO(data), file_type=suffix[1:], process=False, force="scene")
    for part in scene.dump():
        if isinstance(part, package.Trimesh):
            yield _Part(part.vertices, part.faces, getattr(part.visual, "uv", None), None)


def _joined(parts: Sequence[_Part]) -> Mesh:
    """Returns the parts as one mesh; texture coordinates and normals only if all parts have them."""
    starts = np.cumsum([0, *(len(part.position) for part in parts[:-1])])
    faces = [np.asarray(part.triangles) + start for part, start in zip(parts, starts, strict=True)]
    mesh = {"position": np.concatenate([part.position for part in parts]).astype(np.float32)}
    for key, arrays in (("uv", [part.uv for part in parts]), ("normal", [part.normal for part in parts])):
        there = [array for array in arrays if array is not None]
        if len(there) == len(arrays):
            mesh[key] = np.concatenate(there).astype(np.float32)
    return {**mesh, "face": np.concatenate(faces).reshape(-1).astype(np.int32)}


@checked
def save_mesh(mesh: Mapping[str, np.ndarray], path: str | os.PathLike[str], texture: ArrayLike | None = None) -> Path:
    """Writes a mesh as .glb, .obj or .ply.

    Args:
        mesh: The mesh, with texture coordinates.
        path: File name. Only .glb holds the texture as well.
        texture: Picture [H, W, 3] in [0, 1], or uint8.

    Returns:
        The path.

    Raises:
        ValueError: The extension is unknown or holds no texture, or the mesh cannot be rendered; see `check_mesh`.
        OSError: The file cannot be written.
        converters.MissingPackageError: trimesh is not installed.

    Example:
        >>> import tempfile
        >>> from lucid_port.misc.gl.shapes import torus
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_mesh(torus(8, 6), f"{folder}/torus.glb", np.zeros((4, 4, 3))).name
        'torus.glb'
    """
    place = user_path(path)
    suffix = place.suffix.lower()
    if suffix not in SAVED:
        raise ValueError(f"{place} is no mesh's name: meshes are written as {', '.join(SAVED)}.")
    if texture is not None and suffix != ".glb":
        raise ValueError(f"{place} cannot hold the texture: write a .glb file, or the texture into a file of its own.")
    check_writable(place)
    with kept_random_state():
        data = textured(mesh, texture).export(
            file_type=suffix[1:], **({"write_texture": False} if suffix == ".obj" else {})
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(place, data.encode() if isinstance(data, str) else data)
    return place


def textured(mesh: Mapping[str, np.ndarray], texture: ArrayLike | None = None) -> Any:
    """Returns a `trimesh.Trimesh` of a mesh, with a texture if there is one.

    Args:
        mesh: The mesh.
        texture: [H, W, 3] or [H, W, 4] in [0, 1], or uint8.
    """
    package = trimesh_package()
    position, uv, triangles = check_mesh(mesh)
    material = None
    if texture is not None:
        image = Image.fromarray(texture_pixels(texture))
        material = package.visual.material.PBRMaterial(
            baseColorTexture=image, metallicFactor=0.0, roughnessFactor=1.0, doubleSided=True
        )
    visual = package.visual.TextureVisuals(uv=uv[:, :2], material=material)
    return package.Trimesh(position, triangles, visual=visual, process=False)


def texture_pixels(texture: ArrayLike) -> np.ndarray:
    """Returns a texture as uint8 [H, W, 3].

    Raises:
        ValueError: The texture has another shape, or values outside of [0, 1].
    """
    values = to_array(texture)
    if values.ndim != 3 or values.shape[-1] not in (3, 4) or 0 in values.shape:
        raise ValueError(f"A texture has the shape [height, width, 3], not {list(values.shape)}.")
    values = values[..., :3]
    if values.dtype == np.uint8:
        return np.ascontiguousarray(values)
    checks.finite_values(values, "A texture")
    return normalize_array(values, (0, 1))
