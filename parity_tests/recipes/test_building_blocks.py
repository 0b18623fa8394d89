"""Semantic dictionaries, groups of neurons and activation grids: what they say of activations that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import param
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.activation_grid import ActivationGrid, _Cells, _icons, activation_grid, factored_activation_grid
from lucid_port.recipes.attribution import channel_attribution
from lucid_port.recipes.inputs import spatial_activations
from lucid_port.recipes.neuron_groups import neuron_groups
from lucid_port.recipes.semantic_dictionary import semantic_dictionary

QUICK = {"size": 24, "steps": 2}


def test_the_strongest_channels_at_each_position(model, picture):
    found = semantic_dictionary(model, picture, "mixed4a", top=3)
    acts = spatial_activations(model, picture, "mixed4a")
    np.testing.assert_array_equal(found.activations, acts)
    np.testing.assert_array_equal(found.values, -np.sort(-acts, -1)[..., :3])
    np.testing.assert_array_equal(np.take_along_axis(acts, found.channels, -1), found.values)
    row, column = found.strongest
    assert acts[row, column].max() == acts.max()
    assert found.icons == {}


def test_icons_of_the_channels_at_some_positions(model, picture):
    found = semantic_dictionary(model, picture, "mixed4a", top=2, positions=[(0, 0), (1, 2)], **QUICK)
    assert set(found.icons) == set(found.channels[0, 0]) | set(found.channels[1, 2])
    assert {icon.shape for icon in found.icons.values()} == {(24, 24, 3)}


@pytest.mark.parametrize("positions", [[(9, 0)], [(0, -1)]])
def test_positions_that_do_not_exist(model, picture, positions):
    with pytest.raises(ValueError, match="no position"):
        semantic_dictionary(model, picture, "mixed4a", positions=positions, **QUICK)


def test_one_position_is_no_list_of_them(model, picture):
    with pytest.raises(TypeError, match=r"A position is a pair \(row, column\), not 0"):
        semantic_dictionary(model, picture, "mixed4a", positions=(0, 1), **QUICK)


def test_groups_make_up_the_activations(model, picture):
    few, many = (neuron_groups(model, picture, "mixed3b", groups, icons=False) for groups in (2, 6))
    assert few.spatial.shape == (6, 5, 2)
    assert many.error < few.error < 1
    rest = np.linalg.norm(many.activations - many.spatial @ many.channels) / np.linalg.norm(many.activations)
    np.testing.assert_allclose(many.error, rest, rtol=1e-5)
    assert many.spatial.min() >= 0
    assert many.channels.min() >= 0


def test_groups_go_from_left_to_right(model, picture):
    found = neuron_groups(model, picture, "mixed3b", 4, icons=False)
    peaks = found.spatial.reshape(-1, 4).argmax(0) % found.spatial.shape[1]
    assert (np.diff(peaks) >= 0).all()


def test_each_group_has_an_icon(model, picture):
    assert neuron_groups(model, picture, "mixed3b", 3, **QUICK).icons.shape == (3, 24, 24, 3)


@pytest.fixture
def full(model):
    """The same network at a size at which its classes can be computed."""
    return Model(network=model.network, image_value_range=(-117, 138), image_shape=(224, 224, 3))


@pytest.fixture
def square():
    return np.random.RandomState(0).uniform(size=(224, 224, 3)).astype(np.float32)


def test_effects_of_all_groups_are_that_of_the_layer(full, square):
    """With as many groups as the activations have parts, nothing is left out."""
    found = neuron_groups(full, square, "mixed5a", 20, classes=[3], icons=False)
    whole = channel_attribution(full, square, "mixed5a", 3).values.sum()
    np.testing.assert_allclose(found.effects[3].sum(), whole, rtol=0.01)  # measured 2e-3


def test_effects_of_groups_of_attributions_are_those_that_were_factored(full, square):
    """On the class itself they are its positive attributions; on another, what the same neurons contribute to it."""
    found = neuron_groups(full, square, "mixed5a", 20, classes=[3, 5], factor="attributions", icons=False)
    own, other = (channel_attribution(full, square, "mixed5a", one).field for one in (3, 5))
    assert found.error < 0.05  # measured 0.014
    np.testing.assert_allclose(found.effects[3].sum(), own.clip(0).sum(), rtol=0.01)  # measured 4.5e-3
    np.testing.assert_allclose(found.effects[5].sum(), other[own > 0].sum(), rtol=2e-6)  # measured 2e-7


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"layer": "mixed3b_pre_relu"}, "negative values"),
        ({"groups": 1000}, "do not make 1000 groups"),
        ({"factor": "weights"}, "factor is one of"),
        ({"factor": "attributions"}, "name it in classes"),
        ({"classes": "heart"}, "classes is a list of classes"),
    ],
)
def test_groups_that_cannot_be_made(model, picture, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        neuron_groups(model, picture, **{"layer": "mixed3b", "groups": 2, "icons": False, **options})


def test_a_grid_has_an_icon_for_each_position(model, picture):
    found = activation_grid(model, picture, "mixed4a", **QUICK)
    assert found.icons.shape == (3, 3, 20, 20, 3)
    assert found.mosaic.shape == found.scaled_mosaic().shape == (60, 60, 3)
    np.testing.assert_array_equal(found.mosaic[20:40, 40:60], found.icons[1, 2])


@pytest.mark.parametrize("make", [activation_grid, factored_activation_grid])
def test_icons_go_in_the_direction_of_their_position(model, picture, make):
    steps = 12 if make is activation_grid else 40
    found = make(model, picture, "mixed3b", size=36, steps=steps)
    icons = found.icons.reshape(-1, *found.icons.shape[2:])
    with torch.no_grad():
        acts = model.activations(torch.from_numpy(icons.transpose(0, 3, 1, 2).copy()), ["mixed3b"])["mixed3b"]
        grey = model.activations(torch.full((1, 3, 32, 32), 0.5), ["mixed3b"])["mixed3b"]
    wanted = torch.from_numpy(found.activations.reshape(len(icons), -1))
    dots = torch.einsum("nc,nc->n", acts.mean((2, 3)), wanted)
    assert (dots > wanted @ grey.mean((0, 2, 3))).float().mean() > 0.8
    curve = found.losses.reshape(-1, steps).mean(0)
    assert curve[-1] > curve[0]


@pytest.mark.parametrize(
    ("groups", "words"), [(0, "groups is a whole number from 1"), (1000, "do not make 1000 groups")]
)
def test_icons_share_as_many_groups_as_there_can_be(model, picture, groups, words):
    with pytest.raises(ValueError, match=words):
        factored_activation_grid(model, picture, "mixed3b", groups, **QUICK)


def test_icons_are_pictures_without_two_pixels_on_each_side():
    pictures = np.arange(6 * 9 * 11 * 3).reshape(6, 9, 11, 3)
    icons = _icons(pictures, (2, 3, 5))
    np.testing.assert_array_equal(icons[1, 2], pictures[5, 2:7, 2:9])


def test_an_icon_without_groups_is_gray_but_for_its_own_image():
    cells = _Cells(np.array([[0, 0], [1, 0]], np.float32), 8).reset(RandomSource(0))
    with torch.no_grad():
        for parameter in cells.own.parameters():
            parameter.zero_()
    icons = cells()
    assert torch.equal(icons[0], torch.full((3, 8, 8), 0.5))
    torch.testing.assert_close(icons[1:], param.color.to_valid_rgb_tensor(cells.shared()[:1] / 2, decorrelate=True))


def test_magnitudes_are_areas():
    icons = np.zeros((1, 2, 10, 10, 3), np.float32)
    grid = ActivationGrid("x", icons[0, 0], np.array([[[4.0], [1.0]]]), icons, np.zeros(0))
    np.testing.assert_allclose(grid.magnitudes, [[1, 0.25]])
    dark = (grid.scaled_mosaic() == 0).all(-1)
    assert (dark[:, :10].sum(), dark[:, 10:].sum()) == (100, 25)
