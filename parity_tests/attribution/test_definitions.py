"""Attributions against their definitions: sums, loops in NumPy, and Lucid's own attribution."""

from __future__ import annotations

import captum.attr as ca
import numpy as np
import pytest
import torch

from lucid_port.attribution import attribute
from lucid_port.modelzoo.classes import logits_layer
from lucid_port.recipes.attribution import channel_attribution
from parity_tests.attribution import networks
from parity_tests.attribution.networks import SIZE, as_tensor, photos
from parity_tests.attribution.test_by_hand import _sum_of

TRAPEZOID = {"integral": "riemann_trapezoid"}


def close(found: np.ndarray, wanted: np.ndarray, share: float) -> None:
    assert np.abs(wanted).max() > 0, "there is nothing to compare"
    assert np.abs(found - wanted).max() <= share * np.abs(wanted).max()


@pytest.mark.parametrize("baselines", [0.0, 0.7, photos(1, seed=3)[0]], ids=["black", "gray", "picture"])
def test_conductance_sums_to_the_change_of_the_score(branching, baselines):
    """The error of the sum is the path's, which falls with 1/n."""
    _, model = branching

    def error(steps):
        options = {"baselines": baselines, "n_steps": steps, **TRAPEZOID}
        found = attribute(model, photos(), "dog", _sum_of(model), "conductance", **options)
        sums, change = found.values.sum((1, 2, 3)), found.scores - found.baseline_scores
        np.testing.assert_allclose(found.delta, sums - change, atol=1e-6)
        return np.abs(sums - change) / np.abs(found.values).sum((1, 2, 3))

    fine = error(400)
    assert (fine <= 2e-3).all(), fine
    assert (fine <= 0.4 * error(100)).all()  # 0.25 but for kinks of the ReLUs


def test_integrated_gradients_sum_to_the_change_of_the_score(branching):
    found = attribute(branching[1], photos(), "lemon", n_steps=200)
    change = found.scores - found.baseline_scores
    close(found.values.sum((1, 2, 3)), change, 2e-3)
    np.testing.assert_allclose(found.delta, found.values.sum((1, 2, 3)) - change, atol=1e-6)


def test_conductance_of_all_neurons_of_a_layer_sums_to_that_of_the_layer(branching):
    """The places of a channel are neurons of their own: their sum is not the conductance of a sum."""
    network, model = branching
    layer = _sum_of(model)
    options = {"n_steps": 5, **TRAPEZOID}
    pictures = photos(1, 7, 6)
    found = attribute(model, pictures, "dog", f"{layer}:3", "conductance", prepare=False, **options).values
    x = as_tensor(pictures)
    chosen = lambda images: network(images)[:, 1]  # noqa: E731
    method = ca.NeuronConductance(chosen, network.tap)
    each = [
        method.attribute(x, (3, row, column), n_steps=5, method="riemann_trapezoid")
        for row in range(7)
        for column in range(6)
    ]
    wanted = torch.stack(each).sum(0).movedim(1, -1).numpy()
    close(found, wanted, 1e-5)
    of_sum = method.attribute(x, lambda y: y[:, 3].sum((1, 2)), n_steps=5, method="riemann_trapezoid")
    assert np.abs(of_sum.movedim(1, -1).numpy() - wanted).max() > 1e-2 * np.abs(wanted).max()


def test_gradient_times_activation_is_lucids_attribution(tiny):
    picture = photos(1, 96, 96)[0]
    found = attribute(tiny, picture, "spiral", "mixed4c", "gradient_x_activation")
    lucid = channel_attribution(tiny, picture, "mixed4c", "spiral")
    close(found.values[0], lucid.field, 1e-5)
    close(found.channels[0], lucid.values, 1e-5)
    assert [one.channel for one in found.ranked(5)[0]] == np.argsort(-np.abs(lucid.values))[:5].tolist()


def test_occlusion_is_a_loop(branching):
    network, model = branching
    picture, gray, window, stride = photos(1)[0], 0.25, (5, 8), (3, 6)
    found = attribute(
        model, picture, "cat", method="occlusion", baselines=gray, sliding_window_shapes=window, strides=stride
    )

    def score(pixels):
        with torch.no_grad():
            return float(network(as_tensor(pixels[None]))[0, 0])

    sums, counts = np.zeros(picture.shape), np.zeros(picture.shape)
    for row in range(0, SIZE[0] - window[0] + stride[0], stride[0]):
        for column in range(0, SIZE[1] - window[1] + stride[1], stride[1]):
            part = (slice(row, row + window[0]), slice(column, column + window[1]))
            hidden = picture.copy()
            hidden[part] = gray
            sums[part] += score(picture) - score(hidden)
            counts[part] += 1
    close(found.values[0], sums / counts, 1e-4)  # differences of scores, which are rounded to 1e-7 of a score


def test_the_segments_of_a_picture_are_its_features(branching):
    """Pixels of one segment have one value: the change of the score without them."""
    network, model = branching
    picture = photos(1)[0]
    mask = np.zeros(SIZE, np.int64)
    mask[:, 9:], mask[10:, :4] = 1, 2
    found = attribute(model, picture, "cat", method="feature_ablation", feature_mask=mask)
    with torch.no_grad():
        whole = network(as_tensor(picture[None]))[0, 0]
        for number in range(3):
            hidden = np.where(mask[..., None] == number, 0, picture).astype(np.float32)
            change = float(whole - network(as_tensor(hidden[None]))[0, 0])
            np.testing.assert_allclose(found.values[0][mask == number], change, atol=1e-6)


def test_segments_are_found_for_each_picture(branching):
    pictures = photos(2)
    pictures[0, :, :13] = 0
    found = attribute(branching[1], pictures, "cat", method="feature_ablation", segments=4)
    alone = attribute(branching[1], pictures[1], "cat", method="feature_ablation", segments=4)
    np.testing.assert_allclose(found.values[1], alone.values[0], atol=1e-6)


def test_deep_lift_of_pixels_and_layers_adds_up(modules):
    for layer in (None, "conv1", "pool"):
        found = attribute(modules[1], photos(), "head:2", layer, "deep_lift", baselines=0.4)
        close(found.values.sum((1, 2, 3)), found.scores - found.baseline_scores, 1e-4)


def test_deep_lift_where_another_branch_reads_the_input_of_a_relu():
    """Captum's hook would replace the gradient of the other branch as well."""
    _, model = networks.made(networks.Shared)
    found = attribute(model, photos(), 1, method="deep_lift")
    close(found.values.sum((1, 2, 3)), found.scores - found.baseline_scores, 1e-5)


def test_guided_backpropagation_where_another_branch_reads_the_input_of_a_relu():
    network, model = networks.made(networks.Shared)
    found = attribute(model, photos(1), 1, method="guided_backprop")
    with torch.no_grad():
        a = network.conv(as_tensor(photos(1)))
        each = network.head.weight[1] / a[0, 0].numel()
        to_relu = (each.clamp(min=0)[None, :, None, None] * (a > 0)) + 0.5 * each[None, :, None, None]
    wanted = torch.nn.functional.conv_transpose2d(to_relu, network.conv.weight.detach())
    close(found.values, wanted.movedim(1, -1).numpy(), 1e-5)


def test_grad_cam_takes_the_last_layer_with_places(tiny):
    picture = photos(1, 96, 96)
    found = attribute(tiny, picture, "spiral", method="grad_cam")
    name = found.recipe["options"]["cam_layer"]
    layer = attribute(tiny, picture, "spiral", name, "grad_cam")
    assert layer.values.shape == (1, 3, 3, 1)
    close(found.maps, layer.maps, 1e-5)
    read = tiny.activations(as_tensor(picture).requires_grad_(), [name, logits_layer(tiny)])
    number = tiny.labels.index("spiral")
    (gradient,) = torch.autograd.grad(read[logits_layer(tiny)][0, number], read[name])
    wanted = (gradient.mean((2, 3), keepdim=True) * read[name]).sum(1).detach().numpy()
    close(layer.values[..., 0], wanted, 1e-5)
