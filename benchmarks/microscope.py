"""Measures sites of `lucid-port microscope`: time, rates, exactness, memory, weight, and browsers.

    python benchmarks/microscope.py site                        # TinyInceptionV1, conv2d0 to mixed5b
    python benchmarks/microscope.py site --layers mixed4a --quality standard --techniques all
    python benchmarks/microscope.py renders
    python benchmarks/microscope.py examples                    # needs InceptionV1_caffe
    python benchmarks/microscope.py exact
    python benchmarks/microscope.py memory
    python benchmarks/microscope.py weight --site SITE          # of a finished site, best with a layer of 832 units
    python benchmarks/microscope.py browsers --site SITE
    python benchmarks/microscope.py lighthouse --site SITE
    python benchmarks/microscope.py page                        # writes the table of docs/microscope.md

`weight`, `browsers` and `lighthouse` need Node.js and Debian's chromium, `browsers` also firefox-esr. They install
packages of npm into a temporary folder, or use those of `--packages`.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import microscope_pages
import microscope_passes
import page_scores
import torch
import typer
from timing import RESULTS, Others, Report, console, spread, table

PAGE = Path(__file__).resolve().parents[1] / "docs" / "microscope.md"
BEGIN, END = "<!-- measured -->\n", "<!-- /measured -->\n"
LAYERS = "conv2d0,conv2d1,conv2d2,mixed3a,mixed3b,mixed4a,mixed4b,mixed4c,mixed4d,mixed4e,mixed5a,mixed5b"

Row = tuple[str, str, str]
"""What was measured, its bound, and the measurement."""

Output = Annotated[Path, typer.Option(help="The result file, whose other sections stay.")]
Site = Annotated[Path, typer.Option("--site", help="A finished site.")]
Layer = Annotated[str | None, typer.Option(help="The layer; by default the one with the most units.")]
Packages = Annotated[Path | None, typer.Option(help="Folder with the packages of npm; a temporary one by default.")]
Chromium = Annotated[str, typer.Option(help="The program.")]
DEFAULT = RESULTS / "microscope.json"
app = typer.Typer(no_args_is_help=True)


def _write(output: Path, section: str, report: Report, figures: Any) -> None:
    """Replaces a section of the result file, and prints its rows."""
    known = json.loads(output.read_text()) if output.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        own = Path(folder) / "own.json"
        report.save(own, figures)
        known[section] = json.loads(own.read_text())
    output.parent.mkdir(parents=True, exist_ok=True)
    part = output.with_name(output.name + ".part")
    part.write_text(json.dumps(known, indent=1) + "\n")
    part.replace(output)
    table(section, ["number", "bound", "measured"], ROWS[section.partition(" ")[0]](figures))


# Sites ----------------------------------------------------------------------------------------


@app.command()
def site(
    layers: Annotated[str, typer.Option(help="Names of layers, separated by commas.")] = LAYERS,
    quality: str = "preview",
    techniques: str = "channel,channel-negative",
    keep: Annotated[Path | None, typer.Option(help="Where the site goes; nowhere by default.")] = None,
    output: Output = DEFAULT,
) -> None:
    """Make a site of TinyInceptionV1 and its 2,000 drawings, once anew and once with nothing left to do."""
    report = Report(
        "Wall seconds of the command and of its parts as it prints them, and of the same command once more.",
        {"layers": layers, "quality": quality, "techniques": techniques},
    )
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "site" if keep is None else keep
        if place.exists() and any(place.iterdir()):
            raise typer.BadParameter(f"{place} is not empty: choose another folder.")
        others = Others()
        with others:
            first, parts = _made(place, layers, quality, techniques)
        second, _ = _made(place, layers, quality, techniques)
        files = [path for path in place.rglob("*") if path.is_file()]
        working = sum(path.stat().st_size for path in files if ".state" in path.parts)
        manifest = json.loads((place / "data" / "manifest.json").read_text())
        figures = {
            "units": sum(len(one["units"]) for one in manifest["layers"]),
            "layers": len(manifest["layers"]),
            "pictures": manifest["pictures"],
            "quality": quality,
            "techniques": manifest["layers"][0]["techniques"],
            "seconds": round(first, 1),
            "parts": parts,
            "second_run": round(second, 2),
            "megabytes": round((sum(path.stat().st_size for path in files) - working) / 1e6, 1),
            "working_megabytes": round(working / 1e6, 1),
            "others": others.processors,
        }
    _write(output, f"site {quality}", report, figures)


def _made(place: Path, layers: str, quality: str, techniques: str) -> tuple[float, dict[str, float]]:
    """Runs the command, and returns its seconds and those that it prints for its parts."""
    command = [sys.executable, "-m", "lucid_port", "microscope", "TinyInceptionV1", "-o", str(place), "--yes"]
    options = ["--layers", layers, "--quality", quality, "--techniques", techniques]
    started = time.perf_counter()
    done = subprocess.run([*command, *options], stdout=subprocess.PIPE, text=True, check=True)
    seconds = time.perf_counter() - started
    found = re.findall(r"^ *([^:\n]+): ([\d.]+) s( of workers)?$", done.stdout, re.MULTILINE)
    return seconds, {name + workers: float(value) for name, value, workers in found}


# Passes ---------------------------------------------------------------------------------------


@app.command()
def renders(
    layer: str = "mixed4a",
    units: int = 64,
    batch: int = 16,
    rounds: int = 7,
    threads: int = 1,
    output: Output = DEFAULT,
) -> None:
    """Compare renders through the site with `render_many` that writes to a folder."""
    torch.set_num_threads(threads)
    report = Report(
        """Renders in a second in this process, in turns; ratio within a round. Each turn begins with an empty folder.
        processor_ratio compares the processor's seconds.""",
        {"threads": threads},
    )
    _write(output, "renders", report, microscope_passes.render_rates(layer, units, batch, rounds))


@app.command()
def examples(
    model: str = "InceptionV1_caffe",
    layers: Annotated[str, typer.Option(help="Layers in order, separated by commas.")] = ",".join(
        microscope_passes.INCEPTION_LAYERS
    ),
    pictures: int = 512,
    batch: int = 32,
    workers: Annotated[int, typer.Option(help="Processes that decode.")] = 0,
    rounds: int = 5,
    threads: int = 1,
    output: Output = DEFAULT,
) -> None:
    """Compare a pass over pictures with plain loops that decode the same files."""
    torch.set_num_threads(threads)
    report = Report(
        """Pictures in a second, in turns; ratio within a round. The loops read the same JPEG files of 500 x 375 pixels
        by the same workers, and compute the same layers, or the last of them alone. processor_ratio compares the
        seconds of this process on the processor.""",
        {"threads": threads},
    )
    found = microscope_passes.example_rates(model, layers.split(","), pictures, batch, workers, rounds)
    _write(output, "examples", report, found)


@app.command()
def exact(pictures: int = 2000, batch: int = 32, output: Output = DEFAULT) -> None:
    """Compare examples with brute force, shards with each other, and a killed pass with one that was not."""
    torch.set_num_threads(1)
    report = Report(
        """All units of three layers, by sorting all pictures with NumPy; files compared byte by byte. The pass was
        killed by SIGKILL after half of its shards.""",
        {"batch": batch, "threads": 1},
    )
    found = microscope_passes.exactness(pictures, batch)
    _write(output, "exact", report, found)
    if any(found["wrong_units"].values()) or not (
        found["two_shards_equal_one"] and found["killed_equals_uninterrupted"]
    ):
        raise typer.Exit(1)


@app.command()
def memory(few: int = 1000, many: int = 10000, narrow: int = 256, wide: int = 1024, output: Output = DEFAULT) -> None:
    """Measure the anonymous memory of passes over few and many pictures, and of few and many units."""
    report = Report(
        """RssAnon in MiB, sampled every 5 ms, of a process that passes over noise of 32 x 32 pixels and finds examples;
        growth is the peak less what the process had after a pass over 64 pictures.""",
        {"threads": 1, "MALLOC_ARENA_MAX": 2},
    )
    _write(output, "memory", report, microscope_passes.memory(few, many, narrow, wide))


# Pages ----------------------------------------------------------------------------------------


def _about(place: Path) -> dict[str, Any]:
    """Returns the model of a site, and its numbers of units and pictures."""
    found = microscope_pages.open_site(place).manifest
    units = sum(len(one["units"]) for one in found["layers"])
    return {"model": found["model"]["name"], "units": units, "pictures": found["pictures"]}


@app.command()
def weight(
    place: Site,
    layer: Layer = None,
    units: Annotated[int, typer.Option(help="Units to which the size is extrapolated.")] = 5800,
    packages: Packages = None,
    chromium: Chromium = "chromium",
    output: Output = DEFAULT,
) -> None:
    """Measure what Chromium loads for pages, and extrapolate the size of a site."""
    report = Report(
        """Bytes of the files that Chromium asks for in a window of 1350 x 940 pixels, without compression, before and
        after scrolling to the end. The size of a site is extrapolated from the bytes of a unit.""",
        {"site": _about(place)},
    )
    with page_scores.packages(packages) as folder:
        found = microscope_pages.weight(place.resolve(), folder, _program(chromium), layer, units)
    _write(output, "weight", report, found)


@app.command()
def browsers(
    place: Site,
    layer: Layer = None,
    units: Annotated[int, typer.Option(help="Units of the search.")] = 20000,
    packages: Packages = None,
    chromium: Chromium = "chromium",
    firefox: Annotated[str, typer.Option(help="The program.")] = "firefox-esr",
    output: Output = DEFAULT,
) -> None:
    """Open an index, a layer and a unit in Chromium and Firefox, from files and by HTTP; time the search."""
    report = Report(
        """Messages on the console, and requests that fail, also after scrolling to the end. A control page shows that
        both are seen. Milliseconds from an input event of the search to the laid-out list: of 9 turns, the median and
        the greatest.""",
        {"site": _about(place)},
    )
    programs = {"chrome": _program(chromium), "firefox": _program(firefox)}
    with page_scores.packages(packages) as folder:
        found = microscope_pages.in_browsers(place.resolve(), folder, programs, layer, units)
    _write(output, "browsers", report, found)


@app.command()
def lighthouse(
    place: Site,
    layer: Layer = None,
    runs: int = 5,
    packages: Packages = None,
    chromium: Chromium = "chromium",
    output: Output = DEFAULT,
) -> None:
    """Let Lighthouse judge an index, a layer and a unit."""
    report = Report("lighthouse@12 --preset=desktop, median of the runs.", {"site": _about(place), "runs": runs})
    with page_scores.packages(packages) as folder:
        found = microscope_pages.lighthouse(place.resolve(), folder, _program(chromium), layer, runs)
    _write(output, "lighthouse", report, found)


def _program(name: str) -> str:
    """Returns the path of a program.

    Raises:
        typer.BadParameter: it is not installed.
    """
    path = shutil.which(name)
    if path is None:
        raise typer.BadParameter(f"{name} is not installed.")
    return path


# The table ------------------------------------------------------------------------------------


def _site_rows(found: Mapping[str, Any]) -> list[Row]:
    what = f"{found['units']:,} units, {found['pictures']:,} drawings, {found['quality']}"
    bound = ("10 min at most", "below 5 s") if found["quality"] == "preview" and found["units"] >= 1451 else ("", "")
    parts = {name: seconds for name, seconds in found["parts"].items() if "workers" not in name}
    return [
        (what, bound[0], f"{found['seconds'] / 60:.1f} min, {found['megabytes']:.0f} MB"),
        ("its parts", "", ", ".join(f"{name} {seconds:.0f} s" for name, seconds in parts.items())),
        ("the same again, nothing to do", bound[1], f"{found['second_run']:.1f} s"),
    ]


def _render_rows(found: Mapping[str, Any]) -> list[Row]:
    what = f"renders of {found['layer']}, rate over that of `render_many`"
    return [(what, "0.95 at least", spread(found["ratio"]["render_many"], digits=2))]


def _example_rows(found: Mapping[str, Any]) -> list[Row]:
    what = f"examples of {len(found['layers'])} layers of {found['model']}, rate over that of a loop"
    return [
        (f"{what} with the same layers", "0.85 at least", spread(found["ratio"]["same layers"], digits=2)),
        (f"{what} with the last layer", "0.75 at least", spread(found["ratio"]["last layer"], digits=2)),
    ]


def _exact_rows(found: Mapping[str, Any]) -> list[Row]:
    units, wrong = sum(found["units"].values()), sum(found["wrong_units"].values())
    shards = found["shards"]
    answers = {True: "equal bits", False: "different"}
    return [
        (f"examples of {units} units, {found['pictures']:,} pictures, unlike brute force", "0", str(wrong)),
        (f"{shards['two']} shards and {shards['usual']}, against 1", "", answers[found["two_shards_equal_one"]]),
        ("a killed pass against another", "", answers[found["killed_equals_uninterrupted"]]),
    ]


def _memory_rows(found: Mapping[str, Any]) -> list[Row]:
    few = found["few"]
    return [
        (
            f"memory of a pass, {few[key]:,} and {found[name][key]:,} {key}",
            "no growth",
            f"{few['growth']:.0f} and {found[name]['growth']:.0f} MiB",
        )
        for name, key in (("many pictures", "pictures"), ("many units", "units"))
    ]


def _weight_rows(found: Mapping[str, Any]) -> list[Row]:
    loaded = found["loaded"]
    return [
        (
            f"page of {found['layer_units']} units before scrolling",
            "1.5 MB at most" if found["layer_units"] >= 832 else "",
            f"{loaded['layer']['before_scrolling'] / 1e6:.2f} MB",
        ),
        ("page of a unit, all of it", "400 KB at most", f"{loaded['unit']['all'] / 1e3:.0f} KB"),
        (
            f"{found['extrapolated_units']:,} units without whole pictures, extrapolated from {found['site_units']:,}",
            "1 GB at most",
            f"{found['extrapolated'] / 1e9:.2f} GB",
        ),
    ]


def _browser_rows(found: Mapping[str, Any]) -> list[Row]:
    rows = []
    for name, one in found.items():
        slowest = max(query["median"] for query in one["search"]["queries"].values())
        count = f"{one['messages']} and {one['failed']}"
        rows.append((f"{name}: messages and failed requests, {len(one['pages'])} pages", "0 and 0", count))
        rows.append((f"{name}: search over {one['search']['units']:,} units", "50 ms at most", f"{slowest:.0f} ms"))
    return rows


def _lighthouse_rows(found: Mapping[str, Any]) -> list[Row]:
    names = page_scores.CATEGORIES
    bound = " / ".join(str(least) for least in names.values())
    return [
        (f"Lighthouse, {page}: {' / '.join(names)}", bound, " / ".join(f"{one[name]:.0f}" for name in names))
        for page, one in found.items()
    ]


ROWS: dict[str, Callable[[Mapping[str, Any]], list[Row]]] = {
    "site": _site_rows,
    "renders": _render_rows,
    "examples": _example_rows,
    "exact": _exact_rows,
    "memory": _memory_rows,
    "weight": _weight_rows,
    "browsers": _browser_rows,
    "lighthouse": _lighthouse_rows,
}
"""First word of a section -> the rows of its figures."""


def markdown(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Returns the table of the documentation, from the result file."""
    order = list(ROWS)
    sections = sorted(results, key=lambda name: (order.index(name.partition(" ")[0]), name))
    rows = [row for name in sections for row in ROWS[name.partition(" ")[0]](results[name]["figures"])]
    lines = ["| number | bound | measured |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]
    return "\n".join(lines) + "\n"


@app.command()
def page(output: Output = DEFAULT) -> None:
    """Write the table of docs/microscope.md from the result file."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    made = f"{before}{BEGIN}\n{markdown(json.loads(output.read_text()))}\n{END}{rest.split(END)[1]}"
    PAGE.write_text(made, encoding="utf-8")
    console.print(f"written: {PAGE}")


if __name__ == "__main__":
    app()
