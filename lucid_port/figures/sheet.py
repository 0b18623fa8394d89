"""A figure as one picture: panels below each other, with captions in small type, and tables with heads."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from lucid_port.figures.base import Head, Panel, Table
from lucid_port.misc.io.serialize_array import normalize_array
from lucid_port.misc.sheets import BACKGROUND, draw_grid, on_white, page

__all__ = ["as_head", "broken", "compose"]

GAP, LINE, HEAD_GAP = 4, 15, 8
TITLE_SIZE, HEAD_SIZE, CAPTION_SIZE = 14, 12, 11
SIDE_WIDTH = 120  # pixels of the text left of a row
INK, FAINT, FRAME = (34, 34, 34), (110, 110, 110), (150, 150, 150)

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
    if isinstance(panel, Table):
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
    """A drawn head: its picture, and its lines of text below, or left of it if it is the head of a row."""

    picture: Image.Image | None
    lines: Sequence[str]
    font: Font
    is_side: bool = False

    @property
    def text_size(self) -> tuple[int, int]:
        return max((math.ceil(self.font.getlength(line)) for line in self.lines), default=0), LINE * len(self.lines)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        (wide, high), (width, height) = self.text_size, (0, 0) if self.picture is None else self.picture.size
        if self.is_side:
            return wide + width + (GAP if wide and width else 0), max(high, height)
        return max(wide, width), high + height

    def paste(self, sheet: Image.Image, left: int, top: int, ink: tuple[int, int, int] = INK) -> None:
        """Draws it into the box of its size with this corner."""
        width, height = self.size
        middle, line = left + width / 2, top + (0 if self.picture is None else self.picture.height)
        if self.is_side:
            middle, line = left + self.text_size[0] / 2, top + (height - self.text_size[1]) // 2
        if self.picture is not None:
            x = left + width - self.picture.width if self.is_side else round(middle - self.picture.width / 2)
            sheet.paste(self.picture, (x, top + (height - self.picture.height) // 2 if self.is_side else top))
        pen = ImageDraw.Draw(sheet)
        for number, text in enumerate(self.lines):
            pen.text((round(middle - self.font.getlength(text) / 2), line + number * LINE), text, ink, self.font)


def _block(one: str | Head, font: Font, width: int, is_side: bool = False) -> _Block:
    head = as_head(one)
    picture = None if head.picture is None else _image(head.picture)
    widest = max(width, 0 if picture is None or is_side else picture.width)
    return _Block(picture, broken(head.text, font, widest), font, is_side)


def _draw_table(panel: Table, pictures: Sequence[Image.Image]) -> Image.Image:
    """Draws a panel with heads of columns and rows; texts have the middle of their column or row."""
    title_font, font, small = (ImageFont.load_default(size) for size in (TITLE_SIZE, HEAD_SIZE, CAPTION_SIZE))
    columns = panel.columns or len(pictures)
    rows = -(-len(pictures) // columns)
    width, height = max(one.width for one in pictures), max(one.height for one in pictures)
    heads = [_block(one, font, width) for one in panel.heads[:columns]]
    sides = [_block(one, font, SIDE_WIDTH, is_side=True) for one in panel.sides[:rows]]
    width = max([width, *(head.size[0] for head in heads)])
    height = max([height, *(side.size[1] for side in sides)])
    texts = [_Block(None, broken(one, small, width), small) for one in panel.captions]
    caption = max((text.size[1] for text in texts), default=0)
    left = max((side.size[0] + HEAD_GAP for side in sides), default=0)
    top = (TITLE_SIZE + 8 if panel.title else 0) + max((head.size[1] + HEAD_GAP // 2 for head in heads), default=0)
    wide = max(left + columns * (width + GAP), math.ceil(title_font.getlength(panel.title)))
    sheet = Image.new("RGB", (wide, top + rows * (height + caption + GAP)), BACKGROUND)
    pen = ImageDraw.Draw(sheet)
    pen.text((0, 0), panel.title, INK, title_font)
    for number, head in enumerate(heads):
        x = left + number * (width + GAP) + (width - head.size[0]) // 2
        head.paste(sheet, x, top - HEAD_GAP // 2 - head.size[1])
    for number, side in enumerate(sides):
        y = top + number * (height + caption + GAP) + (height - side.size[1]) // 2
        side.paste(sheet, left - HEAD_GAP - side.size[0], y)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        x, y = left + column * (width + GAP), top + row * (height + caption + GAP)
        at = (x + (width - picture.width) // 2, y + (height - picture.height) // 2)
        sheet.paste(picture, at)
        if number in panel.framed:
            box = (at[0] - 2, at[1] - 2, at[0] + picture.width + 1, at[1] + picture.height + 1)
            pen.rectangle(box, outline=FRAME)
        if number < len(texts):
            texts[number].paste(sheet, x + (width - texts[number].size[0]) // 2, y + height + 1, FAINT)
    return sheet
