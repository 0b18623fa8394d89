"""Making a site: the whole way from a model and pictures to pages, and what exists of it already."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from converters.signatures import checked
from lucid_port.microscope import estimate, executors, state, steps
from lucid_port.microscope.credits import read_credits
from lucid_port.microscope.curves import FAMILIES, Family
from lucid_port.microscope.drawings import Drawings
from lucid_port.microscope.estimate import Estimate, Rates
from lucid_port.microscope.examples import PooledLayer, check_layers, pool_activations
from lucid_port.microscope.names import Places
from lucid_port.microscope.pictures import PICTURE_CHANNELS, SUFFIXES, Dataset, Pictures, preparation
from lucid_port.microscope.plan import Plan, Records, Task, layer_plans, parse_part, part_of
from lucid_port.microscope.publish import Publisher, problems_of
from lucid_port.microscope.settings import Originals, Settings
from lucid_port.microscope.state import SiteState, Status
from lucid_port.microscope.statistics import class_means, sparseness
from lucid_port.microscope.tables import Site, removed_hashes
from lucid_port.microscope.techniques import DEFAULT, named_techniques
from lucid_port.misc.event_writers import LogDir, check_log_dir, is_folder
from lucid_port.misc.progress import is_watched, progress_bar
from lucid_port.modelzoo.vision_base import Model

__all__ = ["make_site", "merge_site"]

Data = str | os.PathLike[str] | Dataset | Sequence[Any]
Confirm = Callable[[Estimate], bool]

MOST_LISTED = 20
"""Pictures or files that are listed by name at most."""

MANY = 1000
"""Pictures and units from which on processes read them; they start slowly."""

TRIAL_FROM = 256
"""Missing results from which on a trial measures how long they take."""


@checked
def make_site(
    model: Model,
    output: str | os.PathLike[str],
    data: Data | None = None,
    *,
    layers: Sequence[str] | None = None,
    units: str | Sequence[str] | None = None,
    techniques: Sequence[str] | None = None,
    quality: str | None = None,
    originals: Originals | None = None,
    images: Sequence[str | os.PathLike[str]] = (),
    families: Mapping[str, Family] | None = None,
    executor: str | None = None,
    workers: int | None = None,
    part: str | tuple[int, int] | None = None,
    budget: float | None = None,
    seed: int | None = None,
    batch_size: int | None = None,
    confirm: Confirm | None = None,
    verbose: bool = True,
    log_dir: LogDir | None = None,
) -> Site | None:
    """Makes a site with a page for each unit of a network, or adds to it what is missing.

    What exists is not made again: an interrupted call goes on when it is repeated, and layers, units, techniques,
    images and pictures that are named later are added.

    Args:
        model: The model.
        output: Folder of the site.
        data: A folder of pictures, with a subfolder for each class or without, or a map-style dataset. By default that
            of an earlier call; for TinyInceptionV1 its own drawings. Without data, pages have no examples.
        layers: Names of layers; by default those of an earlier call, else `plan.default_layers`.
        units: Units as in "mixed4a:3,7,20-25"; all units of the layers by default.
        techniques: Names of `techniques.TECHNIQUES`, or "all"; by default those of an earlier call, else the positive
            and the negative channel.
        quality: "preview", "standard" or "microscope"; by default that of an earlier call, else "preview".
        originals: Whether whole pictures are copied: "none", "small" (at most 512 pixels) or "full".
        images: Paths of pictures whose caricatures are made in each layer.
        families: Name -> family of stimuli for tuning curves; by default `curves.FAMILIES`.
        executor: "here", "processes" or "ray"; by default processes, if there are several GPUs or cores.
        workers: Number of workers; one for each GPU or core by default.
        part: "3/16" does the third of 16 parts of the tasks and writes no pages; `merge_site` completes the site.
        budget: Hours; the units with the highest selectivity for examples come first.
        seed: Seed of all random draws.
        batch_size: Renders in a batch.
        confirm: Called with the estimate before long work; work begins if it returns True.
        verbose: Whether to print the estimate, the seconds of each part, and progress.
        log_dir: Folder for TensorBoard logs of renders and caricatures, or a writer for the executor "here"; as for
            `render_vis`.

    Returns:
        The site, opened for reading; None after a part, or if `confirm` returned False.

    Raises:
        converters.LayerNotFoundError: The model has no such layer.
        ValueError: An argument is wrong, or the folder holds something else or the site of another model.
        FileNotFoundError: The pictures do not exist.
        OSError: A file cannot be written.
        KeyboardInterrupt: The run was interrupted; the same call goes on.
    """
    place = Places(output)
    check_log_dir(log_dir)
    if part is not None and budget is not None:
        raise ValueError("A part has its own share of the units: give either part or budget.")
    state.refuse_others(place)
    pictures = _pictures(model, place, data, state.read(place))  # errors come before anything is written
    with state.locked(place, part):
        old = state.read(place)
        asked = _Asked(layers, units, techniques, quality, originals, seed, batch_size, tuple(map(str, images)))
        plan = asked.plan(model, place, old)
        state.check(place, old, plan)
        known = set() if old is None else {layer.name for layer in old.layers}
        check_layers(model, [layer.name for layer in plan.layers if layer.name not in known])  # before they are noted
        now = state.of(model, plan, pictures, asked.images, old)
        say = _Say(verbose)
        if old is not None and old.data not in (None, now.data):
            say.line(f"The pictures were those of {old.data}, and are those of {now.data}: examples are made again.")
        run = _Run(model, place, plan, pictures, now, say, FAMILIES if families is None else families, log_dir)
        return run.all(executor, workers, part, budget, confirm)


@checked
def merge_site(
    model: Model,
    output: str | os.PathLike[str],
    folders: Sequence[str | os.PathLike[str]] = (),
    *,
    data: Data | None = None,
    verbose: bool = True,
) -> Site | None:
    """Completes a site whose tasks were done in parts.

    Args:
        model: The model.
        output: Folder of the site.
        folders: Further folders that parts were written to; what the site lacks is copied from them.
        data: The pictures, if they were not a folder.
        verbose: As for `make_site`.

    Raises:
        ValueError: Parts are missing.
        FileNotFoundError: The folder is no site.
    """
    place = Places(output)
    for folder in folders:
        state.copy_missing(Places(folder), place)
    old = state.read(place)
    if old is None:
        raise FileNotFoundError(f"{place.root} holds no parts of a site: name the folder that they were written to.")
    plan = _Asked().plan(model, place, old)
    missing = state.missing_tasks(place, plan)
    if missing:
        lost = sum(task.amount for task in missing)
        raise ValueError(f"{lost:,} results are missing in {place.root}: run the parts that did not finish again.")
    return make_site(model, output, data, verbose=verbose)


# The request ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Asked:
    """What a call names; None and empty values stand for those of an earlier call."""

    layers: Sequence[str] | None = None
    units: str | Sequence[str] | None = None
    techniques: Sequence[str] | None = None
    quality: str | None = None
    originals: Originals | None = None
    seed: int | None = None
    batch_size: int | None = None
    images: tuple[str, ...] = ()

    def plan(self, model: Model, place: Places, old: SiteState | None) -> Plan:
        """Returns the plan of the site: what an earlier call named, and what this one adds."""
        named = self.layers is not None or self.units is not None
        chosen = layer_plans(model, self.layers, self.units) if named or old is None else ()
        layers = chosen if old is None else state.joined(old.layers, chosen, _order(model))
        if named and old is not None and self.quality not in (None, old.settings.quality) and layers != chosen:
            raise ValueError(
                f"The site has the quality {old.settings.quality!r}, and {self.quality!r} would make all of its units "
                "again, not only those that are named: name no layers and units, or choose another folder."
            )
        techniques = named_techniques(self.techniques or (() if old else DEFAULT))
        if old is not None:
            techniques = named_techniques([*old.techniques, *techniques])
        images = state.keep_images(place, self.images, old)
        parts = steps.parts_of(images)
        return Plan(layers, techniques, self._settings(model, old), state.model_key(model), parts)

    def _settings(self, model: Model, old: SiteState | None) -> Settings:
        changes: dict[str, Any] = {"originals": self.originals, "seed": self.seed, "batch_size": self.batch_size}
        if old is not None and self.quality in (None, old.settings.quality):
            return replace(old.settings, **{name: value for name, value in changes.items() if value is not None})
        if self.batch_size is None and model.device.type != "cpu":
            changes["batch_size"] = 64
        return Settings.of(self.quality or "preview", **changes)


def _order(model: Model) -> list[str]:
    """Returns the names of all layers in the order of a site."""
    return list(dict.fromkeys([*(layer.name for layer in model.layers), *model.network.layers]))


def _pictures(model: Model, place: Places, data: Data | None, old: SiteState | None) -> Pictures | None:
    """Returns the given data, else those of an earlier call, else the drawings of the bundled network.

    Raises:
        FileNotFoundError: The folder of an earlier call is not there.
        ValueError: An earlier call had a dataset, or the model takes no pictures.
    """
    channels = model.image_shape[-1]
    if channels not in (*PICTURE_CHANNELS, 4):  # 4: red, green, blue and alpha
        raise ValueError(f"The model takes images of {channels} channels, and the pictures of a site have 1, 3 or 4.")
    before = None if old is None else old.data
    if data is None and before == state.DATASET:
        raise ValueError(f"The pictures of {place.root} are a dataset: give it as data again.")
    if data is None and before not in (None, state.DRAWINGS):
        if not Path(str(before)).is_dir():
            raise FileNotFoundError(f"The pictures of {place.root} are no longer in {before}: name their folder.")
        data = before
    if data is None:
        if before != state.DRAWINGS and (old is not None or model.name != "TinyInceptionV1"):
            return None
        data = Drawings()
    if channels not in PICTURE_CHANNELS:
        raise ValueError(
            f"The model takes images of {channels} channels, and pictures have 3: a site of it has no examples; leave "
            "out the data."
        )
    found = Pictures(data, preparation(model), removed=removed_hashes(place.root))
    if found.source is not None:
        read_credits(found.source, [])  # a mistake in them is better known before the work
    return found


# The run ----------------------------------------------------------------------------------------


class _Say:
    """Prints the estimate and the seconds of each part.

    Args:
        verbose: Whether to print.

    Attributes:
        seconds: Part -> seconds.
    """

    def __init__(self, verbose: bool) -> None:
        self.verbose = verbose
        self.seconds: dict[str, float] = {}

    def line(self, text: str) -> None:
        if self.verbose:
            print(text, flush=True)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        seconds = self.seconds[name] = time.perf_counter() - started
        if seconds >= 0.5:
            self.line(f"{name}: {seconds:.1f} s")


class _Progress:
    """A bar with the time left, and the seconds of each part.

    Args:
        total: Number of results.
        verbose: Whether to draw the bar on a terminal or in a notebook.

    Attributes:
        seconds: Part -> seconds of all workers.
    """

    def __init__(self, total: int, verbose: bool) -> None:
        self._bar = progress_bar(total, "renders", unit=" results") if verbose and is_watched() else None
        self.seconds: dict[str, float] = {}

    def made(self, count: int) -> None:
        if self._bar is not None:
            self._bar.update(count)

    def done(self, task: Task, seconds: float) -> None:
        self.seconds[task.part] = self.seconds.get(task.part, 0.0) + seconds

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()


@dataclass
class _Run:
    """The work of one call."""

    model: Model
    place: Places
    plan: Plan
    pictures: Pictures | None
    now: SiteState
    say: _Say
    families: Mapping[str, Family] = field(default_factory=lambda: FAMILIES)
    log_dir: LogDir | None = None
    pooled: dict[str, PooledLayer] = field(default_factory=dict)

    def all(
        self,
        executor: str | None,
        workers: int | None,
        part: str | tuple[int, int] | None,
        budget: float | None,
        confirm: Confirm | None,
    ) -> Site | None:
        crew = executors.make_executor(executor, self.model, workers)
        if self.log_dir is not None and not is_folder(self.log_dir) and not isinstance(crew, executors.Here):
            raise ValueError("Only executor='here' logs to a writer, as other processes do not have it: name a folder.")
        tasks = part_of(self.plan.tasks(), part)
        records = Records(self.place)
        missing = [left for task in tasks if (left := records.missing(task)) is not None]
        passes = part is None or parse_part(part)[0] == 1
        rates = self._rates(missing, crew, passes)
        if rates is not None:
            found = rates.estimate(self.plan, missing, len(self.pictures or ()) if passes else 0)
            self.say.line(str(found))
            if confirm is not None and budget is None and not confirm(found):
                return None
        started = time.monotonic()
        state.write(self.place, self.now)
        if passes:
            self._read_pictures()
        until = None
        if budget is not None:
            until = started + budget * 3600
            missing = self._within(missing, rates, until - time.monotonic())
        self._do(crew, missing, until)
        if part is not None:
            return None
        executors.remove_model_files(self.place)
        return self._finish()

    def _rates(self, missing: Sequence[Task], crew: executors.Executor, passes: bool) -> Rates | None:
        """Returns the rates of a trial, if there is much to do."""
        if sum(task.amount for task in missing) < TRIAL_FROM:
            return None
        count = getattr(crew, "workers", 1)
        threads = max(1, executors.cores() // count)
        is_there = all(self.place.array(layer.name, "max").is_file() for layer in self.plan.layers)
        pictures = self.pictures if passes and not is_there else None
        with self.say.part("trial"):
            return estimate.measure_rates(self.model, self.plan, missing, pictures, count, threads)

    def _read_pictures(self) -> None:
        """Passes over the pictures, and publishes arrays and examples."""
        if self.pictures is None:
            return
        settings = self.plan.settings
        if self.pictures.others:
            named = _listed(self.pictures.others)
            self.say.line(f"Left out, as only {', '.join(SUFFIXES)} are read: {named}.")
        with self.say.part("pictures"):
            self.pooled = pool_activations(
                self.model,
                self.pictures,
                [layer.name for layer in self.plan.layers],
                self.place.pooled,
                batch_size=settings.pictures_in_batch,
                workers=_decoders(self.pictures),
                verbose=self.say.verbose,
            )
        self._tell_problems()
        with self.say.part("examples"):
            for layer, pooled in self.pooled.items():
                steps.publish_examples(self.place, pooled, state.data_key(self.plan, self.pictures), layer)

    def _tell_problems(self) -> None:
        """Lists the pictures that cannot be read."""
        found = problems_of(self.pooled, self.pictures)
        found = {number: text for number, text in found.items() if self.pictures and self.pictures.entries[number].key}
        for number in sorted(found)[:MOST_LISTED]:
            self.say.line(f"Not read: {found[number]}.")
        if len(found) > MOST_LISTED:
            self.say.line(f"Not read: {len(found) - MOST_LISTED} further pictures, which data/manifest.json lists.")

    def _within(self, missing: Sequence[Task], rates: Rates | None, seconds: float) -> list[Task]:
        """Returns the tasks of the units that fit into a time, those with the highest selectivity first."""
        if rates is None:
            return list(missing)
        ranked = self._ranked()
        times = itertools.accumulate(rates.of_unit(self.plan, layer) for layer, _ in ranked)
        count = sum(time_ <= seconds for time_ in times)
        chosen: dict[str, list[int]] = {}
        for layer, unit in ranked[:count]:
            chosen.setdefault(layer, []).append(unit)
        self.say.line(f"{count:,} of {len(ranked):,} units fit into the budget.")
        rank = {pair: number for number, pair in enumerate(ranked)}
        kept = []
        for task in missing:
            own = tuple(unit for unit in task.units if unit in set(chosen.get(task.layer, ())))
            if own or not task.units:
                kept.append(replace(task, units=own))
        return sorted(kept, key=lambda task: min((rank[task.layer, unit] for unit in task.units), default=len(rank)))

    def _ranked(self) -> list[tuple[str, int]]:
        """Returns (layer, unit) of all units, those whose examples are the most selective first."""
        scores: dict[tuple[str, int], float] = {}
        data = self.pictures
        labels = [] if data is None else [data.label(number) for number in range(len(data))]
        for layer in self.plan.layers:
            values = self._selectivity(layer.name, labels)
            scores |= {(layer.name, unit): 0.0 if values is None else values[unit] for unit in layer.units}
        return sorted(scores, key=lambda pair: -scores[pair])

    def _selectivity(self, layer: str, labels: Sequence[str | None]) -> np.ndarray | None:
        """Returns the class selectivity of a layer's units; their sparseness for pictures without classes."""
        if layer not in self.pooled:
            return None
        known = any(label is not None for label in labels)
        found = class_means(self.pooled[layer], labels).selectivity() if known else sparseness(self.pooled[layer])
        return np.nan_to_num(found)

    def _do(self, crew: executors.Executor, missing: Sequence[Task], until: float | None) -> None:
        """Does the missing tasks."""
        if not missing:
            return
        work = executors.Work(str(self.place.root), self.plan.settings, dict(steps.PARTS), self.log_dir)
        progress = _Progress(sum(task.amount for task in missing), self.say.verbose)
        try:
            with self.say.part("renders"):
                done = crew.run(work, self.model, missing, progress, until)
        finally:
            progress.close()
        for name, seconds in progress.seconds.items():
            self.say.line(f"  {name}: {seconds:.1f} s of workers")
        if not done:
            self.say.line("The budget is used up; the same command goes on.")

    def _finish(self) -> Site:
        """Writes tables and pages, unless nothing has changed."""
        data = "" if self.pictures is None else state.data_key(self.plan, self.pictures)
        workers = 1 if self.pictures is None or self.pictures.source is None else executors.cores()
        about, families = self.now.about, self.families
        say, part = self.say.line, self.say.part
        return Publisher(
            self.model, self.place, self.plan, self.pictures, about, self.pooled, data, families, workers, part, say
        ).publish()


def _listed(names: Sequence[str]) -> str:
    further = len(names) - MOST_LISTED
    shown = [name.encode(errors="backslashreplace").decode() for name in names[:MOST_LISTED]]
    return ", ".join(shown) + (f" and {further} further files" if further > 0 else "")


def _decoders(pictures: Pictures) -> int:
    """Returns the number of processes that decode pictures; a short pass does without, as they start slowly."""
    return 0 if pictures.source is None or len(pictures) < MANY else max(0, executors.cores() - 1)


@checked
def status(output: str | os.PathLike[str]) -> Status:
    """Returns what exists of a site, by its files alone.

    Raises:
        FileNotFoundError: The folder is no site.
    """
    return state.status(Places(output))
