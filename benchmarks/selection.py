"""Measures how much faster a step is if only one channel of a layer is computed: `python benchmarks/selection.py`.

**Method.** Two renders of one unit take turns in alternating rounds: one reads its channel through `T.channel`, so that
the network computes no other channel of the layer; the other reads the whole layer. Ratios are taken within each round.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import port
import timing
import torch
import typer

from lucid_port.optvis import objectives, param, render

LAYERS = ("mixed3a_pre_relu", "mixed4a_pre_relu", "mixed5b_pre_relu")


def whole_layer(layer: str, unit: int) -> objectives.Objective:
    """The mean of a channel, read from the whole layer."""
    return objectives.as_objective(lambda T: T(layer)[:, unit].mean())


def turn(vis: render.VisT, steps: int) -> Callable[[], float]:
    """Returns a function that runs one turn of a render and returns the seconds per step."""

    def run() -> float:
        start = time.perf_counter()
        for _ in range(steps):
            vis.step()
        return (time.perf_counter() - start) / steps

    return run


def measure(layer: str, unit: int, size: int, steps: int, rounds: int, warm_up: int) -> dict[str, Any]:
    """Returns the measurements of one layer."""
    model = port.load()
    both = {"one channel": objectives.channel(layer, unit), "whole layer": whole_layer(layer, unit)}
    turns = {}
    for name, objective in both.items():
        vis = render.make_vis_T(model, objective, lambda: param.image(size), relu_gradient_override=True)
        turn(vis, warm_up)()
        turns[name] = turn(vis, steps)
    seconds = timing.alternate(turns, rounds)
    found: dict[str, Any] = {name: timing.summary(values) for name, values in seconds.items()}
    return {**found, "ratio": timing.ratios(seconds["one channel"], seconds["whole layer"])}


def main(
    layers: Annotated[list[str] | None, typer.Option(help="Layers of InceptionV1.")] = None,
    unit: int = 50,
    size: Annotated[int, typer.Option(help="Pixels.")] = 128,
    steps: Annotated[int, typer.Option(help="Steps a turn.", min=1)] = 10,
    rounds: Annotated[int, typer.Option(help="Turns of each.", min=1)] = 15,
    warm_up: Annotated[int, typer.Option(help="Steps before; 17 are under the gradient override.", min=17)] = 24,
    threads: Annotated[int | None, typer.Option(help="torch's default if not given.")] = None,
    output: Path = timing.RESULTS / "selection.json",
) -> None:
    """Time single channels beside whole layers."""
    if threads:
        torch.set_num_threads(threads)
    asked: Sequence[str] = layers or LAYERS
    settings = {"unit": unit, "size": size, "steps": steps, "rounds": rounds, "threads": torch.get_num_threads()}
    found = {layer: measure(layer, unit, size, steps, rounds, warm_up) for layer in asked}
    rows = [
        [layer, *(timing.spread(one[name], 1000, 1) for name in ("one channel", "whole layer")), _ratio(one)]
        for layer, one in found.items()
    ]
    timing.table("median (quartiles) over the rounds", ["layer", "one channel, ms", "whole layer, ms", "ratio"], rows)
    timing.Report(__doc__.split("**Method.**")[1], settings).write(output, found)


def _ratio(one: dict[str, Any]) -> str:
    return timing.spread(one["ratio"], digits=3)


if __name__ == "__main__":
    typer.run(main)
