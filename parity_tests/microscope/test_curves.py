"""Tuning curves: equal to those of the recipe, for all units and layers at once."""

import numpy as np
import pytest
import torch
from timm.models.vision_transformer import VisionTransformer
from torch import nn

from lucid_port.microscope.curves import FAMILIES, Family, tuning_curves
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.vision_models import TinyInceptionV1
from lucid_port.recipes.tuning import middle_activations, tuning, tuning_map


@pytest.fixture(scope="module")
def model():
    return TinyInceptionV1()


def test_orientation_equals_the_recipe(model):
    family = Family(list(np.arange(6) * 60.0), lambda size, angle: FAMILIES["orientation"].draw(size, angle))
    found = tuning_curves(model, ["mixed3a", "mixed4a"], {"orientation": family}, size=48, batch_size=6)
    for layer, units in (("mixed3a", 64), ("mixed4a", 127)):
        expected = tuning(model, layer, list(range(units)), "line", orientations=6, size=48).values
        np.testing.assert_allclose(found[layer].values["orientation"], expected, rtol=1e-4, atol=1e-4)


def test_radius_is_the_greatest_over_orientations(model):
    radii = [5.0, 12.0]
    family = Family(radii, FAMILIES["radius"].draw)
    found = tuning_curves(model, ["mixed3b"], {"radius": family}, size=48)["mixed3b"].values["radius"]
    expected = tuning_map(model, "mixed3b", list(range(120)), "curve", "radius", radii, orientations=8, size=48)
    np.testing.assert_allclose(found, expected.values.max(2), rtol=1e-4, atol=1e-4)


def test_the_families_have_their_stimuli_at_each_position():
    for name, count in (("orientation", 1), ("radius", 8), ("hue", 2), ("frequency", 8)):
        family = FAMILIES[name]
        for position in family.positions:
            stimuli = family.draw(33, position)
            assert len(stimuli) == count
            assert all(one.shape == (33, 33, 3) and 0 <= one.min() <= one.max() <= 1 for one in stimuli), name


def test_hues_are_colors_of_their_angle():
    whole, patch = FAMILIES["hue"].draw(8, 240.0)
    assert whole[0, 0].tolist() == [0, 0, 1]
    assert patch[0, 0].tolist() == [0.5] * 3
    assert patch[4, 4].tolist() == [0, 0, 1]


def test_batches_do_not_change_the_curves(model):
    levels = Family((0.0, 0.3, 1.0), lambda size, level: [np.full((size, size, 3), level, np.float32)] * 2)
    one, two = (tuning_curves(model, ["mixed3a"], {"level": levels}, size=40, batch_size=size) for size in (1, 32))
    np.testing.assert_allclose(one["mixed3a"].values["level"], two["mixed3a"].values["level"], rtol=1e-4, atol=1e-5)
    assert one["mixed3a"].positions == {"level": (0.0, 0.3, 1.0)}
    assert len(one["mixed3a"].rows(5)["level"]) == 3


def test_images_that_are_not_square_continue_the_stimulus():
    torch.manual_seed(0)
    model = from_torch(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1)), (-1, 1), image_shape=(21, 33, 3))
    levels = Family((0.25,), lambda size, level: [np.full((size, size, 3), level, np.float32)])
    found = tuning_curves(model, ["0"], {"level": levels})["0"].values["level"]
    expected = middle_activations(model, "0", np.full((1, 21, 33, 3), 0.25, np.float32))
    np.testing.assert_allclose(found[:, 0], expected[0], rtol=1e-5)


def test_tokens_and_fully_connected_layers_have_curves():
    torch.manual_seed(0)
    network = VisionTransformer(img_size=(12, 20), patch_size=4, embed_dim=8, depth=1, num_heads=2, num_classes=3)
    model = from_torch(network, (-1, 1), image_shape=(12, 20, 3))
    found = tuning_curves(model, ["blocks.0", "head"])
    assert found["blocks.0"].values["hue"].shape == (8, 24)
    assert found["head"].values["frequency"].shape == (3, 10)


def test_a_family_of_other_shapes_is_refused(model):
    with pytest.raises(ValueError, match="'odd' draws"):
        tuning_curves(model, ["mixed3a"], {"odd": Family((1.0,), lambda size, at: [np.zeros((3, size, size))])})
