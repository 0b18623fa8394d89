"""Texture coordinates of single triangles, pixel by pixel in NumPy, and distances between renders in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lucid_port.misc.gl.glrenderer import MeshRenderer
from lucid_port.misc.gl.mesh import check_mesh
from lucid_port.misc.gl.meshutil import perspective

Mesh = dict[str, np.ndarray]


def with_numbers(mesh: Mesh) -> Mesh:
    """The mesh with three vertices for each triangle, and the triangle's number as third texture coordinate."""
    position, uv, triangles = check_mesh(mesh)
    numbers = np.repeat(np.arange(len(triangles), dtype=np.float32), 3)[:, None]
    return {
        "position": position[triangles].reshape(-1, 3),
        "uv": np.hstack([uv[triangles].reshape(-1, 4)[:, :2], numbers]),
    }


@dataclass(frozen=True)
class Scene:
    """A mesh, a camera and a size (width, height)."""

    mesh: Mesh
    view: np.ndarray
    size: tuple[int, int]

    def render(self, backend: str, **options: Any) -> np.ndarray:
        """[height, width, 4]: u, v, the triangle's number, and 1 where there is one."""
        renderer = MeshRenderer(self.size, backend)
        return renderer.render_mesh(**with_numbers(self.mesh), modelview=self.view, **options)

    def coordinates(self, triangles: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Texture coordinates [P, 2] of the planes of triangles at points of the picture.

        The ray through a point of the picture meets the plane of a triangle; solved for each point by itself.

        Args:
            triangles: numbers of triangles [P].
            x, y: points in pixels [P], from the left upper corner.
        """
        width, height = self.size
        renderer = MeshRenderer(self.size, "torch")
        slope = np.tan(np.radians(renderer.fovy / 2))
        rays = np.stack(
            [(2 * x / width - 1) * slope * width / height, (1 - 2 * y / height) * slope, -np.ones_like(x)], -1
        )
        position, uv, corners = check_mesh(self.mesh)
        view = self.view.astype(np.float64)
        seen = (position.astype(np.float64) @ view[:3, :3].T + view[:3, 3])[corners[triangles]]
        # ray * t = first + a * (second - first) + b * (third - first)
        edges = np.stack([rays, seen[:, 0] - seen[:, 1], seen[:, 0] - seen[:, 2]], -1)
        _, a, b = np.linalg.solve(edges, seen[:, 0][..., None])[..., 0].T
        own = uv[corners[triangles]][..., :2].astype(np.float64)
        return own[:, 0] + a[:, None] * (own[:, 1] - own[:, 0]) + b[:, None] * (own[:, 2] - own[:, 0])

    def projection(self) -> np.ndarray:
        """The matrix from positions to clip space, for column vectors."""
        renderer = MeshRenderer(self.size, "torch")
        matrix = perspective(renderer.fovy, renderer.aspect, renderer.znear, renderer.zfar)
        return matrix.T.astype(np.float64) @ self.view


def pixel_distances(scene: Scene, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Distances between the texture coordinates of two renders, in pixels of the picture.

    Only pixels in which both show the same triangle count. A difference of texture coordinates becomes one in pixels by
    the derivatives of the triangle's texture coordinates.
    """
    rows, columns = np.nonzero((one[..., 3] > 0.5) & (other[..., 3] > 0.5) & (abs(one[..., 2] - other[..., 2]) < 0.5))
    triangles = one[rows, columns, 2].round().astype(int)
    x, y = columns + 0.5, rows + 0.5
    steps = [
        scene.coordinates(triangles, x + dx, y + dy) - scene.coordinates(triangles, x - dx, y - dy)
        for dx, dy in ((0.25, 0), (0, 0.25))
    ]
    derivatives = np.stack(steps, -1) / 0.5
    difference = one[rows, columns, :2].astype(np.float64) - other[rows, columns, :2]
    regular = abs(np.linalg.det(derivatives)) > 1e-9  # not where the texture is a line or a point
    found = np.linalg.solve(derivatives[regular], difference[regular][..., None])[..., 0]
    return np.sqrt((found**2).sum(-1))
