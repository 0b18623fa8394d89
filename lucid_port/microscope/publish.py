"""The last steps of a run: receptive fields, crops, links, tuning curves and statistics become tables and pages.

What is computed for a layer is kept in `.state`, by a hash of all that decides it: a later run that adds layers,
techniques or pictures computes the rest alone.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file
from safetensors.numpy import save as as_safetensors

from converters.atomic import write_bytes
from converters.documents import read_toml
from lucid_port import __version__
from lucid_port.microscope import crops, curves, details, fields, links, maps, tables, wiring
from lucid_port.microscope.credits import read_credits
from lucid_port.microscope.examples import PooledLayer
from lucid_port.microscope.names import Places
from lucid_port.microscope.pictures import PICTURE_CHANNELS, Pictures
from lucid_port.microscope.plain_values import plain_json
from lucid_port.microscope.plan import LayerPlan, Plan, Records
from lucid_port.microscope.settings import hash_of
from lucid_port.microscope.site.pages import write_site
from lucid_port.microscope.tables import Site
from lucid_port.microscope.techniques import TECHNIQUES
from lucid_port.modelzoo.preprocessing import Preprocessing
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis.engine.coerce import layer_info

__all__ = ["Publisher"]

IMAGES = 4
"""Pictures on which receptive fields are measured."""

DTYPES = {"max": "float16", "mean": "float16", "place": "uint16"}

Part = Callable[[str], AbstractContextManager[None]]


@dataclass
class Publisher:
    """Writes the tables and pages of a site.

    Attributes:
        model: The model.
        places: The site.
        plan: Its plan.
        pictures: The data; None if the site has none.
        about: Description of the model.
        pooled: Layer -> its pooled activations; empty without data.
        data_key: Hash of all that decides the examples.
        families: Families of tuning curves.
        workers: Threads that cut crops.
        part: Context in which a named part runs, such as one that tells its seconds.
        say: Is told remarks.
    """

    model: Model
    places: Places
    plan: Plan
    pictures: Pictures | None
    about: Mapping[str, Any]
    pooled: Mapping[str, PooledLayer]
    data_key: str
    families: Mapping[str, curves.Family]
    workers: int
    part: Part
    say: Callable[[str], None]
    _sizes: Mapping[int, tuple[int, int]] = field(default_factory=dict)
    _problems: dict[int, str] = field(default_factory=dict)

    @property
    def layers(self) -> list[str]:
        return [layer.name for layer in self.plan.layers]

    def key(self) -> str:
        """Returns a hash of all that tables and pages show."""
        records = Records(self.places)
        done = [[task.part, task.layer, task.name, sorted(records.read(task))] for task in self.plan.tasks()]
        beside = [self.places.notes]
        if self.pictures is not None and self.pictures.source is not None:
            beside += [self.pictures.source / name for name in ("credits.toml", "credits.csv")]
        times = [one.stat().st_mtime_ns if one.is_file() else 0 for one in beside]
        settings, units = self.plan.settings.to_data(), [[layer.name, list(layer.units)] for layer in self.plan.layers]
        return hash_of(
            [__version__, self.plan.model, settings, units, done, self.data_key, times, self._family_key, self.removed]
        )

    def publish(self) -> Site:
        """Writes the tables, then the pages; pages alone if the tables are up to date."""
        done, key = self.places.state / "published.txt", self.key()
        is_done = self.places.manifest.is_file() and done.is_file() and done.read_text(encoding="utf-8") == key
        if not is_done:
            self._tables()
            write_bytes(done, key.encode())
        with self.part("pages"):
            write_site(self.places.root)
        self._tell_unknown_notes()
        return tables.open_site(self.places.root)

    def _tell_unknown_notes(self) -> None:
        """Tells which notes belong to no layer or unit of the site."""
        notes = read_toml(self.places.notes) if self.places.notes.is_file() else {}
        known = {layer.name for layer in self.plan.layers}
        known |= {f"{layer.name}:{unit}" for layer in self.plan.layers for unit in layer.units}
        unknown = [name for name in notes if name not in known]
        if unknown:
            self.say(f"notes.toml: {unknown[0]!r} is no layer or unit of the site{_more(len(unknown) - 1)}.")

    @cached_property
    def removed(self) -> list[str]:
        """Hashes of the pictures that were taken out of the site."""
        return sorted(tables.removed_hashes(self.places.root) if self.pictures is None else self.pictures.removed)

    @cached_property
    def labels(self) -> list[str | None]:
        """The label of each picture."""
        return [] if self.pictures is None else [self.pictures.label(number) for number in range(len(self.pictures))]

    # What is computed --------------------------------------------------------------------------

    def _tables(self) -> None:
        with self.part("receptive fields"):
            found = self._fields()
        shown = self._crop_layers(found)
        if self.pictures is not None and shown:
            with self.part("crops"):
                made = crops.write_crops(
                    self.places.root,
                    self.pictures,
                    list(shown.values()),
                    originals=self.plan.settings.originals,
                    workers=self.workers,
                )
            self._sizes, self._problems = made.sizes, dict(made.problems)
            self._remove_stale_originals()
            with self.part("maps"):
                size = self.plan.settings.pictures_in_batch
                maps.write_maps(self.model, self.pictures, self.places, shown, self.plan.model, size)
        with self.part("links"):
            linked = self._links()
        with self.part("tuning curves"):
            tuned = self._curves()
        with self.part("statistics"):
            rows = self._details(shown, linked, tuned)
        with self.part("tables"):
            self._write_tables(rows, found)

    def _remove_stale_originals(self) -> None:
        """Removes whole pictures that no page shows any more, as those of other data."""
        shown = set() if self.plan.settings.originals == "none" else {str(number) for number in self._sizes}
        for path in (self.places.data / "originals").glob("*.webp"):
            if path.stem not in shown:
                path.unlink()

    def _fields(self) -> dict[str, fields.Fields]:
        """Returns the receptive fields of all layers, measured on a few of the pictures."""
        data = self.pictures
        numbers = [] if data is None else np.linspace(0, len(data) - 1, IMAGES).round().astype(int).tolist()
        keys = [] if data is None else [data.entries[number].mark for number in numbers]
        paths = {layer: self._kept("fields", layer, [layer, keys]) for layer in self.layers}
        found = {}
        for layer, path in paths.items():
            one = _read_json(path)
            if one is not None:
                found[layer] = fields.Fields.from_data(one)
        rest = [layer for layer in self.layers if layer not in found]
        if rest:
            images = None if data is None else fields.some_images(data, IMAGES)
            for layer, value in fields.effective_fields(self.model, rest, images).items():
                _write(paths[layer], json.dumps(value.to_data()).encode())
                found[layer] = value
        return found

    def _crop_layers(self, found: Mapping[str, fields.Fields]) -> dict[str, crops.CropLayer]:
        layers = {layer.name: layer for layer in self.plan.layers if layer.name in self.pooled}
        return {
            name: crops.CropLayer(
                self.places.folder(name), tables.read_examples(self.places.examples(name)), found[name], layer.units
            )
            for name, layer in layers.items()
        }

    def _links(self) -> dict[tuple[str, str], links.Links]:
        """Returns the links between each layer and the next, where there are any."""
        found = {}
        for pair in zip(self.layers, self.layers[1:], strict=False):
            path = self._kept("links", "-".join(map(self.places.folder, pair)), list(pair), "safetensors")
            arrays = _read_arrays(path)
            if arrays is None:
                one = links.links_of(self.model, pair)[0].get(pair)
                arrays = {} if one is None else one.to_arrays()
                _write(path, as_safetensors(arrays))
            if arrays:
                found[pair] = links.Links.from_arrays(pair, arrays)
        return found

    @property
    def _family_key(self) -> list[Any]:
        return [[name, list(map(float, family.positions))] for name, family in self.families.items()]

    def _curves(self) -> dict[str, curves.Curves]:
        paths = {layer: self._kept("curves", layer, [layer, self._family_key], "safetensors") for layer in self.layers}
        arrays = {layer: _read_arrays(path) for layer, path in paths.items()}
        rest = [layer for layer, one in arrays.items() if one is None]
        made = curves.tuning_curves(self.model, rest, self.families) if rest and self._takes_stimuli else {}
        for layer in rest:
            values = dict(made[layer].values) if layer in made else {}
            arrays[layer] = values
            _write(paths[layer], as_safetensors({name: np.ascontiguousarray(one) for name, one in values.items()}))
        positions = {name: tuple(map(float, family.positions)) for name, family in self.families.items()}
        found = {}
        for layer, kept in arrays.items():
            if kept:  # in the order of the families, which a file does not keep
                found[layer] = curves.Curves(positions, {name: kept[name] for name in positions if name in kept})
        return found

    @property
    def _takes_stimuli(self) -> bool:
        """Whether the network takes pictures; networks of other channel counts have no stimuli."""
        return self.model.image_shape[-1] in PICTURE_CHANNELS

    def _details(
        self,
        shown: Mapping[str, crops.CropLayer],
        linked: Mapping[tuple[str, str], links.Links],
        tuned: Mapping[str, curves.Curves],
    ) -> list[dict[str, Any]]:
        """Writes the lists of all units; returns their rows."""
        similar = None
        rows: list[dict[str, Any]] = []
        everything = [[layer.name, list(layer.units)] for layer in self.plan.layers]
        for layer in self.plan.layers:
            key = hash_of([__version__, self.plan.model, self.data_key, everything, self._family_key, self._sizes_key])
            path = self.places.state / "details" / f"{self.places.folder(layer.name)}.json"
            kept = (_read_json(path) or {}).get(key)
            if kept is None or not self.places.details(layer.name).is_file():
                path.unlink(missing_ok=True)  # it describes the lists that are replaced now
                if similar is None and self.pooled:
                    units = {one.name: one.units for one in self.plan.layers}
                    similar = links.similar_units(self.pooled, units=units)
                made = self._details_of(layer, shown.get(layer.name), linked, tuned.get(layer.name), similar)
                tables.write_details(self.places.details(layer.name), made.details)
                kept = plain_json(list(made.rows))
                _write(path, json.dumps({key: kept}).encode())
            rows += kept
        return rows

    @cached_property
    def _sizes_key(self) -> str:
        return hash_of(sorted([number, *size] for number, size in self._sizes.items()))

    def _details_of(
        self,
        layer: LayerPlan,
        crop: crops.CropLayer | None,
        linked: Mapping[tuple[str, str], links.Links],
        tuned: curves.Curves | None,
        similar: Mapping[str, links.Similar] | None,
    ) -> details.LayerDetails:
        if crop is None or self.pictures is None:
            return details.details_without_pictures(layer.name, layer.units, links=linked, curves=tuned)
        return details.details_of(
            self.pooled[layer.name],
            crop,
            self.pictures.prepare,
            self._sizes,
            labels=self.labels,
            links=linked,
            similar=None if similar is None else similar[layer.name],
            curves=tuned,
        )

    # Tables ------------------------------------------------------------------------------------

    def _write_tables(self, rows: Iterable[dict[str, Any]], found: Mapping[str, fields.Fields]) -> None:
        values = self._values()
        tables.write_units(
            self.places.root,
            [
                {**row, **{f"value_{name}": one.get((row["layer"], row["unit"])) for name, one in values.items()}}
                for row in rows
            ],
        )
        pictures = [] if self.pictures is None else crops.picture_rows(self.pictures, self._sizes, self.labels)
        tables.write_pictures(self.places.root, pictures)
        tables.write_manifest(self.places.root, self._manifest(found))

    def _values(self) -> dict[str, dict[tuple[str, int], float]]:
        """Returns technique -> (layer, unit) -> the activation that a render reaches."""
        records = Records(self.places)
        found: dict[str, dict[tuple[str, int], float]] = {name: {} for name in self.plan.techniques}
        for task in self.plan.tasks():
            if task.technique is not None:
                found[task.technique] |= {(task.layer, unit): value for unit, value in records.values(task).items()}
        return found

    def _manifest(self, found: Mapping[str, fields.Fields]) -> dict[str, Any]:
        settings, model = self.plan.settings, self.model
        operations = wiring.operations(model, self.layers)
        positions = {name: list(map(float, family.positions)) for name, family in self.families.items()}
        return {
            "model": {
                "name": _name(model, self.about),
                "source": _public_source(self.about),
                "hash": self.plan.model,
                "image_shape": list(model.image_shape),
                "value_range": _value_range(model),
            },
            "preprocessing": self._preprocessing(),
            "settings": {**settings.to_data(), "tuning": positions, "removed": self.removed},
            "layers": [self._entry(layer, found[layer.name], operations) for layer in self.plan.layers],
            "graph": self._graph(operations),
            "techniques": {
                name: {
                    "title": TECHNIQUES[name].title,
                    "size": settings.size,
                    "steps": settings.steps,
                    "pictures": TECHNIQUES[name].count,
                }
                for name in self.plan.techniques
            },
            "pictures": 0 if self.pictures is None else len(self.pictures),
            "problems": {
                str(number): clause
                for number, clause in sorted({**self._problems, **problems_of(self.pooled, self.pictures)}.items())
            },
            "labels": sorted({label for label in self.labels if label is not None}),
            "credits": self._credits(),
            "versions": {"lucid_port": __version__, "torch": torch.__version__, "python": platform.python_version()},
        }

    def _preprocessing(self) -> dict[str, Any]:
        prepare = None if self.pictures is None else self.pictures.prepare
        if isinstance(prepare, Preprocessing):
            return {name: value for name, value in asdict(prepare).items() if value is not None}
        return {} if prepare is None else {"function": getattr(prepare, "__name__", type(prepare).__name__)}

    def _entry(self, layer: LayerPlan, found: fields.Fields, operations: Sequence[wiring.Operation]) -> dict[str, Any]:
        info = layer_info(self.model, layer.name)
        tokens = None if info is None or info.tokens is None else [*info.tokens.before, *info.tokens.after]
        has_places = found.kind != "whole"
        sizes = found.sizes[list(layer.units)]
        names = {name: digest for name, digest in self.plan.parts.items() if name.startswith("caricatures/")}
        pictures = [name.partition("/")[2] for name in names]
        return {
            "name": layer.name,
            "folder": self.places.folder(layer.name),
            "units": list(layer.units),
            "total_units": layer.total,
            "grid": list(found.grid),
            "axes": "" if info is None else info.axes or ("NCHW" if has_places else "NC"),
            "tokens": tokens,
            "field": {"size": float(np.median(sizes)), "stride": float(max(found.stride))} if has_places else None,
            "dtypes": self._dtypes(layer.name),
            "techniques": list(self.plan.techniques),
            "weights": wiring.weight_histogram(operations, layer.name),
            "deepdream": self.places.deepdream(layer.name).is_file(),
            "caricatures": [name for name in pictures if self.places.caricature(layer.name, name).is_file()],
        }

    def _dtypes(self, layer: str) -> dict[str, str]:
        if layer not in self.pooled:
            return dict(DTYPES)
        return {part: str(self.pooled[layer].array(part).dtype) for part in DTYPES}  # type: ignore[arg-type]

    def _graph(self, operations: Sequence[wiring.Operation]) -> dict[str, Any]:
        numbers = {one.name: number for number, one in enumerate(operations)}
        shown = set(self.layers)
        nodes = [
            {"name": one.name, "layer": self.places.folder(one.name) if one.name in shown else None, "op": one.op}
            for one in operations
        ]
        edges = [
            [numbers[source], number]
            for number, one in enumerate(operations)
            for source in one.inputs
            if source in numbers
        ]
        return {"nodes": nodes, "edges": edges}

    def _credits(self) -> dict[str, dict[str, str]]:
        if self.pictures is None or self.pictures.source is None:
            return {}
        found, unused = read_credits(self.pictures.source, [entry.key for entry in self.pictures.entries if entry.key])
        if unused:
            self.say(f"Credits for {unused[0]!r} stand for no picture{_more(len(unused) - 1)}.")
        return found

    # What is kept ------------------------------------------------------------------------------

    def _kept(self, kind: str, name: str, what: list[Any], suffix: str = "json") -> Path:
        """Returns the working file of a result, which depends on the model, its own hash, and this version."""
        safe = name if kind == "links" else self.places.folder(name)
        key = hash_of([__version__, self.plan.model, what])
        return self.places.state / kind / f"{safe[:120]}-{key}.{suffix}"


def problems_of(pooled: Mapping[str, PooledLayer], pictures: Pictures | None) -> dict[int, str]:
    """Returns number -> name and a clause of the pictures that cannot be read."""
    found = {number: clause for layer in pooled.values() for number, clause in layer.problems.items()}
    keys = {number: pictures.entries[number].key for number in found} if pictures is not None else {}
    return {number: f"{keys[number]}: {clause}" if keys.get(number) else clause for number, clause in found.items()}


def _value_range(model: Model) -> list[float]:
    low, high = model.image_value_range
    return [float(np.min(low)), float(np.max(high))]


def _name(model: Model, about: Mapping[str, Any]) -> str:
    """Returns the model's name; of a torch network that has none, its class."""
    name = about.get("name")
    if name and name != type(model).__name__:
        return str(name)
    return type(getattr(model.network, "module", model)).__name__


def _public_source(about: Mapping[str, Any]) -> str | None:
    """Returns what opens the model for anyone: an address or a function, but never a path of this machine."""
    source = about.get("source")
    return None if source is None or Path(str(source)).is_absolute() else str(source)


def _more(count: int) -> str:
    return f", nor do {count} further" if count else ""


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, data)


def _read_json(path: Path) -> Any:
    """Returns the content of a working file; None if it is missing or damaged."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _read_arrays(path: Path) -> dict[str, np.ndarray] | None:
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError):
        return None
