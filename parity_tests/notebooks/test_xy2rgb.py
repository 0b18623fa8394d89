"""Lucid's xy2rgb: images as networks of their coordinates, stories of their training, morphs between them."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import lucid_port.optvis.objectives as objectives
import lucid_port.optvis.param as param
import lucid_port.optvis.render as render
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.sampling import RandomSource
from parity_tests.notebooks.measure import value


def composite_activation(x):
    x = torch.atan(x)
    # Each half is divided by its own deviation for normal input.
    return torch.cat([x / 0.67, (x * x) / 0.6], 1)


def composite_activation_unbiased(x):
    x = torch.atan(x)
    return torch.cat([x / 0.67, (x * x - 0.45) / 0.396], 1)


def relu_normalized(x):
    return (torch.relu(x) - 0.40) / 0.58


def abs_normalized(x):
    return (x.abs() - 0.79) / 0.6


class ImageCPPN(torch.nn.Module):
    """The notebook's own network: untruncated weights, zero biases, a flat grey image at first."""

    def __init__(self, size, num_output_channels=3, num_hidden_channels=24, num_layers=8, activation_fn=None, seed=0):
        super().__init__()
        self.activation_fn = activation_fn or composite_activation
        self.resize(size)
        generator = torch.Generator().manual_seed(seed)
        grown = self.activation_fn(torch.zeros(1, num_hidden_channels, 1, 1)).shape[1]
        sizes = [2] + [grown] * num_layers
        self.layers = torch.nn.ModuleList(torch.nn.Conv2d(n, num_hidden_channels, 1) for n in sizes[:-1])
        self.last = torch.nn.Conv2d(sizes[-1], num_output_channels, 1)
        with torch.no_grad():
            for layer in (*self.layers, self.last):
                deviation = math.sqrt(1.0 / layer.in_channels) * (layer is not self.last)
                layer.weight.copy_(deviation * torch.randn(layer.weight.shape, generator=generator))
                layer.bias.zero_()

    def resize(self, size):
        """The same picture at another size."""
        line = torch.linspace(-math.sqrt(3), math.sqrt(3), size)
        y, x = torch.meshgrid(line, line, indexing="ij")
        self.register_buffer("coordinates", torch.stack([x, y])[None], persistent=False)
        return self

    def forward(self):
        net = self.coordinates
        for layer in self.layers:
            net = self.activation_fn(layer(net))
        return torch.sigmoid(self.last(net))


UNIT = objectives.channel("mixed4b_3x3_pre_relu", 77)


def adam(rate):
    """Instead of tf.train.AdamOptimizer(rate)."""
    return lambda parameters: TFAdam(parameters, lr=rate)


def test_a_painting_appears(model):
    images = render.render_vis(
        model,
        UNIT,
        lambda: ImageCPPN(64),
        optimizer=adam(0.005),
        transforms=[],
        thresholds=(0, 4, 11),
        verbose=False,
    )
    assert [image.shape for image in images] == [(1, 64, 64, 3)] * 3
    contrast = [image.std((1, 2)).mean() for image in images]
    assert contrast == sorted(set(contrast))
    assert value(model, UNIT, images[-1]) > value(model, UNIT, np.full((1, 64, 64, 3), 0.5, np.float32))


def render_story(model, obj, size, steps, lr=0.004):
    """The notebook's training loop: step, and keep losses and parameters on the way."""
    vis = render.make_vis_T(model, obj, lambda: ImageCPPN(size), optimizer=adam(lr), transforms=[])
    story = []
    for _ in range(steps):
        loss = vis.step()
        story.append((float(loss), [p.detach().clone() for p in vis.parameters]))
    return vis, story


STORY = [
    "mixed4b_pool_reduce_pre_relu:16",
    "mixed4a_pool_reduce_pre_relu:52",
    "mixed4c_pool_reduce_pre_relu:5",
    "mixed4b_3x3_pre_relu:77",
    "mixed4d_3x3_bottleneck_pre_relu:114",
    "mixed4d_3x3_bottleneck_pre_relu:139",
    "mixed4e_3x3_pre_relu:120",
]


@pytest.mark.parametrize("obj", STORY)
def test_every_layer_of_the_story_can_be_stepped(model, obj):
    vis, story = render_story(model, obj, 33, 3)
    assert vis.steps == 3
    assert all(np.isfinite(loss) for loss, _ in story)
    first, last = story[0][1], story[-1][1]
    assert any(not torch.equal(a, b) for a, b in zip(first, last, strict=True))
    picture = vis("input").permute(0, 2, 3, 1).numpy()
    np.testing.assert_array_equal(picture, vis.image())
    assert value(model, obj, picture) == pytest.approx(float(vis("loss")), rel=1e-4)


@pytest.mark.parametrize("obj", ["head0_bottleneck_pre_relu:0", "softmax0_pre_activation/matmul:316"])
def test_heads_of_the_story_at_their_own_size(model, obj):
    """A head that is fully connected exists for the size of training only."""
    vis, story = render_story(model, obj, 224, 2)
    assert np.isfinite([loss for loss, _ in story]).all()
    assert vis.image().shape == (1, 224, 224, 3)
    assert float(vis("loss")) > story[0][0]


def test_the_same_painting_at_another_size():
    """Every second pixel of the larger one, where both have a pixel at the same place."""
    network = ImageCPPN(17, seed=3)
    with torch.no_grad():
        network.last.weight.normal_(generator=torch.Generator().manual_seed(1))
        small = network()
        large = network.resize(33)()
    assert large.shape == (1, 3, 33, 33)
    torch.testing.assert_close(large[..., ::2, ::2], small, atol=1e-5, rtol=0)
    assert large.std() > 1e-2


def morph(first, second, t):
    """Parameters between two networks, a little larger half way."""
    boost = 1 + t * (1 - t)
    return [(a * (1 - t) + b * t) * boost for a, b in zip(first, second, strict=True)]


def test_a_morph_leads_from_one_painting_to_another():
    networks = [ImageCPPN(16, seed=seed) for seed in (1, 2)]
    for network in networks:
        torch.nn.init.normal_(network.last.weight, generator=torch.Generator().manual_seed(5))
    ends = [[p.detach() for p in network.parameters()] for network in networks]
    shown, frames = ImageCPPN(16), []
    for tau in np.linspace(0, 1, 9):
        t = (1 - math.cos(2 * math.pi * tau)) / 2
        with torch.no_grad():
            for parameter, between in zip(shown.parameters(), morph(*ends, t), strict=True):
                parameter.copy_(between)
            frames.append(shown())
    pictures = [network().detach() for network in networks]
    torch.testing.assert_close(frames[0], pictures[0])
    torch.testing.assert_close(frames[4], pictures[1])
    torch.testing.assert_close(frames[8], pictures[0], atol=1e-5, rtol=0)
    assert all((frame - other).abs().mean() > 1e-3 for frame in frames[1:4] for other in pictures)


@pytest.mark.parametrize(
    "activation", [composite_activation, composite_activation_unbiased, relu_normalized, abs_normalized]
)
def test_other_activations_make_other_paintings(model, activation):
    picture = render.render_vis(
        model,
        UNIT,
        lambda: ImageCPPN(40, activation_fn=activation),
        optimizer=adam(0.005),
        transforms=[],
        thresholds=(5,),
        verbose=False,
    )[-1]
    assert picture.std((1, 2)).mean() > 1e-4
    assert value(model, UNIT, picture) > value(model, UNIT, np.full((1, 40, 40, 3), 0.5, np.float32))


# Lucid's own CPPN, which later notebooks use ---------------------------------------------------


def test_the_first_image_of_a_cppn_is_flat():
    image = param.cppn(20).reset(RandomSource(3)).nhwc().detach().numpy()
    assert image.shape == (1, 20, 20, 3)
    np.testing.assert_allclose(image, np.broadcast_to(image[:, :1, :1], image.shape), atol=1e-6)
    assert len(np.unique(image[0, 0, 0].round(6))) == 3
    assert np.abs(image - 0.5).max() < 0.2  # biases are small


def test_initial_weights_of_a_cppn_are_a_cut_normal_distribution():
    made = param.cppn(8).reset(RandomSource(0))
    assert sum(p.numel() for p in made.parameters()) == 8451
    scaled = torch.cat([(layer.weight * layer.weight.shape[1] ** 0.5).flatten() for layer in made.hidden]).detach()
    # Cut at two deviations of a distribution that has the deviation 1 after the cut.
    assert scaled.abs().max() <= 2 / 0.87962566 + 1e-5
    assert scaled.abs().max() > 2.1
    assert scaled.std() == pytest.approx(1, abs=0.03)


def test_cppn_weights_carry_over_to_another_size():
    small, large = (param.cppn(size).reset(RandomSource(1)) for size in (9, 17))
    with torch.no_grad():
        small.last.weight.normal_(generator=torch.Generator().manual_seed(0))
    large.load_state_dict(small.state_dict())
    torch.testing.assert_close(large()[..., ::2, ::2], small(), atol=1e-5, rtol=0)
    assert small().std() > 1e-2
