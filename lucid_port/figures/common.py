"""What figures share: what they are asked for, what they render with, how units and classes are called."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from lucid_port.figures.base import Settings
from lucid_port.optvis.arguments import Model
from lucid_port.recipes.attribution import logits_layer
from lucid_port.recipes.inputs import activations_of, load_image, named_unit

__all__ = [
    "CAFFE",
    "INCEPTION",
    "SHOWN",
    "TILE",
    "TINY",
    "caffe_units",
    "channels_given",
    "class_of",
    "each_once",
    "enlargement",
    "for_models",
    "given",
    "likeliest",
    "lucid_units",
    "name_of",
    "render_options",
    "short",
    "tile",
]

INCEPTION = ("InceptionV1", "InceptionV1_seeded")
"""Models with the same names of layers and numbers of units; one of other units goes into each figure's options."""

CAFFE, TINY = "InceptionV1_caffe", "TinyInceptionV1"
"""InceptionV1 as trained with Caffe, with other units; and the network that comes with this package: InceptionV1's
layers at a quarter of their width, trained on drawings. Their units were found by looking."""

TILE = 112  # pixels that a caption needs
SHOWN = 224  # pixels that a long caption needs


def for_models(
    lucid: Iterable[str], caffe: Iterable[str], tiny: Iterable[str] = (), **more: Any
) -> dict[str, dict[str, Any]]:
    """What each model that a figure knows is asked for.

    Args:
        lucid: units of InceptionV1, by Lucid's names.
        caffe: of `CAFFE`.
        tiny: of `TINY`; none where it cannot make the figure's point.
        **more: other options, the same for all.
    """
    units = {**dict.fromkeys(INCEPTION, lucid), CAFFE: caffe, TINY: tiny}
    return {model: {"units": list(names), **more} for model, names in units.items() if names}


def lucid_units(numbers: str) -> list[str]:
    """Channels before their ReLU by Lucid's names: `"4a:476 4b:1"` for `mixed4a_pre_relu:476` and another."""
    return [f"mixed{unit.replace(':', '_pre_relu:')}" for unit in numbers.split()]


def caffe_units(numbers: str) -> list[str]:
    """Channels before their ReLU by the names of Caffe's InceptionV1: `"4a:476"` for `inception_4a_output_pre_relu`."""
    return [f"inception_{unit.replace(':', '_output_pre_relu:')}" for unit in numbers.split()]


def given(settings: Settings, wanted: str, least: int = 1, most: int | None = None) -> list[str]:
    """The figure's units, as many as it has a use for.

    Args:
        settings: of the figure.
        wanted: what they are, in words.
        least, most: how many.

    Raises:
        ValueError: it is given fewer, or more, or one of them twice.
    """
    units = [str(unit) for unit in settings.options["units"]]
    if len(units) < least or (most is not None and len(units) > most):
        raise ValueError(f"The figure takes {wanted}; {len(units)} given: {', '.join(units) or 'none'}.")
    return each_once(units)


def each_once(units: Sequence[str]) -> list[str]:
    """Units of a figure that has one picture for each.

    Raises:
        ValueError: one is named twice.
    """
    twice = [unit for number, unit in enumerate(units) if unit in units[:number]]
    if twice:
        raise ValueError(f"The figure takes each unit once: {twice[0]} is given twice.")
    return list(units)


def channels_given(settings: Settings) -> list[str]:
    """The figure's units where each is a channel, checked to exist before anything is rendered.

    Raises:
        ValueError: none is given, one is given twice, or one is not `layer:channel` or out of its layer's range.
        converters.LayerNotFoundError: there is no such layer.
    """
    units = given(settings, "units")
    for unit in units:
        named_unit(settings.model, unit)
    return units


def render_options(settings: Settings, size: int = 128) -> dict[str, Any]:
    """What recipes that render are called with, at the figure's own size unless the options have another."""
    return {
        "size": settings.options.get("size", size),
        "steps": settings.steps,
        "seed": settings.seed,
        "verbose": settings.verbose,
    }


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
    return int(one) if isinstance(one, str) and one.isdigit() else one


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
