"""Patches on pictures, and what a network makes of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lucid_port.modelzoo.vision_base import Model
from lucid_port.recipes.inputs import as_batch
from lucid_port.recipes.patches import class_probabilities, patch_table, with_patch


@pytest.fixture(scope="module")
def classifier(model):
    """The small network with the size that its classes need."""
    return Model(network=model.network, image_value_range=(-117, 138), image_shape=(224, 224, 3))


@pytest.mark.parametrize(("place", "rows", "columns"), [((0, 0), (0, 6), (0, 4)), ((1, 0.5), (9, 15), (3, 7))])
def test_where_a_patch_lies(place, rows, columns):
    made = with_patch(np.zeros((15, 10, 3)), np.ones((3, 3, 3)), 0.4, place)
    covered = np.argwhere(made[..., 0] == 1)
    assert (covered.min(0).tolist(), (covered.max(0) + 1).tolist()) == ([rows[0], columns[0]], [rows[1], columns[1]])
    assert made.sum() == 3 * 24


def test_the_picture_itself_is_left_alone():
    picture = np.zeros((8, 8, 3), np.float32)
    with_patch(picture, np.ones((2, 2, 3)), 1)
    assert not picture.any()


@pytest.mark.parametrize(("ratio", "place"), [(0, (0, 0)), (1.1, (0, 0)), (0.5, (0, 1.5)), (0.5, (0, -1)), (0.5, (0,))])
def test_what_is_no_place(ratio, place):
    with pytest.raises(ValueError, match=r"ratio|place"):
        with_patch(np.zeros((8, 8, 3)), np.ones((2, 2, 3)), ratio, place)


def test_probabilities_are_the_softmax(classifier):
    picture = np.random.default_rng(0).random((224, 224, 3)).astype(np.float32)
    found = class_probabilities(classifier, picture)
    with torch.no_grad():
        expected = classifier.activations(as_batch(classifier, picture), ["softmax2"])["softmax2"]
    np.testing.assert_allclose(found, expected.numpy().ravel(), rtol=1e-5)
    with pytest.raises(ValueError, match="not for classes"):
        class_probabilities(classifier, picture, "mixed5b")


def test_a_table_has_the_picture_its_patches_and_the_patch(classifier):
    random = np.random.default_rng(1)
    picture, patch = random.random((60, 80, 3)), random.random((30, 30, 3))
    table = patch_table(classifier, picture, patch, (0.25, 0.5), (1, 0))
    assert table.ratios == (0.0, 0.25, 0.5)
    for made, row in zip(table.pictures, table.probabilities, strict=True):
        np.testing.assert_array_equal(row, class_probabilities(classifier, made))
    np.testing.assert_array_equal(table.pictures[2], with_patch(table.pictures[0], table.patch, 0.5, (1, 0)))
    np.testing.assert_array_equal(table.patch_probabilities, class_probabilities(classifier, table.patch))
    np.testing.assert_allclose(table.probabilities.sum(1), 1)
