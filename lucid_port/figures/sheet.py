"""A figure as one picture: panels below each other, with captions in small type."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lucid_port.figures.base import Panel
from lucid_port.misc.io.serialize_array import normalize_array

__all__ = ["compose"]

MARGIN, GAP, LINE = 12, 4, 15
CAPTION_SIZE, TITLE_SIZE = 11, 14
BACKGROUND, INK, FAINT = (255, 255, 255), (34, 34, 34), (110, 110, 110)


def compose(panels: Sequence[Panel]) -> np.ndarray:
    """Draws panels as one picture, uint8 [H, W, 3].

    Raises:
        ValueError: the panels have no pictures.
    """
    drawn = [_draw(panel) for panel in panels if len(panel.pictures)]
    if not drawn:
        raise ValueError("The figure has no pictures.")
    width = max(picture.width for picture in drawn) + 2 * MARGIN
    height = sum(picture.height + MARGIN for picture in drawn) + MARGIN
    page = Image.new("RGB", (width, height), BACKGROUND)
    top = MARGIN
    for picture in drawn:
        page.paste(picture, (MARGIN, top))
        top += picture.height + MARGIN
    return np.asarray(page)


def as_pixels(picture: np.ndarray, scale: int = 1) -> Image.Image:
    """Converts a picture in [0, 1] to a Pillow image, with transparent parts on white."""
    image = Image.fromarray(normalize_array(picture, (0, 1)))
    if image.mode in ("RGBA", "LA"):
        paper = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    image = image.convert("RGB")
    size = (image.width * scale, image.height * scale)
    return image if scale == 1 else image.resize(size, Image.Resampling.NEAREST)


def _draw(panel: Panel) -> Image.Image:
    pictures = [as_pixels(picture, panel.scale) for picture in panel.pictures]
    columns = panel.columns or len(pictures)
    rows = -(-len(pictures) // columns)
    width, height = max(picture.width for picture in pictures), max(picture.height for picture in pictures)
    caption = LINE if any(panel.captions) else 0
    title = TITLE_SIZE + 8 if panel.title else 0
    heading = ImageFont.load_default(TITLE_SIZE)
    wide = max(columns * (width + GAP) - GAP, math.ceil(heading.getlength(panel.title)))
    result = Image.new("RGB", (wide, title + rows * (height + caption + GAP) - GAP), BACKGROUND)
    pen = ImageDraw.Draw(result)
    small = ImageFont.load_default(CAPTION_SIZE)
    pen.text((0, 0), panel.title, INK, heading)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        left, top = column * (width + GAP), title + row * (height + caption + GAP)
        result.paste(picture, (left, top))
        if number < len(panel.captions):
            pen.text((left, top + height + 1), _cut(panel.captions[number], small, width), FAINT, small)
    return result


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text, shortened to a width in pixels."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…" if text else ""
