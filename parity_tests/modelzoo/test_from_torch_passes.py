"""Passes of torch networks: batches of one image, NaN, settings of torch, hooks, and tracers."""

from __future__ import annotations

import contextlib
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from converters import InputSizeError, LayerInfo
from converters.errors import ChannelAxisError
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.optvis import objectives, param, render

IMAGE = (16, 13, 3)


@pytest.fixture
def image():
    return torch.rand(1, 3, 16, 13, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def classifier():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))


class Squeezing(nn.Module):
    """Squeezes all axes of size 1, and so the axis of a single image."""

    def __init__(self, joins: bool = False) -> None:
        super().__init__()
        self.conv, self.pool, self.head = nn.Conv2d(3, 6, 3), nn.AdaptiveAvgPool2d(1), nn.Linear(6, 4)
        self.joins = joins

    def forward(self, x):
        found = self.head(self.pool(self.conv(x)).squeeze())
        return torch.cat([found, found], 1) if self.joins else found


@pytest.mark.parametrize("trace", [True, False])
def test_a_squeezed_batch_of_one_has_the_units_of_a_larger_batch(image, trace):
    torch.manual_seed(0)
    model = from_torch(Squeezing(), (0, 1), image_shape=IMAGE, trace=trace)
    pictures = torch.cat([image, image.flip(2)]).permute(0, 2, 3, 1).numpy()
    for layer in ("conv", "head", *(["squeeze"] if trace else [])):
        both = model.get_activations(layer, pictures)
        for number in range(len(pictures)):
            single = model.get_activations(layer, pictures[number : number + 1])
            np.testing.assert_allclose(single, both[number : number + 1], rtol=1e-5, atol=1e-6)
    objective = (
        objectives.channel("head", 2) + objectives.class_logit("head", 1) + objectives.channel("head", 3, batch=0)
    )
    found = render.render_vis(model, objective, lambda: param.image(13, 16), thresholds=(0, 10), verbose=False)
    assert found.losses[-1] > found.losses[0]


def test_a_squeezed_axis_is_taken_for_that_of_the_images_only_for_a_single_image():
    info = LayerInfo("squeeze", "squeeze", 6, "", axes="NCHW")
    assert info.axes_of_value(torch.zeros(6, 5, 4), 1) == "CHW"
    for shape, images in (((6, 5, 4), 2), ((6, 5, 4), None), ((5, 6, 4), 1), ((6, 5), 1)):
        with pytest.raises(ChannelAxisError, match="squeezes all axes of size 1 has to name them"):
            info.axes_of_value(torch.zeros(shape), images)


@pytest.mark.parametrize("trace", [True, False])
def test_a_network_that_does_not_run_on_one_image_says_so(image, trace):
    model = from_torch(Squeezing(joins=True), (0, 1), image_shape=IMAGE, trace=trace)
    assert model.activations(image.repeat(2, 1, 1, 1), "output")["output"].shape == (2, 8)
    with pytest.raises(InputSizeError, match=r"A batch of two images can be computed, not one of a single image"):
        model.activations(image, "output")


def test_several_layers_and_nan_in_get_activations(classifier, image):
    model = from_torch(classifier, (0, 1), image_shape=IMAGE)
    pictures = image.permute(0, 2, 3, 1).numpy().copy()
    with pytest.raises(TypeError, match="layer is the name of one layer"):
        model.get_activations(["3", "0"], pictures)
    pictures[0, 1, 2, 0] = np.nan
    with pytest.raises(ValueError, match="An image has values that are NaN"):
        model.get_activations("3", pictures)
    with pytest.warns(RuntimeWarning, match="The image has values that are NaN"):
        model.activations(torch.from_numpy(pictures).permute(0, 3, 1, 2), "3")


class Settings(nn.Module):
    """Computes one value under other settings."""

    def __init__(self, context) -> None:
        super().__init__()
        self.first, self.second, self.context = nn.Conv2d(3, 6, 3), nn.Conv2d(3, 6, 3), context

    def forward(self, x):
        with self.context():
            first = self.first(x)
        return first.float() + self.second(x)


@pytest.mark.parametrize(
    ("context", "words"),
    [
        (torch.no_grad, "without gradients"),
        (torch.inference_mode, "without gradients"),
        (lambda: torch.autocast("cpu", torch.bfloat16), "autocast"),
    ],
)
@pytest.mark.parametrize("is_outer", [False, True])
def test_values_and_gradients_under_other_settings_are_those_of_the_network(image, context, words, is_outer):
    torch.manual_seed(0)
    network = Settings(context)
    with torch.no_grad() if is_outer else contextlib.nullcontext():  # when the model is made
        model = from_torch(network, (0, 1), image_shape=IMAGE)
    assert words in model.network.untraced
    assert "add" in model.network.layers
    gradients = []
    for run in (lambda x: model.activations(x, "add")["add"], network):
        x = image.clone().requires_grad_()
        value = run(x)
        gradients.append((value, *torch.autograd.grad(value.square().sum(), x)))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=0)


def test_sizes_and_constants_under_no_grad_do_not_hinder_a_trace(image):
    class Positions(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.scale = nn.Conv2d(3, 4, 1), nn.Parameter(torch.ones(1))

        def forward(self, x):
            with torch.no_grad():
                rows = torch.arange(x.shape[2]) * self.scale
            return self.conv(x) + rows[:, None]

    assert from_torch(Positions(), (0, 1), image_shape=IMAGE).network.untraced is None


def test_hooks_of_modules_that_are_traced_through_run(image):
    class Scale(nn.Module):
        def forward(self, x):
            return 2 * x

    network = nn.Sequential(nn.Conv2d(3, 4, 3), Scale(), nn.ReLU())
    model = from_torch(network, (0, 1), image_shape=IMAGE)
    assert model.network.untraced is None
    before = model.activations(image, "2")["2"]
    handle = network[1].register_forward_hook(lambda module, inputs, output: -output)
    torch.testing.assert_close(model.activations(image, "2")["2"], network(image), rtol=0, atol=0)
    handle.remove()
    torch.testing.assert_close(model.activations(image, "2")["2"], before, rtol=0, atol=0)


def test_tracers_take_models_as_well_as_their_networks(image):
    torch.manual_seed(0)
    model = from_torch(Squeezing(), (-2, 2), is_BGR=True, image_shape=IMAGE)
    expected = model(image)
    traced = torch.fx.symbolic_trace(model)
    torch.testing.assert_close(traced(image), expected, rtol=0, atol=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error", torch.jit.TracerWarning)
        warnings.filterwarnings("ignore", category=FutureWarning)
        traced = torch.jit.trace(model, image)
    torch.testing.assert_close(traced(image), expected)
    torch.testing.assert_close(torch.fx.symbolic_trace(model.network)(model.create_input(image)), expected)


def test_layers_of_torch_networks_have_no_layout_of_tensorflow(classifier):
    assert {info.layout for info in from_torch(classifier, (0, 1), image_shape=IMAGE).network.layers.values()} == {""}
