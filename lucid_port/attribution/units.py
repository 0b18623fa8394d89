"""Units of a network by name: the targets of attributions, and neurons."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch

from converters import checks
from converters.errors import LayerNotFoundError, nearest_names
from lucid_port.modelzoo.classes import class_number, logits_layer, probabilities_layer
from lucid_port.modelzoo.layouts import Layout, layout_of
from lucid_port.modelzoo.missing import MissingListError
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import grammar
from lucid_port.optvis.engine.coerce import layer_info
from lucid_port.recipes.inputs import LayerValue, channels_of, read_layers

__all__ = ["TargetLike", "Unit", "checked_unit", "find_targets", "named_neuron", "score_layers"]

TargetLike: TypeAlias = str | int | Sequence[str | int] | None
"""A label, `LAYER:NUMBER`, `LAYER:LABEL`, the number of a class, one of these for each picture; None for the top class.
"""


@dataclass(frozen=True)
class Unit:
    """A channel of a layer.

    Attributes:
        layer: name of the layer.
        number: the channel.
        place: (row, column), (time, row, column), a token, or `grammar.CENTER`; None for the sum over all places.
        label: name of the class, if the unit is one.

    Example:
        >>> str(Unit("mixed4d", 8)), str(Unit("mixed4d", 8, (2, 3))), str(Unit("softmax2", 1, label="spiral"))
        ('mixed4d:8', 'mixed4d:8[2,3]', 'softmax2:1')
    """

    layer: str
    number: int
    place: grammar.Place = None
    label: str | None = None

    def __str__(self) -> str:
        return str(grammar.Channels(self.layer, ((self.number, self.number),), self.place))

    def of(self, value: torch.Tensor, layout: Layout) -> torch.Tensor:
        """Returns the unit's values, (N,).

        Args:
            value: the layer's value, (N, C, ...).
            layout: the layout of the layer.

        Raises:
            ValueError: the layer does not have the place.
        """
        channel = value[:, self.number]
        if self.place is None:
            return channel.flatten(1).sum(1) if channel.dim() > 1 else channel
        index: tuple[int | slice, ...] = (slice(None), *self.indices(channel, layout))
        return channel[index]

    def indices(self, channel: torch.Tensor, layout: Layout) -> tuple[int, ...]:
        """Returns the indices of the place in a channel (N, ...).

        Raises:
            ValueError: the layer does not have the place.
        """
        sizes = channel.shape[1:]
        place = self.place
        if place == grammar.CENTER and sizes:
            if layout.grid is not None and len(sizes) == 1:
                rows, columns = layout.grid
                return (len(layout.before) + rows // 2 * columns + columns // 2,)
            return tuple(size // 2 for size in sizes)
        if isinstance(place, (int, str)) and layout.positions == "L":
            return (layout.token(place, sizes[0]),)
        if isinstance(place, tuple) and len(place) == 2 and layout.grid is not None and len(sizes) == 1:
            rows, columns = layout.grid
            if place[0] < rows and place[1] < columns:
                return (len(layout.before) + place[0] * columns + place[1],)
        elif isinstance(place, tuple) and len(place) == len(sizes):
            indices = place[::-1] if layout.positions == "WH" else place
            if all(index < size for index, size in zip(indices, sizes, strict=True)):
                return indices
        shape = " x ".join(map(str, layout.grid or sizes)) or "no"
        raise ValueError(f"Layer {self.layer!r} has no place [{_place_text(place)}]: it has {shape} places.")


def _place_text(place: grammar.Place) -> str:
    return ",".join(map(str, place)) if isinstance(place, tuple) else str(place)


# Reading -----------------------------------------------------------------------------------------


def first_axes(model: Model, name: str, value: torch.Tensor, size: tuple[int, int], count: int) -> LayerValue:
    """Returns a layer's value with its layout, checked to have one row for each image.

    Args:
        model: the model.
        name: name of the layer.
        value: the network's own tensor.
        size: (height, width) of the images in pixels.
        count: number of images.

    Raises:
        ValueError: the layer joins or splits images.
        converters.ChannelAxisError: the axes of the layer are not known.
    """
    layout = layout_of(layer_info(model, name), name, value, size, count)
    found = LayerValue(value, layout, count)
    rows = len(found.first)
    if rows != count:
        raise ValueError(
            f"Layer {name!r} has {rows} rows for {count} image{'s' * (count != 1)}, so that a value does not belong to "
            "one image: name another layer."
        )
    return found


def pieces_of(model: Model, layer: str) -> tuple[str, ...]:
    """Returns the layers that a layer joins beside the network's own path, or the layer itself.

    Lucid's joins before ReLUs, such as `mixed4a_pre_relu`, lead nowhere: later layers read their parts.
    """
    program = getattr(model.network, "program", None)
    if program is None:
        return (layer,)
    name = model.network.layers[layer].name
    step = next((step for step in program.steps if step.name == name), None)
    read = {source.node for one in program.steps for source in one.inputs}
    if step is None or step.layer != "Concat" or name in read:
        return (layer,)
    return tuple(str(source) for source in step.inputs)


# Texts -------------------------------------------------------------------------------------------


def _has_layer(model: Model, name: str) -> bool:
    """Returns whether the model lists a layer; `LAYER:NUMBER`, which may be an output of an op, is a unit here."""
    if ":" in name and name not in set(getattr(model.network, "layers", ())):
        return False
    try:
        return layer_info(model, name) is not None
    except LayerNotFoundError:
        return False


def _layers_in(model: Model, text: str) -> Iterator[tuple[str, str]]:
    """Yields (layer, rest) for each colon of a text behind the name of a layer, the longest name first."""
    for at in sorted((at for at, letter in enumerate(text) if letter == ":"), reverse=True):
        layer = text[:at].strip()
        if len(layer) > 1 and layer[0] == layer[-1] and layer[0] in "\"'":
            layer = layer[1:-1]
        if _has_layer(model, layer):
            yield layer, text[at + 1 :].strip()


def _numbered(layer: str, rest: str) -> Unit | None:
    """Returns the unit of a layer if the rest is a number, with or without a place; None if it is another text.

    Raises:
        ValueError: the rest names several units.
    """
    if not rest[:1].isdigit():
        return None
    try:
        (picture,) = grammar.parse(f"{grammar.quoted(layer)}:{rest}")
    except ValueError:
        return None
    target = picture.terms[0].target
    if len(picture.terms) > 1 or not isinstance(target, grammar.Channels) or target.ranges is None:
        return None
    if picture.is_several:
        raise ValueError(f"{layer}:{rest} names several units: name one, as in {layer}:{target.ranges[0][0]}.")
    return Unit(layer, target.ranges[0][0], target.place)


def checked_unit(model: Model, unit: Unit) -> Unit:
    """Returns a unit with its label, if it is a class.

    Raises:
        ValueError: the layer has no such channel.
    """
    count = channels_of(model, unit.layer)
    if not 0 <= unit.number < count:
        raise ValueError(f"Layer {unit.layer!r} has no unit {unit.number}: its units are 0 to {count - 1}.")
    labels = _labels(model)
    is_class = unit.label is None and unit.place is None and labels is not None and len(labels) == count
    if is_class and unit.layer in score_layers(model):
        assert labels is not None
        return Unit(unit.layer, unit.number, None, str(labels[unit.number]))
    return unit


def _labels(model: Model) -> Sequence[str] | None:
    try:
        return model.labels
    except MissingListError:
        return None


def score_layers(model: Model) -> tuple[str | None, str | None]:
    """Returns the layers of the classes' logits and of their probabilities; None for those that are not known."""
    found: list[str | None] = []
    for find in (logits_layer, probabilities_layer):
        try:
            found.append(find(model))
        except ValueError:
            found.append(None)
    return found[0], found[1]


def _score_layer(model: Model, score: str = "logit") -> str:
    """Returns the layer of the classes' logits or probabilities.

    Raises:
        ValueError: the network has no layer with a score for each class.
    """
    try:
        found = logits_layer(model) if score == "logit" else probabilities_layer(model)
    except ValueError as error:
        raise ValueError(f"{str(error).rstrip('.')}; give the target as LAYER:NUMBER.") from None
    if found is None:
        raise ValueError("The network has no softmax layer for prob: to read. Without prob:, the target is a logit.")
    return found


def _of_class(model: Model, label: str | int, layer: str) -> Unit:
    number = class_number(model, label)
    labels, count = _labels(model), channels_of(model, layer)
    if isinstance(label, str) and labels is not None and len(labels) != count:
        raise ValueError(
            f"Layer {layer!r} has {count} units, and the labels name {len(labels)} classes: give a number, as in "
            f"{grammar.quoted(layer)}:0."
        )
    own = str(labels[number]) if isinstance(label, str) and labels is not None else None
    return checked_unit(model, Unit(layer, number, label=own))


def _named(model: Model, text: str) -> Unit:
    """Returns the unit that a text names.

    Raises:
        ValueError: there is no such class, layer or channel; the error names the nearest ones.
    """
    text = text.strip()
    for layer, rest in _layers_in(model, text):
        unit = _numbered(layer, rest)
        if unit is not None:
            return checked_unit(model, unit)
        if rest and not rest.lstrip("-").isdigit():
            return _of_class(model, rest, layer)
        raise ValueError(f"{text!r} names no unit of layer {layer!r}: a unit is a number from 0 on, or a label.")
    word, colon, label = text.partition(":")
    if colon and word in grammar.SCORES:
        label = label.strip().strip("\"'")
        return _of_class(model, int(label) if label.isdigit() else label, _score_layer(model, grammar.SCORES[word]))
    if colon and not _is_label(model, text):
        known = getattr(model.network, "layers", {})
        raise LayerNotFoundError(word, known)
    if _has_layer(model, text):
        raise ValueError(f"{text!r} is a layer: name one of its units, as in {grammar.quoted(text)}:0.")
    if text.isdigit():
        return _of_class(model, int(text), _score_layer(model))
    if _labels(model) is None:
        near = nearest_names(text, getattr(model.network, "layers", {}))
        raise ValueError(f"The model has no labels, so {text!r} is no target: give LAYER:NUMBER.{near}")
    return _of_class(model, text, _score_layer(model))


def _is_label(model: Model, text: str) -> bool:
    return text.lower() in (str(label).lower() for label in _labels(model) or ())


def named_neuron(model: Model, text: str) -> Unit | None:
    """Returns the unit that the argument `layer` names; None if it names a whole layer.

    Raises:
        converters.LayerNotFoundError: there is no such layer.
        ValueError: the layer has no such channel, or the text names several.
    """
    if _has_layer(model, text):
        return None
    for layer, rest in _layers_in(model, text):
        unit = _numbered(layer, rest)
        if unit is None:
            raise ValueError(f"{text!r} names no neuron of layer {layer!r}: write {grammar.quoted(layer)}:0.")
        return checked_unit(model, unit)
    raise LayerNotFoundError(text.partition(":")[0], getattr(model.network, "layers", {}))


# Targets -----------------------------------------------------------------------------------------


def find_targets(model: Model, target: TargetLike, images: torch.Tensor) -> list[Unit]:
    """Returns the target of each image.

    Args:
        model: the model.
        target: see `TargetLike`.
        images: (N, C, H, W).

    Raises:
        ValueError: there is no such unit, or not one target for each image.
        TypeError: a target is neither a text nor a number.
        converters.LayerNotFoundError: there is no such layer.
    """
    count = len(images)
    if target is None:
        return _top_classes(model, images)
    if isinstance(target, str) or not isinstance(target, Sequence):
        return [_target(model, target)] * count
    if len(target) != count:
        raise ValueError(f"There are {len(target)} targets for {count} pictures: give one for each, or one for all.")
    return [_target(model, one) for one in target]


def _target(model: Model, target: object) -> Unit:
    if isinstance(target, str):
        return _named(model, target)
    return _of_class(model, checks.whole(target, "A target, if it is not a text,", 0), _score_layer(model))


def _top_classes(model: Model, images: torch.Tensor) -> list[Unit]:
    layer = _score_layer(model)
    tops = []
    with torch.no_grad():
        for image in images.split(1):
            value = read_layers(model, image, [layer])[layer]
            scores = first_axes(model, layer, value.value, _size(image), 1).first
            if scores.dim() != 2:
                shape = " x ".join(map(str, scores.shape[1:]))
                raise ValueError(
                    f"The network's output {layer!r} has no single score for a class, but {shape} values: give the "
                    "target as LAYER:NUMBER, or as LAYER:NUMBER[ROW,COLUMN] for one place."
                )
            tops.append(int(scores[0].argmax()))
    return [checked_unit(model, Unit(layer, number)) for number in tops]


def _size(images: torch.Tensor) -> tuple[int, int]:
    return images.shape[2], images.shape[3]
