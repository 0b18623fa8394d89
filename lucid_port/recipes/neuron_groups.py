"""Neuron groups: factors a picture's activations into groups, with their positions, icons and effects on classes.

Olah et al.: The Building Blocks of Interpretability (Distill, 2018), "Making things human-scale"; notebook
building-blocks/NeuronGroups. Activations are factored into non-negative matrices by scikit-learn's NMF (Lee and Seung,
1999): `[h w, C] = [h w, groups] [groups, C]`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converters import checks
from converters.signatures import checked
from lucid_port.misc.channel_reducer import ChannelReducer
from lucid_port.optvis import objectives
from lucid_port.optvis.engine.coerce import Model
from lucid_port.recipes.attribution import channel_attribution
from lucid_port.recipes.feature_visualization import visualize
from lucid_port.recipes.inputs import ClassLike, ImageLike, load_image, model_size, spatial_activations

__all__ = ["FACTOR", "NeuronGroups", "neuron_groups"]

FACTOR = ("activations", "attributions")
"""The factored values: activations, or their positive contributions to a class."""

MOST_ITERATIONS = 2000


@dataclass(frozen=True)
class NeuronGroups:
    """Groups of neurons, ordered from left to right in the picture.

    Attributes:
        layer: name of the layer.
        image: the picture, [H, W, 3].
        activations: [h, w, C].
        spatial: strength of each group at each position, [h, w, groups].
        channels: weight of each channel in each group, [groups, C].
        icons: feature visualization of each group, [groups, size, size, 3]; [0, size, size, 3] without icons.
        effects: class -> contribution of each group to it, [groups].
        error: norm of the residual of the factorization, relative to that of the factored values.
    """

    layer: str
    image: np.ndarray
    activations: np.ndarray
    spatial: np.ndarray
    channels: np.ndarray
    icons: np.ndarray
    effects: Mapping[ClassLike, np.ndarray] = field(default_factory=dict)
    error: float = 0.0


@checked
def neuron_groups(
    model: Model,
    image: ImageLike,
    layer: str,
    groups: int = 6,
    *,
    classes: Sequence[ClassLike] = (),
    factor: str = "activations",
    logits: str | None = None,
    icons: bool = True,
    size: int = 80,
    steps: int = 512,
    seed: int = 0,
    batch_size: int | None = None,
    verbose: bool = False,
) -> NeuronGroups:
    """Finds groups of neurons that are active together on a picture.

    Args:
        model: the model.
        image: a path, or an array [H, W, C] in [0, 1]; resized to the model's own size.
        layer: name of a convolutional layer without negative values (after its ReLU).
        groups: number of groups.
        classes: numbers or labels of classes, on which the effect of each group is computed.
        factor: see `FACTOR`. "attributions" factors the positive attributions to the first of `classes`. The effect
            of a group on this class is then the sum of its values. The effects on other classes count the neurons with
            positive attributions only, in proportion to the groups' shares.
        logits: the layer of the classes' logits; the one before the last softmax by default.
        icons: render an icon of each group.
        size: height and width of the icons in pixels.
        steps, seed, batch_size, verbose: settings of the icons' renders, as for `render_many`.

    Raises:
        ValueError: the layer is fully connected or has negative values, a class does not exist, or there are more
            groups than channels.
        converters.LayerNotFoundError: the layer does not exist.
        ImportError: scikit-learn is not installed.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> image = np.random.RandomState(0).uniform(size=(96, 96, 3))
        >>> found = neuron_groups(TinyInceptionV1(), image, "mixed4d", 2, classes=["heart"], icons=False)
        >>> found.spatial.shape, found.effects["heart"].shape
        ((6, 6, 2), (2,))
    """
    checks.choice(factor, "factor", FACTOR)
    classes = checks.items(classes, "classes", "a list of classes")
    if factor == "attributions" and not classes:
        raise ValueError("The attributions to factor are those to the first class: name it in classes.")
    pixels = load_image(image, model_size(model))
    activations = spatial_activations(model, pixels, layer)
    attributed = {one: channel_attribution(model, pixels, layer, one, logits=logits) for one in classes}
    fields = {one: found.field for one, found in attributed.items()}
    parts = activations if factor == "activations" else next(iter(fields.values())).clip(0)
    spatial, channels = _left_to_right(*nonnegative_factors(parts, layer, groups, seed))
    together = spatial @ channels
    if factor == "activations":
        effects = {one: _effects(field_, activations, spatial, channels) for one, field_ in fields.items()}
    else:
        first, *others = fields
        effects = {first: np.einsum("hwg,gc->g", spatial, channels)}
        effects |= {one: _effects(fields[one] * (parts > 0), together, spatial, channels) for one in others}
    error = float(np.linalg.norm(parts - together)) / (float(np.linalg.norm(parts)) or 1.0)
    made = np.zeros((0, size, size, 3), np.float32)
    if icons:
        wanted = [objectives.direction(layer, factor) for factor in channels]
        options: dict[str, Any] = {"steps": steps, "seed": seed, "batch_size": batch_size, "verbose": verbose}
        made = visualize(model, wanted, size=size, **options).pictures
    return NeuronGroups(layer, pixels, activations, spatial, channels, made, effects, error)


def nonnegative_factors(values: np.ndarray, layer: str, groups: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors values [..., C] of a layer by NMF into spatial factors [..., groups] and channel factors [groups, C].

    Raises:
        ValueError: there are more groups than channels, or a value is negative.
    """
    count = checks.whole(groups, "groups", 1)
    if count > values.shape[-1]:
        raise ValueError(f"Layer {layer!r} has {values.shape[-1]} channels, which do not make {count} groups.")
    if values.min() < 0:
        raise ValueError(
            f"Layer {layer!r} has negative values (down to {values.min():.3g}), which cannot be factored into groups: "
            "name the layer after its ReLU."
        )
    reducer = ChannelReducer(count, "NMF", random_state=seed, max_iter=MOST_ITERATIONS)
    return reducer.fit_transform(values), np.asarray(reducer.components)


def _left_to_right(spatial: np.ndarray, channels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The factors as float32, ordered by the column in which each is strongest."""
    peaks = spatial.reshape(-1, len(channels)).argmax(0) % spatial.shape[1]
    order = np.argsort(peaks, kind="stable")
    return spatial[..., order].astype(np.float32), channels[order].astype(np.float32)


def _effects(contributed: np.ndarray, parts: np.ndarray, spatial: np.ndarray, channels: np.ndarray) -> np.ndarray:
    """The contribution of each group, [groups].

    A group gets a share of each value's contribution: its share of the value of `parts`, [h, w, C].
    """
    by_share = np.divide(contributed, parts, out=np.zeros_like(contributed), where=parts != 0)
    return np.einsum("hwg,gc,hwc->g", spatial, channels, by_share)
