"""Renders the texture coordinates of meshes: by OpenGL where EGL is there, else by a z-buffer in torch.

Both backends give the same coordinates, up to some thousandths of a pixel, and differ in pixels on the edges of
triangles. The z-buffer runs everywhere. `backends` tells which are here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.misc.gl import egl
from lucid_port.misc.gl.cameras import perspective
from lucid_port.misc.gl.mesh import CheckedMesh, check_mesh
from lucid_port.misc.gl.zbuffer import rasterize
from lucid_port.misc.tensors import as_tensor

__all__ = ["BACKENDS", "MeshRenderer", "backends", "find_backend"]


BACKENDS = ("egl", "torch")
"""Names of the backends; the first that is here is the default."""


class _Scene(NamedTuple):
    """A mesh and its camera.

    Attributes:
        mesh: The mesh.
        projection: float64 [4, 4], from positions to clip space, for column vectors.
        near, far: Limits of the depth.
        size: (width, height) in pixels.
        clear_color: float32 [4].
        device: Device of the z-buffer.
    """

    mesh: CheckedMesh
    projection: np.ndarray
    near: float
    far: float
    size: tuple[int, int]
    clear_color: np.ndarray
    device: torch.device


def _draw_by_egl(scene: _Scene) -> torch.Tensor:
    target = egl.target_of(*scene.size)
    drawn = target.draw(scene.mesh, scene.projection.astype(np.float32), scene.clear_color)
    return as_tensor(drawn).to(scene.device)


def _draw_by_torch(scene: _Scene) -> torch.Tensor:
    width, height = scene.size
    device = scene.device
    place = torch.device("cpu") if device.type == "mps" else device  # which has no float64
    position = np.pad(scene.mesh.position.astype(np.float64), ((0, 0), (0, 1)), constant_values=1)
    clip = as_tensor(position @ scene.projection.T).to(place)
    triangles = as_tensor(scene.mesh.triangles).to(place)
    found = rasterize(clip, triangles, width, height, scene.near, scene.far)
    corners = as_tensor(scene.mesh.uv).to(place)[triangles[found.triangles]].double()
    picture = as_tensor(scene.clear_color).to(place).repeat(width * height, 1)
    picture[found.pixels] = (found.weights[..., None] * corners).sum(1).float()
    return picture.reshape(height, width, 4).to(device)


_DRAW: dict[str, Callable[[_Scene], torch.Tensor]] = dict(zip(BACKENDS, (_draw_by_egl, _draw_by_torch), strict=True))


def backends() -> tuple[str, ...]:
    """Returns the names of the backends that can be used here, the default first.

    Example:
        >>> "torch" in backends()
        True
    """
    return BACKENDS[1:] if egl.obstacle() else BACKENDS


@checked
def find_backend(name: str | None = None) -> str:
    """Returns the name of a backend after a check that it can be used here, or the name of the default.

    Args:
        name: "egl" for OpenGL by EGL, "torch" for the z-buffer; by default the first of these that is here.

    Raises:
        ValueError: There is no such backend, or EGL cannot be opened here.

    Example:
        >>> find_backend("torch")
        'torch'
    """
    if name is None:
        return backends()[0]
    checks.choice(name, "backend", BACKENDS)
    if name == "egl" and egl.obstacle():
        raise ValueError(f"{egl.obstacle().rstrip('.')}; choose the backend 'torch'.")
    return name


class MeshRenderer:
    """Renders the texture coordinates of meshes.

    Args:
        size: (width, height) of the picture in pixels.
        backend: See `find_backend`.
        device: Device on which the z-buffer computes.

    Attributes:
        size: The argument.
        backend: Name of the backend, "egl" or "torch".
        fovy: Vertical field of view in degrees.
        aspect: Width divided by height.
        znear, zfar: Distances of the near and the far plane.

    Raises:
        TypeError, ValueError: The size is not two whole numbers from 1 on, or the backend cannot be used here.

    Example:
        >>> from lucid_port.misc.gl.meshutil import lookat, torus
        >>> ring = torus()
        >>> renderer = MeshRenderer((96, 64), backend="torch")
        >>> uv = renderer.render_mesh(ring["position"], ring["uv"], ring["face"], modelview=lookat([0, 0, 14]))
        >>> uv.shape, uv[32, 48].tolist(), bool(uv[32, 24, 3] == 1)  # background in the middle, the ring beside it
        ((64, 96, 4), [0.0, 0.0, 0.0, 0.0], True)
    """

    @checked
    def __init__(
        self,
        size: Sequence[int],
        backend: str | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        width, height = checks.sizes(size, "MeshRenderer's size", 2)
        self.size = (width, height)
        self.backend = find_backend(backend)
        self.fovy = 10.0
        self.aspect = width / height
        self.znear, self.zfar = 0.01, 100.0
        self._device = torch.device(device)

    @checked
    def render_mesh(
        self,
        position: np.ndarray,
        uv: np.ndarray,
        face: np.ndarray | None = None,
        clear_color: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
        modelview: np.ndarray | None = None,
    ) -> np.ndarray:
        """Returns the texture coordinates at the middle of each pixel.

        Args:
            position: [V, 3].
            uv: [V, 2], [V, 3] or [V, 4]; missing components are 0, 0, 0 and 1.
            face: Vertices of triangles, three for each; by default, each three vertices are a triangle. Triangles are
                visible from both sides.
            clear_color: Four numbers, the values of pixels that show no triangle.
            modelview: Matrix [4, 4] from the mesh's coordinates to those of the camera, for column vectors; the
                identity by default. See `meshutil.lookat`.

        Returns:
            float32 [height, width, 4], row 0 at the top: u, v, 0 and 1 for a `uv` of two components.

        Raises:
            TypeError, ValueError: The mesh cannot be rendered, see `meshutil.check_mesh`, or another argument has the
                wrong shape.
        """
        mesh = {"position": position, "uv": uv} | ({} if face is None else {"face": face})
        return self.draw(check_mesh(mesh), modelview, clear_color).cpu().numpy()

    @checked
    def draw(
        self,
        mesh: CheckedMesh,
        modelview: np.ndarray | None = None,
        clear_color: Sequence[float] = (0.0, 0.0, 0.0, 0.0),
    ) -> torch.Tensor:
        """Returns the texture coordinates of a checked mesh on the renderer's device; see `render_mesh`.

        Raises:
            TypeError, ValueError: An argument has another type or shape.
        """
        if not isinstance(mesh, CheckedMesh):
            raise TypeError(f"draw takes a mesh that check_mesh has returned, not {checks.shown(mesh)}.")
        checks.finite_values(clear_color, "clear_color")
        background = np.asarray(clear_color, np.float32)
        if background.shape != (4,):
            raise ValueError(f"clear_color is four numbers, not {checks.shown(clear_color)}.")
        if modelview is not None:
            checks.finite_values(modelview, "modelview")
        view = np.eye(4) if modelview is None else np.asarray(modelview, np.float64)
        if view.shape != (4, 4):
            raise ValueError(f"modelview is a matrix of shape [4, 4], not {checks.shown(modelview)}.")
        projection = perspective(self.fovy, self.aspect, self.znear, self.zfar).T.astype(np.float64) @ view
        scene = _Scene(mesh, projection, self.znear, self.zfar, self.size, background, self._device)
        return _DRAW[self.backend](scene)
