"""Pictures with transparency, and icons."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lucid_port.optvis import objectives, param, render, transform
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.param.color import to_valid_rgb_tensor
from lucid_port.optvis.param.spatial import fft_to_image
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes import transparency
from lucid_port.recipes.transparency import alpha_icons, checkerboard, over, transparent
from parity_tests.recipes.by_hand import by_hand

LAYER = "mixed3b_pre_relu"
UNIT = (LAYER, 3)


# Showing -----------------------------------------------------------------------------------------


def test_a_checkerboard():
    board = checkerboard(8, 12, tiles=2)
    assert board.shape == (8, 12, 3)
    np.testing.assert_array_equal(board[::2, ::3, 0], np.float32([[0.95, 0.6] * 2, [0.6, 0.95] * 2] * 2))
    np.testing.assert_array_equal(board[0, :4, 0], np.float32([0.95, 0.95, 0.95, 0.6]))


def test_pictures_on_a_background_mix_in_linear_light():
    picture = np.float32([[[0.2, 0.4, 0.6, 1], [0.2, 0.4, 0.6, 0], [0.0, 0.0, 0.0, 0.5]]])
    on_white = over(picture)
    np.testing.assert_allclose(on_white[0, 0], [0.2, 0.4, 0.6], rtol=1e-6)
    np.testing.assert_array_equal(on_white[0, 1], 1)
    np.testing.assert_allclose(on_white[0, 2], 0.5 ** (1 / 2.2), rtol=1e-6)
    np.testing.assert_allclose(over(picture, [0.5, 1.0, 0.0])[0, 1], [0.5, 1, 0], rtol=1e-6)
    np.testing.assert_allclose(over(picture, gamma=1.0)[0, 2], 0.5)
    with pytest.raises(ValueError, match="4 channels"):
        over(on_white)


# Large pictures ----------------------------------------------------------------------------------


def first_loss(model, size, crop):
    """The notebook's first loss, computed with draws of the same names."""
    source = RandomSource(0)
    image = param.image(size, alpha=True).reset(source.scope("param"))().detach()
    draws = source.scope("transforms")
    noise = draws.scope("0.backdrop").normal("noise", (2, 3, size, size // 2 + 1))[:, None].astype(np.float32)
    backdrop = to_valid_rgb_tensor(fft_to_image(0.2 * torch.from_numpy(noise), size, size, 1.5), decorrelate=True)
    colour, alpha = image[:, :3], image[:, 3:]
    mixed = torch.cat([colour * alpha + backdrop * (1 - alpha), alpha], 1)
    scale = transform.random_scale([0.6, 0.7, 0.8, 0.9, 1.0, 1.1])
    scaled = scale.apply(mixed, scale.make_params(draws.scope("1.random_scale"), mixed.shape))
    y, x = (int(draws.scope("2.crop_to").integers(axis, scaled.shape[2] - crop + 1)) for axis in "yx")
    part = scaled[:, :, y : y + crop, x : x + crop]
    with torch.no_grad():
        value = model.activations(part[:, :3] ** (1 / 2.2), [LAYER])[LAYER][:, 3].mean()
    return float(value * (0.5 * (1 - alpha.mean()) + (1 - part[:, 3:].mean())))


def test_the_loss_is_the_notebooks(model):
    made = transparent(model, [objectives.channel(*UNIT)], size=64, steps=1)
    assert made.losses[0, 0] == pytest.approx(first_loss(model, 64, 32), rel=1e-5)


@pytest.fixture(scope="module")
def made(model):
    return transparent(model, [f"{LAYER}:3", f"{LAYER}:5"], size=48, steps=40)


def test_pictures_become_transparent_in_places(made):
    assert made.pictures.shape == (2, 48, 48, 4)
    alpha = made.pictures[..., 3]
    assert alpha.min() >= 0
    assert alpha.max() <= 1
    assert (alpha.std((1, 2)) > 0.03).all(), "not uniform"
    assert made.names == (f"{LAYER}:3", f"{LAYER}:5")
    assert (made.losses[:, -10:].mean(1) > made.losses[:, :10].mean(1)).all()
    assert made.over().shape == (2, 48, 48, 3)


def test_what_is_not_needed_becomes_transparent(model):
    """An objective that any picture fulfils leaves nothing but the wish for transparency."""
    alpha = transparent(model, [lambda T: 1 + 0 * T(LAYER).mean()], size=48, steps=40).pictures[..., 3]
    assert alpha.mean() < 0.45, "0.5 at first"


def test_colours_are_as_a_display_shows_them(model):
    """What is optimised is linear: grey of 0.5 at first."""
    start = transparent(model, [objectives.channel(*UNIT)], size=48, steps=1).pictures
    assert start[..., :3].mean() == pytest.approx(0.5 ** (1 / 2.2), abs=0.02)
    assert start[..., 3].mean() == pytest.approx(0.5, abs=0.02)


def test_pictures_of_a_batch_are_those_made_alone(model, made):
    """But for the random backgrounds, which each image of a batch has of its own."""
    one, other = (
        transparent(model, [f"{LAYER}:3", f"{LAYER}:5"], size=48, steps=3, batch_size=most).pictures for most in (1, 2)
    )
    np.testing.assert_allclose(one, other, atol=1e-6)  # measured 1.2e-7


# Icons -------------------------------------------------------------------------------------------


def test_icons_are_the_notebooks(model):
    """Eight in a row, as there: 20000 is what the mean opacity of all costs."""
    steps, units = 20, [0, 1, 2, 3, 4, 5, 6, 7]
    made = alpha_icons(model, "mixed3b", units, size=40, steps=steps, batch_size=8)
    vis = None

    def wanted(T):
        done = vis.steps
        slow, fast = 1 - done / (1.5 * steps), 1 - done / steps
        value = 0.5 * sum(
            objectives.neuron("mixed3b_pre_relu", unit, batch=n)(T) + objectives.channel("mixed3b", unit, batch=n)(T)
            for n, unit in enumerate(units)
        )
        value = value - slow * objectives.blur_input_each_step()(T) - fast * objectives.blur_alpha_each_step()(T)
        later = 1.0 if done >= 0.15 * steps else 0.0
        return value - 20000 * later * slow * T("input")[:, 3:].mean()

    vis = render.make_vis_T(
        model,
        wanted,
        param.image(40, batch=8, alpha=True),
        transforms=transparency.ICON_TRANSFORMS,
        relu_gradient_override=True,
        seed=RandomSource(seeds=[0] * 8),
    )
    losses = [float(vis.step()) for _ in range(steps)]
    np.testing.assert_allclose(made.losses.sum(0), losses, rtol=1e-6)  # measured 1.1e-7
    np.testing.assert_allclose(made.pictures, vis.image(), atol=2e-5)  # measured 2e-6


def test_icons_are_opaque_where_the_unit_is(model):
    made = alpha_icons(model, "mixed3b", [3], size=40, steps=60)
    assert made.pictures[..., 3].std() > 0.02
    assert made.pictures[..., 3].mean() < 0.4
    washed = made.washed()
    assert washed.shape == (1, 40, 40, 3)
    colour, alpha = made.pictures[..., :3], made.pictures[..., 3:]
    np.testing.assert_allclose(washed, colour * (0.3 + 0.7 * alpha) + 0.7 * (1 - alpha), rtol=1e-5)


def test_the_transforms_have_the_notebooks_sizes():
    *jitters, scale, rotate = transparency.ICON_TRANSFORMS[2:]
    assert [jitter.d for jitter in jitters] == [4, 4, 8, 8, 8]
    assert (len(scale.scales), len(rotate.angles)) == (125, 75)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda model: transparent(model, [], size=48), "no objectives"),
        (lambda model: transparent(model, f"{LAYER}:3", size=48), "wanted"),
        (lambda model: transparent(model, [f"{LAYER}:3"], size=48, crop=40), "does not fit"),
        (lambda model: transparent(model, [f"{LAYER}:3"], size=48, batch_size=0), "batch_size"),
        (lambda model: alpha_icons(model, LAYER, [10**6]), "There is no unit"),
        (lambda model: alpha_icons(model, LAYER, [1], steps=0), "steps"),
        (lambda model: checkerboard(8, tiles=0), "tiles"),
    ],
)
def test_arguments_that_make_no_sense(model, call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call(model)


def test_the_learning_rate_is_adams(model):
    """The first update of Adam moves each parameter by about the learning rate."""
    start, _ = by_hand(model, lambda T: T("input").sum(), param.image(48, alpha=True), 1, optimizer=_still)
    moved = [
        np.abs(transparent(model, [f"{LAYER}:3"], size=48, steps=1, lr=lr).pictures[..., 3] - start[..., 3]).mean()
        for lr in (0.01, 0.03)
    ]
    assert moved[1] == pytest.approx(3 * moved[0], rel=0.05)


def _still(parameters):
    return TFAdam(parameters, lr=0.0)
