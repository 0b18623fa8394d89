"""HTML of results in notebooks: pictures with captions, curves and tables."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from lucid_port.misc.io.showing import cells_html, image_html
from lucid_port.misc.templates import render

__all__ = ["curve_html", "pictures_html", "table_html"]

ENLARGED = 2
"""Factor of a picture's width on the screen."""

MOST = 100
"""Pictures and rows that are shown; the size of a notebook's file grows with them."""


def pictures_html(pictures: Sequence[np.ndarray], captions: Sequence[str]) -> str:
    """Returns pictures [H, W, C] in [0, 1] at twice their size, each with its caption; at most 100.

    Captions without a picture are counted below as further pictures.

    Example:
        >>> pictures_html([np.zeros((4, 6, 3))], ["mixed4a:3"]).count("width: 12px")
        1
    """
    shown = pictures[:MOST]
    cells = [image_html(picture, ENLARGED * picture.shape[1], (0, 1)) for picture in shown]
    return cells_html(cells, captions[: len(shown)], len(captions) - len(shown))


def curve_html(values: Sequence[float] | np.ndarray, title: str) -> str:
    """Returns a curve of values over their indices behind a fold; empty for fewer than two finite values.

    Example:
        >>> "polyline" in curve_html([0.0, 2.0, 3.0], "objective"), curve_html([1.0], "objective")
        (True, '')
    """
    known = np.asarray(values, np.float64)
    finite = known[np.isfinite(known)]
    if finite.size < 2:
        return ""
    low, high = float(finite.min()), float(finite.max())
    span = (high - low) or 1.0
    at = np.unique(np.linspace(0, known.size - 1, 320).astype(int))
    points = [(320 * i / (known.size - 1), 104 - 88 * (known[i] - low) / span) for i in at if np.isfinite(known[i])]
    text = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return render("curve.html", title=title, points=text, top=f"{high:.4g}", bottom=f"{low:.4g}", last=f"{known.size}")


def table_html(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Returns a table, with at most 100 rows.

    Example:
        >>> table_html("Layers", ["name"], [["mixed4a"], ["mixed4b"]]).count("<tr")
        3
    """
    listed = [["" if cell is None else str(cell) for cell in row] for row in rows]
    more = len(listed) - MOST
    return render(
        "table.html",
        title=title,
        columns=columns,
        rows=listed[:MOST],
        more=f"and {more} more" if more > 0 else "",
    )
