"""Matplotlib figures as arrays."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from lucid_port.misc import checks

__all__ = ["matplotlib_to_numpy"]


def matplotlib_to_numpy(plt: Any) -> np.ndarray:
    """A figure (or `pyplot`) as an RGBA array [H, W, 4], float64 in [0, 1].

    Raises:
        TypeError: it is no figure.
    """
    if not hasattr(plt, "savefig"):
        raise TypeError(f"matplotlib_to_numpy takes a figure or pyplot, not {checks.shown(plt)}.")
    buffer = io.BytesIO()
    plt.savefig(buffer, format="png")
    with Image.open(buffer) as picture:
        return np.asarray(picture) / 255.0
