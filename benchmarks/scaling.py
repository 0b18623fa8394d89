"""Measures how the time of a step depends on settings: `python benchmarks/scaling.py [--only batch|units|size|depth]`.

Renders one image of a unit of mixed4a at 128 px. Four series vary one setting each:

- batch: images that share one objective;
- units: units that are rendered together, each with its own image and objective;
- size: height and width of the image in pixels;
- depth: the layer, from the first convolution to the last module.

**Method.** The points of a series are renders in this process that are warmed up, then take turns in alternating
rounds. Seconds a step are the median over the rounds of a turn's mean step, with quartiles; relative times are taken
within each round, against the first point of the series.
"""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import port
import timing
import torch
import typer

from lucid_port.modelzoo.seeded import MODULES
from lucid_port.modelzoo.vision_base import Model

UNIT = 16
UNTIMED = 2
SIZE = 128
COUNTS = (1, 2, 4, 8, 16, 32)
SIZES = (64, 96, 128, 192, 256, 384, 512)
LAYERS = tuple(f"{layer}_pre_relu" for layer in ("conv2d0", "conv2d1", "conv2d2", *(m.name for m in MODULES)))


class Series(str, enum.Enum):
    """The setting that a series varies."""

    batch = "batch"
    units = "units"
    size = "size"
    depth = "depth"


@dataclass(frozen=True)
class Point:
    """One render of a series: how many images it has, and its step."""

    images: int
    step: port.Step


def points(series: Series, model: Model, most: int) -> dict[str, Point]:
    """Returns the renders of a series by the value of its setting; none has more than `most` images."""
    counts = [count for count in COUNTS if count <= most]
    layer = port.LAYER
    if series is Series.batch:
        return {str(n): Point(n, port.one_objective(model, layer, UNIT, SIZE, n).step) for n in counts}
    if series is Series.units:
        return {str(n): Point(n, port.many_units(model, layer, range(n), SIZE)) for n in counts}
    if series is Series.size:
        return {str(size): Point(1, port.one_objective(model, layer, UNIT, size).step) for size in SIZES}
    return {name: Point(1, port.one_objective(model, name, UNIT, SIZE).step) for name in LAYERS}


def turn(point: Point, steps: int, wait: Callable[[], None]) -> timing.Turn:
    """Returns a turn of a render."""

    def run() -> float:
        for _ in range(UNTIMED):
            point.step()
        wait()
        start = time.perf_counter()
        for _ in range(steps):
            point.step()
        wait()
        return (time.perf_counter() - start) / steps

    return run


def measure(series: Series, model: Model, steps: int, rounds: int, warm_up: int, most: int) -> dict[str, Any]:
    """Returns the figures of a series by its points."""
    entered = points(series, model, most)
    for point in entered.values():
        for _ in range(warm_up):
            point.step()
    turns = {name: turn(point, steps, lambda: port.synchronize(model)) for name, point in entered.items()}
    others = timing.Others()
    with others:
        seconds = timing.alternate(turns, rounds, series.value)
    first = next(iter(seconds.values()))
    found = {}
    for name, point in entered.items():
        each = [value / point.images for value in seconds[name]]
        found[name] = {
            "images": point.images,
            "seconds_per_step": timing.summary(seconds[name]),
            "seconds_per_image_and_step": timing.summary(each),
            "images_and_steps_per_second": timing.summary([1 / value for value in each]),
            "time_of_first_point": timing.ratios(seconds[name], first),
            "rounds": seconds[name],
        }
    return {"processors_busy_with_others": others.processors, "points": found}


def show(series: Series, found: Mapping[str, Any]) -> None:
    """Prints the table of a series."""
    rows = [
        [
            name,
            timing.spread(one["seconds_per_step"], 1000),
            timing.spread(one["seconds_per_image_and_step"], 1000),
            timing.spread(one["images_and_steps_per_second"]),
            timing.spread(one["time_of_first_point"], digits=2),
        ]
        for name, one in found["points"].items()
    ]
    columns = [series.value, "ms a step", "ms a step and image", "images x steps a second", "of the first"]
    timing.table(f"{series.value}: median (quartiles)", columns, rows)


def main(
    steps: Annotated[int, typer.Option(help="Steps a turn.", min=1)] = 20,
    rounds: Annotated[int, typer.Option(help="Turns of each point.", min=1)] = 15,
    warm_up: Annotated[int, typer.Option(help="Steps before; 17 are under the gradient override.", min=1)] = 32,
    only: Annotated[list[Series] | None, typer.Option(help="Series to measure; all if not given.")] = None,
    most: Annotated[int, typer.Option(help="Images in the largest batch.", min=1)] = COUNTS[-1],
    threads: Annotated[int | None, typer.Option(help="torch's default if not given.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu if not given.")] = None,
    output: Path = timing.RESULTS / "scaling.json",
) -> None:
    """Time steps of the port against batch, number of units, image size and depth."""
    if threads:
        torch.set_num_threads(threads)
    counts = {"steps": steps, "rounds": rounds, "warm_up": warm_up, "untimed_steps_a_turn": UNTIMED}
    what = {"layer": port.LAYER, "unit": UNIT, "size": SIZE}
    model = port.load(device=device)
    settings = {**what, **counts, **port.circumstances(model), "order_seed": timing.ORDER_SEED}
    report = timing.Report(__doc__.split("**Method.**")[1], settings)
    found = {}
    for series in only or list(Series):
        found[series.value] = measure(series, model, steps, rounds, warm_up, most)
        show(series, found[series.value])
    report.write(output, found)


if __name__ == "__main__":
    typer.run(main)
