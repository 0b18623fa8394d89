"""Writes the pages of a site from its `data/`; only files whose bytes change are written."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.atomic import write_bytes
from converters.signatures import checked
from lucid_port import __version__
from lucid_port.microscope.site import charts, search, sprites
from lucid_port.microscope.site.graph import draw_graph
from lucid_port.microscope.site.read import Reader
from lucid_port.microscope.tables import open_site
from lucid_port.misc import templates

__all__ = ["Written", "write_site"]

ASSETS = ("style.css", "script.js", "icon.svg")
FOLDER = templates.FOLDER / "microscope"


@checked
@dataclass(frozen=True)
class Written:
    """What `write_site` did.

    Attributes:
        index: The first page.
        changed: Number of files that were written.
        removed: Number of pages of units that the site no longer has.
    """

    index: Path
    changed: int
    removed: int


@checked
def write_site(root: str | os.PathLike[str]) -> Written:
    """Writes all pages of a site.

    Pages show the content of `data/` and of `notes.toml`; nothing is computed by a model. If nothing has changed since
    the last call, no table is read.

    Args:
        root: The site, with its folder `data`.

    Raises:
        FileNotFoundError: The folder is no site.
        ValueError: A file of the site is damaged.
        OSError: The folder cannot be written.
    """
    site = open_site(root)
    stamp = site.folder / ".state" / "pages.json"
    if stamp.is_file() and stamp.read_bytes() == _stamp(site.folder):
        return Written(site.folder / "index.html", 0, 0)
    reader = Reader(site)
    changed = sum(sprites.write_sprites(reader.places, entry) for entry in reader.entries.values())
    for path, text in _files(reader):
        changed += _write(path, text.encode())
    removed = sum(_remove_stale(reader, name) for name in reader.entries)
    stamp.parent.mkdir(exist_ok=True)
    write_bytes(stamp, _stamp(site.folder))
    return Written(site.folder / "index.html", changed, removed)


# Files ------------------------------------------------------------------------------------------


def _files(reader: Reader) -> Iterator[tuple[Path, str]]:
    """Yields each text file of the site and its content."""
    places = reader.places
    for name in ASSETS:
        yield places.assets() / name, (FOLDER / name).read_text(encoding="utf-8")
    yield places.assets() / "search-index.js", search.search_script(reader)
    model = reader.model_page()
    shared: dict[str, Any] = {"charts": charts, "model": model, "pictures": model.pictures}
    caricatures = list(dict.fromkeys(name for layer in model.layers for name in layer.caricatures))
    drawing = draw_graph(reader.manifest["graph"])
    yield places.index, _page("index", page=model, root="", drawing=drawing, caricatures=caricatures, **shared)
    folders = [layer.folder for layer in model.layers]
    yield places.missing_page, _page("missing", folders=folders, **shared)
    for layer in model.layers:
        yield from _layer_files(reader, layer.name, shared)
        redirect = places.redirect(layer.name)
        if redirect.parent.name not in folders:
            yield redirect, _page("redirect", name=layer.name, folder=layer.folder)


def _layer_files(reader: Reader, name: str, shared: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    places, page = reader.places, reader.layer_page(name)
    yield places.assets(name) / "units.js", search.units_script(page)
    yield places.page(name), _page("layer", page=page, root="../", **shared)
    for unit in reader.unit_pages(name):
        yield places.page(name, unit.unit), _page("unit", page=unit, root="../", **shared)


def _page(template: str, **values: Any) -> str:
    return templates.render(f"microscope/{template}.html", **values)


def _write(path: Path, content: bytes) -> bool:
    """Writes a file unless it has the content already; returns whether it was written."""
    try:
        if path.read_bytes() == content:
            return False
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, content)
    return True


def _remove_stale(reader: Reader, layer: str) -> int:
    """Removes the pages and icons of units that the layer no longer has."""
    units = set(reader.entries[layer]["units"])
    icons = sprites.icon_place(reader.places, layer, 0).parent
    pages = [*reader.places.page(layer).parent.glob("[0-9]*.html"), *icons.glob("[0-9]*.webp")]
    stale = [path for path in pages if path.stem.isdigit() and int(path.stem) not in units]
    for path in stale:
        path.unlink()
    return len(stale)


# Whether anything has changed -------------------------------------------------------------------


def _stamp(root: Path) -> bytes:
    """Returns a hash of this version, the templates, and the names, sizes and times of all files of the site."""
    total = hashlib.sha256(__version__.encode())
    for path in sorted((*FOLDER.iterdir(), *Path(__file__).parent.glob("*.py"))):
        total.update(path.name.encode() + path.read_bytes())
    for line in sorted(_facts(str(root), "")):
        total.update(line.encode())
    return json.dumps({"files": total.hexdigest()}).encode()


def _facts(folder: str, prefix: str) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name == ".state" and not prefix:
                continue
            if entry.is_dir():
                yield from _facts(entry.path, f"{prefix}{entry.name}/")
            else:
                facts = entry.stat()
                yield f"{prefix}{entry.name} {facts.st_size} {facts.st_mtime_ns}\n"
