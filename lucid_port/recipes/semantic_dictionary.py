"""Semantic dictionaries: the strongest channels at each position of a picture, and icons of these channels.

Olah et al.: The Building Blocks of Interpretability (Distill, 2018); notebook building-blocks/SemanticDictionary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converters import checks
from converters.signatures import checked
from lucid_port.optvis import objectives
from lucid_port.optvis.engine.coerce import Model
from lucid_port.recipes.feature_visualization import visualize
from lucid_port.recipes.inputs import (
    ImageLike,
    PositionsLike,
    check_positions,
    check_units,
    load_image,
    model_size,
    spatial_activations,
)

__all__ = ["SemanticDictionary", "channel_icons", "semantic_dictionary"]


@dataclass(frozen=True)
class SemanticDictionary:
    """The strongest channels at each position.

    Attributes:
        layer: name of the layer.
        image: the picture, [H, W, 3].
        activations: [h, w, C].
        channels: channel numbers at each position, [h, w, top], the strongest first.
        values: activations of these channels, [h, w, top].
        icons: channel -> its feature visualization, [size, size, 3], for the requested positions.
    """

    layer: str
    image: np.ndarray
    activations: np.ndarray
    channels: np.ndarray
    values: np.ndarray
    icons: Mapping[int, np.ndarray] = field(default_factory=dict)

    @property
    def strongest(self) -> tuple[int, int]:
        """Row and column of the largest activation, where the notebook begins."""
        row, column = np.unravel_index(np.argmax(self.values[..., 0]), self.values.shape[:2])
        return int(row), int(column)


@checked
def semantic_dictionary(
    model: Model,
    image: ImageLike,
    layer: str,
    top: int = 4,
    *,
    positions: PositionsLike | None = None,
    size: int = 80,
    steps: int = 512,
    seed: int = 0,
    batch_size: int | None = None,
    verbose: bool = False,
) -> SemanticDictionary:
    """Finds the strongest channels of a layer at each position of a picture, and renders icons of some of them.

    Args:
        model: the model.
        image: a path, or an array [H, W, C] in [0, 1]; resized to the model's own size.
        layer: name of a convolutional layer.
        top: number of channels at each position.
        positions: (row, column) pairs whose channels are rendered; None for no icons.
        size: height and width of the icons in pixels.
        steps, seed, batch_size, verbose: settings of the icons' renders, as for `render_many`.

    Raises:
        ValueError: the layer is fully connected or has fewer channels than `top`, or a position does not exist.
        converters.LayerNotFoundError: the layer does not exist.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> image = np.random.RandomState(0).uniform(size=(96, 96, 3))
        >>> found = semantic_dictionary(TinyInceptionV1(), image, "mixed4d", 2, positions=[(0, 0)], size=32, steps=2)
        >>> found.channels.shape, len(found.icons)
        ((6, 6, 2), 2)
    """
    pixels = load_image(image, model_size(model))
    activations = spatial_activations(model, pixels, layer)
    top = checks.whole(top, "top", 1)
    if top > activations.shape[-1]:
        raise ValueError(
            f"Layer {layer!r} has {activations.shape[-1]} channels, fewer than top={top}: pass a smaller top."
        )
    channels = np.argsort(-activations, axis=-1, kind="stable")[..., :top]
    values = np.take_along_axis(activations, channels, -1)
    wanted = [] if positions is None else _channels_at(channels, positions)
    options: dict[str, Any] = {"size": size, "steps": steps, "seed": seed, "batch_size": batch_size}
    icons = channel_icons(model, layer, wanted, **options, verbose=verbose)
    return SemanticDictionary(layer, pixels, activations, channels, values, icons)


def _channels_at(channels: np.ndarray, positions: PositionsLike) -> list[int]:
    rows, columns = channels.shape[:2]
    places = check_positions(positions, rows, columns)
    return list(dict.fromkeys(int(channel) for place in places for channel in channels[place]))


@checked
def channel_icons(model: Model, layer: str, channels: list[int], **options: Any) -> dict[int, np.ndarray]:
    """Renders channels of a layer, with options as for `feature_visualization.visualize`.

    Returns:
        channel -> its picture, [size, size, 3] in [0, 1].

    Example:
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> list(channel_icons(TinyInceptionV1(), "mixed3a", [31, 30], size=32, steps=2))
        [31, 30]
    """
    if not checks.items(channels, "channels", "a list of channel numbers"):
        return {}
    wanted = check_units(model, layer, channels)
    made = visualize(model, [objectives.channel(layer, channel) for channel in wanted], **options)
    return dict(zip(wanted, made.pictures, strict=True))
