"""Arguments of models are checked when a model is opened."""

from __future__ import annotations

import pytest

from lucid_port.modelzoo.nets_factory import open_model
from lucid_port.modelzoo.vision_base import _manifest_layers


@pytest.mark.parametrize("labels", ["abc", [1, 2], 3])
def test_labels_are_a_list_of_texts(labels):
    with pytest.raises(TypeError, match="label"):
        open_model("TinyInceptionV1", labels=labels)


@pytest.mark.parametrize(
    ("shape", "words"),
    [
        ((3, 224, 224), r"give \(224, 224, 3\), with the channels last"),
        ((224, 224), r"is \(height, width, channels\), not \(224, 224\)"),
        ((0, 224, 3), "Every size of image_shape is a whole number from 1 on"),
        ((224.5, 224, 3), "Every size of image_shape is a whole number"),
        ("abc", "image_shape"),
    ],
)
def test_the_shape_of_a_networks_images_has_the_channels_last(shape, words):
    with pytest.raises((TypeError, ValueError), match=words):
        open_model("TinyInceptionV1", image_shape=shape)


@pytest.mark.parametrize("layers", [3, "mixed3a", [3], [{"name": "a"}]])
def test_the_layers_of_a_models_manifest_are_names_or_objects(layers):
    with pytest.raises(ValueError, match="layers are names, or objects with name, depth and tags"):
        _manifest_layers(layers, "model")
