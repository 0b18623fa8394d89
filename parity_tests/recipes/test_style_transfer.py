"""A picture in another's style."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lucid_port.optvis import param
from lucid_port.recipes.style_transfer import PARAMETERIZATIONS, gram_matrices, style_transfer
from parity_tests.recipes.by_hand import by_hand, values

STYLE = ["conv2d2", "mixed3a"]


@pytest.fixture(scope="module")
def paintings():
    """Two pictures of other sizes: dots, and stripes."""
    y, x = np.mgrid[:40, :64] / 40
    dots = np.stack([(np.sin(20 * x) * np.sin(20 * y) > 0.3)] * 3, -1) * np.float32([1, 0.5, 0.1])
    stripes = np.stack([np.sin(9 * (x + y)) ** 2, 0 * x, np.cos(7 * x) ** 2], -1)[:20]
    return dots.astype(np.float32), stripes.astype(np.float32)


def test_gram_matrices():
    acts = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    expected = torch.einsum("nchw,ndhw->ncd", acts, acts) / 20
    torch.testing.assert_close(gram_matrices(acts), expected)


@pytest.mark.parametrize("parameterization", PARAMETERIZATIONS)
def test_the_loss_is_the_notebooks(model, picture, parameterization):
    """With a style of the content's size, of which there is one part only."""
    style = picture[::-1].copy()
    made = style_transfer(
        model, picture, style, style_layers=STYLE, parameterization=parameterization, steps=5, content_weight=100
    )

    def wanted(T):
        content = (T("mixed3b")[0] - T("mixed3b")[1]).abs().mean()
        grams = [gram_matrices(T(layer)) for layer in STYLE]
        return -100 * content - sum((gram[0] - gram[2]).abs().mean() for gram in grams)

    precondition = parameterization == "decorrelated"
    image = param.concat(
        [param.image(40, 48, decorrelate=precondition, fft=precondition), param.constant(np.stack([picture, style]))]
    )
    expected, losses = by_hand(model, wanted, image, 5, relu_gradient_override=True)
    np.testing.assert_allclose(made.losses[0], losses, rtol=1e-6)  # measured 1.3e-7
    np.testing.assert_allclose(made.pictures, expected[:1], atol=1e-6)  # measured 0


def gram_distance(model, one, other, layer):
    grams = [gram_matrices(values(model, layer, pixels[None]))[0] for pixels in (one, other)]
    return float((grams[0] - grams[1]).abs().mean())


def test_a_picture_comes_nearer_to_each_style_and_stays_near_the_content(model, picture, paintings):
    made = style_transfer(model, picture, list(paintings), style_layers=STYLE, content_weight=0, steps=60)
    assert made.pictures.shape == (2, 48, 40, 3)
    start = np.full((48, 40, 3), 0.5, np.float32)
    for result, style in zip(made.pictures, made.styles, strict=True):
        for layer in STYLE:
            assert gram_distance(model, result, style, layer) < 0.85 * gram_distance(model, start, style, layer)
    assert (made.losses[:, -10:].mean(1) > made.losses[:, :10].mean(1)).all()
    for number, result in enumerate(made.pictures):
        own, other = (
            sum(gram_distance(model, result, made.styles[which], layer) for layer in STYLE)
            for which in (number, 1 - number)
        )
        assert own < other, "nearer to its own style than to the other"

    faithful = style_transfer(model, picture, paintings[0], style_layers=STYLE, content_weight=1e4, steps=60)
    distances = [
        (values(model, "mixed3b", p) - values(model, "mixed3b", picture[None])).abs().mean()
        for p in (made.pictures[:1], faithful.pictures)
    ]
    assert distances[1] < distances[0]


def test_sizes_keep_the_aspect_ratio(model, picture, paintings):
    made = style_transfer(model, picture, list(paintings), style_layers=STYLE, size=36, steps=1)
    assert made.content.shape == (36, 30, 3)
    assert made.pictures.shape == (2, 36, 30, 3)
    # The dots are 40 x 64, large enough; the stripes of 20 x 64 grow until they cover the content.
    assert [style.shape for style in made.styles] == [(40, 64, 3), (36, 115, 3)]


def test_each_update_sees_another_part_of_the_style(model, picture, paintings):
    one, other = (
        style_transfer(model, picture, paintings[0], style_layers=STYLE, steps=4, transforms=[], seed=seed)
        for seed in (0, 1)
    )
    assert not np.array_equal(one.losses, other.losses)
    again = style_transfer(model, picture, paintings[0], style_layers=STYLE, steps=4, transforms=[])
    np.testing.assert_array_equal(again.pictures, one.pictures)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"style": []}, "style is a picture"),
        ({"parameterization": "fft"}, "parameterization is one of"),
        ({"size": 0}, "size"),
        ({"content_layers": 3}, "content_layers"),
        ({"content_layers": [], "style_layers": []}, "both empty"),
        ({"content_weight": -1}, "content_weight"),
        ({"style": np.full((4, 4, 3), 7.0)}, r"\[0, 1\]"),
    ],
)
def test_arguments_that_make_no_sense(model, picture, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        style_transfer(model, picture, **{"style": picture, "style_layers": STYLE, "steps": 1, **options})


def test_layers_that_do_not_exist(model, picture):
    with pytest.raises(LookupError, match="mixed9z"):
        style_transfer(model, picture, picture, style_layers=["mixed9z"], steps=1)
