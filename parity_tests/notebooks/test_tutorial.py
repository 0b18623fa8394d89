"""Lucid's tutorial: objectives, transforms, parameterizations."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lucid_port.optvis.objectives as objectives
import lucid_port.optvis.param as param
import lucid_port.optvis.render as render
import lucid_port.optvis.transform as transform
from lucid_port.misc.io import show
from parity_tests.notebooks.measure import first_image, value


def small(**kwargs):
    return param.image(32, **kwargs)


# Under transforms every step sees another crop: it takes some dozen steps until the mean over crops has risen.
START, STEPS, DRAWS = small, (39,), 8
STANDARD = transform.standard_transforms


def test_a_unit_by_its_name(model):
    """What runs when nothing but a name is given, except for the number of steps."""
    images = render.render_vis(model, "mixed3a_pre_relu:47", thresholds=(0,), verbose=False)
    assert len(images) == 1
    assert images[0].shape == (1, 128, 128, 3)
    assert images[0].dtype == np.float32
    assert 0 < images[0].min() < images[0].max() < 1


def test_a_channel(model, capsys):
    obj = objectives.channel("mixed4a_pre_relu", 465)
    images = render.render_vis(model, obj, START, thresholds=STEPS)
    before = first_image(model, START)
    assert value(model, obj, images[-1], STANDARD, DRAWS) > value(model, obj, before, STANDARD, DRAWS)
    assert capsys.readouterr().out.splitlines()[0].startswith("39 ")


def test_a_sum_of_channels(model):
    first, second = (objectives.channel("mixed4a_pre_relu", n) for n in (476, 465))
    images = render.render_vis(model, first + second, START, transforms=[], thresholds=(9,), verbose=False)
    before = first_image(model, START)
    parts = [value(model, obj, before) for obj in (first, second)]
    assert images.losses[0] == pytest.approx(sum(parts), rel=1e-4)
    assert value(model, first + second, images[-1]) > value(model, first + second, before)
    alone = render.render_vis(model, first, START, transforms=[], thresholds=(9,), verbose=False)
    assert value(model, second, images[-1]) > value(model, second, alone[-1])


STRONG = [
    transform.pad(16),
    transform.jitter(8),
    transform.random_scale([n / 100.0 for n in range(80, 120)]),
    transform.random_rotate(list(range(-10, 10)) + list(range(-5, 5)) + 10 * list(range(-2, 2))),
    transform.jitter(2),
]


UNIT = "mixed4a_pre_relu:476"
CHOICES = {"none": [], "jitter": [transform.jitter(2)], "strong": STRONG}


@pytest.fixture(scope="module")
def by_transforms(model):
    """Losses and pictures of one unit without transforms, with jitter, and with all."""
    return {
        name: render.render_vis(model, UNIT, START, transforms=transforms, thresholds=STEPS, verbose=False)
        for name, transforms in CHOICES.items()
    }


def test_transforms_make_other_pictures_of_the_same_unit(model, by_transforms):
    pictures = {name: images[-1] for name, images in by_transforms.items()}
    before = first_image(model, START)
    for name, picture in pictures.items():
        # Transforms act on what the model sees, not on the picture: its size stays.
        assert picture.shape == (1, 32, 32, 3)
        values = [value(model, UNIT, image, CHOICES[name], DRAWS) for image in (before, picture)]
        assert values[0] < values[1], name
    assert not np.array_equal(pictures["none"], pictures["jitter"])
    assert not np.array_equal(pictures["jitter"], pictures["strong"])


def test_without_transforms_the_first_value_is_that_of_the_first_image(model, by_transforms):
    before = value(model, UNIT, first_image(model, START))
    assert by_transforms["none"].losses[0] == pytest.approx(before, rel=1e-4)
    assert by_transforms["strong"].losses[0] != pytest.approx(before, rel=1e-4)


def test_transforms_on_their_own_change_the_size():
    output = transform.compose(STRONG)(torch.zeros(1, 3, 40, 50))
    height, width = output.shape[2:]
    assert (40 + 32 - 8) * 0.8 - 3 <= height <= (40 + 32 - 8) * 1.2
    assert width > height


def test_parameterizations_lead_elsewhere(model):
    """Pixels in plain colours, then Fourier coefficients in decorrelated colours."""
    obj = objectives.channel("mixed4a_pre_relu", 2)
    choices = {
        "pixels": lambda: small(fft=False, decorrelate=False),
        "fourier": lambda: small(fft=True, decorrelate=True),
    }
    spectra = {}
    for name, param_f in choices.items():
        picture = render.render_vis(model, obj, param_f, transforms=[], thresholds=(9,), verbose=False)[-1]
        assert value(model, obj, picture) > value(model, obj, first_image(model, param_f))
        power = np.abs(np.fft.fft2(picture[0] - picture[0].mean((0, 1)), axes=(0, 1))) ** 2
        frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(32), np.fft.fftfreq(32)))
        spectra[name] = power[frequency > 0.25].sum() / power.sum()
    # The 1/f scale is what keeps high frequencies, the noise of naive pictures, low.
    assert spectra["fourier"] < spectra["pixels"]


@pytest.mark.parametrize("thing", [np.zeros((4, 5, 3)), np.zeros((2, 4, 5, 3), np.float32), [np.zeros((4, 5))]])
def test_pictures_are_shown(thing, capsys):
    show(thing)
    assert capsys.readouterr().out.strip()
