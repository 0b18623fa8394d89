"""A transform from textures to views of a mesh: a render with it optimizes the texture of the mesh.

Mordvintsev, Pezzotti, Schubert, Olah: Differentiable Image Parameterizations (Distill, 2018), section "Efficient
Texture Optimization through 3D Rendering". Each step renders the mesh from a random direction, and samples the texture
there. Gradients flow to the texture.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, TypeAlias

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.misc.gl.cameras import distances, homotrans, view_from
from lucid_port.misc.gl.files import READ, load_mesh
from lucid_port.misc.gl.glrenderer import MeshRenderer, find_backend
from lucid_port.misc.gl.mesh import CheckedMesh, Mesh, check_mesh, normalize_mesh
from lucid_port.misc.gl.shapes import SHAPES
from lucid_port.optvis import serialization
from lucid_port.optvis.param.spatial import bilinearly_sampled_image
from lucid_port.optvis.sampling import RandomSource
from lucid_port.optvis.transform import Params, Shape, Transform

__all__ = ["as_mesh", "mesh_view"]

MeshLike: TypeAlias = str | os.PathLike[str] | Mapping[str, np.ndarray]
"""The name of a mesh of this package, the path of a file, or a mesh; see `as_mesh`."""

DIRECTIONS = [one for one in itertools.product((-1.0, 0.0, 1.0), repeat=3) if any(one)]
"""Directions from which a mesh has to be in view."""

LOOK = 32
"""Height and width of the picture that shows whether a mesh is in view."""


@checked
def as_mesh(mesh: MeshLike) -> Mesh:
    """Returns a mesh by its name, or from a file.

    Args:
        mesh: "torus", the path of a file, see `load_mesh`, whose mesh is moved and scaled by `normalize_mesh`, or
            a mesh, which stays as it is.

    Raises:
        FileNotFoundError, OSError: The file cannot be read.
        TypeError, ValueError: The name is unknown, the file holds no mesh, or the mesh cannot be rendered with a
            texture; see `check_mesh`.
        converters.MissingPackageError: trimesh is needed for the file, and is not installed.

    Example:
        >>> sorted(as_mesh("torus"))
        ['face', 'normal', 'position', 'uv']
    """
    if isinstance(mesh, str) and mesh in SHAPES:
        return SHAPES[mesh]()
    if isinstance(mesh, (str, os.PathLike)):
        if isinstance(mesh, str) and not mesh.lower().endswith(READ):
            raise ValueError(
                f"mesh is {', '.join(map(repr, SHAPES))}, or a file that ends in {', '.join(READ)}, not {mesh!r}."
            )
        made = normalize_mesh(load_mesh(mesh))
    else:
        made = dict(mesh) if isinstance(mesh, Mapping) else mesh
    check_mesh(made)
    return made


@dataclass(frozen=True, eq=False)
class MeshView(Transform):
    """Views of a mesh with the images as textures; see `mesh_view`."""

    kind: ClassVar[str] = "mesh_view"
    mesh: str | Mesh
    size: tuple[int, int]
    min_dist: float
    max_dist: float
    backend: str

    __eq__ = object.__eq__  # arrays of meshes are not compared
    __hash__ = object.__hash__

    @cached_property
    def checked_mesh(self) -> CheckedMesh:
        """The arrays of the mesh."""
        return check_mesh(as_mesh(self.mesh))

    def make_params(self, source: RandomSource, shape: Shape) -> Params:
        images = source.images(shape[0])
        span = self.max_dist - self.min_dist
        places = (self.min_dist + span * source.uniform("distance", images=images)).tolist()
        eyes = source.normal("eye", 3, images=images).tolist()
        return (places, tuple(eyes)) if images is None else list(zip(places, map(tuple, eyes), strict=True))

    def apply(self, image: torch.Tensor, params: Params) -> torch.Tensor:
        if isinstance(params, list):
            return torch.cat([self.apply(image[k : k + 1], one) for k, one in enumerate(params)])
        distance, eye = params
        height, width = self.size
        renderer = MeshRenderer((width, height), self.backend, image.device)
        return sampled(image, renderer.draw(self.checked_mesh, view_from(eye, distance)))

    def output_shape(self, shape: Shape, params: Params) -> Shape:
        return (*shape[:2], *self.size)


def sampled(textures: torch.Tensor, coordinates: torch.Tensor) -> torch.Tensor:
    """Samples textures at the coordinates of a view, black where there is no mesh.

    Args:
        textures: (N, C, H, W).
        coordinates: [h, w, 4], as from `MeshRenderer`.

    Returns:
        (N, C, h, w).

    Raises:
        ValueError: The view shows no part of the mesh.
    """
    height, width = coordinates.shape[:2]
    places = (coordinates[..., 3] > 0.5).reshape(-1).nonzero()[:, 0]
    if not len(places):
        raise ValueError("A view shows no part of the mesh: normalize the mesh, or change the distances of the views.")
    uv = coordinates.reshape(-1, 4)[places, :2]
    black = textures.new_zeros(height * width, textures.shape[1])
    frames = [black.index_copy(0, places, bilinearly_sampled_image(one.movedim(0, -1), uv)) for one in textures]
    return torch.stack(frames).reshape(len(textures), height, width, -1).movedim(-1, 1)


@checked
def mesh_view(
    mesh: MeshLike = "torus",
    size: int | Sequence[int] = 512,
    min_dist: float = 11.0,
    max_dist: float = 13.0,
    backend: str | None = None,
) -> MeshView:
    """Shows images as the texture of a mesh, from a random direction in each step, before a black background.

    Args:
        mesh: See `as_mesh`.
        size: (height, width) of the view in pixels, or one number for both. The field of view is 10 degrees high.
        min_dist: Least distance of the camera from the origin.
        max_dist: Greatest distance.
        backend: "egl" or "torch", see `glrenderer.find_backend`. The transform keeps the one that is found by default,
            so that its recipe makes the same picture elsewhere.

    Raises:
        TypeError, ValueError: The mesh cannot be rendered with a texture, it is not in view from all sides at these
            distances, or another argument is out of range.

    Example:
        >>> views = mesh_view("torus", 48, backend="torch")
        >>> views(torch.rand(1, 3, 16, 16)).shape
        torch.Size([1, 3, 48, 48])
    """
    pair = (size, size) if isinstance(size, int) else size
    height, width = checks.sizes(pair, "mesh_view's size", 2)
    checks.fits((height, width, 4), "A view")
    near, far = distances(min_dist, max_dist)
    named = mesh if isinstance(mesh, str) and mesh in SHAPES else _kept(as_mesh(mesh))
    made = MeshView(named, (height, width), near, far, find_backend(backend))
    _check_in_view(made)
    return made


def _kept(mesh: Mesh) -> Mesh:
    """Returns the arrays that a render needs."""
    position, uv, triangles = check_mesh(mesh)
    return {"position": position, "uv": uv[:, :2].copy(), "face": triangles.reshape(-1).astype(np.int32)}


def _check_in_view(view: MeshView) -> None:
    """Checks that the mesh is in view from all sides, at both distances.

    Raises:
        ValueError: There is a side from which no part of the mesh is in view.
    """
    height, width = view.size
    renderer = MeshRenderer((max(1, LOOK * width // max(view.size)), max(1, LOOK * height // max(view.size))), "torch")
    limit = np.tan(np.radians(renderer.fovy / 2))
    for distance, direction in itertools.product({view.min_dist, view.max_dist}, DIRECTIONS):
        modelview = view_from(direction, distance)
        x, y, depth, _ = (homotrans(modelview, view.checked_mesh.position) * [1, 1, -1, 1]).T
        seen = (depth > renderer.znear) & (abs(y) < limit * depth) & (abs(x) < limit * renderer.aspect * depth)
        if not (seen & (depth < renderer.zfar)).any() and not renderer.draw(view.checked_mesh, modelview)[..., 3].any():
            raise ValueError(
                f"The mesh is not in view at a distance of {distance:g} from {direction}: normalize the mesh, or "
                "change min_dist and max_dist."
            )


serialization.register("transform", "mesh_view", mesh_view)
