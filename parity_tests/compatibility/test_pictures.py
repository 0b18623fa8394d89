"""Pictures that an earlier version rendered load and render again from their recipes.

Two comparisons, each for every picture:

* `test_the_first_update` runs on every machine. It compares what rounding hardly changes: the image before the first
  update, the objective and the norms of the gradients there, within bounds that were measured, and exactly the names,
  seeds and states of all streams of draws. Later updates are not compared, because a ReLU that is flipped by rounding
  changes them.
* `test_the_same_bits` makes all updates and compares every bit, where torch, NumPy, processor, number of threads and
  torch's own rounding are those of the machine that made the fixtures. Elsewhere it is skipped, and says why.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from lucid_port.cli import main
from lucid_port.optvis.recipe import Recipe
from lucid_port.optvis.recipe_files import compare_pictures, read_document, read_recipe
from parity_tests.compatibility.cases import WITH_SIDECAR
from parity_tests.compatibility.fixtures import (
    FOLDER,
    assert_close,
    needs_same_machine,
    read_json,
    sha256,
    streams,
    tiny,
)

PICTURES = FOLDER / "pictures"
KEPT = read_json("pictures.json")

# Measured with torch's, oneDNN's and MKL's kernels for AVX2, for SSE4.1 and for no vectors, instead of AVX-512: 1.8e-7;
# 6.9e-6 (direction_neuron, a sum of both signs); and 1.5e-6, with room for a ReLU that rounding flips.
IMAGE_BOUND = 1e-6
LOSS_BOUND = 2e-5
GRADIENT_BOUND = 1e-3


def recipe_of(name: str) -> Recipe:
    return read_recipe(PICTURES / KEPT[name]["file"])


@pytest.mark.parametrize("name", KEPT)
def test_the_recipe_is_read_and_written_as_it_was(name):
    document = read_document(PICTURES / KEPT[name]["file"])
    recipe = Recipe.from_data(document)
    assert json.loads(json.dumps(recipe.to_data())) == document
    vis = recipe.vis(tiny())
    again = Recipe.of(vis, steps=recipe.steps, picture=recipe.picture, value=recipe.value).to_data()
    assert json.loads(json.dumps({**again, "made_with": 0})) == {**document, "made_with": 0}


@pytest.mark.parametrize("name", KEPT)
def test_the_first_update(name):
    kept, vis = KEPT[name], recipe_of(name).vis(tiny())
    assert_close(vis.image(), kept["initial"], IMAGE_BOUND, "the first image")
    vis("input")
    assert_close(vis.step().float().numpy(), kept["loss"], LOSS_BOUND, "the objective")
    gradients = [float(one.grad.norm()) for one in vis.optimizer.param_groups[0]["params"]]
    np.testing.assert_allclose(gradients, kept["gradients"], rtol=GRADIENT_BOUND)
    assert streams(vis.source) == kept["streams"]


@pytest.mark.filterwarnings("ignore:No gradient reached the image:RuntimeWarning")
@pytest.mark.parametrize("name", KEPT)
def test_the_same_bits(name):
    needs_same_machine()
    path = PICTURES / KEPT[name]["file"]
    picture = recipe_of(name).render(tiny())
    assert sha256(picture) == KEPT[name]["sha256"]
    if path.suffix == ".png":
        assert compare_pictures(path, picture) == "the same, bit for bit"


@pytest.mark.parametrize("name", WITH_SIDECAR)
def test_the_recipe_beside_a_picture(name):
    path = PICTURES / KEPT[name]["file"]
    assert read_document(f"{path}.json") == read_document(path)


def test_pictures_of_the_overrides_differ():
    """So that each of them shows in a comparison of bits."""
    assert len({KEPT[f"relu-{name}"]["sha256"] for name in ("true", "always", "false")}) == 3


@pytest.mark.parametrize("name", ["param-image", "seeds-given", "file-webp"])
def test_rerender_opens_the_model_by_its_name(tmp_path, capsys, name):
    path = PICTURES / KEPT[name]["file"]
    assert main(["rerender", str(path), "-o", str(tmp_path / "again.png")]) == 0
    assert read_document(tmp_path / "again.png") == read_document(path)
    needs_same_machine()
    same = "the same, bit for bit" in capsys.readouterr().out
    assert same == (path.suffix == ".png")
