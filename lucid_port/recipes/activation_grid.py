"""How a network sees a picture at one layer: an icon for the activation vector of each position.

Olah et al.: The Building Blocks of Interpretability (Distill, 2018); notebook building-blocks/ActivationGrid. The naive
way renders each position for itself. The factored way shares most of the image between positions: each icon is a part
of its own and a mixture of the icons of a few groups of neurons, so that neighbours look alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lucid_port.misc import checks
from lucid_port.misc.channel_reducer import ChannelReducer
from lucid_port.optvis import objectives, param
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.devices import own_device
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.param.base import Memo, Parameterization
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.feature_visualization import visualize
from lucid_port.recipes.inputs import load_image, model_size, spatial_activations
from lucid_port.recipes.steps import run

__all__ = ["ActivationGrid", "activation_grid", "factored_activation_grid"]

CROP = 2  # pixels of each icon's border, which are rarely optimised well
OWN, SHARED = 0.7, 0.5  # how much of an icon is its own, and the groups'


@dataclass(frozen=True)
class ActivationGrid:
    """An icon for each position.

    Attributes:
        layer: the layer.
        image: the picture, [H, W, 3].
        activations: [h, w, C].
        icons: [h, w, size, size, 3].
        losses: objective values: before each update.
    """

    layer: str
    image: np.ndarray
    activations: np.ndarray
    icons: np.ndarray
    losses: np.ndarray

    @property
    def magnitudes(self) -> np.ndarray:
        """How much there is to see at each position: the length of its vector over the longest, [h, w]."""
        lengths = np.linalg.norm(self.activations, axis=-1)
        return lengths / max(float(lengths.max()), 1e-12)

    @property
    def mosaic(self) -> np.ndarray:
        """All icons side by side, [h * size, w * size, 3]."""
        rows, columns, height, width, channels = self.icons.shape
        return self.icons.transpose(0, 2, 1, 3, 4).reshape(rows * height, columns * width, channels)

    def scaled_mosaic(self, background: float = 1.0) -> np.ndarray:
        """The mosaic with each icon's area in proportion to its magnitude: how the article shows it."""
        result = np.full_like(self.mosaic, background)
        size = self.icons.shape[2]
        for (row, column), magnitude in np.ndenumerate(self.magnitudes):
            side = max(1, round(size * float(np.sqrt(magnitude))))
            first = (size - side) // 2
            part = slice(first, first + side)
            top, left = row * size, column * size
            window = result[top : top + size, left : left + size]
            window[part, part] = load_image(self.icons[row, column], side)
        return result


def activation_grid(
    model: Model,
    image: Any,
    layer: str,
    *,
    size: int = 42,
    steps: int = 256,
    seed: int = 0,
    batch_size: int | None = None,
    verbose: bool = False,
) -> ActivationGrid:
    """The naive grid: each position's direction rendered for itself.

    Args:
        model: the model.
        image: a path, or an array [H, W, C] in [0, 1]; resized to the model's own size.
        layer: a convolutional layer.
        size: height and width that are rendered for each icon, of which 2 pixels on each side are cut off.
        steps, seed, batch_size, verbose: as for `render_many`.

    Raises:
        ValueError: the layer is fully connected, or `size` is below 5.
        converters.LayerNotFoundError: there is no such layer.
    """
    pixels, activations, size = _prepared(model, image, layer, size)
    wanted = [objectives.direction(layer, vector) for vector in activations.reshape(-1, activations.shape[-1])]
    made = visualize(model, wanted, size=size, steps=steps, seed=seed, batch_size=batch_size, verbose=verbose)
    return ActivationGrid(layer, pixels, activations, _icons(made.pictures, activations.shape), made.losses)


def factored_activation_grid(
    model: Model,
    image: Any,
    layer: str,
    groups: int = 6,
    *,
    size: int = 48,
    steps: int = 1024,
    batch_size: int = 64,
    seed: int = 0,
    verbose: bool = False,
) -> ActivationGrid:
    """The grid whose icons share what their groups of neurons look like.

    Each update optimises a random `batch_size` of the positions (with replacement).

    Args:
        groups: groups of neurons (NMF).
        steps: number of updates, each of one batch.
        batch_size: positions of an update.
        model, image, layer, size, seed, verbose: as for `activation_grid`.

    Raises:
        ValueError: the layer is fully connected or has negative values, there are more groups than channels, or
            `size` is below 5.
        converters.LayerNotFoundError: there is no such layer.
    """
    pixels, activations, size = _prepared(model, image, layer, size)
    if activations.min() < 0:
        raise ValueError(f"Layer {layer!r} has negative values, which groups are not made of: take it after its ReLU.")
    if checks.whole(groups, "groups", 1) > activations.shape[-1]:
        raise ValueError(f"Layer {layer!r} has {activations.shape[-1]} channels, which do not make {groups} groups.")
    vectors = activations.reshape(-1, activations.shape[-1])
    weights = ChannelReducer(groups, "NMF", random_state=seed, max_iter=2000).fit_transform(vectors)
    cells = _Cells(weights / max(float(weights.max()), 1e-12), size)
    directions = torch.from_numpy(vectors.astype(np.float32)).to(own_device(model))

    def seen(T: Any) -> torch.Tensor:
        activation = T(layer)
        wanted = directions[cells.chosen].to(activation.dtype)
        return (activation * wanted[:, :, None, None]).sum(1).flatten(1).mean(1)

    vis = VisT(model, seen, cells, relu_gradient_override=True, seed=seed)
    count = checks.whole(batch_size, "batch_size", 1)
    cells.choose = _random_choice(vis.source.scope("positions"), len(vectors), count)
    losses = run(vis, steps, verbose).mean(1)
    cells.choose = None
    return ActivationGrid(layer, pixels, activations, _icons(vis.image(), activations.shape), losses)


def _random_choice(source: RandomSource, among: int, count: int) -> Callable[[], torch.Tensor]:
    return lambda: torch.from_numpy(source.integers("chosen", among, count))


class _Cells(Parameterization):
    """Icons made of a part of their own and a mixture of the groups' icons; some of them are computed at a time.

    Attributes:
        choose: says which icons to compute, each time that the image is asked for; None for all.
        chosen: which were computed last, on the device.
    """

    def __init__(self, weights: np.ndarray, size: int) -> None:
        super().__init__()
        count, groups = weights.shape
        self.own = param.fft_image((count, size, size, 3))
        self.shared = param.fft_image((groups, size, size, 3))
        self.register_buffer("weights", torch.from_numpy(weights.astype(np.float32)), persistent=False)
        self.choose: Callable[[], torch.Tensor] | None = None
        self.chosen = torch.arange(count)

    def compute(self, memo: Memo) -> torch.Tensor:
        weights = self.weights
        assert isinstance(weights, torch.Tensor)
        chosen = torch.arange(len(weights)) if self.choose is None else self.choose()
        self.chosen = chosen.to(weights.device)
        mixture = torch.einsum("ng,gchw->nchw", weights[self.chosen], self.shared.evaluate(memo))
        image = OWN * self.own.evaluate(memo)[self.chosen] + SHARED * mixture
        return param.color.to_valid_rgb_tensor(image, decorrelate=True)


def _prepared(model: Model, image: Any, layer: str, size: int) -> tuple[np.ndarray, np.ndarray, int]:
    pixels = load_image(image, model_size(model))
    return pixels, spatial_activations(model, pixels, layer), checks.whole(size, "An icon's size", 2 * CROP + 1)


def _icons(pictures: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    cropped = pictures[:, CROP:-CROP, CROP:-CROP]
    return cropped.reshape(*shape[:2], *cropped.shape[1:])
