"""Folders that pictures are written to as they are finished, and from which a run goes on where it stopped.

A folder holds `manifest.json`, which lists what is finished and how it was made, and a PNG for each unit; or, for a
sprite sheet, the hidden folder `.tiles` until all pictures are there, then `sheet.png`. Files appear whole or not at
all, and the manifest names only files that are there, so a run can be killed at any time.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from converters.atomic import write_bytes
from lucid_port import __version__
from lucid_port.misc import checks
from lucid_port.misc.io.saving import save
from lucid_port.misc.io.serialize_array import serialize_array
from lucid_port.misc.locking import FolderLock
from lucid_port.optvis.many.unit_spec import Unit, is_comparable
from lucid_port.optvis.recipe import Recipe

__all__ = ["MANIFEST", "SHEET", "Finished", "PictureFolder"]

MANIFEST = "manifest.json"
SHEET = "sheet.png"
TILES = ".tiles"
FORMAT = 1
LONGEST_SETTING = 4000

Entry = dict[str, Any]


def short(setting: Any) -> Any:
    """A setting as JSON holds it; a long one (a starting picture, say) by its hash."""
    text = json.dumps(setting, sort_keys=True)
    if len(text) <= LONGEST_SETTING:
        return json.loads(text)
    return f"sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class Finished:
    """One picture of a batch.

    Attributes:
        identity: the unit's.
        unit: the unit.
        picture: [H, W, C] in [0, 1].
        value: the objective's value.
    """

    identity: str
    unit: Unit
    picture: np.ndarray
    value: float


class PictureFolder:
    """A folder of finished pictures.

    Args:
        path: the folder; made if it is not there.
        settings: how the pictures are made, JSON-able. Pictures of other settings are refused.
        sheet: whether the pictures become one sprite sheet.
        overwrite: forget what is there.

    Attributes:
        entries: what is finished, by the units' identities.
        recipes: of the batches, by a hash that the entries name.
        grid: rows and columns of the sheet, once there is one.

    Raises:
        ValueError: the folder has a manifest of other settings, or one that cannot be read.
        OSError: the folder cannot be written to, or another run is writing to it.
    """

    def __init__(self, path: str | os.PathLike[str], settings: Mapping[str, Any], sheet: bool, overwrite: bool) -> None:
        self.path = Path(path)
        self.settings = {**{key: short(value) for key, value in settings.items()}, "sheet": sheet}
        self.sheet = sheet
        self.entries: dict[str, Entry] = {}
        self.recipes: dict[str, Entry] = {}
        self.grid = (0, 0)
        self._lock = threading.Lock()
        self._check()
        self.path.mkdir(parents=True, exist_ok=True)
        self._held = FolderLock(self.path)
        try:
            old = self._read(overwrite)
            if overwrite:
                self._forget(old)
            elif old is not None:
                self._go_on(old)
        except BaseException:
            self.close()
            raise

    def _check(self) -> None:
        folder = self.path.absolute()
        while not folder.exists():
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            raise NotADirectoryError(f"{self.path} cannot be written: {folder} is no folder that can be written to.")

    def _read(self, overwrite: bool) -> dict[str, Any] | None:
        path = self.path / MANIFEST
        if not path.exists():
            return None
        try:
            manifest = json.loads(path.read_text(encoding="utf-8"))
        except ValueError:
            manifest = None
        if isinstance(manifest, dict) and manifest.get("format") == FORMAT and isinstance(manifest.get("units"), list):
            return manifest
        if overwrite:
            return None
        raise ValueError(
            f"{path} is no list of renders that can be read: choose another folder, or pass overwrite=True."
        )

    def _go_on(self, old: dict[str, Any]) -> None:
        there = old.get("settings", {})
        names = [name for name in {**self.settings, **there} if there.get(name) != self.settings.get(name)]
        if names:
            differences = "; ".join(
                f"{name} is {checks.shown(there.get(name))} there and {checks.shown(self.settings.get(name))} now"
                for name in names
            )
            raise ValueError(
                f"{self.path} holds renders with other settings ({differences}): choose another folder, or pass "
                "overwrite=True (--overwrite) to replace them."
            )
        self.grid = tuple(old["grid"])
        self.entries = {entry["id"]: entry for entry in old["units"] if self._counts(entry)}
        self.recipes = dict(old.get("recipes", {}))

    def _counts(self, entry: Entry) -> bool:
        """Whether a listed picture is there, whole, and sure to be what the same words would make again."""
        file = self.path / entry["file"]
        return entry["comparable"] and file.is_file() and file.stat().st_size == entry["bytes"]

    def close(self) -> None:
        """Let other runs write to the folder."""
        self._held.release()

    def _forget(self, old: dict[str, Any] | None) -> None:
        """Removes the manifest first, then the pictures that it lists."""
        (self.path / MANIFEST).unlink(missing_ok=True)
        for entry in [] if old is None else old["units"]:
            name = str(entry["file"])
            if Path(name).name == name or name == f"{TILES}/{Path(name).name}":  # nothing outside this folder
                (self.path / name).unlink(missing_ok=True)

    def file_of(self, identity: str) -> Path:
        """Where the picture of a finished unit is; that of the sheet if it is a tile of it."""
        return self.path / self.entries[identity]["file"]

    def begin(self, wanted: Iterable[str]) -> None:
        """Prepare for units that are not all there: a finished sheet is cut into its tiles again."""
        cut = {key: entry for key, entry in self.entries.items() if entry["file"] == SHEET}
        if not cut or all(identity in self.entries for identity in wanted):
            return
        with Image.open(self.path / SHEET) as sheet:
            for key, entry in cut.items():
                name = f"{TILES}/{entry['stem']}.png"
                save(self._tile(entry, sheet), self.path / name, domain=None)
                size = (self.path / name).stat().st_size
                self.entries[key] = {k: v for k, v in entry.items() if k != "tile"} | {"file": name, "bytes": size}
        self._write_manifest()

    def _tile(self, entry: Entry, sheet: Image.Image) -> np.ndarray:
        rows, columns = self.grid
        row, column = entry["tile"]
        height, width = sheet.height // rows, sheet.width // columns
        return np.asarray(sheet)[row * height : (row + 1) * height, column * width : (column + 1) * width]

    def add(self, finished: Sequence[Finished], recipe: Recipe) -> list[Path]:
        """Write the pictures of a batch, then the manifest.

        Args:
            finished: the pictures, in the order of the batch.
            recipe: of the batch; each picture carries its own.

        Returns:
            Their paths.
        """
        with self._lock:
            batch = recipe.to_data()
            key = hashlib.sha256(json.dumps(batch, sort_keys=True).encode()).hexdigest()[:16]
            self.recipes[key] = batch
            paths = [self._write(one, index, key, recipe) for index, one in enumerate(finished)]
            self._write_manifest()
        return paths

    def _write(self, one: Finished, index: int, batch: str, recipe: Recipe) -> Path:
        unit, value = one.unit, one.value if math.isfinite(one.value) else None
        stem = self._stem(one.identity, unit)
        name = f"{TILES}/{stem}.png" if self.sheet else f"{stem}.png"
        own = replace(recipe, picture=index, value=value)
        metadata = json.dumps(own.to_data())
        save(np.nan_to_num(one.picture), self.path / name, domain=(0, 1), metadata=metadata)
        self.entries[one.identity] = {
            "layer": unit.layer,
            "unit": unit.channel,
            "objective": unit.name,
            "seed": unit.seed,
            "value": value,
            "file": name,
            "bytes": (self.path / name).stat().st_size,
            "comparable": is_comparable(unit),
            "stem": stem,
            "id": one.identity,
            "recipe": batch,
            "picture": index,
        }
        return self.path / name

    def _stem(self, identity: str, unit: Unit) -> str:
        """A file name without ending that no other unit here has."""
        name = unit.layer if unit.channel is not None else unit.name
        plain = re.sub(r"[^A-Za-z0-9.-]+", "_", name).strip("._")[:80] or "objective"
        plain += "" if unit.channel is None else f"_{unit.channel:04d}"
        hashed = hashlib.sha256(identity.encode()).hexdigest()[:8]
        taken = {entry["stem"] for key, entry in self.entries.items() if key != identity}
        choices = (plain, f"{plain}_seed{unit.seed}", f"{plain}_{hashed}")
        return next(choice for choice in choices if choice not in taken)

    def finish(self, order: Sequence[str]) -> None:
        """Make the sheet of all pictures, those of `order` first; without a sheet there is nothing to do."""
        if not self.sheet or not self.entries:
            return
        known = [*order, *(key for key in self.entries if key not in set(order))]
        if all(self.entries[key]["file"] == SHEET for key in known):
            self._remove_tiles()
            return
        columns = math.ceil(math.sqrt(len(known)))
        rows = -(-len(known) // columns)
        places = {key: (index // columns, index % columns) for index, key in enumerate(known)}
        write_bytes(self.path / SHEET, self._sheet(places, rows, columns))
        self.grid = (rows, columns)
        of_sheet = {"file": SHEET, "bytes": (self.path / SHEET).stat().st_size}
        self.entries = {key: {**self.entries[key], **of_sheet, "tile": list(places[key])} for key in known}
        self._write_manifest()
        self._remove_tiles()

    def _sheet(self, places: Mapping[str, tuple[int, int]], rows: int, columns: int) -> bytes:
        pixels: np.ndarray | None = None
        for key, (row, column) in places.items():
            with Image.open(self.file_of(key)) as tile:
                picture = np.asarray(tile)
            height, width = picture.shape[:2]
            if pixels is None:
                pixels = np.zeros((rows * height, columns * width, *picture.shape[2:]), np.uint8)
            pixels[row * height : (row + 1) * height, column * width : (column + 1) * width] = picture
        assert pixels is not None
        return serialize_array(pixels, None, "png")

    def _remove_tiles(self) -> None:
        tiles = self.path / TILES
        if tiles.is_dir():
            for tile in tiles.glob("*.png"):
                tile.unlink()
            if not any(tiles.iterdir()):
                tiles.rmdir()

    def _write_manifest(self) -> None:
        used = dict.fromkeys(entry.get("recipe") for entry in self.entries.values())
        manifest = {
            "format": FORMAT,
            "versions": {"lucid_port": __version__, "torch": str(torch.__version__), "numpy": np.__version__},
            "settings": self.settings,
            "grid": list(self.grid),
            "units": list(self.entries.values()),
            "recipes": {key: self.recipes[key] for key in used if key in self.recipes},
        }
        write_bytes(self.path / MANIFEST, json.dumps(manifest, indent=1).encode())
