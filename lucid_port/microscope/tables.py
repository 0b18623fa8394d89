"""The files of a site's folder `data`: the contract between the parts that compute and all that read.

`docs/microscope_files.md` describes them. Files are written beside their places and renamed. What is read may come from
another author: it is checked, and an error is one sentence.
"""

from __future__ import annotations

import io
import json
import math
import os
import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, cast

import numpy as np
from safetensors import SafetensorError, safe_open

from converters import checks, schema
from converters.atomic import write_bytes
from converters.documents import read_json
from converters.errors import nearest_names
from converters.paths import user_path
from converters.schema import Natural
from converters.signatures import checked
from lucid_port.microscope.examples import Chosen, Examples
from lucid_port.microscope.plain_values import plain_json

if TYPE_CHECKING:
    import pyarrow

__all__ = [
    "FORMAT",
    "VERSION",
    "Details",
    "LayerEntry",
    "Manifest",
    "Site",
    "SiteLayer",
    "open_site",
    "read_details",
    "read_examples",
    "read_manifest",
    "read_table",
    "write_details",
    "write_manifest",
    "write_pictures",
    "write_units",
]

FORMAT, VERSION = "lucid_port microscope", 1
DATA, MANIFEST, PICTURES, UNITS = "data", "manifest.json", "pictures.parquet", "units.parquet"
EXAMPLES, DETAILS = "examples.safetensors", "details.json"

_SAFE = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")
_QUANTILE = "quantile "


# The manifest -----------------------------------------------------------------------------------


class _Model(TypedDict):
    name: str
    source: str | None
    hash: str
    image_shape: Sequence[int | None]
    value_range: tuple[float, float]


class _Field(TypedDict):
    size: float
    stride: float


class _WeightHistogram(TypedDict):
    counts: Sequence[Natural]
    low: float
    high: float


class LayerEntry(TypedDict):
    """A layer in the manifest.

    Attributes:
        name: Name of the layer in the model.
        folder: Its folder in the site and in `data`.
        units: The units that the site shows.
        total_units: Number of the layer's units, which are the columns of its arrays.
        grid: (rows, columns) of the layer's places.
        axes: One letter for each axis of the layer's tensor, such as "NCHW".
        tokens: Names of the tokens without a place, such as "cls_token"; None if the layer has no tokens.
        field: The median of its units' effective receptive fields and the distance of its places, in pixels of the
            prepared image; None if the layer has no places.
        dtypes: "max", "mean" and "place" -> NumPy's name of the type.
        techniques: Names of the techniques that its units are rendered by.
        weights: Histogram of its weights; None if it has none of its own.
        deepdream: Whether there is a `deepdream.webp`.
        caricatures: Names of the pictures in `caricatures`.
    """

    name: str
    folder: str
    units: Sequence[Natural]
    total_units: Natural
    grid: tuple[Natural, Natural]
    axes: str
    tokens: Sequence[str] | None
    field: _Field | None
    dtypes: Mapping[str, str]
    techniques: Sequence[str]
    weights: _WeightHistogram | None
    deepdream: bool
    caricatures: Sequence[str]


class _Node(TypedDict):
    name: str
    layer: str | None
    op: str


class _Graph(TypedDict):
    nodes: Sequence[_Node]
    edges: Sequence[tuple[Natural, Natural]]


class Manifest(TypedDict):
    """`manifest.json`; see `docs/microscope_files.md`."""

    format: Literal["lucid_port microscope"]
    version: Literal[1]
    model: _Model
    preprocessing: Mapping[str, Any]
    settings: Mapping[str, Any]
    layers: Sequence[LayerEntry]
    graph: _Graph
    techniques: Mapping[str, Mapping[str, Any]]
    pictures: Natural
    problems: Mapping[str, str]
    labels: Sequence[str]
    credits: Mapping[str, Any]
    versions: Mapping[str, str]


@checked
def write_manifest(folder: str | os.PathLike[str], manifest: Mapping[str, Any]) -> Path:
    """Writes `data/manifest.json` of a site.

    Args:
        folder: The site.
        manifest: Its content, without "format" and "version".

    Raises:
        ValueError: A key is missing or unknown, or a value has another type.
    """
    whole = {"format": FORMAT, "version": VERSION, **manifest}
    _check_manifest(whole, "The manifest")
    text = json.dumps(whole, indent=1, ensure_ascii=False, allow_nan=False)
    return _write(user_path(folder) / DATA / MANIFEST, text.encode())


@checked
def read_manifest(folder: str | os.PathLike[str]) -> Manifest:
    """Reads `data/manifest.json` of a site.

    Raises:
        FileNotFoundError: The folder is no site.
        ValueError: The manifest is damaged, or of another version.
    """
    path = user_path(folder) / DATA / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f"{user_path(folder)} is no site: it has no {DATA}/{MANIFEST}.")
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError(f"{path} is not the manifest of a site: its format is not {FORMAT!r}.")
    if manifest.get("version") != VERSION:
        shown = checks.shown(manifest.get("version"))
        raise ValueError(f"{path} has version {shown}, and this lucid_port reads version {VERSION}: use the other one.")
    _check_manifest(manifest, str(path))
    return cast(Manifest, manifest)


def removed_hashes(folder: str | os.PathLike[str]) -> list[str]:
    """Returns the hashes of the pictures that were taken out of a site; none if there is no site yet."""
    there = (user_path(folder) / DATA / MANIFEST).is_file()
    return list(read_manifest(folder)["settings"].get("removed", ())) if there else []


def _check_manifest(manifest: Mapping[str, Any], what: str) -> None:
    schema.check_table(manifest, schema.hints_of(Manifest), what, list(schema.hints_of(Manifest)))
    folders: set[str] = set()
    for entry in cast(Manifest, manifest)["layers"]:
        folder, units = entry["folder"], entry["units"]
        if _SAFE.fullmatch(folder) is None:
            raise ValueError(f"{what} has the folder {checks.shown(folder)}, which is no file name.")
        if folder.lower() in folders:
            raise ValueError(f"{what} has the folder {folder!r} twice.")
        folders.add(folder.lower())
        if max(units, default=0) >= max(1, entry["total_units"]):
            raise ValueError(f"{what} has unit {max(units)} of {entry['name']!r}, which has {entry['total_units']}.")
    nodes = len(manifest["graph"]["nodes"])
    if any(end >= nodes for edge in manifest["graph"]["edges"] for end in edge):
        raise ValueError(f"{what} has an edge of the graph that leads to none of the {nodes} nodes.")


# Tables -----------------------------------------------------------------------------------------

_PICTURE_COLUMNS = {"number": "int32", "key": "string", "label": "string", "width": "int32", "height": "int32"}
_UNIT_COLUMNS = {
    "layer": "string",
    "unit": "int32",
    "maximum": "float32",
    "mean": "float32",
    "minimum": "float32",
    "selectivity": "float32",
    "best_class": "string",
    "sparseness": "float32",
    "dead": "bool",
    "dropped": "int32",
    "field": "float32",
}


@checked
def write_pictures(folder: str | os.PathLike[str], rows: Sequence[Mapping[str, Any]]) -> Path:
    """Writes `data/pictures.parquet` of a site.

    Args:
        folder: The site.
        rows: For each picture its "number", "key" (path relative to the folder of pictures, or index in the dataset),
            "label" or None, and the "width" and "height" of the whole picture, upright, or None if it cannot be read.

    Raises:
        ImportError: pyarrow is not installed.
        ValueError: A row has other columns.
    """
    return _write_table(user_path(folder) / DATA / PICTURES, rows, _PICTURE_COLUMNS, "A picture")


@checked
def write_units(folder: str | os.PathLike[str], rows: Sequence[Mapping[str, Any]]) -> Path:
    """Writes `data/units.parquet` of a site.

    Args:
        folder: The site.
        rows: For each unit its numbers, as in `details.unit_rows`, and "value_TECHNIQUE", the activation of its own
            render, for each technique that rendered it.

    Raises:
        ImportError: pyarrow is not installed.
        ValueError: A row has other columns.
    """
    values = sorted({name for row in rows for name in row if name.startswith("value_")})
    columns = {**_UNIT_COLUMNS, **dict.fromkeys(values, "float32")}
    return _write_table(user_path(folder) / DATA / UNITS, rows, columns, "A unit", optional=values)


def _write_table(
    path: Path,
    rows: Sequence[Mapping[str, Any]],
    columns: Mapping[str, str],
    what: str,
    optional: Sequence[str] = (),
) -> Path:
    arrow = _arrow()
    for row in rows:
        unknown, lost = set(row) - set(columns), set(columns) - set(optional) - set(row)
        if unknown or lost:
            raise ValueError(
                f"{what} has no column {min(unknown)!r}." if unknown else f"{what} lacks the column {min(lost)!r}."
            )
    kinds = [(name, arrow.bool_() if kind == "bool" else getattr(arrow, kind)()) for name, kind in columns.items()]
    values = [arrow.array([_known(row.get(name)) for row in rows], kind) for name, kind in kinds]
    table = arrow.Table.from_arrays(values, schema=arrow.schema(kinds))
    stream = io.BytesIO()
    _parquet().write_table(table, stream)
    return _write(path, stream.getvalue())


def _known(value: Any) -> Any:
    """Returns a value of a table: NumPy's numbers as Python's, NaN and infinite numbers as None."""
    plain = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(plain, float) and not math.isfinite(plain) else plain


@checked
def read_table(path: str | os.PathLike[str]) -> pyarrow.Table:
    """Reads a table of a site, `pictures.parquet` or `units.parquet`.

    Raises:
        FileNotFoundError: There is no such file.
        ImportError: pyarrow is not installed.
        ValueError: The file is damaged, or lacks a column.
    """
    place = user_path(path)
    arrow, parquet = _arrow(), _parquet()
    _check_there(place)
    try:
        table = parquet.read_table(io.BytesIO(place.read_bytes()))
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise _damaged(place, error) from error
    columns = _PICTURE_COLUMNS if place.name == PICTURES else _UNIT_COLUMNS if place.name == UNITS else {}
    lost = [name for name in columns if name not in table.column_names]
    if lost:
        raise ValueError(f"{place} lacks the column {lost[0]!r}: it belongs to no site of this version.")
    return table


def _arrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise ImportError("The tables of a site need the package pyarrow: pip install -e '.[microscope]'.") from error
    return pyarrow


def _parquet() -> Any:
    _arrow()
    import pyarrow.parquet

    return pyarrow.parquet


# Examples and details ---------------------------------------------------------------------------


@checked
def read_examples(path: str | os.PathLike[str]) -> Examples:
    """Reads the examples of a layer that `Examples.save` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged.

    Example:
        >>> import tempfile
        >>> none = Chosen(np.full((2, 1), -1, np.int32), np.full((2, 1), np.nan, np.float32), np.zeros((2, 1), "u4"))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Examples(none, none, {99.0: none}, np.zeros(2, np.int32)).save(f"{folder}/examples.safetensors")
        ...     read_examples(path).quantiles[99.0].numbers.tolist()
        [[-1], [-1]]
    """
    place = user_path(path)
    _check_there(place)
    try:
        with safe_open(place, "np") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        names = [name.removesuffix("/numbers") for name in arrays if name.endswith("/numbers")]
        groups = {
            name: Chosen(*(arrays[f"{name}/{part}"] for part in ("numbers", "values", "places"))) for name in names
        }
        quantiles = {float(name.removeprefix(_QUANTILE)): name for name in names if name.startswith(_QUANTILE)}
        chosen = {q: groups[quantiles[q]] for q in sorted(quantiles, reverse=True)}
        return Examples(groups["top"], groups["bottom"], chosen, arrays["dropped"])
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise _damaged(place, error) from error


class Histogram(TypedDict):
    """Number of pictures in bins of equal width from `low` to `high`."""

    counts: Sequence[Natural]
    low: float | None
    high: float | None


_Box = tuple[float, float, float, float]
_Link = tuple[str, Natural, float | None, bool, Sequence[Sequence[float | None]] | None]

Details = TypedDict(
    "Details",
    {
        "histogram": Histogram,
        "classes": Sequence[tuple[str, float | None]],
        "tuning": Mapping[str, Sequence[float | None]],
        "in": Sequence[_Link],
        "out": Sequence[_Link],
        "similar": Sequence[tuple[str, Natural, float | None]],
        "box": Sequence[_Box | None],
        "cell": Sequence[_Box | None],
    },
    total=False,
)
"""The lists of a unit in `details.json`; see `docs/microscope_files.md`."""


@checked
def write_details(path: str | os.PathLike[str], details: Mapping[int, Mapping[str, Any]]) -> Path:
    """Writes the lists of a layer's units as strict JSON; NaN and infinite numbers become null.

    Args:
        path: The file.
        details: Unit -> its lists, as `Details`.

    Raises:
        ValueError: A key is unknown, or a value has another type.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = write_details(f"{folder}/details.json", {3: {"tuning": {"hue": np.array([1 / 3, np.nan])}}})
        ...     path.read_text(), read_details(path)[3]["tuning"]
        ('{"3":{"tuning":{"hue":[0.333333,null]}}}', {'hue': [0.333333, None]})
    """
    plain = {str(unit): plain_json(one) for unit, one in sorted(details.items())}
    for unit, one in plain.items():
        schema.check(one, Details, f"Unit {unit}")
    text = json.dumps(plain, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return _write(user_path(path), text.encode())


@checked
def read_details(path: str | os.PathLike[str]) -> dict[int, Details]:
    """Reads the lists of a layer's units that `write_details` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is damaged.
    """
    place = user_path(path)
    found = _parsed_details(place)
    for unit, one in found.items():
        schema.check(one, Details, f"{place}: unit {unit}")
    return cast("dict[int, Details]", found)


def _parsed_details(path: Path) -> dict[int, Any]:
    _check_there(path)
    found = read_json(path)
    if not isinstance(found, dict) or not all(name.isascii() and name.isdigit() for name in found):
        raise ValueError(f"{path} is damaged: it is no table of units.")
    return {int(name): one for name, one in found.items()}


# A site -----------------------------------------------------------------------------------------


@checked
def open_site(path: str | os.PathLike[str]) -> Site:
    """Opens a site for reading; nothing but its manifest is read before it is used.

    Args:
        path: Folder of the site.

    Raises:
        FileNotFoundError: The folder is no site.
        ValueError: Its manifest is damaged, or of another version.
    """
    return Site(user_path(path), read_manifest(path))


@checked
class Site:
    """The tables and arrays of a site.

    Attributes:
        folder: The site.
        manifest: Its manifest.
    """

    def __init__(self, folder: Path, manifest: Manifest) -> None:
        self.folder, self.manifest = folder, manifest
        self._layers = {entry["name"]: SiteLayer(folder, entry) for entry in manifest["layers"]}

    @property
    def layers(self) -> tuple[str, ...]:
        """Names of the layers, in the order of the site."""
        return tuple(self._layers)

    @cached_property
    def pictures(self) -> pyarrow.Table:
        """A row for each picture: number, key, label, width, height."""
        return read_table(self.folder / DATA / PICTURES)

    @cached_property
    def units(self) -> pyarrow.Table:
        """A row for each unit: layer, unit, and its numbers."""
        return read_table(self.folder / DATA / UNITS)

    def __getitem__(self, layer: str) -> SiteLayer:
        if layer not in self._layers:
            near = nearest_names(str(layer), list(self._layers))
            raise KeyError(f"{self.folder} has no layer {checks.shown(layer)}.{near}")
        return self._layers[layer]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        return len(self._layers)

    def __repr__(self) -> str:
        units = sum(len(entry["units"]) for entry in self.manifest["layers"])
        return f"Site({str(self.folder)!r}: {len(self)} layers, {units} units, {self.manifest['pictures']} pictures)"


@checked
class SiteLayer:
    """The arrays of a layer of a site.

    Attributes:
        folder: Folder of its files.
        entry: Its entry in the manifest.
    """

    def __init__(self, site: Path, entry: LayerEntry) -> None:
        self.folder, self.entry = site / DATA / entry["folder"], entry

    @cached_property
    def max(self) -> np.ndarray:
        """Each unit's strongest activation in each picture, [pictures, units], read from its file on use."""
        return self._array("max")

    @cached_property
    def mean(self) -> np.ndarray:
        """Each unit's mean activation in each picture, [pictures, units]."""
        return self._array("mean")

    @cached_property
    def place(self) -> np.ndarray:
        """The place of the strongest activation, row * width + column, [pictures, units]."""
        return self._array("place")

    @cached_property
    def examples(self) -> Examples:
        """The pictures of the units' top, bottom and quantiles."""
        return read_examples(self.folder / EXAMPLES)

    @cached_property
    def _details(self) -> dict[int, Any]:
        return _parsed_details(self.folder / DETAILS)

    @checked
    def details(self, unit: int) -> Details:
        """Returns the lists of a unit.

        Raises:
            FileNotFoundError: The layer has no `details.json`.
            KeyError: It has no such unit.
            ValueError: It is damaged.
        """
        if unit not in self._details:
            raise KeyError(f"{self.folder / DETAILS} has no unit {checks.shown(unit)}.")
        found = self._details[unit]
        schema.check(found, Details, f"{self.folder / DETAILS}: unit {unit}")
        return cast(Details, found)

    def _array(self, part: str) -> np.ndarray:
        path = self.folder / f"{part}.npy"
        _check_there(path)
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise _damaged(path, error) from error
        if not isinstance(array, np.ndarray) or array.ndim != 2 or array.shape[1] != self.entry["total_units"]:
            raise ValueError(
                f"{path} does not belong to the site: it is no array [pictures, {self.entry['total_units']}]."
            )
        return array

    def __repr__(self) -> str:
        return f"SiteLayer({self.entry['name']!r}: {len(self.entry['units'])} units)"


def _write(path: Path, data: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    return write_bytes(path, data)


def _check_there(path: Path) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"There is no file {path}: make this part of the site.")


def _damaged(path: Path, error: Exception) -> ValueError:
    return ValueError(f"{path} is damaged ({' '.join(str(error).split())[:160]}): make this part of the site again.")
