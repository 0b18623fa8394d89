"""Meshes as dictionaries of arrays, and checks of them.

A mesh has the keys `position`, float32 [V, 3], `uv`, float32 [V, 2], `normal`, float32 [V, 3], and `face`, int32 [3 F]:
the vertices of F triangles, one after the other. `uv` and `normal` may be missing. The texture coordinate (0, 0) is the
lower left corner of the texture, (1, 1) the upper right one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

import numpy as np

from converters import checks
from converters.signatures import checked
from lucid_port.misc.gl.cameras import anorm

__all__ = ["CheckedMesh", "Mesh", "check_mesh", "check_positions", "check_triangles", "normalize_mesh"]

Mesh: TypeAlias = dict[str, np.ndarray]
"""Arrays of a mesh by name: `position`, `face`, and, if it has them, `uv` and `normal`."""


@checked
def normalize_mesh(mesh: Mapping[str, np.ndarray]) -> Mesh:
    """Moves the middle of the bounding box to the origin, and scales so that the largest coordinate is 1.

    Returns:
        A mesh with new positions; the other arrays are shared.

    Raises:
        ValueError: The mesh has no positions, or all of them are equal.

    Example:
        >>> mesh = normalize_mesh({"position": np.float32([[0, 0, 0], [4, 0, 0], [0, 2, 0]]), "face": np.arange(3)})
        >>> mesh["position"][1]
        array([ 1. , -0.5,  0. ], dtype=float32)
    """
    position = check_positions(mesh)
    position = position - (position.max(0) + position.min(0)) / 2
    largest = abs(position).max()
    if not largest > 0:
        raise ValueError("The mesh is one point: it has no size to normalize.")
    return {**mesh, "position": position / largest}


class CheckedMesh(NamedTuple):
    """The arrays of a mesh that can be rendered.

    Attributes:
        position: float32 [V, 3].
        uv: float32 [V, 4]; missing components are 0, 0, 0 and 1.
        triangles: int64 [F, 3].
    """

    position: np.ndarray
    uv: np.ndarray
    triangles: np.ndarray


@checked
def check_mesh(mesh: Mapping[str, np.ndarray]) -> CheckedMesh:
    """Checks that a mesh can be rendered with a texture.

    Args:
        mesh: The mesh. Without `face`, each three vertices are a triangle.

    Raises:
        TypeError: The mesh is not a table of arrays.
        ValueError: Positions or texture coordinates are missing, have another shape or are not finite; a face names a
            vertex that does not exist; or no triangle has an area.

    Example:
        >>> corner = {"position": np.eye(3), "uv": np.zeros((3, 2))}
        >>> check_mesh(corner).triangles
        array([[0, 1, 2]])
    """
    position = check_positions(mesh)
    if "uv" not in mesh:
        raise ValueError("The mesh has no texture coordinates: unwrap it, or add an array uv of shape [vertices, 2].")
    uv = np.asarray(mesh["uv"])
    if uv.ndim != 2 or len(uv) != len(position) or not 2 <= uv.shape[1] <= 4:
        raise ValueError(
            f"The mesh's uv has the shape [{len(position)}, 2], one row for each vertex, not {list(uv.shape)}."
        )
    checks.finite_values(uv, "The mesh's uv")
    filled = np.tile(np.array([0, 0, 0, 1], np.float32), (len(uv), 1))
    filled[:, : uv.shape[1]] = uv
    triangles = check_triangles(mesh.get("face"), len(position))
    corners = position[triangles].astype(np.float64)
    areas = anorm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1)
    if not (areas > 0).any():
        raise ValueError("The mesh is degenerate: none of its triangles has an area.")
    return CheckedMesh(position, filled, triangles)


def check_positions(mesh: Mapping[str, np.ndarray]) -> np.ndarray:
    if not isinstance(mesh, Mapping):
        raise TypeError(f"A mesh is a table of arrays with the keys position, uv and face, not {checks.shown(mesh)}.")
    if "position" not in mesh:
        raise ValueError(f"The mesh has no position: it has {', '.join(map(str, mesh)) or 'no arrays'}.")
    position = np.asarray(mesh["position"])
    if position.ndim != 2 or position.shape[1] < 3 or not len(position):
        raise ValueError(f"The mesh's position has the shape [vertices, 3], not {list(position.shape)}.")
    checks.finite_values(position, "The mesh's position")
    return position[:, :3].astype(np.float32)


def check_triangles(face: np.ndarray | None, vertices: int) -> np.ndarray:
    """Returns the triangles, int64 [F, 3], after a check."""
    flat = np.arange(vertices) if face is None else np.asarray(face).reshape(-1)
    if flat.dtype.kind not in "iu" or not flat.size or flat.size % 3:
        raise ValueError(
            f"The mesh's face holds whole numbers, three for each triangle, not {flat.size} of type {flat.dtype}."
        )
    low, high = int(flat.min()), int(flat.max())
    if low < 0 or high >= vertices:
        wrong = low if low < 0 else high
        raise ValueError(f"The mesh's face names vertex {wrong}, and its vertices are 0 to {vertices - 1}.")
    return flat.astype(np.int64).reshape(-1, 3)
