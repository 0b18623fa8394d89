"""Small pictures of units: sprites for the page of a layer, and an icon for each unit."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from converters.atomic import write_bytes
from lucid_port.microscope.names import Places
from lucid_port.microscope.site.content import Icon
from lucid_port.microscope.tables import LayerEntry

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["cells", "icon_place", "size_of", "write_sprites"]

COLUMNS = 8
"""Cells in a row and in a column of a sprite."""
LEAST, CELL, ICON = 72, 96, 56
"""Pixels of a cell at least and at most, and of an icon."""
QUALITY = 78
GRAY = (128, 128, 128)


def icon_place(places: Places, layer: str, unit: int) -> Path:
    """Returns the file of a unit's icon."""
    return places.assets(layer) / "icons" / f"{unit:04d}.webp"


def _sprite_place(places: Places, layer: str, number: int) -> Path:
    return places.assets(layer) / f"sprite-{number}.webp"


def cells(places: Places, layer: str, units: Sequence[int]) -> dict[int, Icon]:
    """Returns unit -> its cell in the sprites of its layer."""
    each = COLUMNS**2
    found = {}
    for at, unit in enumerate(units):
        number, cell = divmod(at, each)
        row, column = divmod(cell, COLUMNS)
        rows = -(-min(each, len(units) - number * each) // COLUMNS)
        sprite = _sprite_place(places, layer, number).relative_to(places.root).as_posix()
        found[unit] = Icon(sprite, COLUMNS, rows, column, row)
    return found


def size_of(path: Path) -> tuple[int, int] | None:
    """Returns the width and height of a picture, or None if there is no such file."""
    from PIL import Image

    try:
        with Image.open(path) as picture:
            return picture.size
    except FileNotFoundError:
        return None


def write_sprites(places: Places, entry: LayerEntry) -> int:
    """Writes the sprites and icons of a layer whose renders have changed since the last call.

    Returns:
        Number of files that were written.
    """
    sources = [_source(places, entry, unit) for unit in entry["units"]]
    stamp = json.dumps(
        [(LEAST, CELL, ICON, QUALITY), list(entry["units"]), [_stamp(source) for source in sources]]
    ).encode()
    record = places.state / "sprites" / f"{entry['folder']}.json"
    outputs = [places.root / icon.sprite for icon in cells(places, entry["name"], entry["units"]).values()]
    outputs += [icon_place(places, entry["name"], unit) for unit in entry["units"]]
    if record.is_file() and record.read_bytes() == stamp and all(path.is_file() for path in outputs):
        return 0
    _draw(places, entry, sources)
    record.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(record, stamp)
    return len(set(outputs))


def _draw(places: Places, entry: LayerEntry, sources: Sequence[Path | None]) -> None:
    from PIL import Image

    name, units = entry["name"], entry["units"]
    icon_place(places, name, 0).parent.mkdir(parents=True, exist_ok=True)
    each = COLUMNS**2
    for first in range(0, len(units), each):
        pictures = [_square(source) for source in sources[first : first + each]]
        side = max(LEAST, min(CELL, max(picture.width for picture in pictures)))
        rows = -(-len(pictures) // COLUMNS)
        sprite = Image.new("RGB", (COLUMNS * side, rows * side), GRAY)
        for at, picture in enumerate(pictures):
            row, column = divmod(at, COLUMNS)
            sprite.paste(_resized(picture, side), (column * side, row * side))
            write_bytes(icon_place(places, name, units[first + at]), _webp(_resized(picture, ICON)))
        write_bytes(_sprite_place(places, name, first // each), _webp(sprite))


def _source(places: Places, entry: LayerEntry, unit: int) -> Path | None:
    """Returns the picture that stands for a unit: its first render, or its crops, the first of which is used."""
    renders = [places.render(entry["name"], technique, unit) for technique in entry["techniques"]]
    return next((path for path in [*renders, places.crops(entry["name"], unit)] if path.is_file()), None)


def _stamp(source: Path | None) -> tuple[str, int, int] | None:
    if source is None:
        return None
    facts = source.stat()
    return f"{source.parent.name}/{source.name}", facts.st_size, facts.st_mtime_ns


def _square(source: Path | None) -> Image.Image:
    """Returns the left square of a picture; gray if there is none."""
    from PIL import Image

    if source is None:
        return Image.new("RGB", (ICON, ICON), GRAY)
    with Image.open(source) as picture:
        side = min(picture.size)
        return picture.convert("RGB").crop((0, 0, side, side))


def _resized(picture: Image.Image, side: int) -> Image.Image:
    from PIL import Image

    return picture if picture.width == side else picture.resize((side, side), Image.Resampling.LANCZOS)


def _webp(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", quality=QUALITY, method=3)
    return buffer.getvalue()
