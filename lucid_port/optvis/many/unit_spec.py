"""The units to render: converts layers, ranges, pairs and objectives to a flat list."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeGuard

from lucid_port.misc import checks
from lucid_port.optvis import objectives, serialization
from lucid_port.optvis.objectives import Objective
from lucid_port.optvis.objectives.base import ObjectiveLike
from lucid_port.optvis.sampling import DEFAULT_SEED

__all__ = [
    "Channels",
    "Unit",
    "UnitsLike",
    "check_channels",
    "find_units",
    "identity",
    "name_of",
    "names_several",
    "parse_units",
]

UnitLike: TypeAlias = ObjectiveLike | tuple[str, int]
UnitsLike: TypeAlias = UnitLike | Iterable[UnitLike]
"""`"layer:*"`, `"layer:3,7,20-25"`, (layer, channel), an objective or a function of `T`, or a list of these."""

_RANGE = re.compile(r"(\d+)(?:\s*-\s*(\d+))?")
_SYNTAX = "write 'layer:*', or 'layer:' and numbers, as in 'mixed4a_pre_relu:3,7,20-25'"


def check_channels(layer: str, numbers: Iterable[int], count: int | None) -> None:
    """Checks that a layer has channels.

    Args:
        layer: Name of the layer.
        numbers: The channels, from 0 on.
        count: Number of channels of the layer; None if it is unknown.

    Raises:
        ValueError: The layer has no such channel.
    """
    missing = [number for number in numbers if count is not None and number >= count]
    if count is not None and missing:
        raise ValueError(f"There is no unit {missing[0]}: layer {layer!r} has channels 0..{count - 1}.")


def name_of(objective: Objective) -> str:
    """Returns an objective's description on one line."""
    return " ".join((objective.description or objective.name or "objective").split())


@dataclass(frozen=True)
class Unit:
    """One picture to make.

    Attributes:
        layers: Names of the layers that the objective reads; one for a channel.
        channel: Number of the channel; None for any other objective.
        objective: The objective.
        seed: Seed of the unit's own random draws.
    """

    layers: tuple[str, ...]
    channel: int | None
    objective: Objective
    seed: int = DEFAULT_SEED

    @property
    def layer(self) -> str:
        """Names of the layers, separated by commas."""
        return ", ".join(self.layers)

    @property
    def name(self) -> str:
        """`layer:channel`, or the objective's description."""
        if self.channel is not None:
            return f"{self.layer}:{self.channel}"
        return name_of(self.objective)

    @property
    def batches_with(self) -> tuple[tuple[str, ...], bool]:
        """Key that is equal for units that may share a batch, because they need the same part of the network."""
        return self.layers, self.channel is not None


@dataclass(frozen=True)
class Channels:
    """Requested channels of a layer; `ranges` is None for all channels."""

    layer: str
    ranges: tuple[tuple[int, int], ...] | None

    def numbers(self, count: int) -> list[int]:
        """Returns the requested channels of a layer with `count` channels, without repetitions.

        Raises:
            ValueError: The layer has no such channel.
        """
        ranges = ((0, count - 1),) if self.ranges is None else self.ranges
        check_channels(self.layer, [last for _, last in ranges], count)
        return list(dict.fromkeys(number for first, last in ranges for number in range(first, last + 1)))


def parse_units(units: UnitsLike) -> list[Channels | Objective]:
    """Parses a request for units, without a model.

    Args:
        units: `"layer:*"`, `"layer:10-19"`, `"layer:3,7,20-25"`, (layer, channel), an objective, a function of `T`, or
            a list of these.

    Raises:
        TypeError: `units` or one of its items has another type.
        ValueError: A string has another form, or the list is empty.
    """
    if isinstance(units, str) or callable(units) or _is_pair(units):
        return [_parse(units)]
    asked = checks.items(units, "units", f"a text, a (layer, channel) pair, an objective or a list of these: {_SYNTAX}")
    if not asked:
        raise ValueError(f"No units are given: {_SYNTAX}.")
    return [_parse(unit) for unit in asked]


def names_several(text: str) -> bool:
    """Returns whether an expression may name more than one unit.

    Raises:
        ValueError: The text does not have the form that `parse_units` accepts.
    """
    ranges = _parse_text(text).ranges
    return ranges is None or len(ranges) > 1 or ranges[0][0] != ranges[0][1]


def _is_pair(thing: object) -> TypeGuard[tuple[str, Any]]:
    return isinstance(thing, tuple) and len(thing) == 2 and isinstance(thing[0], str) and not isinstance(thing[1], str)


def _parse(unit: UnitLike) -> Channels | Objective:
    if isinstance(unit, str):
        return _parse_text(unit)
    if _is_pair(unit):
        number = checks.whole(unit[1], f"The channel in {checks.shown(unit)}", 0)
        return Channels(unit[0], ((number, number),))
    return objectives.as_objective(unit)  # type: ignore[arg-type]  # raises TypeError for another tuple


def _parse_text(text: str) -> Channels:
    layer, _, numbers = (part.strip() for part in text.rpartition(":"))
    if not layer:
        raise ValueError(f"{text!r} names no units: {_SYNTAX}.")
    if numbers == "*":
        return Channels(layer, None)
    return Channels(layer, tuple(_parse_range(part, text) for part in numbers.split(",")))


def _parse_range(part: str, text: str) -> tuple[int, int]:
    found = _RANGE.fullmatch(part.strip())
    if found is None:
        raise ValueError(f"{part.strip()!r} in {text!r} is no channel or range of channels: {_SYNTAX}.")
    first, last = int(found[1]), int(found[2] or found[1])
    if last < first:
        raise ValueError(f"The range {part.strip()!r} in {text!r} ends before it begins.")
    return first, last


def find_units(
    asked: Sequence[Channels | Objective],
    layer_of: Callable[[str], tuple[str, int]],
    layers_read: Callable[[Objective], Sequence[str]],
    seeds: Callable[[int], Sequence[int]],
) -> list[Unit]:
    """Returns the requested units in order, with their seeds.

    Args:
        asked: Result of `parse_units`.
        layer_of: Returns a layer's canonical name and its number of channels for a requested name.
        layers_read: Returns the names of the layers that an objective reads.
        seeds: Returns one seed for each of a number of units.

    Raises:
        ValueError: A channel does not exist, or a unit occurs twice with the same seed.
    """
    found: list[tuple[tuple[str, ...], int | None, Objective]] = []
    for one in asked:
        if isinstance(one, Objective):
            found.append((tuple(layers_read(one)), None, one))
            continue
        layer, count = layer_of(one.layer)
        found += [((layer,), number, objectives.channel(layer, number)) for number in one.numbers(count)]
    units = [Unit(*parts, seed) for parts, seed in zip(found, seeds(len(found)), strict=True)]
    seen: set[tuple[Any, ...]] = set()
    for unit in units:
        which = (unit.layers, unit.channel if unit.channel is not None else id(unit.objective), unit.seed)
        if which in seen:
            raise ValueError(
                f"{unit.name} is named twice with the seed {unit.seed}: name it once, or give it other seeds."
            )
        seen.add(which)
    return units


def is_comparable(unit: Unit) -> bool:
    """Returns whether a unit can be recognized in another run; a user's own code cannot."""
    try:
        return unit.channel is not None or bool(unit.objective.to_data())
    except serialization.NotSerialisable:
        return False


def identity(unit: Unit, number: int) -> str:
    """Returns a text that identifies a unit in a folder, the same in every run.

    Args:
        unit: The unit.
        number: Index of the unit, which identifies an objective without a plain-data form.
    """
    if unit.channel is not None:
        return f"{unit.name} seed {unit.seed}"
    try:
        data = json.dumps(unit.objective.to_data(), sort_keys=True)
        what = f"{unit.name[:80]} {hashlib.sha256(data.encode()).hexdigest()[:12]}"
    except serialization.NotSerialisable:
        what = f"{unit.name[:80]} (number {number})"
    return f"{what} seed {unit.seed}"
