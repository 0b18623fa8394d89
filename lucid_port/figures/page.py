"""A figure as a self-contained HTML page, with a layout like that of the articles."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from lucid_port import __version__
from lucid_port.figures.base import ARTICLES, Figure, Panel, Result
from lucid_port.misc.io.serialize_array import normalize_array
from lucid_port.misc.templates import data_url, render

__all__ = ["page"]

JPEG_FROM = 160 * 160  # pixels from which an opaque picture is stored as JPEG


def page(figure: Figure, result: Result, facts: Mapping[str, Any], command: str, own_picture: bool = False) -> str:
    """The HTML of a figure's page.

    Args:
        figure: the figure.
        result: its panels.
        facts: settings with which it was made, by name.
        command: the command line that makes it.
        own_picture: whether it starts from the user's picture.
    """
    return render(
        "figure.html",
        figure=figure,
        article=ARTICLES[figure.article],
        panels=[_panel(panel) for panel in result.panels if len(panel.pictures)],
        facts=facts,
        command=command,
        own_picture=own_picture,
        version=__version__,
    )


def _panel(panel: Panel) -> dict[str, Any]:
    captions = [*panel.captions, *[""] * len(panel.pictures)]
    return {
        "title": panel.title,
        "columns": panel.columns or len(panel.pictures),
        "widest": max(picture.shape[1] for picture in panel.pictures) * panel.scale,
        "pixelated": panel.scale > 1,
        "pictures": [
            {
                "url": _encoded(picture),
                "width": picture.shape[1] * panel.scale,
                "height": picture.shape[0] * panel.scale,
                "caption": caption,
            }
            for picture, caption in zip(panel.pictures, captions, strict=False)
        ],
    }


def _encoded(picture: np.ndarray) -> str:
    image = Image.fromarray(normalize_array(picture, (0, 1)))
    buffer = io.BytesIO()
    large = image.width * image.height >= JPEG_FROM and image.mode == "RGB"
    image.save(buffer, "JPEG" if large else "PNG", **({"quality": 90} if large else {}))
    return data_url(buffer.getvalue(), "jpeg" if large else "png")
