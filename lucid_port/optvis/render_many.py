"""Rendering many units at a time: whole layers, in batches whose images do not know of each other.

`render_many` is the usual way; `make_many_T` gives one batch, which can be stepped and read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import uuid
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lucid_port.misc import checks
from lucid_port.misc.environment import is_notebook_environment
from lucid_port.misc.io.serialize_array import as_picture
from lucid_port.misc.stack_level import stack_level
from lucid_port.optvis import checkpoints, serialization
from lucid_port.optvis.engine import loop
from lucid_port.optvis.engine.coerce import Model, OptimizerLike, ReluOverride, TransformsLike
from lucid_port.optvis.engine.devices import choose_devices, own_device
from lucid_port.optvis.engine.diagnostics import PATIENCE, still
from lucid_port.optvis.engine.precision import tf32
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.fingerprints import fingerprint
from lucid_port.optvis.many import memory, workers
from lucid_port.optvis.many.picture_folder import Finished, PictureFolder
from lucid_port.optvis.many.setup import Setup, make_many_T, prepare
from lucid_port.optvis.many.unit_spec import Unit, identity
from lucid_port.optvis.progress import LiveSheet, ManyProgress
from lucid_port.optvis.recipe import Recipe, describe_model
from lucid_port.optvis.sampling import DEFAULT_SEED

__all__ = ["ManyRenders", "UnitRender", "make_many_T", "render_many"]

Progress = LiveSheet | ManyProgress

STEPS = 513
"""Updates of each image, as Lucid's default makes."""


@dataclass
class UnitRender:
    """The picture of one unit.

    Attributes:
        layer: the layer, or the layers that the objective reads.
        unit: the channel; None for an objective.
        name: `layer:channel`, or the objective's description.
        seed: of its own random draws.
        value: objective value before the last update.
        losses: objective value before each update, float32 (none if an earlier run made the picture).
        image: float32 [H, W, C] in [0, 1]; None if it was written and not kept.
        path: its file, or that of the sheet.
        tile: row and column in the sheet.
    """

    layer: str
    unit: int | None
    name: str
    seed: int
    value: float
    losses: np.ndarray = field(repr=False, default_factory=lambda: np.zeros(0, np.float32))
    image: np.ndarray | None = field(repr=False, default=None)
    path: Path | None = None
    tile: tuple[int, int] | None = None


class ManyRenders(list[UnitRender]):
    """The pictures of many units, in the order in which these were asked for; those that are finished.

    Attributes:
        asked: how many units were asked for.
        reused: how many of them an earlier run had finished.
        interrupted: whether it ended early (Ctrl-C).
        folder: where they were written to.
    """

    asked: int
    reused: int
    interrupted: bool
    folder: Path | None

    @property
    def names(self) -> list[str]:
        """Of the pictures."""
        return [one.name for one in self if one.image is not None]

    @property
    def pictures(self) -> list[np.ndarray]:
        """Those that were kept, [H, W, C] each; `show` shows them with their names."""
        return [one.image for one in self if one.image is not None]


# The run ---------------------------------------------------------------------------------------


def render_many(
    model: Model,
    units: Any,
    param_f: Any = None,
    optimizer: OptimizerLike = None,
    transforms: TransformsLike = None,
    relu_gradient_override: ReluOverride = True,
    *,
    size: int | None = None,
    steps: int = STEPS,
    seed: int = DEFAULT_SEED,
    seeds: Iterable[int] | None = None,
    per_image: bool = False,
    precision: str = "float32",
    batch_size: int | None = None,
    devices: Any = None,
    output: str | os.PathLike[str] | None = None,
    sheet: bool = False,
    overwrite: bool = False,
    keep: bool | None = None,
    verbose: bool = True,
    live: bool = False,
) -> ManyRenders:
    """Render many units in batches; each picture is, up to rounding, that of `render_vis` for the unit alone.

    Rounding can flip a decision of a ReLU or a maximum, which optimisation amplifies (see `docs/parity.md`): a picture
    then parts from the one made alone, as it would on another machine. Images of a batch share nothing but the
    transforms' draws, so apart from that the result does not depend on the batches, unless an own function in
    `transforms` looks across the batch. Units of
    one layer make a batch, as the network is computed up to that layer only. A unit can be made again alone with
    `render_vis(..., seed=RandomSource(seeds=[its seed], shared=seed, per_image=per_image))`, which without `seeds` and
    `per_image` is `seed=seed`.

    Args:
        model: the model.
        units: `"mixed4a_pre_relu:*"`, `"mixed4a_pre_relu:3,7,20-25"`, (layer, channel), an objective or a function of
            `T` (which sees one image), or a list of these.
        param_f: a function of the number of images, as in `lambda batch: param.image(128, batch=batch)`; one without
            arguments makes one image, as for `render_vis`, and is called for each.
        optimizer: as for `render_vis`; one that treats each number for itself (Adam, SGD) keeps images apart.
        transforms: as for `render_vis`.
        relu_gradient_override: redirect ReLU gradients in the first 17 updates.
        size: height and width in pixels, instead of `param_f`; 128 by default.
        steps: number of updates.
        seed: of all random draws.
        seeds: one for each unit's own draws, those of its initial image; by default all have `seed`.
        per_image: whether the transforms, too, draw anew for each image, from its own seed (`seed`, `seed + 1`, ...
            where no `seeds` are given). Draws that decide the size of the image stay shared.
        precision: of the network, as for `render_vis`.
        batch_size: images of a batch; by default what fits into the free memory. If a batch does not fit, its size is
            halved.
        devices: that share the work, each with its own copy of the model; by default all CUDA devices if the model is
            on one, else the model's own. A name given twice makes two copies.
        output: folder for the pictures and `manifest.json`, written as soon as they are finished. What it holds
            already, made with the same settings, is not made again, unless its objective is a user's own code.
        sheet: make one picture of all, `sheet.png`, in the folder; the manifest says where each unit is.
        overwrite: make everything again, whatever the folder holds.
        keep: whether the pictures are returned, too; by default if there is no `output`.
        verbose: show progress where standard error is a terminal.
        live: show progress and pictures, as they are finished, in a notebook; nothing elsewhere.

    Returns:
        A `UnitRender` for each unit. Ctrl-C ends the run early and returns what is finished.

    Raises:
        TypeError, ValueError: an argument makes no sense, a channel does not exist, or the folder holds pictures of
            other settings.
        converters.LayerNotFoundError: the model has no such layer.
        MemoryError: not even one image fits into memory. Of this and any other error in the middle, the attribute
            `renders` is what was finished.
    """
    steps = checks.whole(steps, "steps", 1)
    most = None if batch_size is None else checks.whole(batch_size, "batch_size", 1)
    if sheet and output is None:
        raise ValueError("A sheet needs a folder: give output.")
    setup, found, probe = prepare(
        model, units, param_f, optimizer, transforms, relu_gradient_override, size, seed, seeds, per_image, precision
    )
    chosen = choose_devices(devices, own_device(model))
    folder = None
    if output is not None:
        as_picture(probe.image())  # one that cannot be saved fails before the work
        folder = PictureFolder(output, _settings(setup, probe, steps), sheet, overwrite)
    run = _Run(setup, steps, found, folder, folder is None if keep is None else keep)
    with contextlib.nullcontext() if folder is None else contextlib.closing(folder):
        return run.all(model, chosen, most, verbose, live)


class _Run:
    """A run over many units.

    Args:
        setup: what batches have in common.
        steps: number of updates.
        found: the units.
        folder: where pictures go.
        keep: whether pictures are returned.
    """

    def __init__(self, setup: Setup, steps: int, found: Sequence[Unit], folder: PictureFolder | None, keep: bool):
        self.setup, self.steps, self.folder, self.keep = setup, steps, folder, keep
        self.units = {identity(unit, number): unit for number, unit in enumerate(found)}
        self.made: dict[str, UnitRender] = {}
        self._model: Mapping[str, Any] | None = None
        self._checkpoints = checkpoints.active()  # of this thread, not of those that render
        self._number = "" if self._checkpoints is None else self._checkpoints.numbered("many")
        self._lock = threading.Lock()

    def all(
        self, model: Model, devices: Sequence[torch.device], most: int | None, verbose: bool, live: bool
    ) -> ManyRenders:
        """Render what is not there yet."""
        there = {} if self.folder is None else self.folder.entries
        pending = [key for key in self.units if key not in there]
        reused = len(self.units) - len(pending)
        if self.folder is not None:
            self.folder.begin(self.units)
        copies = self._copies(model, devices, len(pending))
        size = (len(pending), self.steps)
        progress = LiveSheet(*size) if live and is_notebook_environment() else ManyProgress(*size, verbose)
        interrupted = False
        try:
            with progress, self._precision(devices):
                work = self._plan(pending, *copies[0], len(copies), most) if pending else workers.Shared[str]([], 1)
                workers.run_on_devices([self._worker(work, *copy, progress) for copy in copies], work.stopped)
            if self.folder is not None:
                self.folder.finish(list(self.units))
        except KeyboardInterrupt:
            interrupted = True
        except Exception as error:
            error.renders = self._renders(reused, False)  # type: ignore[attr-defined]  # for whoever catches it
            raise
        return self._renders(reused, interrupted)

    def _precision(self, devices: Sequence[torch.device]) -> contextlib.AbstractContextManager[None]:
        """The process's setting for all threads, so that none of them changes it while another computes."""
        on_gpu = any(device.type == "cuda" for device in devices)
        return tf32(self.setup.precision == "tf32") if on_gpu else contextlib.nullcontext()

    def _copies(self, model: Model, devices: Sequence[torch.device], units: int) -> list[tuple[Model, torch.device]]:
        """A model for each device, no more than units; the first one's may be the model itself."""
        used = devices[: max(1, units)]
        first = model if used[0] == own_device(model) else workers.on_device(model, used[0])
        return [(first, used[0]), *((workers.on_device(model, device), device) for device in used[1:])]

    def _plan(
        self, pending: Sequence[str], model: Model, device: torch.device, copies: int, most: int | None
    ) -> workers.Shared[str]:
        """Batches of units that need the same layers, in order, enough of them for all workers."""
        groups: dict[Any, list[str]] = {}
        for key in pending:
            groups.setdefault(self.units[key].batches_with, []).append(key)
        batches: list[list[str]] = []
        for group in groups.values():
            limit = self._fitting(group, model, device) if most is None else most
            if most is None and len(groups) == 1:
                limit = min(limit, -(-len(group) // copies))
            batches += workers.split_evenly(group, limit)
        return workers.Shared(batches, max(len(batch) for batch in batches))

    def _fitting(self, group: Sequence[str], model: Model, device: torch.device) -> int:
        if len(group) == 1:
            return 1

        def vis(count: int) -> VisT:
            return self.setup.vis(model, [self.units[key] for key in group[:count]], device)

        if device.type == "cuda":
            return memory.cuda_batch_size(lambda count: vis(count).step(), device, len(group))
        return memory.host_batch_size(lambda: vis(1)("loss"))

    def _worker(self, work: workers.Shared[str], model: Model, device: torch.device, progress: Progress) -> Any:
        def render(batch: list[str]) -> None:
            vis = self.setup.vis(model, [self.units[key] for key in batch], device)
            name = hashlib.sha256("\n".join(batch).encode()).hexdigest()[:16]
            checkpoint = checkpoints.begin(vis, self._checkpoints, f"{self._number}-{name}")
            losses = checkpoint.values
            progress.stepped(len(losses) * len(batch))
            observers = [lambda vis: progress.stepped(len(batch))]
            try:
                loop.run(vis, [self.steps], None, observers, checkpoint, work.stopped.is_set)
                if len(losses) < self.steps:
                    return
                pictures, values = vis.image(), torch.stack(losses, 1).float().cpu().numpy()
            except (RuntimeError, MemoryError):
                progress.stepped(-len(losses) * len(batch))
                raise
            self._deliver(batch, pictures, values, vis)
            for key, picture in zip(batch, pictures, strict=True):
                progress.add(self.units[key].name, picture)
            progress.done(len(batch))

        return lambda: work.work(device, render)

    def _deliver(self, batch: Sequence[str], pictures: np.ndarray, losses: np.ndarray, vis: VisT) -> None:
        with self._lock:
            finished = [
                Finished(key, self.units[key], picture, float(own[-1]))
                for key, picture, own in zip(batch, pictures, losses, strict=True)
            ]
            wrong = [one.unit.name for one, own in zip(finished, losses, strict=True) if not _finite(own)]
            if wrong:
                warnings.warn(
                    f"The objective of {', '.join(wrong)} became NaN or infinite; the picture means nothing: use a "
                    "smaller learning rate, or an objective that stays finite.",
                    RuntimeWarning,
                    stacklevel=stack_level(),
                )
            silent = [one.unit.name for one, own in zip(finished, losses, strict=True) if still(own)]
            if silent:
                warnings.warn(
                    f"The objective of {', '.join(silent)} did not change in the last {PATIENCE} updates: no gradient "
                    "reaches the picture, most likely because the unit never fires.",
                    RuntimeWarning,
                    stacklevel=stack_level(),
                )
            if self.folder is not None:
                self.folder.add(finished, Recipe.of(vis, model=self._described_model(vis)))
            for one, own in zip(finished, losses, strict=True):
                unit = one.unit
                image = one.picture.copy() if self.keep else None  # a copy, or it would keep all of its batch
                self.made[one.identity] = UnitRender(
                    unit.layer, unit.channel, unit.name, unit.seed, one.value, own.copy(), image
                )

    def _described_model(self, vis: VisT) -> Mapping[str, Any]:
        if self._model is None:
            self._model = describe_model(vis.model)
        return self._model

    def _renders(self, reused: int, interrupted: bool) -> ManyRenders:
        renders = ManyRenders()
        renders.asked, renders.reused, renders.interrupted = len(self.units), reused, interrupted
        renders.folder = None if self.folder is None else self.folder.path
        entries = {} if self.folder is None else self.folder.entries
        for key, unit in self.units.items():
            entry = entries.get(key)
            made = self.made.get(key)
            if made is None and entry is not None:
                value = float("nan") if entry["value"] is None else entry["value"]
                made = UnitRender(unit.layer, unit.channel, unit.name, unit.seed, value)
            if made is not None and entry is not None and self.folder is not None:
                made.path = self.folder.file_of(key)
                made.tile = tuple(entry["tile"]) if "tile" in entry else None
            if made is not None:
                renders.append(made)
        return renders


# Settings -------------------------------------------------------------------------------------


def _settings(setup: Setup, vis: VisT, steps: int) -> dict[str, Any]:
    """What decides how a unit's picture looks, beside the unit: what a folder's pictures have in common."""
    group = vis.optimizer.param_groups[0]
    numbers = {name: plain_or_name(value) for name, value in group.items() if name != "params"}
    return {
        "model": f"{getattr(vis.model, 'name', type(vis.model).__name__)} {fingerprint(vis.model.network)}",
        "image": plain_or_name(vis.param),
        "size": list(vis.image().shape[1:]),
        "steps": steps,
        "seed": setup.seed,
        "per_image": setup.per_image,
        "optimizer": {"name": type(vis.optimizer).__name__, **numbers},
        "transforms": plain_or_name(vis.transform),
        "relu_gradient_override": setup.relu_gradient_override,
        "precision": setup.precision,
    }


def _finite(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all())


def plain_or_name(thing: Any) -> Any:
    """Plain data; of what has none (a user's own code), words that no other run's settings are equal to."""
    try:
        return serialization.to_data(thing)
    except serialization.NotSerialisable:
        return f"own code, which cannot be compared with another run's ({uuid.uuid4().hex[:8]})"
