"""A renderer of texture coordinates by OpenGL, without a window: EGL of a GPU's driver or of Mesa, through moderngl."""

from __future__ import annotations

import contextlib
import functools
import importlib
import threading
from typing import Any

import numpy as np

from converters.errors import MissingPackageError, reason
from lucid_port.misc.gl.mesh import CheckedMesh

__all__ = ["EglTarget", "obstacle", "target_of"]

VERTEX_SHADER = """
#version 330
uniform mat4 projection;
in vec3 position;
in vec4 coordinate;
out vec4 interpolated;
void main() {
    gl_Position = projection * vec4(position, 1.0);
    interpolated = coordinate;
}
"""

FRAGMENT_SHADER = """
#version 330
in vec4 interpolated;
out vec4 color;
void main() {
    color = interpolated;
}
"""


@functools.cache
def obstacle() -> str:
    """Returns the reason for which EGL cannot be used here, as a sentence; empty if it can."""
    try:
        _context().release()
    except MissingPackageError as error:
        return str(error)
    except Exception as error:  # moderngl and the driver raise errors of many classes
        return f"EGL cannot be opened on this machine: {reason(error)}."
    return ""


def _context() -> Any:
    try:
        import moderngl
    except ImportError:
        raise MissingPackageError("The backend 'egl' needs the package moderngl: pip install -e '.[mesh]'.") from None
    # Mesa's driver makes its LLVM visible to all libraries that are loaded later. Triton, which torch.compile needs,
    # has an LLVM of its own, and crashes when it is loaded after the driver.
    with contextlib.suppress(ImportError):
        importlib.import_module("triton")
    settings: dict[str, Any] = {"standalone": True, "require": 330, "backend": "egl"}
    return moderngl.create_context(**settings)


OPEN = 4
"""Maximum number of open contexts of a thread."""

_open = threading.local()  # a context belongs to the thread that made it


def target_of(width: int, height: int) -> EglTarget:
    """Returns a target of this size for this thread, which is opened at the first call."""
    targets: dict[tuple[int, int], EglTarget] = _open.__dict__.setdefault("targets", {})
    target = targets.pop((width, height), None) or EglTarget(width, height)
    targets[width, height] = target  # the most recent one is the last
    while len(targets) > OPEN:
        targets.pop(next(iter(targets))).close()
    return target


class EglTarget:
    """A context of OpenGL with a picture of float32 RGBA to draw into.

    Args:
        width, height: Size of the picture in pixels.

    Attributes:
        name: The name of the device, as its driver states it.
    """

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._context = context = _context()
        self.name = str(context.info["GL_RENDERER"])
        self._program = context.program(vertex_shader=VERTEX_SHADER, fragment_shader=FRAGMENT_SHADER)
        self._picture = context.renderbuffer(self._size, 4, dtype="f4")
        self._target = context.framebuffer([self._picture], context.depth_renderbuffer(self._size))

    def draw(self, mesh: CheckedMesh, projection: np.ndarray, clear_color: np.ndarray) -> np.ndarray:
        """Draws a mesh.

        Args:
            mesh: The mesh.
            projection: float32 [4, 4], for column vectors.
            clear_color: float32 [4], the value of pixels without a triangle.

        Returns:
            float32 [height, width, 4], row 0 at the top.
        """
        context = self._context
        with context:
            self._target.use()
            context.enable_only(context.DEPTH_TEST)
            self._target.clear(*clear_color.tolist(), depth=1.0)
            self._program["projection"].write(np.ascontiguousarray(projection.T, np.float32).tobytes())
            vertices = context.buffer(np.concatenate([mesh.position, mesh.uv], 1).astype(np.float32).tobytes())
            order = context.buffer(mesh.triangles.astype(np.int32).tobytes())
            drawn = context.vertex_array(self._program, [(vertices, "3f 4f", "position", "coordinate")], order)
            drawn.render(context.TRIANGLES)
            data = self._target.read(components=4, dtype="f4")
            for one in (drawn, order, vertices):
                one.release()
        width, height = self._size
        return np.frombuffer(data, np.float32).reshape(height, width, 4)[::-1].copy()

    def close(self) -> None:
        """Releases the context and all that it holds."""
        self._context.release()
