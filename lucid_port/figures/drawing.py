"""Drawing on pictures: heat maps, frames around positions, crops, and bar charts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lucid_port.recipes.inputs import load_image

__all__ = ["AGAINST", "COLOURS", "FOR", "bars", "enlarged", "heat", "outlined", "part", "two_sided"]

Colour = tuple[float, float, float]

FOR: Colour = (0.93, 0.45, 0.10)
AGAINST: Colour = (0.10, 0.38, 0.80)
COLOURS: tuple[Colour, ...] = (
    (0.89, 0.10, 0.11),
    (0.22, 0.49, 0.72),
    (0.30, 0.69, 0.29),
    (0.60, 0.31, 0.64),
    (1.00, 0.50, 0.00),
    (0.00, 0.70, 0.70),
    (0.65, 0.34, 0.16),
    (0.97, 0.51, 0.75),
    (0.50, 0.50, 0.00),
    (0.35, 0.35, 0.35),
)
"""Colors of up to ten items in one picture; they repeat after that."""

PALE = 0.75  # share of white in a picture under a heat map
TINT = 0.65  # share of the color where a map is 1


def heat(picture: np.ndarray, maps: Sequence[np.ndarray], colours: Sequence[Colour] = (FOR,)) -> np.ndarray:
    """Overlays maps on a pale gray picture, each in its color.

    Args:
        picture: [H, W, 3] in [0, 1].
        maps: [h, w] each, in [0, 1], of any size.
        colours: one for each map; they repeat.

    Returns:
        float32 [H, W, 3] in [0, 1].
    """
    grey = picture.mean(-1, keepdims=True).repeat(3, -1)
    base = grey * (1 - PALE) + PALE
    strengths = [enlarged(one, picture.shape[:2])[..., None] for one in maps]
    weights = [np.asarray(colours[number % len(colours)], np.float32) for number in range(len(maps))]
    total = sum(strengths)
    tint = sum(
        strength * (TINT * colour + (1 - TINT) * grey) for strength, colour in zip(strengths, weights, strict=True)
    )
    cover = np.minimum(total, 1)
    shown = base * (1 - cover) + cover * tint / np.maximum(total, 1e-12)
    return shown.clip(0, 1).astype(np.float32)


def two_sided(picture: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Overlays values [h, w] on a pale picture, orange above 0 and blue below, relative to the largest magnitude."""
    scaled = values / max(float(np.abs(values).max(initial=0)), 1e-12)
    return heat(picture, [scaled.clip(0), -scaled.clip(None, 0)], [FOR, AGAINST])


def enlarged(values: np.ndarray, size: Sequence[int], smooth: bool = True) -> np.ndarray:
    """Resizes a map [h, w] in [0, 1], smoothly or by repeating values."""
    how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    image = Image.fromarray(np.ascontiguousarray(values, np.float32)).resize((size[1], size[0]), how)
    return np.asarray(image).clip(0, 1)


def repeated(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """Enlarges a picture by whole factors of at least 1, to the largest size within height and width."""
    rows, columns = max(1, height // picture.shape[0]), max(1, width // picture.shape[1])
    return np.repeat(np.repeat(picture, rows, 0), columns, 1)


def outlined(
    picture: np.ndarray, places: Iterable[Sequence[int]], grid: Sequence[int], colours: Sequence[Colour] = COLOURS
) -> np.ndarray:
    """Draws frames around cells of a grid over a picture.

    Args:
        picture: [H, W, 3] in [0, 1].
        places: (row, column) of each cell.
        grid: numbers of rows and columns.
        colours: one for each cell; they repeat.
    """
    result = picture.copy()
    for number, place in enumerate(places):
        (top, bottom), (left, right) = (
            _span(at, n, side) for at, n, side in zip(place, grid, picture.shape, strict=False)
        )
        colour = colours[number % len(colours)]
        for row in (top, top + 1, bottom - 2, bottom - 1):
            result[row, left:right] = colour
        for column in (left, left + 1, right - 2, right - 1):
            result[top:bottom, column] = colour
    return result


def part(picture: np.ndarray, place: Sequence[int], grid: Sequence[int], size: int, around: float = 1.0) -> np.ndarray:
    """Crops a cell of a grid over a picture, with its surroundings, [size, size, 3].

    Args:
        picture: [H, W, 3] in [0, 1].
        place: (row, column) of the cell.
        grid: numbers of rows and columns.
        size: height and width of the result in pixels.
        around: number of further cells on each side, within the picture.
    """
    (top, bottom), (left, right) = (
        _span(at, n, side, around) for at, n, side in zip(place, grid, picture.shape, strict=False)
    )
    return load_image(picture[top:bottom, left:right], size)


def bars(shares: Sequence[tuple[str, float]], width: int, marked: str = "") -> np.ndarray:
    """Draws a bar chart of names and percentages, [16 * rows, width, 3].

    Args:
        shares: (name, share in [0, 1]) of each row.
        width: in pixels.
        marked: the name whose bar is colored.
    """
    line, font = 16, ImageFont.load_default(11)
    table = Image.new("RGB", (width, line * len(shares)), (255, 255, 255))
    pen = ImageDraw.Draw(table)
    for row, (name, share) in enumerate(shares):
        colour = FOR if name == marked else (0.78, 0.78, 0.78)
        long, top = round(width * min(max(share, 0), 1)), row * line
        pale = tuple(round(255 * (0.5 + 0.5 * part)) for part in colour)
        pen.rectangle((0, top + 1, max(long, 1), top + line - 2), fill=pale)
        number = f"{100 * share:.1f} %"
        pen.text((3, top + 1), name, (34, 34, 34), font)
        pen.text((width - 3 - pen.textlength(number, font), top + 1), number, (34, 34, 34), font)
    return np.asarray(table, np.float32) / 255


def _span(at: int, count: int, side: int, around: float = 0.0) -> tuple[int, int]:
    """The first pixel and the pixel after the last of a cell, widened by `around` cells and to at least 4 pixels."""
    first, last = max(0, round((at - around) * side / count)), min(side, round((at + 1 + around) * side / count))
    return min(first, max(0, side - 4)), max(last, min(first + 4, side))
