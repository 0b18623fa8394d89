"""One unit from several angles, in one sheet.

The views of Olah, Mordvintsev, Schubert: Feature Visualization (Distill, 2017),
https://distill.pub/2017/feature-visualization, whose appendix shows each unit as neuron, as channel, negated, and in
four pictures that differ; beside them, pictures from other random starts, and one with transparency. Lucid's notebooks
feature-visualization/negative_neurons and neuron_diversity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lucid_port.misc import checks
from lucid_port.optvis import objectives, param
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.objectives import Objective
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes import feature_visualization
from lucid_port.recipes.inputs import before_relu, check_units
from lucid_port.recipes.steps import run

__all__ = ["UnitSheet", "unit_sheet"]


@dataclass(frozen=True)
class UnitSheet:
    """Pictures of one unit.

    Attributes:
        name: the unit.
        neuron: what the neuron in the middle looks for, [H, W, 3].
        channel: what the channel looks for, [H, W, 3].
        negative: what it looks for least, [H, W, 3].
        diverse: pictures of the channel that differ in style, [D, H, W, 3].
        seeds: pictures of the channel from other random starts, [S, H, W, 3].
        transparent: the channel with transparency, [H, W, 4].
        losses: the sum of what the opaque pictures maximise, before each update, [steps].
    """

    name: str
    neuron: np.ndarray
    channel: np.ndarray
    negative: np.ndarray
    diverse: np.ndarray
    seeds: np.ndarray
    transparent: np.ndarray
    losses: np.ndarray


def unit_sheet(
    model: Model,
    layer: str,
    unit: int,
    *,
    diverse: int = 4,
    strength: float = 100.0,
    seeds: int = 4,
    size: int = 128,
    steps: int = 512,
    seed: int = 0,
    verbose: bool = False,
) -> UnitSheet:
    """Renders all views of a unit, the opaque ones in one batch.

    Args:
        model: the model.
        layer: a convolutional layer.
        unit: its channel. The negative, and the layer whose Gram matrices are to differ, are found by Lucid's names:
            before the ReLU the one, after it the other.
        diverse: number of pictures that are to differ, from 2 on.
        strength: how much difference weighs against the channel.
        seeds: number of pictures from other random starts.
        size: height and width in pixels.
        steps: number of updates.
        seed: of all random draws; the other starts have the seeds after it.
        verbose: show progress.

    Raises:
        TypeError, ValueError: the layer has no such channel, or a number is too small.
        converters.LayerNotFoundError: there is no such layer.
    """
    (number,) = check_units(model, layer, [unit])
    varied, starts = checks.whole(diverse, "diverse", 2), checks.whole(seeds, "seeds", 0)
    views = _Views(model, layer, number, varied, starts, checks.number(strength, "strength"))
    # As each view would begin alone: all with the same seed, but those that are to differ.
    source = RandomSource(
        seeds=[seed] * 3 + [seed + k for k in range(varied)] + [seed + 1 + k for k in range(starts)], shared=seed
    )
    images = param.image(checks.whole(size, "size", 1), batch=views.count)
    vis = VisT(model, views, images, relu_gradient_override=True, seed=source)
    losses = run(vis, steps, verbose)
    pictures = vis.image()
    clear = feature_visualization.channel(
        model, layer, number, alpha=True, n_steps=steps, size=(size, size), seed=seed, verbose=verbose
    )
    neuron, channel, negative = pictures[:3]
    return UnitSheet(
        f"{layer}:{number}",
        neuron,
        channel,
        negative,
        pictures[3 : 3 + varied],
        pictures[3 + varied :],
        clear.pictures[0],
        losses,
    )


class _Views:
    """The sum of what the views maximise, each of its own images of the batch.

    Attributes:
        count: number of images.
    """

    def __init__(self, model: Model, layer: str, unit: int, diverse: int, seeds: int, strength: float) -> None:
        own = objectives.channel(layer, unit)
        differing = own - strength * objectives.diversity(layer.removesuffix("_pre_relu"))
        least = objectives.channel(before_relu(model, layer), unit)
        single: Sequence[tuple[Objective, int]] = [(objectives.neuron(layer, unit), 1), (own, 1), (-least, 1)]
        self._parts = [*single, (differing, diverse), *[(own, 1)] * seeds]
        self.count = sum(count for _, count in self._parts)

    def __call__(self, T: Any) -> torch.Tensor:
        values, first = [], 0
        for wanted, count in self._parts:
            images = slice(first, first + count)
            values.append(wanted(lambda name, images=images: T(name)[images]))
            first += count
        return torch.stack(values).sum()
