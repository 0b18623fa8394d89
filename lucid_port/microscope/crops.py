"""The second pass over the pictures: crops of each unit's examples, and the whole pictures.

Only the chosen pictures are opened, each once for all units and layers. Their crops lie in a working file until the
sprites are encoded, so that memory does not grow with the number of units. Sprites that are finished are kept.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
from PIL import Image, ImageDraw

from converters import checks
from converters.atomic import write_bytes
from converters.paths import user_path
from converters.signatures import checked
from lucid_port.microscope.examples import BOTTOM, EACH, QUANTILES, TOP, Examples
from lucid_port.microscope.executors import cores
from lucid_port.microscope.fields import Box, Fields, inside, original_box
from lucid_port.microscope.pictures import Pictures
from lucid_port.misc.io.pictures import picture_size
from lucid_port.misc.locking import FolderLock
from lucid_port.misc.progress import is_watched, progress_bar
from lucid_port.misc.threads import worker_count

__all__ = [
    "COUNT",
    "SIDE",
    "CropLayer",
    "Crops",
    "picture_rows",
    "slots_of",
    "write_crops",
]

SIDE = 96
"""Height and width of a crop."""

COUNT = TOP + BOTTOM + EACH * len(QUANTILES)
"""Crops in a sprite: those of the top, the bottom, and each quantile."""

LONGEST = 512
"""Longer side of a small whole picture."""

WEBP_LONGEST = 16383
"""Longer side of the largest picture that WebP holds."""

GRAY = 128
"""Level of what no picture covers."""

GROUP = 2048
"""Units whose crops lie in the working file at once, of 0.75 MB each."""

QUALITY, METHOD = 75, 2
"""WebP's quality, and how thoroughly it encodes."""

SAVED = 256
"""Finished sprites after which the notes are written."""

AHEAD = 4
"""Items of each thread that are begun before the first of them is read."""

T = TypeVar("T", covariant=True)

Originals: TypeAlias = Literal["none", "small", "full"]

PROBLEMS = (OSError, ValueError, TypeError, LookupError, RuntimeError)
"""Errors of a dataset that lost a picture."""


@checked
@dataclass(frozen=True)
class CropLayer:
    """A layer whose units get sprites.

    Attributes:
        folder: The layer's folder in `data`.
        examples: Its examples.
        fields: Its units' receptive fields.
        units: The units; all by default.
    """

    folder: str
    examples: Examples
    fields: Fields
    units: Sequence[int] | None = None

    @property
    def shown(self) -> tuple[int, ...]:
        """The units that get sprites."""
        return tuple(range(len(self.examples.dropped)) if self.units is None else self.units)

    @cached_property
    def slots(self) -> tuple[np.ndarray, np.ndarray]:
        """The result of `slots_of`."""
        return slots_of(self.examples)


@checked
@dataclass(frozen=True)
class Crops:
    """Result of `write_crops`.

    Attributes:
        sizes: Picture's number -> (width, height), for the chosen pictures that this or an earlier run has read.
        problems: Picture's number -> a clause that names it, for each chosen picture that could not be read now.
        made: Number of sprites that were made in this run.
    """

    sizes: Mapping[int, tuple[int, int]]
    problems: Mapping[int, str]
    made: int


@checked
def slots_of(examples: Examples) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers and places of the pictures of a sprite, [units, 27] each; -1 where there is no picture.

    The order is top 12, bottom 5, then 2 at each of the quantiles 99.9, 99, 95, 90 and 50.
    """
    units = len(examples.dropped)
    groups = [(examples.top, TOP), (examples.bottom, BOTTOM), *((examples.quantiles.get(q), EACH) for q in QUANTILES)]
    numbers, places = [], []
    for group, count in groups:
        number, place = np.full((units, count), -1, np.int64), np.zeros((units, count), np.int64)
        if group is not None:
            width = min(count, group.numbers.shape[1])
            number[:, :width], place[:, :width] = group.numbers[:, :width], group.places[:, :width]
        numbers.append(number)
        places.append(place)
    return np.concatenate(numbers, 1), np.concatenate(places, 1)


def crop_boxes(
    layer: CropLayer, unit: int, prepare: object, sizes: Mapping[int, tuple[int, int]]
) -> tuple[list[Box | None], list[Box | None]]:
    """Returns the part of the whole picture that each crop of a unit shows, and the part of its strongest cell.

    Args:
        layer: The layer.
        unit: The unit.
        prepare: How the pictures are prepared.
        sizes: Picture's number -> (width, height), as in `Crops`.

    Returns:
        A box or None for each of the 27 crops, and for each cell.
    """
    numbers, places = layer.slots
    boxes: list[Box | None] = []
    cells: list[Box | None] = []
    for number, place in zip(numbers[unit].tolist(), places[unit].tolist(), strict=True):
        size = sizes.get(number)
        there = size is not None and number >= 0
        found = _placed(layer.fields.box(unit, place), layer.fields.cell(place), prepare, size) if there else None  # type: ignore[arg-type]
        boxes.append(None if found is None else found[0])
        cells.append(None if found is None else found[1])
    return boxes, cells


def _placed(box: Box, cell: Box | None, prepare: object, size: tuple[int, int]) -> tuple[Box, Box | None]:
    """Returns the parts of a picture that a crop and its cell show, from boxes in the prepared image."""
    own = original_box(prepare, box, size)
    if own is None:
        return (0.0, 0.0, float(size[0]), float(size[1])), None
    inner = None if cell is None else original_box(prepare, cell, size)
    return inside(own, size), None if inner is None else _clipped(inner, size)


def _clipped(box: Box, size: tuple[int, int]) -> Box | None:
    """Returns the part of a box in a picture; None if it lies outside, in the black border of the prepared image."""
    left, top, right, bottom = (min(max(edge, 0.0), float(size[at % 2])) for at, edge in enumerate(box))
    return (left, top, right, bottom) if right > left and bottom > top else None


def crop_of(picture: Image.Image, box: Box, cell: Box | None = None) -> Image.Image:
    """Cuts a crop of 96 px, and outlines a cell in it.

    Args:
        picture: The whole picture.
        box: Left, top, right and bottom of the crop; its longer side fills the crop, and the rest is gray.
        cell: The part to outline.

    Returns:
        The crop, RGB.

    Example:
        >>> crop_of(Image.new("RGB", (30, 20), "red"), (0.0, 0.0, 20.0, 10.0)).getpixel((48, 48))
        (255, 0, 0)
    """
    left, top, right, bottom = box
    scale = SIDE / max(right - left, bottom - top)
    width, height = (max(1, round(length * scale)) for length in (right - left, bottom - top))
    x, y = (SIDE - width) // 2, (SIDE - height) // 2
    part = picture.resize((width, height), Image.Resampling.BICUBIC, box=box)
    tile = part
    if (width, height) != (SIDE, SIDE):
        tile = Image.new("RGB", (SIDE, SIDE), (GRAY,) * 3)
        tile.paste(part, (x, y))
    if cell is not None:
        edges = [(edge - (left, top)[at % 2]) * scale + (x, y)[at % 2] for at, edge in enumerate(cell)]
        low_x, low_y, high_x, high_y = (round(edge) for edge in edges)
        pen = ImageDraw.Draw(tile)
        if high_x - low_x > 2 and high_y - low_y > 2:
            pen.rectangle((low_x - 1, low_y - 1, high_x, high_y), outline=(0, 0, 0))
        pen.rectangle((low_x, low_y, max(low_x, high_x - 1), max(low_y, high_y - 1)), outline=(255, 255, 255))
    return tile


# The pass ---------------------------------------------------------------------------------------


@checked
def write_crops(
    site: str | os.PathLike[str],
    pictures: Pictures,
    layers: Sequence[CropLayer],
    *,
    originals: Originals = "small",
    workers: int = 0,
    verbose: bool = True,
) -> Crops:
    """Writes a sprite of crops for each unit, and the whole pictures.

    Sprites and pictures that an earlier run finished from the same examples are kept. Files hold pixels alone: neither
    EXIF nor other metadata of a photograph.

    Args:
        site: The site. Sprites are `data/LAYER/crops/UNIT.webp`, whole pictures are `data/originals/NUMBER.webp`.
        pictures: The pictures that the examples are numbers of.
        layers: The layers.
        originals: Whole pictures: "none", "small" (at most 512 px) or "full".
        workers: Threads that read pictures; one for datasets that are not safe to share. Each core encodes sprites.
        verbose: Whether to show progress.

    Returns:
        The sizes of the pictures, and the pictures that could not be read, whose crops are gray. Their units are tried
        again in the next run.

    Raises:
        OSError: The site cannot be written, or another run writes to it.
    """
    root = user_path(site)
    mode = checks.choice(originals, "originals", ("none", "small", "full"))
    state = root / ".state" / "crops"
    state.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(state)
    try:
        return _Pass(root, pictures, mode, worker_count(workers), verbose).run(layers)
    finally:
        lock.release()


@dataclass
class _Notes:
    """What earlier runs have finished.

    Attributes:
        path: The file.
        sprites: "LAYER/UNIT" -> hash of what it shows.
        pictures: Number -> [mark, width, height, mode of the whole picture].
    """

    path: Path
    sprites: dict[str, str] = field(default_factory=dict)
    pictures: dict[str, list[Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: Path) -> _Notes:
        try:
            found = json.loads(path.read_text(encoding="utf-8"))
            return cls(path, dict(found["sprites"]), dict(found["pictures"]))
        except (OSError, ValueError, KeyError, TypeError):  # lost notes cost only time
            return cls(path)

    def save(self) -> None:
        write_bytes(self.path, json.dumps({"sprites": self.sprites, "pictures": self.pictures}).encode())


@checked
def forget_picture(site: str | os.PathLike[str], number: int) -> None:
    """Removes the name and size of a picture from the working files of a site."""
    path = user_path(site) / ".state" / "crops" / "notes.json"
    if path.is_file():
        notes = _Notes.read(path)
        notes.pictures.pop(str(number), None)
        notes.save()


@dataclass(frozen=True)
class _Sprite:
    """A sprite to make: its file, its name in the notes, its hash, and the unit's row in the arrays of the layer."""

    path: Path
    name: str
    hash: str
    layer: CropLayer
    unit: int


class _Pass:
    """The pass over the chosen pictures.

    Args:
        root: The site.
        pictures: The pictures.
        mode: Which whole pictures to write.
        workers: Number of threads.
        verbose: Whether to show progress.
    """

    def __init__(self, root: Path, pictures: Pictures, mode: str, workers: int, verbose: bool) -> None:
        self.root, self.pictures, self.mode = root, pictures, mode
        self.workers, self.verbose = workers, verbose
        self.folder = root / ".state" / "crops"
        self.notes = _Notes.read(self.folder / "notes.json")
        self.problems: dict[int, str] = {}

    def run(self, layers: Sequence[CropLayer]) -> Crops:
        chosen: set[int] = set()
        missing: list[_Sprite] = []
        for layer in layers:
            numbers, places = layer.slots
            chosen.update(np.unique(numbers[list(layer.shown)]).tolist())
            missing += self._missing(layer, numbers, places)
        chosen.discard(-1)
        for start in range(0, len(missing), GROUP):
            self._make(missing[start : start + GROUP])
        self._read([number for number in sorted(chosen) if not self._is_known(number)], {}, None)
        sizes = {number: self._size(number) for number in chosen if self._is_read(number)}
        return Crops(sizes, self.problems, sum(self.notes.sprites.get(one.name) == one.hash for one in missing))

    def _missing(self, layer: CropLayer, numbers: np.ndarray, places: np.ndarray) -> Iterator[_Sprite]:
        """Yields the sprites that are missing, or show other examples."""
        stated = [repr(self.pictures.prepare), SIDE, QUALITY, METHOD]
        geometry = [layer.fields.kind, layer.fields.image, layer.fields.grid, layer.fields.stride, layer.fields.offset]
        for unit in layer.shown:
            keys = [self.pictures.entries[number].mark if number >= 0 else "" for number in numbers[unit].tolist()]
            what = [*stated, *geometry, float(layer.fields.sizes[unit]), keys, places[unit].tolist()]
            hashed = hashlib.sha256(json.dumps(what).encode()).hexdigest()[:16]
            name = f"{layer.folder}/{unit}"
            path = self.root / "data" / layer.folder / "crops" / f"{unit:04d}.webp"
            if self.notes.sprites.get(name) != hashed or not path.is_file():
                yield _Sprite(path, name, hashed, layer, unit)

    def _original(self, number: int) -> Path:
        return self.root / "data" / "originals" / f"{number}.webp"

    def _is_read(self, number: int) -> bool:
        """Whether the size of a picture is known."""
        found = self.notes.pictures.get(str(number))
        return found is not None and found[0] == self.pictures.entries[number].mark

    def _is_known(self, number: int) -> bool:
        """Whether a picture need not be opened: its size is known, and its file is there; or it cannot be read."""
        if number in self.problems:
            return True
        if self.mode == "none" or not self._is_read(number):
            return self._is_read(number)
        return self.notes.pictures[str(number)][3] == self.mode and self._original(number).is_file()

    def _size(self, number: int) -> tuple[int, int]:
        _, width, height, _ = self.notes.pictures[str(number)]
        return width, height

    def _make(self, sprites: Sequence[_Sprite]) -> None:
        """Makes the sprites of a group of units."""
        wanted: dict[int, list[tuple[int, Box, Box | None]]] = {}
        numbers = np.full((len(sprites), COUNT), -1, np.int64)
        for at, sprite in enumerate(sprites):
            fields = sprite.layer.fields
            shown, places = (array[sprite.unit].tolist() for array in sprite.layer.slots)
            numbers[at] = shown
            for slot, (number, place) in enumerate(zip(shown, places, strict=True)):
                if number >= 0:
                    row = (at * COUNT + slot, fields.box(sprite.unit, place), fields.cell(place))
                    wanted.setdefault(number, []).append(row)
        path = self.folder / "tiles.bin"
        try:
            _reserve(path, len(sprites) * COUNT * SIDE * SIDE * 3)
            self._read(sorted(wanted), wanted, path)
            self._encode(sprites, numbers, path)
        finally:
            path.unlink(missing_ok=True)

    def _read(
        self,
        numbers: Sequence[int],
        wanted: Mapping[int, Sequence[tuple[int, Box, Box | None]]],
        tiles: Path | None,
    ) -> None:
        """Opens pictures, each once: cuts their crops into the working file, and writes the whole pictures."""
        jobs = [
            (number, None if self.mode == "none" or self._is_known(number) else self._original(number))
            for number in numbers
        ]
        cutter = _Cutter(self.pictures, jobs, wanted, tiles, self.mode)
        try:
            for number, size, problem in _mapped(cutter, self.workers, self.verbose, " pictures"):
                if problem:
                    self.problems[number] = f"{self.pictures.entries[number].key}: {problem}"
                else:
                    self.notes.pictures[str(number)] = [self.pictures.entries[number].mark, *size, self.mode]
        finally:
            if jobs:
                self.notes.save()

    def _encode(self, sprites: Sequence[_Sprite], numbers: np.ndarray, tiles: Path) -> None:
        known = (numbers >= 0) & ~np.isin(numbers, list(self.problems))
        complete = ((numbers >= 0) == known).all(1)
        for folder in {sprite.path.parent for sprite in sprites}:
            folder.mkdir(parents=True, exist_ok=True)
        encoder = _Encoder([sprite.path for sprite in sprites], known, tiles)
        try:
            for at in _mapped(encoder, max(self.workers, cores()), self.verbose, " sprites"):
                if complete[at]:
                    self.notes.sprites[sprites[at].name] = sprites[at].hash
                if at % SAVED == SAVED - 1:
                    self.notes.save()
        finally:
            self.notes.save()


def _reserve(path: Path, size: int) -> None:
    """Makes a file whose space the disk has: writing to a mapped file would end the process on a full one.

    Raises:
        OSError: The disk is full.
    """
    with open(path, "wb") as file:
        if not hasattr(os, "posix_fallocate"):
            file.truncate(size)
            return
        try:
            os.posix_fallocate(file.fileno(), 0, size)
        except OSError as error:
            error.filename = str(path)
            raise


class _Items(Protocol[T]):
    """Work that threads share, by its number."""

    def __len__(self) -> int: ...

    def __getitem__(self, at: int) -> T: ...


class _Cutter:
    """Opens one picture an item: (number, size, problem).

    Args:
        pictures: The pictures.
        jobs: Number of a picture, and the file of its whole picture or None.
        wanted: Number -> index of a crop in the working file, and its box and cell in the prepared image.
        tiles: The working file.
        mode: Which whole pictures to write.
    """

    def __init__(
        self,
        pictures: Pictures,
        jobs: Sequence[tuple[int, Path | None]],
        wanted: Mapping[int, Sequence[tuple[int, Box, Box | None]]],
        tiles: Path | None,
        mode: str,
    ) -> None:
        self.pictures, self.jobs, self.wanted, self.tiles, self.mode = pictures, jobs, wanted, tiles, mode

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, at: int) -> tuple[int, tuple[int, int], str]:
        number, file = self.jobs[at]
        try:
            picture = self.pictures.original(number)
        except PROBLEMS as error:
            return number, (0, 0), " ".join(str(error).split()) or type(error).__name__
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(file, webp_of(whole_picture(picture, self.mode)))
        rows = self.wanted.get(number, ())
        if rows:
            assert self.tiles is not None
            target = np.memmap(self.tiles, np.uint8, "r+").reshape(-1, SIDE, SIDE, 3)
            for index, box, cell in rows:
                target[index] = np.asarray(crop_of(picture, *_placed(box, cell, self.pictures.prepare, picture.size)))
        return number, picture.size, ""


class _Encoder:
    """Encodes one sprite an item, and returns its index.

    Args:
        paths: The files.
        known: bool [sprites, 27]: whether there is a crop.
        tiles: The working file.
    """

    def __init__(self, paths: Sequence[Path], known: np.ndarray, tiles: Path) -> None:
        self.paths, self.known, self.tiles = paths, known, tiles

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, at: int) -> int:
        tiles = np.memmap(self.tiles, np.uint8, "r").reshape(-1, COUNT, SIDE, SIDE, 3)[at]
        shown = np.where(self.known[at, :, None, None, None], tiles, np.uint8(GRAY))
        strip = shown.transpose(1, 0, 2, 3).reshape(SIDE, COUNT * SIDE, 3)
        write_bytes(self.paths[at], webp_of(Image.fromarray(np.ascontiguousarray(strip))))
        return at


def _mapped(items: _Items[T], workers: int, verbose: bool, unit: str) -> Iterator[T]:
    """Yields items in order, made by threads: decoding, resizing and encoding of pictures run beside each other."""
    count = len(items)
    if not count:
        return
    bar = progress_bar(count, unit=unit) if verbose and is_watched() else None
    pool = ThreadPoolExecutor(max(1, workers))
    waiting: deque[Future[T]] = deque()
    try:
        for at in range(count):
            waiting.append(pool.submit(items.__getitem__, at))
            if len(waiting) > AHEAD * max(1, workers):
                yield waiting.popleft().result()
                if bar is not None:
                    bar.update(1)
        while waiting:
            yield waiting.popleft().result()
            if bar is not None:
                bar.update(1)
    finally:
        pool.shutdown(cancel_futures=True)
        if bar is not None:
            bar.close()


def whole_picture(picture: Image.Image, mode: str) -> Image.Image:
    """Returns a whole picture as it is published: its pixels alone, as its metadata may say where it was taken."""
    scale = (LONGEST if mode == "small" else WEBP_LONGEST) / max(picture.size)
    if scale < 1:
        width, height = (max(1, round(side * scale)) for side in picture.size)
        picture = picture.resize((width, height), Image.Resampling.LANCZOS)
    return Image.fromarray(np.asarray(picture))


def webp_of(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "WEBP", quality=QUALITY, method=METHOD)
    return stream.getvalue()


# Rows of pictures -------------------------------------------------------------------------------


@checked
def picture_rows(
    pictures: Pictures, sizes: Mapping[int, tuple[int, int]], labels: Sequence[str | None] | None = None
) -> list[dict[str, Any]]:
    """Returns the rows of `pictures.parquet`.

    Args:
        pictures: The pictures.
        sizes: Picture's number -> (width, height), as in `Crops`. Of other files, the header is read; other
            pictures of a dataset have no size.
        labels: The class of each picture; by default the collection is asked for each.

    Raises:
        ValueError: There is not one label for each picture.
    """
    if labels is not None and len(labels) != len(pictures.entries):
        raise ValueError(f"{len(pictures.entries)} pictures have {len(labels)} labels: give one for each.")
    rows = []
    for entry in pictures.entries:
        size = sizes.get(entry.number)
        if size is None and pictures.source is not None and entry.key:
            size = _header_size(pictures.source / entry.key)
        width, height = size or (None, None)
        label = pictures.label(entry.number) if labels is None else labels[entry.number]
        rows.append({"number": entry.number, "key": entry.key, "label": label, "width": width, "height": height})
    return rows


def _header_size(path: Path) -> tuple[int, int] | None:
    try:
        return picture_size(path)
    except OSError:
        return None
