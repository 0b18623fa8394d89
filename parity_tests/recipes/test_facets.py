"""Sheets of one unit: each view as it would be alone."""

from __future__ import annotations

import numpy as np
import pytest

from lucid_port.optvis import objectives, param
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes import feature_visualization
from lucid_port.recipes.facets import unit_sheet
from parity_tests.recipes.by_hand import by_hand, likeness, values

LAYER = "mixed3b_pre_relu"


@pytest.fixture(scope="module")
def sheet(model):
    return unit_sheet(model, "mixed3b", 5, diverse=3, seeds=2, size=32, steps=12)


def test_a_sheet_has_all_views(sheet):
    assert sheet.name == "mixed3b:5"
    assert {view.shape for view in (sheet.neuron, sheet.channel, sheet.negative)} == {(32, 32, 3)}
    assert (sheet.diverse.shape, sheet.seeds.shape) == ((3, 32, 32, 3), (2, 32, 32, 3))
    assert sheet.transparent.shape == (32, 32, 4)
    assert sheet.losses.shape == (12,)


def test_each_view_is_its_own_render(model, sheet):
    channel = objectives.channel("mixed3b", 5)
    for wanted, view, seed in (
        (channel, sheet.channel, 0),
        (objectives.neuron("mixed3b", 5), sheet.neuron, 0),
        (-objectives.channel(LAYER, 5), sheet.negative, 0),
        (channel, sheet.seeds[0], 1),
        (channel, sheet.seeds[1], 2),
    ):
        source = RandomSource(seeds=[seed], shared=0)
        expected, _ = by_hand(model, wanted, param.image(32), 12, relu_gradient_override=True, seed=source)
        # In a batch, rounding differs in places.
        np.testing.assert_allclose(view, expected[0], atol=1e-6)  # measured 1.2e-7


def test_views_differ_as_they_should(model, sheet):
    pictures = np.stack([sheet.channel, sheet.negative])
    most, least = values(model, LAYER, pictures)[:, 5].mean((1, 2))
    assert most > least
    assert likeness(np.concatenate([sheet.diverse, sheet.seeds])) < 0.9
    clear = feature_visualization.channel(model, "mixed3b", 5, alpha=True, n_steps=12, size=(32, 32))
    np.testing.assert_array_equal(sheet.transparent, clear.pictures[0])


def test_the_diverse_part_is_the_recipe_for_diversity(model, sheet):
    made = feature_visualization.diversity(model, "mixed3b", 5, 3, size=32, steps=12)
    np.testing.assert_allclose(sheet.diverse, made.pictures, atol=1e-5)  # measured 0; 7e-7 without vector instructions


def test_two_diverse_pictures_are_enough(model):
    made = unit_sheet(model, LAYER, 1, diverse=2, seeds=0, size=16, steps=1)
    assert (made.diverse.shape, made.seeds.shape) == ((2, 16, 16, 3), (0, 16, 16, 3))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"unit": 10**6}, "There is no unit"),
        ({"diverse": 1}, "diverse"),
        ({"seeds": -1}, "seeds"),
        ({"steps": 0}, "steps"),
    ],
)
def test_arguments_that_make_no_sense(model, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        unit_sheet(model, LAYER, **{"unit": 1, "size": 16, "steps": 1, **options})
