"""A figure as one picture: panels below each other, with captions in small type, and tables with heads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lucid_port.figures.base import Head, Panel
from lucid_port.misc.io.serialize_array import normalize_array
from lucid_port.misc.sheets import BACKGROUND, draw_grid, on_white, page

__all__ = ["as_head", "broken", "compose"]

GAP, LINE, HEAD_GAP = 4, 15, 8
TITLE_SIZE, HEAD_SIZE, CAPTION_SIZE = 14, 12, 11
SIDE_WIDTH = 120  # pixels of the text left of a row
INK, FAINT, FRAME = (34, 34, 34), (110, 110, 110), (170, 170, 170)

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont


def compose(panels: Sequence[Panel]) -> np.ndarray:
    """Draws panels as one picture, uint8 [H, W, 3].

    Raises:
        ValueError: the panels have no pictures.
    """
    drawn = [_draw(panel) for panel in panels if len(panel.pictures)]
    if not drawn:
        raise ValueError("The figure has no pictures.")
    return np.asarray(page(drawn))


def _draw(panel: Panel) -> Image.Image:
    pictures = [_image(one, panel.scale) for one in panel.pictures]
    if panel.is_table:
        return _draw_table(panel, pictures)
    return draw_grid(pictures, panel.captions, panel.columns, panel.title)


def _image(picture: np.ndarray, scale: int = 1) -> Image.Image:
    return on_white(Image.fromarray(normalize_array(picture, (0, 1))), scale)


# Tables ------------------------------------------------------------------------------------------


def as_head(one: str | Head) -> Head:
    """A head from a text, or the head itself."""
    return Head(one) if isinstance(one, str) else one


def broken(text: str, font: Font, width: int) -> list[str]:
    """A text in lines of a width in pixels, broken at spaces; a longer word has its own line."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


@dataclass(frozen=True)
class _Block:
    """A drawn head: its picture, and its lines of text below."""

    picture: Image.Image | None
    lines: Sequence[str]
    width: int
    height: int


def _block(head: Head, font: Font, width: int) -> _Block:
    picture = None if head.picture is None else _image(head.picture)
    lines = broken(head.text, font, max(width, 0 if picture is None else picture.width))
    text_width = max((math.ceil(font.getlength(line)) for line in lines), default=0)
    wide, high = (0, 0) if picture is None else picture.size
    return _Block(picture, lines, max(wide, text_width), high + LINE * len(lines))


def _draw_table(panel: Panel, pictures: Sequence[Image.Image]) -> Image.Image:
    """Draws a panel with heads of columns and rows; texts have the middle of their column or row."""
    title_font, font, small = (ImageFont.load_default(size) for size in (TITLE_SIZE, HEAD_SIZE, CAPTION_SIZE))
    columns = panel.columns or len(pictures)
    rows = -(-len(pictures) // columns)
    width, height = max(one.width for one in pictures), max(one.height for one in pictures)
    heads = [_block(as_head(one), font, width) for one in panel.heads]
    sides = [_block(as_head(one), font, SIDE_WIDTH) for one in panel.sides]
    width = max([width, *(head.width for head in heads)])
    height = max([height, *(side.height for side in sides)])
    texts = [broken(one, small, width) for one in panel.captions]
    caption = LINE * max((len(lines) for lines in texts), default=0)
    left = max((side.width + HEAD_GAP for side in sides), default=0)
    above = TITLE_SIZE + 8 if panel.title else 0
    top = above + max((head.height + 3 for head in heads), default=0)
    wide = max(left + columns * (width + GAP) - GAP, math.ceil(title_font.getlength(panel.title)))
    sheet = Image.new("RGB", (wide, top + rows * (height + caption + GAP) - GAP), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    pen.text((0, 0), panel.title, INK, title_font)
    for number, head in enumerate(heads[:columns]):
        _paste(sheet, head, left + number * (width + GAP) + width / 2, top - 3 - head.height, font, INK)
    for number, side in enumerate(sides[:rows]):
        middle = top + number * (height + caption + GAP) + height / 2
        _paste(sheet, side, (left - HEAD_GAP) / 2, round(middle - side.height / 2), font, INK)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        x, y = left + column * (width + GAP), top + row * (height + caption + GAP)
        sheet.paste(picture, (x + (width - picture.width) // 2, y + (height - picture.height) // 2))
        if number in panel.framed:
            pen.rectangle((x - 2, y - 2, x + width + 1, y + height + 1), outline=FRAME, width=2)
        if number < len(texts):
            block = _Block(None, texts[number], width, caption)
            _paste(sheet, block, x + width / 2, y + height + 1, small, FAINT)
    return sheet


def _paste(sheet: Image.Image, block: _Block, middle: float, top: int, font: Font, ink: tuple[int, int, int]) -> None:
    """Draws a head around a vertical axis."""
    if block.picture is not None:
        sheet.paste(block.picture, (round(middle - block.picture.width / 2), top))
        top += block.picture.height
    pen = ImageDraw.Draw(sheet)
    for number, line in enumerate(block.lines):
        pen.text((round(middle - font.getlength(line) / 2), top + number * LINE), line, ink, font)
