"""Some channels of a layer: the values of the layer's own, less work, and nothing that hooks would miss."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from converters import convert
from converters.network.request import LayerRequest
from lucid_port.modelzoo.seeded import seeded_inceptionv1
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import objectives, param, render

LAYERS = (
    ("mixed4a_pre_relu", "towers before their ReLUs"),
    ("mixed4a", "towers"),
    ("mixed3a_3x3_pre_relu", "a convolution and its bias"),
    ("mixed3a_3x3_pre_relu/conv", "a convolution"),
    ("mixed3a_3x3", "a ReLU"),
    ("maxpool4", "what is no convolution"),
    ("conv2d0", "the first layer"),
    ("input", "the input"),
)


@pytest.fixture(scope="module")
def network():
    return convert(seeded_inceptionv1(width=0.1))


@pytest.fixture(scope="module")
def image():
    return torch.from_numpy(np.random.RandomState(0).uniform(-117, 138, (2, 3, 45, 38)).astype(np.float32))


def chosen(network, layer):
    """Channels of each tower, alone and together."""
    count = network.layers[layer].channels or 3
    return [(0,), (count - 1,), (1, 0, 2), tuple(range(count)), (0, count - 1)]


def near(found, expected):
    """Equal up to rounding: one channel alone is computed by another kernel than all."""
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-6 * float(expected.abs().max()))


@pytest.mark.parametrize(("layer", "what"), LAYERS)
def test_channels_are_those_of_the_layer(network, image, layer, what):
    whole = network.activations(image, [layer])[layer]
    for channels in chosen(network, layer):
        found = network.activations(image, [layer], channels={layer: channels})[layer]
        near(found, whole[:, list(channels)])


@pytest.mark.parametrize(("layer", "what"), LAYERS[:5])
def test_their_gradient_is_that_of_the_layer(network, image, layer, what):
    def gradient(**options):
        x = image.clone().requires_grad_()
        value = network.activations(x, [layer], **options)[layer]
        taken = value if options else value[:, [2]]
        return torch.autograd.grad(taken.square().mean(), x)[0]

    expected = gradient()
    found = gradient(channels={layer: [2]})
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_the_other_towers_are_not_computed(network):
    run = network._prepared(LayerRequest.of("mixed4a_pre_relu", {"mixed4a_pre_relu": [0]}))
    names = {node.meta["layer"] for node in run.graph.graph.nodes if "layer" in node.meta}
    assert run.selected == {"mixed4a_pre_relu"}
    assert not any(name.startswith("mixed4a_") and name != "mixed4a_pre_relu" for name in names)


def test_a_layer_that_others_read_is_computed_whole(network, image):
    names = ["mixed3a", "mixed3b"]
    whole = network.activations(image, names)
    found = network.activations(image, names, channels={"mixed3a": [1]})
    near(found["mixed3a"], whole["mixed3a"][:, [1]])
    near(found["mixed3b"], whole["mixed3b"])


@pytest.mark.parametrize("watched", ["mixed4a_1x1_pre_relu__conv", "mixed4a_pre_relu"])
def test_hooks_on_what_is_left_out_run_and_see_everything(network, image, watched):
    seen = []
    handle = network.get_submodule(watched).register_forward_hook(lambda *args: seen.append(args[2].shape[1]))
    try:
        found = network.activations(image, ["mixed4a_pre_relu"], channels={"mixed4a_pre_relu": [0]})
    finally:
        handle.remove()
    assert len(seen) == 1
    assert seen[0] > 1
    assert found["mixed4a_pre_relu"].shape[1] == 1


def test_functions_in_the_place_of_relus_count(network, image):
    double = {"Relu": lambda x: 2 * torch.relu(x)}
    whole = network.activations(image, ["mixed4a"], instead=double)["mixed4a"]
    near(network.activations(image, ["mixed4a"], instead=double, channels={"mixed4a": [3]})["mixed4a"], whole[:, [3]])


def test_changed_weights_count(image):
    network = convert(seeded_inceptionv1(width=0.1))
    ask = {"names": ["mixed3a_pre_relu"], "channels": {"mixed3a_pre_relu": [0]}}
    before = network.activations(image, **ask)["mixed3a_pre_relu"]
    network.get_submodule("mixed3a_1x1_pre_relu__conv").weight.data *= 2
    assert (network.activations(image, **ask)["mixed3a_pre_relu"] - before).abs().max() > 1


@pytest.mark.parametrize(
    ("channels", "error", "words"),
    [
        ({"mixed3a": [10**6]}, IndexError, "Layer 'mixed3a' has no channel 1000000: its channels are 0 to"),
        ({"mixed3a": [-1]}, ValueError, "from 0 on, not -1"),
        ({"mixed3a": [1.5]}, ValueError, "from 0 on, not 1.5"),
        ({"mixed3a": [True]}, ValueError, "from 0 on, not True"),
        ({"mixed3a": []}, ValueError, "names no channel of layer 'mixed3a'"),
        ({"mixed4a": [0]}, ValueError, "'mixed4a', which is not among the requested layers"),
    ],
)
def test_channels_that_do_not_exist_are_refused(network, image, channels, error, words):
    with pytest.raises(error, match=words):
        network.activations(image, ["mixed3a"], channels=channels)


# In renders --------------------------------------------------------------------------------------


class Counting(Model):
    """A model that notes what it is asked for."""

    def compute(self, image, request):
        chosen = {name: list(channels) for name, channels in request.channels}
        self.__dict__.setdefault("asked", []).append((list(request.names), chosen or None))
        return super().compute(image, request)


def render_of(network, objective, **options):
    model = Counting(network=network, image_value_range=(-117, 138))
    vis = render.make_vis_T(model, objective, lambda: param.image(40), **options)
    losses = [float(vis.step()) for _ in range(3)]
    return model.asked, losses


def test_a_channels_render_asks_for_that_channel_from_the_second_step_on(network):
    asked, losses = render_of(network, "mixed4a_pre_relu:2", relu_gradient_override=True)
    assert asked == [(["mixed4a_pre_relu"], None)] + 2 * [(["mixed4a_pre_relu"], {"mixed4a_pre_relu": [2]})]
    _, whole = render_of(network, lambda T: T("mixed4a_pre_relu")[:, 2].mean(), relu_gradient_override=True)
    np.testing.assert_allclose(losses, whole, rtol=1e-4)


@pytest.mark.parametrize(
    ("objective", "last"),
    [
        (
            objectives.channel("mixed4a", 1) + objectives.channel("mixed4a", 3),
            (["mixed4a"], {"mixed4a": [1, 3]}),
        ),
        (objectives.channel("mixed4a", 1) - objectives.L2("mixed4a"), (["mixed4a"], None)),
        (objectives.channel("mixed4a", -1), (["mixed4a"], None)),
        (objectives.channel("mixed4a", 1, batch=0), (["mixed4a"], None)),
    ],
)
def test_what_objectives_together_ask_for(network, objective, last):
    asked, _ = render_of(network, objective)
    assert asked[-1] == last


def test_a_channel_that_there_is_not(network):
    with pytest.raises(IndexError, match="no channel 999"):
        render_of(network, objectives.channel("mixed4a", 999))
