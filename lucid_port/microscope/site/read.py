"""Reads what the pages show from the tables and pictures of `data/`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from converters.documents import read_toml
from lucid_port.microscope.examples import Chosen
from lucid_port.microscope.names import Places
from lucid_port.microscope.site import content, sprites
from lucid_port.microscope.site.charts import kernel_picture
from lucid_port.microscope.tables import Details, LayerEntry, Site, SiteLayer

__all__ = ["Reader"]

SHOWN = 8
"""Units of a layer that the index shows."""
BINS = 48
"""Bins of a layer's histogram."""
ROUND = {"orientation", "hue"}
"""Families of stimuli that go round a circle, with positions in degrees."""
HALF_TURN = 180
CREDIT = ("title", "author", "license", "licence", "source")
"""Parts of a credit, in the order in which they are shown."""


class Reader:
    """What the pages of a site show.

    Args:
        site: The site's tables.
    """

    def __init__(self, site: Site) -> None:
        self.site, self.manifest = site, site.manifest
        self.entries = {entry["name"]: entry for entry in site.manifest["layers"]}
        self.places = Places(site.folder, {name: entry["folder"] for name, entry in self.entries.items()})
        self._refs: dict[tuple[str, int], content.UnitRef] = {}
        self._kept: tuple[str, dict[int, Details]] | None = None
        self._units = {name: set(entry["units"]) for name, entry in self.entries.items()}

    # What all pages need -------------------------------------------------------------------------

    @cached_property
    def rows(self) -> dict[tuple[str, int], dict[str, Any]]:
        """(layer, unit) -> its numbers."""
        return {(row["layer"], row["unit"]): row for row in self.site.units.to_pylist()}

    @cached_property
    def pictures(self) -> list[dict[str, Any]]:
        """The pictures, by number."""
        return sorted(self.site.pictures.to_pylist(), key=lambda row: row["number"])

    @cached_property
    def notes(self) -> dict[str, dict[str, str]]:
        """Name of a layer, or "layer:unit" -> the title and the note that the user gave.

        Raises:
            ValueError: `notes.toml` is not valid.
        """
        path = self.places.notes
        found = read_toml(path) if path.is_file() else {}
        for name, note in found.items():
            if not isinstance(note, dict) or not all(isinstance(text, str) for text in note.values()):
                raise ValueError(f'{path}: {name!r} is no table of texts; write ["{name}"] and below it note = "...".')
        return found

    @cached_property
    def credits(self) -> dict[str, str]:
        """Key of a picture -> its credit and license."""
        return {str(key): _credit(value) for key, value in self.manifest["credits"].items()}

    @cached_property
    def originals(self) -> set[str]:
        """Names of the whole pictures that the site holds."""
        folder = self.places.data / "originals"
        return {path.name for path in folder.iterdir()} if folder.is_dir() else set()

    @cached_property
    def layers(self) -> dict[str, content.LayerSummary]:
        """Layer -> its summary."""
        return {name: self._summary(entry) for name, entry in self.entries.items()}

    def path(self, place: Path) -> str:
        """Returns a file's path relative to the site, as an address."""
        return quote(place.relative_to(self.places.root).as_posix())

    def text(self, name: str, kind: str) -> str:
        """Returns the "title" or the "note" of a layer or unit, or ""."""
        return self.notes.get(name, {}).get(kind, "")

    def ref(self, layer: str, unit: int) -> content.UnitRef:
        """Returns a reference to a unit."""
        if (layer, unit) not in self._refs:
            self._refs[layer, unit] = self._new_ref(layer, unit)
        return self._refs[layer, unit]

    def _new_ref(self, layer: str, unit: int) -> content.UnitRef:
        there = unit in self._units.get(layer, ())
        page = self.path(self.places.page(layer, unit)) if there else None
        icon = self.path(sprites.icon_place(self.places, layer, unit)) if there else None
        return content.UnitRef(layer, unit, page, icon, self.text(f"{layer}:{unit}", "title"))

    def _summary(self, entry: LayerEntry) -> content.LayerSummary:
        name, weights, field = entry["name"], entry["weights"], entry["field"]
        rows = [self.rows[name, unit] for unit in entry["units"] if (name, unit) in self.rows]
        alive = [row for row in rows if not row["dead"]]
        best = sorted(alive, key=lambda row: -(row["selectivity"] or row["sparseness"] or 0))[:SHOWN]
        return content.LayerSummary(
            name=name,
            folder=entry["folder"],
            units=len(entry["units"]),
            total=entry["total_units"],
            grid=(entry["grid"][0], entry["grid"][1]),
            tokens=None if entry["tokens"] is None else len(entry["tokens"]),
            field=None if field is None else (round(field["size"]), round(field["stride"])),
            weights=None if weights is None else content.Histogram(weights["counts"], weights["low"], weights["high"]),
            deepdream=self.path(self.places.deepdream(name)) if entry["deepdream"] else None,
            caricatures={one: self.path(self.places.caricature(name, one)) for one in entry["caricatures"]},
            shown=[self.ref(name, row["unit"]) for row in sorted(best, key=lambda row: row["unit"])],
            title=self.text(name, "title"),
            note=self.text(name, "note"),
        )

    def _around(self, name: str) -> tuple[content.LayerSummary | None, content.LayerSummary | None]:
        names = list(self.entries)
        at = names.index(name)
        before = self.layers[names[at - 1]] if at else None
        return before, self.layers[names[at + 1]] if at + 1 < len(names) else None

    # Pages ---------------------------------------------------------------------------------------

    def model_page(self) -> content.ModelPage:
        """Returns the content of the index."""
        model, manifest = self.manifest["model"], self.manifest
        shape = " × ".join("any" if size is None else str(size) for size in model["image_shape"])
        low, high = model["value_range"]
        settings = {key: value for key, value in manifest["settings"].items() if not isinstance(value, (dict, list))}
        return content.ModelPage(
            name=model["name"],
            source=model["source"] or "",
            hash=model["hash"],
            facts={"Input": f"{shape}, values {low:g} to {high:g}", **_texts(manifest["preprocessing"])},
            settings=_texts(settings),
            layers=list(self.layers.values()),
            pictures=manifest["pictures"],
            problems=self._problems(),
            credits=self.credits,
            versions=manifest["versions"],
        )

    def _problems(self) -> dict[str, str]:
        """Returns the name of each picture that cannot be read -> a clause; removed pictures have no name."""
        named = {self._key(number): clause for number, clause in self.manifest["problems"].items()}
        return {key: clause.removeprefix(f"{key}: ") for key, clause in named.items() if key}

    def _key(self, number: str) -> str:
        known = number.isascii() and number.isdigit() and int(number) < len(self.pictures)
        return str(self.pictures[int(number)]["key"]) if known else number

    def layer_page(self, name: str) -> content.LayerPage:
        """Returns the content of a layer's page."""
        entry, details = self.entries[name], self._details(name)
        order = similarity_order(name, details, {unit: self._row(name, unit)["maximum"] for unit in details})
        icons = sprites.cells(self.places, name, entry["units"])
        units = []
        for unit in entry["units"]:
            row = self._row(name, unit)
            units.append(
                content.UnitSummary(
                    unit=unit,
                    page=f"{unit}.html",
                    icon=icons[unit],
                    maximum=row["maximum"],
                    sparseness=row["sparseness"],
                    selectivity=row["selectivity"],
                    best_class=row["best_class"],
                    order=order[unit],
                    dead=bool(row["dead"]),
                    title=self.text(f"{name}:{unit}", "title"),
                )
            )
        histogram = joined_histogram([found for one in details.values() if (found := _histogram(one))])
        before, after = self._around(name)
        has_classes = any(unit.selectivity is not None for unit in units)
        return content.LayerPage(self.layers[name], units, histogram, before, after, has_classes)

    def _details(self, layer: str) -> dict[int, Details]:
        """Returns the lists of a layer's units; those of the last layer are kept."""
        if self._kept is None or self._kept[0] != layer:
            self._kept = (layer, {unit: self.site[layer].details(unit) for unit in self.entries[layer]["units"]})
        return self._kept[1]

    def _row(self, layer: str, unit: int) -> dict[str, Any]:
        if (layer, unit) not in self.rows:
            raise ValueError(f"{self.places.units} has no row of unit {unit} of {layer!r}: make the tables again.")
        return self.rows[layer, unit]

    def unit_pages(self, name: str) -> Iterator[content.UnitPage]:
        """Yields the content of the pages of a layer's units."""
        entry, layer = self.entries[name], self.site[name]
        around = self._around(name)
        units = list(entry["units"])
        for at, unit in enumerate(units):
            before = self.ref(name, units[at - 1]) if at else None
            after = self.ref(name, units[at + 1]) if at + 1 < len(units) else None
            yield self._unit_page(layer, unit, (before, after), around)

    def _unit_page(
        self,
        layer: SiteLayer,
        unit: int,
        units: tuple[content.UnitRef | None, content.UnitRef | None],
        layers: tuple[content.LayerSummary | None, content.LayerSummary | None],
    ) -> content.UnitPage:
        name = layer.entry["name"]
        row, details = self._row(name, unit), self._details(name)[unit]
        renders = list(self._renders(layer.entry, unit, row))
        groups, cells = self._groups(layer, unit, details)
        crops = self.places.crops(name, unit)
        credits = {crop.credit: None for group in groups for crop in group.crops if crop.credit}
        return content.UnitPage(
            layer=self.layers[name],
            unit=unit,
            title=self.text(f"{name}:{unit}", "title"),
            note=self.text(f"{name}:{unit}", "note"),
            dead=bool(row["dead"]),
            maximum=row["maximum"],
            mean=row["mean"],
            minimum=row["minimum"],
            sparseness=row["sparseness"],
            selectivity=row["selectivity"],
            best_class=row["best_class"],
            dropped=max(0, (row["dropped"] or 0) - len(self.manifest["problems"])),
            field=row["field"],
            renders=renders,
            groups=groups,
            crops=self.path(crops) if crops.is_file() else None,
            crop_count=cells,
            maps=self._maps(name, unit),
            histogram=_histogram(details),
            believed=_believed(renders, row["maximum"]),
            classes={label: mean for label, mean in details.get("classes", ()) if mean is not None},
            curves=list(self._curves(details)),
            incoming=[self._link(*link) for link in details.get("in", ()) if link[2] is not None],
            outgoing=[self._link(*link) for link in details.get("out", ()) if link[2] is not None],
            similar=[content.Similar(self.ref(*one[:2]), one[2]) for one in details.get("similar", ()) if one[2]],
            previous=units[0],
            next=units[1],
            previous_layer=layers[0],
            next_layer=layers[1],
            credits=list(credits),
        )

    def _maps(self, name: str, unit: int) -> str | None:
        path = self.places.maps(name, unit)
        return self.path(path) if path.is_file() else None

    def _renders(self, entry: LayerEntry, unit: int, row: Mapping[str, Any]) -> Iterator[content.Render]:
        for technique in entry["techniques"]:
            path = self.places.render(entry["name"], technique, unit)
            size = sprites.size_of(path)
            if size is not None:
                facts = self.manifest["techniques"].get(technique, {})
                recipe = self.places.recipe(entry["name"], technique)
                yield content.Render(
                    technique=technique,
                    title=str(facts.get("title", technique)),
                    picture=self.path(path),
                    size=size,
                    value=row.get(f"value_{technique}"),
                    recipe=self.path(recipe) if recipe.is_file() else None,
                    steps=facts.get("steps"),
                )

    def _groups(self, layer: SiteLayer, unit: int, details: Details) -> tuple[list[content.ExampleGroup], int]:
        """Returns a unit's examples, and the number of cells in its sprite of crops."""
        if not self.places.examples(layer.entry["name"]).is_file():
            return [], 0
        examples = layer.examples
        chosen = {"Strongest": examples.top, "Weakest": examples.bottom}
        chosen |= {f"{q:g} %": one for q, one in examples.quantiles.items()}
        groups, column = [], 0
        for title, one in chosen.items():
            crops = list(self._crops(layer, one, unit, column, details))
            column += one.numbers.shape[1]
            groups.append(content.ExampleGroup(title, crops))
        return [group for group in groups if group.crops], column

    def _crops(
        self, layer: SiteLayer, chosen: Chosen, unit: int, first: int, details: Details
    ) -> Iterator[content.Crop]:
        boxes, cells = details.get("box", ()), details.get("cell", ())
        tokens = layer.entry["tokens"] or ()
        for at, number in enumerate(chosen.numbers[unit].tolist()):
            if number < 0:
                continue
            column, picture = first + at, self.pictures[number]
            box, cell = (values[column] if column < len(values) else None for values in (boxes, cells))
            size, place = (picture["width"], picture["height"]), int(chosen.places[unit, at])
            whole = self.places.original(number)
            yield content.Crop(
                column=column,
                number=number,
                value=float(chosen.values[unit, at]),
                label=picture["label"],
                cell=None if box is None or cell is None else _within(cell, box),
                box=None if box is None or not all(size) else _within(box, (0, 0, *size)),
                token=tokens[place] if tokens and cell is None and place < len(tokens) else None,
                whole=self.path(whole) if whole.name in self.originals else None,
                credit=self.credits.get(str(picture["key"]), ""),
            )

    def _curves(self, details: Details) -> Iterator[content.Curve]:
        positions = self.manifest["settings"].get("tuning", {})
        for family, values in details.get("tuning", {}).items():
            known = [0.0 if value is None else value for value in values]
            axis = positions.get(family) if isinstance(positions, Mapping) else None
            if family in ROUND and isinstance(axis, Sequence) and axis and float(axis[-1]) < HALF_TURN:
                known = known * 2  # lines look the same after half a turn
            ends = [str(axis[0]), str(axis[-1])] if isinstance(axis, Sequence) and axis else ["", ""]
            yield content.Curve(family, known, family in ROUND, *(_short(end) for end in ends))

    def _link(self, layer: str, unit: int, weight: float | None, cancels: bool, kernel: Any) -> content.Link:
        picture, shape = kernel_picture(kernel) if kernel else (None, (0, 0))
        return content.Link(self.ref(layer, unit), weight or 0.0, cancels, picture, shape)


def similarity_order(name: str, details: Mapping[int, Details], strength: Mapping[int, float | None]) -> dict[int, int]:
    """Returns each unit's rank in an order in which similar units are neighbors.

    The order starts with the strongest unit and goes on with the most similar unit that it has not visited.

    Args:
        name: The layer.
        details: Unit -> its lists.
        strength: Unit -> its strongest activation.
    """
    near: dict[int, dict[int, float]] = {unit: {} for unit in details}
    for unit, one in details.items():
        for layer, other, value in one.get("similar", ()):
            if layer == name and other in near and value is not None:
                near[unit][other] = near[other][unit] = value
    waiting = sorted(details, key=lambda unit: -(strength[unit] or 0))
    order: dict[int, int] = {}
    while len(order) < len(details):
        unit = next(one for one in waiting if one not in order)
        while unit not in order:
            order[unit] = len(order)
            free = {other: value for other, value in near[unit].items() if other not in order}
            unit = max(free, key=lambda other: free[other], default=unit)
        waiting = [one for one in waiting if one not in order]
    return order


def joined_histogram(parts: Sequence[content.Histogram]) -> content.Histogram | None:
    """Returns the histogram of all units of a layer; each bin is counted at its middle."""
    parts = [part for part in parts if part.total]
    if not parts:
        return None
    low, high = min(part.low for part in parts), max(part.high for part in parts)
    counts = np.zeros(BINS)
    for part in parts:
        middles = part.low + (np.arange(len(part.counts)) + 0.5) * (part.high - part.low) / len(part.counts)
        bins = ((middles - low) / ((high - low) or 1) * BINS).clip(0, BINS - 1).astype(int)
        np.add.at(counts, bins, part.counts)
    return content.Histogram(counts.tolist(), low, high)


def _histogram(details: Details) -> content.Histogram | None:
    found = details.get("histogram")
    if found is None or found["low"] is None or found["high"] is None:
        return None
    return content.Histogram(found["counts"], found["low"], found["high"])


def _believed(renders: Sequence[content.Render], maximum: float | None) -> list[content.Believed]:
    measured = [render for render in renders if render.value is not None]
    if maximum is None or not measured:
        return []
    found = [content.Believed("strongest example", maximum, None, is_data=True)]
    for render in measured:
        value = render.value or 0.0
        exceeds = maximum > 0 and "negative" not in render.technique  # those are to be below all data
        found.append(content.Believed(render.title, value, value / maximum if exceeds else None))
    return found


def _within(inner: Sequence[float], outer: Sequence[float]) -> content.Box:
    """Returns a box as fractions of another box."""
    width, height = (outer[2] - outer[0]) or 1, (outer[3] - outer[1]) or 1
    corners = (
        (inner[0] - outer[0]) / width,
        (inner[1] - outer[1]) / height,
        (inner[2] - outer[0]) / width,
        (inner[3] - outer[1]) / height,
    )
    x0, y0, x1, y1 = (min(1.0, max(0.0, one)) for one in corners)
    return x0, y0, x1, y1


def _credit(value: Any) -> str:
    if not isinstance(value, Mapping):
        return str(value)
    parts = [str(value[part]) for part in CREDIT if value.get(part)]
    return ", ".join(parts or [str(one) for one in value.values()])


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    """Returns settings as texts for people."""
    found = {}
    for key, value in values.items():
        if isinstance(value, (list, tuple)):
            value = " × ".join(_short(str(one)) for one in value)
        found[str(key).replace("_", " ").capitalize()] = str(value)
    return found


def _short(text: str) -> str:
    try:
        number = float(text)
    except ValueError:
        return text
    return f"{number:.3g}" if math.isfinite(number) else ""
