"""Lets Lighthouse judge pages: the demo's page, and the home and the gallery of the documentation.

    lucid-port demo -o demo.html
    mkdocs build --strict --site-dir SITE
    python benchmarks/page_scores.py --documentation SITE --demo demo.html

This needs Node.js and Debian's chromium, and installs packages of npm into a temporary folder, or uses those of
`--packages`. `microscope_pages.py` judges sites of `lucid-port microscope` with the same functions.
"""

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
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from timing import RESULTS, Report, console

PACKAGES = ("puppeteer-core@24", "lighthouse@12")
CATEGORIES = {"accessibility": 100, "best-practices": 100, "performance": 95}
"""Category -> the least score."""


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


def page_scores(root: Path, pages: Mapping[str, str], folder: Path, chromium: str, runs: int) -> dict[str, Any]:
    """Returns page -> the median score of each category, the audits that cost points, and the speed of the processor.

    Lighthouse's index of the processor is some 2000 on a free core: performance below it says little about a page.

    Args:
        root: folder that is served.
        pages: name -> path of a page in the folder.
        folder: folder with the packages of npm.
        chromium: the program.
        runs: number of runs of each page.
    """
    found = {}
    command = ["node", str(folder / "node_modules" / "lighthouse" / "cli" / "index.js")]
    options = ["--preset=desktop", "--output=json", "--quiet", "--chrome-flags=--headless=new --no-sandbox"]
    options.append(f"--only-categories={','.join(CATEGORIES)}")
    environment = {**os.environ, "CHROME_PATH": chromium}
    with served(root) as host:
        for kind, path in pages.items():
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


def main(
    documentation: Annotated[Path, typer.Option(help="The built documentation.")],
    demo: Annotated[Path, typer.Option(help="The page of `lucid-port demo`.")],
    runs: int = 3,
    packages_: Annotated[Path | None, typer.Option("--packages", help="Folder with the packages of npm.")] = None,
    chromium: Annotated[str, typer.Option(help="The program.")] = "chromium",
    output: Annotated[Path, typer.Option(help="The result file.")] = RESULTS / "page_scores.json",
) -> None:
    """Let Lighthouse judge the demo's page, and the documentation's home and gallery."""
    program = shutil.which(chromium)
    if program is None:
        raise typer.BadParameter(f"{chromium} is not installed.")
    report = Report("lighthouse@12 --preset=desktop, median of the runs.", {"runs": runs})
    with packages(packages_) as folder:
        found = page_scores(demo.resolve().parent, {"demo": demo.name}, folder, program, runs)
        pages = {"home": "index.html", "gallery": "gallery.html"}
        found |= page_scores(documentation.resolve(), pages, folder, program, runs)
    report.save(output, found)
    for page, scores in found.items():
        console.print(page, {name: scores[name] for name in CATEGORIES}, scores["lost"])


if __name__ == "__main__":
    typer.run(main)
