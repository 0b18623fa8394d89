"""Looks after finished sites: checks them, takes pictures out of them, and compares two of them."""

from __future__ import annotations

import html.parser
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit

import numpy as np

from converters import checks
from converters.atomic import write_bytes
from converters.errors import nearest_names
from converters.paths import user_path
from converters.signatures import checked
from lucid_port.microscope import maps, pictures
from lucid_port.microscope.crops import forget_picture
from lucid_port.microscope.examples import Chosen, Examples
from lucid_port.microscope.names import Places
from lucid_port.microscope.pictures import picture_hash
from lucid_port.microscope.site import charts, sprites
from lucid_port.microscope.site.pages import ASSETS, FOLDER, write_site
from lucid_port.microscope.tables import (
    Site,
    SiteLayer,
    open_site,
    read_details,
    write_details,
    write_manifest,
    write_pictures,
)
from lucid_port.misc import templates

__all__ = ["Comparison", "Finding", "check", "compare", "is_removed", "remove"]

LARGEST_FILE, LARGEST_SITE = 100 * 10**6, 10**9
"""Bytes of a file and of a site that static hosts take at most."""
REMOVED = "removed"
"""Key of the manifest's settings for the hashes of removed pictures."""
GRAY = (128, 128, 128)
QUALITY = 80
LEAST_PICTURES = 3
"""Pictures that sites must have in common to be compared."""


# Check ------------------------------------------------------------------------------------------


@checked
@dataclass(frozen=True)
class Finding:
    """A fault of a site.

    Attributes:
        path: The file, relative to the site; "" for the whole site.
        reason: A clause that says what is wrong.
    """

    path: str
    reason: str


@checked
def check(
    root: str | os.PathLike[str], largest_file: int = LARGEST_FILE, largest_site: int = LARGEST_SITE
) -> list[Finding]:
    """Finds what a static host refuses, links that lead nowhere, and pictures that are missing.

    Working files in `.state` do not count: they are not published.

    Args:
        root: The site.
        largest_file: Bytes that a file may have.
        largest_site: Bytes that all files together may have.

    Raises:
        FileNotFoundError: The folder is no site.
    """
    folder = open_site(root).folder
    files = {path.relative_to(folder).as_posix(): path.stat().st_size for path in _published(folder)}
    found = [
        Finding(name, f"has {_megabytes(size)}; hosts take {_megabytes(largest_file)} a file")
        for name, size in sorted(files.items())
        if size > largest_file
    ]
    total = sum(files.values())
    if total > largest_site:
        found.append(Finding("", f"has {_megabytes(total)}; hosts take {_megabytes(largest_site)}"))
    for name in sorted(name for name in files if name.endswith(".html")):
        for kind, address in _addresses(folder / name):
            parts = urlsplit(address)
            if parts.scheme or parts.netloc or not parts.path:
                continue
            target = os.path.normpath(os.path.join(os.path.dirname(name), unquote(parts.path)))
            if target not in files:
                found.append(Finding(name, f"{kind} {target}, which is missing"))
    return found


def _published(folder: Path) -> Iterator[Path]:
    for path, folders, names in os.walk(folder):
        if Path(path) == folder and ".state" in folders:
            folders.remove(".state")
        yield from (Path(path, name) for name in names)


def _megabytes(size: int) -> str:
    return f"{size / 10**6:,.3g} MB"


class _Page(html.parser.HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        kinds = {"href": "links to", "src": "shows"}
        self.found += [(kinds[name], value) for name, value in attrs if name in kinds and value]


def _addresses(path: Path) -> list[tuple[str, str]]:
    page = _Page()
    page.feed(path.read_text(encoding="utf-8"))
    return list(dict.fromkeys(page.found))


# Remove -----------------------------------------------------------------------------------------


@checked
def is_removed(manifest: Mapping[str, Any], key: str) -> bool:
    """Returns whether a picture was taken out of a site, so that it must not come back.

    Args:
        manifest: The site's manifest.
        key: Key of the picture, as in `pictures.parquet`.
    """
    return picture_hash(key) in manifest["settings"].get(REMOVED, ())


@checked
def remove(root: str | os.PathLike[str], picture: str | int) -> int:
    """Takes a picture out of every page, sprite of crops, original and table of a site.

    Its name is not kept: the manifest's `settings.removed` holds a hash, by which `is_removed` tells it. Numbers of
    other pictures stay. Counts and means over pictures still include it until they are computed again. An interrupted
    removal can be repeated.

    Args:
        root: The site.
        picture: Key or number of the picture, as in `pictures.parquet`.

    Returns:
        Number of examples that showed it.

    Raises:
        ValueError: The site has no such picture, or it was already taken out.
        FileNotFoundError: The folder is no site.
    """
    site = open_site(root)
    rows = sorted(site.pictures.to_pylist(), key=lambda row: row["number"])
    number = _number(rows, picture)
    key = rows[number]["key"]
    manifest: dict[str, Any] = {**site.manifest}
    removed = list(dict.fromkeys([*manifest["settings"].get(REMOVED, ()), picture_hash(key)]))
    manifest["settings"] = {**manifest["settings"], REMOVED: removed}
    manifest["problems"] = {**manifest["problems"], str(number): pictures.REMOVED}
    manifest["credits"] = {name: credit for name, credit in manifest["credits"].items() if name != key}
    write_manifest(site.folder, {name: value for name, value in manifest.items() if name not in ("format", "version")})
    places = Places(site.folder, {entry["name"]: entry["folder"] for entry in manifest["layers"]})
    shown = sum(_remove_from_layer(places, site[layer], number) for layer in site)
    places.original(number).unlink(missing_ok=True)
    forget_picture(site.folder, number)
    write_site(root)  # no page shows it from here on
    rows[number] |= {"key": "", "label": None, "width": None, "height": None}
    write_pictures(site.folder, rows)  # last, so that a repeated removal finds the picture
    write_site(root)
    return shown


def _number(rows: Sequence[Mapping[str, Any]], picture: str | int) -> int:
    if isinstance(picture, int):
        if not 0 <= picture < len(rows):
            raise ValueError(f"The site has no picture {picture}: it has {len(rows)} pictures, from 0 on.")
        if not rows[picture]["key"]:
            raise ValueError(f"Picture {picture} was already taken out of the site.")
        return picture
    keys = [row["key"] for row in rows]
    if not picture or picture not in keys:
        raise ValueError(f"The site has no picture {checks.shown(picture)}.{nearest_names(picture, keys)}")
    return keys.index(picture)


def _remove_from_layer(places: Places, layer: SiteLayer, number: int) -> int:
    name = layer.entry["name"]
    for part in ("max", "mean", "place"):
        path = places.array(name, part)
        if path.is_file():
            array = np.lib.format.open_memmap(path, mode="r+")
            array[number] = 0 if part == "place" else np.nan
            array.flush()
    examples = layer.examples
    columns = np.concatenate([one.numbers for one in _groups(examples)], 1) == number
    if not columns.any():
        return 0
    details = read_details(places.details(name)) if places.details(name).is_file() else {}
    for unit in np.flatnonzero(columns.any(1)).tolist():
        lost = np.flatnonzero(columns[unit]).tolist()
        _blank(places.crops(name, unit), lost, columns.shape[1])
        _blank(places.maps(name, unit), [column for column in lost if column < maps.COUNT], maps.COUNT)
        for part in ("box", "cell"):
            values: list[Any] = list(details.get(unit, {}).get(part, ()))  # type: ignore[call-overload]
            if values:
                details[unit][part] = [None if at in lost else one for at, one in enumerate(values)]  # type: ignore[literal-required]
    write_details(places.details(name), details)
    without = [_without(one, number) for one in _groups(examples)]
    quantiles = dict(zip(examples.quantiles, without[2:], strict=True))
    replace(examples, top=without[0], bottom=without[1], quantiles=quantiles).save(places.examples(name))
    return int(columns.sum())


def _groups(examples: Examples) -> list[Chosen]:
    """Returns the examples in the order of the sprite of crops."""
    return [examples.top, examples.bottom, *examples.quantiles.values()]


def _without(chosen: Chosen, number: int) -> Chosen:
    lost = chosen.numbers == number
    values = np.where(lost, np.nan, chosen.values).astype(np.float32)
    numbers, places = np.where(lost, -1, chosen.numbers), np.where(lost, 0, chosen.places)
    return Chosen(numbers.astype(np.int32), values, places.astype(np.uint32))


def _blank(path: Path, columns: Sequence[int], count: int) -> None:
    """Makes cells of a sprite gray."""
    from PIL import Image

    if not columns or not path.is_file():
        return
    with Image.open(path) as picture:
        sprite = picture.convert("RGB")
    side = sprite.width // count
    for column in columns:
        sprite.paste(GRAY, (column * side, 0, (column + 1) * side, sprite.height))
    buffer = io.BytesIO()
    sprite.save(buffer, "WEBP", quality=QUALITY)
    write_bytes(path, buffer.getvalue())


# Compare ----------------------------------------------------------------------------------------


@checked
@dataclass(frozen=True)
class Comparison:
    """Units of a layer beside those of another site.

    Attributes:
        layer: Name of the layer in the first site.
        units: Numbers of its units.
        same: float64 [units]: correlation with the unit of the same layer and number; NaN if there is none.
        matches: For each unit the (layer, unit) of the other site that correlates most; None for constant units.
        best: float64 [units]: correlation with the match; NaN for constant units.
    """

    layer: str
    units: tuple[int, ...]
    same: np.ndarray
    matches: tuple[tuple[str, int] | None, ...]
    best: np.ndarray


@checked
def compare(
    first: str | os.PathLike[str], second: str | os.PathLike[str], output: str | os.PathLike[str]
) -> list[Comparison]:
    """Sets two sites side by side: the same layers and units, and the most similar units.

    Units are similar if their strongest activations correlate over the pictures that both sites have, by key.

    Args:
        first, second: Two sites, such as two checkpoints of a network or two networks.
        output: Folder for the pages.

    Returns:
        A comparison for each layer of the first site.

    Raises:
        ValueError: The sites have fewer than `LEAST_PICTURES` pictures in common.
        FileNotFoundError: A folder is no site.
    """
    one, other, target = open_site(first), open_site(second), user_path(output)
    rows, other_rows = _common(one, other)
    units = [(name, unit) for name in other for unit in other[name].entry["units"]]
    standard = np.concatenate([_standardized(other[name], other_rows) for name in other], 1)
    found = [_compared(one[name], _standardized(one[name], rows), standard, units) for name in one]
    _write_comparison(one, other, found, target)
    return found


def _common(one: Site, other: Site) -> tuple[np.ndarray, np.ndarray]:
    """Returns the numbers of the pictures that both sites have and could read, in each."""
    numbers = []
    for site in (one, other):
        lost = {int(number) for number in site.manifest["problems"]}
        rows = site.pictures.to_pylist()
        numbers.append({row["key"]: row["number"] for row in rows if row["number"] not in lost})
    keys = [key for key in numbers[0] if key in numbers[1]]
    if len(keys) < LEAST_PICTURES:
        raise ValueError(
            f"{one.folder} and {other.folder} have {len(keys)} pictures in common: make both sites of the same "
            "pictures."
        )
    return np.array([numbers[0][key] for key in keys]), np.array([numbers[1][key] for key in keys])


def _standardized(layer: SiteLayer, rows: np.ndarray) -> np.ndarray:
    """Returns the activations of a layer's units with mean 0 and length 1, float32; NaN for constant units."""
    values = layer.max[rows][:, list(layer.entry["units"])].astype(np.float64)
    with np.errstate(invalid="ignore"):
        values = values - values.mean(0)
        length = np.sqrt((values**2).sum(0))
        return (values / np.where(length > 0, length, np.nan)).astype(np.float32)


def _compared(
    layer: SiteLayer, values: np.ndarray, standard: np.ndarray, units: Sequence[tuple[str, int]]
) -> Comparison:
    name, own = layer.entry["name"], tuple(layer.entry["units"])
    columns = {unit: column for column, unit in enumerate(units)}
    found = (values.T @ standard).astype(np.float64).clip(-1, 1)
    at = [columns.get((name, unit)) for unit in own]
    same = np.array([np.nan if column is None else found[row, column] for row, column in enumerate(at)])
    known = np.where(np.isnan(found), -np.inf, found)
    best = known.argmax(1)
    top = known[np.arange(len(own)), best]
    matches = tuple(None if np.isinf(value) else units[column] for value, column in zip(top, best, strict=True))
    return Comparison(name, own, same, matches, np.where(np.isinf(top), np.nan, top))


def _write_comparison(one: Site, other: Site, found: Sequence[Comparison], target: Path) -> None:
    """Writes a page for each layer, and an index; icons are copied, so that the pages stand alone."""
    places = [Places(site.folder, {name: site[name].entry["folder"] for name in site}) for site in (one, other)]
    shared: dict[str, Any] = {"charts": charts, "names": _names(one, other)}
    for name in ASSETS:
        _put(target / "assets" / name, (FOLDER / name).read_bytes())
    for comparison in found:
        folder = places[0].folder(comparison.layer)
        rows = []
        for at, unit in enumerate(comparison.units):
            match = comparison.matches[at]
            has_same = not np.isnan(comparison.same[at])
            rows.append(
                {
                    "unit": unit,
                    "own": _copied(places, 0, comparison.layer, unit, target),
                    "same": _copied(places, 1, comparison.layer, unit, target) if has_same else None,
                    "match": None if match is None else _copied(places, 1, *match, target),
                    "name": "" if match is None else f"{match[0]}:{match[1]}",
                    "same_value": float(comparison.same[at]),
                    "best_value": float(comparison.best[at]),
                }
            )
        page = templates.render(
            "microscope/comparison_layer.html", root="../", layer=comparison.layer, rows=rows, **shared
        )
        _put(target / folder / "index.html", page.encode())
    summary = [
        (comparison.layer, places[0].folder(comparison.layer), len(comparison.units), _mean(comparison.same),
         _mean(comparison.best))
        for comparison in found
    ]  # fmt: skip
    page = templates.render("microscope/comparison.html", root="", layers=summary, **shared)
    _put(target / "index.html", page.encode())


def _mean(values: np.ndarray) -> float | None:
    return None if np.isnan(values).all() else float(np.nanmean(values))


def _names(one: Site, other: Site) -> list[str]:
    """Returns the names of two models; with the folders of their sites, if the names are the same."""
    names = [site.manifest["model"]["name"] for site in (one, other)]
    if names[0] != names[1]:
        return names
    return [f"{name} ({site.folder.resolve().name})" for name, site in zip(names, (one, other), strict=True)]


def _copied(places: Sequence[Places], which: int, layer: str, unit: int, target: Path) -> str | None:
    """Copies a unit's icon, and returns its path relative to the pages' folder; None if there is no icon."""
    source = sprites.icon_place(places[which], layer, unit)
    name = Path("icons", "ab"[which], places[which].folder(layer), source.name)
    if not source.is_file():
        return None
    _put(target / name, source.read_bytes())
    return quote(name.as_posix())


def _put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
