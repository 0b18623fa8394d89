"""Wrong arguments: one sentence each, before the work starts."""

from __future__ import annotations

import builtins
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from converters import InputSizeError, LayerNotFoundError, MissingPackageError
from lucid_port.attribution import attribute, method_names
from lucid_port.modelzoo.from_torch import from_torch
from parity_tests.attribution.networks import SIZE, photos

PHOTO = photos(1)[0]


@pytest.fixture(scope="module")
def model(branching):
    return branching[1]


CASES = [
    ({"target": "dgo"}, "No class of the model is called 'dgo'. Did you mean dog?"),
    ({"target": "head:9"}, "Layer 'head' has no unit 9: its units are 0 to 3."),
    ({"target": 4}, "has no unit 4: its units are 0 to 3."),
    ({"target": -1}, "A target, if it is not a text, is a whole number from 0 on, not -1."),
    ({"target": 1.5}, "A target, if it is not a text, is a whole number from 0 on, not 1.5."),
    ({"target": "head:dgo"}, "No class of the model is called 'dgo'. Did you mean dog?"),
    (
        {"target": "conv2:dog"},
        "Layer 'conv2' has 6 units, and the labels name 4 classes: give a number, as in conv2:0.",
    ),
    ({"target": "conv2"}, "'conv2' is a layer: name one of its units, as in conv2:0."),
    ({"target": "conv2:3[99,0]"}, "Layer 'conv2' has no place [99,0]: it has 19 x 26 places."),
    ({"target": "conv2:3,4"}, "conv2:3,4 names several units: name one, as in conv2:3."),
    ({"target": "head:"}, "'head:' names no unit of layer 'head': a unit is a number from 0 on, or a label."),
    ({"target": ["dog", "cat"]}, "There are 2 targets for 1 pictures: give one for each, or one for all."),
    ({"target": "conv1:2", "layer": "conv3", "method": "conductance"}, "Layer 'conv3' comes after the target conv1:2"),
    ({"target": "relu_1:2", "layer": "add", "method": "conductance"}, "Layer 'add' comes after the target relu_1:2"),
    ({"layer": "conv2:9", "method": "gradient"}, "Layer 'conv2' has no unit 9: its units are 0 to 5."),
    ({"layer": "conv2:x", "method": "gradient"}, "'conv2:x' names no neuron of layer 'conv2': write conv2:0."),
    ({"method": "saliencies"}, "No method for pictures is called 'saliencies': there are saliency, input_x_gradient,"),
    ({"method": "conductance"}, "'conductance' explains layers and neurons: name a layer, as in layer='mixed4d'."),
    ({"method": "saliency", "n_steps": 3}, "saliency takes no n_steps: its options are abs."),
    ({"n_stps": 3}, "integrated_gradients takes no n_stps: its options are baselines, n_steps, integral,"),
    ({"nt_samples": 3}, "takes no nt_samples (it belongs to noise: name noise='smoothgrad', too)"),
    ({"noise": "smooth"}, "noise is one of 'smoothgrad', 'smoothgrad_sq', 'vargrad', not 'smooth'."),
    ({"n_steps": 0}, "n_steps is a whole number from 1 on, not 0."),
    ({"integral": "simpson"}, "integral is one of 'gausslegendre', 'riemann_left'"),
    ({"baselines": 2}, "baselines is a finite number from 0 to 1, not 2."),
    ({"baselines": np.full((3, 4, 3), 300.0)}, "baselines has values from 300 to 300, but images are in [0, 1]"),
    ({"baselines": photos(3)}, "baselines has 3 pictures for 1: give one, or one for each."),
    ({"baselines": photos(1, 8, 8), "prepare": False}, "baselines has 8 x 8 pixels, and the pictures 19 x 26."),
    ({"method": "occlusion", "sliding_window_shapes": 20}, "The window 20 x 20 is larger than the picture, 19 x 26."),
    ({"method": "occlusion", "sliding_window_shapes": 4, "strides": 5}, "they leave out pixels."),
    (
        {"method": "feature_ablation", "feature_mask": np.zeros((3, 3), int)},
        "feature_mask is an array of whole numbers",
    ),
    ({"layer": "conv2", "method": "activation", "target": "dog"}, "activation of a layer explains no target"),
    ({"photo": PHOTO * 255}, "The picture has values from"),
    ({"photo": np.full_like(PHOTO, np.nan)}, "The picture has values that are NaN"),
    ({"photo": np.zeros((19, 26, 5))}, "The picture has 5 channels, and the network takes 3."),
    (
        {"photo": np.zeros((3, 19, 26))},
        "The picture has 26 channels, and the network takes 3: arrays have the channels",
    ),
    ({"photo": np.zeros((19, 26))}, "The picture is an array [H, W, C] or [N, H, W, C] with pixels"),
    ({"photo": torch.zeros(2, 19)}, "The picture is a tensor (N, C, H, W) with pixels, not a tensor of shape (2, 19)."),
    ({"photo": np.zeros((0, 19, 26, 3))}, "with pixels"),
    ({"photo": ["a", PHOTO]}, ""),
    (
        {"layer": "conv2", "method": "feature_ablation", "layer_mask": np.zeros((1, 5, 1, 1), int)},
        "layer_mask is an array of whole numbers that broadcasts to [1, 6, 19, 26]",
    ),
    ({"layer": "conv2", "method": "feature_ablation", "layer_baselines": "x"}, "layer_baselines is an array of real"),
    ({"method": "grad_cam", "cam_layer": "mean"}, "Layer 'mean' is fully connected: it has no positions."),
    ({"method": "grad_cam", "cam_layer": 3}, "cam_layer is the name of a layer, not 3."),
    ({"batch_size": 0}, "batch_size is a whole number from 1 on, not 0."),
]


@pytest.mark.parametrize(("arguments", "sentence"), CASES, ids=lambda value: str(value)[:40])
def test_a_wrong_argument(model, arguments, sentence):
    arguments = {"photo": PHOTO, "target": "dog", **arguments}
    if "layer" in arguments and arguments.get("method") == "gradient":
        del arguments["target"]
    if not sentence:
        with pytest.raises((TypeError, ValueError)):
            attribute(model, **arguments)
        return
    with pytest.raises((ValueError, TypeError)) as raised:
        attribute(model, **arguments)
    assert sentence in str(raised.value)
    assert "\n" not in str(raised.value)


def test_layers_that_do_not_exist(model):
    for arguments in ({"layer": "conv9", "method": "conductance"}, {"target": "conv9:3"}, {"layer": "conv9:3"}):
        with pytest.raises(LayerNotFoundError, match=r"No layer is called 'conv9'\. Did you mean conv"):
            attribute(model, PHOTO, **arguments)


def test_files_that_do_not_exist(model, tmp_path):
    with pytest.raises(FileNotFoundError):
        attribute(model, tmp_path / "none.png", "dog")
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises((ValueError, OSError)):
        attribute(model, tmp_path / "text.png", "dog")


def test_the_methods_of_each_kind_are_listed(model):
    for layer in (None, "conv2", "conv2:1"):
        kind = "input" if layer is None else "neuron" if ":" in layer else "layer"
        with pytest.raises(ValueError, match=", ".join(method_names(kind))):
            attribute(model, PHOTO, "dog", layer, "nothing")


def test_a_layer_beside_the_target(tiny):
    """Two branches of a module: neither leads to the other."""
    with pytest.raises(ValueError, match="does not depend on layer 'mixed4a_3x3_pre_relu': name a layer that leads"):
        attribute(tiny, PHOTO, "mixed4a_1x1:3", "mixed4a_3x3_pre_relu", "conductance", prepare=False)


def test_a_target_without_gradient():
    class Rounded(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean((2, 3)).detach()

    model = from_torch(Rounded(), (0, 1), image_shape=(*SIZE, 3))
    with pytest.raises(ValueError, match="does not depend on the picture by a gradient"):
        attribute(model, PHOTO, 1)


def test_networks_without_a_score(tmp_path):
    class Maps(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x) * 1.0

    model = from_torch(Maps(), (0, 1), image_shape=(*SIZE, 3))
    with pytest.raises(
        ValueError, match=r"has no single score for a class, but 4 x 17 x 24 values: give the target as"
    ):
        attribute(model, PHOTO)
    assert attribute(model, PHOTO, "conv:1[2,3]", n_steps=2).values.shape == (1, *SIZE, 3)

    class Two(Maps):
        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            return self.conv(x).mean((2, 3)), x.mean((2, 3))

    two = from_torch(Two(), (0, 1), image_shape=(*SIZE, 3))
    with pytest.raises(ValueError, match=r"logits cannot be found.*LAYER:NUMBER"):
        attribute(two, PHOTO)


def test_a_size_that_the_network_does_not_take(tiny):
    with pytest.raises(InputSizeError):
        attribute(tiny, PHOTO, "spiral", prepare=False)


def test_networks_of_other_channels():
    class Six(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(6, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x).mean((2, 3))

    model = from_torch(Six(), (0, 1), image_shape=(9, 8, 6))
    assert attribute(model, np.zeros((9, 8, 6), np.float32), 1, n_steps=2).values.shape == (1, 9, 8, 6)
    with pytest.raises(ValueError, match="The picture has 3 channels, and the network takes 6"):
        attribute(model, PHOTO, 1)
    with pytest.raises(ValueError, match="takes images of 6 channels, which a picture file does not have"):
        attribute(model, Image.new("RGB", (8, 9)), 1)


def test_captum_is_missing(model, monkeypatch):
    monkeypatch.setitem(sys.modules, "captum.attr", None)
    with pytest.raises(MissingPackageError, match=r"needs the package captum: pip install -e '\.\[captum\]'"):
        attribute(model, PHOTO, "dog")


def test_segments_need_scikit_image(model, monkeypatch):
    original = builtins.__import__

    def without(name, *rest, **others):
        if name.startswith("skimage"):
            raise ImportError(name)
        return original(name, *rest, **others)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingPackageError, match="scikit-image: pip install"):
        attribute(model, PHOTO, "dog", method="feature_ablation")
