"""A picture's activations in a handful of groups of neurons: where each is, what it looks for, what it does.

Olah et al.: The Building Blocks of Interpretability (Distill, 2018), "Making things human-scale"; notebook
building-blocks/NeuronGroups. Activations are factored into non-negative parts, `[h w, C] = [h w, groups] [groups, C]`
(Lee and Seung, 1999; scikit-learn's NMF).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lucid_port.misc import checks
from lucid_port.misc.channel_reducer import ChannelReducer
from lucid_port.optvis import objectives
from lucid_port.optvis.engine.coerce import Model
from lucid_port.recipes.attribution import channel_attribution
from lucid_port.recipes.feature_visualization import visualize
from lucid_port.recipes.inputs import load_image, model_size, spatial_activations

__all__ = ["FACTOR", "NeuronGroups", "neuron_groups"]

FACTOR = ("activations", "attributions")
"""What may be factored: activations, or what they contribute to a class (where that is positive)."""

MOST_ITERATIONS = 2000


@dataclass(frozen=True)
class NeuronGroups:
    """Groups of neurons, from left to right in the picture.

    Attributes:
        layer: the layer.
        image: the picture, [H, W, 3].
        activations: [h, w, C].
        spatial: [h, w, groups], where each group is.
        channels: [groups, C], what each is made of.
        icons: [groups, size, size, 3]; none if they were not asked for.
        effects: class -> [groups], what each group contributes to it.
        error: length of what the groups leave out, over the length of the whole.
    """

    layer: str
    image: np.ndarray
    activations: np.ndarray
    spatial: np.ndarray
    channels: np.ndarray
    icons: np.ndarray
    effects: Mapping[Any, np.ndarray] = field(default_factory=dict)
    error: float = 0.0


def neuron_groups(
    model: Model,
    image: Any,
    layer: str,
    groups: int = 6,
    *,
    classes: Sequence[Any] = (),
    factor: str = "activations",
    logits: str | None = None,
    icons: bool = True,
    size: int = 80,
    steps: int = 512,
    seed: int = 0,
    batch_size: int | None = None,
    verbose: bool = False,
) -> NeuronGroups:
    """Groups of neurons that fire together on a picture.

    Args:
        model: the model.
        image: a path, or an array [H, W, C] in [0, 1]; resized to the model's own size.
        layer: a convolutional layer whose values are not negative (after its ReLU).
        groups: how many.
        classes: numbers or labels, for which each group's effect is computed.
        factor: see `FACTOR`; "attributions" takes those to the first of `classes`. Its effects on that class are then
            the groups' own sums; those on other classes are of the neurons that argue for it, by the groups' shares.
        logits: the layer of the classes' logits; that before the last softmax by default.
        icons: whether to render what each group looks for.
        size: height and width of the icons.
        steps, seed, batch_size, verbose: of the icons' renders, as for `render_many`.

    Raises:
        ValueError: the layer is fully connected or has negative values, a class does not exist, or there are more
            groups than channels.
        converters.LayerNotFoundError: there is no such layer.
    """
    if factor not in FACTOR:
        raise ValueError(f"factor is one of {', '.join(map(repr, FACTOR))}, not {checks.shown(factor)}.")
    classes = checks.items(classes, "classes", "a list of classes")
    if factor == "attributions" and not classes:
        raise ValueError("Attributions are those to a class: name it in classes.")
    pixels = load_image(image, model_size(model))
    activations = spatial_activations(model, pixels, layer)
    attributed = {one: channel_attribution(model, pixels, layer, one, logits=logits) for one in classes}
    fields = {one: found.field for one, found in attributed.items()}
    parts = activations if factor == "activations" else next(iter(fields.values())).clip(0)
    spatial, channels = _factored(parts, layer, checks.whole(groups, "groups", 1), seed)
    together = spatial @ channels
    if factor == "activations":
        effects = {one: _effects(field_, activations, spatial, channels) for one, field_ in fields.items()}
    else:
        first, *others = fields
        effects = {first: np.einsum("hwg,gc->g", spatial, channels)}
        effects |= {one: _effects(fields[one] * (parts > 0), together, spatial, channels) for one in others}
    whole = float(np.linalg.norm(parts)) or 1.0
    made = np.zeros((0, size, size, 3), np.float32)
    if icons:
        made = _icons(model, layer, channels, size, steps, seed, batch_size, verbose)
    return NeuronGroups(
        layer=layer,
        image=pixels,
        activations=activations,
        spatial=spatial,
        channels=channels,
        icons=made,
        effects=effects,
        error=float(np.linalg.norm(parts - together)) / whole,
    )


def _factored(parts: np.ndarray, layer: str, groups: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Spatial and channel factors, groups ordered by the column where each is strongest."""
    if groups > parts.shape[-1]:
        raise ValueError(f"Layer {layer!r} has {parts.shape[-1]} channels, which do not make {groups} groups.")
    if parts.min() < 0:
        raise ValueError(
            f"Layer {layer!r} has negative values (down to {parts.min():.3g}), which groups are not made of: take the "
            "layer after its ReLU."
        )
    reducer = ChannelReducer(groups, "NMF", random_state=seed, max_iter=MOST_ITERATIONS)
    spatial = reducer.fit_transform(parts)
    channels = np.asarray(reducer.components)
    peaks = spatial.reshape(-1, groups).argmax(0) % spatial.shape[1]
    order = np.argsort(peaks, kind="stable")
    return spatial[..., order].astype(np.float32), channels[order].astype(np.float32)


def _icons(
    model: Model, layer: str, channels: np.ndarray, size: int, steps: int, seed: int, batch_size: Any, verbose: bool
) -> np.ndarray:
    wanted = [objectives.direction(layer, factor) for factor in channels]
    options: dict[str, Any] = {"steps": steps, "seed": seed, "batch_size": batch_size, "verbose": verbose}
    return visualize(model, wanted, size=size, **options).pictures


def _effects(contributed: np.ndarray, parts: np.ndarray, spatial: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """What each group contributes: its share of each of the parts [h, w, C], times what that contributes."""
    by_share = np.divide(contributed, parts, out=np.zeros_like(contributed), where=parts != 0)
    return np.einsum("hwg,gc,hwc->g", spatial, channels, by_share)
