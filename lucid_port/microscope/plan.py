"""The plan of a site: its layers and units, and the tasks that make its parts.

A plan is deterministic: the same model, settings, layers and techniques give the same tasks with the same keys. The
files of a site are its state: what exists is not made again.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from converters import checks
from converters.atomic import write_bytes
from converters.signatures import checked
from lucid_port.microscope.names import Places, render_name
from lucid_port.microscope.settings import Settings, hash_of
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import grammar
from lucid_port.optvis.engine.coerce import layer_info
from lucid_port.recipes.inputs import channels_of, check_units

__all__ = ["LayerPlan", "Plan", "Task", "default_layers", "layer_plans", "part_of"]

MOST_BATCHES = 4
"""Batches of renders in a task; one, if their updates are so many that a task would last long."""

LONG = 256
"""Updates from which on a task has fewer batches."""

WHOLE_SETTINGS: Mapping[str, tuple[str, ...]] = {
    "deepdream": ("size", "dream_steps", "seed"),
    "caricatures": ("steps", "seed"),
}
"""Part that belongs to whole layers -> the settings that decide its results."""


@checked
@dataclass(frozen=True)
class LayerPlan:
    """A layer of a site.

    Attributes:
        name: Name of the layer.
        total: Number of its units.
        units: Numbers of the units that the site shows, ascending.
    """

    name: str
    total: int
    units: tuple[int, ...]


@checked
@dataclass(frozen=True)
class Task:
    """A piece of work that one process does.

    Attributes:
        part: "renders/TECHNIQUE", or the name of another part, such as "deepdream".
        layer: Name of the layer.
        units: Numbers of the units; empty for a part that belongs to the whole layer.
        key: Hash of all that decides the result: model, preparation, settings.
        first: Number of the first unit that the task can have, from which it has its name.
    """

    part: str
    layer: str
    units: tuple[int, ...]
    key: str
    first: int = 0

    @property
    def name(self) -> str:
        """A name that differs for each task of a part and layer."""
        return f"{self.first:04d}-{self.key}"

    @property
    def technique(self) -> str | None:
        """The technique of a task that renders; None for other parts."""
        head, _, tail = self.part.partition("/")
        return tail if head == "renders" else None

    @property
    def amount(self) -> int:
        """Number of results: of units, or 1."""
        return len(self.units) or 1


# Layers and units -------------------------------------------------------------------------------


@checked
def layer_plans(
    model: Model, layers: Sequence[str] | None = None, units: str | Sequence[str] | None = None
) -> tuple[LayerPlan, ...]:
    """Returns the layers and units of a site.

    Args:
        model: The model.
        layers: Names of layers; by default those of `units`, else `default_layers`.
        units: Texts of the grammar of units, as in "mixed4a:3,7,20-25"; all units of the layers by default.

    Raises:
        converters.LayerNotFoundError: The model has no such layer.
        ValueError: A text names something else than channels, a layer is named twice, or there is no layer or unit.
    """
    chosen = _named_units([units] if isinstance(units, str) else units or (), model)
    names = list(chosen) if layers is None and chosen else list(default_layers(model) if layers is None else layers)
    names = [_canonical(model, name) for name in names]
    names += [name for name in chosen if name not in names]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise ValueError(f"The layer {twice!r} is named twice: name it once.")
    if not names:
        raise ValueError("The model has no layers whose number of channels is known: name layers.")
    found = []
    for name in names:
        total = channels_of(model, name)
        own = chosen.get(name) or range(total)
        found.append(LayerPlan(name, total, tuple(own)))
    return tuple(found)


def _canonical(model: Model, name: str) -> str:
    info = layer_info(model, name)
    return name if info is None else info.name


def _named_units(texts: Iterable[str], model: Model) -> dict[str, list[int]]:
    """Returns layer -> units, ascending, of texts of the grammar."""
    found: dict[str, set[int]] = {}
    for picture in (one for text in texts for one in grammar.parse(text)):
        (term, *others) = picture.terms
        target = term.target
        if others or term.weight != 1 or not isinstance(target, grammar.Channels) or target.place is not None:
            raise ValueError(f"{str(picture)!r} is not a choice of units: write LAYER:3,7,20-25, as in mixed4a:0-15.")
        name = _canonical(model, target.layer)
        total = channels_of(model, name)
        ranges = [(0, total - 1)] if target.ranges is None else target.ranges
        check_units(model, name, [last for _, last in ranges])
        found.setdefault(name, set()).update(one for first, last in ranges for one in range(first, last + 1))
    return {name: sorted(units) for name, units in found.items()}


@checked
def default_layers(model: Model) -> list[str]:
    """Returns Lucid's list of layers; for other models the outputs of blocks.

    The blocks of a torch network are its numbered submodules that hold a convolution or a linear layer, such as
    `layer1.0`. A network without them has its joins (concatenations and sums), else its activations, else its
    convolutions.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> default_layers(TinyInceptionV1())[:4]
        ['conv2d0', 'conv2d1', 'conv2d2', 'mixed3a']
    """
    listed = [layer.name for layer in model.layers]
    infos = model.network.layers
    if len(listed) < sum(info.channels is not None for info in infos.values() if info.op != "Placeholder"):
        return listed
    known = {layer: infos[layer].op for layer in listed if layer in infos}
    for choose in (_blocks, *(_of_ops(pattern) for pattern in _KINDS)):
        found = choose(known)
        if found:
            return found
    return listed


_WEIGHTED = re.compile("conv|linear|dense|matmul", re.IGNORECASE)
_KINDS = ("^(concat|cat|add)", "relu|gelu|silu|swish|elu", "conv")


def _blocks(ops: Mapping[str, str]) -> list[str]:
    """Returns the innermost numbered submodules that hold a layer with weights."""
    numbered = [name for name in ops if name.rpartition(".")[2].isdigit() and not _WEIGHTED.search(ops[name])]
    holding = [
        name
        for name in numbered
        if any(other.startswith(f"{name}.") and _WEIGHTED.search(op) for other, op in ops.items())
    ]
    return [name for name in holding if not any(other.startswith(f"{name}.") for other in holding)]


def _of_ops(pattern: str) -> Any:
    return lambda ops: [name for name, op in ops.items() if re.search(pattern, op, re.IGNORECASE)]


# The plan ---------------------------------------------------------------------------------------


@checked
@dataclass(frozen=True)
class Plan:
    """What a site has.

    Attributes:
        layers: The layers and units.
        techniques: Names of techniques, in the order of the pages.
        settings: The settings.
        model: Hash of the model and its preparation.
        parts: Part that belongs to a whole layer -> hash of what decides it beside the model.
    """

    layers: tuple[LayerPlan, ...]
    techniques: tuple[str, ...]
    settings: Settings
    model: str
    parts: Mapping[str, str]

    @property
    def units(self) -> int:
        """Number of units."""
        return sum(len(layer.units) for layer in self.layers)

    def tasks(self) -> list[Task]:
        """Returns all tasks in order: for each layer its renders, cut by the unit, then its other parts."""
        return [task for layer in self.layers for task in (*self._renders(layer), *self._whole(layer))]

    def _renders(self, layer: LayerPlan) -> list[Task]:
        step = self.settings.batch_size * max(1, min(MOST_BATCHES, LONG * MOST_BATCHES // self.settings.steps))
        found = []
        for first in range(0, layer.total, step):
            units = tuple(unit for unit in layer.units if first <= unit < first + step)
            for technique in self.techniques if units else ():
                key = hash_of([self.model, technique, self.settings.key("size", "steps", "seed", "batch_size")])
                found.append(Task(f"renders/{technique}", layer.name, units, key, first))
        return found

    def _whole(self, layer: LayerPlan) -> list[Task]:
        return [Task(part, layer.name, (), self._whole_key(part, detail)) for part, detail in self.parts.items()]

    def _whole_key(self, part: str, detail: str) -> str:
        settings = WHOLE_SETTINGS.get(part.partition("/")[0], ())
        return hash_of([self.model, detail, self.settings.key(*settings) if settings else ""])

    def chosen(self, units: Mapping[str, Sequence[int]]) -> Plan:
        """Returns the plan of some units only; layers without any are left out."""
        layers = [replace(one, units=tuple(sorted(units.get(one.name, ())))) for one in self.layers]
        return replace(self, layers=tuple(one for one in layers if one.units))


@checked
def part_of(tasks: Sequence[Task], part: str | tuple[int, int] | None) -> list[Task]:
    """Returns the tasks of one part of several, which are of nearly equal size and together have all tasks.

    Args:
        tasks: All tasks.
        part: "3/16" or (3, 16) is the third of 16 parts; None for all tasks.

    Raises:
        ValueError: It has another form.
    """
    if part is None:
        return list(tasks)
    number, count = parse_part(part)
    return list(tasks)[number - 1 :: count]


def parse_part(part: str | tuple[int, int]) -> tuple[int, int]:
    """Returns (number, count) of a part.

    Raises:
        ValueError: It has another form.

    Example:
        >>> parse_part("3/16")
        (3, 16)
    """
    words = part.split("/") if isinstance(part, str) else [str(one) for one in part]
    if len(words) != 2 or not all(word.strip().isdigit() for word in words):
        raise ValueError(f"A part is written as 3/16, not {checks.shown(part)}.")
    number, count = (int(word) for word in words)
    if not 1 <= number <= count:
        raise ValueError(f"There is no part {number} of {count}: the first is 1/{count}.")
    return number, count


# What exists ------------------------------------------------------------------------------------


class Records:
    """Which tasks of a site are done: one small file for each, written when its results are in place.

    Args:
        places: The site.
    """

    def __init__(self, places: Places) -> None:
        self.places = places

    def read(self, task: Task) -> dict[int, float | None]:
        """Returns unit -> value of the results that a task has; unit -1 for a part of a whole layer."""
        try:
            found = json.loads(self._path(task).read_text(encoding="utf-8"))
            return {int(unit): value for unit, value in found["units"].items()}
        except (FileNotFoundError, ValueError, KeyError, AttributeError):  # a damaged record: its work is done again
            return {}

    def claim(self, task: Task) -> None:
        """Forgets results of other models or settings, before a task writes its own in their places."""
        for path in self._path(task).parent.glob("*.json"):
            if not path.stem.endswith(f"-{task.key}"):
                path.unlink(missing_ok=True)

    def add(self, task: Task, values: Mapping[int, float | None]) -> None:
        """Adds results to a task's record."""
        path = self._path(task)
        path.parent.mkdir(parents=True, exist_ok=True)
        units = {str(unit): value for unit, value in {**self.read(task), **values}.items()}
        data = {"part": task.part, "layer": task.layer, "units": units}
        write_bytes(path, json.dumps(data).encode())

    def missing(self, task: Task) -> Task | None:
        """Returns the part of a task that is not done; None if all is."""
        done = self.read(task)
        if not task.units:
            return None if -1 in done else task
        there = self._rendered(task)
        left = tuple(unit for unit in task.units if unit not in done or not (there is None or unit in there))
        return replace(task, units=left) if left else None

    def values(self, task: Task) -> dict[int, float]:
        """Returns unit -> the render's own activation; NaN where it is not known."""
        return {unit: float("nan") if value is None else value for unit, value in self.read(task).items() if unit >= 0}

    def _rendered(self, task: Task) -> set[int] | None:
        """Returns the units of a task whose renders are published; None if the task renders nothing."""
        if task.technique is None:
            return None
        folder = self.places.renders(task.layer, task.technique)
        names = set(os.listdir(folder)) if folder.is_dir() else set()  # one look at the folder, not one a unit
        return {unit for unit in task.units if render_name(unit) in names}

    def _path(self, task: Task) -> Any:
        return self.places.task(f"done/{task.part}", task.layer, f"{task.name}.json")
