"""Recipes that show what units look for, against renders made by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lucid_port.modelzoo.vision_base import Layer
from lucid_port.optvis import objectives, param, render, transform
from lucid_port.recipes import feature_visualization as recipes
from lucid_port.recipes.caricature import caricature, dot_compare

LAYER = "mixed3b_pre_relu"


def by_hand(model, objective, image, steps, **options):
    vis = render.make_vis_T(model, objective, image, **options)
    losses = [float(vis.step().sum()) for _ in range(steps)]
    return vis.image(), losses


@pytest.mark.parametrize("name", ["neuron", "channel"])
@pytest.mark.parametrize("negative", [False, True])
def test_lucids_recipe_for_one_channel(model, name, negative):
    sign = -1 if negative else 1
    expected, losses = by_hand(
        model,
        sign * getattr(objectives, name)(LAYER, 3),
        param.image(40, 48),
        20,
        transforms=[*transform.standard_transforms, transform.crop_or_pad_to(48, 40)],
        relu_gradient_override="always",
    )
    made = getattr(recipes, name)(model, Layer(LAYER, 0), 3, n_steps=20, negative=negative)
    np.testing.assert_array_equal(made.pictures, expected)
    np.testing.assert_allclose(made.losses, [losses], rtol=1e-6)
    assert made.names == (f"{'-' * negative}{LAYER}:3",)


def test_the_redirected_gradient_does_not_end(model):
    """Lucid's recipe makes no global step, so that its rule for the first steps stays in force."""
    always, first = (
        by_hand(model, objectives.channel("mixed4b_pre_relu", 3), param.image(32), 24, relu_gradient_override=rule)[1]
        for rule in ("always", True)
    )
    assert always[:18] == first[:18]
    assert always[20:] != first[20:]


def test_transparency_is_weighed_as_in_lucid(model):
    made = recipes.channel(model, LAYER, [3, 5], alpha=True, n_steps=2)
    assert made.pictures.shape == (2, 48, 40, 4)

    def total(T):
        of = objectives.channel(LAYER, 3, batch=0)(T) + objectives.channel(LAYER, 5, batch=1)(T)
        return of * (1 - T("input")[:, 3].mean()) - 0.1 * objectives.blur_alpha_each_step()(T)

    size = transform.crop_or_pad_to(48, 40)
    expected, _ = by_hand(
        model,
        total,
        param.image(40, 48, batch=2, alpha=True),
        2,
        transforms=[*transform.standard_transforms, size, transform.collapse_alpha_random()],
        relu_gradient_override="always",
    )
    np.testing.assert_allclose(made.pictures, expected, atol=1e-6)


def test_negative_and_positive_part(model):
    made = recipes.negative_and_positive(model, LAYER, 2, size=32, steps=30)
    with torch.no_grad():
        pictures = torch.from_numpy(made.pictures.transpose(0, 3, 1, 2).copy())
        low, high = model.activations(pictures, [LAYER])[LAYER][:, 2].mean((1, 2))
    assert high - low > 1
    assert made.losses[-1] > made.losses[0]


def test_diversity_makes_pictures_differ(model):
    alike, different = (
        recipes.diversity(model, LAYER, 2, 3, strength=strength, size=32, steps=30).pictures for strength in (0, 1e4)
    )
    assert _gram_similarity(model, different) < _gram_similarity(model, alike) - 0.01


def _gram_similarity(model, pictures):
    with torch.no_grad():
        found = model.activations(torch.from_numpy(pictures.transpose(0, 3, 1, 2).copy()), ["mixed3b"])["mixed3b"]
    flat = found.flatten(2)
    grams = torch.nn.functional.normalize((flat @ flat.transpose(1, 2)).flatten(1))
    return float((grams @ grams.T).triu(1).sum() / 3)


def test_layers_logits_and_probabilities(model):
    options = {"size": 224, "steps": 2}
    assert recipes.layer(model, "mixed3a", size=32, steps=2).pictures.shape == (1, 32, 32, 3)
    logits = recipes.logit(model, "softmax2_pre_activation", [3, 7], **options)
    assert logits.pictures.shape == (2, 224, 224, 3)
    assert recipes.probability(model, "softmax2", [3], **options).losses.shape == (1, 2)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda model: recipes.channel(model, LAYER, 10**6), "There is no unit"),
        (lambda model: recipes.channel(model, 3, 1), "layer"),
        (lambda model: recipes.channel(model, LAYER, [], n_steps=1), "No units"),
        (lambda model: recipes.channel(model, LAYER, 1, n_steps=0), "steps"),
        (lambda model: recipes.diversity(model, LAYER, 1, 1), "count"),
        (lambda model: recipes.visualize(model, 3), "wanted"),
    ],
)
def test_arguments_that_make_no_sense(model, call, words):
    with pytest.raises((TypeError, ValueError), match=words):
        call(model)


# Caricatures -------------------------------------------------------------------------------------


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("power", [0.0, 0.5, 2.0])
def test_dot_compare_is_lucids_formula(power, sign):
    random = np.random.RandomState(1)
    acts = random.randn(3, 4, 5, 6).astype(np.float32)
    acts[0] *= sign
    dot = (acts[0] * acts[2]).sum()
    cossim = max(0.1, dot / (1e-6 + np.sqrt((acts[2] ** 2).sum())))
    found = dot_compare("x", batch=2, cossim_pow=power)(lambda name: torch.from_numpy(acts))
    np.testing.assert_allclose(found, dot * cossim**power, rtol=1e-5)


def test_a_caricature_moves_towards_the_pictures_direction(model, picture):
    made = caricature(picture, model, ["mixed3a", "mixed4a"], n_steps=25, verbose=False)
    assert made.pictures.shape == (2, 48, 40, 3)
    np.testing.assert_array_equal(made.image, picture)
    batch = torch.from_numpy(np.concatenate([picture[None], made.pictures]).transpose(0, 3, 1, 2).copy())
    with torch.no_grad():
        acts = model.activations(batch, ["mixed3a", "mixed4a"])
    for index, layer in enumerate(made.layers):
        flat = acts[layer].flatten(1)
        dots = flat @ flat[0]
        assert dots[1 + index] > dots[0], "exaggerated: more of it than the picture itself"


def test_the_reference_goes_through_the_same_transforms(model, picture):
    made = caricature(picture, model, "mixed3a", n_steps=1, verbose=False, seed=3)
    stack = param.concat([param.constant(picture[None]), param.image(40, 48)])
    standard = [*transform.standard_transforms, transform.crop_or_pad_to(48, 40)]
    expected, _ = by_hand(model, dot_compare("mixed3a"), stack, 1, transforms=standard, seed=3)
    np.testing.assert_array_equal(made.pictures, expected[1:])


@pytest.mark.parametrize(("layer", "words"), [(3, "a layer's name"), ([3], "A layer's name"), ([], "names no layer")])
def test_layers_are_names(model, picture, layer, words):
    with pytest.raises((TypeError, ValueError), match=words):
        caricature(picture, model, layer, n_steps=1)
