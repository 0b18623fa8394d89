"""Attributions, against their definition, finite differences and exact sums."""

from __future__ import annotations

import types

import numpy as np
import pytest
import scipy.ndimage
import torch
from captum.attr import LayerGradientXActivation

from converters import LayerNotFoundError, convert
from lucid_port.modelzoo.seeded import seeded_inceptionv1
from lucid_port.modelzoo.vision_base import Model
from lucid_port.recipes import attribution
from lucid_port.recipes.attribution import (
    channel_attribution,
    class_attribution,
    class_number,
    gradient_magnitudes,
    input_attribution,
    logits_layer,
    spatial_attribution,
)
from lucid_port.recipes.inputs import as_batch

LOGITS = "softmax2_pre_activation"
PICTURE = np.random.RandomState(2).uniform(size=(224, 224, 3)).astype(np.float32)


def make(smooth):
    network = convert(seeded_inceptionv1(width=0.04, smooth=smooth))
    labels = ["none", "kit fox, Vulpes macrotis", "tabby, tabby cat", "tiger cat", "lemon", "lemon"]
    return Model(network=network, image_value_range=(-117, 138), image_shape=(224, 224, 3), labels=labels)


@pytest.fixture(scope="module")
def full():
    """A network with classes, which has to be fed 224 pixels."""
    return make(smooth=False)


@pytest.fixture(scope="module")
def smooth():
    """Its twin without ReLUs and max pools."""
    return make(smooth=True)


def rest_of(model, layer, value):
    """The logits, given a layer's value."""
    network = model.network
    handle = network.get_submodule(network.layers[layer].module).register_forward_hook(lambda *_: value)
    with torch.no_grad():
        logits = model.activations(as_batch(model, PICTURE), [LOGITS])[LOGITS]
    handle.remove()
    return logits


def test_the_plain_attribution_is_what_a_linear_model_says(smooth):
    """Raising one channel by a hundredth moves the score by a hundredth of its attribution.

    The response norms bend the score over two hundredths: measured 9e-4 of it.
    """
    found = channel_attribution(smooth, PICTURE, "mixed4d", 3, 5)
    value = torch.from_numpy(found.activations.transpose(2, 0, 1)[None].copy())
    for channel in (0, 7):
        moved = [value.clone(), value.clone()]
        moved[0][:, channel] *= 1.01
        moved[1][:, channel] *= 0.99
        high, low = (rest_of(smooth, "mixed4d", one)[0] for one in moved)
        slope = ((high[3] - high[5]) - (low[3] - low[5])) / 0.02
        np.testing.assert_allclose(found.values[channel], slope, rtol=5e-3)


def test_fields_and_sums(full):
    found = channel_attribution(full, PICTURE, "mixed4d", 3)
    assert found.field.shape == found.activations.shape == (14, 14, full.network.layers["mixed4d"].channels)
    np.testing.assert_allclose(found.values, found.field.sum((0, 1)), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(class_attribution(full, PICTURE, "mixed4d", 3), found.field.sum(-1), atol=1e-5)
    assert (np.diff(found.values[found.order]) <= 0).all()


def test_one_class_against_another_is_the_difference(full):
    both, first, second = (channel_attribution(full, PICTURE, "mixed4d", *c).values for c in [(3, 5), (3,), (5,)])
    np.testing.assert_allclose(both, first - second, atol=1e-5)


def test_a_path_sums_up_to_the_whole_difference(smooth):
    found = channel_attribution(smooth, PICTURE, "mixed4d", 3, 5, path_steps=200)
    whole = torch.from_numpy(found.activations.transpose(2, 0, 1)[None].copy())
    with_it, without = (rest_of(smooth, "mixed4d", value)[0] for value in (whole, torch.zeros_like(whole)))
    expected = (with_it[3] - with_it[5]) - (without[3] - without[5])
    np.testing.assert_allclose(found.values.sum(), expected, rtol=5e-3)  # 200 steps: measured 1.2e-3


def test_a_stochastic_path_scales_each_channel_by_two_draws(monkeypatch):
    """The notebook's factors: a point's share of the path times (U + U) / 1.5, anew for each point and channel."""
    draws = np.random.RandomState(0).uniform(size=(2, 4, 3))
    monkeypatch.setattr(attribution.RandomSource, "uniform", lambda *_, **__: draws)
    found = attribution._path(4, True, 0)(torch.zeros(1, 3, 2, 2))
    expected = np.arange(4)[:, None] / 4 * (draws[0] + draws[1]) / 1.5
    np.testing.assert_allclose(found.reshape(4, 3), expected, rtol=1e-6)


def test_a_blurred_pools_gradient_is_spread_over_neighbours():
    """By the article's weights: half to those beside, a quarter to the diagonal ones, a quarter stays."""
    x = torch.rand(1, 1, 9, 9, requires_grad=True)
    grad = torch.zeros(1, 1, 4, 4)
    grad[0, 0, 1, 1] = 1.0
    gradients = {}
    for rule in (attribution.l2_smoothed_maxpool_grad, attribution._blurred_gradient):
        with attribution.gradient_override_map({"MaxPool": rule}):
            value = torch.nn.functional.max_pool2d(x, 3, 2)
        (gradients[rule],) = torch.autograd.grad(value, x, grad)
    kernel = np.array([[0.25, 0.5, 0.25], [0.5, 0.25, 0.5], [0.25, 0.5, 0.25]])
    plain, blurred = (one[0, 0].numpy() for one in gradients.values())
    np.testing.assert_allclose(blurred, scipy.ndimage.convolve(plain, kernel, mode="constant"), rtol=1e-5, atol=1e-9)


def test_a_stochastic_path_has_its_seed(full):
    options = {"path_steps": 5, "stochastic": True}
    one, again, other = (
        channel_attribution(full, PICTURE, "mixed4d", 3, seed=seed, **options).values for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert np.abs(one - other).max() > 0


def test_captum_says_the_same(full):
    module = full.network.get_submodule(full.network.layers["mixed4d"].module)
    method = LayerGradientXActivation(lambda image: full.activations(image, [LOGITS])[LOGITS], module)
    expected = method.attribute(as_batch(full, PICTURE).requires_grad_(), target=3)[0].detach().numpy()
    found = channel_attribution(full, PICTURE, "mixed4d", 3).field.transpose(2, 0, 1)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_positions_of_a_later_layer(full):
    found = spatial_attribution(full, PICTURE, "mixed4d", "mixed5a")
    assert found.values.shape == (7, 7, 14, 14)
    value = torch.from_numpy(PICTURE.transpose(2, 0, 1)[None].copy()).requires_grad_()
    acts = full.activations(value, ["mixed4d", "mixed5a"])
    norm = acts["mixed5a"][0, :, 2, 5].norm()
    (gradient,) = torch.autograd.grad(norm, acts["mixed4d"])
    expected = (gradient * acts["mixed4d"])[0].sum(0).detach().numpy()
    np.testing.assert_allclose(found.values[2, 5], expected, atol=1e-6 * np.abs(expected).max())  # measured 7e-8
    assert found.normalised.min() == 0
    assert found.normalised.max() == 1


def test_some_positions_only(full):
    every = spatial_attribution(full, PICTURE, "mixed4d", "mixed5a").values
    some = spatial_attribution(full, PICTURE, "mixed4d", "mixed5a", positions=[(2, 5)]).values
    np.testing.assert_allclose(some[2, 5], every[2, 5], atol=1e-6)  # measured 0
    assert some[2, 5].any()
    some[2, 5] = 0
    assert not some.any()


def test_smoother_pools_spread_the_gradient(full):
    """A max pool sends it to one cell of each window; the others to all."""
    reached = [
        (
            np.abs(
                spatial_attribution(full, PICTURE, "mixed4e", "maxpool10", pools=pools, positions=[(3, 3)]).values[3, 3]
            )
            > 1e-9
        ).sum()
        for pools in ("native", "smooth", "smooth_blurred")
    ]
    assert reached[0] <= reached[1] <= 9 < reached[2] <= 25


def test_pixels(smooth):
    found = input_attribution(smooth, PICTURE, 3, 5)
    assert found.shape == PICTURE.shape
    assert np.abs(found).max() > 0


def test_where_the_logits_are(full):
    assert logits_layer(full) == LOGITS


@pytest.mark.parametrize(("label", "number"), [(4, 4), ("tiger cat", 3), ("Tabby", 2), ("vulpes macrotis", 1)])
def test_classes_by_their_labels(full, label, number):
    assert class_number(full, label) == number


def test_at_most_five_near_labels_are_named():
    model = types.SimpleNamespace(network=None, labels=[f"cat {number}" for number in range(7)])
    with pytest.raises(ValueError, match=r"Did you mean cat 0, cat 1, cat 2, cat 3, cat 4\?$"):
        class_number(model, "cat")


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda m: class_number(m, "lemon"), ValueError, "2 classes"),
        (lambda m: class_number(m, "dog"), ValueError, "No class of the model"),
        (lambda m: class_number(m, "cat"), ValueError, "Did you mean tabby"),
        (lambda m: channel_attribution(m, PICTURE, "mixed4d", 5000), ValueError, "no class 5000"),
        (lambda m: channel_attribution(m, PICTURE, "mixed9", 1), LayerNotFoundError, "mixed9"),
        (lambda m: channel_attribution(m, PICTURE, "mixed4d", 1, pools="soft"), ValueError, "pools is one of"),
        (lambda m: class_attribution(m, PICTURE, "softmax2", 1, logits="softmax2"), ValueError, "fully connected"),
        (lambda m: channel_attribution(m, PICTURE, "mixed5a", 1, logits="mixed4a"), ValueError, "does not depend"),
        (lambda m: channel_attribution(m, PICTURE, "softmax2", 1, path_steps=2), ValueError, "does not depend"),
        (lambda m: spatial_attribution(m, PICTURE, "mixed5a", "mixed4a"), ValueError, "does not depend"),
        (lambda m: spatial_attribution(m, PICTURE, "mixed5a", "softmax2"), ValueError, "fully connected"),
        (
            lambda m: spatial_attribution(m, PICTURE, "mixed4d", "mixed5a", positions=[(7, 0)]),
            ValueError,
            "no position",
        ),
        (
            lambda m: spatial_attribution(m, PICTURE, "mixed4d", "mixed5a", positions=(0, 1)),
            TypeError,
            "a pair",
        ),
        (lambda m: channel_attribution(m, PICTURE, "mixed4d", 3, 3), ValueError, "not with itself"),
        (lambda m: gradient_magnitudes(m, PICTURE, [], 3), ValueError, "names no layer"),
    ],
)
def test_what_cannot_be_attributed(full, call, error, words):
    with pytest.raises(error, match=words):
        call(full)


# Magnitudes of gradients -------------------------------------------------------------------------


def test_a_gradient_is_an_attribution_over_what_it_is_of(smooth):
    found = gradient_magnitudes(smooth, PICTURE, ["mixed4d", "input"], 3, 5)
    assert list(found) == ["mixed4d", "input"]
    attributed = channel_attribution(smooth, PICTURE, "mixed4d", 3, 5)
    gradient = attributed.field.astype(np.float64) / attributed.activations
    # Dividing by what was multiplied costs two roundings of float32.
    np.testing.assert_allclose(found["mixed4d"], np.linalg.norm(gradient, axis=-1), rtol=1e-5)
    pixels = input_attribution(smooth, PICTURE, 3, 5).astype(np.float64) / PICTURE
    np.testing.assert_allclose(found["input"], np.linalg.norm(pixels, axis=-1), rtol=1e-5)


def test_before_the_mean_over_positions_all_have_the_classifiers_weights(full):
    found = gradient_magnitudes(full, PICTURE, ["mixed5b"], 3)["mixed5b"]
    with torch.no_grad():
        one = full.activations(as_batch(full, PICTURE), ["avgpool0/reshape"])["avgpool0/reshape"]
    weights = rest_of(full, "avgpool0/reshape", torch.eye(one.shape[1]))[:, 3]
    bias = rest_of(full, "avgpool0/reshape", torch.zeros_like(one))[0, 3]
    assert found.shape == (7, 7)
    np.testing.assert_allclose(found, (weights - bias).norm().item() / 49, rtol=1e-5)


def test_smoother_pools_change_what_comes_through_them_alone(full):
    plain, smoother = (
        gradient_magnitudes(full, PICTURE, ["mixed3b", "mixed5a"], 3, pools=p) for p in ("native", "smooth")
    )
    np.testing.assert_array_equal(plain["mixed5a"] > 0, smoother["mixed5a"] > 0)
    change = np.linalg.norm(plain["mixed3b"] - smoother["mixed3b"]) / np.linalg.norm(plain["mixed3b"])
    assert change > 0.5  # measured 0.84


@pytest.mark.parametrize(
    ("layers", "error", "words"),
    [
        (["mixed9"], LayerNotFoundError, "mixed9"),
        ([LOGITS], ValueError, "fully connected"),
        (["mixed4d_pre_relu"], ValueError, "does not depend"),
        ("mixed4d", TypeError, "a list of layers"),
    ],
)
def test_gradients_that_are_none(full, layers, error, words):
    with pytest.raises(error, match=words):
        gradient_magnitudes(full, PICTURE, layers, 3)
