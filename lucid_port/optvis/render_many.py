"""Rendering many units in batches of independent images.

`render_many` makes the pictures. `make_many_T` returns the render of one batch, which can be stepped and read.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import threading
import uuid
import warnings
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from converters.stack_level import stack_level
from lucid_port.misc.environment import is_notebook_environment
from lucid_port.misc.event_writers import Log, LogDir
from lucid_port.misc.io.displaying import MOST, pictures_html
from lucid_port.misc.io.loading import load
from lucid_port.optvis import checkpoints, serialization
from lucid_port.optvis.engine import loop
from lucid_port.optvis.engine.callbacks import Callback
from lucid_port.optvis.engine.coerce import Model, OptimizerLike, ReluOverride, TransformsLike
from lucid_port.optvis.engine.devices import DevicesLike, choose_devices, own_device
from lucid_port.optvis.engine.diagnostics import PATIENCE, failed_at, failure_of, note_failure, still
from lucid_port.optvis.engine.precision import outside_inference, tf32
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.fingerprints import fingerprint
from lucid_port.optvis.many import memory, workers
from lucid_port.optvis.many.picture_folder import Finished, PictureFolder, file_stem
from lucid_port.optvis.many.setup import ManyParamLike, Setup, make_many_T
from lucid_port.optvis.many.unit_spec import Unit, UnitsLike, identity
from lucid_port.optvis.progress import LiveSheet, ManyProgress
from lucid_port.optvis.recipe import Recipe, describe_model
from lucid_port.optvis.recipe_files import check_channels
from lucid_port.optvis.render_log import TensorBoardLog, active
from lucid_port.optvis.sampling import DEFAULT_SEED

__all__ = ["ManyRenders", "UnitRender", "make_many_T", "render_many"]

Progress = LiveSheet | ManyProgress

STEPS = 513
"""Updates of each image by default, as in Lucid."""

_STILL = (
    f"did not change in the last {PATIENCE} updates: no gradient reaches the picture, most likely because the unit "
    "never fires."
)


@dataclass
class UnitRender:
    """The picture of one unit.

    Attributes:
        layer: Name of the layer, or of the layers that the objective reads.
        unit: The channel; None for an objective.
        name: `layer:channel`, or the objective's description.
        seed: Seed of the unit's own random draws.
        value: The objective's value before the last update.
        losses: The objective's value before each update, float32 [steps]; empty if an earlier run made the picture.
        image: float32 [H, W, C] in [0, 1]; None if pictures are not returned.
        path: File of the picture or of the sheet.
        tile: Row and column in the sheet.
        failed_at: First update, from 1 on, at which the objective or the picture was NaN or infinite; None if they
            stayed finite. A run that resumes makes a failed unit again.
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
    failed_at: int | None = field(init=False, default=None)


class ManyRenders(list[UnitRender]):
    """The finished pictures of many units, a list in the order of the request.

    Attributes:
        asked: Number of requested units.
        reused: Number of units that an earlier run had finished.
        interrupted: Whether Ctrl-C ended the run.
        folder: Folder of the files, if there is one.
        size: (height, width) of the pictures.

    Example:
        >>> from lucid_port.modelzoo.nets_factory import get_model
        >>> made = render_many(get_model("TinyInceptionV1"), "mixed4a:3,8", size=32, steps=2, output="units")
        >>> made.asked, [one.path.name for one in made], made.pictures
        (2, ['mixed4a_0003.png', 'mixed4a_0008.png'], [])
    """

    asked: int
    reused: int
    interrupted: bool
    folder: Path | None
    size: tuple[int, int]

    @property
    def failed(self) -> dict[str, int]:
        """Name -> `failed_at` of each unit whose objective or picture became NaN or infinite."""
        return {one.name: one.failed_at for one in self if one.failed_at is not None}

    def __repr__(self) -> str:
        place = "" if self.folder is None else f" in {self.folder}"
        return f"<ManyRenders: {len(self)} of {self.asked} units, {self.size[0]} x {self.size[1]}{place}>"

    def _repr_html_(self) -> str:
        """Returns the pictures at twice their size with the names of the units; those of a folder are read from it."""
        files = {one.name: one.path for one in self if one.path is not None and one.tile is None}
        shown = [one for one in self if one.image is not None or one.name in files]
        pictures = [one.image if one.image is not None else load(files[one.name]) for one in shown[:MOST]]
        return pictures_html(pictures, [one.name for one in shown])

    @property
    def names(self) -> list[str]:
        """Names of the units of `pictures`."""
        return [one.name for one in self if one.image is not None]

    @property
    def pictures(self) -> list[np.ndarray]:
        """The returned pictures, each float32 [H, W, C]; `show` shows them with their names."""
        return [one.image for one in self if one.image is not None]


# The run ---------------------------------------------------------------------------------------


@outside_inference
@checked
def render_many(
    model: Model,
    units: UnitsLike,
    param_f: ManyParamLike = None,
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
    devices: DevicesLike = None,
    output: str | os.PathLike[str] | None = None,
    sheet: bool = False,
    overwrite: bool = False,
    keep: bool | None = None,
    verbose: bool = True,
    live: bool = False,
    log_dir: LogDir | None = None,
) -> ManyRenders:
    """Renders many units in batches. Up to rounding, each picture is that of `render_vis` for the unit alone.

    Images of a batch share only the draws of the transforms, so the result does not depend on the batches, unless a
    function in `transforms` mixes images. Rounding can flip a ReLU or a maximum, which optimization amplifies (see
    docs/parity.md): the picture then differs as it would on another machine. `render_vis` makes one unit again with
    `seed=RandomSource(seeds=[its seed], shared=seed, per_image=per_image)`, or `seed=seed` by default.

    Args:
        model, optimizer, transforms, relu_gradient_override, precision: As for `render_vis`. The optimizer has to
            update each element independently, as Adam and SGD do.
        units: `"mixed4a_pre_relu:*"`, `"mixed4a_pre_relu:3,7,20-25"`, (layer, channel), an objective or a function of
            `T` (which sees one image), or a list of these. Units of one layer share batches.
        param_f: Function of the number of images, as in `lambda batch: param.image(128, batch=batch)`, or one without
            arguments, which makes one image and is called for each.
        size: Height and width in pixels, instead of `param_f`; 128 by default, or the network's own size.
        steps: Number of updates.
        seed, seeds: Seed of all random draws, and one for each unit's initial image; by default all have `seed`.
        per_image: Whether the transforms draw separately for each image, from the unit's seed (`seed`, `seed + 1`, ...
            without `seeds`). Draws that decide the size of the image stay shared.
        batch_size: Maximum number of images in a batch; by default as many as fit into the free memory. If a batch
            does not fit, its size is halved.
        devices: Devices that share the work, each with a copy of the model; by default all CUDA devices if the model
            is on one, otherwise the model's own. A device that is named twice gets two copies.
        output: Folder for the pictures and `manifest.json`, written as soon as they are finished. An existing
            picture with the same settings is reused, unless its objective is a user's own code.
        sheet: Whether to write one sprite sheet, `sheet.png`, instead; the manifest has the position of each unit.
        overwrite: Whether to replace the pictures in the folder.
        keep: Whether to return the pictures; by default only without `output`.
        verbose, live: Whether to show progress, and in a notebook (`live`) also the finished pictures.
        log_dir: As for `render_vis`; each batch is a run.

    Returns:
        A `UnitRender` for each unit. After Ctrl-C, for the finished units.

    Raises:
        TypeError, ValueError, OSError: An argument is wrong, a channel is missing, or the folder has other settings.
        converters.LayerNotFoundError: The model has no such layer.
        MemoryError: A single image does not fit. The attribute `renders` of any error has the finished renders.

    Example:
        >>> from lucid_port.modelzoo.nets_factory import get_model
        >>> [one.name for one in render_many(get_model("TinyInceptionV1"), "mixed4a:3,8", size=32, steps=2)]
        ['mixed4a:3', 'mixed4a:8']
    """
    steps, log = checks.whole(steps, "steps", 1), active() if log_dir is None else Log(log_dir)
    most = None if batch_size is None else checks.whole(batch_size, "batch_size", 1)
    if sheet and output is None:
        raise ValueError("A sheet needs a folder: give output.")
    setup = Setup(param_f, optimizer, transforms, relu_gradient_override, size, seed, seeds, per_image, precision)
    found, probe = setup.find_units(model, units)
    most = _limit(setup, most, len(found) if verbose else 0)
    chosen = choose_devices(devices, own_device(model))
    folder = None if output is None else _open_folder(output, _settings(setup, probe, steps), probe, sheet, overwrite)
    run = _Run(setup, steps, found, folder, folder is None if keep is None else keep, log)
    with contextlib.nullcontext() if folder is None else contextlib.closing(folder):
        return run.all(model, chosen, most, verbose, live)


def _limit(setup: Setup, most: int | None, units: int) -> int | None:
    """Returns the maximum batch size, and prints a line for each setting that follows from the network.

    Args:
        setup: The settings.
        most: The batch size that was asked for.
        units: Number of units; 0 to print nothing.
    """
    if setup.format.note and units:
        print(setup.format.note)
    if setup.takes_one_image and units > 1:
        print("The network takes one image at a time: the batches have one image.")
    return 1 if setup.takes_one_image and most is None else most


def _open_folder(
    path: str | os.PathLike[str], settings: Mapping[str, Any], probe: VisT, sheet: bool, overwrite: bool
) -> PictureFolder:
    # An image that cannot be saved raises before the run, not after it.
    check_channels(probe.image().shape[-1], "render one unit into an array (.npy), or leave out the folder in Python")
    return PictureFolder(path, settings, sheet, overwrite)


class _Run:
    """A run over many units.

    Args:
        setup: The settings of all batches.
        steps: Number of updates.
        found: The units.
        folder: Folder for the pictures.
        keep: Whether to return the pictures.
        log: Log of the batches.
    """

    def __init__(
        self,
        setup: Setup,
        steps: int,
        found: Sequence[Unit],
        folder: PictureFolder | None,
        keep: bool,
        log: Log | None = None,
    ) -> None:
        self.setup, self.steps, self.folder, self.keep, self.log = setup, steps, folder, keep, log
        self.units = {identity(unit, number): unit for number, unit in enumerate(found)}
        self.made: dict[str, UnitRender] = {}
        self._sizes = {} if folder is None else folder.batch_sizes
        self._groups: dict[object, list[str]] = {}
        self._decisions: dict[object, checkpoints.Decision[list[list[int]]]] = {}
        self._most: int | None = None  # the batch size that was asked for
        self._model: Mapping[str, Any] | None = None
        self._checkpoints = checkpoints.active()  # read in this thread, because the threads of workers are in no block
        self._number = "" if self._checkpoints is None else self._checkpoints.numbered("many")
        self._lock = threading.Lock()

    def all(
        self, model: Model, devices: Sequence[torch.device], most: int | None, verbose: bool, live: bool
    ) -> ManyRenders:
        """Renders the units that are not in the folder."""
        self._most = most
        there = {} if self.folder is None else self.folder.entries
        pending = [key for key in self.units if key not in there]
        reused = len(self.units) - len(pending)
        if self.folder is not None:
            self.folder.begin(self.units)
        if self.folder is not None or self.log is not None:
            self._model = describe_model(model)
        copies = self._copies(model, devices, len(pending))
        size = (len(pending), self.steps)
        progress = LiveSheet(*size) if live and is_notebook_environment() else ManyProgress(*size, verbose)
        interrupted = False
        try:
            with progress, tf32(self.setup.precision == "tf32"):  # once for all threads: it is a setting of the process
                work = self._plan(pending, *copies[0], len(copies), most) if pending else workers.Shared[str]([], 1)
                workers.run_on_devices([self._worker(work, *copy, progress) for copy in copies], work.stopped)
            if self.folder is not None:
                self.folder.finish(list(self.units))
        except KeyboardInterrupt:
            interrupted = True
        except Exception as error:
            error.renders = self._renders(reused, False)  # type: ignore[attr-defined]
            raise
        renders = self._renders(reused, interrupted)
        note_failure(failure_of(renders.failed))
        return renders

    def _copies(self, model: Model, devices: Sequence[torch.device], units: int) -> list[tuple[Model, torch.device]]:
        """Returns a model for each device, at most one for each unit; the first may be the model itself."""
        used = devices[: max(1, units)]
        first = model if used[0] == own_device(model) else workers.on_device(model, used[0])
        return [(first, used[0]), *((workers.on_device(model, device), device) for device in used[1:])]

    def _plan(
        self, pending: Sequence[str], model: Model, device: torch.device, copies: int, most: int | None
    ) -> workers.Shared[str]:
        """Splits the units into batches, in order.

        The units of a batch read the same layers. If all units do, the batches are split further, so that the copies of
        the model share the work, unless `most` is given.
        """
        self._groups = {}
        for key in self.units:  # finished ones, too, so that a run that resumes has the batches of the interrupted one
            self._groups.setdefault(self.units[key].batches_with, []).append(key)
        left = set(pending)
        batches: list[list[str]] = []
        for group in self._groups.values():
            if left.isdisjoint(group):
                continue
            decide = functools.partial(self._limit, group, model, device, copies, most)
            batches += _those_in(left, self._batches(group, decide))
        limit = max(len(batch) for batch in batches)
        return workers.Shared(batches, limit, lambda key: self.units[key].batches_with, self._split, self._halved)

    def _limit(self, group: Sequence[str], model: Model, device: torch.device, copies: int, most: int | None) -> int:
        """Returns the maximum size of a group's batches; in a folder that of the interrupted run."""
        name = self._size_name(group[0])
        limit = self._sizes.get(name) or most or self._fitting(group, model, device, copies)
        if most is None and len(group) > 1:
            self._sizes[name] = limit
        return limit

    def _batches(self, group: Sequence[str], limit: Callable[[], int]) -> list[list[str]]:
        """Returns the batches of a group; in a block of checkpoints those of the interrupted run, whose states it has.

        After a lack of memory, the batches that were finished before may be larger than the others.
        """
        name = f"{self._number} batches of {self._size_name(group[0])}"
        decision = checkpoints.Decision(name, lambda: workers.split_evenly(range(len(group)), limit()))
        self._decisions[self.units[group[0]].batches_with] = decision
        return [[group[index] for index in batch] for batch in decision.result]

    def _fitting(self, group: Sequence[str], model: Model, device: torch.device, copies: int) -> int:
        """Returns the number of images that fit into memory; fewer if only so all copies of the model have work."""

        def vis(count: int) -> VisT:
            return self.setup.vis(model, [self.units[key] for key in group[:count]], device)

        fitting = memory.batch_size(vis, len(group))
        is_alone = all(self.units[key].batches_with == self.units[group[0]].batches_with for key in self.units)
        return min(fitting, -(-len(group) // copies)) if is_alone else fitting

    def _size_name(self, key: str) -> str:
        """Returns a name in the manifest for the maximum size of a unit's batches, which depends on the request."""
        unit = self.units[key]
        count = sum(other.batches_with == unit.batches_with for other in self.units.values())
        kind = "units" if unit.channel is not None else "objectives"
        return f"{count} {kind} of {unit.layer}" + ("" if self._most is None else f", at most {self._most}")

    def _split(self, keys: Sequence[str], limit: int) -> list[list[str]]:
        """Splits the remaining units of a group as a run with this limit splits the group."""
        group = self._groups[self.units[keys[0]].batches_with]
        return _those_in(set(keys), workers.split_evenly(group, limit))

    def _halved(self, batches: Sequence[Sequence[str]], limit: int) -> None:
        kind = self.units[batches[0][0]].batches_with
        number = {key: index for index, key in enumerate(self._groups[kind])}
        again = [[number[key] for key in batch] for batch in batches]
        split = {index for batch in again for index in batch}
        with self._lock:
            self._sizes[self._size_name(batches[0][0])] = limit
            begun = [[index for index in batch if index not in split] for batch in self._decisions[kind].result]
            self._decisions[kind].change(sorted([*filter(None, begun), *again]))
            if self.folder is not None:
                self.folder.keep_batch_sizes()

    def _worker(
        self, work: workers.Shared[str], model: Model, device: torch.device, progress: Progress
    ) -> Callable[[], None]:
        def render(batch: list[str]) -> None:
            vis = self.setup.vis(model, [self.units[key] for key in batch], device)
            name = hashlib.sha256("\n".join(batch).encode()).hexdigest()[:16]
            checkpoint = checkpoints.Checkpoint(vis, self._checkpoints, f"{self._number}-{name}")
            losses = checkpoint.values
            progress.stepped(len(losses) * len(batch))
            callbacks: list[Callback] = [lambda vis: progress.stepped(len(batch)), *self._logs(batch)]
            try:
                loop.run(vis, [self.steps], None, callbacks, checkpoint, work.stopped.is_set)
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

    def _logs(self, batch: Sequence[str]) -> list[Callback]:
        """Returns the callback that logs a batch; empty without a log."""
        if self.log is None:
            return []
        units = [self.units[key] for key in batch]
        names = [unit.name for unit in units]
        return [TensorBoardLog(self.log.run(_run_name(units)), names=names, about={"model": self._model})]

    def _deliver(self, batch: Sequence[str], pictures: np.ndarray, losses: np.ndarray, vis: VisT) -> None:
        """Warns about a batch's losses, and stores its pictures. Thread-safe."""
        finished = [
            Finished(key, self.units[key], picture, float(own[-1]), failed_at(own, picture))
            for key, picture, own in zip(batch, pictures, losses, strict=True)
        ]
        constant = [one.unit.name for one, own in zip(finished, losses, strict=True) if still(own)]
        failed = failure_of({one.unit.name: one.failed_at for one in finished})
        for sentence in (failed, constant and f"The objective of {', '.join(constant)} {_STILL}"):
            if sentence:
                warnings.warn(sentence, RuntimeWarning, stacklevel=stack_level())
        with self._lock:
            if self.folder is not None:
                self.folder.add(finished, Recipe.of(vis, model=self._model))
            for one, own in zip(finished, losses, strict=True):
                image = one.picture.copy() if self.keep else None  # a copy, as a view would keep the whole batch
                self.made[one.identity] = _render_of(one.unit, one.value, own.copy(), image)
                self.made[one.identity].failed_at = one.failed_at

    def _renders(self, reused: int, interrupted: bool) -> ManyRenders:
        renders = ManyRenders()
        renders.asked, renders.reused, renders.interrupted = len(self.units), reused, interrupted
        renders.size = self.setup.size_of_pictures
        renders.folder = None if self.folder is None else self.folder.path
        for key, unit in self.units.items():
            made = self.made.get(key)
            if self.folder is not None and (entry := self.folder.entries.get(key)) is not None:
                value = float("nan") if entry["value"] is None else entry["value"]
                made = _render_of(unit, value) if made is None else made
                made.path = self.folder.file_of(key)
                made.tile = tuple(entry["tile"]) if "tile" in entry else None
            if made is not None:
                renders.append(made)
        return renders


def _render_of(unit: Unit, value: float, *parts: Any) -> UnitRender:
    return UnitRender(unit.layer, unit.channel, unit.name, unit.seed, value, *parts)


def _run_name(units: Sequence[Unit]) -> str:
    """Returns the name of a batch in a log: "mixed4a/3" or "mixed4a/3-20" for channels, else its first objective's."""
    first, last = units[0], units[-1]
    if first.channel is None or last.channel is None or len({unit.layer for unit in units}) > 1:
        return file_stem(first.name) + (f"_and_{len(units) - 1}_more" if len(units) > 1 else "")
    return f"{file_stem(first.layer)}/{first.channel}" + (f"-{last.channel}" if len(units) > 1 else "")


def _those_in(keys: Collection[str], batches: Iterable[Sequence[str]]) -> list[list[str]]:
    """Returns the batches without other keys and without empty batches."""
    found = [[key for key in batch if key in keys] for batch in batches]
    return [batch for batch in found if batch]


# Settings -------------------------------------------------------------------------------------


def _settings(setup: Setup, vis: VisT, steps: int) -> dict[str, Any]:
    """Returns the settings that all pictures of a folder share, as plain data."""
    group = vis.optimizer.param_groups[0]
    numbers = {name: _plain(value) for name, value in group.items() if name != "params"}
    return {
        "model": f"{getattr(vis.model, 'name', type(vis.model).__name__)} {fingerprint(vis.model.network)}",
        "image": _plain(vis.param),
        "size": list(vis.image().shape[1:]),
        "steps": steps,
        "seed": setup.seed,
        "per_image": setup.per_image,
        "optimizer": {"name": type(vis.optimizer).__name__, **numbers},
        "transforms": _plain(vis.transform),
        "relu_gradient_override": setup.relu_gradient_override,
        "precision": setup.precision,
    }


def _plain(thing: Any) -> Any:
    """Returns plain data; for a user's own code, a text that differs from the settings of every other run."""
    try:
        return serialization.to_data(thing)
    except serialization.NotSerialisable:
        return f"own code, which cannot be compared with another run's ({uuid.uuid4().hex[:8]})"
