"""Weights and tuning curves, on networks whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from converters import convert
from converters.frozen.writer import GraphWriter
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.seeded import seeded_inceptionv1
from lucid_port.modelzoo.vision_base import Model
from lucid_port.recipes.tuning import (
    STIMULI,
    curve,
    heat_picture,
    high_low_frequency,
    line,
    polar_family_picture,
    polar_picture,
    tuning,
    tuning_map,
)
from lucid_port.recipes.weights import (
    ExpandedWeights,
    _gradients,
    _middle,
    edited_copy,
    expanded_weights,
    factored_connections,
    factored_weights,
    first_layer_kernels,
    kernels_of,
    signed_picture,
)

RANDOM = np.random.RandomState(5)
FIRST = RANDOM.randn(3, 3, 3, 4).astype(np.float32)
SECOND = RANDOM.randn(3, 3, 4, 5).astype(np.float32)


def chain(between="Relu", bgr=False):
    writer = GraphWriter()
    x = writer.placeholder("input", [None, None, None, 3])
    x = writer.conv2d("first", x, writer.const("first_w", FIRST), 1, "SAME")
    x = writer.op("first_relu", between, [x])
    x = writer.conv2d("second", x, writer.const("second_w", SECOND), 1, "SAME")
    writer.op("second_relu", "Relu", [x])
    return Model(network=convert(writer.graph_def()), image_value_range=(-1, 1), image_shape=(32, 32, 3), is_BGR=bgr)


def test_kernels_behind_their_activation():
    expected = FIRST.transpose(3, 0, 1, 2)
    for name in ("first", "first_relu"):
        np.testing.assert_array_equal(kernels_of(chain(), name), expected)


def test_first_kernels_are_pictures_in_rgb():
    found, turned = first_layer_kernels(chain(), "first_relu"), first_layer_kernels(chain(bgr=True), "first_relu")
    kernels = FIRST.transpose(3, 0, 1, 2)
    assert found.shape == (4, 3, 3, 3)
    assert found.min((1, 2, 3)).tolist() == [0] * 4
    assert found.max((1, 2, 3)).tolist() == [1] * 4
    for unit in range(4):
        scaled = (kernels[unit] - kernels[unit].min()) / np.ptp(kernels[unit])
        np.testing.assert_allclose(found[unit], scaled, atol=1e-6)
        np.testing.assert_allclose(turned[unit], scaled[..., ::-1], atol=1e-6)


def test_weights_between_neighbours_are_the_kernel():
    found = expanded_weights(chain(), "first_relu", "second", [1, 4])
    np.testing.assert_allclose(found.values, SECOND[..., [1, 4]].transpose(3, 2, 0, 1), atol=1e-6)


def test_weights_across_a_relu_are_the_kernels_convolved():
    found = expanded_weights(chain(), "input", "second_relu", [2], [0, 1, 2])
    expected = np.zeros((3, 5, 5))
    for row in range(3):
        for column in range(3):
            for channel in range(3):
                expected[channel, row : row + 3, column : column + 3] += np.einsum(
                    "m,hwm->hw", SECOND[row, column, :, 2], FIRST[:, :, channel, :]
                )
    np.testing.assert_allclose(found.values[0], expected, rtol=1e-4, atol=1e-4)


def pooled(kind, rectify, norm, padding="SAME", window=3, stride=2, size=15):
    """A convolution behind a ReLU, a norm and a pool; its expanded weights are taken on twice the size."""
    writer = GraphWriter()
    x = writer.placeholder("input", [None, None, None, 3])
    x = writer.conv2d("first", x, writer.const("first_w", FIRST), 1, "SAME")
    x = writer.op("first_relu", "Relu" if rectify else "Identity", [x])
    if norm:
        x = writer.lrn("norm", x, depth_radius=1, bias=1.0, alpha=0.5, beta=0.5)
    x = writer.pool("pool", kind, x, window, stride, padding)
    writer.conv2d("second", x, writer.const("second_w", SECOND), 1, "SAME")
    return Model(network=convert(writer.graph_def()), image_value_range=(-1, 1), image_shape=(size, size, 3))


@pytest.mark.parametrize("padding", ["SAME", "VALID"])
def test_pools_average_and_norms_pass(padding):
    """As in a network that has an average pool, and neither a ReLU nor a norm, whose gradient needs no recipe."""
    plain = pooled("AvgPool", rectify=False, norm=False, padding=padding)
    image = torch.rand(1, 3, 30, 30, requires_grad=True)
    values = plain.activations(image, ["first", "second"])
    middle = values["second"].shape[2] // 2
    (expected,) = torch.autograd.grad(values["second"][0, 1, middle, middle], values["first"])
    found = expanded_weights(pooled("MaxPool", True, True, padding), "first", "second", [1]).values[0]
    rows = torch.nonzero(expected[0].abs().sum((0, 2)))[:, 0]
    columns = torch.nonzero(expected[0].abs().sum((0, 1)))[:, 0]
    part = expected[0][:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].numpy()
    assert part.shape == (4, 7, 7) == found.shape
    np.testing.assert_allclose(found, part, atol=1e-6)


@pytest.mark.parametrize(("window", "stride"), [(3, 1), (2, 1), (3, 2)])
def test_padding_does_not_count_in_an_average(window, stride):
    """On 2 x 2 pixels, where windows reach over the border: as TensorFlow's average pool counts."""
    plain, model = (
        pooled(kind, kind == "MaxPool", False, "SAME", window, stride, 1) for kind in ("AvgPool", "MaxPool")
    )
    values = plain.activations(torch.rand(1, 3, 2, 2, requires_grad=True), ["first", "second"])
    middle = values["second"].shape[2] // 2
    (expected,) = torch.autograd.grad(values["second"][0, 1, middle, middle], values["first"])
    found = _gradients(model, "first", "second", [1], (2, 2))
    np.testing.assert_allclose(found[0], expected[0], atol=1e-6)


def test_a_cut_is_the_middle_of_the_whole(model):
    found = expanded_weights(model, "conv2d2", "mixed3a_pre_relu", [1])
    assert found.values.shape[1] == model.network.layers["conv2d2"].channels
    assert np.abs(found.values).max() > 0
    size = found.values.shape[-1]
    assert size % 2 == 1
    cut = expanded_weights(model, "conv2d2", "mixed3a_pre_relu", [1], [0, 2], size=3).values
    middle = slice(size // 2 - 1, size // 2 + 2)
    np.testing.assert_allclose(cut, found.values[:, [0, 2], middle, middle], atol=1e-6)


def between(*parts):
    """Something between two convolutions of PyTorch."""
    network = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), *parts, nn.Conv2d(4, 5, 3, padding=1))
    for layer, weight in ((network[0], FIRST), (network[-1], SECOND)):
        layer.weight.data = torch.from_numpy(weight.transpose(3, 2, 0, 1).copy())
    return network


class Called(nn.Module):
    """A function between modules."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


TORCH_POOLS = {
    "module": [nn.ReLU(inplace=True), nn.LocalResponseNorm(3, alpha=2.0), nn.MaxPool2d(3, 2, padding=1)],
    "function": [Called(lambda x: F.max_pool2d(F.local_response_norm(torch.relu(x), 3, alpha=2.0), 3, 2, 1))],
    "method": [Called(lambda x: x.relu_()), nn.ReLU6(), Called(lambda x: torch.max_pool2d(x, 3, 2, 1))],
    "ceil": [nn.MaxPool2d(3, 2, padding=1, ceil_mode=True), nn.Hardtanh(0, 6, inplace=True)],
}


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("parts", TORCH_POOLS.values(), ids=TORCH_POOLS)
def test_pools_and_norms_of_pytorch_are_treated_alike(parts, trace):
    module = between(*parts)
    model = from_torch(module, (-1, 1), image_shape=(16, 16, 3), trace=trace)
    found = expanded_weights(model, "0", str(len(module) - 1), [2]).values[0]
    expected = np.zeros((4, 7, 7), np.float32)
    for row, column in np.ndindex(3, 3):
        kernel = SECOND[row, column, :, 2][:, None, None] / 9
        expected[:, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3] += kernel
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_adaptive_pools_average():
    model = from_torch(between(nn.AdaptiveMaxPool2d(8)), (-1, 1), image_shape=(16, 16, 3))
    found = expanded_weights(model, "0", "2", [2]).values[0]
    expected = SECOND[..., 2].transpose(2, 0, 1).repeat(4, 1).repeat(4, 2) / 16
    np.testing.assert_allclose(found[:, : len(expected[0]), : len(expected[0])], expected, atol=1e-6)
    assert found.shape == (4, 13, 13)


BENT = {
    "gelu": nn.GELU(),
    "leaky": nn.LeakyReLU(0.2),
    "sigmoid function": Called(torch.sigmoid),
    "product": Called(lambda x: x * x.mean((2, 3), keepdim=True)),
    "dilated pool": nn.MaxPool2d(3, 1, padding=1, dilation=2),
    "group norm": nn.GroupNorm(2, 4),
}


@pytest.mark.parametrize("part", BENT.values(), ids=BENT)
def test_what_is_not_taken_out_is_refused(part):
    model = from_torch(between(part), (-1, 1), image_shape=(16, 16, 3))
    with pytest.raises(ValueError, match=r"Layer '2' is not linear in layer '0', also without the ReLUs"):
        expanded_weights(model, "0", "2", [0, 3])


def test_the_network_is_as_before(model):
    image = torch.rand(1, 3, 48, 48)
    before = model.activations(image, ["mixed3a"])["mixed3a"]
    expanded_weights(model, "conv2d2", "mixed3a", [1])
    torch.testing.assert_close(model.activations(image, ["mixed3a"])["mixed3a"], before, rtol=0, atol=0)


def test_factors_make_up_weights_that_have_them():
    """Weights of two factors are found again, signs and all."""
    channels = np.array([[1, 1, 0, 0], [0, 0, 1, 2]], np.float32)
    maps = RANDOM.randn(3, 3, 2, 5).astype(np.float32)
    network = chain()
    weights = np.einsum("hwfu,fc->hwcu", maps, channels)
    module = network.network.get_submodule("second")
    module.weight.data = torch.from_numpy(weights.transpose(3, 2, 0, 1).copy())
    found = factored_weights(network, "second", 2)
    lengths = np.linalg.norm(found.channels, axis=1, keepdims=True)
    rebuilt = found.maps @ (found.channels / lengths)
    limit = 1e-4 * np.abs(weights).max()  # measured 7e-8
    np.testing.assert_allclose(rebuilt, weights.transpose(3, 0, 1, 2), atol=limit)
    assert found.pictures.shape == (5, 3, 3, 3)
    assert 0 <= found.pictures.min() <= found.pictures.max() == 1


def test_weights_of_zero_lie_in_the_middle_of_the_image():
    assert _middle(np.zeros((1, 2, 6, 9))) == (3, 4)


def test_signs_are_colours():
    picture = signed_picture(np.array([1.0, -1.0, 0.0]))
    np.testing.assert_allclose(picture[:2], [[0.8, 0.1, 0.13], [0.13, 0.34, 0.72]], atol=1e-6)
    np.testing.assert_array_equal(picture[2], [1, 1, 1])
    np.testing.assert_allclose(signed_picture(np.array([2.0, -2.0]), largest=4), (1 + picture[:2]) / 2, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: kernels_of(m, "maxpool1"), "no convolution"),
        (lambda m: first_layer_kernels(m, "conv2d2"), "not an image's colors"),
        (lambda m: expanded_weights(m, "mixed3a", "conv2d2", [0]), "does not depend"),
        (lambda m: expanded_weights(m, "conv2d2", "mixed3a", [999]), "no unit 999"),
        (lambda m: expanded_weights(m, "conv2d2", "mixed3a", [0], size=4), "odd"),
        (lambda m: factored_weights(m, "conv2d1", 999), "do not make 999"),
    ],
)
def test_weights_that_there_are_not(model, call, words):
    with pytest.raises(ValueError, match=words):
        call(model)


# Tuning ------------------------------------------------------------------------------------------


def test_high_and_low_frequencies_have_their_periods():
    """From the center in column 32: a period of 4 on the left, and of 8 x 4 on the right."""
    row = high_low_frequency(65, 0, period=4, ratio=8)[20, :, 0]
    np.testing.assert_allclose(row[[1, 2, 3, 4]], [1, 0.5, 0, 0.5], atol=1e-3)
    np.testing.assert_allclose(row[[40, 48, 56, 64]], [1, 0.5, 0, 0.5], atol=1e-3)


@pytest.mark.parametrize("draw", STIMULI.values(), ids=STIMULI)
def test_stimuli_turn(draw):
    upright, turned = draw(31, 0), draw(31, 90)
    assert upright.shape == (31, 31, 3)
    assert 0 <= upright.min() < upright.max() <= 1
    np.testing.assert_allclose(np.rot90(upright), turned, atol=1e-5)


def test_a_line_is_upright_and_a_curve_bends_to_the_right():
    dark = line(31, 0)[..., 0] < 0.25
    assert dark[:, 15].all()
    assert not dark[:, :12].any()
    arc = curve(61, 0, radius=20)[..., 0] < 0.25
    assert arc[30, 30]
    assert [rows.any() for rows in (arc[:9], arc[10:16], arc[45:51], arc[52:])] == [False, True, True, False]
    assert not arc[:, :28].any()
    assert not arc[30, 40:].any()


def edge_detector():
    """A unit that answers to dark upright lines, and one to level ones."""
    kernel = np.zeros((7, 7, 3, 2), np.float32)
    kernel[:, 3, :, 0] = kernel[3, :, :, 1] = -1
    kernel += 1 / 7
    writer = GraphWriter()
    x = writer.placeholder("input", [None, None, None, 3])
    x = writer.conv2d("lines_pre_relu", x, writer.const("w", kernel), 1, "SAME")
    writer.op("lines", "Relu", [x])
    return Model(network=convert(writer.graph_def()), image_value_range=(-1, 1), image_shape=(31, 31, 3))


def test_a_unit_answers_to_its_orientation():
    found = tuning(edge_detector(), "lines", [0, 1], "line", orientations=8, size=31, width=1)
    assert found.values.shape == (2, 8)
    assert found.peaks.tolist() == [0, 90]
    np.testing.assert_allclose(found.values[0, [0, 4]], found.values[0].max(), rtol=1e-4)


def test_batches_do_not_matter(model):
    one, many = (tuning(model, "mixed3a", [1, 3], orientations=7, size=40, batch_size=b).values for b in (1, 7))
    assert (one.max(1) > 0).all()  # silent units would be alike whatever the batches are
    np.testing.assert_allclose(one, many, rtol=1e-6, atol=1e-6)  # measured 0


def test_a_polar_picture_reaches_where_the_unit_answers():
    angles = np.arange(0, 360, 5.0)
    picture = polar_picture(angles, np.maximum(np.cos(np.deg2rad(angles - 90)), 0), 101)
    inked = np.abs(picture - np.array([0.90, 0.48, 0.20])).max(-1) < 0.05
    assert inked[10, 50]
    assert not inked[90, 50]
    assert not inked[50, 90]


@pytest.mark.parametrize("size", [64, 101])
def test_the_rim_of_a_polar_picture_is_two_pixels_wide(size):
    silent = polar_picture(np.arange(0, 360, 5.0), np.zeros(72), size)
    right = silent[size // 2, size // 2 + 5 :, 0]  # past the dot at the centre
    width = (1 - right).sum() / 0.25
    assert width == pytest.approx(2, abs=0.25)  # measured 1.93 and 1.96
    rim = np.average(np.arange(right.size) + 5, weights=1 - right)
    assert rim == pytest.approx(size / 2 - 2, abs=1)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"stimulus": "spiral"}, "stimulus is one of"),
        ({"units": [999]}, "no unit 999"),
        ({"units": 3}, "units of 'mixed3a' is a list of channels, not 3"),
        ({"orientations": 0}, "orientations"),
        ({"radious": 9}, "The stimulus curve has no parameter 'radious': it has radius, width, ink, background"),
        ({"stimulus": lambda size, angle: 0, "radius": 9}, "has no parameter 'radius': it has none"),
    ],
)
def test_what_cannot_be_tuned(model, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        tuning(model, **{"layer": "mixed3a", "units": [0], **options})


@pytest.mark.parametrize(("layer", "later"), [("conv2d1", "mixed4d"), ("mixed4c", "mixed5b")])
def test_late_units_see_no_border(layer, later):
    """Weights do not depend on how large the model's own images are."""
    network = convert(seeded_inceptionv1(width=0.04))
    small, large = (
        Model(network=network, image_value_range=(-117, 138), image_shape=(side, side, 3)) for side in (224, 672)
    )
    found, expected = (expanded_weights(model, layer, later, [1]).values for model in (small, large))
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())


# Edits and factors between layers ----------------------------------------------------------------


def test_an_edited_copy_and_the_model_as_it_was():
    network = chain()
    image = torch.rand(1, 3, 9, 7)
    before = network.activations(image, ["second"])["second"]
    edited = edited_copy(
        network, {"second": lambda kernels: kernels.clip(0), "first_relu": lambda kernels: 2 * kernels}
    )
    np.testing.assert_array_equal(kernels_of(edited, "second"), kernels_of(network, "second").clip(0))
    np.testing.assert_array_equal(kernels_of(edited, "first"), 2 * FIRST.transpose(3, 0, 1, 2))
    np.testing.assert_array_equal(kernels_of(network, "second"), SECOND.transpose(3, 0, 1, 2))
    torch.testing.assert_close(network.activations(image, ["second"])["second"], before, rtol=0, atol=0)
    assert (edited.activations(image, ["second"])["second"] > before).any()


def test_edits_that_are_none():
    with pytest.raises(ValueError, match=r"kernels \(5, 3, 3, 2\) of kernels \(5, 3, 3, 4\)"):
        edited_copy(chain(), {"second": lambda kernels: kernels[..., :2]})
    with pytest.raises(ValueError, match="do not make 5"):
        factored_connections(expanded_weights(chain(), "first", "second", [0]), 5)


def test_channels_that_excite_in_the_same_places_are_one_factor():
    """Two groups of channels, of which one excites where the other inhibits: magnitudes alone could not tell them."""
    side = np.repeat([[1.0, 0.0, -1.0]], 3, 0)
    shares = np.array([1.0, 2.0, -1.0, -3.0])
    values = np.stack([np.stack([share * turned for share in shares]) for turned in (side, side.T, -side)])
    weights = ExpandedWeights(("a", "b"), (0, 1, 2), (0, 1, 2, 3), values.astype(np.float32))
    found = factored_connections(weights)
    assert found.layer == "a"
    groups = found.channels > 0.05 * found.channels.max()
    assert sorted(map(tuple, groups.tolist())) == [(False, False, True, True), (True, True, False, False)]
    first = int(groups[0, 2])  # which factor has channels 0 and 1
    np.testing.assert_allclose(found.maps[..., first] * found.maps[..., 1 - first] <= 1e-6, True)
    assert found.maps[0, 1, 0, first] > 0 > found.maps[0, 1, 2, first]


def test_a_map_has_a_row_for_each_value(model):
    found = tuning_map(model, "mixed3a", [1, 3], "curve", "radius", [6.0, 12.0, 18.0], orientations=7, size=40)
    row = tuning(model, "mixed3a", [1, 3], "curve", radius=12.0, orientations=7, size=40)
    assert found.values.shape == (2, 3, 7)
    assert (found.values.max((1, 2)) > 0).all()
    np.testing.assert_array_equal(found.values[:, 1], row.values)
    for number, (radius, angle) in enumerate(zip(*found.best, strict=True)):
        at = found.values[number, list(found.settings).index(radius), list(found.orientations).index(angle)]
        assert at == found.values[number].max()
    with pytest.raises(ValueError, match="No value of 'radius'"):
        tuning_map(model, "mixed3a", [0], "curve", "radius", [])
    for wrong in ("radious", "size"):  # the size is the stimulus's, but not its alone: pictures of several do not stack
        with pytest.raises(ValueError, match=f"The stimulus curve has no parameter '{wrong}': it has radius, width"):
            tuning_map(model, "mixed3a", [0], "curve", wrong, [6.0])


def test_heat_grows_lighter():
    picture = heat_picture(np.array([-1.0, 0.0, 0.5, 1.0, 2.0]), largest=1.0)
    np.testing.assert_array_equal(picture[0], picture[1])
    np.testing.assert_array_equal(picture[3], picture[4])
    assert (np.diff(picture[1:4].sum(-1)) > 0).all()


def test_a_family_covers_what_its_units_cover():
    angles = np.arange(0, 360, 5.0)
    lobes = np.stack([np.maximum(np.cos(np.deg2rad(angles - peak)), 0) ** 8 for peak in (0, 90)])
    picture = polar_family_picture(angles, lobes, 101)
    assert np.ptp(picture[50, 80]) > 0.2  # coloured to the right and above
    assert np.ptp(picture[20, 50]) > 0.2
    assert np.ptp(picture[50, 20]) < 1e-3
    assert np.ptp(picture[80, 50]) < 1e-3
    assert np.abs(picture[50, 80] - picture[20, 50]).max() > 0.2  # each in a hue of its own
