"""Meshes of this package, computed from formulas."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from converters import checks
from converters.signatures import checked
from lucid_port.misc.gl.mesh import Mesh

__all__ = ["SHAPES", "torus"]


@checked
def torus(around: int = 96, across: int = 64, radius: float = 0.62) -> Mesh:
    """Returns a ring whose texture coordinates cover the texture once, without gaps.

    The texture's left and right edges meet, and so do its upper and lower ones. `bilinearly_sampled_image` wraps around
    at these edges.

    Args:
        around: Number of segments of the ring, from 3 on.
        across: Number of segments of its cross-section, from 3 on.
        radius: Radius of the circle through the middle of the tube, between 0.5 and 1; the tube reaches up to 1.

    Returns:
        The mesh in the x-y plane, with coordinates in [-1, 1].

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> ring = torus(4, 3)
        >>> ring["position"].shape, ring["face"].shape, float(abs(ring["position"]).max())
        ((20, 3), (72,), 1.0)
    """
    counts = checks.whole(around, "torus's around", 3), checks.whole(across, "torus's across", 3)
    if not 0.5 <= radius < 1:
        raise ValueError(f"torus's radius is a number from 0.5 on and below 1, not {radius}.")
    # The first vertices of each circle are there twice, because their texture coordinates are 0 and 1.
    u, v = np.meshgrid(*(np.linspace(0, 1, count + 1) for count in counts), indexing="ij")
    long, short = (2 * np.pi * (share % 1) for share in (u, v))
    reach = radius + (1 - radius) * np.cos(short)
    position = np.stack([reach * np.cos(long), reach * np.sin(long), (1 - radius) * np.sin(short)], -1)
    normal = np.stack([np.cos(short) * np.cos(long), np.cos(short) * np.sin(long), np.sin(short)], -1)
    rows, columns = np.meshgrid(*(np.arange(count) for count in counts), indexing="ij")
    low = rows * (counts[1] + 1) + columns
    high = low + counts[1] + 1
    faces = np.stack([low, high, high + 1, low, high + 1, low + 1], -1)
    return {
        "position": position.reshape(-1, 3).astype(np.float32),
        "uv": np.stack([u, v], -1).reshape(-1, 2).astype(np.float32),
        "normal": normal.reshape(-1, 3).astype(np.float32),
        "face": faces.reshape(-1).astype(np.int32),
    }


SHAPES: dict[str, Callable[[], Mesh]] = {"torus": torus}
"""Meshes of this package by name."""
