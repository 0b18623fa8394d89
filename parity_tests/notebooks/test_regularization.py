"""Lucid's regularization ("the enemy of feature visualization"): four ways, from noise to a picture."""

from __future__ import annotations

import numpy as np
import pytest

import lucid_port.optvis.objectives as objectives
import lucid_port.optvis.param as param
import lucid_port.optvis.render as render
import lucid_port.optvis.transform as transform
from lucid_port.optvis.optimizer import TFAdam
from parity_tests.notebooks.measure import first_image, value

UNIT = objectives.channel("mixed4b_pre_relu", 452)
THRESHOLDS = (0, 2, 6)
ROBUST = [
    transform.pad(2),
    transform.jitter(1),
    transform.random_scale([1.1 ** (n / 10) for n in range(-10, 11)]),
    transform.random_rotate(range(-5, 6)),
]


def naive():
    return param.image(32, fft=False, decorrelate=False)


def preconditioned():
    return param.image(32, fft=True, decorrelate=True)


PENALTIES = [
    -0.05 * objectives.L1(constant=0.5),
    -0.25 * objectives.total_variation(),
    -1.0 * objectives.blur_input_each_step(),
]
WAYS = {
    "none": (UNIT, naive, []),
    "frequency": (UNIT + objectives.Objective.sum(PENALTIES), naive, []),
    "robustness": (UNIT, lambda: param.image(32), ROBUST),
    "preconditioning": (UNIT, preconditioned, transform.standard_transforms),
}


@pytest.fixture(scope="module")
def renders(model):
    return {
        name: render.render_vis(
            model,
            objective,
            param_f,
            optimizer=lambda parameters: TFAdam(parameters, lr=0.05),
            transforms=transforms,
            thresholds=THRESHOLDS,
            verbose=False,
        )
        for name, (objective, param_f, transforms) in WAYS.items()
    }


@pytest.mark.parametrize("name", WAYS)
def test_every_threshold_gives_a_picture_further_on(model, renders, name):
    _, param_f, _ = WAYS[name]
    pictures = [first_image(model, param_f), *renders[name]]
    assert len(pictures) == 1 + len(THRESHOLDS)
    distances = [np.abs(picture - pictures[0]).mean() for picture in pictures]
    assert distances == sorted(set(distances))
    assert value(model, UNIT, pictures[-1]) > value(model, UNIT, pictures[0])


def test_twice_as_large_for_display(renders):
    picture = renders["none"][-1]
    shown = picture.repeat(2, axis=1).repeat(2, axis=2)
    assert shown.shape == (1, 64, 64, 3)
    np.testing.assert_array_equal(shown[:, ::2, 1::2], picture)


@pytest.mark.parametrize("penalty", PENALTIES, ids=["L1", "total_variation", "blur_input_each_step"])
def test_frequency_penalties_hold_noise_down(model, renders, penalty):
    without, under = renders["none"][-1], renders["frequency"][-1]
    assert value(model, penalty, under) > value(model, penalty, without)


def test_the_default_optimizer_is_the_notebooks(model, renders):
    """Adam with TensorFlow's epsilon and a rate of 0.05."""
    objective, param_f, transforms = WAYS["preconditioning"]
    again = render.render_vis(model, objective, param_f, transforms=transforms, thresholds=THRESHOLDS, verbose=False)
    np.testing.assert_array_equal(again[-1], renders["preconditioning"][-1])


@pytest.mark.parametrize("penalty", PENALTIES, ids=["L1", "total_variation", "blur_input_each_step"])
def test_penalties_see_the_image_before_the_transforms(model, penalty):
    vis = render.make_vis_T(model, penalty, naive, transforms=transform.standard_transforms)
    before = vis.image()
    assert float(vis.step().sum()) == pytest.approx(value(model, penalty, before), rel=1e-5)
