"""Studies of what keeps pictures from being noise."""

from __future__ import annotations

import numpy as np
import pytest

from lucid_port.optvis import objectives, param, transform
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.render import VisT
from lucid_port.recipes import regularization
from lucid_port.recipes.regularization import (
    ARTICLE_PENALTIES,
    ARTICLE_TRANSFORMS,
    PENALTIES,
    TRANSFORMS,
    frequency_penalties,
    preconditioning,
    transformation_robustness,
)
from parity_tests.recipes.by_hand import by_hand

LAYER = "mixed3b_pre_relu"
UNITS = [f"{LAYER}:3", ("mixed4a_pre_relu", 2)]
UNIT = objectives.channel(LAYER, 3)


def adam(rate):
    return lambda parameters: TFAdam(parameters, lr=rate)


def alone(model, wanted, image, steps, transforms, rate=0.05):
    return by_hand(
        model, wanted, image, steps, transforms=transforms, optimizer=adam(rate), relu_gradient_override=True
    )


# Preconditioning ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def preconditioned(model):
    return preconditioning(model, UNITS, rates=(0.01, 0.1), thresholds=(6, 1), size=24)


def test_what_a_study_says(preconditioned):
    assert preconditioned.axes == (
        ("decorrelate", (False, True)),
        ("transforms", (False, True)),
        ("rate", (0.01, 0.1)),
    )
    assert preconditioned.units == (f"{LAYER}:3", "mixed4a_pre_relu:2")
    assert preconditioned.thresholds == (1, 6)
    assert preconditioned.pictures.shape == (2, 2, 2, 2, 2, 24, 24, 3)
    assert preconditioned.losses.shape == (2, 2, 2, 2, 6)


@pytest.mark.parametrize("decorrelate", [0, 1])
@pytest.mark.parametrize("robust", [0, 1])
@pytest.mark.parametrize(("place", "rate"), [(0, 0.01), (1, 0.1)])
def test_each_picture_is_a_render_with_these_settings(model, preconditioned, decorrelate, robust, place, rate):
    image = param.image(24, fft=bool(decorrelate), decorrelate=bool(decorrelate))
    expected, losses = alone(model, UNIT, image, 6, transform.standard_transforms if robust else [], rate)
    # In a batch, rounding differs in places.
    np.testing.assert_allclose(preconditioned.losses[decorrelate, robust, place, 0], losses, rtol=1e-4)
    np.testing.assert_allclose(preconditioned.pictures[decorrelate, robust, place, 0, 1], expected[0], atol=1e-4)


def test_one_at_a_time_pictures_are_equal_bit_for_bit(model):
    made = preconditioning(model, UNITS[:1], rates=(0.1,), thresholds=(5,), size=24, batch_size=1)
    expected, losses = alone(model, UNIT, param.image(24), 5, transform.standard_transforms, 0.1)
    np.testing.assert_array_equal(made.pictures[1, 1, 0, 0, 0], expected[0])
    np.testing.assert_array_equal(made.losses[1, 1, 0, 0], losses)


# Penalties ---------------------------------------------------------------------------------------


def test_penalties_are_subtracted(model):
    weights = {"L1": (0, 0.05), "total_variation": (0, 0.25), "blur": (0, 1.0)}
    made = frequency_penalties(model, UNITS[:1], weights, thresholds=(6,), size=24)
    assert made.pictures.shape == (2, 2, 2, 1, 1, 24, 24, 3)
    notebooks = (
        UNIT
        - 0.05 * objectives.L1(constant=0.5)
        - 0.25 * objectives.total_variation()
        - 1.0 * objectives.blur_input_each_step()
    )
    for place, wanted in (((0, 0, 0), UNIT), ((1, 1, 1), notebooks)):
        expected, losses = alone(model, wanted, param.image(24, fft=False, decorrelate=False), 6, [])
        np.testing.assert_allclose(made.losses[place][0], losses.reshape(6), rtol=1e-4)
        np.testing.assert_allclose(made.pictures[place][0, 0], expected[0], atol=1e-4)


@pytest.mark.parametrize("name", PENALTIES)
def test_the_more_a_penalty_weighs_the_less_noise(model, name):
    made = frequency_penalties(model, UNITS[:1], {name: (0, 100.0)}, thresholds=(15,), size=24)
    roughness = np.abs(np.diff(made.pictures[:, 0, 0], axis=1)).mean((1, 2, 3))
    assert roughness[1] < 0.8 * roughness[0]


# Robustness --------------------------------------------------------------------------------------


def test_transforms_are_the_notebooks(model):
    strengths = {"jitter": (0, 1), "scale": (1, 1.1), "rotate": (0, 5)}
    made = transformation_robustness(model, UNITS[:1], strengths, thresholds=(4,), size=24)
    notebooks = [
        transform.pad(2),
        transform.jitter(1),
        transform.random_scale([1.1 ** (n / 10.0) for n in range(-10, 11)]),
        transform.random_rotate(range(-5, 6)),
    ]
    for place, transforms in (((0, 0, 0), []), ((1, 1, 1), notebooks), ((1, 0, 0), notebooks[:2])):
        expected, losses = alone(model, UNIT, param.image(24), 4, transforms)
        np.testing.assert_array_equal(made.pictures[place][0, 0], expected[0])
        np.testing.assert_array_equal(made.losses[place][0], losses)


def test_settings_that_are_the_same_are_rendered_once(model):
    made = transformation_robustness(model, UNITS[:1], {"jitter": (0, 0, 2)}, thresholds=(2,), size=24)
    np.testing.assert_array_equal(made.pictures[0], made.pictures[1])
    assert not np.array_equal(made.pictures[0], made.pictures[2])


def test_units_of_one_layer_share_a_batch(model, monkeypatch):
    batches = []

    def recorded(model, objective, image, *arguments, **options):
        batches.append(image.shape[0])
        return VisT(model, objective, image, *arguments, **options)

    monkeypatch.setattr(regularization, "VisT", recorded)
    units = [f"{LAYER}:3", "mixed4a_pre_relu:2", f"{LAYER}:5"]
    frequency_penalties(model, units, {"L1": (0,)}, thresholds=(1,), size=16, batch_size=8)
    assert sorted(batches) == [1, 2]


def test_the_articles_settings_are_known():
    assert set(ARTICLE_PENALTIES) == set(PENALTIES)
    assert all(weights[0] == 0 and list(weights) == sorted(weights) for weights in ARTICLE_PENALTIES.values())
    assert set(ARTICLE_TRANSFORMS) == set(TRANSFORMS)
    for name, (none, *some) in ARTICLE_TRANSFORMS.items():
        assert TRANSFORMS[name](none) == []
        assert all(TRANSFORMS[name](strength) for strength in some)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda model: preconditioning(model, []), "units is empty"),
        (lambda model: preconditioning(model, UNITS, rates=()), "rate is empty"),
        (lambda model: preconditioning(model, UNITS, rates=(-1,)), "rates"),
        (lambda model: preconditioning(model, UNITS, thresholds=()), "thresholds"),
        (lambda model: preconditioning(model, UNITS, thresholds=(0,)), "thresholds"),
        (lambda model: frequency_penalties(model, UNITS, {"L3": (1,)}), "use one of L1"),
        (lambda model: frequency_penalties(model, UNITS, {}), "weights maps"),
        (lambda model: transformation_robustness(model, UNITS, {"jitter": ()}), "jitter is empty"),
        (lambda model: transformation_robustness(model, UNITS, {"jitter": "much"}), "list of numbers"),
    ],
)
def test_arguments_that_make_no_sense(model, call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call(model)
