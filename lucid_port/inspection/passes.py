"""One forward and one backward pass of a network over a picture, for all layers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from converters import checks
from lucid_port.attribution.isolation import evaluating, seeded
from lucid_port.attribution.pictures import PhotoLike, load_photos
from lucid_port.attribution.units import Unit, checked_unit, find_targets, first_axes, pieces_of, score_layers
from lucid_port.inspection.measures import Gradients, TopClass
from lucid_port.microscope.plan import default_layers
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis.engine.coerce import layer_info
from lucid_port.recipes.inputs import LayerValue, read_layers

__all__ = ["Passes", "checked_layers", "pass_over"]

ROUNDING = 1e-4
"""Largest difference from 1 of a sum of probabilities."""

SEED = 0
"""Seed of the draws of networks that are random also in evaluation mode."""


@dataclass(frozen=True)
class Passes:
    """The values of layers for one picture.

    Attributes:
        photo: the prepared picture, float32 [H, W, C] in [0, 1].
        values: layer -> its value, without a gradient.
        classes: all classes, the most probable first; empty if the network has no single score for each class, or no
            gradients are asked for.
        gradients: of the target; None if there is no target, or none was asked for.
        obstacle: the reason why there is no target; empty if there is one.
    """

    photo: np.ndarray
    values: Mapping[str, LayerValue]
    classes: tuple[TopClass, ...]
    gradients: Gradients | None
    obstacle: str


def checked_layers(model: Model, layers: Iterable[str] | None) -> list[str]:
    """Returns the layers to inspect; by default Lucid's list, or the outputs of blocks.

    Raises:
        converters.LayerNotFoundError: there is no such layer.
        TypeError, ValueError: `layers` is no list of names, is empty, or names a layer twice.
    """
    if layers is None:
        names = default_layers(model)
        if not names:
            raise ValueError("The model has no layers whose number of channels is known: name layers.")
        return names
    given = [layers] if isinstance(layers, str) else checks.items(layers, "layers", "a list of names of layers")
    names = [checks.text(name, "A layer", "the name of a layer") for name in given]
    if not names:
        raise ValueError("layers is empty: name at least one layer, or leave it out.")
    for name in names:
        layer_info(model, name)
        if names.count(name) > 1:
            raise ValueError(f"The layer {name!r} is named twice: name it once.")
    return names


def pass_over(
    model: Model,
    photo: PhotoLike,
    layers: Sequence[str],
    target: str | int | None = None,
    *,
    prepare: bool = True,
    with_gradients: bool = False,
) -> Passes:
    """Reads layers for a picture in one forward pass, and their gradients in one backward pass.

    Args:
        model: the model.
        photo: one picture; see `attribute`.
        layers: names of layers that exist.
        target: the unit of the gradients; None for the top class.
        prepare: see `attribute`.
        with_gradients: whether gradients are computed.

    Raises:
        TypeError, ValueError, FileNotFoundError: the picture or the target does not fit the model.
        converters.LayerNotFoundError: the target's layer does not exist.
        converters.InputSizeError: a layer cannot be computed at this size.
    """
    images = load_photos(model, photo, prepare)
    if len(images) != 1:
        raise ValueError(f"One picture is inspected at a time, not {len(images)}: pass them one by one.")
    with evaluating(model), seeded(SEED, images.device), torch.set_grad_enabled(with_gradients):
        unit = find_targets(model, target, images)[0] if target is not None else None
        image = images.detach().clone().requires_grad_(with_gradients)
        logits, probabilities = score_layers(model) if with_gradients else (None, None)
        pieces = {layer: pieces_of(model, layer) for layer in layers} if with_gradients else {}
        names = [*layers, *(one for group in pieces.values() for one in group), logits, probabilities]
        names += [] if unit is None else [unit.layer]
        read = read_layers(model, image, list(dict.fromkeys(name for name in names if name is not None)))
        scores = {name: _scores(read[name]) for name in (logits, probabilities) if name is not None}
        classes = _classes(model, logits, probabilities, scores)
        found, obstacle = None, ""
        if with_gradients:
            unit, obstacle = (unit, "") if unit is not None else _top_unit(model, scores)
            found = None if unit is None else _gradients(model, unit, read, image, pieces)
    values = {layer: read[layer].holding(read[layer].value.detach()) for layer in layers}
    return Passes(images[0].movedim(0, -1).float().cpu().numpy(), values, classes, found, obstacle)


# Classes -----------------------------------------------------------------------------------------


def _scores(value: LayerValue) -> Tensor | None:
    """Returns the score of each class, (C,); None if the layer has no single score for each."""
    first = value.first.detach()
    return first[0].float() if first.dim() == 2 and len(first) == 1 else None


def _classes(
    model: Model, logits: str | None, probabilities: str | None, scores: Mapping[str, Tensor | None]
) -> tuple[TopClass, ...]:
    """Returns all classes, the most probable first."""
    own = None if logits is None else scores[logits]
    shares = None if probabilities is None else scores[probabilities]
    if shares is None and own is not None and _is_distribution(own):
        own, shares, probabilities = None, own, logits
    elif shares is not None and probabilities is not None and "log" in model.network.layers[probabilities].op.lower():
        shares = shares.exp()
    if shares is None and own is not None:
        shares = own.softmax(0)
    if shares is None or len(shares) < 2:
        return ()
    layer = logits if own is not None else probabilities
    assert layer is not None
    found = []
    for number in torch.argsort(shares, descending=True, stable=True).tolist():
        label = checked_unit(model, Unit(layer, number)).label
        found.append(TopClass(number, label, float(shares[number]), None if own is None else float(own[number])))
    return tuple(found)


def _is_distribution(scores: Tensor) -> bool:
    """Returns whether scores are probabilities: networks may end in a softmax that is a module inside another."""
    return bool((scores >= 0).all()) and abs(float(scores.sum()) - 1) < ROUNDING


def _top_unit(model: Model, scores: Mapping[str, Tensor | None]) -> tuple[Unit | None, str]:
    """Returns the unit of the top class, or the reason why there is none."""
    for layer, values in scores.items():
        if values is not None:
            return checked_unit(model, Unit(layer, int(values.argmax()))), ""
    return None, (
        "The network has no single score for each class, so gradients need a target: a unit as LAYER:NUMBER, or "
        "LAYER:NUMBER[ROW,COLUMN] for one place."
    )


# Gradients ---------------------------------------------------------------------------------------


def _gradients(
    model: Model, unit: Unit, read: Mapping[str, LayerValue], image: Tensor, pieces: Mapping[str, tuple[str, ...]]
) -> Gradients:
    """Returns the gradients of a unit with respect to the picture and to layers, by one backward pass."""
    own = read[unit.layer]
    value = first_axes(model, unit.layer, own.value, (image.shape[2], image.shape[3]), 1)
    score = unit.of(value.first, value.layout).sum()
    sources = {"": [image], **{layer: [read[name].value for name in names] for layer, names in pieces.items()}}
    known = [one for group in sources.values() for one in group if one.requires_grad]
    computed: dict[int, Tensor | None] = {}
    if score.requires_grad:
        found = torch.autograd.grad(score, known, allow_unused=True)
        computed = {id(source): gradient for source, gradient in zip(known, found, strict=True)}
    channels, missing = {}, {}
    for layer, group in sources.items():
        parts = [computed.get(id(one)) for one in group]
        if layer and all(part is None for part in parts):
            missing[layer] = _reason(unit, layer, own.value, read[layer].value, image)
        elif layer:
            layout = read[layer].layout
            whole = [torch.zeros_like(one) if part is None else part for one, part in zip(group, parts, strict=True)]
            joined = whole[0] if len(whole) == 1 else torch.cat(whole, layout.axes.index("C"))
            magnitudes = layout.channels_first(joined).abs().float()
            channels[layer] = magnitudes.transpose(0, 1).flatten(1).mean(1).cpu().numpy()
    pixels = computed.get(id(image))
    pixels = torch.zeros_like(image) if pixels is None else pixels
    picture = np.ascontiguousarray(pixels[0].movedim(0, -1).float().cpu().numpy())
    return Gradients(str(unit), unit.label, float(score.detach()), picture, channels, missing)


def _reason(unit: Unit, layer: str, target: Tensor, value: Tensor, image: Tensor) -> str:
    """Returns the sentence that says why a layer has no gradient."""
    if not target.requires_grad or not _leads_to(image, target):
        return f"The target {unit} does not depend on the picture by a gradient."
    if _leads_to(target, value):
        return f"Layer {layer!r} comes after the target {unit}."
    return f"The target {unit} does not depend on layer {layer!r}."


def _leads_to(source: Tensor, value: Tensor) -> bool:
    """Returns whether the graph of automatic differentiation leads from a tensor to another; nothing is computed."""
    waiting, seen = [value.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        if node is source.grad_fn or getattr(node, "variable", None) is source:
            return True
        seen.add(node)
        waiting += [following for following, _ in node.next_functions]
    return False
