"""What the layers of a model make of a picture: Lucid's `recipes.image_activations`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lucid_port.misc import checks
from lucid_port.optvis.engine.coerce import Model
from lucid_port.recipes.inputs import activations_of, load_image, model_size

__all__ = ["image_activations"]


def image_activations(model: Model, image: Any, layer_names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
    """A picture's activations.

    Args:
        model: the model.
        image: a path, or an array [H, W, C] in [0, 1]; resized to the model's own size.
        layer_names: the layers; by default those that the model lists as convolutional.

    Returns:
        layer -> [h, w, C] (or [C] for fully connected layers), float32.

    Raises:
        TypeError: `layer_names` is no list, but one name.
        ValueError: the model lists no layers, and none are named; or the picture is none.
        converters.LayerNotFoundError: a name is no layer's.
    """
    if layer_names is None:
        names = conv_layers(model)
    else:
        names = checks.items(layer_names, "layer_names", "a list of layers, as in ['mixed4a']")
    return activations_of(model, load_image(image, model_size(model)), names)


def conv_layers(model: Model) -> list[str]:
    """Names of the layers that a model lists as convolutional.

    Raises:
        ValueError: it lists none.
    """
    names = [layer.name for layer in getattr(model, "layers", ()) if "conv" in layer.tags]
    if not names:
        raise ValueError("The model lists no convolutional layers: name the layers.")
    return names
