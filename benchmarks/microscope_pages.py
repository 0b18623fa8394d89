"""Measurements of `microscope.py` that read the pages of a site: in browsers, by Lighthouse, and their weight."""

from __future__ import annotations

import contextlib
import functools
import http.server
import json
import os
import shutil
import statistics
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from lucid_port.microscope.names import Places
from lucid_port.microscope.site.search import as_script
from lucid_port.microscope.tables import LayerEntry, open_site

PACKAGES = ("puppeteer-core@24", "lighthouse@12")
SCRIPT = Path(__file__).with_name("microscope_browsers.mjs")
CONTROL = '<!doctype html><title>Control</title><img src="missing.png" alt=""><script>console.warn("control")</script>'
"""A page with a message and a request that fails: a browser that does not report them measures nothing."""
QUERIES = ("t", "layer", "class 77", "layer1 5", "layer19 999", "zzz", "class thing 123")
CATEGORIES = {"accessibility": 100, "best-practices": 100, "performance": 95}


# Browsers -------------------------------------------------------------------------------------


@contextlib.contextmanager
def packages(folder: Path | None) -> Iterator[Path]:
    """Context of a folder with the packages of npm: a given one, or a temporary one into which they are installed."""
    if folder is not None:
        yield folder.resolve()
        return
    with tempfile.TemporaryDirectory() as made:
        command = ["npm", "install", "--no-save", "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES]
        subprocess.run(command, cwd=made, check=True, stdout=subprocess.DEVNULL)
        yield Path(made)


class _Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@contextlib.contextmanager
def served(root: Path) -> Iterator[str]:
    """Context of a static host of a folder; the value is its address."""
    handler = functools.partial(_Handler, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


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
    """Returns page -> the median score of each category, the audits that cost points, and the speed of the processor.

    Lighthouse's index of the processor is some 2000 on a free core: performance below it says little about a page.
    """
    found = {}
    command = ["node", str(folder / "node_modules" / "lighthouse" / "cli" / "index.js")]
    options = ["--preset=desktop", "--output=json", "--quiet", "--chrome-flags=--headless=new --no-sandbox"]
    options.append(f"--only-categories={','.join(CATEGORIES)}")
    environment = {**os.environ, "CHROME_PATH": chromium}
    with served(root) as host:
        for kind, path in three_pages(root, layer).items():
            scores: dict[str, list[float]] = {name: [] for name in CATEGORIES}
            lost: set[str] = set()
            speeds: list[float] = []
            for _ in range(runs):
                one = [*command, f"{host}/{path}", *options]
                done = subprocess.run(one, stdout=subprocess.PIPE, text=True, check=True, env=environment, timeout=300)
                report = json.loads(done.stdout)
                speeds.append(report["environment"]["benchmarkIndex"])
                for name, values in scores.items():
                    values.append(round(100 * report["categories"][name]["score"]))
                    lost |= _lost(report, name)
            medians = {name: statistics.median(values) for name, values in scores.items()}
            found[kind] = {**medians, "runs": scores, "lost": sorted(lost), "benchmark_index": speeds}
    return found


def _lost(report: Mapping[str, Any], category: str) -> set[str]:
    """Returns the audits of a category that cost points."""
    references = report["categories"][category]["auditRefs"]
    scores = {one["id"]: report["audits"][one["id"]]["score"] for one in references if one["weight"]}
    return {name for name, score in scores.items() if score is not None and score < 0.9}


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
