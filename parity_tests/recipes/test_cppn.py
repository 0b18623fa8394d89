"""Paintings: networks of coordinates, trained in a batch, shown at any size, mixed."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from lucid_port.optvis import objectives, render
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.param.cppn import composite_activation
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes import cppn
from lucid_port.recipes.cppn import ACTIVATIONS, between, loop, paint

UNIT = "mixed3b_pre_relu:3"


@pytest.fixture(scope="module")
def made(model):
    return paint(model, [UNIT, "mixed4a_pre_relu:5"], size=33, steps=24, thresholds=(4, 12))


def conv_cppn(size):
    """The notebook's network with 1x1 convolutions, its weights drawn as the recipe's are."""
    sizes = [(2, 24), *[(48, 24)] * 7, (48, 3)]
    layers = torch.nn.ModuleList(torch.nn.Conv2d(a, b, 1) for a, b in sizes)
    source = RandomSource(0).scope("param").scope("0")
    with torch.no_grad():
        for number, layer in enumerate(layers):
            layer.bias.zero_()
            if number == 8:
                layer.weight.zero_()
                continue
            noise = source.normal(f"{number}/weight", (layer.out_channels, layer.in_channels))
            layer.weight.copy_(torch.from_numpy(noise[..., None, None] / math.sqrt(layer.in_channels)))

    class Image(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = layers
            line = torch.linspace(-math.sqrt(3), math.sqrt(3), size)
            y, x = torch.meshgrid(line, line, indexing="ij")
            self.grid = torch.stack([x, y])[None]

        def forward(self):
            net = self.grid
            for layer in self.layers[:-1]:
                net = composite_activation(layer(net))
            return torch.sigmoid(self.layers[-1](net))

    return Image()


def test_a_painting_is_the_notebooks(model):
    made = paint(model, [UNIT], size=24, steps=5, lr=0.005, thresholds=(1,))
    network = conv_cppn(24)
    options = {"transforms": [], "relu_gradient_override": True}
    vis = render.make_vis_T(
        model, objectives.channel("mixed3b_pre_relu", 3), network, lambda p: TFAdam(p, lr=0.005), **options
    )
    losses = [float(vis.step())]
    np.testing.assert_allclose(made.pictures[0], vis.image(), atol=1e-5)
    losses += [float(vis.step()) for _ in range(4)]
    # Products of matrices here, convolutions there. Gradients of hidden weights are tiny at first, where Adam goes by
    # their sign, so that pictures part soon; after five updates the values differ by 3e-4.
    np.testing.assert_allclose(made.losses[0], losses, rtol=1e-3)


def test_the_story_of_a_painting(made):
    assert made.thresholds == (4, 12, 24)
    assert made.pictures.shape == (3, 2, 33, 33, 3)
    contrast = made.pictures.std((2, 3)).mean(-1)
    assert (np.diff(contrast, axis=0) > 0).all(), "from flat grey to a picture"
    assert (made.losses[:, -1] > made.losses[:, 0]).all()
    assert len({len(group) for group in made.networks}) == 1
    for pictures, networks in zip(made.pictures, made.networks, strict=True):
        np.testing.assert_allclose(networks.paint(33), pictures, atol=1e-5)


def test_networks_have_the_articles_size(made):
    networks = made.networks[0]
    assert sum(w[0].size + b[0].size for w, b in zip(networks.weights, networks.biases, strict=True)) == 8451


def test_paintings_of_a_batch_are_those_made_alone(model, made):
    alone = paint(model, ["mixed4a_pre_relu:5"], size=33, steps=4)
    np.testing.assert_allclose(alone.pictures[0, 0], made.pictures[0, 1], atol=1e-5)  # measured 1e-7


def test_a_larger_painting_is_the_same_picture(made):
    networks = made.networks[-1]
    small, large = networks.paint(33), networks.paint(65)
    np.testing.assert_allclose(large[:, ::2, ::2], small, atol=1e-5)
    low = np.fft.rfft2(small, axes=(1, 2))[:, :4, :4] / 33**2
    high = np.fft.rfft2(large, axes=(1, 2))[:, :4, :4] / 65**2
    np.testing.assert_allclose(np.abs(high), np.abs(low), atol=2e-3 * np.abs(low).max())  # measured 3e-4


def test_a_wide_painting_goes_on_at_its_sides(made):
    networks = made.networks[-1][0]
    wide, tall = networks.paint((33, 65)), networks.paint((65, 33))
    assert wide.shape == (1, 33, 65, 3)
    np.testing.assert_allclose(wide[:, :, 16:49], networks.paint(33), atol=1e-4)
    np.testing.assert_allclose(tall[:, 16:49], networks.paint(33), atol=1e-4)


def test_stripes_do_not_show(made, monkeypatch):
    whole = made.networks[-1].paint(40)
    monkeypatch.setattr(cppn, "STRIPE", 111)
    np.testing.assert_allclose(made.networks[-1].paint(40), whole, atol=1e-6)


def test_mixed_networks(made):
    first, second = made.networks[-1][0], made.networks[-1][1]
    np.testing.assert_array_equal(between(first, second, 0).paint(16), first.paint(16))
    np.testing.assert_array_equal(between(first, second, 1).paint(16), second.paint(16))
    half = between(first, second, 0.5)
    np.testing.assert_allclose(half.weights[3], 1.25 * (first.weights[3] + second.weights[3]) / 2, rtol=1e-6)


def test_a_loop_comes_back(made):
    first, second = made.networks[-1][0], made.networks[-1][1]
    frames = loop(first, second, 8, 16)
    assert frames.shape == (8, 16, 16, 3)
    np.testing.assert_array_equal(frames[0], first.paint(16)[0])
    np.testing.assert_allclose(frames[4], second.paint(16)[0], atol=1e-5)
    np.testing.assert_allclose(frames[1:4], frames[:4:-1], atol=1e-5)
    with pytest.raises(ValueError, match="choose one"):
        loop(made.networks[-1], second)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(model, name):
    made = paint(model, [UNIT], size=24, steps=8, activation=name)
    assert made.pictures[-1].std((1, 2)).mean() > 1e-4
    noise = ACTIVATIONS[name](torch.randn(1, 8, 4000, generator=torch.Generator().manual_seed(0)))
    assert noise.square().mean().sqrt() == pytest.approx(1, abs=0.05), "of deviation 1 for normal input"


def test_networks_that_cannot_be_mixed(model, made):
    other = paint(model, [UNIT], size=16, steps=1, activation="abs_normalized").networks[0]
    with pytest.raises(ValueError, match="one activation"):
        between(made.networks[0][0], other, 0.5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"wanted": []}, "no objectives"),
        ({"wanted": UNIT}, "wanted"),
        ({"activation": "sine"}, "activation is one of"),
        ({"thresholds": (9,)}, "not reached"),
        ({"thresholds": (0,)}, "thresholds"),
        ({"steps": 0}, "steps"),
    ],
)
def test_arguments_that_make_no_sense(model, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        paint(model, **{"wanted": [UNIT], "size": 16, "steps": 2, **options})
