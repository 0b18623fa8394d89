"""Textures of meshes: as the notebooks' loops make them."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from lucid_port.misc.gl.meshutil import torus, turned_view
from lucid_port.modelzoo.vision_models import TinyInceptionV1
from lucid_port.optvis import checkpoints, param
from lucid_port.optvis.mesh_view import mesh_view
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.recipe import Recipe
from lucid_port.optvis.style import gram_style
from lucid_port.recipes.textured_meshes import mesh_views, style_transfer_3d, texture_3d, turntable
from parity_tests.optvis.many import Killed, killed_after
from parity_tests.recipes.by_hand import by_hand

UNIT = "mixed3a_pre_relu:3"
STYLE = ["conv2d2", "mixed3a"]
SMALL = {"texture_size": (24, 36), "size": (40, 48), "backend": "torch"}


def test_the_texture_is_that_of_the_notebooks_loop(model):
    made = texture_3d(model, UNIT, steps=4, seed=3, **SMALL)
    view = mesh_view("torus", (40, 48), 11, 13, "torch")
    image = param.image(36, 24)
    expected, losses = by_hand(model, UNIT, image, 4, optimizer=lambda p: TFAdam(p, lr=0.03), transforms=[view], seed=3)
    np.testing.assert_array_equal(made.texture, expected[0])
    np.testing.assert_array_equal(made.losses, losses)
    assert (made.name, made.backend, made.texture.shape) == (UNIT, "torch", (24, 36, 3))


def test_the_objective_rises_in_the_same_views():
    """A texture that is hardly optimized is seen from the same directions."""
    model, options = TinyInceptionV1(), {**SMALL, "texture_size": (64, 48), "size": (64, 72)}
    made, still = (
        texture_3d(model, "mixed3b_pre_relu:31", torus(24, 16), steps=50, lr=lr, **options) for lr in (0.03, 1e-9)
    )
    gains = made.losses - still.losses
    assert gains[0] == 0
    assert (gains[-20:] > 0).all()  # measured: 2.5 to 13
    assert gains[-20:].mean() > 0.5 * still.losses.std()  # measured: 7.7 of 8.2


def test_its_recipe_makes_it_again(model):
    made = texture_3d(model, UNIT, torus(8, 6), steps=3, seed=2, **SMALL)
    recipe = Recipe.from_data(json.loads(json.dumps(made.recipe.to_data())))
    assert not recipe.own_code
    np.testing.assert_array_equal(recipe.render(model), made.texture)


def _texture(model):
    made = texture_3d(model, UNIT, steps=6, **SMALL)
    return made.texture, made.losses


def _style(model):
    content, style = _pictures()
    made = style_transfer_3d(model, content, style, style_layers=STYLE, steps=6, **SMALL)
    return made.texture, made.losses


def _pictures():
    y, x = np.mgrid[:30, :44] / 30
    stripes = np.stack([np.sin(9 * (x + y)) ** 2, 0 * x, np.cos(7 * x) ** 2], -1)
    return stripes.astype(np.float32), np.ascontiguousarray(stripes[::-1, ::-1, ::-1]).astype(np.float32)


@pytest.mark.parametrize("recipe", [_texture, _style])
def test_an_interrupted_run_goes_on_with_the_same_bits(model, monkeypatch, tmp_path, recipe):
    expected = recipe(model)
    for one, other in zip(recipe(model), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)
    with monkeypatch.context() as patched:
        killed_after(patched, 4)
        with pytest.raises(Killed), checkpoints.kept(tmp_path / "work", {}):
            recipe(model)
    with checkpoints.kept(tmp_path / "work", {}):
        for one, other in zip(recipe(model), expected, strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("decay", [0.95, 0.0])
def test_the_style_loss_is_the_notebooks(model, decay):
    content, style = _pictures()
    made = style_transfer_3d(
        model, content, style, style_layers=STYLE, ema_decay=decay, content_weight=30, steps=4, **SMALL
    )
    batch = torch.from_numpy(made.style.transpose(2, 0, 1).copy())[None]
    with torch.no_grad():
        targets = [gram_style(model.activations(batch, [layer])[layer]) for layer in STYLE]
    averages = [torch.zeros_like(target) for target in targets]

    def wanted(T):
        block = T("mixed3b")
        grams = [gram_style(T(layer)[:1]) for layer in STYLE]
        total = 30 * (block[0] - block[1].detach()).abs().mean()
        for number, (gram, target) in enumerate(zip(grams, targets, strict=True)):
            averages[number] = decay * averages[number] + (1 - decay) * gram.detach()
            moved = gram + (averages[number] - gram).detach()
            total = total + (moved - target).abs().mean()
        return -total

    image = param.concat([param.image(36, 24), param.constant(made.content[None])])
    view = mesh_view("torus", (40, 48), 10, 12, "torch")
    expected, losses = by_hand(model, wanted, image, 4, optimizer=lambda p: TFAdam(p, lr=0.05), transforms=[view])
    np.testing.assert_allclose(made.losses, losses, rtol=1e-5)
    np.testing.assert_allclose(made.texture, expected[0], atol=1e-4)
    assert made.content.shape == (24, 36, 3)
    assert made.style.shape == style.shape


def test_the_texture_comes_nearer_to_the_style(model):
    content, style = _pictures()
    made = style_transfer_3d(model, content, style, style_layers=STYLE, content_weight=0, steps=60, **SMALL)
    assert made.losses[-10:].mean() > made.losses[20:25].mean()
    faithful = style_transfer_3d(model, content, style, style_layers=["conv2d2"], content_weight=1e4, steps=60, **SMALL)
    assert faithful.losses[-1] > faithful.losses[0]


# Pictures ----------------------------------------------------------------------------------------


def test_pictures_show_the_texture_and_the_background():
    texture = np.zeros((8, 8, 3), np.float32)
    texture[:4, :, 0] = 1  # the upper half, v above 0.5
    texture[4:, :, 2] = 1
    (front,) = mesh_views("torus", texture, [turned_view(0, 14, elevation=0)], (40, 60), shade=0, background=0.5)
    assert front.shape == (40, 60, 3)
    np.testing.assert_allclose(front[0, 0], 0.5)
    np.testing.assert_allclose(front[20, 30], 0.5, err_msg="the hole")
    colours = {tuple(pixel) for pixel in front.reshape(-1, 3).round(3).tolist()}
    assert {(1, 0, 0), (0, 0, 1)} & colours
    (lit,) = mesh_views("torus", texture, [turned_view(0, 14, elevation=0)], (40, 60), shade=0.8, background=0.5)
    mesh = abs(front - 0.5).max(-1) == 0.5
    assert (lit[mesh] <= front[mesh] + 1e-6).all()
    assert lit[mesh].sum() < 0.9 * front[mesh].sum()


def test_light_of_a_mesh_without_normals_is_nearly_that_of_its_own():
    ring = torus(48, 32)
    texture = np.full((4, 4, 3), 0.75, np.float32)
    plain = {key: array for key, array in ring.items() if key != "normal"}
    one, other = (mesh_views(mesh, texture, [turned_view(0.1, 14)], 48) for mesh in (ring, plain))
    np.testing.assert_allclose(one, other, atol=0.004)  # measured 1.6e-3


def test_a_turntable_turns():
    texture = np.random.RandomState(0).uniform(size=(16, 16, 3)).astype(np.float32)
    film = turntable("torus", texture, 4, (24, 32), backend="torch")
    assert film.shape == (4, 24, 32, 3)
    assert film.dtype == np.float32
    assert min(abs(film[0] - film[k]).max() for k in (1, 2, 3)) > 0.1


# Bad input ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"mesh": {"position": np.eye(3), "face": np.arange(3)}}, "no texture coordinates"),
        ({"mesh": "nowhere"}, "mesh is 'torus'"),
        ({"texture_size": 0}, "size"),
        ({"steps": 0}, "steps"),
        ({"min_dist": 300, "max_dist": 400}, "not in view"),
        ({"backend": "metal"}, "backend is one of"),
    ],
)
def test_textures_that_cannot_be_made(model, options, words):
    with pytest.raises((TypeError, ValueError), match=words):
        texture_3d(model, UNIT, **{"steps": 1, **SMALL, **options})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"style_layers": []}, "style_layers"),
        ({"content_layers": "mixed3b"}, "content_layers"),
        ({"content_weight": -1}, "content_weight"),
        ({"ema_decay": 2}, "ema_decay"),
        ({"style": np.full((4, 4, 3), 7.0)}, r"\[0, 1\]"),
    ],
)
def test_styles_that_cannot_be_transferred(model, options, words):
    content, style = _pictures()
    arguments = {"content": content, "style": style, "style_layers": STYLE, "steps": 1, **SMALL, **options}
    with pytest.raises((TypeError, ValueError), match=words):
        style_transfer_3d(model, **arguments)


def test_layers_that_do_not_exist(model):
    with pytest.raises(LookupError, match="mixed9z"):
        texture_3d(model, "mixed9z:1", steps=1, **SMALL)
