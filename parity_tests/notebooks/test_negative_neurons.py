"""Lucid's negative_neurons: what a channel likes least, and most, side by side."""

from __future__ import annotations

import numpy as np

import lucid_port.optvis.objectives as objectives
import lucid_port.optvis.param as param
import lucid_port.optvis.render as render
from lucid_port.optvis.transform import standard_transforms
from parity_tests.notebooks.measure import first_image, value

UNIT = ("mixed4a_pre_relu", 492)


def start():
    return param.image(32, batch=2)


def test_one_image_falls_and_the_other_rises(model):
    obj = objectives.channel(*UNIT, batch=1) - objectives.channel(*UNIT, batch=0)
    images = render.render_vis(model, obj, start, thresholds=(39,), verbose=False)[-1]
    before = first_image(model, start)
    assert images.shape == (2, 32, 32, 3)
    unit = objectives.channel(*UNIT)
    changes = [
        value(model, unit, images[[n]], standard_transforms, 8)
        - value(model, unit, before[[n]], standard_transforms, 8)
        for n in (0, 1)
    ]
    assert changes[0] < 0 < changes[1]
    assert np.abs(images[0] - images[1]).mean() > np.abs(before[0] - before[1]).mean()


def test_each_image_sees_its_own_objective_only(model):
    """The image that no objective names does not move."""
    images = render.render_vis(
        model, objectives.channel(*UNIT, batch=1), start, transforms=[], thresholds=(1,), verbose=False
    )[-1]
    before = first_image(model, start)
    np.testing.assert_array_equal(images[0], before[0])
    assert np.abs(images[1] - before[1]).max() > 1e-3
