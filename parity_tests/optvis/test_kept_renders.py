"""Renders that are saved as arrays, pickled or copied keep their pictures, losses and recipes."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from lucid_port.misc.io import load
from lucid_port.optvis import param, render
from lucid_port.optvis.recipe_files import read_recipe, sidecar
from parity_tests.optvis.tiny import TinyModel


@pytest.fixture(scope="module")
def renders():
    return render.render_vis(
        TinyModel(), "conva:1", lambda: param.image(9, 7, batch=2), thresholds=(0, 2), verbose=False
    )


@pytest.mark.parametrize("name", ["unit.npy", "unit.npz", "unit.json", "unit.npy.xz"])
def test_arrays_are_saved_with_their_recipe_beside_them(renders, tmp_path, name):
    path = renders.save(tmp_path / "new" / name, index=0, picture=1)
    found = load(path)
    found = found["arr_0"] if name.endswith("npz") else np.asarray(found, np.float32)
    np.testing.assert_array_equal(found, renders[0][1])
    assert read_recipe(sidecar(path)) == renders.recipe(0, 1)


@pytest.mark.parametrize("name", ["unit.txt", "unit.pkl", "unit.xyz", "unit"])
def test_other_formats_are_refused_before_anything_is_written(renders, tmp_path, name):
    with pytest.raises(ValueError, match=r"no picture's name|Cannot save"):
        renders.save(tmp_path / name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda one: pickle.loads(pickle.dumps(one))])
def test_copies_keep_pictures_losses_and_recipes(renders, tmp_path, duplicate):
    for copied in (duplicate(renders), duplicate(duplicate(renders))):
        np.testing.assert_array_equal(np.stack(copied), np.stack(renders))
        np.testing.assert_array_equal(copied.losses, renders.losses)
        assert (copied.steps, list(copied.taken_after), copied.interrupted) == (3, [1, 3], False)
        assert copied.recipe(0, 1) == renders.recipe(0, 1)
        assert read_recipe(copied.save(tmp_path / "unit.png")) == renders.recipe()
        with pytest.raises(AttributeError, match="pickles and deep copies keep its results only"):
            _ = copied.vis


def test_a_shallow_copy_keeps_the_render(renders):
    copied = copy.copy(renders)
    assert type(copied) is render.Renders
    assert copied.vis is renders.vis
    assert len(copied) == 2
