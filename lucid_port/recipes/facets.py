"""A sheet of different views of one unit.

The views are those of Olah, Mordvintsev, Schubert: Feature Visualization (Distill, 2017),
https://distill.pub/2017/feature-visualization, whose appendix shows each unit as neuron, as channel, negated, and in
four diverse pictures. The sheet adds pictures from other random starts, and a picture with transparency. Lucid's
notebooks are feature-visualization/negative_neurons and neuron_diversity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.optvis import objectives, param
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.objectives import Objective
from lucid_port.optvis.objectives.readers import Activations, Images
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes import feature_visualization
from lucid_port.recipes.inputs import before_relu, check_units
from lucid_port.recipes.steps import run

__all__ = ["UnitSheet", "unit_sheet"]


@dataclass(frozen=True)
class UnitSheet:
    """Pictures of one unit.

    Attributes:
        name: name of the unit.
        neuron: the neuron in the middle maximized, [H, W, 3].
        channel: the channel maximized, [H, W, 3].
        negative: the channel minimized, [H, W, 3].
        diverse: pictures of the channel that differ in style, [D, H, W, 3].
        seeds: pictures of the channel from other random starts, [S, H, W, 3].
        transparent: the channel with transparency, [H, W, 4].
        losses: sum of the objectives of the opaque pictures before each update, [steps].
    """

    name: str
    neuron: np.ndarray
    channel: np.ndarray
    negative: np.ndarray
    diverse: np.ndarray
    seeds: np.ndarray
    transparent: np.ndarray
    losses: np.ndarray


@checked
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

    If the layers have Lucid's names, the negative is rendered before the ReLU (`..._pre_relu`), and Gram matrices are
    computed after the ReLU.

    Args:
        model: the model.
        layer: name of a convolutional layer.
        unit: the channel.
        diverse: number of diverse pictures, at least 2.
        strength: weight of their difference, relative to the channel.
        seeds: number of pictures from other random starts.
        size: height and width in pixels.
        steps: number of updates.
        seed: seed of all random draws; the other starts use the seeds after it.
        verbose: show progress.

    Raises:
        TypeError, ValueError: the layer has no such channel, or a number is too small.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> sheet = unit_sheet(TinyInceptionV1(), "mixed3a", 31, diverse=2, seeds=1, size=32, steps=2)
        >>> sheet.name, sheet.diverse.shape, sheet.transparent.shape
        ('mixed3a:31', (2, 32, 32, 3), (32, 32, 4))
    """
    (number,) = check_units(model, layer, [unit])
    varied, starts = checks.whole(diverse, "diverse", 2), checks.whole(seeds, "seeds", 0)
    views = _Views(model, layer, number, varied, starts, checks.number(strength, "strength"))
    # Each view starts like a single picture with `seed`, except diverse pictures and other starts.
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
    differing, others = pictures[3 : 3 + varied], pictures[3 + varied :]
    return UnitSheet(f"{layer}:{number}", neuron, channel, negative, differing, others, clear.pictures[0], losses)


class _Views:
    """The sum of the views' objectives, each evaluated on its own images of the batch.

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

    def __call__(self, T: Activations) -> torch.Tensor:
        values, first = [], 0
        for wanted, count in self._parts:
            values.append(wanted(Images(T, first, count)))
            first += count
        return torch.stack(values).sum()
