"""Geometry of the charts on pages, as coordinates of SVG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lucid_port.inspection.weights import WeightHistogram
from lucid_port.microscope.site import charts

__all__ = ["Chart", "Dot", "histogram_path", "line_chart", "number"]

WIDTH, HEIGHT = 360, 200
LEFT, RIGHT, TOP, BOTTOM = 46, 8, 10, 22
"""Margins around the plot."""

MOST_TICKS, MOST_LABELS = 5, 14


SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def number(value: float | None) -> str:
    """Returns a number for people, as on the pages of the Microscope, without the letter e.

    Example:
        >>> number(12.3456), number(-0.5), number(7.38e-06), number(None)
        ('12.3', '−0.5', '7.38 × 10⁻⁶', '–')
    """
    digits, letter, exponent = charts.number(value).partition("e")
    if not letter:
        return digits
    return f"{digits} × 10{str(int(exponent.replace('−', '-'))).translate(SUPERSCRIPTS)}"


@dataclass(frozen=True)
class Dot:
    """A value of a layer.

    Attributes:
        x, y: its place.
        layer: index of the layer.
        text: the value for people.
    """

    x: float
    y: float
    layer: int
    text: str


@dataclass(frozen=True)
class Chart:
    """Lines along the layers.

    Attributes:
        title: its heading.
        lines: name -> (path, dots).
        ticks: (y, text) of the horizontal lines.
        labels: (x, text) below the layers.
    """

    title: str
    lines: Mapping[str, tuple[str, Sequence[Dot]]]
    ticks: Sequence[tuple[float, str]]
    labels: Sequence[tuple[float, str]]


def line_chart(title: str, series: Mapping[str, Sequence[float | None]], kind: str = "log") -> Chart | None:
    """Draws series of values along the layers.

    Args:
        title: the heading.
        series: name -> the value of each layer; None for layers without one.
        kind: "log" for an axis of powers of ten, which leaves out values that are not above 0, or "share" for an axis
            from 0 to 1.

    Returns:
        The chart; None if there is no value to draw.

    Example:
        >>> chart = line_chart("Scale", {"mean": [1.0, 10.0, None]})
        >>> chart.lines["mean"][0], [text for _, text in chart.ticks]
        ('M46,178L199,10', ['1', '10'])
    """
    known = [value for values in series.values() for value in values if _is_shown(value, kind)]
    if not known:
        return None
    places = [math.log10(value) if kind == "log" else value for value in known if value is not None]
    low, high = (math.floor(min(places)), math.ceil(max(places))) if kind == "log" else (0, 1)
    high = max(high, low + 1)
    count = max(map(len, series.values()))

    def x(layer: int) -> float:
        return round(LEFT + layer / max(1, count - 1) * (WIDTH - LEFT - RIGHT), 1)

    def y(place: float) -> float:
        return round(HEIGHT - BOTTOM - (place - low) / (high - low) * (HEIGHT - TOP - BOTTOM), 1)

    lines = {}
    for name, values in series.items():
        dots, path, is_down = [], "", False
        for layer, value in enumerate(values):
            if value is None or not _is_shown(value, kind):
                is_down = False
                continue
            dot = Dot(x(layer), y(math.log10(value) if kind == "log" else value), layer, _text(value, kind))
            path += f"{'L' if is_down else 'M'}{dot.x:g},{dot.y:g}"
            dots.append(dot)
            is_down = True
        lines[name] = path, dots
    step = math.ceil(count / MOST_LABELS)
    labels = [(x(layer), str(layer + 1)) for layer in range(0, count, step)]
    return Chart(title, lines, [(y(place), text) for place, text in _ticks(low, high, kind)], labels)


def _is_shown(value: float | None, kind: str) -> bool:
    return value is not None and math.isfinite(value) and (value > 0 or kind == "share")


def _text(value: float, kind: str) -> str:
    return f"{value:.1%}" if kind == "share" else number(value)


def _ticks(low: int, high: int, kind: str) -> list[tuple[float, str]]:
    if kind == "share":
        return [(place / 4, f"{place / 4:.0%}") for place in range(5)]
    step = math.ceil((high - low) / MOST_TICKS)
    return [(place, _power(place)) for place in range(low, high + 1, step)]


def _power(exponent: int) -> str:
    """Returns a power of ten for people."""
    if -4 < exponent < 5:
        return f"{10.0**exponent:,.{max(0, -exponent)}f}"
    return f"10{str(exponent).translate(SUPERSCRIPTS)}"


def histogram_path(found: WeightHistogram, width: float, height: float) -> str:
    """Returns a histogram as the outline of one area.

    Example:
        >>> import numpy as np
        >>> found = WeightHistogram("a", (3,), np.array([1, 2]), np.array([-1.0, 0, 1]), 0, 1, 0, 0)
        >>> histogram_path(found, 80, 10)
        'M0,10V5H40V0H80V10Z'
    """
    most = max(1, int(found.counts.max(initial=0)))
    step = width / len(found.counts)
    path = f"M0,{height:g}"
    for at, count in enumerate(found.counts.tolist()):
        path += f"V{round(height - count / most * height, 1):g}H{round((at + 1) * step, 1):g}"
    return f"{path}V{height:g}Z"
