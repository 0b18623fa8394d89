"""Shared parts of figures: options per model, kinds of units, render settings, and captions of units and classes."""

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
from lucid_port.recipes.inputs import ClassLike, activations_of, channels_of, load_image, named_unit

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
    "class_label",
    "class_of",
    "enlargement",
    "for_models",
    "layer_and_units",
    "likeliest",
    "lucid_units",
    "names_of",
    "neuron_pictures",
    "render_options",
    "short",
    "tile",
]

SEEDED = "InceptionV1_seeded"
INCEPTION = ("InceptionV1", SEEDED)
"""Models with the same layers and channels, the second without labels. Options for other models are in each figure."""

CAFFE, TINY = "InceptionV1_caffe", "TinyInceptionV1"
"""InceptionV1 as trained with Caffe, whose units differ, and the network in this package, which has InceptionV1's
layers at a quarter of their width and was trained on drawings. Their units in the figures were picked by eye."""

TILE = 112  # width of a picture with a caption, in pixels
SHOWN = 224  # width of a picture with a long caption, in pixels


def for_models(
    lucid: Iterable[str],
    caffe: Iterable[str],
    tiny: Iterable[str] = (),
    seeded: Iterable[str] | None = None,
    **more: Any,
) -> dict[str, dict[str, Any]]:
    """The options of a figure for each model.

    Args:
        lucid: units of the models of `INCEPTION`, by Lucid's names.
        caffe: units of `CAFFE`.
        tiny: units of `TINY`; empty if this network cannot show the figure's subject.
        seeded: units of `SEEDED`, if they differ from those of InceptionV1; empty if it has no options.
        **more: further options, the same for all models.
    """
    units = {**dict.fromkeys(INCEPTION, lucid), CAFFE: caffe, TINY: tiny}
    units |= {} if seeded is None else {SEEDED: seeded}
    return {model: {"units": list(names), **more} for model, names in units.items() if names}


def lucid_units(numbers: str) -> list[str]:
    """Channels before their ReLU by Lucid's names: `"4a:476"` becomes `mixed4a_pre_relu:476`."""
    return [f"mixed{unit.replace(':', '_pre_relu:')}" for unit in numbers.split()]


def caffe_units(numbers: str) -> list[str]:
    """Channels before their ReLU in `CAFFE`: `"4a:476"` becomes `inception_4a_output_pre_relu:476`."""
    return [f"inception_{unit.replace(':', '_output_pre_relu:')}" for unit in numbers.split()]


# Kinds of units ---------------------------------------------------------------------------------


def a_layer(model: Model, name: str) -> str:
    """Checks that a layer exists, and returns its name.

    Raises:
        converters.LayerNotFoundError: the layer does not exist.
    """
    channels_of(model, name)
    return name


def a_class(model: Model, name: str) -> int:
    """The number of a class, given as a number or a label.

    Raises:
        ValueError: the class does not exist, or several classes have the label.
    """
    number, count = class_number(model, class_of(name)), channels_of(model, logits_layer(model))
    if number >= count:
        raise ValueError(f"There is no class {number}: the model has classes 0..{count - 1}.")
    return number


CHANNELS = Takes("units, layer:channel", [named_unit])
OF_ONE_LAYER = Takes("units of one layer, layer:channel", [named_unit])
ONE_LAYER = Takes("a layer", [a_layer], most=1)


def layer_and_units(names: Iterable[str]) -> tuple[str, list[int]]:
    """The common layer of units `"layer:channel"`, and their channels.

    Raises:
        ValueError: there are no units, a name has another form, or the units are of several layers.
    """
    parts = [parse_unit(name) for name in names]
    layers = sorted({layer for layer, _ in parts})
    if len(layers) != 1:
        raise ValueError(f"The figure shows units of one layer, not of {', '.join(layers) or 'none'}: name such units.")
    return layers[0], [unit for _, unit in parts]


def names_of(layer: str, units: Iterable[int]) -> list[str]:
    """`"layer:channel"` of each channel of a layer."""
    return [f"{layer}:{unit}" for unit in units]


# Renders -----------------------------------------------------------------------------------------


def render_options(settings: Settings, size: int = 128) -> dict[str, Any]:
    """Arguments for recipes that render. The option `size` replaces the figure's default size."""
    return {
        "size": settings.options.get("size", size),
        "steps": settings.steps,
        "seed": settings.seed,
        "verbose": settings.verbose,
    }


def neuron_pictures(settings: Settings, names: Sequence[str], size: int = 64) -> np.ndarray:
    """Renders the neuron in the middle of each channel, [N, size, size, 3].

    Curve Detectors, Zoom In and related articles use this objective, because the picture of a neuron shows one curve.

    Raises:
        ValueError: a name has another form than `"layer:channel"`.
    """
    wanted = [objectives.neuron(*parse_unit(name)) for name in names]
    return visualize(settings.model, wanted, **render_options(settings, size)).pictures


# Captions ----------------------------------------------------------------------------------------


def short(unit: str) -> str:
    """The name of a unit or layer as in the articles, without the prefixes and suffixes of models."""
    layer, colon, number = unit.partition(":")
    layer = layer.split("/")[0].removesuffix("_pre_relu").removesuffix("_output")
    layer = layer.removeprefix("inception_").removeprefix("mixed")
    return f"{layer}{colon}{number}"


def tile(picture: np.ndarray) -> np.ndarray:
    """A picture, enlarged to `TILE` if it is smaller."""
    return picture if picture.shape[0] >= TILE else load_image(picture, TILE)


def enlargement(picture: np.ndarray) -> int:
    """The factor by which a picture of a model's size is enlarged, so that it is wide enough for its caption."""
    return max(1, SHOWN // picture.shape[1])


def class_of(one: ClassLike) -> ClassLike:
    """A class from the command line: an int if the text is a number, else a label."""
    return int(one) if isinstance(one, str) and one.isdecimal() else one


def class_label(model: Model, one: ClassLike) -> str:
    """The label of a class without its synonyms, or its number if the model has no labels."""
    if isinstance(one, str):
        return one
    try:
        return str(model.labels[one]).split(",")[0]
    except (RuntimeError, IndexError):
        return f"class {one}"


def likeliest(model: Model, picture: np.ndarray, count: int) -> list[int]:
    """Returns the numbers of the most likely classes of a picture, in descending order of their logits."""
    layer = logits_layer(model)
    return [int(number) for number in np.argsort(-activations_of(model, picture, [layer])[layer].ravel())[:count]]
