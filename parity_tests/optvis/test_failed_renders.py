"""Renders whose objective or picture becomes NaN are reported, and made again by a run that resumes."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lucid_port.cli import main
from lucid_port.optvis import param
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.recipe_files import read_document
from lucid_port.optvis.render import render_vis
from parity_tests.optvis.many import manifest, many
from parity_tests.optvis.tiny import TinyModel

IS_FAILED = "became NaN or infinite"


def _pixels(batch=1):
    return param.image(12, batch=batch, fft=False)


def _fail(monkeypatch, channel, since=1):
    """Makes the objective of a channel NaN from an update on."""
    evaluate = VisT.value_and_gradients

    def failing(vis):
        value, gradients = evaluate(vis)
        args = vis.objective.to_data()["args"]
        channels = args.get("channels", [args.get("n_channel")])
        if vis.steps + 1 >= since and channel in channels:
            value = value.clone()
            value[channels.index(channel) if value.ndim else ()] = float("nan")
        return value, gradients

    monkeypatch.setattr(VisT, "value_and_gradients", failing)


def test_a_failed_unit_is_named_with_its_first_update(monkeypatch):
    _fail(monkeypatch, 1, since=3)
    with pytest.warns(RuntimeWarning, match=rf"{IS_FAILED}.* conva:1 \(from update 3 on\)"):
        found = many("conva:1,2", steps=4)
    assert found.failed == {"conva:1": 3}
    assert [one.failed_at for one in found] == [3, None]


@pytest.mark.parametrize("sheet", [False, True])
def test_a_failed_unit_is_not_finished_when_a_run_resumes(tmp_path, monkeypatch, sheet):
    with monkeypatch.context() as patched:
        _fail(patched, 1)
        with pytest.warns(RuntimeWarning, match=IS_FAILED):
            first = many("conva:1,2", output=tmp_path, sheet=sheet)
        assert list(first.failed) == ["conva:1"]
        assert [unit["value"] is None for unit in manifest(tmp_path)["units"]] == [True, False]
        with pytest.warns(RuntimeWarning, match=IS_FAILED):
            second = many("conva:1,2", output=tmp_path, sheet=sheet)
        assert (second.reused, list(second.failed)) == (1, ["conva:1"])
    third = many("conva:1,2", output=tmp_path, sheet=sheet)
    assert (third.reused, third.failed) == (1, {})
    assert np.isfinite([one.value for one in third]).all()
    assert many("conva:1,2", output=tmp_path, sheet=sheet).reused == 2


def test_a_picture_that_becomes_nan_under_a_finite_objective_has_failed(tmp_path):
    def steep(T):
        return (T("input") * 0).sum().sqrt()  # finite, with the gradient NaN

    with pytest.warns(RuntimeWarning, match=rf"{IS_FAILED}.* steep \(from update 1 on\)"):
        found = many([steep], size=None, param_f=_pixels, steps=1, output=tmp_path)
    assert found.failed == {"steep": 1}
    with pytest.warns(RuntimeWarning, match="The picture has NaN or infinite values after update 1"):
        renders = render_vis(TinyModel(), steep, _pixels, thresholds=(0,), verbose=False)
    assert renders.failed_at == 1


def test_a_finite_render_has_not_failed():
    assert render_vis(TinyModel(), "conva:1", _pixels, thresholds=(2,), verbose=False).failed_at is None


def _plan(folder, units):
    path = folder / "plan.json"
    path.write_text(json.dumps({"model": "TinyInceptionV1", "units": units, "size": 16, "steps": 3}))
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("units", "output"), [("mixed4a:1-2", "units"), ("mixed4a:1", "unit.png")])
def test_the_command_line_fails_and_names_the_units(tmp_path, capsys, monkeypatch, units, output):
    _fail(monkeypatch, 1, since=2)
    for command in (
        ["render", "TinyInceptionV1", units, "--size", 16, "--steps", 2, "-o", tmp_path / output],
        ["run", _plan(tmp_path, units), "-o", tmp_path / "again" / output],
    ):
        assert main([*map(str, command)]) == 1, command
        error = capsys.readouterr().err
        assert IS_FAILED in error
        assert "mixed4a:1 (from update 2 on)" in error


@pytest.mark.filterwarnings("ignore")
def test_a_rerender_that_fails_says_so(tmp_path, monkeypatch):
    recipe = render_vis(TinyModel(), "conva:1", _pixels, thresholds=(2,), verbose=False).recipe()
    _fail(monkeypatch, 1, since=2)
    with pytest.warns(RuntimeWarning, match="nan before update 2"):
        recipe.render(TinyModel())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("unit", [1, 2])
def test_the_recipe_of_a_picture_that_fails_ends_with_an_error(tmp_path, capsys, monkeypatch, unit):
    """Only if this picture fails, and not another one of its batch."""
    folder, again = tmp_path / "units", tmp_path / "again.png"
    options = ["--size", 16, "--steps", 3, "--batch-size", 2, "-o", folder]
    assert main([*map(str, ["render", "TinyInceptionV1", "mixed4a:1-2", *options])]) == 0
    _fail(monkeypatch, 1, since=2)
    picture = folder / f"mixed4a_000{unit}.png"
    recipe = tmp_path / "recipe.json"
    recipe.write_text(json.dumps(read_document(picture)))
    for command in (["rerender", picture, "-o", again], ["run", recipe, "-o", again]):
        capsys.readouterr()
        assert main([*map(str, command)]) == (unit == 1)
        error = capsys.readouterr().err
        assert (IS_FAILED in error) == (unit == 1)
        assert ("(from update 2 on)" in error) == (unit == 1)
        assert again.exists()  # the picture itself is finite
        again.unlink()


def _steep(monkeypatch, value_factor=1.0, factor=float("nan")):
    """Makes all gradients NaN, so that pictures are NaN under a finite objective."""
    evaluate = VisT.value_and_gradients

    def failing(vis):
        value, gradients = evaluate(vis)
        return value * value_factor, [None if one is None else one * factor for one in gradients]

    monkeypatch.setattr(VisT, "value_and_gradients", failing)


@pytest.mark.filterwarnings("ignore")
def test_a_nan_picture_is_not_written(tmp_path, capsys, monkeypatch):
    unit = tmp_path / "unit.png"
    command = ["render", "TinyInceptionV1", "mixed4a:1", "--size", 16, "--steps", 1, "-o", unit]
    assert main([*map(str, command)]) == 0
    before = unit.read_bytes()
    _steep(monkeypatch)
    for command in (["rerender", unit, "-o", tmp_path / "a.png"], ["run", f"{unit}.json", "-o", tmp_path / "b.png"]):
        assert main([*map(str, command)]) == 1
        assert IS_FAILED in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["unit.png", "unit.png.json"]
    assert unit.read_bytes() == before


FIGURES = ["fv-channel --units mixed4a:1", "fv-interpolation --units mixed3a:1,mixed3a:2", "dp-cppn --units mixed4a:1"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("figure", FIGURES)
@pytest.mark.parametrize("factors", [(1.0, float("nan")), (float("nan"), 1.0)], ids=["picture", "objective"])
def test_a_figure_that_fails_is_not_written(tmp_path, capsys, monkeypatch, figure, factors):
    _steep(monkeypatch, *factors)
    output = tmp_path / "new"
    command = ["figure", *figure.split(), "--model", "TinyInceptionV1", "--fast", "--steps", "2", "-o", output]
    assert main([*map(str, command)]) == 1
    error = capsys.readouterr().err
    assert f"The figure {figure.split()[0]} is not written. " in error
    assert "NaN" in error or "nan" in error
    assert not output.exists()
