"""A figure as a self-contained HTML page, with a layout like that of the articles."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from PIL import Image

from lucid_port import __version__
from lucid_port.figures.base import ARTICLES, Figure, Head, Panel, Result, Table
from lucid_port.figures.sheet import as_head
from lucid_port.misc.io.serialize_array import normalize_array
from lucid_port.misc.templates import data_url, render

__all__ = ["page"]

JPEG_FROM = 160 * 160  # pixels from which an opaque picture is stored as JPEG
EMPTY: dict[str, Any] = {"is_head": True, "framed": False, "text": "", "url": None}


def page(
    figure: Figure,
    result: Result,
    facts: Mapping[str, Any],
    command: str,
    own_picture: bool = False,
    files: Sequence[str] = (),
) -> str:
    """The HTML of a figure's page.

    Args:
        figure: the figure.
        result: its panels.
        facts: settings with which it was made, by name.
        command: the command line that makes it.
        own_picture: whether it starts from the user's picture.
        files: names of the figure's further files, which lie beside the page.
    """
    return render(
        "figure.html",
        figure=figure,
        article=ARTICLES[figure.article],
        panels=[_panel(panel) for panel in result.panels if len(panel.pictures)],
        facts=facts,
        command=command,
        own_picture=own_picture,
        files=files,
        version=__version__,
    )


def _panel(panel: Panel) -> dict[str, Any]:
    captions = [*panel.captions, *[""] * len(panel.pictures)]
    columns = panel.columns or len(panel.pictures)
    cells = [
        {**_shown(picture, panel.scale), "text": caption, "is_head": False, "framed": False}
        for picture, caption in zip(panel.pictures, captions, strict=False)
    ]
    return {
        "title": panel.title,
        "columns": columns,
        "widest": max(picture.shape[1] for picture in panel.pictures) * panel.scale,
        "pixelated": panel.scale > 1,
        "has_sides": isinstance(panel, Table) and bool(panel.sides),
        "cells": _with_heads(panel, cells, columns) if isinstance(panel, Table) else cells,
    }


def _with_heads(table: Table, cells: list[dict[str, Any]], columns: int) -> list[dict[str, Any]]:
    """The cells of a table with its heads, row by row."""
    cells = [{**cell, "framed": number in table.framed} for number, cell in enumerate(cells)]
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    sides = [_head(one) for one in table.sides]
    if table.heads:
        heads = [_head(one) for one in table.heads[:columns]]
        rows.insert(0, heads + [EMPTY] * (columns - len(heads)))
        sides.insert(0, EMPTY)
    if not table.sides:
        return [cell for row in rows for cell in row]
    sides += [EMPTY] * (len(rows) - len(sides))
    return [cell for side, row in zip(sides, rows, strict=False) for cell in (side, *row)]


def _head(one: str | Head) -> dict[str, Any]:
    head = as_head(one)
    return {**EMPTY, "text": head.text, **({} if head.picture is None else _shown(head.picture, 1))}


def _shown(picture: np.ndarray, scale: int) -> dict[str, Any]:
    return {"url": _encoded(picture), "width": picture.shape[1] * scale, "height": picture.shape[0] * scale}


def _encoded(picture: np.ndarray) -> str:
    image = Image.fromarray(normalize_array(picture, (0, 1)))
    buffer = io.BytesIO()
    large = image.width * image.height >= JPEG_FROM and image.mode == "RGB"
    image.save(buffer, "JPEG" if large else "PNG", **({"quality": 90} if large else {}))
    return data_url(buffer.getvalue(), "jpeg" if large else "png")
