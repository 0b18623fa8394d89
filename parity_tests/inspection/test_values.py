"""Feature maps, statistics, gradients, classes and weights against torch's hooks, NumPy and the standalone module."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from lucid_port.inspection import (
    activation_statistics,
    feature_maps,
    first_layer_filters,
    gradient_magnitudes,
    inspect,
    weight_histograms,
)
from lucid_port.modelzoo.from_torch import from_torch
from parity_tests.attribution import networks
from parity_tests.attribution.networks import LABELS, SIZE, as_tensor, photos
from parity_tests.standalone import execute

PHOTO = photos(1)[0]
HEIGHT, WIDTH = 67, 83
BOUND = 1e-5  # of the largest value
LAYERS = ["conv2d0", "maxpool1", "mixed3a", "mixed4a_pre_relu", "mixed4c", "head0_bottleneck", "softmax2"]
TARGET = ("softmax2_pre_activation", 22)


def close(found, wanted):
    wanted = np.asarray(wanted)
    np.testing.assert_allclose(found, wanted, rtol=0, atol=BOUND * max(1e-12, np.abs(wanted).max()))


@pytest.fixture(scope="module")
def by_hand(tiny, tmp_path_factory):
    """The layers of the standalone module for a picture of an odd size, and the gradients of a logit."""
    folder = tmp_path_factory.mktemp("standalone") / "tiny"
    tiny.network.save(folder, standalone=True)
    network = execute((folder / "model.py").read_text(encoding="utf-8"), folder).load().eval().requires_grad_(False)
    image = as_tensor(photos(1, HEIGHT, WIDTH)).requires_grad_()
    pieces = ["mixed4a_1x1_pre_relu", "mixed4a_3x3_pre_relu", "mixed4a_5x5_pre_relu", "mixed4a_pool_reduce_pre_relu"]
    values = network(image * 255 - 117, [*LAYERS, *pieces, TARGET[0]])
    names = [name for name in values if name not in ("mixed4a_pre_relu", "softmax2", "head0_bottleneck")]
    score = values[TARGET[0]][0, TARGET[1]]
    found = torch.autograd.grad(score, [image, *(values[name] for name in names)])
    gradients = dict(zip(["", *names], found, strict=True))
    gradients["mixed4a_pre_relu"] = torch.cat([gradients[piece] for piece in pieces], 1)
    return {name: value.detach().numpy() for name, value in values.items()}, gradients, float(score)


@pytest.fixture(scope="module")
def found(tiny):
    return inspect(tiny, photos(1, HEIGHT, WIDTH)[0], f"{TARGET[0]}:{TARGET[1]}", LAYERS, prepare=False)


@pytest.mark.parametrize("layer", LAYERS)
def test_feature_maps_and_statistics(found, by_hand, layer):
    value = by_hand[0][layer][0]
    maps, statistics = found.feature_maps[layer], found.statistics[layer]
    close(maps.values, np.moveaxis(value, 0, -1))
    close(maps.peaks, value.reshape(len(value), -1).max(1))
    assert maps.strongest(3) == np.argsort(-value.reshape(len(value), -1).max(1), kind="stable")[:3].tolist()
    assert statistics.shape == value.shape
    close(
        [statistics.mean, statistics.std, statistics.maximum, statistics.minimum],
        [value.mean(), value.std(), value.max(), value.min()],
    )
    assert statistics.zeros == pytest.approx((value == 0).mean())
    assert statistics.dead == pytest.approx(np.mean([not channel.any() for channel in value]))
    assert statistics.not_finite == 0


def test_some_values_are_zeros_and_some_channels_are_dead(found):
    """The shares above are compared in a network that has both."""
    assert 0.1 < found.statistics["mixed4c"].zeros < 0.99
    assert 0 < found.statistics["mixed4c"].dead < found.statistics["mixed4c"].zeros


@pytest.mark.parametrize("layer", ["conv2d0", "maxpool1", "mixed3a", "mixed4a_pre_relu", "mixed4c"])
def test_gradients_of_layers(found, by_hand, layer):
    magnitudes = by_hand[1][layer].abs().numpy()[0]
    close(found.gradients.channels[layer], magnitudes.reshape(len(magnitudes), -1).mean(1))
    assert found.gradients.means[layer] == pytest.approx(magnitudes.mean(), rel=1e-4)
    wanted = np.argsort(-magnitudes.reshape(len(magnitudes), -1).mean(1), kind="stable")
    assert found.gradients.strongest(layer, 1) == [wanted[0]]


def test_the_gradient_of_the_picture(found, by_hand):
    close(found.gradients.picture, by_hand[1][""][0].permute(1, 2, 0).numpy())
    close(found.gradients.magnitude, by_hand[1][""][0].abs().amax(0).numpy())
    assert found.gradients.score == pytest.approx(by_hand[2], rel=1e-5)
    assert (found.gradients.target, found.gradients.label) == ("softmax2_pre_activation:22", "spiral")


def test_layers_without_a_gradient_say_why(found):
    assert found.gradients.missing == {
        "head0_bottleneck": "The target softmax2_pre_activation:22 does not depend on layer 'head0_bottleneck'.",
        "softmax2": "Layer 'softmax2' comes after the target softmax2_pre_activation:22.",
    }
    with pytest.raises(ValueError, match="Layer 'softmax2' comes after the target"):
        found.gradients.strongest("softmax2")


def test_classes(found, by_hand, tiny):
    shares, logits = by_hand[0]["softmax2"][0], by_hand[0][TARGET[0]][0]
    order = np.argsort(-shares, kind="stable")
    assert [one.number for one in found.classes[:3]] == order[:3].tolist()
    assert [one.label for one in found.top_classes] == [tiny.labels[number] for number in order[:5]]
    close([one.probability for one in found.top_classes], shares[order[:5]])
    close([one.logit for one in found.top_classes], logits[order[:5]])
    assert len(found.classes) == 28


def test_the_default_target_is_the_top_class(tiny):
    made = inspect(tiny, photos(1, HEIGHT, WIDTH)[0], layers=["mixed3a"], prepare=False)
    assert made.gradients.target == f"softmax2_pre_activation:{made.top_classes[0].number}"
    assert made.gradients.label == made.top_classes[0].label
    assert made.gradients.score == pytest.approx(made.top_classes[0].logit)


def test_functions_of_torch_against_hooks(branching):
    """A sum of branches, read by a hook; and a target with a place."""
    network, model = branching
    kept = {}
    hooks = [
        network.tap.register_forward_hook(lambda module, given, value: kept.update(add=value)),
        network.conv2.register_forward_hook(lambda module, given, value: kept.update(conv2=value)),
        network.conv3.register_forward_hook(lambda module, given, value: kept.update(conv3=value)),
    ]
    network(as_tensor(PHOTO[None]).requires_grad_())
    for hook in hooks:
        hook.remove()
    wanted = torch.autograd.grad(kept["conv3"][0, 2, 1, 3], [kept["add"], kept["conv2"]])
    found = gradient_magnitudes(model, PHOTO, "conv3:2[1,3]", ["add", "conv2", "output"])
    close(found.channels["add"], wanted[0][0].abs().mean((1, 2)).numpy())
    close(found.channels["conv2"], wanted[1][0].abs().mean((1, 2)).numpy())
    assert list(found.missing) == ["output"]
    maps = feature_maps(model, PHOTO, ["add", "mean"])
    close(maps["add"].values, kept["add"][0].detach().permute(1, 2, 0).numpy())
    assert (maps["mean"].values.shape, maps["mean"].has_maps) == ((5,), False)


@pytest.mark.parametrize("kind", [networks.Modules, networks.Late])
def test_values_that_are_changed_in_place_later(kind):
    """The value and the gradient of a layer are those before the change."""
    network, model = networks.made(kind)
    name = "conv1" if kind is networks.Modules else "conv"
    image = as_tensor(PHOTO[None]).requires_grad_()
    layer = getattr(network, name)
    value = torch.nn.functional.conv2d(image, layer.weight, layer.bias)
    value = value if layer.padding == (0, 0) else layer(image)
    if kind is networks.Modules:
        rest = network.relu2(network.conv2(network.pool(torch.relu(value)))).mean((2, 3))
        score = network.head(rest)[0, 1]
    else:
        score = (2 * torch.relu(value)).mean((2, 3))[0, 1]  # the network reads the changed value twice
    (gradient,) = torch.autograd.grad(score, [value])
    target = "head:1" if kind is networks.Modules else "output:1"
    found = inspect(model, PHOTO, target, [name])
    close(found.gradients.channels[name], gradient[0].abs().mean((1, 2)).numpy())
    close(found.feature_maps[name].values, value[0].detach().permute(1, 2, 0).numpy())


def test_heat_maps_are_bilinear(inspected):
    values = torch.from_numpy(inspected.feature_maps["conv2"].values).permute(2, 0, 1)[None]
    wanted = nn.functional.interpolate(values, (31, 17), mode="bilinear")[0, 4].numpy()
    np.testing.assert_allclose(inspected.feature_maps["conv2"].heat_map(4, (31, 17)), wanted, atol=1e-6)


def test_statistics_leave_out_values_that_are_not_finite():
    class Broken(nn.Module):
        def forward(self, x):
            return torch.log(x - 0.5) * 1.0

    model = from_torch(Broken(), (0, 1), image_shape=(*SIZE, 3))
    (name, *_) = [one for one in model.network.layers if "log" in one]
    value = np.log(as_tensor(PHOTO[None]).numpy() - 0.5)
    (one,) = activation_statistics(model, PHOTO, [name]).values()
    finite = value[np.isfinite(value)]
    assert one.not_finite == pytest.approx(1 - finite.size / value.size)
    assert (one.mean, one.maximum) == (pytest.approx(finite.mean(), rel=1e-5), pytest.approx(finite.max(), rel=1e-5))


# Weights -----------------------------------------------------------------------------------------


def test_histograms_of_weights(branching):
    network, model = branching
    found = weight_histograms(model, bins=7)
    assert list(found) == ["conv1", "conv2", "conv3", "head"]
    for name, one in found.items():
        weight = getattr(network, name).weight.detach()
        counts = torch.histc(weight, 7)  # torch's own bins from the least to the greatest
        assert one.shape == tuple(weight.shape)
        np.testing.assert_array_equal(one.counts, counts.numpy())
        np.testing.assert_allclose(one.edges[[0, -1]], [weight.min(), weight.max()], rtol=1e-6)
        assert (one.mean, one.std) == (
            pytest.approx(float(weight.mean()), abs=1e-6),
            pytest.approx(float(weight.std(unbiased=False)), rel=1e-5),
        )


def test_weights_of_a_converted_network_have_the_names_of_its_layers(tiny):
    found = weight_histograms(tiny)
    kernels = [name for name, info in tiny.network.layers.items() if info.op in ("Conv2D", "MatMul")]
    assert set(found) == set(kernels)
    assert found["conv2d0_pre_relu/conv"].counts.sum() == 16 * 3 * 7 * 7


def test_first_layer_filters_are_in_rgb(branching):
    network, model = branching
    weight = network.conv1.weight.detach().permute(0, 2, 3, 1).numpy()
    low, high = weight.min((1, 2, 3), keepdims=True), weight.max((1, 2, 3), keepdims=True)
    np.testing.assert_allclose(first_layer_filters(model), (weight - low) / (high - low), atol=1e-6)
    swapped = from_torch(network, (0, 1), image_shape=(*SIZE, 3), labels=LABELS, is_BGR=True)
    np.testing.assert_allclose(first_layer_filters(swapped), first_layer_filters(model)[..., ::-1])
