"""Lucid's feature_inversion_caricatures: what each layer keeps of a picture, exaggerated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import lucid_port.optvis.objectives as objectives
import lucid_port.optvis.param as param
import lucid_port.optvis.render as render
import lucid_port.optvis.transform as transform
from lucid_port.misc.io import load, save
from parity_tests.notebooks.measure import first_image

SIZE = 40


@objectives.wrap_objective
def dot_compare(layer, batch=1, cossim_pow=0):
    """The notebook's own objective: how far image 0 goes in the direction of image `batch`."""

    def inner(T):
        dot = (T(layer)[batch] * T(layer)[0]).sum()
        mag = (T(layer)[0] ** 2).sum().sqrt()
        cossim = dot / (1e-6 + mag)
        return dot * cossim**cossim_pow

    return inner


@pytest.fixture(scope="module")
def picture(tmp_path_factory):
    """A photo stands here in the notebook: coloured stripes, through a file."""
    y, x = np.mgrid[:SIZE, :SIZE] / SIZE
    stripes = np.stack([np.sin(9 * x) ** 2, np.cos(7 * y) ** 2, (x + y) / 2], -1)
    path = tmp_path_factory.mktemp("images") / "stripes.png"
    save(stripes, path, domain=(0, 1))
    return load(path)


def stacked(picture):
    """The image to optimise, and beside it the picture, which stays."""
    return lambda: param.stack([param.image(SIZE)[0], param.constant(picture)])


TRANSFORMS = [
    transform.pad(8, mode="constant", constant_value=0.5),
    transform.jitter(8),
    transform.random_scale([0.9, 0.95, 1.05, 1.1] + [1] * 4),
    transform.random_rotate(list(range(-5, 5)) + [0] * 5),
    transform.jitter(2),
]


def invert(model, picture, layer, cossim_pow=0.0, steps=6):
    obj = dot_compare(layer, cossim_pow=cossim_pow) + objectives.blur_input_each_step()
    return render.render_vis(model, obj, stacked(picture), transforms=TRANSFORMS, thresholds=(steps,), verbose=False)[
        -1
    ]


def likeness(model, layer, images):
    """Cosine between what the layer makes of both images."""
    image = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
    with torch.no_grad():
        first, second = model.activations(image, [layer])[layer].flatten(1)
    return float(torch.nn.functional.cosine_similarity(first, second, dim=0))


@pytest.mark.parametrize("layer", ["conv2d0", "mixed3b", "mixed4d"])
def test_an_image_comes_to_excite_a_layer_as_the_picture_does(model, picture, layer):
    images = invert(model, picture, layer)
    before = first_image(model, stacked(picture))
    assert images.shape == (2, SIZE, SIZE, 3)
    np.testing.assert_array_equal(images[1], before[1])
    np.testing.assert_array_equal(images[1], picture)
    assert np.abs(images[0] - before[0]).mean() > 1e-2
    assert likeness(model, layer, images) > likeness(model, layer, before)


@pytest.fixture(scope="module")
def by_power(model, picture):
    return {power: invert(model, picture, "mixed4d", power) for power in (0, 0.5, 1, 2)}


def test_powers_of_the_cosine_make_different_pictures(by_power):
    images = [found[0] for found in by_power.values()]
    for number, image in enumerate(images):
        assert np.isfinite(image).all()
        assert all(np.abs(image - other).mean() > 1e-3 for other in images[:number])


def test_the_objective_reads_as_written(model, picture):
    obj = dot_compare("mixed3a", cossim_pow=2)
    assert obj.description == "Dot_Compare [mixed3a, 1, 2]"
    a = torch.tensor([[3.0, 4.0], [1.0, 2.0]])
    assert float(obj(lambda name: a)) == pytest.approx(11 * (11 / 5) ** 2, rel=1e-5)
