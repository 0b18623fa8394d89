"""Diagrams: pictures, labels and arrows at places of a white sheet, and axes around a heat map."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from converters.signatures import checked
from lucid_port.misc.io.serialize_array import normalize_array
from lucid_port.misc.sheets import BACKGROUND, on_white

__all__ = ["Diagram", "beside", "with_axes"]

Point = tuple[float, float]
INK, FAINT, FRAME = (34, 34, 34), (110, 110, 110), (190, 190, 190)
FINE = 4  # arrows are drawn at this multiple of the size, and reduced
LINE, TEXT_SIZE, POINTER = 15, 12, 9


@checked
class Diagram:
    """A white sheet with pictures, texts and arrows. Arrows lie below the pictures.

    Args:
        width, height: in pixels.

    Example:
        >>> diagram = Diagram(100, 40)
        >>> diagram.picture(np.zeros((8, 8, 3)), (0, 0), 24, label="a part")
        >>> diagram.arrow((26, 12), (70, 12))
        >>> diagram.drawn().shape
        (40, 100, 3)
    """

    def __init__(self, width: int, height: int) -> None:
        self._size = (width, height)
        self._arrows = Image.new("RGB", (FINE * width, FINE * height), BACKGROUND)
        self._pictures: list[tuple[Image.Image, tuple[int, int], bool]] = []
        self._texts: list[tuple[Point, str, str, tuple[int, int, int]]] = []

    def picture(
        self,
        picture: np.ndarray,
        place: tuple[int, int],
        width: int,
        label: str = "",
        framed: bool = False,
        sharp: bool = False,
    ) -> None:
        """Places a picture.

        Args:
            picture: [H, W, C] in [0, 1].
            place: left and top, in pixels.
            width: width in pixels to which it is resized.
            label: text below its middle.
            framed: whether it has a faint frame.
            sharp: whether its pixels are repeated instead of interpolated.
        """
        image = on_white(Image.fromarray(normalize_array(picture, (0, 1))))
        size = (width, round(width * image.height / image.width))
        how = Image.Resampling.NEAREST if sharp else Image.Resampling.LANCZOS
        self._pictures.append((image if image.size == size else image.resize(size, how), place, framed))
        if label:
            self.text(label, (place[0] + width / 2, place[1] + size[1] + 2))

    def text(self, text: str, place: Point, align: str = "m", faint: bool = False) -> None:
        """Writes a line of text; `place` is its top, and its left (`align` "l"), middle ("m") or right ("r")."""
        self._texts.append((place, text, align, FAINT if faint else INK))

    def arrow(self, start: Point, end: Point, colour: tuple[int, int, int] = FRAME, thickness: float = 2.5) -> None:
        """Draws a straight arrow."""
        pen = ImageDraw.Draw(self._arrows)
        (x, y), (u, v) = ((FINE * one, FINE * other) for one, other in (start, end))
        long = max(math.hypot(u - x, v - y), 1e-9)
        along, head = ((u - x) / long, (v - y) / long), FINE * POINTER
        neck = (u - along[0] * head, v - along[1] * head)
        pen.line([(x, y), neck], colour, round(FINE * thickness))
        across = (-along[1] * head * 0.55, along[0] * head * 0.55)
        pen.polygon(
            [(u, v), (neck[0] + across[0], neck[1] + across[1]), (neck[0] - across[0], neck[1] - across[1])], colour
        )

    def drawn(self) -> np.ndarray:
        """The diagram as a picture, float32 [height, width, 3] in [0, 1]."""
        sheet = self._arrows.resize(self._size, Image.Resampling.LANCZOS)
        pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(TEXT_SIZE)
        for image, (left, top), framed in self._pictures:
            sheet.paste(image, (left, top))
            if framed:
                pen.rectangle((left - 1, top - 1, left + image.width, top + image.height), outline=FRAME)
        for (x, y), text, align, ink in self._texts:
            shift = {"l": 0.0, "m": 0.5, "r": 1.0}[align] * font.getlength(text)
            pen.text((round(x - shift), round(y)), text, ink, font)
        return np.asarray(sheet, np.float32) / 255


Ticks = Sequence[tuple[float, str]]


@checked
def with_axes(picture: np.ndarray, across: Ticks, down: Ticks, labels: tuple[str, str] = ("", "")) -> np.ndarray:
    """Draws axes around a heat map.

    Args:
        picture: [H, W, 3] in [0, 1].
        across, down: (place from 0 to 1, text) of each tick, below the picture and left of it.
        labels: names of the two axes, below the horizontal ticks and above the vertical ones.

    Returns:
        float32 [height, width, 3] in [0, 1].

    Example:
        >>> drawn = with_axes(np.zeros((40, 90, 3)), [(0, "0°"), (1, "360°")], [(0, "1"), (1, "9")])
        >>> drawn.shape[0] > 40 and drawn.shape[1] > 90
        True
    """
    font = ImageFont.load_default(TEXT_SIZE)
    high, wide = picture.shape[:2]
    left = max(math.ceil(font.getlength(text)) for _, text in down) + 8
    right = math.ceil(font.getlength(across[-1][1]) / 2)
    top = LINE + 2 if labels[1] else 0
    diagram = Diagram(left + wide + right, top + high + LINE + 2 + (LINE if labels[0] else 0))
    diagram.picture(picture, (left, top), wide, sharp=True)
    for at, text in across:
        diagram.text(text, (left + at * wide, top + high + 1), faint=True)
    for at, text in down:
        diagram.text(text, (left - 4, top + min(max(at * high - LINE / 2, -3), high - LINE + 2)), "r", faint=True)
    if labels[0]:
        diagram.text(labels[0], (left + wide / 2, top + high + LINE), faint=True)
    if labels[1]:
        diagram.text(labels[1], (0, 0), "l", faint=True)
    return diagram.drawn()


@checked
def beside(pictures: Sequence[np.ndarray], gap: int = 6) -> np.ndarray:
    """Places pictures beside each other, each in the middle of the height.

    Args:
        pictures: [H, W, 3] each, in [0, 1].
        gap: pixels between them.

    Returns:
        float32 [height, width, 3] in [0, 1].

    Example:
        >>> beside([np.zeros((8, 8, 3)), np.zeros((6, 10, 3))], gap=2).shape
        (8, 20, 3)
    """
    high = max(one.shape[0] for one in pictures)
    sheet = np.ones((high, sum(one.shape[1] + gap for one in pictures) - gap, 3), np.float32)
    left = 0
    for one in pictures:
        top = (high - one.shape[0]) // 2
        sheet[top : top + one.shape[0], left : left + one.shape[1]] = one
        left += one.shape[1] + gap
    return sheet
