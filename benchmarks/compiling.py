"""Measures after how many steps `compile=True` pays: `python benchmarks/compiling.py`.

**Method.** Two renders of the same unit, one compiled, take turns in alternating rounds, past the 17 updates that are
never compiled. Both get the same random draws, as a step's time depends on the size that the transforms draw. The
compiled one is warmed up until each size has occurred. The cost of compiling a size is the time of its first step minus
that of a later step. Break-even is the cost of all sizes divided by the time saved per step: the number of steps after
which compiling has paid off. Inductor keeps compiled code on disk, so a second process compiles faster; `--cold` starts
with an empty folder. Published numbers are those of `--cold` unless stated otherwise. With fewer `--scales`, fewer
sizes are measured; the cost per size is reported as well, and the break-even of Lucid's 11 sizes uses 11 times this.
"""

from __future__ import annotations

import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import port
import timing
import torch
import typer

from lucid_port.optvis import objectives, param, render, transform
from lucid_port.optvis.overrides.redirected_relu_grad import REDIRECTED_UPDATES
from lucid_port.optvis.render import VisT
from lucid_port.optvis.sampling import RandomSource

LUCIDS_SCALES = tuple(1 + (i - 5) / 50.0 for i in range(11))


def transforms(scales: Sequence[float]) -> list[transform.Transform]:
    """Returns `standard_transforms` with other scales."""
    chosen = transform.random_scale(scales)
    return [chosen if isinstance(one, transform.RandomScale) else one for one in transform.standard_transforms]


class Turns:
    """Returns a turn function of one render; the n-th turn of each render has the same draws.

    Args:
        vis: the render.
        steps: number of steps in a turn.
        wait: function that waits for the device.
    """

    def __init__(self, vis: VisT, steps: int, wait: Any) -> None:
        self._vis, self._steps, self._wait = vis, steps, wait
        self._turn = 0

    def __call__(self) -> float:
        self._turn += 1
        self._vis.source = RandomSource(self._turn)
        self._vis.step()
        self._wait()
        start = time.perf_counter()
        for _ in range(self._steps):
            self._vis.step()
        self._wait()
        return (time.perf_counter() - start) / self._steps


def first_calls(vis: VisT, scales: Sequence[float], make: Any, wait: Any) -> list[float]:
    """Returns the seconds of the first compiled step at each scale."""
    found = []
    for scale in scales:
        vis.transform = make([scale])
        wait()
        start = time.perf_counter()
        vis.step()
        wait()
        found.append(time.perf_counter() - start)
    return found


def measure(
    model: Any, unit: str, size: int, images: int, scales: Sequence[float], steps: int, rounds: int
) -> dict[str, Any]:
    """Returns cost, time saved and break-even."""

    def wait() -> None:
        port.synchronize(model)

    def composed(some: Sequence[float]) -> transform.Transform:
        return transform.compose(transforms(some))

    renders = {}
    for name, compile in (("eager", False), ("compiled", True)):
        vis = render.make_vis_T(
            model,
            objectives.as_objective(unit),
            lambda: param.image(size, batch=images),
            transforms=transforms(scales),
            relu_gradient_override=True,
            compile=compile,
        )
        for _ in range(REDIRECTED_UPDATES):
            vis.step()
        renders[name] = vis
    prices = first_calls(renders["compiled"], scales, composed, wait)
    for vis in renders.values():
        vis.transform = composed(scales)
    seconds = timing.alternate({name: Turns(vis, steps, wait) for name, vis in renders.items()}, rounds)
    gains = [eager - compiled for eager, compiled in zip(seconds["eager"], seconds["compiled"], strict=True)]
    gain, step = statistics.median(gains), statistics.median(seconds["compiled"])
    price = sum(prices) - len(prices) * step
    whole = price / len(prices) * len(LUCIDS_SCALES)
    return {
        "first_step_seconds": prices,
        "seconds": {name: timing.summary(values) for name, values in seconds.items()},
        "compiled_over_eager": timing.ratios(seconds["compiled"], seconds["eager"]),
        "saved_seconds_a_step": timing.summary(gains),
        "price_seconds": price,
        "break_even_steps": price / gain if gain > 0 else None,
        "price_seconds_of_11_sizes": whole,
        "break_even_steps_of_11_sizes": whole / gain if gain > 0 else None,
        "rounds": seconds,
    }


def show(found: dict[str, Any], title: str) -> None:
    """Prints the table."""
    even = found["break_even_steps_of_11_sizes"]
    rows = [
        ["eager, ms a step", timing.spread(found["seconds"]["eager"], 1000, 2)],
        ["compiled, ms a step", timing.spread(found["seconds"]["compiled"], 1000, 2)],
        ["compiled / eager", timing.spread(found["compiled_over_eager"], 1, 3)],
        ["price of 11 sizes, s", f"{found['price_seconds_of_11_sizes']:.0f}"],
        ["break-even, steps", "never" if even is None else f"{even:.0f}"],
    ]
    timing.table(title, ["", ""], rows)


def main(
    steps: Annotated[int, typer.Option(help="Steps a turn.", min=1)] = 20,
    rounds: Annotated[int, typer.Option(help="Turns of each.", min=2)] = 20,
    scales: Annotated[int, typer.Option(help="How many of Lucid's 11 scales; each is compiled.", min=1, max=11)] = 11,
    unit: str = f"{port.LAYER}:476",
    size: Annotated[int, typer.Option(help="Pixels.")] = 128,
    images: Annotated[int, typer.Option(help="Images in the batch.", min=1)] = 1,
    threads: Annotated[int | None, typer.Option(help="torch's default if not given.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu if not given.")] = None,
    cold: Annotated[bool, typer.Option(help="Compile into an empty folder.")] = True,
    output: Path = timing.RESULTS / "compiling.json",
) -> None:
    """Measure the cost of compiling and the time that it saves."""
    if threads:
        torch.set_num_threads(threads)
    model = port.load(device=device)
    chosen = LUCIDS_SCALES[::-1][:: max(1, len(LUCIDS_SCALES) // scales)][:scales]
    what = {"unit": unit, "size": size, "images": images, "scales": chosen, "cold": cold}
    settings = {**what, "steps": steps, "rounds": rounds, **port.circumstances(model), "order_seed": timing.ORDER_SEED}
    report = timing.Report(__doc__.split("**Method.**")[1], settings)
    others = timing.Others()
    with tempfile.TemporaryDirectory() as folder, others:
        if cold:
            os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder
        found = measure(model, unit, size, images, chosen, steps, rounds)
    show(found, f"{unit}, {images} image(s) of {size} px: median (quartiles) of {rounds} rounds")
    report.write(output, {**found, "processors_busy_with_others": others.processors})


if __name__ == "__main__":
    typer.run(main)
