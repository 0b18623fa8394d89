"""Techniques: how the units of a layer are rendered. A registry, so that more can be added."""

from __future__ import annotations

import functools
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from converters.signatures import checked
from lucid_port.microscope.settings import Settings
from lucid_port.microscope.wiring import before_activation
from lucid_port.misc.io.pictures import read_picture
from lucid_port.misc.io.serialize_array import METADATA_KEY
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import objectives
from lucid_port.optvis.engine.formats import find_format, size_for
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.grammar import CENTER, Channels, Picture, Term
from lucid_port.optvis.many.setup import each_for_itself
from lucid_port.optvis.recipe import Recipe
from lucid_port.optvis.render_many import render_many
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.feature_visualization import DIVERSITY
from lucid_port.recipes.steps import run

__all__ = ["DEFAULT", "TECHNIQUES", "Made", "Technique", "register"]


@dataclass(frozen=True)
class Made:
    """The pictures of one unit.

    Attributes:
        unit: Number of the unit.
        pictures: uint8 [n, height, width, channels].
        recipe: JSON text of the recipe that `lucid-port rerender` reads; empty if there is none.
    """

    unit: int
    pictures: np.ndarray
    recipe: str = ""


Render: TypeAlias = Callable[[Model, str, Sequence[int], Settings, Path], Iterator[list[Made]]]
"""(model, layer, units, settings, folder for working files) -> batches of finished pictures."""


@checked
@dataclass(frozen=True)
class Technique:
    """How the units of a layer are rendered.

    Attributes:
        name: Name of its folder.
        title: Name on pages.
        render: Yields the pictures of units, batch by batch.
        count: Number of pictures of a unit; they stand side by side in one file.
    """

    name: str
    title: str
    render: Render
    count: int = 1


TECHNIQUES: dict[str, Technique] = {}
"""Name -> technique."""

DEFAULT = ("channel", "channel-negative")
"""Techniques that a site has by default."""


@checked
def register(technique: Technique) -> Technique:
    """Adds a technique, which a site can then name.

    Raises:
        ValueError: There is one of this name.
    """
    if technique.name in TECHNIQUES:
        raise ValueError(f"There is a technique {technique.name!r} already: choose another name.")
    TECHNIQUES[technique.name] = technique
    return technique


@checked
def named_techniques(names: Sequence[str]) -> tuple[str, ...]:
    """Returns names of techniques, each once; "all" stands for all.

    Raises:
        ValueError: There is no such technique.
    """
    unknown = [name for name in names if name not in TECHNIQUES and name != "all"]
    if unknown:
        raise ValueError(f"There is no technique {unknown[0]!r}; there are {', '.join(TECHNIQUES)}, and all.")
    return tuple(dict.fromkeys(one for name in names for one in (TECHNIQUES if name == "all" else [name])))


# One picture of each unit -----------------------------------------------------------------------


def _by_render_many(text: Callable[[Model, str, int], str]) -> Render:
    """Returns a technique's function that renders a text of the grammar for each unit."""

    def render(
        model: Model, layer: str, units: Sequence[int], settings: Settings, folder: Path
    ) -> Iterator[list[Made]]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # of units that never fire, which their pages say
            renders = render_many(
                model,
                [text(model, layer, unit) for unit in units],
                size=render_size(model, layer, settings),
                steps=settings.steps,
                seed=settings.seed,
                batch_size=settings.batch_size,
                output=folder,
                verbose=False,
            )
        if renders.interrupted:
            raise KeyboardInterrupt
        size = settings.batch_size
        for start in range(0, len(renders), size):
            part = zip(units[start : start + size], renders[start : start + size], strict=True)
            yield [_from_file(unit, one.path) for unit, one in part if one.path is not None]

    return render


def _from_file(unit: int, path: Path) -> Made:
    picture = read_picture(path)
    return Made(unit, np.asarray(picture)[None], picture.info.get(METADATA_KEY, ""))


def render_size(model: Model, layer: str, settings: Settings) -> int | None:
    """Returns the size of a layer's renders; None for the network's own, if the layer takes no other."""
    return size_for(model, layer, settings.size)


def _text(layer: str, unit: int, weight: float = 1.0, place: str | None = None) -> str:
    return str(Picture((Term(Channels(layer, ((unit, unit),), place), weight),)))


register(
    Technique("channel", "Channel, positive", _by_render_many(lambda model, layer, unit: _text(layer, unit))),
)
register(
    Technique(
        "channel-negative",
        "Channel, negative",
        # Behind a ReLU no value is negative.
        _by_render_many(lambda model, layer, unit: _text(before_activation(model, layer), unit, -1.0)),
    )
)
register(Technique("neuron", "Neuron", _by_render_many(lambda model, layer, unit: _text(layer, unit, place=CENTER))))


# Several pictures of each unit ------------------------------------------------------------------

DIVERSE = 4
"""Pictures of a unit that differ in style."""


def _diverse(model: Model, layer: str, units: Sequence[int], settings: Settings, folder: Path) -> Iterator[list[Made]]:
    """Renders several pictures of each unit, several units in a batch: those of a unit differ from each other."""
    at_once = max(1, settings.batch_size // DIVERSE)
    size = render_size(model, layer, settings)
    for start in range(0, len(units), at_once):
        batch = units[start : start + at_once]
        vis = _diverse_vis(model, layer, batch, size, settings.seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)
            run(vis, settings.steps)
        pictures = (np.nan_to_num(vis.image()).clip(0, 1) * 255).astype(np.uint8)
        rows = np.split(pictures, len(batch))
        recipes = [Recipe.of(vis, steps=settings.steps, picture=at * DIVERSE) for at in range(len(batch))]
        made = zip(batch, rows, recipes, strict=True)
        yield [Made(unit, own, json.dumps(recipe.to_data())) for unit, own, recipe in made]


def _diverse_vis(model: Model, layer: str, units: Sequence[int], size: int | None, seed: int) -> VisT:
    other = layer.removesuffix("_pre_relu")
    wanted = [objectives.channel(layer, unit) - DIVERSITY * objectives.diversity(other) for unit in units]
    seeds = [seed + number for number in range(DIVERSE)] * len(units)
    format = find_format(model, [objectives.deepdream(layer)], None if size is None else (size, size))
    make = functools.partial(format.image, len(seeds))
    source = RandomSource(seeds=seeds, shared=seed)
    return VisT(
        model,
        each_for_itself(wanted, DIVERSE),
        make,
        transforms=format.transforms(None),
        relu_gradient_override=True,
        seed=source,
    )


register(Technique("diversity", "Four diverse pictures", _diverse, DIVERSE))
