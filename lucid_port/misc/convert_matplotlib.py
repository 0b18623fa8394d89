"""Conversion of Matplotlib figures to arrays."""

from __future__ import annotations

import io
from typing import Any, Protocol

import numpy as np

from converters import checks
from lucid_port.misc.io.pictures import decode_picture

__all__ = ["matplotlib_to_numpy"]


class Figure(Protocol):
    """A Matplotlib figure, or `matplotlib.pyplot` for the current figure."""

    def savefig(self, fname: io.BytesIO, *, format: str) -> Any: ...


def matplotlib_to_numpy(plt: Figure) -> np.ndarray:
    """Renders a figure, or the current figure of `pyplot`, to an RGBA array.

    Returns:
        [H, W, 4] float64 in [0, 1].

    Raises:
        TypeError: `plt` has no `savefig`.
    """
    if not hasattr(plt, "savefig"):
        raise TypeError(f"matplotlib_to_numpy takes a figure or pyplot, not {checks.shown(plt)}.")
    buffer = io.BytesIO()
    plt.savefig(buffer, format="png")
    return np.asarray(decode_picture(buffer)) / 255.0
