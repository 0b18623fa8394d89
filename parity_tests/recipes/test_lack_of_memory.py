"""A batch of a recipe that does not fit into memory is halved; a run that resumes uses the halved size."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lucid_port.optvis import checkpoints
from lucid_port.recipes import cppn, interpolation, regularization, transparency
from lucid_port.recipes.activation_atlas.render import render_icons
from lucid_port.recipes.feature_visualization import visualize
from parity_tests.optvis.many import Killed, fail_above, killed_after

UNITS = [f"mixed3a_pre_relu:{unit}" for unit in range(5)]
PAIRS = [(UNITS[0], UNITS[1]), (UNITS[2], UNITS[3]), (UNITS[1], UNITS[4])]


def _painted(model, **options):
    made = cppn.paint(model, UNITS, size=20, steps=2, thresholds=[1], **options)
    return made.pictures, made.losses, made.networks[-1].paint(8)


def _transparent(model, **options):
    made = transparency.transparent(model, UNITS, size=40, steps=2, **options)
    return made.pictures, made.losses


def _interpolated(model, **options):
    rows = interpolation.interpolations(model, PAIRS, 2, size=24, steps=2, **options)
    return [part for row in rows for part in (row.pictures, row.losses)]


def _studied(model, **options):
    made = regularization.transformation_robustness(
        model, UNITS, {"jitter": (2,)}, thresholds=[1, 2], size=24, **options
    )
    return made.pictures, made.losses


def _icons(model, **options):
    return render_icons(model, np.eye(15)[:5], "mixed3a_pre_relu", size=24, steps=2, attempts=2, **options)


def _visualized(model, **options):
    made = visualize(model, UNITS, size=24, steps=2, **options)
    return made.pictures, made.losses


RECIPES = [_painted, _transparent, _interpolated, _studied, _icons]


def _same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("asked", [None, 5])
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_batch_that_does_not_fit_is_halved_as_if_asked_for(model, monkeypatch, recipe, asked):
    with monkeypatch.context() as patched:
        fail_above(patched, 2, MemoryError("full"))
        with pytest.warns(RuntimeWarning, match="do not fit into the memory of cpu") as caught:
            found = recipe(model, batch_size=asked)
    last = int(str(caught[-1].message).split("at most ")[1].rstrip("."))
    assert last in (1, 2)
    _same(found, recipe(model, batch_size=last))


@pytest.mark.filterwarnings("ignore:.*do not fit")
def test_a_single_image_that_does_not_fit(model, monkeypatch):
    fail_above(monkeypatch, 0, MemoryError("full"))
    with pytest.raises(MemoryError, match=r"A single image does not fit into the memory of cpu.*\(full\)"):
        _icons(model)


def test_other_errors_are_not_taken_for_want_of_memory(model, monkeypatch):
    sizes = fail_above(monkeypatch, 0, RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        _icons(model)
    assert len(sizes) == 1


@pytest.mark.filterwarnings("ignore:.*do not fit")
@pytest.mark.parametrize("recipe", [_icons, _transparent, _visualized])
def test_a_run_that_resumes_uses_the_halved_size(model, monkeypatch, tmp_path, recipe):
    expected = recipe(model, batch_size=2)
    with monkeypatch.context() as patched:
        killed_after(patched, 5)
        fail_above(patched, 2, MemoryError("full"))
        with pytest.raises(Killed), checkpoints.kept(tmp_path / "work", {}):
            recipe(model)
    decided = json.loads((tmp_path / "work" / checkpoints.DECISIONS).read_text())
    batches = [[0], [1, 2], [3, 4]]
    assert list(decided.values()) == [batches if recipe is _visualized else 2]
    with monkeypatch.context() as patched:
        sizes = fail_above(patched, 2, AssertionError("larger than the size that was found"))
        with checkpoints.kept(tmp_path / "work", {}):
            _same(recipe(model), expected)
        assert len(sizes) < 2 * 3 * (2 if recipe is _icons else 1), "no state was used"
    assert not (tmp_path / "work").exists()


@pytest.mark.filterwarnings("ignore:.*do not fit")
def test_batches_that_were_finished_before_a_lack_of_memory_stay(model, monkeypatch, tmp_path):
    with monkeypatch.context() as patched:
        fail_above(patched, 2, MemoryError("full"))
        expected = _visualized(model, batch_size=3)  # batches of 2, 1, 1 and 1: that of 3 units does not fit
    with monkeypatch.context() as patched:
        killed_after(patched, 4)
        fail_above(patched, 2, MemoryError("full"))
        with pytest.raises(Killed), checkpoints.kept(tmp_path / "work", {}):
            _visualized(model, batch_size=3)
    sizes = fail_above(monkeypatch, 2, AssertionError("larger than the size that was found"))
    with checkpoints.kept(tmp_path / "work", {}):
        _same(_visualized(model, batch_size=3), expected)
    assert sizes == [1] * 4, "the finished batches were rendered again"


def test_states_of_larger_batches_are_forgotten(tmp_path):
    with checkpoints.kept(tmp_path / "work", {}) as folder:
        assert folder.numbered("render") == "render-0001"
        size = checkpoints.Decision("batch", lambda: 8)
        for number in (2, 3):
            assert folder.numbered("render") == f"render-000{number}"
        for number in (1, 2, 3):
            (folder.path / f"render-000{number}.pt").touch()
        size.change(4)
        size.begin_anew()
        assert sorted(path.name for path in folder.path.glob("*.pt")) == ["render-0001.pt"]
        assert folder.numbered("render") == "render-0002"
        assert checkpoints.Decision("batch", lambda: 3).result == 3
