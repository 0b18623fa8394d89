"""Tables of the results of `gpu.py`, for the console and for `docs/benchmarks.md`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from timing import spread

Findings = Mapping[str, Mapping[str, Any]]
GIBIBYTE = 2**30


@dataclass(frozen=True)
class Layout:
    """The layout of a section's table.

    Attributes:
        title: title of the table.
        columns: names of the columns.
        row: function that returns the cells of a finding that follow its name.
    """

    title: str
    columns: Sequence[str]
    row: Callable[[Mapping[str, Any]], list[str]]


def table(section: str, result: Mapping[str, Any]) -> tuple[str, Sequence[str], list[list[str]]]:
    """Returns title, columns and rows of a section; findings without figures have a note instead."""
    layout = LAYOUTS[section]
    findings: Findings = result["figures"]
    width = len(layout.columns) - 1
    rows = []
    for name, one in findings.items():
        measured = "note" not in one or "steps" in one
        rows.append([name, *(layout.row(one) if measured else [one["note"], *[""] * (width - 1)])])
    return layout.title, layout.columns, rows


def remark(result: Mapping[str, Any]) -> str | None:
    """Returns a sentence about missing findings of a section; None if it is complete."""
    if result["status"] == "running":
        return "The run ended before this section had."
    note: str | None = result["note"]
    return note


def _tests(one: Mapping[str, Any]) -> list[str]:
    return [*(str(one[key]) for key in ("passed", "failed", "error", "skipped")), "yes" if one["finished"] else "no"]


def _rate(one: Mapping[str, Any]) -> list[str]:
    return [
        str(one["images"]),
        str(one["measured_steps"]),
        spread(one["seconds_per_step"], 1000, 2),
        f"{one['images_and_steps_per_second']['median']:.0f}",
        f"{one['projected_images_per_second']:.3g}",
    ]


def _projected(one: Mapping[str, Any]) -> list[str]:
    of_all_layers = "images" not in one
    rate = ["", "", "", "", f"{one['projected_images_per_second']:.3g}"] if of_all_layers else _rate(one)
    return [*rate, str(one["units"]), f"{one['projected_seconds']:.1f}"]


def _precision(one: Mapping[str, Any]) -> list[str]:
    error = f"{one['gradient_error']:.2e}" if "gradient_error" in one else "reference"
    return [*_rate(one), spread(one["time_of_float32"], digits=2), error]


def _batch(one: Mapping[str, Any]) -> list[str]:
    peak = one["peak_bytes"]
    return [*_rate(one), peak if isinstance(peak, str) else f"{peak / GIBIBYTE:.2f}"]


def _graphs(one: Mapping[str, Any]) -> list[str]:
    return [
        spread(one["eager_seconds_per_step"], 1000, 2),
        spread(one["seconds_per_step"], 1000, 2),
        spread(one["compiled_over_eager"], digits=3),
        f"{one['first_step_seconds']:.1f}",
    ]


def _synchronisations(one: Mapping[str, Any]) -> list[str]:
    calls = one.get("calls", {})
    counts = ", ".join(f"{name} {count}" for name, count in calls.items())
    return [str(one["steps"]), str(one["warnings"]), counts or one.get("note", "none")]


RATE = ("images", "steps", "ms a step", "images x steps/s", "projected images/s")
LAYOUTS = {
    "tests": Layout("tests marked `gpu`", ("", "passed", "failed", "errors", "skipped", "all were run"), _tests),
    "units": Layout("all units of one layer", ("", *RATE, "units", "projected s"), _projected),
    "precision": Layout("precision", ("", *RATE, "of float32's time", "gradient's error"), _precision),
    "batch": Layout("images in a batch", ("", *RATE, "peak GiB"), _batch),
    "graphs": Layout(
        "compilation, images of one size",
        ("images", "eager, ms a step", "compiled, ms a step", "compiled / eager", "first compiled step, s"),
        _graphs,
    ),
    "synchronisations": Layout(
        "synchronisations", ("images", "steps", "torch's warnings", "CUDA calls by the profiler"), _synchronisations
    ),
    "channels": Layout("all channels of Lucid's layers", ("", *RATE, "units", "projected s"), _projected),
}
