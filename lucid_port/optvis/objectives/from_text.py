"""Objectives of texts: what the pictures of `lucid_port.optvis.grammar` mean for a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import singledispatch
from pathlib import Path
from typing import Any

import numpy as np

from converters.signatures import checked
from lucid_port.misc.io import loading
from lucid_port.modelzoo.classes import class_number, logits_layer, probabilities_layer
from lucid_port.optvis import grammar
from lucid_port.optvis.grammar import Channels, Classes, Direction, Dream, Picture, Range, Target, Term
from lucid_port.optvis.objectives import neurons
from lucid_port.optvis.objectives.base import Objective, reads_texts

__all__ = ["check_channels", "layers_of", "objective_of", "single_pictures", "text_objective"]


@reads_texts
@checked
def text_objective(text: str, model: Any = None) -> Objective:
    """Returns the objective of a text that names one picture.

    Args:
        text: As for `grammar.parse`.
        model: The model, which classes need.

    Raises:
        grammar.GrammarError: The text has another form, or names several pictures.
        ValueError: It names a class, and the model is missing, does not have it, or does not tell which layer has the
            classes.
        FileNotFoundError: The array of a direction does not exist.
    """
    return objective_of(grammar.parse_one(text), model)


def objective_of(picture: Picture, model: Any = None) -> Objective:
    """Returns the sum of a picture's terms; each names one unit. Arguments and errors as for `text_objective`."""
    terms = [_weighted(term, model) for term in picture.terms]
    objective = terms[0] if len(terms) == 1 else Objective.sum(terms)
    objective.text = str(picture)
    return objective


def _weighted(term: Term, model: Any) -> Objective:
    objective = _objective(term.target, model)
    return objective if term.weight == 1 else term.weight * objective


@singledispatch
def _objective(target: Target, model: Any) -> Objective:
    raise TypeError(f"{type(target).__name__} is no target of the grammar.")


@_objective.register
def _(target: Channels, model: Any) -> Objective:
    number = _only(target.ranges)
    if target.place is None:
        return neurons.channel(target.layer, number)
    if target.place == grammar.CENTER:
        return neurons.neuron(target.layer, number)
    if isinstance(target.place, tuple):
        return neurons.neuron(target.layer, number, *target.place)
    return neurons.token(target.layer, number, target.place)


@_objective.register
def _(target: Classes, model: Any) -> Objective:
    layer, is_softmax = _scores(target, model)
    label = _only(target.labels)
    known = label if not isinstance(label, str) or label in model.labels else class_number(model, label)
    make = neurons.class_logit if target.score == "logit" or is_softmax else neurons.class_probability
    return make(layer, known)


@_objective.register
def _(target: Direction, model: Any) -> Objective:
    array = loading.load(Path(target.path))  # a path, because a text may be an address
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiu" or array.ndim not in (1, 3):
        shape = f"shape {list(array.shape)}" if isinstance(array, np.ndarray) else type(array).__name__
        raise ValueError(
            f"{target.path} has no direction: it is an array of numbers [C], or of directions in a patch [h, w, C], "
            f"not of {shape}."
        )
    make = neurons.direction if array.ndim == 1 else neurons.tensor_direction
    return make(target.layer, array.astype(np.float32))


@_objective.register
def _(target: Dream, model: Any) -> Objective:
    return neurons.deepdream(target.layer)


def _scores(target: Classes, model: Any) -> tuple[str, bool]:
    """Returns the layer of the classes' scores, and whether it is a softmax."""
    if model is None:
        raise ValueError(
            f"{str(target)!r} needs a model, which knows its classes: give the text to render_vis or render_many, or "
            "use objectives.class_logit with the name of a layer."
        )
    after = probabilities_layer(model) if target.score == "prob" else None
    layer = logits_layer(model) if after is None else after
    layers = getattr(model.network, "layers", {})
    for word in (word for word, score in grammar.SCORES.items() if score == target.score):
        if word in layers and layers[word].name != layers[layer].name:
            raise ValueError(
                f"{str(target)!r} may mean a class or the model's layer {word!r}: write '\"{word}\":3' for a channel "
                f"of the layer, and name {layer!r} for a class."
            )
    return layer, after is not None


def _only(parts: Sequence[str | Range] | None) -> Any:
    """Returns the only number or label."""
    assert parts is not None
    (one,) = parts
    return one if isinstance(one, str) else one[0]


# Several pictures -------------------------------------------------------------------------------


def layers_of(picture: Picture, model: Any) -> tuple[str, ...]:
    """Returns the names of the layers that a picture reads, as the text names them."""
    return tuple(dict.fromkeys(_scores(t, model)[0] if isinstance(t, Classes) else t.layer for t in _targets(picture)))


def _targets(picture: Picture) -> list[Target]:
    return [term.target for term in picture.terms]


def single_pictures(picture: Picture, model: Any, channels_of: Callable[[str], int]) -> list[Picture]:
    """Returns a picture for each unit that a picture names, without repetitions.

    Args:
        picture: The picture.
        model: The model.
        channels_of: Returns the number of channels of a layer.

    Raises:
        ValueError: A channel does not exist.
    """
    (term, *others) = picture.terms
    if others or not isinstance(term.target, Channels | Classes):
        return [picture]
    if isinstance(term.target, Channels):
        numbers = _expanded(term.target.ranges, term.target.layer, channels_of)
        targets: list[Target] = [replace(term.target, ranges=((number, number),)) for number in numbers]
    else:
        layer, _ = _scores(term.target, model)
        targets = [replace(term.target, labels=(one,)) for one in _labels(term.target, layer, channels_of)]
    return [Picture((replace(term, target=target),)) for target in targets]


def _labels(target: Classes, layer: str, channels_of: Callable[[str], int]) -> list[str | Range]:
    if target.labels is None:
        return [(number, number) for number in range(channels_of(layer))]
    found: list[str | Range] = []
    for one in target.labels:
        found += [one] if isinstance(one, str) else [(n, n) for n in _expanded([one], layer, channels_of)]
    return list(dict.fromkeys(found))


def _expanded(ranges: Sequence[Range] | None, layer: str, channels_of: Callable[[str], int]) -> list[int]:
    count = channels_of(layer)
    check_channels(layer, [last for _, last in ranges or ()], count)
    if ranges is None:
        return list(range(count))
    return list(dict.fromkeys(number for first, last in ranges for number in range(first, last + 1)))


def check_channels(layer: str, numbers: Sequence[int], count: int | None) -> None:
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
