"""What a site remembers of its runs: the model, layers, techniques and data, in `.state/site.json`."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from converters.atomic import check_writable, write_bytes
from converters.paths import user_path
from lucid_port.microscope import steps
from lucid_port.microscope.names import Places
from lucid_port.microscope.pictures import Pictures, preparation
from lucid_port.microscope.plan import LayerPlan, Plan, Records, Task, parse_part
from lucid_port.microscope.renders import caricature_source, picture_name
from lucid_port.microscope.settings import Settings, hash_of
from lucid_port.misc.io.saving import save
from lucid_port.misc.locking import FolderLock
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis.fingerprints import fingerprint
from lucid_port.optvis.recipe import describe_model
from lucid_port.recipes.inputs import load_image

__all__ = ["DRAWINGS", "SiteState", "Status"]

DRAWINGS = "drawings"
"""Stands for the bundled network's own drawings in the place of a folder."""

DATASET = "dataset"
"""Stands for a dataset, which every call has to name."""

FORMAT = 1

LOOKS = 5
"""Attempts to see a lock released that another part took only to look at it."""


@dataclass(frozen=True)
class SiteState:
    """What a site's runs named.

    Attributes:
        model: Hash of the model and its preparation.
        about: Description of the model, from which it can be opened again.
        layers: The layers and units.
        techniques: Names of techniques.
        settings: The settings.
        data: Folder of the pictures, `DRAWINGS` or `DATASET`; None if there are none.
        images: Name -> hash of the pictures whose caricatures are made.
    """

    model: str
    about: Mapping[str, Any]
    layers: tuple[LayerPlan, ...]
    techniques: tuple[str, ...]
    settings: Settings
    data: str | None
    images: Mapping[str, str]


@dataclass(frozen=True)
class Status:
    """How much of a site exists.

    Attributes:
        state: What the site's runs named.
        done, total: Results by part: "renders/channel", ...
        examples: Layers that have examples.
        pages: Whether the pages are those of all results.
    """

    state: SiteState
    done: Mapping[str, int]
    total: Mapping[str, int]
    examples: int
    pages: bool

    def __str__(self) -> str:
        lines = [f"{part}: {self.done.get(part, 0):,} of {count:,}" for part, count in self.total.items()]
        lines.append(f"examples: {self.examples} of {len(self.state.layers)} layers")
        lines.append(f"pages: {'complete' if self.pages else 'to be written'}")
        return "\n".join(lines)


def model_key(model: Model) -> str:
    """Returns a hash of a model and of how it takes pictures."""
    about = [str(model.image_value_range), model.is_BGR, repr(preparation(model))]
    return hash_of([fingerprint(model.network), *about])  # type: ignore[arg-type]


def of(model: Model, plan: Plan, pictures: Pictures | None, images: Sequence[str], old: SiteState | None) -> SiteState:
    """Returns the state of a site with a plan."""
    data = None if old is None else old.data
    if pictures is not None:
        data = DRAWINGS if steps.are_drawings(pictures) else DATASET
        data = str(pictures.source.absolute()) if pictures.source is not None else data
    hashes = {part.partition("/")[2]: key for part, key in plan.parts.items() if part.startswith("caricatures/")}
    about: Mapping[str, Any] = describe_model(model)
    return SiteState(plan.model, about, plan.layers, plan.techniques, plan.settings, data, hashes)


def read(places: Places) -> SiteState | None:
    """Returns the state of a site; None if the folder has none.

    Raises:
        ValueError: It is damaged.
    """
    path = places.state / "site.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        layers = tuple(LayerPlan(one["name"], one["total"], tuple(one["units"])) for one in data["layers"])
        return SiteState(
            data["model"],
            data["about"],
            layers,
            tuple(data["techniques"]),
            Settings.from_data(data["settings"]),
            data["data"],
            data["images"],
        )
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is damaged ({error}): delete the folder {places.state}, or choose another."
        ) from error


def write(places: Places, state: SiteState) -> None:
    """Writes the state of a site, if it has changed."""
    layers = [{"name": one.name, "total": one.total, "units": list(one.units)} for one in state.layers]
    data = {
        "format": FORMAT,
        "model": state.model,
        "about": state.about,
        "layers": layers,
        "techniques": list(state.techniques),
        "settings": state.settings.to_data(),
        "data": state.data,
        "images": dict(state.images),
    }
    path, text = places.state / "site.json", json.dumps(data, indent=1).encode()
    if not path.is_file() or path.read_bytes() != text:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, text)


@contextmanager
def locked(places: Places, part: str | tuple[int, int] | None) -> Iterator[None]:
    """Context in which no other run writes to a site; parts of a site are written at the same time.

    Raises:
        BlockingIOError: Another run writes to it.
        ValueError: The folder holds something else.
        OSError: The folder cannot be written.
    """
    refuse_others(places)
    check_writable(places.index)
    parts = places.state / "parts"
    folder = places.state if part is None else parts / "of".join(map(str, parse_part(part)))
    folder.mkdir(parents=True, exist_ok=True)
    lock = FolderLock(folder)
    try:
        for other in [places.state] if part is not None else parts.glob("*of*"):
            _refuse_locked(other)
        yield
    finally:
        lock.release()


def _refuse_locked(folder: Path) -> None:
    """Raises BlockingIOError if another run holds the lock of a folder for longer than parts look at it."""
    for attempt in range(LOOKS):
        try:
            FolderLock(folder).release()
            return
        except BlockingIOError:
            if attempt == LOOKS - 1:
                raise
            time.sleep(0.1)


def refuse_others(places: Places) -> None:
    """Refuses a folder that holds something else than a site.

    Raises:
        NotADirectoryError: It is a file.
        ValueError: It has files, and is no site.
    """
    if places.root.is_file():
        raise NotADirectoryError(f"{places.root} is a file: name a folder for the site.")
    if not places.root.is_dir() or places.state.is_dir() or places.manifest.is_file():
        return
    # Files that a user writes before the first run belong to the site.
    others = sorted(one.name for one in places.root.iterdir() if one.name not in ("notes.toml", ".lock", ".DS_Store"))
    if others:
        raise ValueError(f"{places.root} is no site, and holds {others[0]!r}: choose another folder, or an empty one.")


def check(places: Places, old: SiteState | None, plan: Plan) -> None:
    """Refuses the site of another model.

    Raises:
        ValueError: The site is another model's.
    """
    there = old.model if old is not None else _published_model(places)
    if there is not None and there != plan.model:
        raise ValueError(f"{places.root} is the site of another model or preparation: choose another folder.")


def _published_model(places: Places) -> str | None:
    try:
        found = json.loads(places.manifest.read_text(encoding="utf-8"))["model"]["hash"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(found)


def joined(old: Sequence[LayerPlan], new: Sequence[LayerPlan], order: Sequence[str]) -> tuple[LayerPlan, ...]:
    """Returns the layers and units of two plans, in the order of the network."""
    found = {layer.name: layer for layer in old}
    for layer in new:
        there = found[layer.name].units if layer.name in found else ()
        found[layer.name] = LayerPlan(layer.name, layer.total, tuple(sorted({*there, *layer.units})))
    rank = {name: number for number, name in enumerate(order)}
    return tuple(sorted(found.values(), key=lambda layer: rank.get(layer.name, len(rank))))


def keep_images(places: Places, images: Sequence[str | os.PathLike[str]], old: SiteState | None) -> dict[str, str]:
    """Copies pictures for caricatures into the site's working files.

    Returns:
        Name -> hash of all of them, also of earlier runs.

    Raises:
        FileNotFoundError, ValueError: A picture cannot be read.
    """
    found = dict(old.images) if old is not None else {}
    for image in images:
        path = user_path(image)
        pixels = load_image(path)
        name, own = picture_name(path), hash_of([pixels.shape, pixels.tobytes().hex()])
        while found.get(name, own) != own:
            name += "_"
        target = caricature_source(places, name)
        if name not in found or not target.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            save(pixels, target, domain=(0, 1))
        found[name] = own
    return found


def data_key(plan: Plan, pictures: Pictures) -> str:
    """Returns a hash of all that decides the examples of a layer."""
    keys = [[entry.mark, entry.label] for entry in pictures.entries]
    return hash_of([plan.model, plan.settings.pictures_in_batch, keys])


def missing_tasks(places: Places, plan: Plan) -> list[Task]:
    """Returns what is missing of the tasks of a plan."""
    records = Records(places)
    return [left for task in plan.tasks() if (left := records.missing(task)) is not None]


def copy_missing(source: Places, target: Places) -> None:
    """Copies the working files and data that another folder has and a site lacks.

    Raises:
        FileNotFoundError: The other folder is no site.
        ValueError: It is a part of another model's site, or of one with other settings.
    """
    theirs, ours = read(source), read(target)
    if theirs is None:
        raise FileNotFoundError(f"{source.root} holds no part of a site.")
    if ours is not None and (theirs.model, theirs.settings) != (ours.model, ours.settings):
        raise ValueError(f"{source.root} is of another model or has other settings than {target.root}.")
    for top in (source.data, source.state):
        for path in sorted(top.rglob("*")):
            place = target.root / path.relative_to(source.root)
            if path.is_file() and not place.exists() and path.name != ".lock":
                place.parent.mkdir(parents=True, exist_ok=True)
                write_bytes(place, path.read_bytes())


def status(places: Places) -> Status:
    """Returns how much of a site exists.

    Raises:
        FileNotFoundError: The folder is no site.
    """
    state = read(places)
    if state is None:
        raise FileNotFoundError(f"{places.root} is no site that a run has begun.")
    plan = Plan(state.layers, state.techniques, state.settings, state.model, steps.parts_of(state.images))
    records = Records(places)
    done: dict[str, int] = {}
    total: dict[str, int] = {}
    for task in plan.tasks():
        left = records.missing(task)
        total[task.part] = total.get(task.part, 0) + task.amount
        done[task.part] = done.get(task.part, 0) + task.amount - (0 if left is None else left.amount)
    examples = sum(places.examples(layer.name).is_file() for layer in state.layers)
    return Status(state, done, total, examples, places.index.is_file() and done == total)
