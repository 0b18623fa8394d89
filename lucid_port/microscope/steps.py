"""The parts of a site: which function does each kind of task, and the steps that write tables and pages at the end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from converters.atomic import write_bytes, write_chunks
from lucid_port.microscope.drawings import Drawings
from lucid_port.microscope.examples import PooledLayer, find_examples
from lucid_port.microscope.executors import Do
from lucid_port.microscope.names import Places
from lucid_port.microscope.pictures import Pictures
from lucid_port.microscope.plan import Plan, Records, Task
from lucid_port.microscope.renders import make_caricature, make_deepdream, render_units
from lucid_port.microscope.settings import hash_of
from lucid_port.modelzoo.vision_base import Model

if TYPE_CHECKING:
    from lucid_port.microscope.state import SiteState

__all__ = ["PARTS", "STEPS", "Context", "Step", "parts_of"]

Site = Any

PARTS: Mapping[str, Do] = {"renders": render_units, "deepdream": make_deepdream, "caricatures": make_caricature}
"""Part -> the function that does its tasks, in a worker."""

CHUNK = 2**22


def parts_of(images: Mapping[str, str]) -> dict[str, str]:
    """Returns the parts that belong to whole layers -> what decides them beside the model.

    Args:
        images: Name -> hash of the pictures whose caricatures are made.
    """
    return {"deepdream": "", **{f"caricatures/{name}": key for name, key in images.items()}}


def are_drawings(pictures: Pictures) -> bool:
    """Whether pictures are the bundled network's own drawings."""
    return isinstance(pictures.data, Drawings)


# Examples ---------------------------------------------------------------------------------------


def publish_examples(places: Places, pooled: PooledLayer, key: str, layer: str) -> None:
    """Writes the arrays and examples of a layer into a site, if it does not have them."""
    task = Task("examples", layer, (), key)
    records = Records(places)
    if records.missing(task) is None and places.examples(layer).is_file():
        return
    places.layer(layer).mkdir(parents=True, exist_ok=True)
    for part in ("max", "mean", "place"):
        write_chunks(places.array(layer, part), _chunks(pooled.folder / f"{part}.npy"))
    find_examples(pooled).save(places.examples(layer))
    records.add(task, {-1: None})


def _chunks(path: Path) -> Iterator[bytes]:
    with open(path, "rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk


# Tables and pages -------------------------------------------------------------------------------


@dataclass
class Context:
    """What the last steps read."""

    model: Model
    places: Places
    plan: Plan
    pictures: Pictures | None
    state: SiteState
    pooled: Mapping[str, PooledLayer] = field(default_factory=dict)

    def key(self) -> str:
        """Returns a hash of all that tables and pages show."""
        notes = self.places.notes
        about = [one.stat().st_mtime_ns if one.is_file() else 0 for one in (notes,)]
        done = [
            [task.part, task.layer, task.name, sorted(Records(self.places).read(task))] for task in self.plan.tasks()
        ]
        keys = None if self.pictures is None else [entry.key for entry in self.pictures.entries]
        return hash_of([self.plan.model, self.plan.settings.to_data(), done, keys, about])

    def values(self, layer: str) -> dict[str, dict[int, float]]:
        """Returns technique -> unit -> the render's own activation."""
        records = Records(self.places)
        found: dict[str, dict[int, float]] = {}
        for task in self.plan.tasks():
            if task.layer == layer and task.technique is not None:
                found.setdefault(task.technique, {}).update(records.values(task))
        return found


@dataclass(frozen=True)
class Step:
    """A step at the end of a run.

    Attributes:
        name: Name in the list of seconds.
        run: Does it.
    """

    name: str
    run: Callable[[Context], None]


def _write_tables(context: Context) -> None:
    values = {layer.name: context.values(layer.name) for layer in context.plan.layers}
    about = {"format": "lucid_port microscope", "version": 1, "model": {"hash": context.plan.model}}
    write_bytes(context.places.manifest, json.dumps({**about, "values": values}).encode())


STEPS: list[Step] = [Step("tables", _write_tables)]
"""The steps, in order."""


def opened(places: Places) -> Site:
    """Returns a finished site, opened for reading."""
    return places
