"""Folders of many renders that an earlier version left behind: finished, or stopped in the middle.

What is there is not rendered again, whatever the machine. The rest is rendered; its pictures are compared bit for bit
on the fixtures' machine, and everywhere by the objective's values after three updates, which were measured to depend
little on rounding.
"""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from lucid_port.optvis import checkpoints
from lucid_port.optvis.recipe import Recipe
from lucid_port.optvis.recipe_files import compare_pictures, read_recipe
from lucid_port.recipes.steps import run_through
from parity_tests.compatibility import folders
from parity_tests.compatibility.fixtures import (
    FOLDER,
    assert_close,
    needs_same_machine,
    other_machine,
    pixels,
    read_json,
    sha256,
    tiny,
)

RUNS = FOLDER / "runs"
VALUE_BOUND = 1e-4  # measured with kernels for other processors: 5.9e-7, with room for a ReLU that rounding flips


@pytest.fixture
def run(tmp_path):
    """Copies a kept folder, which a test may write to."""

    def copy(name: str, of: str = "runs"):
        shutil.copytree(FOLDER / of / name, tmp_path / name)
        return tmp_path / name

    return copy


def manifest(folder) -> dict:
    return json.loads((folder / "manifest.json").read_text(encoding="utf-8"))


def assert_like_finished(renders) -> None:
    """Compares the units of `folders.UNITS` with those of the folder that was never stopped."""
    values = {entry["objective"]: entry["value"] for entry in manifest(RUNS / "finished")["units"]}
    for one in renders:
        np.testing.assert_allclose(one.value, values[one.name], rtol=VALUE_BOUND, err_msg=one.name)


@pytest.mark.parametrize("name", ["finished", "batches", "sheet"])
def test_nothing_of_a_finished_run_is_rendered_again(run, name):
    options = {"batches": {"batch_size": 3, "seeds": folders.SEEDS}, "sheet": {"sheet": True}}.get(name, {})
    more = folders.units_of_objectives() if name == "batches" else []
    folder = run(name)
    before = folders.contents(folder)
    renders = folders.render(folder, [*folders.UNITS, *more], **options)
    assert renders.reused == len(renders) == len(folders.UNITS) + len(more)
    assert folders.contents(folder) == before


def test_an_interrupted_run_goes_on(run):
    folder = run("interrupted")
    before = folders.contents(folder)
    before.pop("manifest.json")
    renders = folders.render(folder, folders.UNITS)
    assert renders.reused == 2
    assert len(renders) == 4
    after = folders.contents(folder)
    assert {name: after[name] for name in before} == before
    assert set(after) == set(folders.contents(RUNS / "finished"))
    assert_like_finished(renders)
    if not other_machine():
        for one in renders:
            np.testing.assert_array_equal(pixels(one.path), pixels(RUNS / "finished" / one.path.name))


def test_a_run_whose_sheet_is_not_finished_goes_on(run):
    folder = run("sheet-interrupted")
    assert sorted(path.name for path in (folder / ".tiles").iterdir()) == ["mixed3a_0001.png", "mixed3a_0005.png"]
    renders = folders.render(folder, folders.UNITS, sheet=True)
    assert renders.reused == 2
    assert set(folders.contents(folder)) == {"manifest.json", "sheet.png"}
    assert_like_finished(renders)
    assert_sheet_holds_kept_pictures(folder)
    if not other_machine():
        np.testing.assert_array_equal(pixels(folder / "sheet.png"), pixels(RUNS / "sheet" / "sheet.png"))


def test_a_sheet_takes_another_unit(run):
    folder = run("sheet")
    renders = folders.render(folder, [*folders.UNITS, "mixed3a:11"], sheet=True)
    assert renders.reused == 4
    assert manifest(folder)["grid"] == [2, 3]
    assert_sheet_holds_kept_pictures(folder)


def assert_sheet_holds_kept_pictures(folder) -> None:
    """Finds the tiles that an earlier version rendered in a sheet that this one made."""
    sheets = []
    for place in (RUNS / "sheet", folder):
        data = manifest(place)
        units = data["units"][:2]
        sheets.append(folders.tiles(pixels(place / "sheet.png"), [unit["tile"] for unit in units], data["grid"]))
    for one, other in zip(*sheets, strict=True):
        np.testing.assert_array_equal(one, other)


def test_recipes_of_batches_render_their_pictures():
    """These hold names that no public function has: `each_channel`, `each_for_itself`, `joined`."""
    data = manifest(RUNS / "batches")
    kinds = {recipe["objective"]["objective"] for recipe in data["recipes"].values()}
    assert kinds == {"each_channel", "each_for_itself"}
    for key, stated in data["recipes"].items():
        entries = [unit for unit in data["units"] if unit["recipe"] == key]
        recipe = Recipe.from_data(stated)
        vis = recipe.vis(tiny())
        values = [vis.step() for _ in range(recipe.steps)][-1]
        np.testing.assert_allclose(values, [entry["value"] for entry in entries], rtol=VALUE_BOUND)


@pytest.mark.parametrize("name", ["finished", "batches"])
def test_every_picture_of_a_run_carries_a_recipe(name):
    for entry in manifest(RUNS / name)["units"]:
        recipe = read_recipe(RUNS / name / entry["file"])
        assert (recipe.picture, recipe.value, recipe.steps) == (entry["picture"], entry["value"], folders.STEPS)


def test_pictures_of_a_batch_have_the_same_bits():
    needs_same_machine()
    for entry in manifest(RUNS / "batches")["units"]:
        path = RUNS / "batches" / entry["file"]
        assert compare_pictures(path, read_recipe(path).render(tiny())) == "the same, bit for bit"


# Checkpoints -------------------------------------------------------------------------------------


def test_a_stopped_render_goes_on(run):
    """Its first values come out of the file, bit for bit on every machine.

    Of the later ones only the image is compared bit for bit: the first update after a stop reads the whole layer, as
    every first update does, and its channel's mean is summed in another order (measured: 1.7e-7 of the value).
    """
    kept, counter = read_json("checkpoints.json")["render"], folders.Counter()
    folder = run("render", "checkpoints")
    with checkpoints.kept(folder, folders.KEY):
        vis = folders.begin(counter)
        images, values = run_through(vis, folders.LOOKS, vis.image)
    assert counter.made == folders.LOOKS[-1] - folders.LOOKS[-2]
    assert not folder.exists()
    assert values[: folders.LOOKS[-2]].tolist() == kept["values"]["values"][: folders.LOOKS[-2]]
    for image, summary in zip(images[:-1], kept["images"][:-1], strict=True):
        assert_close(image, summary, 1e-6, "the image at an earlier look")
    assert_close(values, kept["values"], VALUE_BOUND, "the objective")
    if not other_machine():
        assert sha256(images[-1]) == kept["images"][-1]["sha256"]


def test_a_stopped_run_over_many_units_goes_on(run):
    kept = read_json("checkpoints.json")["many"]
    folder = run("many", "checkpoints")
    with checkpoints.kept(folder, folders.KEY):
        renders = folders.many(folders.MANY_STEPS)
    assert not folder.exists()
    for one, values, image in zip(renders, kept["values"], kept["images"], strict=True):
        first = folders.STOPPED_AT
        assert one.losses[:first].tolist() == values["values"][:first]
        assert_close(one.losses, values, VALUE_BOUND, one.name)
        if not other_machine():
            assert sha256(one.image) == image["sha256"]
