"""Draws texture coordinates of scenes by OpenGL, for the tests of the z-buffer.

    python -m parity_tests.misc.make_references

writes `reference_outputs/meshes/opengl.npz`, float32 [height, width, 4] for each scene, and the driver's name into
`opengl.json`. Needs EGL, for example Mesa's (the Debian packages libegl1 and libgl1-mesa-dri).
"""

from __future__ import annotations

import functools
import json
from pathlib import Path

import numpy as np

from lucid_port.misc.gl import egl
from lucid_port.misc.gl.meshutil import sample_view, torus
from parity_tests.misc.mesh_pixels import Scene

FOLDER = Path(__file__).resolve().parents[2] / "reference_outputs" / "meshes"
VIEWS = 3
NEAR = 3.0


@functools.cache
def scenes() -> dict[str, Scene]:
    """Views of a ring from far and from near, where the perspective is strong, and of flat and small triangles."""
    random = np.random.default_rng(0)
    made = {f"ring-{n}": Scene(torus(24, 16), sample_view(11, 13, random), (81, 59)) for n in range(VIEWS)}
    made["fine-ring"] = Scene(torus(120, 90), sample_view(11, 13, random), (97, 64))
    made["near"] = Scene(torus(24, 16), sample_view(NEAR, NEAR, random), (64, 71))
    position = random.normal(size=(60, 3)).astype(np.float32)
    soup = {"position": position, "uv": random.uniform(size=(60, 2)).astype(np.float32), "face": np.arange(60)}
    made["triangles"] = Scene(soup, sample_view(11, 13, random), (65, 65))
    return made


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    np.savez_compressed(FOLDER / "opengl.npz", **{name: scene.render("egl") for name, scene in scenes().items()})
    about = {"renderer": egl.target_of(*next(iter(scenes().values())).size).name}
    (FOLDER / "opengl.json").write_text(json.dumps(about, indent=1) + "\n")


if __name__ == "__main__":
    main()
