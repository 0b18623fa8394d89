"""Activations of the layers of a model for a picture: Lucid's `recipes.image_activations`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from converters import checks
from converters.signatures import checked
from lucid_port.optvis.engine.coerce import Model
from lucid_port.recipes.inputs import ImageLike, activations_of, load_image, model_size

__all__ = ["image_activations", "manifest_image_activations"]


@checked
def image_activations(
    model: Model, image: ImageLike, layer_names: Sequence[str] | None = None
) -> dict[str, np.ndarray]:
    """Computes the activations of layers for a picture.

    Args:
        model: the model.
        image: a path, or an array [H, W, C] in [0, 1]; resized to the model's own size.
        layer_names: the layers; by default those that the model lists as convolutional.

    Returns:
        layer -> float32 [h, w, C], [C] if the layer is fully connected, or [L, C] if it has L tokens.

    Raises:
        TypeError: `layer_names` is not a list.
        ValueError: `layer_names` is None and the model lists no layers, or `image` is not a picture.
        converters.LayerNotFoundError: a layer does not exist.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> found = image_activations(TinyInceptionV1(), np.full((96, 96, 3), 0.5), ["mixed4d", "softmax2"])
        >>> {layer: values.ndim for layer, values in found.items()}
        {'mixed4d': 3, 'softmax2': 1}
    """
    if layer_names is None:
        names = conv_layers(model)
    else:
        names = checks.items(layer_names, "layer_names", "a list of layers, as in ['mixed4a']")
    return activations_of(model, load_image(image, model_size(model)), names)


@checked
def manifest_image_activations(
    model: Model, image: ImageLike, *, layer_names: Sequence[str] | None = None
) -> dict[str, Any]:
    """Computes the activations of layers for a picture, and describes them as Lucid does.

    Args:
        model, image, layer_names: see `image_activations`, which raises the same errors.

    Returns:
        `type` ("image-activations"), `took` (seconds), and `values`: for each layer a dict of `type` ("activations"),
        `value`, `shape` and `layer_name`.

    Example:
        >>> import numpy as np
        >>> from lucid_port.modelzoo.vision_models import TinyInceptionV1
        >>> found = manifest_image_activations(TinyInceptionV1(), np.full((96, 96, 3), 0.5), layer_names=["mixed4d"])
        >>> [(value["layer_name"], value["shape"]) for value in found["values"]]
        [('mixed4d', (6, 6, 132))]
    """
    start = time.perf_counter()
    found = image_activations(model, image, layer_names)
    took = time.perf_counter() - start
    values = [
        {"type": "activations", "value": value, "shape": value.shape, "layer_name": name}
        for name, value in found.items()
    ]
    return {"type": "image-activations", "took": took, "values": values}


def conv_layers(model: Model) -> list[str]:
    """The names of the layers that a model lists as convolutional.

    Raises:
        ValueError: the model lists none.
    """
    names = [layer.name for layer in getattr(model, "layers", ()) if "conv" in layer.tags]
    if not names:
        raise ValueError("The model lists no convolutional layers: name the layers in layer_names.")
    return names
