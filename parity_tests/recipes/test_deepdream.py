"""DeepDream: octaves, tiles, gradients of equal bands."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lucid_port.optvis import objectives
from lucid_port.recipes import deepdream as recipe
from lucid_port.recipes.deepdream import deepdream, laplacian_normalize
from parity_tests.recipes.by_hand import values

LAYER = "mixed3b"


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", [(16, 16), (17, 24), (31, 9), (1, 5)])
def test_a_pyramid_normalises_each_image_whatever_its_strength(shape):
    image = noise(2, 3, *shape)
    found = laplacian_normalize(image, 3)
    assert found.shape == image.shape
    torch.testing.assert_close(laplacian_normalize(100 * image, 3), found, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(laplacian_normalize(image[1:], 3), found[1:])


def test_doubling_keeps_a_constant_away_from_the_borders():
    doubled = recipe._doubled(torch.ones(1, 2, 7, 9), torch.zeros(1, 2, 14, 17))
    torch.testing.assert_close(doubled[..., 2:-2, 2:-2], torch.ones(1, 2, 10, 13))


def test_without_levels_the_deviation_is_one():
    found = laplacian_normalize(7 * noise(1, 3, 20, 20), 0)
    assert found.square().mean() == pytest.approx(1, rel=1e-5)


def test_weak_bands_become_as_strong_as_others():
    """A slow wave under strong noise."""
    wave = torch.sin(torch.arange(128) * 2 * torch.pi / 128).expand(1, 3, 128, 128)
    image = noise(1, 3, 128, 128) + 0.02 * wave

    def share(pixels):
        return float((pixels * wave).mean().abs() / (pixels.std() * wave.std()))

    assert share(laplacian_normalize(image, 4)) > 3 * share(laplacian_normalize(image, 0))


def test_a_zero_gradient_stays_zero():
    assert laplacian_normalize(torch.zeros(1, 3, 16, 16)).abs().max() == 0


@pytest.mark.parametrize(("size", "bands"), [((2, 2), 2), ((2, 5), 2), ((1, 5), 1)])
def test_images_are_halved_down_to_two_pixels(size, bands):
    image = noise(1, 3, *size)
    differs = not torch.allclose(laplacian_normalize(image, 1), laplacian_normalize(image, 0))
    assert differs == (bands == 2)


# Gradients ---------------------------------------------------------------------------------------


class _NoShift:
    def integers(self, name, high):
        return 0


def test_one_tile_gives_the_objectives_gradient(model):
    image = noise(2, 3, 40, 48).mul(0.1).add(0.5).requires_grad_()
    wanted = [objectives.deepdream(LAYER), objectives.channel("mixed3a", 3)]
    gradients = recipe._Gradients(model, wanted, 64, _NoShift())
    value, found = gradients(image.detach())
    acts = model.activations(image, [LAYER, "mixed3a"])
    expected = torch.stack([acts[LAYER][0].square().mean(), acts["mixed3a"][1, 3].mean()])
    torch.testing.assert_close(value, expected.detach())
    torch.testing.assert_close(found, torch.autograd.grad(expected.sum(), image)[0])


def test_tiles_make_the_same_sum_with_seams(model):
    """Of positions, weighed by area; what is near a seam differs."""
    image = noise(1, 3, 96, 128, seed=1).mul(0.1).add(0.5)
    whole, tiled = (recipe._Gradients(model, [objectives.deepdream("conv2d0")], tile, _NoShift()) for tile in (128, 64))
    (value, gradient), (part_value, parts) = whole(image), tiled(image)
    # At a seam the convolution sees zeros beyond the tile: measured 2.6e-2, so the bound is 0.04.
    torch.testing.assert_close(part_value, value, rtol=0.04, atol=0)
    inner = (..., slice(8, 40), slice(8, 56))
    torch.testing.assert_close(parts[inner], gradient[inner], rtol=1e-3, atol=1e-7)
    assert not torch.allclose(parts[..., 44:52, :], gradient[..., 44:52, :], rtol=1e-3, atol=1e-7)


def test_tiles_have_nearly_one_size():
    assert [part.stop - part.start for part in recipe._parts(1000, 768)] == [500, 500]
    assert [part.stop - part.start for part in recipe._parts(768, 768)] == [768]


# Dreams ------------------------------------------------------------------------------------------


def test_a_dream_excites_what_it_is_of(model, picture):
    wanted = [LAYER, "mixed3a:3"]
    made = deepdream(model, picture, wanted, octaves=3, steps=8)
    assert made.pictures.shape == (2, 48, 40, 3)
    assert made.names == (LAYER, "mixed3a:3")
    before, after = (values(model, LAYER, image).square().mean() for image in (picture[None], made.pictures[:1]))
    assert after > 1.1 * before
    unit = [values(model, "mixed3a", image)[:, 3].mean() for image in (picture[None], made.pictures[1:])]
    assert unit[1] > unit[0]


def test_a_dream_keeps_the_picture(model, picture):
    made = deepdream(model, picture, LAYER, octaves=1, steps=5)
    faint = deepdream(model, picture, LAYER, octaves=1, steps=5, rate=0.0)
    np.testing.assert_array_equal(faint.pictures[0], picture)
    assert 0.005 < np.abs(made.pictures[0] - picture).mean() < 0.1
    np.testing.assert_array_equal(made.image, picture)


def test_a_rate_below_zero_is_refused(model, picture):
    with pytest.raises(ValueError, match="rate is a finite number from 0 on"):
        deepdream(model, picture, LAYER, octaves=1, steps=1, rate=-0.5)


def test_octaves_grow_to_the_pictures_size(model):
    image = np.random.RandomState(0).uniform(size=(120, 160, 3)).astype(np.float32)
    made = deepdream(model, image, "conv2d2", octaves=6, steps=1)
    assert made.octaves == ((53, 71), (80, 107), (120, 160)), "smaller ones are left out"
    assert made.values.shape == (1, 3)
    half = deepdream(model, image, "conv2d2", size=80, octaves=2, octave_scale=1.2, steps=1)
    assert half.octaves == ((50, 67), (60, 80))


def test_dreams_of_a_batch_are_those_made_alone(model, picture):
    together = deepdream(model, picture, [LAYER, "mixed3a"], octaves=1, steps=3)
    alone = deepdream(model, picture, "mixed3a", octaves=1, steps=3)
    np.testing.assert_allclose(together.pictures[1], alone.pictures[0], atol=1e-6)  # measured 1.2e-7


def test_large_pictures_are_dreamt_of_in_tiles(model):
    image = np.random.RandomState(0).uniform(size=(80, 112, 3)).astype(np.float32)
    made = deepdream(model, image, "mixed3a", octaves=1, steps=6, tile=48)
    before, after = (values(model, "mixed3a", one).square().mean() for one in (image[None], made.pictures))
    assert after > before


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"wanted": []}, "no objectives"),
        ({"wanted": 3}, "objective"),
        ({"octaves": 0}, "octaves"),
        ({"octave_scale": 0.5}, "octave_scale"),
        ({"tile": 8}, "tile"),
        ({"steps": 0}, "steps"),
        ({"levels": -1}, "levels"),
    ],
)
def test_arguments_that_make_no_sense(model, picture, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        deepdream(model, picture, **{"wanted": LAYER, "octaves": 1, "steps": 1, **options})
