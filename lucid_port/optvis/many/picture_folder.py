"""Folders of finished pictures, from which an interrupted run continues.

A folder holds `manifest.json`, which lists the finished pictures and their settings, and a PNG for each unit. For a
sprite sheet, it holds the folder `.tiles` until all pictures are finished, then `sheet.png`. Files are written
atomically, and the manifest lists only existing files, so a run may be killed at any time.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from converters import checks
from converters.atomic import check_writable, write_bytes
from converters.paths import user_path
from lucid_port import __version__
from lucid_port.misc.io.pictures import read_picture
from lucid_port.misc.io.saving import save
from lucid_port.misc.io.serialize_array import METADATA_KEY, serialize_array
from lucid_port.misc.locking import FolderLock
from lucid_port.optvis import grammar
from lucid_port.optvis.many.manifest import MANIFEST, SHEET, TILES, read_manifest, tile_of
from lucid_port.optvis.many.unit_spec import Unit, is_comparable
from lucid_port.optvis.recipe import Recipe

__all__ = ["MANIFEST", "SHEET", "Finished", "PictureFolder", "check_folder", "file_stem"]

FORMAT = 1
LONGEST_SETTING = 4000

Entry = dict[str, Any]


def short(setting: Any) -> Any:
    """Returns a setting as JSON data, or the hash of a long setting such as an initial picture."""
    text = json.dumps(setting, sort_keys=True)
    if len(text) <= LONGEST_SETTING:
        return json.loads(text)
    return f"sha256 {hashlib.sha256(text.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class Finished:
    """One picture of a batch.

    Attributes:
        identity: Identity of the unit.
        unit: The unit.
        picture: [H, W, C] in [0, 1].
        value: The objective's value.
        failed_at: The first update at which the render was NaN or infinite; None if it is finite.
    """

    identity: str
    unit: Unit
    picture: np.ndarray
    value: float
    failed_at: int | None = None


def check_folder(path: str | os.PathLike[str]) -> None:
    """Checks that a folder of pictures can be written. Call it before a long computation.

    Raises:
        OSError: The path is a file, or the folder cannot be created or written to.
    """
    check_writable(user_path(path) / MANIFEST)


class PictureFolder:
    """A folder of finished pictures.

    Args:
        path: The folder, which is created if it is missing.
        settings: Settings of the pictures, JSON data. A folder with other settings raises an error.
        sheet: Whether to write the pictures as one sprite sheet.
        overwrite: Whether to remove the pictures in the folder.

    Attributes:
        entries: Finished pictures by identity.
        recipes: Recipes of the batches by hash; each entry has the hash of its batch.
        grid: Rows and columns of the sheet; zeros before it is written.
        batch_sizes: Request for units -> the maximum size of their batches, if it was measured or followed from a lack
            of memory. A run that resumes uses it.

    Raises:
        ValueError: The folder has a manifest with other settings, or an unreadable one.
        OSError: The folder is not writable, or another run writes to it.
    """

    def __init__(self, path: str | os.PathLike[str], settings: Mapping[str, Any], sheet: bool, overwrite: bool) -> None:
        self.path = user_path(path)
        self.settings = {**{key: short(value) for key, value in settings.items()}, "sheet": sheet}
        self.sheet, self.overwrite = sheet, overwrite
        self.entries: dict[str, Entry] = {}
        self.recipes: dict[str, Entry] = {}
        self._listed: set[str] = set()  # files of the manifest, also damaged ones
        self.grid = (0, 0)
        self.batch_sizes: dict[str, int] = {}
        self._lock = threading.Lock()
        check_folder(self.path)
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

    def _read(self, overwrite: bool) -> dict[str, Any] | None:
        path = self.path / MANIFEST
        if not path.exists():
            return None
        try:
            manifest = read_manifest(path)
        except ValueError as error:
            if overwrite:
                return None
            problem = str(error).rstrip(".")
            raise ValueError(
                f"{path} is not a readable list of renders ({problem}): choose another folder, or pass overwrite=True."
            ) from error
        return dict(manifest)

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
        self._listed = {entry["file"] for entry in old["units"]}
        self.entries = {entry["id"]: entry for entry in old["units"] if self._counts(entry)}
        self.recipes = dict(old.get("recipes", {}))
        sizes = old.get("batch_sizes", {})
        self.batch_sizes = {key: checks.whole(size, f"A batch size in {MANIFEST}", 1) for key, size in sizes.items()}

    def _counts(self, entry: Entry) -> bool:
        """Returns whether a listed picture exists, is complete and finite, and shows a unit that can be recognized."""
        file = self.path / entry["file"]
        is_finished = entry["comparable"] and entry.get("value") is not None
        return is_finished and file.is_file() and file.stat().st_size == entry["bytes"]

    def close(self) -> None:
        """Releases the lock on the folder."""
        self._held.release()

    def _check_place(self) -> None:
        if not self._held.is_in_place:
            raise FileNotFoundError(
                f"{self.path} was deleted or replaced during the run, and its pictures are lost: the same command "
                "makes them again."
            )

    def _forget(self, old: dict[str, Any] | None) -> None:
        """Removes the manifest, then the pictures that it lists."""
        (self.path / MANIFEST).unlink(missing_ok=True)
        for entry in [] if old is None else old["units"]:
            name = str(entry["file"])
            if Path(name).name == name or name == f"{TILES}/{Path(name).name}":  # the file is in this folder
                (self.path / name).unlink(missing_ok=True)

    def file_of(self, identity: str) -> Path:
        """Returns the path of a finished unit's picture, or of the sheet that contains it."""
        return self.path / self.entries[identity]["file"]

    def begin(self, wanted: Mapping[str, Unit]) -> None:
        """Cuts a finished sheet into tiles again, if units are missing.

        Args:
            wanted: Identity -> unit.

        Raises:
            FileExistsError: A file that a picture would replace is not one of this folder's.
        """
        if not (self.overwrite or self.sheet):
            self._refuse_others(wanted)
        cut = {key: entry for key, entry in self.entries.items() if entry["file"] == SHEET}
        if not cut or all(identity in self.entries for identity in wanted):
            return
        sheet = read_picture(self.path / SHEET)
        for key, entry in cut.items():
            name = f"{TILES}/{entry['stem']}.png"
            save(np.asarray(tile_of(sheet, self.grid, entry["tile"])), self.path / name, domain=None)
            size = (self.path / name).stat().st_size
            self.entries[key] = {k: v for k, v in entry.items() if k != "tile"} | {"file": name, "bytes": size}
        self._write_manifest()

    def keep_batch_sizes(self) -> None:
        """Writes changed `batch_sizes`; without finished pictures, a run that resumes does not need them.

        Raises:
            FileNotFoundError: The folder was deleted during the run.
        """
        with self._lock:
            if self.entries:
                self._check_place()
                self._write_manifest()

    def _refuse_others(self, wanted: Mapping[str, Unit]) -> None:
        for identity, unit in wanted.items():
            file = self.path / f"{self._stem(identity, unit)}.png"
            is_own = identity in self.entries or file.name in self._listed
            if not is_own and file.exists() and not _is_left_over(file):
                raise FileExistsError(
                    f"{file} exists, and is no picture of this folder: choose another folder, or pass overwrite=True "
                    "(--overwrite) to replace it."
                )

    def add(self, finished: Sequence[Finished], recipe: Recipe) -> list[Path]:
        """Writes the pictures of a batch, then the manifest.

        Args:
            finished: The pictures, in the order of the batch.
            recipe: Recipe of the batch, from which the recipe of each picture is made.

        Returns:
            The paths of the pictures.

        Raises:
            FileNotFoundError: The folder was deleted during the run.
        """
        with self._lock:
            self._check_place()
            batch = recipe.to_data()
            key = hashlib.sha256(json.dumps(batch, sort_keys=True).encode()).hexdigest()[:16]
            self.recipes[key] = batch
            paths = [self._write(one, index, key, recipe) for index, one in enumerate(finished)]
            self._write_manifest()
        return paths

    def _write(self, one: Finished, index: int, batch: str, recipe: Recipe) -> Path:
        unit, value = one.unit, None if one.failed_at is not None else one.value  # a unit without a value is made again
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
        """Returns a file name without extension that no other unit in the folder has."""
        plain = _file_name(unit, self.path.resolve().name)
        hashed = hashlib.sha256(identity.encode()).hexdigest()[:8]
        # Folders of macOS and Windows do not tell "A.png" from "a.png".
        taken = {entry["stem"].casefold() for key, entry in self.entries.items() if key != identity}
        choices = (plain, f"{plain}_seed{unit.seed}", f"{plain}_{hashed}")
        return next(choice for choice in choices if choice.casefold() not in taken)

    def finish(self, order: Sequence[str]) -> None:
        """Writes the sheet, if one was requested: the pictures of `order`, then all others.

        Raises:
            FileNotFoundError: The folder or pictures in it were deleted during the run.
        """
        self._check_place()
        lost = [key for key in order if key in self.entries and not self.file_of(key).is_file()]
        if lost:
            names = ", ".join(self.entries[key]["file"] for key in lost[:5])
            raise FileNotFoundError(
                f"{len(lost)} finished pictures in {self.path} were deleted during the run ({names}): the same command "
                "makes them again."
            )
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
        sheet: Image.Image | None = None
        for key, (row, column) in places.items():
            tile = read_picture(self.file_of(key))
            if sheet is None:
                sheet = Image.new(tile.mode, (columns * tile.width, rows * tile.height))
            sheet.paste(tile, (column * tile.width, row * tile.height))
        assert sheet is not None
        return serialize_array(np.asarray(sheet), None, "png")

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
            **({"batch_sizes": self.batch_sizes} if self.batch_sizes else {}),
            "units": list(self.entries.values()),
            "recipes": {key: self.recipes[key] for key in used if key in self.recipes},
        }
        write_bytes(self.path / MANIFEST, json.dumps(manifest, indent=1).encode())


def _is_left_over(file: Path) -> bool:
    """Whether a killed run wrote a picture before its manifest: it has a recipe inside, and none beside it."""
    if file.with_name(f"{file.name}.json").exists():
        return False
    try:
        return METADATA_KEY in read_picture(file).info
    except OSError:
        return False


def _file_name(unit: Unit, folder: str) -> str:
    """Returns a name for a unit's file, such as `mixed4a_0003` or `minus_mixed4a_0003`.

    In a folder that has the layer's name, it is `0003` or `minus_0003`.
    """
    if unit.channel is None:
        return file_stem(unit.name)
    plain, layer, number = file_stem(f"{grammar.factor(unit.weight)}{unit.layer}"), file_stem(unit.layer), unit.channel
    return f"{plain.removesuffix(layer)}{number:04d}" if layer == folder else f"{plain}_{number:04d}"


def file_stem(text: str) -> str:
    """Returns a file name of ASCII letters, without extension, for a text of the grammar or a description.

    Example:
        >>> file_stem("-mixed4a:3"), file_stem("mixed4a:3 + 0.5*mixed4b:8")
        ('minus_mixed4a_3', 'mixed4a_3_plus_0.5_times_mixed4b_8')
    """
    for sign, word in _SIGNS.items():
        text = text.replace(sign, word)
    text = f"minus_{text[1:]}" if text.startswith("-") else text
    return re.sub(r"[^A-Za-z0-9.-]+", "_", text).strip("._-")[:80] or "objective"


_SIGNS = {" - ": "_minus_", " + ": "_plus_", "*": "_times_"}
