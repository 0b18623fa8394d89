"""Times a step of one-unit renders of lucid_port, Lucid and Lucent: `python benchmarks/peers.py --tf1 PYTHON ...`.

benchmarks/README.md describes the method and how to create each environment. The port always takes part; another
contestant takes part if its Python is given, and is missing from the results otherwise.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import port
import structure
import timing
import typer

from converters.frozen.graphdef import read_graph
from lucid_port.modelzoo.seeded import seeded_inceptionv1

METHOD = """Every contestant renders in a process and environment of its own, kept alive. After a warm-up they take
turns: in each round each makes some steps while the others are stopped, in shuffled order. Seconds a step are the
median over the rounds of a turn's mean step, with quartiles; ratios are taken within each round, then their median."""
UNTIMED = 2  # steps at the start of a turn that refill the caches after another contestant's turn
REFERENCE = "Lucid, TensorFlow 1.15"
BEFORE = "before"
"""Suffix of the contestants of an earlier commit."""


@dataclass(frozen=True)
class Contestant:
    """A contestant, which is one line of the table.

    Attributes:
        name: name of the line.
        python: the interpreter of its environment.
        script: script of its worker.
        units: units that it renders, one image each.
        note: remark for the table.
        options: entries of its job that differ from those of other contestants.
    """

    name: str
    python: str
    script: str
    units: Sequence[int]
    note: str = ""
    options: Mapping[str, Any] = field(default_factory=dict)


def contestants(
    unit: int, many: Sequence[int], tf1: str | None, tf2: str | None, lucent: str | None
) -> list[Contestant]:
    """Returns the port's contestants, and the others whose interpreter is given."""
    found = []
    together = f"{len(many)} units together, an image each"
    if tf1:
        plain = {"relu_gradient_override": False}
        without = "without the gradient override, which is part of Lucid's graph at every step"
        found += [
            Contestant(REFERENCE, tf1, "worker_lucid.py", [unit]),
            Contestant(f"{REFERENCE}, plain ReLUs", tf1, "worker_lucid.py", [unit], without, plain),
            Contestant(f"{REFERENCE}, {len(many)} units", tf1, "worker_lucid.py", many, together),
        ]
    if tf2:
        note = "rotation by the op that tensorflow.contrib.image.rotate called"
        found.append(Contestant("Lucid, TensorFlow 2", tf2, "worker_lucid.py", [unit], note))
    if lucent:
        own = "own InceptionV1 with the graph's weights, unit of mixed4a (there is no mixed4a_pre_relu); "
        for size, note in ((None, "resizes to 224 pixels, its default"), (128, "resizes to 128 pixels")):
            name = f"Lucent, {size or 224} px"
            found.append(Contestant(name, lucent, "worker_lucent.py", [unit], own + note, {"fixed_image_size": size}))
    return [*found, *ours(unit, many)]


def ours(unit: int, many: Sequence[int], tree: Path | None = None) -> list[Contestant]:
    """Returns the contestants of this project, from this tree or from the tree of an earlier commit."""
    python, script, suffix = sys.executable, "worker_port.py", ""
    if tree is not None:
        launcher = tree / "python"
        launcher.write_text(f'#!/bin/sh\nPYTHONPATH="{tree}" exec "{python}" "$@"\n')
        launcher.chmod(0o755)
        python, script, suffix = str(launcher), str(tree / "benchmarks" / script), f", {BEFORE}"
    return [
        Contestant(f"lucid_port{suffix}", python, script, [unit]),
        Contestant(
            f"lucid_port, {len(many)} units{suffix}", python, script, many, f"{len(many)} units together, an image each"
        ),
    ]


def write_network(folder: Path) -> dict[str, str]:
    """Writes the shared network as a graph file, and as weights by name for contestants that cannot read graphs."""
    graph, weights = folder / "InceptionV1.pb", folder / "InceptionV1.npz"
    graph.write_bytes(seeded_inceptionv1().SerializeToString())
    nodes = read_graph(graph).nodes
    constants = {name: node.constant() for name, node in nodes.items() if node.constant and name.endswith(("_w", "_b"))}
    np.savez(weights, **constants)  # type: ignore[arg-type]
    return {"graph": str(graph), "weights": str(weights)}


def measure(
    entered: Sequence[Contestant], job: Mapping[str, Any], warm_up: int, steps: int, rounds: int
) -> dict[str, dict[str, Any]]:
    """Runs the contestants in alternating rounds.

    Returns:
        Figures by contestant.

    Raises:
        timing.WorkerError: a contestant did not start, or ended.
    """
    with contextlib.ExitStack() as stack:
        workers = {}
        for one in entered:
            timing.console.print(f"warming up: {one.name}")
            task = {**job, **one.options, "units": list(one.units)}
            workers[one.name] = stack.enter_context(timing.Worker(one.python, one.script, task))
            workers[one.name].run(warm_up)
        turns = {name: turn_of(worker, steps) for name, worker in workers.items()}
        seconds = timing.alternate(turns, rounds)
        return {one.name: figures(one, workers[one.name], seconds, steps) for one in entered}


def turn_of(worker: timing.Worker, steps: int) -> Callable[[], float]:
    """Returns a turn of a worker."""
    return lambda: worker.run(steps, UNTIMED)


def figures(
    one: Contestant, worker: timing.Worker, seconds: Mapping[str, Sequence[float]], steps: int
) -> dict[str, Any]:
    """Returns a contestant's entry in the result file."""
    images = len(one.units)
    each = [value / images for value in seconds[one.name]]
    found: dict[str, Any] = {
        "note": one.note,
        "versions": worker.versions,
        "units": list(one.units),
        "seconds_per_step": timing.summary(seconds[one.name]),
        "seconds_per_image_and_step": timing.summary(each),
        "rounds": seconds[one.name],
        "objective_first": worker.objectives[0] / images,
        "objective_last": statistics.fmean(worker.objectives[-steps:]) / images,
        "processors_busy_with_others": worker.others.processors,
    }
    if REFERENCE in seconds:
        found["time_of_reference"] = timing.ratios(each, seconds[REFERENCE])
    if f"{one.name}, {BEFORE}" in seconds:
        found["time_of_before"] = timing.ratios(seconds[one.name], seconds[f"{one.name}, {BEFORE}"])
    return found


def show(found: Mapping[str, Mapping[str, Any]]) -> None:
    """Prints the table."""
    compared = REFERENCE in found
    earlier = any("time_of_before" in one for one in found.values())
    columns = [
        "",
        "ms a step and image",
        *(["of TF 1.15's"] if compared else []),
        *(["of the commit before"] if earlier else []),
        "objective",
        "others' load",
    ]
    rows = []
    for name, one in found.items():
        ratio = [timing.spread(one["time_of_reference"], digits=2)] if compared else []
        objective = f"{one['objective_first']:.2f} -> {one['objective_last']:.1f}"
        busy = one["processors_busy_with_others"]
        times = timing.spread(one["seconds_per_image_and_step"], 1000)
        if earlier:
            ratio.append(timing.spread(one["time_of_before"], digits=3) if "time_of_before" in one else "")
        rows.append([name, times, *ratio, objective, "" if busy is None else f"{busy:.2f}"])
    timing.table("median (quartiles) over the rounds", columns, rows)


Interpreter = Annotated[str | None, typer.Option(metavar="PYTHON")]


def main(
    steps: Annotated[int, typer.Option(help="Steps a turn.", min=1)] = 40,
    rounds: Annotated[int, typer.Option(help="Turns of each.", min=1)] = 15,
    warm_up: Annotated[int, typer.Option(help="Steps before; 17 are under the gradient override.", min=1)] = 64,
    tf1: Interpreter = None,
    tf2: Interpreter = None,
    lucent: Interpreter = None,
    before: Annotated[str | None, typer.Option(metavar="REV", help="Earlier commit that takes part, too.")] = None,
    unit: Annotated[int, typer.Option(help=f"Channel of {port.LAYER}.")] = 476,
    units: Annotated[int, typer.Option(help="How many units together, from channel 0 on.", min=2)] = 16,
    size: Annotated[int, typer.Option(help="Pixels.")] = 128,
    threads: Annotated[int | None, typer.Option(help="Of each; its framework's default if not given.")] = None,
    seed: int = 0,
    output: Path = timing.RESULTS / "peers.json",
) -> None:
    """Time one-unit renders of lucid_port, Lucid and Lucent in alternating rounds."""
    settings = {"layer": port.LAYER, "size": size, "seed": seed, "threads": threads, "relu_gradient_override": True}
    counts = {"steps": steps, "rounds": rounds, "warm_up": warm_up, "untimed_steps_a_turn": UNTIMED}
    report = timing.Report(METHOD, {**settings, **counts, "order_seed": timing.ORDER_SEED})
    os.environ.pop("LUCID_PORT_MODELZOO", None)  # the only InceptionV1 is the one written below
    with tempfile.TemporaryDirectory() as folder, structure.tree_of(before) as tree:
        job = {**settings, **write_network(Path(folder)), "fixed_image_size": None}
        entered = contestants(unit, range(units), tf1, tf2, lucent)
        if before is not None:
            entered += ours(unit, range(units), tree)
        try:
            found = measure(entered, job, warm_up, steps, rounds)
        except timing.WorkerError as error:
            raise SystemExit(str(error)) from None
    show(found)
    report.write(output, found)


if __name__ == "__main__":
    typer.run(main)
