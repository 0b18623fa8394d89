"""Techniques: what each renders, the activation that a render reaches, and the recipe that it carries."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from lucid_port.microscope import techniques as module
from lucid_port.microscope.names import Places
from lucid_port.microscope.pictures import preparation
from lucid_port.microscope.plan import Records, Task
from lucid_port.microscope.renders import activations_of_pictures, make_caricature, make_deepdream, render_units
from lucid_port.microscope.settings import Settings
from lucid_port.microscope.techniques import TECHNIQUES, Technique, named_techniques, register
from lucid_port.optvis.recipe import Recipe
from lucid_port.optvis.recipe_files import read_recipe
from lucid_port.optvis.render_many import render_many

FEW = Settings("preview", size=32, steps=3, dream_steps=1, batch_size=3)


def made(model, technique, units, tmp_path, layer="mixed4a"):
    batches = TECHNIQUES[technique].render(model, layer, units, FEW, tmp_path)
    return {one.unit: one for batch in batches for one in batch}


@pytest.mark.parametrize(
    ("technique", "text"),
    [("channel", "mixed4a:{}"), ("channel-negative", "-mixed4a_pre_relu:{}"), ("neuron", "mixed4a:{}[center]")],
)
def test_pictures_are_those_of_the_units(tiny_model, tmp_path, technique, text):
    found = made(tiny_model, technique, [3, 8, 20, 21], tmp_path)
    texts = [text.format(unit) for unit in found]
    expected = render_many(tiny_model, texts, size=32, steps=3, batch_size=3, verbose=False)
    for unit, picture in zip((3, 8, 20, 21), expected.pictures, strict=True):
        np.testing.assert_array_equal(found[unit].pictures[0], (picture * 255).astype(np.uint8))


def test_the_diversity_of_a_unit_does_not_depend_on_its_batch(tiny_model):
    together = module._diverse_vis(tiny_model, "mixed3a", [3, 8], 32, 0)("loss")
    (alone,) = module._diverse_vis(tiny_model, "mixed3a", [8], 32, 0)("loss")
    assert float(together[1]) == pytest.approx(float(alone), rel=1e-3)
    assert float(alone) < -100  # four pictures of noise are alike, by their Gram matrices


def test_diverse_pictures_carry_a_recipe(tiny_model, tmp_path):
    recipe = Recipe.from_data(json.loads(made(tiny_model, "diversity", [3, 8], tmp_path)[8].recipe))
    assert recipe.picture == 0  # a batch has 3 pictures at most here, so that each unit has its own
    again = recipe.render(tiny_model)
    found = made(tiny_model, "diversity", [3, 8], tmp_path)[8].pictures[0]
    np.testing.assert_allclose((again * 255).astype(np.uint8), found, atol=1)


def test_diverse_pictures_differ(tiny_model, tmp_path):
    pictures = made(tiny_model, "diversity", [3], tmp_path)[3].pictures
    assert pictures.shape == (4, 32, 32, 3)
    assert len({picture.tobytes() for picture in pictures}) == 4


def test_all_techniques_have_a_word():
    assert named_techniques(["neuron", "all"]) == ("neuron", *(name for name in TECHNIQUES if name != "neuron"))


def test_an_unknown_technique_is_refused():
    with pytest.raises(ValueError, match="no technique 'chanel'; there are channel"):
        named_techniques(["chanel"])


def test_a_technique_can_be_added_once(monkeypatch):
    monkeypatch.setattr(module, "TECHNIQUES", dict(TECHNIQUES))
    own = Technique("own", "Own", TECHNIQUES["channel"].render)
    register(own)
    assert named_techniques(["own"]) == ("own",)
    with pytest.raises(ValueError, match="'own' already"):
        register(own)


def test_values_are_maxima_over_places_of_the_prepared_picture(tiny_model):
    draws = np.random.default_rng(0)
    pictures = [draws.integers(0, 256, (40, 33, 3), np.uint8) for _ in range(2)]
    prepare = preparation(tiny_model)
    images = torch.stack([prepare(Image.fromarray(one)) for one in pictures])
    expected = tiny_model.activations(images, ["mixed4a"])["mixed4a"].amax((2, 3))
    np.testing.assert_array_equal(activations_of_pictures(tiny_model, prepare, "mixed4a", pictures), expected.detach())


@pytest.fixture
def rendered(tiny_model, tmp_path):
    places, task = Places(tmp_path), Task("renders/channel", "mixed4a", (3, 8, 20, 21), "key")
    counts = []
    render_units(places, tiny_model, FEW, task, counts.append)
    return places, task, counts


def test_published_renders_carry_their_recipe(tiny_model, rendered):
    places, _, _ = rendered
    recipe = read_recipe(places.render("mixed4a", "channel", 8))
    again = recipe.render(tiny_model)
    picture = np.asarray(Image.open(places.render("mixed4a", "channel", 8)))
    assert recipe.steps == 3
    assert np.abs(again * 255 - picture).mean() < 6  # WebP is lossy; another unit's picture is 20 away


def test_the_record_has_the_value_of_each_unit(tiny_model, rendered):
    places, task, counts = rendered
    record = Records(places).values(task)
    png = next(places.task(task.part, task.layer, task.name).glob("*_0020.png"))
    value = activations_of_pictures(tiny_model, preparation(tiny_model), "mixed4a", [np.asarray(Image.open(png))])
    assert sorted(record) == [3, 8, 20, 21]
    assert record[20] == pytest.approx(value[0, 20], rel=1e-5)
    assert counts == [3, 1]


def test_finished_renders_are_not_made_again(tiny_model, rendered, monkeypatch):
    places, task, _ = rendered
    monkeypatch.setattr(module, "render_many", None)
    render_units(places, tiny_model, FEW, task, lambda count: pytest.fail("made again"))


def test_a_layer_has_a_deepdream_and_caricatures(tiny_model, tmp_path):
    places = Places(tmp_path)
    (places.state / "images").mkdir(parents=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)).save(
        places.state / "images" / "dog.png"
    )
    for make, part in ((make_deepdream, "deepdream"), (make_caricature, "caricatures/dog")):
        make(places, tiny_model, FEW, Task(part, "mixed3a", (), "key"), lambda count: None)
    assert Image.open(places.deepdream("mixed3a")).size == (64, 64)
    assert Image.open(places.caricature("mixed3a", "dog")).size == (96, 96)


def test_a_layer_without_places_has_no_deepdream_and_is_done(tiny_model, tmp_path):
    places, task = Places(tmp_path), Task("deepdream", "softmax2", (), "key")
    make_deepdream(places, tiny_model, FEW, task, lambda count: None)
    assert not places.deepdream("softmax2").exists()
    assert Records(places).missing(task) is None
