"""What several figures need: units by their names, their pictures, numbers as captions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from lucid_port.figures.base import Settings
from lucid_port.figures.common import each_once
from lucid_port.optvis import objectives
from lucid_port.recipes.feature_visualization import visualize

__all__ = ["enlarged", "grouped", "layer_and_units", "neuron_pictures", "split"]


def split(name: str) -> tuple[str, int]:
    """`"mixed3b:379"` as layer and channel.

    Raises:
        ValueError: it is no such name.
    """
    layer, colon, unit = str(name).rpartition(":")
    if not colon or not layer or not unit.isdecimal():
        raise ValueError(f"A unit is named 'layer:channel', such as 'mixed3b:379', not {name!r}.")
    return layer, int(unit)


def layer_and_units(names: Iterable[str]) -> tuple[str, list[int]]:
    """The layer that units have in common, and their channels.

    Raises:
        ValueError: there are none, a name is none, or they are of several layers.
    """
    parts = [split(name) for name in names]
    layers = sorted({layer for layer, _ in parts})
    if len(layers) != 1:
        raise ValueError(f"This figure shows units of one layer, not of {', '.join(layers) or 'none'}.")
    return layers[0], [unit for _, unit in parts]


def grouped(settings: Settings, option: str, otherwise: str) -> Mapping[str, Sequence[Any]]:
    """Groups of units by name: the user's own units as one group, the figure's groups where there are none."""
    own = settings.options.get("units")
    return {otherwise: list(own)} if own else settings.options[option]


def neuron_pictures(settings: Settings, names: Sequence[str], size: int = 64) -> np.ndarray:
    """The favourite picture of the neuron in the middle of each channel, [N, size, size, 3].

    The objective of Curve Detectors, Zoom In, and the articles around them: one neuron's picture shows one curve.

    Raises:
        ValueError: a name is none, or comes twice.
    """
    wanted = [objectives.neuron(*split(name)) for name in each_once(names)]
    size = settings.options.get("size", size)
    made = visualize(
        settings.model, wanted, size=size, steps=settings.steps, seed=settings.seed, verbose=settings.verbose
    )
    return made.pictures


def enlarged(picture: np.ndarray, height: int, width: int) -> np.ndarray:
    """A picture of few pixels, each repeated so often that it comes near a size (never beyond it, but for one each)."""
    rows, columns = max(1, height // picture.shape[0]), max(1, width // picture.shape[1])
    return np.repeat(np.repeat(picture, rows, 0), columns, 1)
