"""Pictures that can be made again: what a recipe holds, where it travels, and when it refuses."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from converters.frozen.writer import write_graph_def
from lucid_port.cli import main
from lucid_port.modelzoo.seeded import seeded_inceptionv1
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import objectives, param, render, transform
from lucid_port.optvis.fingerprints import fingerprint
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.recipe import NotReproducible, Recipe
from lucid_port.optvis.recipe_files import read_recipe, save_picture, sidecar
from lucid_port.optvis.recipe_plan import Plan
from lucid_port.optvis.render_many import render_many
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.caricature import dot_compare
from parity_tests.optvis.tiny import TinyModel

RANGE = (-117, 138)


@pytest.fixture(scope="module")
def graph(tmp_path_factory):
    """A small network in a file of its own."""
    path = tmp_path_factory.mktemp("graph") / "narrow.pb"
    write_graph_def(seeded_inceptionv1(width=0.05), path)
    return path


@pytest.fixture(scope="module")
def model(graph):
    return Model(graph, image_value_range=RANGE)


def short(model, objective="mixed3a:1", param_f=None, steps=3, **options):
    return render.render_vis(
        model, objective, param_f or (lambda: param.image(24)), thresholds=(steps - 1,), verbose=False, **options
    )


VARIETY = {
    "a channel": {},
    "another seed and size": {"seed": 5, "param_f": lambda: param.image(33, 20, sd=0.3)},
    "pixels without transforms": {"param_f": lambda: param.image(24, fft=False, decorrelate=False), "transforms": []},
    "a sum with a penalty": {
        "objective": objectives.channel("mixed3a", 2) - 0.1 * objectives.total_variation(),
        "param_f": lambda: param.image(24),
    },
    "a batch with diversity": {
        "objective": objectives.channel("mixed3a", 2) + 10 * objectives.diversity("mixed3b"),
        "param_f": lambda: param.image(24, batch=3),
    },
    "an array in the objective": {"objective": objectives.direction("conv2d0", np.linspace(-1, 1, 4))},
    "a cppn": {"param_f": lambda: param.cppn(20)},
    "other transforms": {"transforms": [transform.jitter(3), transform.random_scale([0.9, 1.1])]},
    "torch's Adam": {"optimizer": lambda parameters: torch.optim.Adam(parameters, lr=0.02, betas=(0.8, 0.99))},
    "plain ReLUs": {"relu_gradient_override": False},
    "seeds of a batch": {
        "param_f": lambda: param.image(24, batch=2),
        "seed": RandomSource(seeds=[4, 2], per_image=True),
    },
}


@pytest.mark.parametrize("options", VARIETY.values(), ids=VARIETY)
def test_a_recipe_makes_the_same_picture_bit_for_bit(model, tmp_path, options):
    renders = short(model, **options)
    last = len(renders[0]) - 1
    path = renders.save(tmp_path / "a.png", picture=last)
    np.testing.assert_array_equal(read_recipe(path).render(model), renders[0][last])


def test_a_recipe_opens_its_model_itself(graph, model, tmp_path):
    renders = short(model)
    recipe = read_recipe(renders.save(tmp_path / "a.png"))
    assert recipe.model["source"] == str(graph)
    np.testing.assert_array_equal(recipe.render(), renders[0][0])


def test_each_threshold_has_its_own_recipe(model):
    renders = render.render_vis(model, "mixed3a:1", lambda: param.image(24), thresholds=(0, 2), verbose=False)
    assert [renders.recipe(index).steps for index in (0, 1)] == [1, 3]
    assert renders.recipe(0).value == pytest.approx(renders.losses[0])
    np.testing.assert_array_equal(renders.recipe(0).render(model), renders[0][0])


@pytest.mark.parametrize("batch_size", [1, 2])
@pytest.mark.parametrize("asked", ["mixed3a:0-3", [objectives.channel("mixed3a", 1), objectives.neuron("mixed3b", 2)]])
def test_a_picture_of_many_is_made_again_with_its_batch(model, tmp_path, asked, batch_size):
    found = render_many(
        model, asked, size=24, steps=2, batch_size=batch_size, output=tmp_path, keep=True, verbose=False
    )
    last = found[-1]
    recipe = read_recipe(last.path)
    np.testing.assert_array_equal(recipe.render(model), last.image)
    assert recipe.value == pytest.approx(last.value)


def test_pictures_of_a_batch_with_parameters_of_their_own(model, tmp_path):
    found = render_many(
        model, "mixed3a:0-1", lambda: param.cppn(16), steps=2, output=tmp_path, keep=True, verbose=False
    )
    np.testing.assert_array_equal(read_recipe(found[1].path).render(model), found[1].image)


def test_a_sheets_manifest_holds_the_recipes(model, tmp_path):
    many = {"size": 24, "steps": 2, "batch_size": 2, "verbose": False}
    found = render_many(model, "mixed3a:0-3", output=tmp_path, sheet=True, keep=True, **many)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    for entry, one in zip(manifest["units"], found, strict=True):
        recipe = Recipe.from_data(manifest["recipes"][entry["recipe"]])
        again = dataclasses.replace(recipe, picture=entry["picture"]).render(model)
        np.testing.assert_array_equal(again, one.image)
    assert len(manifest["recipes"]) == 2


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
def test_the_recipe_is_in_the_file_and_beside_it(model, tmp_path, name):
    renders = short(model)
    path = renders.save(tmp_path / name)
    assert Recipe.from_data(json.loads(sidecar(path).read_text())) == renders.recipe()
    sidecar(path).unlink()
    assert read_recipe(path) == renders.recipe()


def test_the_one_beside_it_serves_where_the_file_was_saved_anew(model, tmp_path):
    renders = short(model)
    path = renders.save(tmp_path / "a.png")
    Image.open(path).save(path)
    assert read_recipe(path) == renders.recipe()
    sidecar(path).unlink()
    with pytest.raises(ValueError, match="carries no recipe, and there is none beside it"):
        read_recipe(path)


def my_own(T):
    return T("mixed3a")[:, 1].mean()


def test_own_code_is_named_and_refuses_to_be_rendered(model, tmp_path):
    def watch(vis):
        pass

    own_optimizer = type("Mine", (torch.optim.SGD,), {})
    renders = short(
        model,
        my_own,
        transforms=[lambda image: image],
        callbacks=[watch],
        optimizer=lambda parameters: own_optimizer(parameters, lr=0.1),
    )
    recipe = read_recipe(renders.save(tmp_path / "a.png"))
    said = " ".join(recipe.own_code)
    for name in ("my_own", "<lambda>", "watch", "Mine"):
        assert name in said
    with pytest.raises(NotReproducible, match="my_own"):
        recipe.render(model)


@dataclasses.dataclass(frozen=True)
class Darker(transform.Transform):
    """A user's own."""

    kind = "darker"

    def apply(self, image, params):
        return 0.5 * image


def test_an_own_kind_of_transform_is_named(model):
    renders = short(model, transforms=[Darker()])
    assert "'darker' (Darker) is a user's own" in " ".join(renders.recipe().own_code)


def test_an_objective_of_a_recipe_is_known_in_a_new_process():
    data = dot_compare("mixed3a").to_data()
    code = f"from lucid_port.optvis import plain; print(plain.from_data({data!r}).description)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stdout.startswith("Dot_Compare [mixed3a"), run.stderr


def test_what_did_not_start_from_draws_is_named(model):
    image = param.image(24)
    short(model, param_f=lambda: image)
    again = short(model, param_f=lambda: image)
    assert "values that it had before" in " ".join(again.recipe().own_code)
    replayed = short(model, seed=RandomSource(replay=_draws(model)))
    assert "were given, not drawn" in " ".join(replayed.recipe().own_code)


def _draws(model):
    source = RandomSource(record=True)
    short(model, seed=source)
    return source.draws


def test_a_schedule_of_the_learning_rate_is_named(model):
    def optimizer(parameters):
        adam = torch.optim.Adam(parameters, lr=0.1)
        torch.optim.lr_scheduler.ExponentialLR(adam, 0.9)
        return adam

    assert "schedule" in " ".join(short(model, optimizer=optimizer).recipe().own_code)


def test_another_model_under_the_same_name_is_refused(graph, model, tmp_path):
    recipe = short(model).recipe()
    other = tmp_path / "narrow.pb"
    write_graph_def(seeded_inceptionv1(seed=1, width=0.05), other)
    moved = dataclasses.replace(recipe, model={**recipe.model, "source": str(other)})
    with pytest.raises(ValueError, match="is not the model that made the picture"):
        moved.render()


def test_a_model_without_a_file_has_to_be_given():
    renders = short(TinyModel(), "mixed:1", lambda: param.image(12))
    with pytest.raises(ValueError, match="TinyModel, was made in Python and has no file"):
        renders.recipe().render()
    np.testing.assert_array_equal(renders.recipe().render(TinyModel()), renders[0][0])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"lucid_port_recipe": 9}, "format 9"),
        ({"objective": {"objective": "chanel", "args": {}}}, "Unknown objective 'chanel'"),
        ({"optimizer": {"optimizer": "Nadam2", "args": {}}}, "is none of"),
        ({"optimizer": {"optimizer": "SGD", "args": {"speed": 1}}}, "does not take its settings"),
        ({"steps": 0}, "steps"),
        ({"seeds": {"seed": -1}}, "seed"),
    ],
)
def test_damaged_recipes(model, change, words):
    data = {**short(model).recipe().to_data(), **change}
    with pytest.raises(ValueError, match=words):
        Recipe.from_data(data).render(model)


@pytest.mark.parametrize("lost", ["model", "steps", "seeds"])
def test_a_recipe_that_lacks_something(model, lost):
    data = short(model).recipe().to_data()
    del data[lost]
    with pytest.raises(ValueError, match=f"lacks {lost}"):
        Recipe.from_data(data)


def test_it_says_what_is_not_as_it_was(model):
    recipe = short(model).recipe()
    assert recipe.differences() == []
    older = dataclasses.replace(recipe, made_with={**recipe.made_with, "torch": "1.0"})
    assert older.differences() == [f"torch was 1.0, and is {torch.__version__} here"]


# Documents ---------------------------------------------------------------------------------------


def test_a_plan_renders_what_the_same_arguments_render(graph, model, tmp_path):
    plan = Plan.from_document(
        {"model": str(graph), "units": "mixed3a:1", "size": 24, "steps": 3, "value_range": list(RANGE), "lr": 0.02}
    )
    (path,) = plan.run(tmp_path / "a.png", plan.open_model(), [])
    adam = render.render_vis(
        model,
        "mixed3a:1",
        lambda: param.image(24),
        lambda parameters: TFAdam(parameters, lr=0.02),
        thresholds=(2,),
        verbose=False,
    )
    np.testing.assert_array_equal(read_recipe(path).render(model), adam[0][0])


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"units": "a:1"}, "names no model"),
        ({"model": "m"}, "what to render"),
        ({"model": "m", "unit": "a:1"}, "no key 'unit'.*units"),
        ({"model": "m", "units": "a:1", "objective": "a:1"}, "either units or objective"),
        ({"model": "m", "units": "a:1", "steps": 0}, "steps"),
        ({"model": 3, "units": "a:1"}, "model"),
    ],
)
def test_plans_that_make_no_sense(document, words):
    with pytest.raises((TypeError, ValueError), match=words):
        Plan.from_document(document)


def run(*arguments) -> int:
    return main([str(argument) for argument in arguments])


def test_rerender_says_that_a_picture_is_the_same(graph, tmp_path, capsys):
    picture = tmp_path / "a.png"
    settings = ["--size", 24, "--steps", 2, "--value-range=-117,138"]
    assert run("render", graph, "mixed3a:1", "-o", picture, *settings) == 0
    assert run("rerender", picture, "-o", tmp_path / "b.png") == 0
    assert "a.png: the same, bit for bit" in capsys.readouterr().out
    assert (tmp_path / "b.png").read_bytes() == picture.read_bytes()
    changed = np.asarray(Image.open(picture)).copy()
    changed[0, 0] ^= 1
    save_picture(changed / 255, tmp_path / "c.png", read_recipe(picture))
    assert run("rerender", tmp_path / "c.png") == 0
    assert "of the values differ, by up to 1 of 255" in capsys.readouterr().out


@pytest.mark.parametrize("ending", ["toml", "json"])
def test_run_does_what_a_file_says(graph, tmp_path, capsys, ending):
    plan = {"model": str(graph), "units": "mixed3a:1-2", "size": 24, "steps": 2, "value_range": [-117, 138]}
    text = json.dumps(plan) if ending == "json" else "".join(f"{k} = {json.dumps(v)}\n" for k, v in plan.items())
    (tmp_path / f"plan.{ending}").write_text(text)
    assert run("run", tmp_path / f"plan.{ending}") == 1
    assert "does not say where to write" in capsys.readouterr().err
    assert run("run", tmp_path / f"plan.{ending}", "-o", tmp_path / "out") == 0
    assert capsys.readouterr().out.split() == [str(tmp_path / f"out/mixed3a_000{unit}.png") for unit in (1, 2)]


def test_run_takes_a_pictures_recipe(graph, tmp_path, model):
    renders = short(model)
    renders.save(tmp_path / "a.png")
    assert run("run", tmp_path / "a.png.json", "-o", tmp_path / "b.png") == 0
    assert (tmp_path / "b.png").read_bytes() == (tmp_path / "a.png").read_bytes()


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("plan.toml", b"model = ", "is not valid TOML"),
        ("plan.json", b"{", "is not valid JSON"),
        ("plan.json", b"[1]", "contains a list, not a recipe"),
        ("plan.yaml", b"", "neither a picture nor a recipe"),
        ("a.png", b"no picture", "cannot be read as a picture"),
    ],
)
def test_files_that_cannot_be_run(tmp_path, capsys, name, content, words):
    (tmp_path / name).write_bytes(content)
    assert run("run", tmp_path / name, "-o", tmp_path / "out.png") == 1
    assert words in capsys.readouterr().err


def test_a_network_with_a_number_that_has_no_stride_has_a_fingerprint():
    """As networks from ONNX have them; it is that of the same number laid out as usual."""
    found = []
    for number in (torch.ones(1), torch.ones(()).expand(1)):
        network = torch.nn.Module()
        network.register_buffer("number", number)
        found.append(fingerprint(network))
    assert found[0] == found[1]
