"""One picture of all pictures in a folder, with their names; nothing is rendered, and torch is not needed."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from converters.signatures import checked
from lucid_port.misc.io.pictures import as_rgb, read_picture
from lucid_port.misc.sheets import draw_grid, page
from lucid_port.optvis.many.manifest import MANIFEST, SHEET, read_manifest, tile_of

__all__ = ["SOFTWARE", "ContactSheet", "contact_sheet"]

SOFTWARE = "a sheet of lucid_port"
"""Metadata "Software" of a sheet, by which later sheets leave it out."""

LARGEST = 512
"""Pixels of the longer side of a picture on a sheet; larger ones are shrunk."""

_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_OTHERS = (".gif", ".bmp", ".tif", ".tiff", ".avif", ".heic", ".mp4")


@dataclass(frozen=True)
class ContactSheet:
    """A sheet, and what it lacks.

    Attributes:
        image: The sheet.
        left_out: Name of a file -> a clause, for each picture that is not on the sheet.
    """

    image: Image.Image
    left_out: Mapping[str, str]


@checked
def contact_sheet(folder: str | os.PathLike[str], columns: int | None = None, title: str | None = None) -> ContactSheet:
    """Draws the pictures of a folder in rows, with the number of each unit below it and a title above.

    Args:
        folder: Folder of `render_many`, in the order of its manifest; or any folder of pictures, in order of their
            names, without earlier sheets.
        columns: Number of pictures in a row; as many as rows by default.
        title: The title; by default the model, the layer and the number of units.

    Raises:
        FileNotFoundError: The folder has no pictures that can be read, or does not exist.
        NotADirectoryError: The path is a file.
        ValueError: The folder's list of pictures is damaged.
        OSError: A picture of the list cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        if folder.exists():
            raise NotADirectoryError(f"{folder} is a file: name a folder of pictures.")
        raise FileNotFoundError(f"There is no folder {folder}.")
    path = folder / MANIFEST
    left_out: dict[str, str] = {}
    if path.is_file():
        tiles, heading = _listed(folder, readable_manifest(path))
    else:
        tiles, heading = list(_named(folder, left_out)), folder.resolve().name
    if not tiles:
        reasons = "; ".join(f"{name}: {reason}" for name, reason in list(left_out.items())[:3])
        raise FileNotFoundError(f"{folder} has no pictures{f' that can be drawn ({reasons})' if reasons else ''}.")
    columns = min(len(tiles), columns or math.ceil(math.sqrt(len(tiles))))
    captions = [caption for caption, _ in tiles]
    pictures = [_small(tile) for _, tile in tiles]
    heading = heading if title is None else title
    return ContactSheet(page([draw_grid(pictures, captions, columns, heading, keeps_end=True)]), left_out)


def readable_manifest(path: Path) -> dict[str, Any]:
    """Returns a manifest.

    Raises:
        ValueError: It is damaged; the message names the file.
    """
    try:
        return read_manifest(path)
    except ValueError as error:
        raise ValueError(f"{path} is not a readable list of renders ({str(error).rstrip('.')}).") from error


def _named(folder: Path, left_out: dict[str, str]) -> Iterator[tuple[str, Image.Image]]:
    """Yields (caption, picture) of a folder without a list, in the natural order of names; notes what it leaves out."""
    files = sorted((one for one in folder.iterdir() if one.is_file()), key=_natural)
    shown = [one for one in files if one.suffix.lower() in _PICTURES]
    stems = [one.stem for one in shown]
    left_out |= {one.name: f"sheets show {', '.join(_PICTURES)}" for one in files if one.suffix.lower() in _OTHERS}
    for file in shown:
        try:
            picture = read_picture(file)
        except OSError:
            left_out[file.name] = "it cannot be read"
            continue
        if picture.info.get("Software") != SOFTWARE:
            yield file.stem if stems.count(file.stem) == 1 else file.name, picture


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """A key by which `u_2` comes before `u_10`."""
    parts = re.split(r"([0-9]+)", path.name)
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts]


def _small(tile: Image.Image) -> Image.Image:
    picture = as_rgb(tile)
    picture.thumbnail((LARGEST, LARGEST))
    return picture


def _listed(folder: Path, manifest: Mapping[str, Any]) -> tuple[list[tuple[str, Image.Image]], str]:
    """Returns (caption, picture) of each unit of a manifest, and a title."""
    units = manifest["units"]
    layers = list(dict.fromkeys(unit["layer"] for unit in units))
    one_layer = len(layers) == 1 and all(unit["unit"] is not None for unit in units)
    sprite = read_picture(folder / SHEET) if any(unit["file"] == SHEET for unit in units) else None
    names = [unit["objective"] for unit in units]
    tiles: list[tuple[str, Image.Image]] = []
    for unit, name in zip(units, names, strict=True):
        caption = re.sub(rf"{re.escape(layers[0])}:(\d+)$", r"\1", name) if one_layer else name
        caption += f" seed {unit['seed']}" if names.count(name) > 1 else ""
        if unit["file"] == SHEET:
            assert sprite is not None
            tiles.append((caption, tile_of(sprite, manifest["grid"], unit["tile"])))
        else:
            tiles.append((caption, read_picture(folder / unit["file"])))
    recipes = manifest.get("recipes", {}).values()
    models = dict.fromkeys(str(one["model"]["name"]) for one in recipes if "name" in one.get("model", {}))
    count = f"{len(units)} unit{'s' * (len(units) != 1)}"
    named = ", ".join(layers[:3]) + ", ..." * (len(layers) > 3)
    return tiles, ": ".join([*([next(iter(models))] if len(models) == 1 else []), f"{named} ({count})"])
