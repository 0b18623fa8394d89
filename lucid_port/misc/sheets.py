"""Several pictures as one: rows and columns with gaps, captions in small type and a title."""

from __future__ import annotations

import math
from collections.abc import Sequence

from PIL import Image, ImageDraw, ImageFont

__all__ = ["BACKGROUND", "MARGIN", "draw_grid", "on_white", "page"]

MARGIN, GAP, LINE = 12, 4, 15
CAPTION_SIZE, TITLE_SIZE = 11, 14
BACKGROUND, INK, FAINT = (255, 255, 255), (34, 34, 34), (110, 110, 110)


def on_white(image: Image.Image, scale: int = 1) -> Image.Image:
    """Returns an image as RGB, with transparent parts on white, each pixel repeated `scale` times."""
    if image.mode in ("RGBA", "LA"):
        paper = Image.new("RGBA", image.size, (*BACKGROUND, 255))
        image = Image.alpha_composite(paper, image.convert("RGBA"))
    image = image.convert("RGB")
    size = (image.width * scale, image.height * scale)
    return image if scale == 1 else image.resize(size, Image.Resampling.NEAREST)


def draw_grid(
    pictures: Sequence[Image.Image],
    captions: Sequence[str] = (),
    columns: int | None = None,
    title: str = "",
    gap: int = GAP,
    keeps_end: bool = False,
) -> Image.Image:
    """Draws pictures in rows, without a margin.

    Args:
        pictures: RGB images, at least one. Cells have the size of the largest.
        captions: A text below each picture, shortened to its width.
        columns: Number of pictures in a row; all by default.
        title: A line above.
        gap: Pixels between pictures.
        keeps_end: Whether captions that are too long lose their start, not their end.

    Example:
        >>> tiles = [Image.new("RGB", (40, 30))] * 5
        >>> draw_grid(tiles, columns=3).size, draw_grid(tiles, list("abcde"), 3).size
        ((128, 64), (128, 94))
    """
    columns = columns or len(pictures)
    rows = -(-len(pictures) // columns)
    width, height = max(picture.width for picture in pictures), max(picture.height for picture in pictures)
    caption = LINE if any(captions) else 0
    top_of_rows = TITLE_SIZE + 8 if title else 0
    heading, small = ImageFont.load_default(TITLE_SIZE), ImageFont.load_default(CAPTION_SIZE)
    wide = max(columns * (width + gap) - gap, math.ceil(heading.getlength(title)))
    result = Image.new("RGB", (wide, top_of_rows + rows * (height + caption + gap) - gap), BACKGROUND)
    pen = ImageDraw.Draw(result)
    pen.text((0, 0), title, INK, heading)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        left, top = column * (width + gap), top_of_rows + row * (height + caption + gap)
        result.paste(picture, (left, top))
        if number < len(captions):
            pen.text((left, top + height + 1), _cut(captions[number], small, width, keeps_end), FAINT, small)
    return result


def page(parts: Sequence[Image.Image]) -> Image.Image:
    """Draws images below each other, with a margin around each."""
    width = max(part.width for part in parts) + 2 * MARGIN
    result = Image.new("RGB", (width, sum(part.height + MARGIN for part in parts) + MARGIN), BACKGROUND)
    top = MARGIN
    for part in parts:
        result.paste(part, (MARGIN, top))
        top += part.height + MARGIN
    return result


def _cut(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int, keeps_end: bool) -> str:
    """Returns the text, shortened to a width in pixels."""
    if font.getlength(text) <= width:
        return text
    for length in range(len(text) - 1, 0, -1):
        shorter = f"…{text[-length:]}" if keeps_end else f"{text[:length]}…"
        if font.getlength(shorter) <= width:
            return shorter
    return ""
