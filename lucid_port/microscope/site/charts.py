"""Geometry of the drawings on pages: paths and points of SVG, and kernels as small pictures."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np

from lucid_port.microscope.site.content import Curve, Histogram
from lucid_port.misc.templates import data_url

__all__ = ["bars", "curve_points", "kernel_picture", "number", "polar_points", "scale"]

EXCITE, INHIBIT = (214, 69, 65), (58, 116, 196)
"""Colors of positive and negative weights."""


def number(value: float | None) -> str:
    """Returns a number for people: three significant digits, a true minus sign, a dash if it is not known.

    Example:
        >>> number(12.3456), number(-0.5), number(1234.5), number(None)
        ('12.3', '−0.5', '1,234', '–')
    """
    if value is None or not math.isfinite(value):
        return "–"
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.3g}"
    return text.replace("-", "−")


def scale(value: float, low: float, high: float, length: float) -> float:
    """Returns a value's place on an axis from 0 to `length`, within the axis.

    Example:
        >>> scale(5.0, 0.0, 10.0, 200), scale(-1.0, 0.0, 10.0, 200)
        (100.0, 0.0)
    """
    return round(min(1.0, max(0.0, (value - low) / ((high - low) or 1.0))) * length, 2)


def bars(histogram: Histogram, low: float, high: float, width: float, height: float) -> str:
    """Returns a histogram as the data of one SVG path on an axis from `low` to `high`.

    A bin that is not empty is at least one unit high.

    Example:
        >>> bars(Histogram([1, 2], 0, 1), 0, 2, 80, 10)
        'M0,10V5H20V10ZM20,10V0H40V10Z'
    """
    most = max(histogram.counts, default=0) or 1
    step = (histogram.high - histogram.low) / max(1, len(histogram.counts))
    parts = []
    for at, count in enumerate(histogram.counts):
        if count:
            left = scale(histogram.low + at * step, low, high, width)
            right = scale(histogram.low + (at + 1) * step, low, high, width)
            right = max(right, left + 1)
            top = round(height - max(1.0, count / most * height), 1)
            parts.append(f"M{left:g},{height:g}V{top:g}H{right:g}V{height:g}Z")
    return "".join(parts)


def curve_points(curve: Curve, width: float, height: float) -> str:
    """Returns a curve as points of an SVG polyline; the greatest value is at the top, the least or 0 at the bottom.

    Example:
        >>> curve_points(Curve("radius", [0.0, 2.0, 1.0]), 100, 50)
        '0,50 50,0 100,25'
    """
    low, high = min(0.0, *curve.values), max(0.0, *curve.values)
    last = max(1, len(curve.values) - 1)
    spots = [(at / last * width, height - scale(one, low, high, height)) for at, one in enumerate(curve.values)]
    return " ".join(f"{x:.4g},{y:.4g}" for x, y in spots)


def polar_points(curve: Curve, radius: float) -> str:
    """Returns a curve as points of an SVG polygon around (0, 0); values below 0 are at the middle.

    Example:
        >>> polar_points(Curve("hue", [1.0, 1.0, 2.0, 0.0], polar=True), 10)
        '5,-0 0,-5 -10,-0 -0,0'
    """
    high = max(0.0, *curve.values) or 1.0
    turns = [at / len(curve.values) * 2 * math.pi for at in range(len(curve.values))]
    lengths = [max(0.0, one) / high * radius for one in curve.values]
    spots = [(round(r * math.cos(a), 1), round(-r * math.sin(a), 1)) for r, a in zip(lengths, turns, strict=True)]
    return " ".join(f"{x:g},{y:g}" for x, y in spots)


def kernel_picture(kernel: Sequence[Sequence[float | None]]) -> tuple[str, tuple[int, int]]:
    """Draws a kernel, one pixel a weight: red excites, blue inhibits, 0 is transparent.

    Returns:
        The picture's `data:` address, and the rows and columns of the kernel.
    """
    from PIL import Image

    weights = np.nan_to_num(np.array(kernel, np.float64))
    share = np.abs(weights) / (np.abs(weights).max() or 1)
    pixels = np.empty((*weights.shape, 4), np.uint8)
    pixels[..., :3] = np.where(weights[..., None] > 0, EXCITE, INHIBIT)
    pixels[..., 3] = np.rint(share * 255)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return data_url(buffer.getvalue(), "png"), (weights.shape[0], weights.shape[1])
