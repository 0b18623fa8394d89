"""Measurements of `microscope.py` that compute: rates of renders and of passes over pictures, exactness, memory."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from PIL import Image
from timing import Turn, alternate, ratios, summary

from converters.network.request import LayerRequest
from lucid_port.microscope import examples as passes
from lucid_port.microscope.drawings import Drawings
from lucid_port.microscope.examples import Examples, PooledLayer, find_examples, pool_activations
from lucid_port.microscope.names import Places
from lucid_port.microscope.pictures import Dataset, Pictures, preparation
from lucid_port.microscope.plan import Plan, layer_plans
from lucid_port.microscope.renders import render_units
from lucid_port.microscope.settings import Settings
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.nets_factory import get_model
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis.engine.coerce import as_computing
from lucid_port.optvis.grammar import Channels, Picture, Term
from lucid_port.optvis.render_many import render_many

INCEPTION_LAYERS = ("inception_3a_output", "inception_4a_output", "inception_5a_output")
BRUTE_LAYERS = ("conv2d0", "mixed4a", "mixed5b")
SOURCE = Path(__file__)


# Rates ----------------------------------------------------------------------------------------


def _timed(action: Callable[[Path], object]) -> tuple[Turn, list[float]]:
    """Returns a turn that calls an action with an empty folder, and the list of its processor's seconds."""
    used: list[float] = []

    def turn() -> float:
        with tempfile.TemporaryDirectory() as folder:
            started, before = time.perf_counter(), time.process_time()
            action(Path(folder))
            used.append(time.process_time() - before)
            return time.perf_counter() - started

    return turn, used


def _compared(actions: Mapping[str, Callable[[Path], object]], count: int, rounds: int) -> dict[str, Any]:
    """Runs actions in turns.

    Args:
        actions: name -> action; the first is compared with each other one.
        count: number of results of an action.
        rounds: number of turns of each, after one that does not count.
    """
    turns = {name: _timed(action) for name, action in actions.items()}
    for turn, used in turns.values():
        turn()
        used.clear()
    seconds = alternate({name: turn for name, (turn, _) in turns.items()}, rounds)
    used = {name: processor for name, (_, processor) in turns.items()}
    first, *others = actions
    return {
        "rate": {name: round(count / summary(values)["median"], 3) for name, values in seconds.items()},
        "ratio": {name: ratios(seconds[name], seconds[first]) for name in others},
        "processor_ratio": {name: ratios(used[name], used[first]) for name in others},
    }


def render_rates(layer: str, units: int, batch: int, rounds: int) -> dict[str, Any]:
    """Compares renders of a layer through the site with `render_many` that writes to a folder.

    Args:
        layer: layer of TinyInceptionV1.
        units: number of its first units.
        batch: renders in a batch.
        rounds: number of turns of each.
    """
    model = get_model("TinyInceptionV1")
    settings = Settings.of("preview", batch_size=batch)
    plan = Plan(layer_plans(model, None, f"{layer}:0-{units - 1}"), ("channel",), settings, "benchmark", {})
    tasks = list(plan.tasks())
    texts = [str(Picture((Term(Channels(layer, ((unit, unit),))),))) for unit in range(units)]

    def through_site(folder: Path) -> None:
        for task in tasks:
            render_units(Places(folder), model, settings, task, lambda count: None)

    def by_render_many(folder: Path) -> None:
        render_many(
            model,
            texts,
            size=settings.size,
            steps=settings.steps,
            seed=settings.seed,
            batch_size=batch,
            output=folder,
            verbose=False,
        )

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of units that never fire
        found = _compared({"site": through_site, "render_many": by_render_many}, units, rounds)
    return {"layer": layer, "units": units, "batch": batch, "rounds": rounds, **found}


def photographs(folder: Path, count: int, size: tuple[int, int] = (500, 375)) -> None:
    """Writes JPEG files of colored noise whose spectrum falls with frequency, as that of photographs does."""
    draws = np.random.default_rng(0)
    width, height = size
    for number in range(count):
        pixels = np.zeros((height, width, 3))
        for side in (4, 12, 40, 120):
            coarse = draws.normal(size=(side, side, 3)).astype(np.float32) * (4 / side) ** 0.7
            for channel in range(3):
                plane = Image.fromarray(coarse[..., channel]).resize(size, Image.Resampling.BICUBIC)
                pixels[..., channel] += np.asarray(plane)
        levels = (255 / (1 + np.exp(-1.5 * pixels))).astype(np.uint8)
        Image.fromarray(levels).save(folder / f"{number:05d}.jpg", quality=90)


def example_rates(
    model_name: str, layers: Sequence[str], count: int, batch: int, workers: int, rounds: int
) -> dict[str, Any]:
    """Compares a pass over pictures with plain loops that hand out the same layers, and the last of them alone.

    Args:
        model_name: name in the catalogue.
        layers: layers of the pass, in order.
        count: number of pictures, files that all of the loops decode.
        batch: pictures in a batch.
        workers: processes that decode.
        rounds: number of turns of each.
    """
    model = get_model(model_name)
    with tempfile.TemporaryDirectory() as place:
        photographs(Path(place), count)
        pictures = Pictures(place, preparation(model))

        def loop(names: Sequence[str]) -> Callable[[Path], object]:
            def run(folder: Path) -> None:
                for part in pictures.batches(batch, workers=workers):
                    with torch.inference_mode():
                        as_computing(model).compute(part.images, LayerRequest(tuple(names)))

            return run

        def site(folder: Path) -> None:
            pool_activations(model, pictures, layers, folder, batch_size=batch, workers=workers, verbose=False)

        actions = {"site": site, "same layers": loop(layers), "last layer": loop(layers[-1:])}
        found = _compared(actions, count, rounds)
    about = {"model": model_name, "layers": list(layers), "pictures": count, "batch": batch, "workers": workers}
    return {**about, "rounds": rounds, **found}


# Exactness ------------------------------------------------------------------------------------


def brute_force(
    model: Model, pictures: Pictures, layers: Sequence[str], batch: int
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Returns layer -> each unit's strongest activation in every picture and its place, by NumPy."""
    found: dict[str, tuple[list[np.ndarray], list[np.ndarray]]] = {layer: ([], []) for layer in layers}
    for part in pictures.batches(batch):
        values = model.activations(part.images, list(layers))
        for layer, (top, place) in found.items():
            flat = values[layer].detach().numpy().reshape(len(part.images), values[layer].shape[1], -1)
            top.append(flat.max(2))
            place.append(flat.argmax(2))
    return {layer: (np.concatenate(top), np.concatenate(place)) for layer, (top, place) in found.items()}


def wrong_units(found: Examples, values: np.ndarray, places: np.ndarray) -> int:
    """Returns the number of units whose examples differ from a sort of all pictures.

    Args:
        found: the examples.
        values: float32 [pictures, units].
        places: integers [pictures, units].
    """
    count, wrong = len(values), 0
    numbers = np.arange(count)
    stored = values.astype(np.float16)
    for unit in range(values.shape[1]):
        own = values[:, unit]
        rising = np.lexsort((numbers, stored[:, unit]))
        ranks = {q: int(np.rint(q / 100 * (count - 1))) for q in found.quantiles}
        wanted = {
            "top": np.lexsort((numbers, -own))[:12],
            "bottom": np.lexsort((numbers, own))[:5],
            **{str(q): rising[[rank, rank - 1]] for q, rank in ranks.items()},
        }
        chosen = {"top": found.top, "bottom": found.bottom, **{str(q): one for q, one in found.quantiles.items()}}
        wrong += not all(
            np.array_equal(one.numbers[unit], wanted[name])
            and np.array_equal(one.values[unit], own[wanted[name]])
            and np.array_equal(one.places[unit], places[wanted[name], unit])
            for name, one in chosen.items()
        )
    return wrong


def pass_over_drawings(folder: str, count: int, layers: Sequence[str], batch: int) -> dict[str, PooledLayer]:
    """Makes a pass of TinyInceptionV1 over its drawings."""
    model = get_model("TinyInceptionV1")
    pictures = Pictures(Drawings(count), preparation(model))
    return pool_activations(model, pictures, layers, folder, batch_size=batch, verbose=False)


def exactness(count: int, batch: int) -> dict[str, Any]:
    """Compares examples with brute force, two shards with one, and a pass that was killed with one that was not."""
    model = get_model("TinyInceptionV1")
    pictures = Pictures(Drawings(count), preparation(model))
    brute = brute_force(model, pictures, BRUTE_LAYERS, batch)
    batches = -(-count // batch)
    with tempfile.TemporaryDirectory() as root:

        def run(name: str) -> dict[str, PooledLayer]:
            return pass_over_drawings(f"{root}/{name}", count, BRUTE_LAYERS, batch)

        shards: dict[str, int] = {}
        contents: dict[str, dict[str, bytes]] = {}
        usual = run("usual")
        shards["usual"], contents["usual"] = _contents(usual)
        for name, each in (("one", batches), ("two", -(-batches // 2))):
            with _shards_of(each):
                shards[name], contents[name] = _contents(run(name))
        before = _killed_pass(f"{root}/killed", count, batch, shards["usual"])
        shards["killed"], contents["killed"] = _contents(run("killed"))
        wrong = {name: wrong_units(find_examples(pooled), *brute[name]) for name, pooled in usual.items()}
    return {
        "pictures": count,
        "units": {name: values.shape[1] for name, (values, _) in brute.items()},
        "wrong_units": wrong,
        "shards": shards,
        "shards_before_the_kill": before,
        "two_shards_equal_one": contents["two"] == contents["one"] == contents["usual"],
        "killed_equals_uninterrupted": contents["killed"] == contents["usual"],
    }


@contextlib.contextmanager
def _shards_of(batches: int) -> Iterator[None]:
    before = passes.BATCHES
    passes.BATCHES = batches
    try:
        yield
    finally:
        passes.BATCHES = before


def _contents(pooled: Mapping[str, PooledLayer]) -> tuple[int, dict[str, bytes]]:
    """Returns the number of shards, and file -> bytes of the arrays and examples of all layers."""
    found = {}
    for layer, one in pooled.items():
        for part in ("max", "mean", "place"):
            found[f"{layer}/{part}"] = (one.folder / f"{part}.npy").read_bytes()
        found[f"{layer}/examples"] = find_examples(one).save(one.folder / "examples.safetensors").read_bytes()
    return len(one.shards), found


def _killed_pass(folder: str, count: int, batch: int, shards: int) -> int:
    """Kills a pass in another process after about half of its shards, and returns their number."""
    job = {"kind": "drawings", "folder": folder, "count": count, "layers": BRUTE_LAYERS, "batch": batch}
    process = subprocess.Popen([sys.executable, str(SOURCE), json.dumps(job)])
    try:
        while process.poll() is None:
            time.sleep(0.02)
            made = len(list(Path(folder).glob(f"{BRUTE_LAYERS[-1]}/shards/*.safetensors")))
            if made >= max(1, shards // 2):
                break
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    if process.returncode != -signal.SIGKILL:
        raise RuntimeError("The pass ended before it was killed: take more pictures.")
    return made


# Memory ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Noise:
    """A dataset of noise that is made when it is read.

    Attributes:
        count: number of pictures.
        side: height and width.
    """

    count: int
    side: int = 32

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[np.ndarray, int]:
        if not 0 <= index < self.count:
            raise IndexError(index)
        draws = np.random.default_rng(index)
        return draws.integers(0, 256, (self.side, self.side, 3), np.uint8), index % 10


def _wide(units: int) -> Model:
    """Returns a network of one convolution with a number of units."""
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(3, units, 8, 8), torch.nn.ReLU())
    return from_torch(net.eval(), image_shape=(32, 32, 3), image_value_range=(0, 1))


class _Peak:
    """Samples the anonymous memory of this process: `with _Peak() as peak: ...`, then `peak.mib`."""

    def __init__(self) -> None:
        self.mib = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def _watch(self) -> None:
        while not self._ended.wait(0.005):
            self.mib = max(self.mib, anonymous_mib())

    def __enter__(self) -> _Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()


def anonymous_mib() -> float:
    """Returns the anonymous memory of this process (RssAnon) in MiB; Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("RssAnon"))) / 1024


def measured_memory(count: int, units: int, layers: Sequence[str]) -> dict[str, float]:
    """Passes over noise, finds examples, and returns the anonymous memory before and at its peak, in MiB."""
    model = _wide(units)
    pictures = Pictures(cast("Dataset", Noise(count)), preparation(model))
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        small = Pictures(cast("Dataset", Noise(64)), pictures.prepare)
        pool_activations(model, small, layers, f"{folder}/warm", verbose=False)
        before = anonymous_mib()
        with _Peak() as peak:
            pooled = pool_activations(model, pictures, layers, f"{folder}/pass", verbose=False)
            for one in pooled.values():
                find_examples(one).save(one.folder / "examples.safetensors")
    return {"before": round(before, 1), "peak": round(peak.mib, 1), "growth": round(peak.mib - before, 1)}


def memory(few: int, many: int, narrow: int, wide: int) -> dict[str, Any]:
    """Measures passes over few and many pictures, and of few and many units, each in a process of its own."""
    cases = {"few": (few, narrow), "many pictures": (many, narrow), "many units": (few, wide)}
    found = {}
    for name, (count, units) in cases.items():
        job = {"kind": "memory", "count": count, "units": units, "layers": ["1"]}
        environment = {**os.environ, "MALLOC_ARENA_MAX": "2", "OMP_NUM_THREADS": "1"}
        command = [sys.executable, str(SOURCE), json.dumps(job)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=environment)
        found[name] = {"pictures": count, "units": units, **json.loads(done.stdout.splitlines()[-1])}
    return found


JOBS: dict[str, Callable[..., Any]] = {"memory": measured_memory, "drawings": pass_over_drawings}


def main() -> None:
    """Does a job in this process; for this module's own use."""
    torch.set_num_threads(1)  # as the process that compares: the last bits of a pass depend on the number
    job = json.loads(sys.argv[1])
    found = JOBS[job.pop("kind")](**job)
    if isinstance(found, dict) and "peak" in found:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
