"""One picture of all pictures in a folder, with their names; nothing is rendered, and torch is not needed."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from lucid_port.misc.io.pictures import read_picture
from lucid_port.misc.sheets import draw_grid, on_white, page
from lucid_port.optvis.many.manifest import MANIFEST, SHEET, read_manifest, tile_of

__all__ = ["contact_sheet"]

_PICTURES = (".png", ".jpg", ".jpeg", ".webp")


def contact_sheet(
    folder: str | os.PathLike[str], columns: int | None = None, title: str | None = None, leave_out: str = SHEET
) -> Image.Image:
    """Draws the pictures of a folder in rows, with the number of each unit below it and a title above.

    Args:
        folder: Folder of `render_many`, in the order of its manifest; or any folder of pictures, in order of their
            names.
        columns: Number of pictures in a row; as many as rows by default.
        title: The title; by default the model, the layer and the number of units.
        leave_out: Name of a picture that is not drawn, such as an earlier sheet.

    Raises:
        FileNotFoundError: The folder has no pictures, or does not exist.
        ValueError: The folder's list of pictures is damaged.
        OSError: A picture cannot be read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    path = folder / MANIFEST
    try:
        manifest = read_manifest(path) if path.is_file() else None
    except ValueError as error:
        raise ValueError(f"{path} is not a readable list of renders ({str(error).rstrip('.')}).") from error
    if manifest is None:
        names = sorted(one.name for one in folder.iterdir() if one.suffix.lower() in _PICTURES)
        tiles = {Path(name).stem: read_picture(folder / name) for name in names if name != leave_out}
        heading = folder.resolve().name
    else:
        tiles, heading = _listed(folder, manifest)
    if not tiles:
        raise FileNotFoundError(f"{folder} has no pictures.")
    columns = columns or math.ceil(math.sqrt(len(tiles)))
    pictures = [on_white(tile) for tile in tiles.values()]
    return page([draw_grid(pictures, list(tiles), columns, heading if title is None else title, keeps_end=True)])


def _listed(folder: Path, manifest: Mapping[str, Any]) -> tuple[dict[str, Image.Image], str]:
    """Returns the pictures of a manifest by caption, and a title."""
    units = manifest["units"]
    layers = list(dict.fromkeys(unit["layer"] for unit in units))
    one_layer = len(layers) == 1 and all(unit["unit"] is not None for unit in units)
    sprite = read_picture(folder / SHEET) if any(unit["file"] == SHEET for unit in units) else None
    tiles: dict[str, Image.Image] = {}
    for unit in units:
        caption = unit["objective"]
        if one_layer:
            caption = re.sub(rf"{re.escape(layers[0])}:(\d+)$", r"\1", caption)
        while caption in tiles:  # the same unit with another seed
            caption += f" seed {unit['seed']}"
        if unit["file"] == SHEET:
            assert sprite is not None
            tiles[caption] = tile_of(sprite, manifest["grid"], unit["tile"])
        else:
            tiles[caption] = read_picture(folder / unit["file"])
    recipes = manifest.get("recipes", {}).values()
    models = dict.fromkeys(str(one["model"]["name"]) for one in recipes if "name" in one.get("model", {}))
    count = f"{len(units)} unit{'s' * (len(units) != 1)}"
    named = ", ".join(layers[:3]) + ", ..." * (len(layers) > 3)
    return tiles, ": ".join([*([next(iter(models))] if len(models) == 1 else []), f"{named} ({count})"])
