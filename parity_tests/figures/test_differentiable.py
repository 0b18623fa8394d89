"""Figures of Differentiable Image Parameterizations: what is shown is what the recipes give."""

from __future__ import annotations

import numpy as np

from lucid_port.recipes.cppn import paint
from lucid_port.recipes.interpolation import interpolations
from lucid_port.recipes.transparency import transparent

PAIR = ["mixed3a:1", "mixed3b:2"]
LAYERS = ["conv2d2", "mixed3a"]


def test_a_row_with_sharing_and_one_without(make, network):
    result = make("dp-aligned-interpolation", PAIR, 2, size=32, frames=3)
    assert [len(panel.pictures) for panel in result.panels] == [3, 3, 3, 3]
    (row,) = interpolations(network, [tuple(PAIR)], 3, sharing="pyramid", size=32, steps=2)
    np.testing.assert_array_equal(result.panels[1].pictures, row.pictures)
    np.testing.assert_array_equal(result.panels[3].pictures, row.shared)
    assert np.abs(np.asarray(result.panels[0].pictures) - row.pictures).max() > 0.01


def test_content_style_and_both_results(make, drawing):
    result = make("dp-style-transfer", ["mixed3a"], style=drawing, style_layers=LAYERS, size=32)
    (panel,) = result.panels
    assert list(panel.captions) == ["content", "style", "pixels", "decorrelated"]
    assert {picture.shape for picture in panel.pictures} == {(32, 32, 3)}
    assert set(result.data["distances"]) == {"pixel", "decorrelated"}


def test_paintings_at_growing_numbers_of_updates(make, network):
    result = make("dp-cppn", PAIR, 2, size=24, shown=40)
    assert [len(panel.pictures) for panel in result.panels] == [2, 2, 2]
    made = paint(network, PAIR, size=24, steps=2, thresholds=[1])
    np.testing.assert_array_equal(result.panels[1].pictures, made.pictures[:, 1])
    assert result.panels[2].pictures[0].shape == (40, 40, 3)


def test_what_covers_and_how_much(make, network):
    result = make("dp-transparency", PAIR, 2, size=32)
    made = transparent(network, PAIR, size=32, steps=2)
    np.testing.assert_array_equal(np.stack(result.panels[1].pictures)[..., 0], made.pictures[..., 3])
    np.testing.assert_allclose(result.data["covered"], made.pictures[..., 3].mean((1, 2)))
    assert result.panels[0].pictures[0].shape == (32, 32, 3)
