"""A figure as one picture: panels below each other, with captions in small type."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from lucid_port.figures.base import Panel
from lucid_port.misc.io.serialize_array import normalize_array
from lucid_port.misc.sheets import draw_grid, on_white, page

__all__ = ["compose"]


def compose(panels: Sequence[Panel]) -> np.ndarray:
    """Draws panels as one picture, uint8 [H, W, 3].

    Raises:
        ValueError: the panels have no pictures.
    """
    drawn = [_draw(panel) for panel in panels if len(panel.pictures)]
    if not drawn:
        raise ValueError("The figure has no pictures.")
    return np.asarray(page(drawn))


def _draw(panel: Panel) -> Image.Image:
    pictures = [on_white(Image.fromarray(normalize_array(one, (0, 1))), panel.scale) for one in panel.pictures]
    return draw_grid(pictures, panel.captions, panel.columns, panel.title)
