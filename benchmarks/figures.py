"""Times drafts of the figures. Each is made once, as by `lucid-port figure NAME --fast`.

    python benchmarks/figures.py --model TinyInceptionV1
    python benchmarks/figures.py --model InceptionV1_caffe --only fv-channel --keep drafts

The target for a draft is one minute on two cores. On a shared machine, wall times depend on the load. So one thread
makes the figures, and its processor time is reported as well: the time that it would take on a free core. Two threads
are no slower on two free cores, but much slower if they wait for each other.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from timing import RESULTS, Others, Report, console, table

from lucid_port.figures.base import catalogue, find_figure
from lucid_port.figures.run import Request, open_request, write

MOST_SECONDS = 60.0  # documented limit of `--fast`
THREADS = 1
METHOD = """Seconds in which each figure was made and written once, the model being open, the first in a process that
has imported what it needs; the processor's seconds of all its threads; and how many processors others kept busy
meanwhile."""


def measured(request: Request, model: Any, folder: Path) -> dict[str, float | None]:
    """Makes a figure and writes it to a folder.

    Returns:
        Its measurements.
    """
    others = Others()
    wall, processor = time.perf_counter(), time.process_time()
    with others:
        write(request, model, folder)
    seconds = time.perf_counter() - wall
    processor_seconds = time.process_time() - processor
    return {
        "seconds": round(seconds, 2),
        "processor_seconds": round(processor_seconds, 2),
        "others": others.processors,
    }


def figures_of(model: str, wanted: Sequence[str]) -> list[str]:
    """Returns the names of figures that support a model: all of them, or the given ones.

    Raises:
        ValueError: a given figure does not exist, or does not support the model.
    """
    for name in wanted:
        find_figure(name).options_for(model)
    return list(wanted) or [name for name, one in catalogue().items() if model in one.options]


def rows(found: dict[str, dict[str, Any]]) -> list[list[str]]:
    return [
        [name, f"{one['seconds']:.1f}", f"{one['processor_seconds']:.1f}", str(one["others"])]
        for name, one in found.items()
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="TinyInceptionV1", help="a model that figures name units for")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="these figures alone")
    parser.add_argument("--steps", type=int, help="updates of each picture, in place of a draft's")
    parser.add_argument("--threads", type=int, default=THREADS, help="of torch")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="where the figures go; nowhere by default")
    parser.add_argument("--output", type=Path, default=RESULTS / "figures.json", help="the result file")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    names = figures_of(options.model, options.only)
    report = Report(METHOD, {"threads": options.threads, "fast": True, "steps": options.steps})
    model = open_request(Request(names[0], options.model))
    with contextlib.ExitStack() as stack:
        folder = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = {}
        for name in names:
            request = Request(name, options.model, steps=options.steps, fast=True)
            found[name] = measured(request, model, folder)
            console.print(*rows({name: found[name]})[0])
    table(
        f"Drafts of {len(found)} figures, {options.model}",
        ["figure", "seconds", "processor's seconds", "processors that others used"],
        [*rows(found), ["all", *(f"{sum(one[key] for one in found.values()):.0f}" for key in KEYS), ""]],
    )
    report.write(options.output, {**_earlier(options.output), options.model: found})
    slow = [name for name, one in found.items() if one["processor_seconds"] > MOST_SECONDS]
    if slow:
        console.print(f"more than {MOST_SECONDS:.0f} of the processor's seconds: {', '.join(slow)}")
    return 1 if slow else 0


KEYS = ("seconds", "processor_seconds")


def _earlier(path: Path) -> dict[str, Any]:
    """Returns the results of other models in the result file."""
    return json.loads(path.read_text())["figures"] if path.exists() else {}


if __name__ == "__main__":
    sys.exit(main())
