"""What a picture is to a layer, in words that are pictures: the channels that fire at each position, and their icons.

Olah et al.: The Building Blocks of Interpretability (Distill, 2018); notebook building-blocks/SemanticDictionary.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lucid_port.misc import checks
from lucid_port.optvis import objectives
from lucid_port.optvis.engine.coerce import Model
from lucid_port.recipes.feature_visualization import visualize
from lucid_port.recipes.inputs import check_positions, load_image, model_size, spatial_activations

__all__ = ["SemanticDictionary", "channel_icons", "semantic_dictionary"]


@dataclass(frozen=True)
class SemanticDictionary:
    """The strongest channels at each position.

    Attributes:
        layer: the layer.
        image: the picture, [H, W, 3].
        activations: [h, w, C].
        channels: [h, w, top], the strongest first.
        values: [h, w, top], their activations.
        icons: channel -> its feature visualization, for the channels that were asked for.
    """

    layer: str
    image: np.ndarray
    activations: np.ndarray
    channels: np.ndarray
    values: np.ndarray
    icons: Mapping[int, np.ndarray] = field(default_factory=dict)

    @property
    def strongest(self) -> tuple[int, int]:
        """Row and column of the position where any channel fires most, with which the notebook begins."""
        row, column = np.unravel_index(np.argmax(self.values[..., 0]), self.values.shape[:2])
        return int(row), int(column)


def semantic_dictionary(
    model: Model,
    image: Any,
    layer: str,
    top: int = 4,
    *,
    positions: Any = None,
    size: int = 80,
    steps: int = 512,
    seed: int = 0,
    batch_size: int | None = None,
    verbose: bool = False,
) -> SemanticDictionary:
    """The strongest channels of a layer at each position of a picture, and icons for some of them.

    Args:
        model: the model.
        image: a path, or an array [H, W, C] in [0, 1]; resized to the model's own size.
        layer: a convolutional layer.
        top: channels at each position.
        positions: (row, column) pairs whose channels get icons; None for no icons.
        size: height and width of the icons.
        steps, seed, batch_size, verbose: of the icons' renders, as for `render_many`.

    Raises:
        ValueError: the layer is fully connected, has fewer channels than `top`, or a position does not exist.
        converters.LayerNotFoundError: there is no such layer.
    """
    pixels = load_image(image, model_size(model))
    activations = spatial_activations(model, pixels, layer)
    top = checks.whole(top, "top", 1)
    if top > activations.shape[-1]:
        raise ValueError(f"Layer {layer!r} has {activations.shape[-1]} channels; top={top} asks for more.")
    channels = np.argsort(-activations, axis=-1, kind="stable")[..., :top]
    values = np.take_along_axis(activations, channels, -1)
    wanted = [] if positions is None else _channels_at(channels, positions)
    options: dict[str, Any] = {"size": size, "steps": steps, "seed": seed, "batch_size": batch_size}
    icons = channel_icons(model, layer, wanted, **options, verbose=verbose)
    return SemanticDictionary(layer, pixels, activations, channels, values, icons)


def _channels_at(channels: np.ndarray, positions: Any) -> list[int]:
    rows, columns = channels.shape[:2]
    found: dict[int, None] = {}
    for row, column in check_positions(positions, rows, columns):
        found.update(dict.fromkeys(int(channel) for channel in channels[row, column]))
    return list(found)


def channel_icons(model: Model, layer: str, channels: list[int], **options: Any) -> dict[int, np.ndarray]:
    """Channel -> its feature visualization, [size, size, 3]; options as for `feature_visualization.visualize`."""
    if not channels:
        return {}
    made = visualize(model, [objectives.channel(layer, channel) for channel in channels], **options)
    return dict(zip(channels, made.pictures, strict=True))
