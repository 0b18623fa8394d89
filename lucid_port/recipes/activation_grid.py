"""Activation grids: an icon of the activation vector at each position of a layer.

Olah et al.: The Building Blocks of Interpretability (Distill, 2018); notebook building-blocks/ActivationGrid. The naive
grid renders each position separately. The factored grid shares parameters between positions: each icon is the sum of
its own image and a mixture of the images of a few groups of neurons, so that neighbors look alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.optvis import objectives, param
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.engine.devices import own_device
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.objectives.readers import Activations, as_reader, by_image
from lucid_port.optvis.param.base import Memo, Parameterization
from lucid_port.recipes.feature_visualization import visualize
from lucid_port.recipes.inputs import ImageLike, load_image, model_size, spatial_activations
from lucid_port.recipes.interaction import tiled
from lucid_port.recipes.neuron_groups import nonnegative_factors
from lucid_port.recipes.steps import run

__all__ = ["ActivationGrid", "activation_grid", "factored_activation_grid"]

CROP = 2  # pixels cut off each side of an icon, which are rarely optimized well
OWN, SHARED = 0.7, 0.5  # weights of an icon's own image and of the groups' mixture


@dataclass(frozen=True)
class ActivationGrid:
    """An icon for each position of a layer.

    Attributes:
        layer: name of the layer.
        image: the picture, [H, W, 3].
        activations: [h, w, C].
        icons: [h, w, size, size, 3] in [0, 1].
        losses: objective values before each update: [h * w, steps] of the naive grid, [steps] of the factored grid
            (the mean over the icons of each update).
    """

    layer: str
    image: np.ndarray
    activations: np.ndarray
    icons: np.ndarray
    losses: np.ndarray

    @property
    def magnitudes(self) -> np.ndarray:
        """The length of the activation vector at each position, relative to the longest, [h, w]."""
        lengths = np.linalg.norm(self.activations, axis=-1)
        return lengths / max(float(lengths.max()), 1e-12)

    @property
    def mosaic(self) -> np.ndarray:
        """All icons side by side, [h * size, w * size, 3]."""
        return tiled(self.icons)

    @checked
    def scaled_mosaic(self, background: float = 1.0) -> np.ndarray:
        """The mosaic with the area of each icon proportional to its magnitude, as in the article."""
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


@checked
def activation_grid(
    model: Model,
    image: ImageLike,
    layer: str,
    *,
    size: int = 42,
    steps: int = 256,
    seed: int = 0,
    batch_size: int | None = None,
    verbose: bool = False,
) -> ActivationGrid:
    """Renders the naive grid: the activation vector of each position separately.

    Args:
        model: the model.
        image: a path, or an array [H, W, C] in [0, 1]; resized to the model's own size.
        layer: name of a convolutional layer.
        size: rendered height and width of each icon, including 2 pixels on each side that are cut off.
        steps, seed, batch_size, verbose: as for `render_many`.

    Raises:
        ValueError: the layer is fully connected, or `size` is below 5.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> grid = activation_grid(TinyInceptionV1(), np.full((96, 96, 3), 0.5), "mixed5a", size=16, steps=1)
        >>> grid.icons.shape, grid.mosaic.shape
        ((3, 3, 12, 12, 3), (36, 36, 3))
    """
    pixels, activations, size = _prepared(model, image, layer, size)
    wanted = [objectives.direction(layer, vector) for vector in activations.reshape(-1, activations.shape[-1])]
    made = visualize(model, wanted, size=size, steps=steps, seed=seed, batch_size=batch_size, verbose=verbose)
    return ActivationGrid(layer, pixels, activations, _icons(made.pictures, activations.shape), made.losses)


@checked
def factored_activation_grid(
    model: Model,
    image: ImageLike,
    layer: str,
    groups: int = 6,
    *,
    size: int = 48,
    steps: int = 1024,
    batch_size: int = 64,
    seed: int = 0,
    verbose: bool = False,
) -> ActivationGrid:
    """Renders the factored grid, whose icons share the images of groups of neurons.

    Each update optimizes a random batch of positions, drawn with replacement.

    Args:
        groups: number of groups of neurons (NMF).
        steps: number of updates, each of one batch.
        batch_size: number of positions in each batch.
        model, image, layer, size, seed, verbose: as for `activation_grid`.

    Raises:
        ValueError: the layer is fully connected or has negative values, there are more groups than channels, or
            `size` is below 5.
        converters.LayerNotFoundError: the layer does not exist.
        ImportError: scikit-learn is not installed.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> image = np.random.RandomState(0).uniform(size=(96, 96, 3))
        >>> grid = factored_activation_grid(TinyInceptionV1(), image, "mixed5a", 2, size=16, steps=2, batch_size=4)
        >>> grid.icons.shape, grid.losses.shape
        ((3, 3, 12, 12, 3), (2,))
    """
    pixels, activations, size = _prepared(model, image, layer, size)
    vectors = activations.reshape(-1, activations.shape[-1])
    weights, _ = nonnegative_factors(vectors, layer, groups, seed)
    cells = _Cells(weights / max(float(weights.max()), 1e-12), size)
    directions = torch.from_numpy(vectors.astype(np.float32)).to(own_device(model))

    def seen(T: Activations) -> torch.Tensor:
        activation = by_image(as_reader(T), layer)
        wanted = directions[cells.chosen].to(activation.dtype)
        return (activation * wanted.unflatten(1, (-1, *[1] * (activation.ndim - 2)))).sum(1).flatten(1).mean(1)

    vis = VisT(model, seen, cells, relu_gradient_override=True, seed=seed)
    count = checks.whole(batch_size, "batch_size", 1)
    positions = vis.source.scope("positions")
    cells.choose = lambda: torch.from_numpy(positions.integers("chosen", len(vectors), count))
    losses = run(vis, steps, verbose).mean(1)
    cells.choose = None
    return ActivationGrid(layer, pixels, activations, _icons(vis.image(), activations.shape), losses)


class _Cells(Parameterization):
    """Icons, each of which is the sum of its own image and a mixture of the groups' images.

    Attributes:
        choose: returns the indices of the icons to compute in each evaluation; None computes all.
        chosen: indices of the icons that were computed last, on the device.
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


def _prepared(model: Model, image: ImageLike, layer: str, size: int) -> tuple[np.ndarray, np.ndarray, int]:
    pixels = load_image(image, model_size(model))
    return pixels, spatial_activations(model, pixels, layer), checks.whole(size, "An icon's size", 2 * CROP + 1)


def _icons(pictures: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    cropped = pictures[:, CROP:-CROP, CROP:-CROP]
    return cropped.reshape(*shape[:2], *cropped.shape[1:])
