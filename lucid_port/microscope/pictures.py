"""Pictures as input of a network: folders, and map-style datasets of torch, torchvision and Hugging Face."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from converters import checks
from converters.paths import user_path
from converters.signatures import checked
from lucid_port.misc.io.pictures import as_rgb, decode_picture, levels_of, unit_floats
from lucid_port.misc.threads import worker_count
from lucid_port.modelzoo.preprocessing import Preprocessing
from lucid_port.modelzoo.vision_base import Model
from lucid_port.recipes.inputs import model_size

__all__ = ["Batch", "Entry", "Pictures", "picture_hash", "preparation"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp")

PICTURE_CHANNELS = (1, 3, None)
"""Channels of the images of networks that take pictures; None stands for any number."""

BESIDE = ("credits.toml", "credits.csv")
"""Files beside pictures that are read as well."""

Prepare: TypeAlias = Callable[[Image.Image], Tensor]
"""Resizes and crops a picture: (3, height, width) in [0, 1]."""


class Dataset(Protocol):
    """A map-style dataset: of pictures, of (picture, label), or of dictionaries with "image" or "img" and "label"."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


REMOVED = "it was removed"
"""The clause for a picture that was taken out of a site."""


@checked
def picture_hash(key: str) -> str:
    """Returns a hash of a picture's key, by which a removed picture is known without its name."""
    return hashlib.sha256(key.encode()).hexdigest()


@checked
@dataclass(frozen=True)
class Entry:
    """One picture of a collection.

    Attributes:
        number: Index of the picture.
        key: Path of the file, relative to the folder, or the index in the dataset.
        label: Name or number of the class; None if there is none.
        bytes: Size of the file, by which a file that was replaced is known; None for a dataset.
    """

    number: int
    key: str
    label: str | None = None
    bytes: int | None = None

    @property
    def mark(self) -> str:
        """The key and the size of the file: it differs if the picture is another one."""
        return self.key if self.bytes is None else f"{self.key} {self.bytes}"


@checked
@dataclass(frozen=True)
class Batch:
    """Consecutive pictures.

    Attributes:
        numbers: Their indices.
        images: (N, 3, height, width) in [0, 1]; zeros for unreadable pictures.
        problems: Index -> a clause, for each picture that cannot be read.
    """

    numbers: range
    images: Tensor
    problems: Mapping[int, str]


@checked
def preparation(model: Model) -> Preprocessing:
    """Returns how pictures are resized and cropped for a model.

    A model's own configuration is used if it has one. Otherwise, the shorter side of a picture is resized to the longer
    side of the model's images, and the center is cropped.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> preparation(TinyInceptionV1())
        Preprocessing(size=(96, 96), resize=96, interpolation='bilinear')
    """
    stated = getattr(model, "preprocessing", None)
    if isinstance(stated, Preprocessing):
        return stated
    height, width = model_size(model)
    return Preprocessing((height, width), resize=max(height, width))


@checked
class Pictures(torch.utils.data.Dataset[Any]):
    """A collection of pictures, prepared for a network.

    Args:
        data: A folder, with a subfolder for each class or without, or a map-style dataset. Files are ordered by class
            and name; those of other kinds than pictures are left out, and listed in `others`.
        prepare: Resizes and crops a picture, as from `preparation`.
        label_names: Names of the classes of a dataset, by number; by default those that the dataset states.
        removed: Hashes of keys, as from `picture_hash`: these pictures keep their numbers, and cannot be read.

    Attributes:
        entries: The pictures; those that are removed have no key.
        source: The folder; None for a dataset.
        data: The dataset; None for a folder.
        others: Paths of the files of a folder that are left out, as they are no pictures that can be read.

    Raises:
        FileNotFoundError: The folder does not exist, or has no pictures.
        TypeError: `data` is neither a path nor a dataset with a length.

    Example:
        >>> pictures = Pictures([np.zeros((30, 40, 3)), np.ones((20, 20))], Preprocessing((8, 8)))
        >>> [tuple(batch.images.shape) for batch in pictures.batches(4)]
        [(2, 3, 8, 8)]
    """

    def __init__(
        self,
        data: str | os.PathLike[str] | Dataset | Sequence[Any],
        prepare: Prepare,
        label_names: Sequence[str] | None = None,
        removed: Iterable[str] = (),
    ) -> None:
        self.prepare = prepare
        self.removed = frozenset(removed)
        self.source: Path | None = None
        self.data: Any = None
        self.others: Sequence[str] = ()
        self._names = label_names
        if isinstance(data, (str, os.PathLike)):
            self.source = user_path(data)
            self.entries, self.others = _files(self.source)
        elif hasattr(data, "__getitem__") and hasattr(data, "__len__"):
            self.data = data
            self._names = _label_names(data) if label_names is None else label_names
            if not len(data):
                raise FileNotFoundError("The dataset has no pictures.")
            self.entries = [Entry(number, str(number)) for number in range(len(data))]
        else:
            raise TypeError(
                f"The pictures are a folder or a map-style dataset, which has a length, not a {type(data).__name__}."
            )

        if self.removed:
            self.entries = [
                Entry(one.number, "") if picture_hash(one.key) in self.removed else one for one in self.entries
            ]

    def __len__(self) -> int:
        return len(self.entries)

    @checked
    def original(self, number: int) -> Image.Image:
        """Returns a picture as RGB at its own size, upright, with transparent parts on white.

        Raises:
            ValueError: There is no picture with this number, or it cannot be read.
        """
        return self._read(self._numbered(number))[0]

    @checked
    def label(self, number: int) -> str | None:
        """Returns the label of a picture; None if it has none.

        Raises:
            ValueError: There is no picture with this number.
        """
        number = self._numbered(number)
        if self.data is None or not self.entries[number].key:
            return self.entries[number].label
        targets = getattr(self.data, "targets", None)  # torchvision's numbers of classes, which need no picture
        if isinstance(targets, Sequence) and len(targets) == len(self):
            return self._named(targets[number])
        return self._label(self.data[number])

    def _numbered(self, number: int) -> int:
        return checks.whole(number, "number", 0, len(self) - 1)

    def __getitem__(self, number: int) -> tuple[Tensor | None, str]:
        """Returns a picture, prepared, and an empty text; or None and a clause that says why it cannot be read."""
        try:
            return self.prepare(self._read(number)[0]), ""
        except (TypeError, ValueError) as error:
            return None, str(error)

    @checked
    def batches(self, size: int, first: int = 0, last: int | None = None, workers: int = 0) -> Iterator[Batch]:
        """Yields the pictures from `first` up to `last` (excluded) in order, decoded by worker processes.

        Args:
            size: Number of pictures in a batch.
            first: Number of the first picture.
            last: Number after the last one; all by default.
            workers: Number of processes; 0 decodes in this one.
        """
        wanted = range(first, len(self) if last is None else min(last, len(self)))
        yield from self.read([wanted[start : start + size] for start in range(0, len(wanted), size)], workers)

    @checked
    def read(self, parts: Sequence[range], workers: int = 0) -> Iterator[Batch]:
        """Yields the pictures of each range of numbers as a batch; all are decoded by the same worker processes.

        Args:
            parts: Ranges of numbers.
            workers: Number of processes; 0 decodes in this one.

        Raises:
            ValueError: There are more processes than `most_workers()`.
        """
        workers = worker_count(workers)
        loader = torch.utils.data.DataLoader(
            self,
            batch_sampler=[list(part) for part in parts],
            num_workers=workers,
            collate_fn=_collated,
            multiprocessing_context=_context(workers),
        )
        for part, (images, problems) in zip(parts, loader, strict=True):
            yield Batch(part, images, {part[at]: problem for at, problem in problems.items()})

    def _read(self, number: int) -> tuple[Image.Image, str | None]:
        if not self.entries[number].key:
            raise ValueError(REMOVED)
        if self.source is None:
            item = self.data[number]
            return _as_rgb(_picture_in(item)), self._label(item)
        entry = self.entries[number]
        try:
            return _as_rgb(decode_picture(self.source / entry.key, use="floats")), entry.label
        except OSError as error:
            reason = error.strerror if error.filename and error.strerror else str(error)
            raise ValueError(reason) from error

    def _label(self, item: Any) -> str | None:
        given = item.get("label") if isinstance(item, Mapping) else item[1] if _is_pair(item) else None
        return None if given is None else self._named(given)

    def _named(self, given: Any) -> str:
        is_number = isinstance(given, (int, np.integer))
        return str(self._names[int(given)]) if is_number and self._names is not None else str(given)


def _files(folder: Path) -> tuple[list[Entry], list[str]]:
    """Returns the pictures of a folder: those in it, then those of each subfolder, a class; and its other files."""
    if folder.is_file():
        raise NotADirectoryError(f"{folder} is a file: name the folder of the pictures.")
    if not folder.is_dir():
        raise FileNotFoundError(f"There is no folder {folder}.")
    own = [one for one in folder.iterdir() if not one.name.startswith(".")]
    places: list[tuple[str | None, list[Path]]] = [(None, own)]
    places += [(one.name, list(one.rglob("*"))) for one in sorted(own) if one.is_dir()]
    entries: list[Entry] = []
    others: list[str] = []
    for label, paths in places:
        for path in sorted(path for path in paths if path.is_file()):
            key = path.relative_to(folder).as_posix()
            if path.suffix.lower() in SUFFIXES and _is_text(key):
                entries.append(Entry(len(entries), key, label, path.stat().st_size))
            elif not path.name.startswith(".") and key not in BESIDE:
                others.append(key)
    if not entries:
        raise FileNotFoundError(f"{folder} has no pictures: their names end in {', '.join(SUFFIXES)}.")
    return entries, others


def _is_text(key: str) -> bool:
    """Whether a name can be written in UTF-8; systems take other names as well."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _label_names(data: Any) -> Sequence[str] | None:
    """Returns the names of the classes of a dataset: torchvision's `classes`, or the `names` of a feature "label"."""
    names = getattr(data, "classes", None)
    if names is None:
        features = getattr(data, "features", None)
        label = features.get("label") if isinstance(features, Mapping) else None
        names = getattr(label, "names", None)
    return list(names) if isinstance(names, (list, tuple)) else None


def _is_pair(item: Any) -> bool:
    return isinstance(item, (tuple, list)) and len(item) == 2 and np.ndim(item[1]) == 0


def _picture_in(item: Any) -> Any:
    """Returns the picture of an item of a dataset.

    Raises:
        ValueError: It has none.
    """
    if isinstance(item, Mapping):
        for name in ("image", "img", "pixel_values"):
            if name in item:
                return item[name]
        raise ValueError(f"it has none of the keys image, img and pixel_values, but {', '.join(map(str, item))}")
    return item[0] if _is_pair(item) else item


def _as_rgb(picture: Any) -> Image.Image:
    """Returns a picture of any mode, an array or a tensor as RGB, upright, with transparent parts on white.

    Raises:
        ValueError: It is no picture.
    """
    if isinstance(picture, Image.Image):
        return as_rgb(picture)
    array = np.asarray(picture.detach().cpu() if isinstance(picture, Tensor) else picture)
    if isinstance(picture, Tensor) and array.ndim == 3 and array.shape[0] in (1, 3, 4):
        array = np.moveaxis(array, 0, -1)
    if array.ndim not in (2, 3) or array.dtype.kind not in "uifb" or not array.size:
        raise ValueError(f"it is no picture, but an array of {array.dtype} {list(array.shape)}")
    pixels = unit_floats(array if array.ndim == 3 else array[..., None])
    if not np.isfinite(pixels).all():
        raise ValueError("it has values that are NaN or infinite")
    return levels_of(pixels)


def _collated(items: Sequence[tuple[Tensor | None, str]]) -> tuple[Tensor, dict[int, str]]:
    read = [image for image, _ in items if image is not None]
    like = torch.zeros_like(read[0]) if read else torch.zeros(0)
    problems = {at: problem for at, (image, problem) in enumerate(items) if image is None}
    return torch.stack([like if image is None else image for image, _ in items]), problems


def _context(workers: int) -> str | None:
    """Returns how workers start. A fork would copy torch's threads, which may hang."""
    return "spawn" if workers else None
