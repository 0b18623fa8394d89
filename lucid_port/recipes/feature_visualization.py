"""Feature visualization: Lucid's `recipes.feature_visualization`, and the objectives of the article of that name.

Olah, Mordvintsev, Schubert: Feature Visualization (Distill, 2017), https://distill.pub/2017/feature-visualization.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.modelzoo.layer import Layer
from lucid_port.optvis import objectives, param, transform
from lucid_port.optvis.engine.coerce import Model, TransformsLike
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.objectives import Objective
from lucid_port.optvis.objectives.base import Activations
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.render_many import render_many
from lucid_port.recipes.inputs import ClassLike, ObjectiveLike, check_units, model_size
from lucid_port.recipes.steps import run

__all__ = [
    "Facets",
    "FeatureVisualization",
    "channel",
    "diversity",
    "layer",
    "logit",
    "negative_and_positive",
    "neuron",
    "probability",
    "visualize",
]

ALPHA_BLUR = 0.1
DIVERSITY = 100.0
"""Weight of the difference between pictures of one unit, relative to the unit."""

Channels = int | Sequence[int]


@dataclass(frozen=True)
class FeatureVisualization:
    """Pictures, one for each objective.

    Attributes:
        names: names of the N objectives.
        pictures: [N, H, W, C] in [0, 1].
        losses: objective values before each update, [N, steps].
    """

    names: tuple[str, ...]
    pictures: np.ndarray
    losses: np.ndarray


@checked
def visualize(
    model: Model,
    wanted: Iterable[ObjectiveLike],
    *,
    size: int = 128,
    steps: int = 512,
    seed: int = 0,
    transforms: TransformsLike = None,
    batch_size: int | None = None,
    verbose: bool = False,
) -> FeatureVisualization:
    """Renders objectives in batches, with Lucid's default settings.

    Args:
        model: the model.
        wanted: objectives, or `"layer:channel"`.
        size: height and width in pixels.
        steps: number of updates.
        seed: seed of all random draws.
        transforms: as for `render_vis`.
        batch_size: as for `render_many`.
        verbose: show progress.

    Raises:
        TypeError, ValueError, IndexError: as `render_many`.
        KeyboardInterrupt: the run was interrupted.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> made = visualize(TinyInceptionV1(), ["mixed4a:48", "mixed4a:73"], size=32, steps=2)
        >>> made.pictures.shape, made.losses.shape
        ((2, 32, 32, 3), (2, 2))
    """
    asked = [objectives.as_objective(one, model) for one in checks.items(wanted, "wanted", "a list of objectives")]
    found = render_many(
        model, asked, size=size, steps=steps, seed=seed, transforms=transforms, batch_size=batch_size, verbose=verbose
    )
    if found.interrupted:
        raise KeyboardInterrupt
    pictures = np.stack([one.image for one in found if one.image is not None])
    return FeatureVisualization(tuple(one.name for one in found), pictures, np.stack([one.losses for one in found]))


# Lucid's recipe ----------------------------------------------------------------------------------


@checked
def neuron(model: Model, layer: str | Layer, channel_indices: Channels, **options: Any) -> FeatureVisualization:
    """Renders the neuron in the middle of each channel: Lucid's `feature_visualization.neuron`.

    Arguments as for `channel`.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> neuron(TinyInceptionV1(), "mixed4a", 48, n_steps=2, size=(32, 32)).names
        ('mixed4a:48',)
    """
    return _lucid(objectives.neuron, model, layer, channel_indices, **options)


@checked
def channel(model: Model, layer: str | Layer, channel_indices: Channels, **options: Any) -> FeatureVisualization:
    """Renders each channel: Lucid's `feature_visualization.channel`.

    Args:
        model: the model.
        layer: name of a layer, or a `Layer`.
        channel_indices: a channel, or a list of channels.
        alpha: render with transparency, in 4 channels; False by default.
        negative: minimize instead of maximize; False by default.
        n_steps: number of updates, 128 by default.
        lr: learning rate of Adam, 0.05 by default.
        override_gradients: override ReLU gradients in all steps, True by default. (In Lucid's recipe the override
            never ends.)
        size: (height, width); the model's own by default.
        seed: seed of all random draws, 0 by default. Picture k starts like a single picture with `seed + k`, as in
            Lucid's batches.
        verbose: show progress, False by default.

    Raises:
        ValueError: the layer has no such channel.
        TypeError: `layer` is neither a name nor a `Layer`.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> channel(TinyInceptionV1(), "mixed4a", [48, 73], alpha=True, n_steps=2, size=(32, 32)).pictures.shape
        (2, 32, 32, 4)
    """
    return _lucid(objectives.channel, model, layer, channel_indices, **options)


def _lucid(
    objective: Callable[..., Objective],
    model: Model,
    layer: str | Layer,
    channel_indices: Channels,
    *,
    alpha: bool = False,
    negative: bool = False,
    n_steps: int = 128,
    lr: float = 0.05,
    override_gradients: bool = True,
    size: Sequence[int] | None = None,
    seed: int = 0,
    verbose: bool = False,
) -> FeatureVisualization:
    name = checks.text(getattr(layer, "name", layer), "layer", "a layer's name, or a Layer")
    units = check_units(model, name, np.atleast_1d(channel_indices).tolist())
    height, width = model_size(model) if size is None else checks.sizes(size, "size", 2)
    wanted = [objective(name, unit, batch=index) for index, unit in enumerate(units)]
    transforms = [*transform.standard_transforms, transform.crop_or_pad_to(height, width)]
    vis = VisT(
        model,
        _each([-one for one in wanted] if negative else wanted, alpha),
        param.image(width, height, batch=len(units), alpha=alpha),
        lambda parameters: TFAdam(parameters, lr=lr),
        [*transforms, transform.collapse_alpha_random()] if alpha else transforms,
        relu_gradient_override="always" if override_gradients else False,
        seed=seed,
    )
    losses = run(vis, n_steps, verbose)[:, : len(units)].T
    names = tuple(f"{'-' if negative else ''}{name}:{unit}" for unit in units)
    return FeatureVisualization(names, vis.image(), losses)


def _each(wanted: Sequence[Objective], alpha: bool) -> Callable[[Activations], torch.Tensor]:
    """The values of the objectives of N images, [N]; with transparency [N + 1], weighted as in Lucid's recipe."""

    def values(T: Activations) -> torch.Tensor:
        found = torch.stack([one(T) for one in wanted])
        if not alpha:
            return found
        # Opacity lowers the values, and fine grain in the alpha channel is penalized.
        blur = -ALPHA_BLUR * objectives.blur_alpha_each_step()(T)
        return torch.cat([found * (1 - T("input")[:, 3:].mean()), blur[None]])

    return values


def transparent_objective(objective: Objective) -> Objective:
    """The objective of Lucid's recipe for images with transparency: opacity and fine grain in alpha lower it.

    Render it with `param.image(..., alpha=True)` and `transform.collapse_alpha_random()` as the last transform.

    Example:
        >>> from lucid_port.optvis import objectives
        >>> transparent_objective(objectives.as_objective("mixed4a:3")).text
        'mixed4a:3'
    """
    found = objective * objectives.mean_transparency() - ALPHA_BLUR * objectives.blur_alpha_each_step()
    found.text = objective.text
    return found


# The article's objectives ------------------------------------------------------------------------


@checked
def layer(model: Model, layer: str, **options: Any) -> FeatureVisualization:
    """Renders the mean square of a layer: DeepDream's objective, "Layer/DeepDream" in the article.

    Options as for `visualize`.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> layer(TinyInceptionV1(), "mixed4a", size=32, steps=2).pictures.shape
        (1, 32, 32, 3)
    """
    return visualize(model, [objectives.deepdream(layer)], **options)


@checked
def logit(model: Model, layer: str, classes: Iterable[ClassLike], **options: Any) -> FeatureVisualization:
    """Renders classes before the softmax.

    Args:
        model: the model.
        layer: the layer of the logits, `softmax2_pre_activation` in InceptionV1.
        classes: numbers or labels.
        options: as for `visualize`.

    Raises:
        ValueError: the model has no such label.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> logit(TinyInceptionV1(), "softmax2_pre_activation", ["heart", 3], size=96, steps=1).pictures.shape
        (2, 96, 96, 3)
    """
    given = checks.items(classes, "classes", "a list of numbers or labels")
    return visualize(model, [objectives.class_logit(layer, one) for one in given], **options)


@checked
def probability(model: Model, layer: str, classes: Iterable[ClassLike], **options: Any) -> FeatureVisualization:
    """Renders classes after the softmax: arguments as for `logit`, with the layer of probabilities (`softmax2`).

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> probability(TinyInceptionV1(), "softmax2", ["heart"], size=96, steps=1).pictures.shape
        (1, 96, 96, 3)
    """
    return logit(model, layer, classes, **options)


# Pairs and facets --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Facets:
    """Several pictures of one unit.

    Attributes:
        name: name of the unit.
        pictures: [N, H, W, C] in [0, 1].
        losses: objective value before each update, [steps].
    """

    name: str
    pictures: np.ndarray
    losses: np.ndarray


@checked
def negative_and_positive(
    model: Model, layer: str, unit: int, *, size: int = 128, steps: int = 512, seed: int = 0, verbose: bool = False
) -> Facets:
    """Minimizes and maximizes a channel: Lucid's notebook feature-visualization/negative_neurons.

    Args:
        model: the model.
        layer: name of a layer before its ReLU; after it, no value is below 0.
        unit: the channel.
        size: height and width in pixels.
        steps: number of updates.
        seed: seed of all random draws.
        verbose: show progress.

    Returns:
        Two pictures, the negative first.

    Raises:
        ValueError: the layer has no such channel.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> negative_and_positive(TinyInceptionV1(), "mixed4a_pre_relu", 48, size=32, steps=2).pictures.shape
        (2, 32, 32, 3)
    """
    (number,) = check_units(model, layer, [unit])
    objective = objectives.channel(layer, number, batch=1) - objectives.channel(layer, number, batch=0)
    return _facets(model, f"{layer}:{number}", objective, 2, size, steps, seed, verbose)


@checked
def diversity(
    model: Model,
    layer: str,
    unit: int,
    count: int = 4,
    *,
    strength: float = DIVERSITY,
    diversity_layer: str | None = None,
    size: int = 128,
    steps: int = 512,
    seed: int = 0,
    verbose: bool = False,
) -> Facets:
    """Renders pictures of one channel that differ in style: Lucid's notebook feature-visualization/neuron_diversity.

    Args:
        model: the model.
        layer: name of the layer.
        unit: the channel.
        count: number of pictures, at least 2.
        strength: weight of the difference, relative to the channel.
        diversity_layer: the layer whose Gram matrices are to differ; `layer` without `_pre_relu` by default.
        size, steps, seed, verbose: as for `negative_and_positive`.

    Raises:
        ValueError: the layer has no such channel, or `count` is below 2.
        converters.LayerNotFoundError: a layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> diversity(TinyInceptionV1(), "mixed4a", 48, 2, size=32, steps=2).pictures.shape
        (2, 32, 32, 3)
    """
    (number,) = check_units(model, layer, [unit])
    count = checks.whole(count, "count", 2)
    strength = checks.number(strength, "strength")
    differing = layer.removesuffix("_pre_relu") if diversity_layer is None else diversity_layer
    objective = objectives.channel(layer, number) - strength * objectives.diversity(differing)
    return _facets(model, f"{layer}:{number}", objective, count, size, steps, seed, verbose)


def _facets(
    model: Model, name: str, objective: Objective, count: int, size: int, steps: int, seed: int, verbose: bool
) -> Facets:
    vis = VisT(model, objective, param.image(size, batch=count), relu_gradient_override=True, seed=seed)
    losses = run(vis, steps, verbose)
    return Facets(name, vis.image(), losses)
