"""Measures the time of each part of a step: `python benchmarks/breakdown.py`.

**Method.** Shortened steps (cuts) are timed. Each cut ends after another part of the step: the parameterization, the
transforms, the network, the gradient of the network's input, the gradient of the image, the gradient of the parameters,
and the update. The last cut is the render's own `step()`. The cuts take turns in alternating rounds. The time of a part
is the difference between two successive cuts of the same round, and the table has the median of these differences.

The timed code contains no clock, profiler or hook, so it runs as in a render. (A profiler adds some microseconds to
each of a step's hundreds of operations, which distorts small parts most.) All cuts of a round get the same random
draws, because the image size depends on them. By construction, the parts of a round add up to the step. The
disadvantage is noise: a part is the difference of two larger times and has the errors of both, so look at the
quartiles. If the quartiles of a part include zero, it is too small to measure.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import port
import timing
import torch
import typer

from lucid_port.optvis.engine.step import Evaluation
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.sampling import RandomSource

Cut = Callable[[VisT, RandomSource], Any]
UNTIMED = 2


def _image(vis: VisT, source: RandomSource) -> torch.Tensor:
    return vis.param()


def _transformed(vis: VisT, source: RandomSource) -> torch.Tensor:
    return vis.transform(_image(vis, source), source.scope("transforms"))


def _value(vis: VisT, source: RandomSource) -> tuple[Evaluation, torch.Tensor]:
    evaluation = Evaluation(vis, source.scope("transforms"), vis.reads, True)
    return evaluation, evaluation.value(vis.objective)


def _network_gradient(vis: VisT, source: RandomSource) -> Any:
    evaluation, value = _value(vis, source)
    return torch.autograd.grad(-value.sum(), evaluation.transformed)


def _image_gradient(vis: VisT, source: RandomSource) -> Any:
    evaluation, value = _value(vis, source)
    return torch.autograd.grad(-value.sum(), evaluation.image)


def _gradients(vis: VisT, source: RandomSource) -> Sequence[torch.Tensor]:
    _, value = _value(vis, source)
    return torch.autograd.grad(-value.sum(), vis.parameters)


def _updated(vis: VisT, source: RandomSource) -> None:
    gradients = _gradients(vis, source)
    for parameter, gradient in zip(vis.parameters, gradients, strict=True):
        parameter.grad = gradient
    vis.optimizer.step()


def _step(vis: VisT, source: RandomSource) -> None:
    vis.source = source
    vis.step()


# The parts of a step, each with the shortened step that ends after it.
CUTS: Mapping[str, Cut] = {
    "parameterization, forward": _image,
    "transforms, forward": _transformed,
    "network and objective, forward": _value,
    "network and objective, backward": _network_gradient,
    "transforms, backward": _image_gradient,
    "parameterization, backward": _gradients,
    "optimiser": _updated,
    "rest of VisT.step": _step,
}


class Turns:
    """Returns a turn function of one cut; the n-th turn of every cut has the same draws.

    Args:
        vis: the render, warmed up. All cuts share it.
        cut: the step that is timed.
        steps: number of steps in a turn.
        wait: function that waits for the device.
    """

    def __init__(self, vis: VisT, cut: Cut, steps: int, wait: Callable[[], None]) -> None:
        self._vis, self._cut, self._steps, self._wait = vis, cut, steps, wait
        self._turn = 0

    def __call__(self) -> float:
        self._turn += 1
        source = RandomSource(self._turn)
        for _ in range(UNTIMED):
            self._cut(self._vis, source)
        self._wait()
        start = time.perf_counter()
        for _ in range(self._steps):
            self._cut(self._vis, source)
        self._wait()
        return (time.perf_counter() - start) / self._steps


def parts(seconds: Mapping[str, Sequence[float]]) -> dict[str, list[float]]:
    """Returns the times of the parts in each round, from the times of the cut steps in order."""
    before = [0.0] * len(next(iter(seconds.values())))
    found = {}
    for name, cut in seconds.items():
        found[name] = [now - then for now, then in zip(cut, before, strict=True)]
        before = list(cut)
    return found


def figures(seconds: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Returns the results: the parts, their shares, and the whole step."""
    whole = seconds["rest of VisT.step"]
    found: dict[str, Any] = {
        name: {"seconds": timing.summary(part), "share": timing.ratios(part, whole), "rounds": part}
        for name, part in parts(seconds).items()
    }
    return {"parts": found, "step": {"seconds": timing.summary(whole), "rounds": list(whole)}}


def show(found: Mapping[str, Any], title: str) -> None:
    """Prints the table."""
    rows = [
        [name, timing.spread(one["seconds"], 1000, 2), timing.spread(one["share"], 100, 1)]
        for name, one in found["parts"].items()
    ]
    rows.append(["the step", timing.spread(found["step"]["seconds"], 1000, 2), "100"])
    timing.table(title, ["", "ms", "% of the step"], rows)


def main(
    steps: Annotated[int, typer.Option(help="Steps a turn.", min=1)] = 20,
    rounds: Annotated[int, typer.Option(help="Turns of each cut.", min=1)] = 30,
    warm_up: Annotated[int, typer.Option(help="Steps before; 17 are under the gradient override.", min=17)] = 64,
    layer: str = port.LAYER,
    unit: int = 476,
    size: Annotated[int, typer.Option(help="Pixels.")] = 128,
    images: Annotated[int, typer.Option(help="Images in the batch.", min=1)] = 1,
    threads: Annotated[int | None, typer.Option(help="torch's default if not given.")] = None,
    device: Annotated[str | None, typer.Option(help="cpu if not given.")] = None,
    output: Path = timing.RESULTS / "breakdown.json",
) -> None:
    """Time the parts of one step of the port."""
    if threads:
        torch.set_num_threads(threads)
    counts = {"steps": steps, "rounds": rounds, "warm_up": warm_up, "untimed_steps_a_turn": UNTIMED}
    what = {"layer": layer, "unit": unit, "size": size, "images": images}
    model = port.load(device=device)
    settings = {**what, **counts, **port.circumstances(model), "order_seed": timing.ORDER_SEED}
    report = timing.Report(__doc__.split("**Method.**")[1], settings)
    vis = port.one_objective(model, layer, unit, size, images)
    for _ in range(warm_up):
        vis.step()
    others = timing.Others()
    with others:
        turns = {name: Turns(vis, cut, steps, lambda: port.synchronize(model)) for name, cut in CUTS.items()}
        found = figures(timing.alternate(turns, rounds))
    show(found, f"one step, {images} image(s) of {size} px, {layer}: median (quartiles) of {rounds} rounds")
    report.write(output, {**found, "processors_busy_with_others": others.processors})


if __name__ == "__main__":
    typer.run(main)
