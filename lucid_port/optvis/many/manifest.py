"""`manifest.json`, the list of the pictures in a folder; reading it does not need torch."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict, cast

from PIL import Image

from converters import checks, schema
from converters.documents import read_json
from converters.schema import Natural

__all__ = ["MANIFEST", "SHEET", "TILES", "read_manifest", "tile_of"]

MANIFEST = "manifest.json"
SHEET = "sheet.png"
TILES = ".tiles"


class _Listed(TypedDict):
    layer: str
    unit: Natural | None
    objective: str
    seed: int
    value: float | None
    file: str
    bytes: Natural
    comparable: bool
    stem: str
    id: str


class _Entry(_Listed, total=False):
    """A finished picture in a manifest."""

    recipe: str
    picture: Natural
    tile: tuple[Natural, Natural]


class _Needed(TypedDict):
    format: Literal[1]
    units: Sequence[_Entry]
    grid: tuple[Natural, Natural]
    settings: Mapping[str, Any]


class _Manifest(_Needed, total=False):
    versions: Mapping[str, str]
    recipes: Mapping[str, Mapping[str, Any]]
    batch_sizes: Mapping[str, Natural]


def read_manifest(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads a manifest, which may come from another author: its files are in the folder.

    Raises:
        ValueError: It is damaged, or names a file elsewhere.
        OSError: It cannot be read.
    """
    manifest = read_json(path)
    schema.check(manifest, _Manifest, "It")
    for entry in cast(_Manifest, manifest)["units"]:
        stem, file = entry["stem"], entry["file"]
        if re.fullmatch(r"[A-Za-z0-9._-]+", stem) is None or stem.startswith("."):
            raise ValueError(f"It has the stem {checks.shown(stem)}, which is no file name")
        if file not in (SHEET, f"{stem}.png", f"{TILES}/{stem}.png"):
            raise ValueError(f"It has the file {checks.shown(file)}, which is not the unit's")
        if file == SHEET and ("tile" not in entry or "grid" not in manifest):
            raise ValueError(f"It has a unit in {SHEET} without its place")
    return dict(manifest)


def tile_of(sheet: Image.Image, grid: Sequence[int], place: Sequence[int]) -> Image.Image:
    """Returns the picture at (row, column) of a sprite sheet with (rows, columns)."""
    (rows, columns), (row, column) = grid, place
    height, width = sheet.height // rows, sheet.width // columns
    return sheet.crop((column * width, row * height, (column + 1) * width, (row + 1) * height))
