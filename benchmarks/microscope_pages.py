"""Measurements of `microscope.py` that read the pages of a site: in browsers, by Lighthouse, and their weight."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from page_scores import page_scores, served

from lucid_port.microscope.names import Places
from lucid_port.microscope.site.search import as_script
from lucid_port.microscope.tables import LayerEntry, open_site

SCRIPT = Path(__file__).with_name("microscope_browsers.mjs")
CONTROL = '<!doctype html><title>Control</title><img src="missing.png" alt=""><script>console.warn("control")</script>'
"""A page with a message and a request that fails: a browser that does not report them measures nothing."""
QUERIES = ("t", "layer", "class 77", "layer1 5", "layer19 999", "zzz", "class thing 123")


# Browsers -------------------------------------------------------------------------------------


def browse(browser: str, executable: str, folder: Path, pages: Sequence[str], search: str | None = None) -> Any:
    """Opens pages in a browser, and returns what `microscope_browsers.mjs` reports.

    Args:
        browser: "chrome" or "firefox".
        executable: the program.
        folder: folder with the packages of npm.
        pages: addresses.
        search: address of a page whose search is timed.
    """
    job: dict[str, Any] = {"browser": browser, "executable": executable, "packages": str(folder), "pages": list(pages)}
    if search is not None:
        job["search"] = {"page": search, "queries": QUERIES}
    done = subprocess.run(
        ["node", str(SCRIPT), json.dumps(job)], stdout=subprocess.PIPE, text=True, check=True, timeout=900
    )
    return json.loads(done.stdout.splitlines()[-1])


def three_pages(root: Path, layer: str | None = None) -> dict[str, str]:
    """Returns kind -> path of the index, the page of a layer as of `chosen_layer`, and that of its first unit."""
    entry = chosen_layer(root, layer)
    places = Places(root, {entry["name"]: entry["folder"]})
    unit = entry["units"][0]
    paths = {"index": places.index, "layer": places.page(entry["name"]), "unit": places.page(entry["name"], unit)}
    return {kind: path.relative_to(root).as_posix() for kind, path in paths.items()}


def chosen_layer(root: Path, layer: str | None) -> LayerEntry:
    """Returns a layer of a site, by name or folder; by default the one with the most units."""
    layers = open_site(root).manifest["layers"]
    if layer is None:
        return max(layers, key=lambda entry: len(entry["units"]))
    return next(entry for entry in layers if layer in (entry["name"], entry["folder"]))


def in_browsers(
    root: Path, folder: Path, executables: Mapping[str, str], layer: str | None, units: int
) -> dict[str, Any]:
    """Opens an index, a layer and a unit from files and from a static host, and times the search.

    Args:
        root: the site.
        folder: folder with the packages of npm.
        executables: browser -> program.
        layer: the layer; by default the one with the most units.
        units: number of units that are searched.
    """
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as place:
        control = Path(place) / "control"
        control.mkdir()
        (control / "control.html").write_text(CONTROL)
        wide = searched_site(root, Path(place) / "search", units)
        with served(root) as host, served(control) as other:
            for browser, executable in executables.items():
                pages = three_pages(root, layer)
                addresses = {(kind, "file"): (root / path).as_uri() for kind, path in pages.items()}
                addresses |= {(kind, "http"): f"{host}/{path}" for kind, path in pages.items()}
                controls = [(control / "control.html").as_uri(), f"{other}/control.html"]
                answer = browse(browser, executable, folder, [*addresses.values(), *controls], wide.as_uri())
                _check_control([answer["pages"][one] for one in controls], browser)
                seen = {key: answer["pages"][address] for key, address in addresses.items()}
                found[browser] = {
                    "version": answer["version"],
                    "pages": {f"{kind} {scheme}": _clean(one) for (kind, scheme), one in seen.items()},
                    "messages": sum(len(one["console"]) for one in seen.values()),
                    "failed": sum(len(one["failed"]) for one in seen.values()),
                    "search": {"units": units, **answer["search"]},
                }
    return found


def _clean(seen: Mapping[str, Any]) -> dict[str, Any]:
    return {"console": seen["console"], "failed": [Path(urlsplit(one).path).name for one in seen["failed"]]}


def _check_control(seen: Sequence[Mapping[str, Any]], browser: str) -> None:
    """Checks that a browser reports messages and failed requests.

    Raises:
        RuntimeError: it does not.
    """
    if not all(any("control" in text for text in one["console"]) and one["failed"] for one in seen):
        raise RuntimeError(f"{browser} reports no messages or no failed requests: {seen}")


def searched_site(root: Path, target: Path, units: int) -> Path:
    """Writes an index page whose search has a number of units, in layers of a thousand, with a thousand classes.

    Returns:
        The page.
    """
    (target / "assets").mkdir(parents=True)
    shutil.copy(root / "index.html", target)
    for path in (root / "assets").iterdir():
        if path.is_file():
            shutil.copy(path, target / "assets")
    names = [f"layer{number}" for number in range(-(-units // 1000))]
    layers = []
    for number, name in enumerate(names):
        count = min(1000, units - 1000 * number)
        layers.append([name, name, "", [[unit, unit * 7 % 1000] for unit in range(count)]])
    data = {"labels": [f"class {number} thing" for number in range(1000)], "layers": layers}
    (target / "assets" / "search-index.js").write_text(as_script("lucidSearch", data))
    return target / "index.html"


# Lighthouse -----------------------------------------------------------------------------------


def lighthouse(root: Path, folder: Path, chromium: str, layer: str | None, runs: int) -> dict[str, Any]:
    """Returns page -> what `page_scores` says of the index, a layer and a unit."""
    return page_scores(root, three_pages(root, layer), folder, chromium, runs)


# Weight ---------------------------------------------------------------------------------------


def weight(root: Path, folder: Path, chromium: str, layer: str | None, units: int) -> dict[str, Any]:
    """Measures what a browser loads for a layer before it is scrolled, and for a unit; and a layer's files.

    Args:
        root: the site.
        folder: folder with the packages of npm.
        chromium: the program.
        layer: the layer; by default the one with the most units.
        units: number of units to which the size is extrapolated.
    """
    entry = chosen_layer(root, layer)
    pages = three_pages(root, layer)
    with served(root) as host:
        addresses = {kind: f"{host}/{path}" for kind, path in pages.items()}
        answer = browse("chrome", chromium, folder, list(addresses.values()))["pages"]
        loaded = {
            kind: {
                "before_scrolling": _bytes(root, answer[address]["before"], host),
                "all": _bytes(root, [*answer[address]["before"], *answer[address]["after"]], host),
            }
            for kind, address in addresses.items()
        }
    manifest = open_site(root).manifest
    parts = files_of(root)
    shared, whole = parts.pop("shared"), parts.pop("whole pictures", 0)
    shown = sum(len(one["units"]) for one in manifest["layers"])
    total = sum(one["total_units"] for one in manifest["layers"])
    each = {name: size / (total if name == "arrays" else shown) for name, size in parts.items()}
    return {
        "layer": entry["name"],
        "layer_units": len(entry["units"]),
        "loaded": loaded,
        "site_units": shown,
        "pictures": manifest["pictures"],
        "techniques": entry["techniques"],
        "bytes_of_a_unit": {name: round(size) for name, size in each.items()},
        "shared": shared,
        "whole_pictures": whole,
        "extrapolated_units": units,
        "extrapolated": round(shared + units * sum(each.values())),
    }


def _bytes(root: Path, addresses: Sequence[str], host: str) -> int:
    """Returns the bytes of the files behind addresses, each once."""
    paths = {unquote(urlsplit(one).path).lstrip("/") for one in addresses if one.startswith(host)}
    return sum((root / path).stat().st_size for path in paths)


def files_of(root: Path) -> dict[str, int]:
    """Returns part -> bytes of the published files of a site; "shared" does not grow with the units."""
    found: dict[str, int] = {}
    for path in root.rglob("*"):
        inside = path.relative_to(root)
        if path.is_file() and inside.parts[0] != ".state":
            part = _part(inside)
            found[part] = found.get(part, 0) + path.stat().st_size
    return found


def _part(path: Path) -> str:
    """Returns the part that a file of a site belongs to."""
    top = path.parts[0]
    if top == "assets":
        return "sprites and icons" if len(path.parts) > 2 or path.name == "search-index.js" else "shared"
    if top != "data":
        return "pages" if len(path.parts) > 1 else "shared"
    if path.parts[1] == "originals":
        return "whole pictures"
    if path.suffix == ".npy":  # a column for each unit of the layer
        return "arrays"
    for part in ("crops", "renders"):
        if part in path.parts:
            return part
    is_table = path.name in ("units.parquet", "details.json", "examples.safetensors")
    return "tables" if is_table else "shared"
