"""What figures draw on pictures: where something is, how much of it, and which part is meant."""

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
"""For up to ten things in one picture; they repeat after that."""

PALE = 0.75  # how near to white a picture is drawn on which something else is shown
TINT = 0.65  # of the colour where there is most of it


def heat(picture: np.ndarray, maps: Sequence[np.ndarray], colours: Sequence[Colour] = (FOR,)) -> np.ndarray:
    """A pale picture, coloured where maps are high.

    Args:
        picture: [H, W, 3] in [0, 1].
        maps: [h, w] each, in [0, 1]; h and w are any.
        colours: one for each map; they repeat.

    Returns:
        [H, W, 3] in [0, 1].
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
    """A pale picture, orange where values [h, w] are above 0 and blue where they are below, by the largest."""
    scaled = values / max(float(np.abs(values).max()), 1e-12)
    return heat(picture, [scaled.clip(0), -scaled.clip(None, 0)], [FOR, AGAINST])


def enlarged(values: np.ndarray, size: Sequence[int], smooth: bool = True) -> np.ndarray:
    """A map [h, w] in [0, 1] at another size, smooth between its values or in squares."""
    how = Image.Resampling.BICUBIC if smooth else Image.Resampling.NEAREST
    image = Image.fromarray(np.ascontiguousarray(values, np.float32)).resize((size[1], size[0]), how)
    return np.asarray(image).clip(0, 1)


def repeated(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture of few pixels, each repeated so often that it comes near a size (never beyond it, but for one each)."""
    rows, columns = max(1, height // picture.shape[0]), max(1, width // picture.shape[1])
    return np.repeat(np.repeat(picture, rows, 0), columns, 1)


def outlined(
    picture: np.ndarray, places: Iterable[Sequence[int]], grid: Sequence[int], colours: Sequence[Colour] = COLOURS
) -> np.ndarray:
    """A picture with frames around some places.

    Args:
        picture: [H, W, 3] in [0, 1].
        places: (row, column) of a grid over the picture.
        grid: its rows and columns.
        colours: one for each place; they repeat.
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
    """What is seen at a place of a grid over a picture and around it, [size, size, 3].

    Args:
        around: how many places more on each side, as far as the picture goes.
    """
    (top, bottom), (left, right) = (
        _span(at, n, side, around) for at, n, side in zip(place, grid, picture.shape, strict=False)
    )
    return load_image(picture[top:bottom, left:right], size)


def bars(shares: Sequence[tuple[str, float]], width: int, marked: str = "") -> np.ndarray:
    """A table of names and percentages, each on a bar as long as it is large, [16 * rows, width, 3].

    Args:
        shares: (name, part of 1) of each row.
        width: in pixels.
        marked: the name whose bar is coloured.
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
    """First pixel and the one after the last of a place, and of some around it; at least 4 pixels."""
    first, last = max(0, round((at - around) * side / count)), min(side, round((at + 1 + around) * side / count))
    return min(first, max(0, side - 4)), max(last, min(first + 4, side))
