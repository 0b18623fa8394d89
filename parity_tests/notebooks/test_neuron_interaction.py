"""Lucid's neuron_interaction: joint optimisation, random directions, aligned interpolation."""

from __future__ import annotations

import numpy as np
import pytest

import lucid_port.optvis.objectives as objectives
import lucid_port.optvis.param as param
import lucid_port.optvis.render as render
from parity_tests.notebooks.measure import first_image, value

SIZE = 32


def start():
    return param.image(SIZE)


SHORT = {"thresholds": (5,), "verbose": False}
FIRST, SECOND = ("mixed4b_pre_relu", 111), ("mixed4a_pre_relu", 476)


@pytest.fixture(scope="module")
def pictures(model):
    first, second = objectives.channel(*FIRST), objectives.channel(*SECOND)
    made = {"first": first, "second": second, "both": first + second}
    return {name: render.render_vis(model, obj, start, transforms=[], **SHORT)[-1] for name, obj in made.items()}


def test_joint_optimisation_serves_both_neurons(model, pictures):
    before = first_image(model, start)
    for unit in (FIRST, SECOND):
        obj = objectives.channel(*unit)
        assert value(model, obj, pictures["both"]) > value(model, obj, before)
    both = objectives.channel(*FIRST) + objectives.channel(*SECOND)
    assert value(model, both, pictures["both"]) > value(model, both, pictures["second"])


def test_each_neuron_alone_gets_more_than_from_the_others_picture(model, pictures):
    for own, other, unit in (("first", "second", FIRST), ("second", "first", SECOND)):
        obj = objectives.channel(*unit)
        assert value(model, obj, pictures[own]) > value(model, obj, pictures[other])


def test_a_random_direction(model):
    vector = np.random.RandomState(0).randn(528)
    obj = objectives.direction("mixed4d_pre_relu", vector)
    picture = render.render_vis(model, obj, start, transforms=[], **SHORT)[-1]
    assert value(model, obj, picture) > value(model, obj, first_image(model, start))
    opposite = objectives.direction("mixed4d_pre_relu", -vector)
    assert value(model, opposite, picture) == pytest.approx(-value(model, obj, picture), rel=1e-4)


def interpolation_param():
    """Six images that share coarse parts: all six, or each end its own."""
    unique = param.fft_image((6, SIZE, SIZE, 3))
    shared = [
        param.lowres_tensor((6, SIZE, SIZE, 3), (1, SIZE // 2, SIZE // 2, 3)),
        param.lowres_tensor((6, SIZE, SIZE, 3), (1, SIZE // 4, SIZE // 4, 3)),
        param.lowres_tensor((6, SIZE, SIZE, 3), (1, SIZE // 8, SIZE // 8, 3)),
        param.lowres_tensor((6, SIZE, SIZE, 3), (2, SIZE // 8, SIZE // 8, 3)),
        param.lowres_tensor((6, SIZE, SIZE, 3), (1, SIZE // 16, SIZE // 16, 3)),
        param.lowres_tensor((6, SIZE, SIZE, 3), (2, SIZE // 16, SIZE // 16, 3)),
    ]
    return param.to_valid_rgb(unique + sum(shared), decorrelate=True)


@pytest.fixture(scope="module")
def frames(model):
    obj = objectives.channel_interpolate("mixed4a_pre_relu", 476, "mixed4a_pre_relu", 460)
    return render.render_vis(model, obj, interpolation_param, transforms=[], **SHORT)[-1]


def test_an_interpolation_leads_from_one_channel_to_the_other(model, frames):
    assert frames.shape == (6, SIZE, SIZE, 3)
    before = first_image(model, interpolation_param)
    for unit, towards, away in ((476, 0, 5), (460, 5, 0)):
        gains = [
            value(model, f"mixed4a_pre_relu:{unit}", frames[[n]])
            - value(model, f"mixed4a_pre_relu:{unit}", before[[n]])
            for n in (towards, away)
        ]
        assert gains[0] > gains[1], unit
        assert gains[0] > 0, unit


def test_neighbouring_frames_are_more_alike_than_the_ends(frames):
    steps = np.abs(np.diff(frames, axis=0)).mean((1, 2, 3))
    assert (steps > 0).all()
    assert steps.mean() < np.abs(frames[0] - frames[5]).mean()


def test_shared_parts_make_frames_alike(model, frames):
    """Six images with nothing in common end further apart than six that share their coarse parts."""
    separate = render.render_vis(
        model,
        objectives.channel_interpolate("mixed4a_pre_relu", 476, "mixed4a_pre_relu", 460),
        lambda: param.to_valid_rgb(param.fft_image((6, SIZE, SIZE, 3)), decorrelate=True),
        transforms=[],
        **SHORT,
    )[-1]

    def mean_correlation(images):
        flat = (images - images.mean((1, 2), keepdims=True)).reshape(6, -1)
        return np.corrcoef(flat)[~np.eye(6, dtype=bool)].mean()

    assert mean_correlation(frames) > mean_correlation(separate)
