"""Matplotlib figures as arrays."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

__all__ = ["matplotlib_to_numpy"]


def matplotlib_to_numpy(plt: Any) -> np.ndarray:
    """A figure (or `pyplot`) as an RGBA array [H, W, 4], float64 in [0, 1]."""
    buffer = io.BytesIO()
    plt.savefig(buffer, format="png")
    with Image.open(buffer) as picture:
        return np.asarray(picture) / 255.0
