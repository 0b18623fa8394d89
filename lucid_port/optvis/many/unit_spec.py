"""The units to render: converts layers, ranges, pairs and objectives to a flat list."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeGuard

from converters import checks
from lucid_port.optvis import grammar, objectives, serialization
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.grammar import Channels, Picture, Term
from lucid_port.optvis.objectives import Objective
from lucid_port.optvis.objectives.base import ObjectiveLike
from lucid_port.optvis.objectives.from_text import layers_of, objective_of, single_pictures
from lucid_port.optvis.sampling import DEFAULT_SEED

__all__ = [
    "Unit",
    "UnitsLike",
    "find_units",
    "identity",
    "name_of",
    "names_several",
    "parse_units",
]

UnitLike: TypeAlias = ObjectiveLike | tuple[str, int]
UnitsLike: TypeAlias = UnitLike | Iterable[UnitLike]
"""A text of the grammar, such as `"layer:*"`, (layer, channel), an objective, a function of `T`, or a list of these."""

_SYNTAX = f"write {grammar.EXAMPLES}"


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
        weight: Factor of the channel, such as -1; 1 for any other objective.
        text: What the unit was named by, in the grammar; empty for an objective.
    """

    layers: tuple[str, ...]
    channel: int | None
    objective: Objective
    seed: int = DEFAULT_SEED
    weight: float = 1.0
    text: str = ""

    @property
    def layer(self) -> str:
        """Names of the layers, separated by commas."""
        return ", ".join(self.layers)

    @property
    def name(self) -> str:
        """`layer:channel` or another text of the grammar, or the objective's description."""
        return self.text or name_of(self.objective)

    @property
    def batches_with(self) -> tuple[tuple[str, ...], bool, float]:
        """Key that is equal for units that may share a batch, because they need the same part of the network."""
        return self.layers, self.channel is not None, self.weight


def parse_units(units: UnitsLike) -> list[Picture | Objective]:
    """Parses a request for units, without a model.

    Args:
        units: `"layer:*"`, `"layer:10-19"`, `"layer:3,7,20-25"` or another text of the grammar, (layer, channel), an
            objective, a function of `T`, or a list of these.

    Raises:
        TypeError: `units` or one of its items has another type.
        ValueError: A string has another form, or the list is empty.
    """
    if isinstance(units, str) or callable(units) or _is_pair(units):
        return _parse(units)
    asked = checks.items(units, "units", f"a text, a (layer, channel) pair, an objective or a list of these: {_SYNTAX}")
    if not asked:
        raise ValueError(f"No units are given: {_SYNTAX}.")
    return [one for unit in asked for one in _parse(unit)]


def names_several(text: str) -> bool:
    """Returns whether a text may name more than one picture.

    Raises:
        grammar.GrammarError: The text does not have a form of the grammar.
    """
    pictures = grammar.parse(text)
    return len(pictures) > 1 or pictures[0].is_several


def _is_pair(thing: object) -> TypeGuard[tuple[str, Any]]:
    return isinstance(thing, tuple) and len(thing) == 2 and isinstance(thing[0], str) and not isinstance(thing[1], str)


def _parse(unit: UnitLike) -> list[Picture | Objective]:
    if isinstance(unit, str):
        return list(grammar.parse(unit))
    if _is_pair(unit):
        number = checks.whole(unit[1], f"The channel in {checks.shown(unit)}", 0)
        return [Picture((Term(Channels(unit[0], ((number, number),))),))]
    return [objectives.as_objective(unit)]  # type: ignore[arg-type]  # raises TypeError for another tuple


def find_units(
    asked: Sequence[Picture | Objective],
    model: Model,
    layer_of: Callable[[str], tuple[str, int]],
    layers_read: Callable[[Objective], Sequence[str]],
    seeds: Callable[[int], Sequence[int]],
) -> list[Unit]:
    """Returns the requested units in order, with their seeds.

    Args:
        asked: Result of `parse_units`.
        model: The model.
        layer_of: Returns a layer's canonical name and its number of channels for a requested name.
        layers_read: Returns the names of the layers that an objective reads.
        seeds: Returns one seed for each of a number of units.

    Raises:
        ValueError: A channel does not exist, or a unit occurs twice with the same seed.
    """
    found: list[Unit] = []
    for one in asked:
        if isinstance(one, Objective):
            found.append(Unit(tuple(layers_read(one)), None, one, text=one.text))
        else:
            singles = single_pictures(one, model, lambda name: layer_of(name)[1])
            found += [_unit(single, model, layer_of) for single in singles]
    units = [replace(unit, seed=seed) for unit, seed in zip(found, seeds(len(found)), strict=True)]
    seen: set[tuple[Any, ...]] = set()
    for unit in units:
        which = (unit.text if unit.channel is not None else id(unit.objective), unit.seed)
        if which in seen:
            raise ValueError(
                f"{unit.name} is named twice with the seed {unit.seed}: name it once, or give it other seeds."
            )
        seen.add(which)
    return units


def _unit(picture: Picture, model: Model, layer_of: Callable[[str], tuple[str, int]]) -> Unit:
    """Returns the unit of a picture that names one unit in each term, with the layers' canonical names."""
    named = picture.with_layers(lambda name: layer_of(name)[0])
    objective = objective_of(named, model)
    (term, *others) = named.terms
    target = term.target
    if others or not isinstance(target, Channels) or target.place is not None:
        return Unit(layers_of(named, model), None, objective, text=str(named))
    assert target.ranges is not None
    number, factor = target.ranges[0][0], grammar.factor(term.weight)
    return Unit((target.layer,), number, objective, weight=term.weight, text=f"{factor}{target.layer}:{number}")


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
