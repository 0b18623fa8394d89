"""The sections of `gpu.py`, one function each. As a script, this file runs one section in a separate process.

A section emits each finding as soon as it is measured, so that a process that is ended early loses only the current
finding. `gpu.py` starts the processes, sets their time limits and collects the findings.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import json
import os
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import compiling
import peers
import port
import pytest
import scaling
import timing
import torch
import torch.nn.functional as F
from pace import job

from converters import functional
from converters.layers import Conv2d
from lucid_port.modelzoo import vision_models
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import transform
from lucid_port.optvis.engine.precision import PRECISIONS, tf32
from lucid_port.optvis.engine.step import Forward
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.many import memory, workers
from lucid_port.optvis.overrides.redirected_relu_grad import REDIRECTED_UPDATES
from lucid_port.optvis.render_many import STEPS
from lucid_port.optvis.sampling import RandomSource

ROOT = timing.HERE.parent
LAYERS = tuple(layer.removesuffix("_pre_relu") for layer in scaling.LAYERS)
NEEDS_CUDA = "needs CUDA"
SYNCHRONISING = "called a synchronizing"  # in the text of torch's warning
WAITING_CALLS = ("cudaStreamSynchronize", "cudaEventSynchronize", "cudaMemcpy", "Memcpy DtoH", "Memcpy HtoD")

Figures = dict[str, Any]
Emit = Callable[[str, Figures], None]


@dataclass(frozen=True)
class Plan:
    """The amount of work of a run.

    Attributes:
        model: name of the model in `vision_models`.
        layer: the layer that is rendered in sections with a single layer.
        size: height and width of the image in pixels.
        units: number of units of the layer for which the time is projected; all units if None.
        batch: images in a batch; None for the size that `render_many` chooses.
        batches: batch sizes of the section `batch`.
        images: batch sizes of the sections `graphs` and `synchronisations`.
        layers: layers of the section `channels`.
        scales: image scales of the bare convolutions.
        steps: steps a turn.
        rounds: maximum number of turns of each contestant; fewer if the time limit requires it, but at least two.
        synchronised_steps: steps whose synchronisations are counted.
    """

    model: str = "InceptionV1_seeded"
    layer: str = "mixed4a"
    size: int = 128
    units: int | None = None
    batch: int | None = None
    batches: Sequence[int] = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
    images: Sequence[int] = (1, 16)
    layers: Sequence[str] = LAYERS
    scales: Sequence[float] = compiling.LUCIDS_SCALES
    steps: int = 22
    rounds: int = 5
    synchronised_steps: int = 50


SMALLEST = Plan(
    model="TinyInceptionV1",
    layer="mixed3a",
    size=32,
    units=4,
    batch=2,
    batches=(1, 2),
    images=(1,),
    layers=("conv2d0", "conv2d1"),
    scales=(1.0,),
    steps=1,
    rounds=2,
    synchronised_steps=2,
)


@dataclass(frozen=True)
class Setting:
    """The arguments of a section.

    Attributes:
        plan: how much to measure.
        model: the model, on the device.
        lucent: the interpreter of Lucent's environment, if there is one.
        seconds: the section's time limit; measurements are planned to end before it.
    """

    plan: Plan
    model: Model
    lucent: str | None
    seconds: float

    @property
    def device(self) -> torch.device:
        """The device of the model."""
        return self.model.device

    def wait(self) -> None:
        """Waits for the device."""
        port.synchronize(self.model)

    def channels(self, layer: str) -> int:
        """Returns the number of channels of a layer."""
        return next(one.depth for one in self.model.layers if one.name == layer)

    def many(self, layer: str, images: int, precision: str = "float32") -> VisT:
        """Returns a render of a layer's first units, one per image; too few units repeat with other seeds."""
        seeds, units = zip(*(divmod(image, self.channels(layer)) for image in range(images)), strict=True)
        return port.many_vis(self.model, layer, units, self.plan.size, precision=precision, seeds=seeds)

    def batch_size(self, layer: str, units: int) -> int:
        """Images in each batch of `render_many`."""
        if self.plan.batch is not None:
            return min(self.plan.batch, units)
        most = memory.batch_size(lambda count: self.many(layer, count), units)
        return len(workers.split_evenly(range(units), most)[-1])


# Steps ----------------------------------------------------------------------------------------


def warmed_up(vis: VisT, wait: Callable[[], None]) -> float:
    """Runs the updates of a render that are under the gradient override.

    Returns:
        Seconds of each of these updates except the first, which also discovers the layers that the objective reads.
    """
    vis.step()
    wait()
    start = time.perf_counter()
    for _ in range(REDIRECTED_UPDATES - 1):
        vis.step()
    wait()
    return (time.perf_counter() - start) / (REDIRECTED_UPDATES - 1)


def turns_in_time(turns: Mapping[str, timing.Turn], rounds: int, seconds: float) -> dict[str, list[float]]:
    """Runs alternating turns after one untimed turn of each: as many rounds as fit into the time, at least two."""
    start = time.perf_counter()
    for turn in turns.values():
        turn()
    each = time.perf_counter() - start
    return timing.alternate(turns, max(2, min(rounds, int(seconds / max(each, 1e-9)))))


def rates(
    seconds: Sequence[float], images: int, steps: int, early: float | None = None, units: int | None = None
) -> Figures:
    """Returns the figures of a contestant.

    Args:
        seconds: seconds per step, by round.
        images: number of images in its batch.
        steps: number of steps in a turn.
        early: seconds per step under the gradient override; None if it was not measured.
        units: number of images that the time is projected for; no projection if None.
    """
    middle = timing.summary(seconds)["median"]
    whole = (STEPS - REDIRECTED_UPDATES) * middle + REDIRECTED_UPDATES * (middle if early is None else early)
    found: Figures = {
        "images": images,
        "measured_steps": steps * len(seconds),
        "seconds_per_step": timing.summary(seconds),
        "images_and_steps_per_second": timing.summary([images / value for value in seconds]),
        "projected_images_per_second": images / whole,
        "rounds": list(seconds),
    }
    if early is not None:
        found["seconds_per_step_under_override"] = early
    if units is not None:
        found["units"], found["projected_seconds"] = units, whole * units / images
    return found


# Tests ----------------------------------------------------------------------------------------


class Outcomes:
    """A pytest plugin that counts tests by outcome and emits the counts after each test."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self._counts: Counter[str] = Counter()
        self._failed: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Counts a test by the outcome of its call, or of its setup or teardown if these do not pass."""
        if report.when == "call" or not report.passed:
            self._count("error" if report.failed and report.when != "call" else report.outcome, report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Counts a file that cannot be collected as an error."""
        if report.failed:
            self._count("error", report.nodeid)

    def _count(self, outcome: str, name: str) -> None:
        self._counts[outcome] += 1
        if outcome in ("failed", "error"):
            self._failed.append(name)
        self.emit(finished=False)

    def emit(self, finished: bool) -> None:
        """Emits the counts so far, and whether all tests have run."""
        counts = {outcome: self._counts[outcome] for outcome in ("passed", "failed", "skipped", "error")}
        self._emit("pytest", {**counts, "names_of_failed": list(self._failed), "finished": finished})


def run_tests(files: Sequence[Path], emit: Emit, processes: int = 0) -> None:
    """Runs the tests of some files that are marked `gpu`."""
    options = [
        "-c",
        str(ROOT / "pyproject.toml"),
        "--rootdir",
        str(ROOT),
        "-m",
        "gpu",
        "-n",
        str(processes),
        "-q",
        "-p",
        "no:cacheprovider",
    ]
    outcomes = Outcomes(emit)
    code = pytest.main([*options, *(str(file) for file in files)], plugins=[outcomes])
    if code not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        raise RuntimeError(f"pytest ended with {code!r} and ran no complete set of tests.")
    outcomes.emit(finished=True)


def tests(setting: Setting, emit: Emit) -> None:
    """Runs the tests marked `gpu`; only files that contain this mark are collected."""
    found = sorted((ROOT / "parity_tests").rglob("test_*.py"))
    run_tests([file for file in found if "mark.gpu" in file.read_text()], emit, processes=4)


# Units of one layer ---------------------------------------------------------------------------


def units(setting: Setting, emit: Emit) -> None:
    """Times all units of a layer: the port, the network's convolutions alone, and Lucent."""
    plan, count = setting.plan, setting.plan.units or setting.channels(setting.plan.layer)
    images = setting.batch_size(plan.layer, count)
    setting.many(plan.layer, images).step()  # libraries are loaded and kernels are chosen before the clock runs
    vis = setting.many(plan.layer, images)
    early = warmed_up(vis, setting.wait)
    turns: dict[str, timing.Turn] = {"lucid_port": turn(vis.step, images, setting)}
    for name, layout in (("contiguous", torch.contiguous_format), ("channels_last", torch.channels_last)):
        turns[f"convolutions alone, {name}"] = turn(bare_convolutions(setting, vis, layout), images, setting)
    seconds = turns_in_time(turns, plan.rounds, 0.3 * setting.seconds)
    for name, each in seconds.items():
        emit(name, rates(each, images, plan.steps, early if name == "lucid_port" else None, count))
    if setting.lucent is not None:
        for together in dict.fromkeys((1, images)):
            emit(*lucents(setting, together, count))


def turn(step: Callable[[], Any], images: int, setting: Setting) -> timing.Turn:
    """A turn as in `scaling.py`."""
    return scaling.turn(scaling.Point(images, step), setting.plan.steps, setting.wait)


@dataclass(frozen=True)
class Convolution:
    """A convolution of the network with its input and a gradient of its output."""

    x: torch.Tensor
    grad: torch.Tensor
    weight: torch.Tensor
    options: Mapping[str, Any]

    def __call__(self) -> None:
        """Computes the output and the gradient of the input."""
        y = F.conv2d(self.x, self.weight, **self.options)
        torch.autograd.grad(y, self.x, self.grad)


def bare_convolutions(setting: Setting, vis: VisT, layout: torch.memory_format) -> Callable[[], None]:
    """A step that computes only the convolutions of a render's network, forward and backward to their inputs.

    The steps cycle through the image sizes that the transforms produce. Padding is symmetric; the number of output
    values is the same as with TensorFlow's padding.
    """
    by_size = []
    for scale in setting.plan.scales:
        with torch.no_grad():
            draws = RandomSource(0).scope("transforms")
            image = transform.compose(compiling.transforms([scale]))(vis.param(), draws)
        by_size.append(convolutions(setting.model, image, setting.plan.layer, layout))
    sizes = itertools.cycle(by_size)

    def step() -> None:
        with tf32(False):
            for convolution in next(sizes):
                convolution()

    return step


def convolutions(model: Model, image: torch.Tensor, layer: str, layout: torch.memory_format) -> list[Convolution]:
    """Returns the convolutions that compute a layer for an image; hooks record the input of each."""
    found: list[Convolution] = []

    def record(module: torch.nn.Module, inputs: tuple[torch.Tensor, ...], _output: torch.Tensor) -> None:
        assert isinstance(module, Conv2d)
        x, weight = inputs[0], module.weight.detach().contiguous(memory_format=layout)
        top, bottom, left, right = functional.spatial_padding(
            x.shape[-2:], weight.shape[-2:], module.stride, module.dilation, module.tensorflow_padding
        )
        options: dict[str, Any] = {
            "stride": tuple(module.stride),
            "padding": (max(top, bottom), max(left, right)),
            "dilation": tuple(module.dilation),
            "groups": module.groups,
        }
        x = x.detach().clone(memory_format=layout).requires_grad_()
        grad = torch.ones_like(F.conv2d(x.detach(), weight, **options))
        found.append(Convolution(x, grad, weight, options))

    network: Any = model.network
    modules = [module for module in network.modules() if isinstance(module, Conv2d)]
    handles = [module.register_forward_hook(record) for module in modules]
    try:
        with torch.no_grad(), tf32(False):
            model.activations(image, [layer])
    finally:
        for handle in handles:
            handle.remove()
    return found


def lucents(setting: Setting, images: int, units: int) -> tuple[str, Figures]:
    """Returns name and figures of Lucent's `render_vis` with a batch of this many units."""
    plan = setting.plan
    with tempfile.TemporaryDirectory() as folder:
        network = peers.write_network(Path(folder))
        made = {"layer": plan.layer, "units": list(range(images)), "size": plan.size, "seed": 0, "threads": None}
        task = {**network, **made, "fixed_image_size": None}
        with timing.Worker(str(setting.lucent), "worker_lucent.py", task) as worker:
            worker.run(REDIRECTED_UPDATES)
            turns = {"Lucent": lambda: worker.run(plan.steps, scaling.UNTIMED)}
            seconds = turns_in_time(turns, plan.rounds, 0.15 * setting.seconds)["Lucent"]
            figures = {**rates(seconds, images, plan.steps, units=units), "versions": worker.versions}
    return f"Lucent, 224 px, {images} in a batch", figures


# Precision, batches, layers -------------------------------------------------------------------


def precision(setting: Setting, emit: Emit) -> None:
    """Steps in each precision, and the first gradient's error relative to strict float32."""
    plan, layer, cuda = setting.plan, setting.plan.layer, setting.device.type == "cuda"
    images = setting.batch_size(layer, plan.units or setting.channels(layer))
    chosen = [name for name in PRECISIONS if cuda or name != "tf32"]
    gradients = {name: setting.many(layer, images, name).value_and_gradients()[1][0] for name in chosen}
    exact = gradients["float32"]
    assert exact is not None
    turns: dict[str, timing.Turn] = {}
    for name in chosen:
        vis = setting.many(layer, images, name)
        warmed_up(vis, setting.wait)
        turns[name] = turn(vis.step, images, setting)
    seconds = turns_in_time(turns, plan.rounds, 0.5 * setting.seconds)
    for name in chosen:
        found = {
            **rates(seconds[name], images, plan.steps),
            "time_of_float32": timing.ratios(seconds[name], seconds["float32"]),
        }
        gradient = gradients[name]
        if name != "float32" and gradient is not None:
            found["gradient_error"] = ((gradient - exact).abs().max() / exact.abs().max()).item()
        emit(name, found)
    if not cuda:
        emit("tf32", {"note": NEEDS_CUDA})


def batch(setting: Setting, emit: Emit) -> None:
    """Images a second and peak memory by batch size."""
    plan, cuda = setting.plan, setting.device.type == "cuda"
    share = 0.7 * setting.seconds / len(plan.batches)
    for images in plan.batches:
        gc.collect()
        if cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(setting.device)
        try:
            vis = setting.many(plan.layer, images)
            early = warmed_up(vis, setting.wait)
            seconds = turns_in_time({"": turn(vis.step, images, setting)}, plan.rounds, share)[""]
        except (RuntimeError, MemoryError) as error:
            if not memory.is_out_of_memory(error):
                raise
            emit(str(images), {"note": "does not fit into memory"})
            return
        peak = torch.cuda.max_memory_allocated(setting.device) if cuda else NEEDS_CUDA
        emit(str(images), {**rates(seconds, images, plan.steps, early), "peak_bytes": peak})
        del vis


def channels(setting: Setting, emit: Emit) -> None:
    """Projected time for all channels of Lucid's layers: a rate for each layer, and the sum."""
    total, count = 0.0, 0
    share = 0.5 * setting.seconds / len(setting.plan.layers)
    for layer in setting.plan.layers:
        units = setting.channels(layer)
        images = setting.batch_size(layer, units)
        vis = setting.many(layer, images)
        early = warmed_up(vis, setting.wait)
        seconds = turns_in_time({"": turn(vis.step, images, setting)}, 2, share)[""]
        found = rates(seconds, images, setting.plan.steps, early, units)
        emit(layer, found)
        total, count = total + found["projected_seconds"], count + units
    emit("all", {"units": count, "projected_seconds": total, "projected_images_per_second": count / total})


# CUDA -----------------------------------------------------------------------------------------


def graphs(setting: Setting, emit: Emit) -> None:
    """Compares eager steps with compiled ones, with and without CUDA graphs, for images of one size."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder  # do not reuse code that earlier runs compiled
        for images in setting.plan.images:
            eager = fixed_size(setting, images, compile=False)
            warmed_up(eager, setting.wait)
            for with_graphs in (True, False):
                name = f"{images}, {'with' if with_graphs else 'without'} CUDA graphs"
                emit(name, compiled_figures(setting, images, eager, with_graphs))


def compiled_figures(setting: Setting, images: int, eager: VisT, with_graphs: bool) -> Figures:
    """Returns the figures of a compiled render compared with an eager one."""
    plan = setting.plan
    vis = fixed_size(setting, images, compile=True)
    if not vis.forward.compiles:
        raise RuntimeError("torch.compile does not work here; a warning says why.")
    if not with_graphs:
        without_cuda_graphs(vis.forward)
    warmed_up(vis, setting.wait)
    first = compiling.first_calls(vis, [1.0], fixed_transforms, setting.wait)[0]
    turns = {"eager": turn(eager.step, images, setting), "compiled": turn(vis.step, images, setting)}
    seconds = turns_in_time(turns, plan.rounds, 0.05 * setting.seconds)
    return {
        **rates(seconds["compiled"], images, plan.steps),
        "first_step_seconds": first,
        "eager_seconds_per_step": timing.summary(seconds["eager"]),
        "compiled_over_eager": timing.ratios(seconds["compiled"], seconds["eager"]),
    }


def fixed_size(setting: Setting, images: int, compile: bool) -> VisT:
    """Returns a render of one unit with a fixed image size, so that one compilation is enough."""
    plan = setting.plan
    transforms = compiling.transforms([1.0])
    return port.one_objective(setting.model, plan.layer, 0, plan.size, images, transforms=transforms, compile=compile)


def fixed_transforms(scales: Sequence[float]) -> transform.Transform:
    """Returns `standard_transforms` with the given scales, composed."""
    return transform.compose(compiling.transforms(scales))


def without_cuda_graphs(forward: Forward) -> None:
    """Turns off CUDA graphs for a render that has not been compiled yet."""
    compilation = forward.compilation
    assert compilation is not None
    assert compilation.has_cuda_graphs
    assert compilation._mode == "reduce-overhead"
    compilation.has_cuda_graphs, compilation._mode = False, None


def synchronisations(setting: Setting, emit: Emit) -> None:
    """Counts how often the host waits for the device: by torch's own warnings, and by the profiler."""
    steps = setting.plan.synchronised_steps
    for images in setting.plan.images:
        vis = setting.many(setting.plan.layer, images)
        warmed_up(vis, setting.wait)
        for _ in range(setting.plan.steps):
            vis.step()
        setting.wait()
        with synchronising_places() as places:
            for _ in range(steps):
                vis.step()
        found = {"images": images, "steps": steps, "warnings": sum(places.values()), "places": dict(places)}
        emit(str(images), found)
        emit(str(images), {**found, **profiled(vis, steps, setting)})


@contextlib.contextmanager
def synchronising_places() -> Iterator[Counter[str]]:
    """Counts the warnings of torch's synchronisation debug mode by the line they come from."""
    places: Counter[str] = Counter()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield places
        finally:
            torch.cuda.set_sync_debug_mode("default")
            places.update(place(one.filename, one.lineno) for one in caught if SYNCHRONISING in str(one.message))


def place(file: str, line: int) -> str:
    """Returns a position in code as `file:line`, without the folders of this machine."""
    path = Path(file)
    known = path.is_relative_to(ROOT)
    return f"{path.relative_to(ROOT) if known else Path(*path.parts[-2:])}:{line}"


def profiled(vis: VisT, steps: int, setting: Setting) -> Figures:
    """Returns the profiler's counts of CUDA calls that wait or copy."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CUDA]) as profile:
        for _ in range(steps):
            vis.step()
        setting.wait()
    counts = {event.key: event.count for event in profile.key_averages()}
    if not any(key.startswith(("cudaLaunch", "cuLaunch")) for key in counts):
        return {"note": "the profiler recorded no CUDA calls"}
    return {"calls": {key: count for key, count in counts.items() if key.startswith(WAITING_CALLS)}}


SECTIONS: dict[str, Callable[[Setting, Emit], None]] = {
    one.__name__: one for one in (tests, units, precision, batch, graphs, synchronisations, channels)
}
CUDA_ONLY = ("tests", "graphs", "synchronisations")


def main(task: Mapping[str, Any]) -> None:
    """Measures one section and writes its findings to the pipe."""
    with os.fdopen(task["answers"], "w") as answers:

        def emit(name: str, figures: Figures) -> None:
            answers.write(json.dumps({"name": name, "figures": figures}) + "\n")
            answers.flush()

        plan = Plan(**task["plan"])
        model = getattr(vision_models, plan.model)().to(task["device"])
        SECTIONS[task["section"]](Setting(plan, model, task["lucent"], task["seconds"]), emit)
        answers.write(json.dumps({"finished": True}) + "\n")


if __name__ == "__main__":
    main(job())
