"""What a unit looks for: Lucid's `recipes.feature_visualization`, and the objectives of the article of that name.

Olah, Mordvintsev, Schubert: Feature Visualization (Distill, 2017), https://distill.pub/2017/feature-visualization.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lucid_port.misc import checks
from lucid_port.optvis import objectives, param, transform
from lucid_port.optvis.engine.coerce import Model, TransformsLike
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.objectives import Objective
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.render_many import render_many
from lucid_port.recipes.inputs import check_units, model_size
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


@dataclass(frozen=True)
class FeatureVisualization:
    """Pictures, one for each objective.

    Attributes:
        names: what each maximises.
        pictures: [N, H, W, C] in [0, 1].
        losses: objective values before each update, [N, steps].
    """

    names: tuple[str, ...]
    pictures: np.ndarray
    losses: np.ndarray


def visualize(
    model: Model,
    wanted: Iterable[Any],
    *,
    size: int = 128,
    steps: int = 512,
    seed: int = 0,
    transforms: TransformsLike = None,
    batch_size: int | None = None,
    verbose: bool = False,
) -> FeatureVisualization:
    """Renders objectives in batches, each as Lucid renders it by default.

    Args:
        model: the model.
        wanted: objectives, or `"layer:channel"`.
        size: height and width in pixels.
        steps: number of updates.
        seed: of all random draws.
        transforms: as for `render_vis`.
        batch_size: as for `render_many`.
        verbose: show progress.

    Raises:
        TypeError, ValueError, IndexError: as `render_many`.
        KeyboardInterrupt: it was interrupted.
    """
    asked = [objectives.as_objective(one) for one in checks.items(wanted, "wanted", "a list of objectives")]
    found = render_many(
        model, asked, size=size, steps=steps, seed=seed, transforms=transforms, batch_size=batch_size, verbose=verbose
    )
    if found.interrupted:
        raise KeyboardInterrupt
    pictures = np.stack([one.image for one in found if one.image is not None])
    return FeatureVisualization(tuple(one.name for one in found), pictures, np.stack([one.losses for one in found]))


# Lucid's recipe ----------------------------------------------------------------------------------


def neuron(model: Model, layer: Any, channel_indices: Any, **options: Any) -> FeatureVisualization:
    """The neuron in the middle of each channel: Lucid's `feature_visualization.neuron`; options as for `channel`."""
    return _lucid(objectives.neuron, model, layer, channel_indices, **options)


def channel(model: Model, layer: Any, channel_indices: Any, **options: Any) -> FeatureVisualization:
    """Each channel: Lucid's `feature_visualization.channel`.

    Args:
        model: the model.
        layer: a layer's name, or a `Layer`.
        channel_indices: one channel, or several.
        alpha: render transparency, too; channels 4.
        negative: minimise instead.
        n_steps: number of updates, 128 by default.
        lr: learning rate of Adam, 0.05 by default.
        override_gradients: redirect ReLU gradients, in all steps (this recipe of Lucid's never ends the rule).
        size: (height, width); the model's own by default.
        seed: of all random draws; picture k of a list begins as one alone does with `seed + k`, as in Lucid's batches.
        verbose: show progress.

    Raises:
        ValueError: the layer has no such channel.
        TypeError: `layer` is neither a name nor a `Layer`.
        converters.LayerNotFoundError: there is no such layer.
    """
    return _lucid(objectives.channel, model, layer, channel_indices, **options)


def _lucid(
    objective: Callable[..., Objective],
    model: Model,
    layer: Any,
    channel_indices: Any,
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
    together = _Together([-one for one in wanted] if negative else wanted, alpha)
    transforms = [*transform.standard_transforms, transform.crop_or_pad_to(height, width)]
    vis = VisT(
        model,
        together,
        param.image(width, height, batch=len(units), alpha=alpha),
        lambda parameters: TFAdam(parameters, lr=lr),
        [*transforms, transform.collapse_alpha_random()] if alpha else transforms,
        relu_gradient_override="always" if override_gradients else False,
        seed=seed,
    )
    losses = run(vis, n_steps, verbose)[:, : len(units)].T
    names = tuple(f"{'-' if negative else ''}{name}:{unit}" for unit in units)
    return FeatureVisualization(names, vis.image(), losses)


class _Together:
    """Objectives, one for each image, [N]; with transparency, as Lucid's recipe weighs it, [N + 1]."""

    def __init__(self, wanted: Sequence[Objective], alpha: bool) -> None:
        self.wanted, self.alpha = wanted, alpha

    def __call__(self, T: Any) -> torch.Tensor:
        values = torch.stack([one(T) for one in self.wanted])
        if not self.alpha:
            return values
        # Less of it the more the picture covers, and no fine grain in the transparency.
        blur = -ALPHA_BLUR * objectives.blur_alpha_each_step()(T)
        return torch.cat([values * (1 - T("input")[:, 3:].mean()), blur[None]])


# The article's objectives ------------------------------------------------------------------------


def layer(model: Model, layer: str, **options: Any) -> FeatureVisualization:
    """A whole layer, squared, as DeepDream does: the article's "Layer/DeepDream"; options as for `visualize`."""
    return visualize(model, [objectives.deepdream(layer)], **options)


def logit(model: Model, layer: str, classes: Iterable[Any], **options: Any) -> FeatureVisualization:
    """Classes before the softmax.

    Args:
        model: the model.
        layer: the layer of logits, `softmax2_pre_activation` in InceptionV1.
        classes: numbers, or names of the model's labels.
        options: as for `visualize`.

    Raises:
        ValueError: a name is no label's.
    """
    given = checks.items(classes, "classes", "a list of numbers or labels")
    return visualize(model, [objectives.class_logit(layer, one) for one in given], **options)


def probability(model: Model, layer: str, classes: Iterable[Any], **options: Any) -> FeatureVisualization:
    """Classes after the softmax; arguments as for `logit`, with the layer of probabilities (`softmax2`)."""
    return logit(model, layer, classes, **options)


# Pairs and facets --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Facets:
    """Several pictures of one unit.

    Attributes:
        name: the unit.
        pictures: [N, H, W, C] in [0, 1].
        losses: objective value before each update, [steps].
    """

    name: str
    pictures: np.ndarray
    losses: np.ndarray


def negative_and_positive(
    model: Model, layer: str, unit: int, *, size: int = 128, steps: int = 512, seed: int = 0, verbose: bool = False
) -> Facets:
    """What a channel responds to least, and most; notebook feature-visualization/negative_neurons.

    Args:
        model: the model.
        layer: the layer; before its ReLU, or nothing is below 0.
        unit: the channel.
        size: height and width in pixels.
        steps: number of updates.
        seed: of all random draws.
        verbose: show progress.

    Returns:
        Two pictures, the negative first.

    Raises:
        ValueError: the layer has no such channel.
    """
    (number,) = check_units(model, layer, [unit])
    objective = objectives.channel(layer, number, batch=1) - objectives.channel(layer, number, batch=0)
    return _facets(model, f"{layer}:{number}", objective, 2, size, steps, seed, verbose)


def diversity(
    model: Model,
    layer: str,
    unit: int,
    count: int = 4,
    *,
    strength: float = 100.0,
    diversity_layer: str | None = None,
    size: int = 128,
    steps: int = 512,
    seed: int = 0,
    verbose: bool = False,
) -> Facets:
    """Several pictures of one channel that differ in style; notebook feature-visualization/neuron_diversity.

    Args:
        model: the model.
        layer: the layer.
        unit: the channel.
        count: number of pictures, from 2 on.
        strength: how much difference weighs against the channel.
        diversity_layer: the layer whose Gram matrices are to differ; `layer` without `_pre_relu` by default.
        size, steps, seed, verbose: as for `negative_and_positive`.

    Raises:
        ValueError: the layer has no such channel, or `count` is below 2.
    """
    (number,) = check_units(model, layer, [unit])
    count = checks.whole(count, "count", 2)
    strength = checks.number(strength, "strength")
    where = layer.removesuffix("_pre_relu") if diversity_layer is None else diversity_layer
    objective = objectives.channel(layer, number) - strength * objectives.diversity(where)
    return _facets(model, f"{layer}:{number}", objective, count, size, steps, seed, verbose)


def _facets(
    model: Model, name: str, objective: Objective, count: int, size: int, steps: int, seed: int, verbose: bool
) -> Facets:
    vis = VisT(model, objective, param.image(size, batch=count), relu_gradient_override=True, seed=seed)
    losses = run(vis, steps, verbose)
    return Facets(name, vis.image(), losses)
