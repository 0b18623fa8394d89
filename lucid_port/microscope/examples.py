"""Each unit's strongest activation in every picture, and the pictures of its top, bottom and quantiles.

A pass over the pictures keeps, for each picture and unit, the greatest value over all places, its place, and the mean.
Batches and shards are cut by the number of the picture, so that a pass in parts has the bits of a pass at once. A shard
that is finished is a file; an interrupted pass goes on behind it.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import save as as_safetensors
from torch import Tensor

from converters import checks
from converters.atomic import check_writable, write_bytes, write_chunks
from converters.paths import user_path
from converters.signatures import checked
from lucid_port.microscope.names import layer_folder
from lucid_port.microscope.pictures import Batch, Pictures
from lucid_port.misc.locking import FolderLock
from lucid_port.misc.progress import is_watched, progress_bar
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis.engine.coerce import layer_info
from lucid_port.optvis.fingerprints import fingerprint
from lucid_port.recipes.inputs import model_size, read_layers

__all__ = ["QUANTILES", "Examples", "PooledLayer", "check_layers", "find_examples", "pool_activations"]

QUANTILES = (99.9, 99.0, 95.0, 90.0, 50.0)
"""Percentiles of a unit's activations that examples are shown for."""

TOP, BOTTOM, EACH = 12, 5, 2
"""Number of examples with the greatest and the least activations, and at each quantile."""

BATCHES = 2
"""Batches in a shard, whose values are in memory at once."""

BLOCK = 2**18
"""Values of the pooled matrix that are sorted at once; a value needs some 20 bytes meanwhile."""

WIDTH = 256
"""Units whose pictures are sorted at once."""

SHARDS, JOINED = "shards", "pictures.txt"
_PARTS = ("max", "mean", "place")

_Columns = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Values, numbers and places of pictures, [units, k]."""


@checked
def check_layers(model: Model, layers: Sequence[str]) -> None:
    """Checks with one gray image that layers have a value for each unit and picture.

    Args:
        model: The model.
        layers: Names of layers.

    Raises:
        converters.LayerNotFoundError: The model has no such layer.
        converters.ChannelAxisError: The axes of a layer are not known.
        ValueError: A layer splits an image into windows.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> check_layers(TinyInceptionV1(), ["mixed4a"])
    """
    if layers:
        _cells(model, torch.full((1, model.image_shape[-1] or 3, *model_size(model)), 0.5), layers)


def _cells(model: Model, images: Tensor, layers: Sequence[str]) -> dict[str, Tensor]:
    """Returns layer -> its values, (N, units, ...), on the model's device."""
    images = images.to(model.device)
    if model.image_shape[-1] == 1 and images.shape[1] != 1:
        images = images.mean(1, keepdim=True)
    with torch.inference_mode():
        values = read_layers(model, images, list(layers))
    for layer, one in values.items():
        if len(one.first) != len(images):
            raise ValueError(f"Layer {layer!r} splits an image into windows: it has no value for each picture.")
    return {
        layer: values[layer].places() if values[layer].layout.has_places else values[layer].first for layer in layers
    }


# The pass ---------------------------------------------------------------------------------------


@checked
@dataclass(frozen=True)
class PooledLayer:
    """The pooled activations of a layer, as files; nothing is read before it is used.

    Attributes:
        layer: Name of the layer.
        folder: Folder of `max.npy` and `mean.npy`, float16 [pictures, units], and of `place.npy`, uint16
            [pictures, units]: row * width + column of the strongest cell, or the number of the token. Values that
            exceed these types are float32 and uint32.
        shards: The shards in order, with float32 values.
        grid: (rows, columns) of the layer's places; (1, 1) for a fully connected layer, (1, L) for L tokens that have
            no places.
        problems: Picture's number -> a clause, for each picture that could not be read. Its values are NaN.
    """

    layer: str
    folder: Path
    shards: tuple[Path, ...]
    grid: tuple[int, int]
    problems: Mapping[int, str]

    @checked
    def array(self, part: Literal["max", "mean", "place"]) -> np.ndarray:
        """Returns "max", "mean" or "place" as an array that is read from its file on use."""
        return np.load(self.folder / f"{part}.npy", mmap_mode="r", allow_pickle=False)

    def blocks(self) -> Iterator[tuple[int, dict[str, np.ndarray]]]:
        """Yields the number of the first picture of each shard, and its arrays; values are float32."""
        first = 0
        for path in self.shards:
            block = _read_shard(path)
            yield first, block
            first += len(block["max"])


@checked
def pool_activations(
    model: Model,
    pictures: Pictures,
    layers: Sequence[str],
    folder: str | os.PathLike[str],
    *,
    batch_size: int = 32,
    workers: int = 0,
    verbose: bool = True,
) -> dict[str, PooledLayer]:
    """Computes each unit's strongest activation in every picture.

    Several layers are computed in one pass. Finished shards of the same model, pictures and batch size are kept. Layers
    that are added later get a pass of their own; of pictures that are added, only the new shards are computed.

    Args:
        model: The model.
        pictures: The pictures.
        layers: Names of layers.
        folder: Folder for the files, created if it is missing.
        batch_size: Number of pictures in a batch. Rounding depends on it.
        workers: Processes that decode pictures; 0 decodes in this one.
        verbose: Whether to show progress.

    Returns:
        Layer -> its pooled activations.

    Raises:
        converters.LayerNotFoundError: The model has no such layer.
        ValueError: A layer splits an image into windows, or the folder is of another model, preparation or batch size.
        OSError: The folder cannot be written, or another run writes to it.

    Example:
        >>> import tempfile
        >>> from lucid_port.microscope.pictures import preparation
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> model = TinyInceptionV1()
        >>> noise = np.random.default_rng(0).random((5, 96, 96, 3))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     pictures = Pictures(noise, preparation(model))
        ...     pooled = pool_activations(model, pictures, ["mixed4a"], folder, verbose=False)
        ...     pooled["mixed4a"].array("max").shape, find_examples(pooled["mixed4a"], top=2).top.numbers.shape
        ((5, 127), (127, 2))
    """
    if not layers:
        raise ValueError("No layers are named: name at least one.")
    size = checks.whole(batch_size, "batch_size", 1)
    names = {_canonical(model, name): name for name in layers}
    place = user_path(folder)
    check_writable(place / "state.json")
    place.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(place)
    try:
        work = _Pass(model, pictures, place, size, workers)
        work.run(list(names), verbose)
        return {asked: work.finished(own) for own, asked in names.items()}
    finally:
        lock.release()


def _canonical(model: Model, name: str) -> str:
    info = layer_info(model, name)
    return name if info is None else info.name


class _Pass:
    """A pass over pictures.

    Args:
        model: The model.
        pictures: The pictures.
        folder: Folder of the files.
        size: Number of pictures in a batch.
        workers: Number of processes that decode pictures.
    """

    def __init__(self, model: Model, pictures: Pictures, folder: Path, size: int, workers: int) -> None:
        self.model, self.pictures, self.folder, self.size, self.workers = model, pictures, folder, size, workers
        self.step = size * BATCHES
        self._batches: Iterator[Batch] = iter(())
        self._check_state()

    def _check_state(self) -> None:
        """Checks that the folder belongs to this pass, and marks a new folder."""
        state = {
            "model": fingerprint(self.model),
            "preparation": repr(self.pictures.prepare),
            "batch_size": self.size,
        }
        path = self.folder / "state.json"
        if path.is_file():
            try:
                there = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise ValueError(f"{path} is damaged ({error}): choose another folder.") from error
            different = [name for name in state if not isinstance(there, dict) or there.get(name) != state[name]]
            if different:
                raise ValueError(
                    f"{self.folder} holds activations of another pass ({', '.join(different)} differ): choose another "
                    "folder."
                )
        else:
            write_bytes(path, json.dumps(state, indent=1).encode())

    def _shard(self, layer: str, number: int) -> Path:
        return self.folder / layer_folder(layer) / SHARDS / f"{number:06d}.safetensors"

    def _count(self) -> int:
        return -(-len(self.pictures) // self.step)

    def _range(self, number: int) -> range:
        """Returns the numbers of the pictures of a shard."""
        return range(number * self.step, min((number + 1) * self.step, len(self.pictures)))

    def _keys(self, number: int) -> str:
        """Returns a hash of the pictures of a shard."""
        keys = [self.pictures.entries[one].mark for one in self._range(number)]
        return hashlib.sha256("\n".join(keys).encode()).hexdigest()[:16]

    def _is_there(self, layer: str, number: int) -> bool:
        """Whether a shard is finished, and of the same pictures."""
        path = self._shard(layer, number)
        return path.is_file() and _notes(path).get("keys") == self._keys(number)

    def run(self, layers: Sequence[str], verbose: bool) -> None:
        """Computes the shards that are missing, or whose pictures are others now."""
        bar = progress_bar(len(self.pictures), unit=" pictures") if verbose and is_watched() else None
        missing = [[layer for layer in layers if not self._is_there(layer, one)] for one in range(self._count())]
        # Worker processes start slowly: those of the first shard decode all of them.
        starts = (start for number, some in enumerate(missing) if some for start in self._range(number)[:: self.size])
        parts = [range(start, min(start + self.size, len(self.pictures))) for start in starts]
        self._batches = self.pictures.read(parts, self.workers)
        try:
            for number, some in enumerate(missing):
                wanted = self._range(number)
                if some:
                    self._compute(some, number, wanted.start, wanted.stop)
                if bar is not None:
                    bar.update(len(wanted))
        finally:
            self._batches = iter(())
            if bar is not None:
                bar.close()

    def _compute(self, layers: Sequence[str], number: int, first: int, last: int) -> None:
        found: dict[str, list[dict[str, Tensor]]] = {layer: [] for layer in layers}
        problems: dict[int, str] = {}
        grids: dict[str, tuple[int, int]] = {}
        for batch in itertools.islice(self._batches, -(-(last - first) // self.size)):
            problems |= batch.problems
            lost = [at for at, one in enumerate(batch.numbers) if one in batch.problems]
            values = self._pooled(batch.images, layers, grids, lost)
            for layer in layers:
                found[layer].append(values[layer])
        for layer in layers:
            batches = found.pop(layer)
            arrays = {part: torch.cat([one[part] for one in batches]).numpy() for part in _PARTS}
            notes = {"grid": json.dumps(grids[layer]), "problems": json.dumps(problems), "keys": self._keys(number)}
            path = self._shard(layer, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            (path.parent.parent / JOINED).unlink(missing_ok=True)  # the arrays lack this shard
            write_bytes(path, as_safetensors(arrays, notes))

    def _pooled(
        self, images: Tensor, layers: Sequence[str], grids: dict[str, tuple[int, int]], lost: Sequence[int]
    ) -> dict[str, dict[str, Tensor]]:
        """Returns the pooled values of a batch, on the CPU; those of unreadable pictures are NaN."""
        if images.ndim != 4:  # no picture of the batch can be read
            height, width = self.pictures.prepare(_black()).shape[1:]
            images = torch.zeros(len(images), 3, height, width)
        found = {}
        for layer, cells in _cells(self.model, images, layers).items():
            grids[layer] = tuple(cells.shape[2:]) if cells.ndim == 4 else (1, cells[0, 0].numel())  # type: ignore[assignment]
            flat = cells.float().flatten(2) if cells.ndim > 2 else cells.float()[..., None]
            top, place = flat.max(2)
            pooled = {"max": top, "mean": flat.mean(2), "place": place.to(torch.int32)}
            pooled = {part: value.cpu().clone() for part, value in pooled.items()}
            for at in lost:
                pooled["max"][at] = pooled["mean"][at] = torch.nan
            found[layer] = pooled
        return found

    def finished(self, layer: str) -> PooledLayer:
        """Joins the shards of a layer into its arrays."""
        shards = tuple(self._shard(layer, number) for number in range(self._count()))
        folder = self.folder / layer_folder(layer)
        grid: tuple[int, int] = (1, 1)
        problems: dict[int, str] = {}
        for path in shards:
            notes = _notes(path)
            grid = tuple(json.loads(notes["grid"]))
            problems |= {int(number): clause for number, clause in json.loads(notes["problems"]).items()}
        pooled = PooledLayer(layer, folder, shards, grid, problems)
        pictures = str(len(self.pictures))
        joined = folder / JOINED
        if not joined.is_file() or joined.read_text(encoding="utf-8") != pictures:
            _join(pooled, len(self.pictures))
            write_bytes(joined, pictures.encode())
        return pooled


def _black() -> Any:
    from PIL import Image

    return Image.new("RGB", (8, 8))


def _open_shard(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"The shard {path} of pooled activations is missing: pool the activations again.")
    return safe_open(path, "np")


def _notes(path: Path) -> dict[str, str]:
    with _open_shard(path) as file:
        return dict(file.metadata())


def _read_shard(path: Path) -> dict[str, np.ndarray]:
    with _open_shard(path) as file:
        return {part: file.get_tensor(part) for part in _PARTS}


def _join(pooled: PooledLayer, count: int) -> None:
    """Writes the arrays of a layer: float16 and uint16, or float32 and uint32 where values exceed these."""
    largest = dict.fromkeys(_PARTS, 0.0)
    units = 0
    for _, block in pooled.blocks():
        units = block["max"].shape[1]
        for part in _PARTS:
            finite = block[part][np.isfinite(block[part])]
            largest[part] = max(largest[part], float(np.abs(finite).max(initial=0)))
    for part in _PARTS:
        small, large = ("uint16", "uint32") if part == "place" else ("float16", "float32")
        fits = largest[part] <= (65535 if part == "place" else float(np.finfo(np.float16).max))
        kind = np.dtype(small if fits else large)
        write_chunks(pooled.folder / f"{part}.npy", _array_file(pooled, part, kind, (count, units)))


def _array_file(pooled: PooledLayer, part: str, kind: np.dtype[Any], shape: tuple[int, int]) -> Iterator[bytes]:
    """Yields the bytes of a file of NumPy. Files that are mapped into memory would end the process on a full disk."""
    header = io.BytesIO()
    described = np.lib.format.dtype_to_descr(kind)
    np.lib.format.write_array_header_1_0(header, {"descr": described, "fortran_order": False, "shape": shape})
    yield header.getvalue()
    for _, block in pooled.blocks():
        yield block[part].astype(kind).tobytes()


# Examples ---------------------------------------------------------------------------------------


@checked
@dataclass(frozen=True)
class Chosen:
    """Pictures that were chosen for each unit.

    Attributes:
        numbers: int32 [units, k]: numbers of the pictures; -1 where there are fewer.
        values: float32 [units, k]: the unit's strongest activation in each; NaN where there is no picture.
        places: uint32 [units, k]: row * width + column of the strongest cell.
    """

    numbers: np.ndarray
    values: np.ndarray
    places: np.ndarray


@checked
@dataclass(frozen=True)
class Examples:
    """Examples of a layer's units.

    Attributes:
        top: The greatest activations, the greatest first.
        bottom: The least activations, the least first.
        quantiles: Percentile -> pictures around it, the greater first.
        dropped: Number of NaN activations of each unit, [units]; their pictures are not ranked.
    """

    top: Chosen
    bottom: Chosen
    quantiles: Mapping[float, Chosen]
    dropped: np.ndarray

    @checked
    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the examples as a safetensors file: "top/numbers", "top/values", ..., "quantile 99.9/places"."""
        groups = {"top": self.top, "bottom": self.bottom}
        groups |= {f"quantile {q:g}": chosen for q, chosen in self.quantiles.items()}
        arrays = {f"{name}/{part}": getattr(one, part) for name, one in groups.items() for part in vars(one)}
        return write_bytes(user_path(path), as_safetensors({**arrays, "dropped": self.dropped}))


@checked
def find_examples(
    pooled: PooledLayer,
    top: int = TOP,
    bottom: int = BOTTOM,
    quantiles: Sequence[float] = QUANTILES,
    each: int = EACH,
) -> Examples:
    """Chooses pictures for each unit of a layer.

    Top and bottom are exact in float32. Quantiles rank the stored float16 values. Ties are broken by the number of the
    picture, the lower first. NaN values are dropped before.

    Args:
        pooled: Result of `pool_activations` for the layer.
        top, bottom: Number of pictures with the greatest and the least activations.
        quantiles: Percentiles, from 0 to 100.
        each: Number of pictures at each quantile: the one of rank `q / 100 * (n - 1)`, rounded, and those below it.

    Raises:
        ValueError: A number is out of range.
    """
    top, bottom = checks.whole(top, "top", 0), checks.whole(bottom, "bottom", 0)
    each = checks.whole(each, "each", 1)
    wanted = [checks.number(q, "A quantile", 0, most=100) for q in quantiles]
    best, least = _extremes(pooled, top, greatest=True), _extremes(pooled, bottom, greatest=False)
    numbers, dropped = _ranked(pooled, wanted, each)
    return Examples(best, least, {q: _looked_up(pooled, numbers[q]) for q in wanted}, dropped)


def _extremes(pooled: PooledLayer, count: int, greatest: bool) -> Chosen:
    """Returns the pictures of the greatest or the least values, exact in float32, shard by shard."""
    best: dict[int, _Columns] = {}  # number of a block's first unit -> its columns
    for first, block in pooled.blocks():
        pictures, units = block["max"].shape
        for start in range(0, units, WIDTH):
            values, places = (block[part][:, start : start + WIDTH].T for part in ("max", "place"))
            numbers = np.broadcast_to(np.arange(first, first + pictures, dtype=np.int32), values.shape)
            new = (values, numbers, places.astype(np.uint32))
            best[start] = _best([best[start], new] if start in best else [new], count, greatest)
    values, numbers, places = (np.concatenate(parts) for parts in zip(*best.values(), strict=True))
    return _filled(values, numbers, places, count)


def _best(columns: Sequence[_Columns], count: int, greatest: bool) -> _Columns:
    """Returns the columns with the greatest or the least values of each unit; the order of pictures is ascending."""
    values, numbers, places = (np.concatenate(parts, 1) for parts in zip(*columns, strict=True))
    # Earlier pictures stand first, and the sort is stable, so that ties keep their order. NaN is sorted to the end.
    order = np.argsort(-values if greatest else values, axis=1, kind="stable")[:, :count]
    return tuple(np.take_along_axis(one, order, 1) for one in (values, numbers, places))  # type: ignore[return-value]


def _filled(values: np.ndarray, numbers: np.ndarray, places: np.ndarray, count: int) -> Chosen:
    """Returns `count` columns; those without a picture are -1 and NaN."""
    missing = ((0, 0), (0, count - values.shape[1]))
    values = np.pad(values.astype(np.float32), missing, constant_values=np.nan)
    lost = np.isnan(values)
    numbers = np.pad(numbers.astype(np.int32), missing)
    places = np.pad(places.astype(np.uint32), missing)
    return Chosen(np.where(lost, -1, numbers).astype(np.int32), values, np.where(lost, 0, places).astype(np.uint32))


def _ranked(pooled: PooledLayer, quantiles: Sequence[float], each: int) -> tuple[dict[float, np.ndarray], np.ndarray]:
    """Returns the numbers of the pictures at each quantile, [units, each], and how many values of each unit are NaN."""
    stored = pooled.array("max")
    count, units = stored.shape
    found = {q: np.full((units, each), -1, np.int32) for q in quantiles}
    dropped = np.zeros(units, np.int32)
    width = max(1, BLOCK // count)
    for start in range(0, units, width):
        block = np.asarray(stored[:, start : start + width])
        order = np.argsort(block, axis=0, kind="stable")  # NaN last
        known = count - np.isnan(block).sum(0)
        dropped[start : start + width] = count - known
        for q in quantiles:
            for unit, n in enumerate(known):
                ranks = np.rint(q / 100 * (n - 1)).astype(int) - np.arange(min(each, n)) if n else []
                ranks = [rank for rank in ranks if rank >= 0]
                found[q][start + unit, : len(ranks)] = order[ranks, unit]
    return found, dropped


def _looked_up(pooled: PooledLayer, numbers: np.ndarray) -> Chosen:
    """Returns float32 values and places of chosen pictures, from the shards that hold them."""
    values = np.full(numbers.shape, np.nan, np.float32)
    places = np.zeros(numbers.shape, np.uint32)
    units = np.broadcast_to(np.arange(len(numbers))[:, None], numbers.shape)
    for first, block in pooled.blocks():
        here = (numbers >= first) & (numbers < first + len(block["max"]))
        rows, columns = numbers[here] - first, units[here]
        values[here], places[here] = block["max"][rows, columns], block["place"][rows, columns]
    return Chosen(numbers, values, places)
