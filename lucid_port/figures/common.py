"""What figures share: what they are asked for and take, what they render with, how units and classes are called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lucid_port.figures.base import Settings, Takes
from lucid_port.optvis import objectives
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.objectives.base import parse_unit
from lucid_port.recipes.attribution import class_number, logits_layer
from lucid_port.recipes.feature_visualization import visualize
from lucid_port.recipes.inputs import activations_of, channels_of, load_image, named_unit

__all__ = [
    "CAFFE",
    "CHANNELS",
    "INCEPTION",
    "OF_ONE_LAYER",
    "ONE_LAYER",
    "SEEDED",
    "SHOWN",
    "TILE",
    "TINY",
    "a_class",
    "a_layer",
    "caffe_units",
    "class_of",
    "enlargement",
    "for_models",
    "layer_and_units",
    "likeliest",
    "lucid_units",
    "name_of",
    "neuron_pictures",
    "render_options",
    "short",
    "tile",
]

SEEDED = "InceptionV1_seeded"
INCEPTION = ("InceptionV1", SEEDED)
"""Models with the same names of layers and numbers of units, the second without labels; what another is asked for goes
into each figure's options."""

CAFFE, TINY = "InceptionV1_caffe", "TinyInceptionV1"
"""InceptionV1 as trained with Caffe, with other units; and the network that comes with this package: InceptionV1's
layers at a quarter of their width, trained on drawings. Their units were found by looking."""

TILE = 112  # pixels that a caption needs
SHOWN = 224  # pixels that a long caption needs


def for_models(
    lucid: Iterable[str],
    caffe: Iterable[str],
    tiny: Iterable[str] = (),
    seeded: Iterable[str] | None = None,
    **more: Any,
) -> dict[str, dict[str, Any]]:
    """What each model that a figure knows is asked for.

    Args:
        lucid: units of InceptionV1, by Lucid's names.
        caffe: of `CAFFE`.
        tiny: of `TINY`; none where it cannot make the figure's point.
        seeded: of `SEEDED`, where those of InceptionV1 name classes by their labels.
        **more: other options, the same for all.
    """
    units = {**dict.fromkeys(INCEPTION, lucid), CAFFE: caffe, TINY: tiny}
    units |= {} if seeded is None else {SEEDED: seeded}
    return {model: {"units": list(names), **more} for model, names in units.items() if names}


def lucid_units(numbers: str) -> list[str]:
    """Channels before their ReLU by Lucid's names: `"4a:476 4b:1"` for `mixed4a_pre_relu:476` and another."""
    return [f"mixed{unit.replace(':', '_pre_relu:')}" for unit in numbers.split()]


def caffe_units(numbers: str) -> list[str]:
    """Channels before their ReLU by the names of Caffe's InceptionV1: `"4a:476"` for `inception_4a_output_pre_relu`."""
    return [f"inception_{unit.replace(':', '_output_pre_relu:')}" for unit in numbers.split()]


# What units are ----------------------------------------------------------------------------------


def a_layer(model: Model, name: str) -> str:
    """A layer's name.

    Raises:
        converters.LayerNotFoundError: there is no such layer.
    """
    channels_of(model, name)
    return name


def a_class(model: Model, name: str) -> int:
    """A class's number, from itself or from a label.

    Raises:
        ValueError: there is no such class, or the label names several.
    """
    number, count = class_number(model, class_of(name)), channels_of(model, logits_layer(model))
    if number >= count:
        raise ValueError(f"There is no class {number}: the model has classes 0..{count - 1}.")
    return number


CHANNELS = Takes("units, layer:channel", [named_unit])
OF_ONE_LAYER = Takes("units of one layer, layer:channel", [named_unit])
ONE_LAYER = Takes("a layer", [a_layer], most=1)


def layer_and_units(names: Iterable[str]) -> tuple[str, list[int]]:
    """The layer that units have in common, and their channels.

    Raises:
        ValueError: there are none, a name is none, or they are of several layers.
    """
    parts = [parse_unit(name) for name in names]
    layers = sorted({layer for layer, _ in parts})
    if len(layers) != 1:
        raise ValueError(f"This figure shows units of one layer, not of {', '.join(layers) or 'none'}.")
    return layers[0], [unit for _, unit in parts]


# Renders -----------------------------------------------------------------------------------------


def render_options(settings: Settings, size: int = 128) -> dict[str, Any]:
    """What recipes that render are called with, at the figure's own size unless the options have another."""
    return {
        "size": settings.options.get("size", size),
        "steps": settings.steps,
        "seed": settings.seed,
        "verbose": settings.verbose,
    }


def neuron_pictures(settings: Settings, names: Sequence[str], size: int = 64) -> np.ndarray:
    """The favourite picture of the neuron in the middle of each channel, [N, size, size, 3].

    The objective of Curve Detectors, Zoom In, and the articles around them: one neuron's picture shows one curve.

    Raises:
        ValueError: a name is none.
    """
    wanted = [objectives.neuron(*parse_unit(name)) for name in names]
    return visualize(settings.model, wanted, **render_options(settings, size)).pictures


# Captions ----------------------------------------------------------------------------------------


def short(unit: str) -> str:
    """A unit or layer as the articles write it, without what models add to its name."""
    layer, colon, number = unit.partition(":")
    layer = layer.split("/")[0].removesuffix("_pre_relu").removesuffix("_output")
    layer = layer.removeprefix("inception_").removeprefix("mixed")
    return f"{layer}{colon}{number}"


def tile(picture: np.ndarray) -> np.ndarray:
    """A picture, enlarged if it is too small for its caption."""
    return picture if picture.shape[0] >= TILE else load_image(picture, TILE)


def enlargement(picture: np.ndarray) -> int:
    """How many times larger a picture of a model's size is shown: one of few pixels is too narrow for its caption."""
    return max(1, SHOWN // picture.shape[1])


def class_of(one: Any) -> Any:
    """A class of the command line: a number if it is one, else a label."""
    return int(one) if isinstance(one, str) and one.isdecimal() else one


def name_of(model: Model, one: Any) -> str:
    """A class's label without its synonyms; its number where the model has no labels."""
    if isinstance(one, str):
        return one
    try:
        return str(model.labels[one]).split(",")[0]
    except (RuntimeError, IndexError):
        return f"class {one}"


def likeliest(model: Model, picture: np.ndarray, count: int) -> list[int]:
    """Classes of a picture, the likeliest first."""
    layer = logits_layer(model)
    return [int(number) for number in np.argsort(-activations_of(model, picture, [layer])[layer].ravel())[:count]]
