"""What a render warns of: once, and only where something is wrong."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.optvis import objectives, param, render, transform
from lucid_port.optvis.engine.diagnostics import EVERY, PATIENCE, Watch, first_run, still
from lucid_port.optvis.render_many import render_many
from parity_tests.optvis.tiny import TinyModel


def warned(caught):
    return [str(one.message) for one in caught if issubclass(one.category, RuntimeWarning)]


def rendered(objective="mixed:1", steps=60, model=None, param_f=lambda: param.image(12), **options):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        vis = render.make_vis_T(model or TinyModel(), objective, param_f, **options)
        for _ in range(steps):
            vis.step()
        vis.watch.check()
    return warned(caught)


def test_nothing_is_said_of_a_render_that_is_well():
    assert rendered() == []


def dead(T):
    return torch.relu(T("mixed") - 1e6).sum()


def test_an_image_without_gradient_is_said_once():
    (said,) = rendered(dead, steps=3 * EVERY)
    assert f"No gradient reached the image in {PATIENCE} updates, from update 1 on" in said


def test_fewer_updates_than_the_patience_are_not_said():
    assert rendered(dead, steps=PATIENCE - 1) == []


def test_a_gradient_that_ends_is_said_with_its_update():
    alive = iter([True] * 45 + [False] * 100)
    (said,) = rendered(lambda T: T("mixed").sum() * float(next(alive)), steps=100)
    assert "from update 46 on" in said


def test_values_outside_the_range_are_said():
    def pixels():
        return param.image(12, fft=False, decorrelate=False) * 3.0

    (said,) = rendered(param_f=pixels, transforms=[])
    assert "outside the [0, 1]" in said


def test_the_standard_transforms_stay_inside_the_range():
    assert rendered(transforms=transform.standard_transforms, steps=1) == []


def test_an_objective_that_is_nan_is_said():
    (said,) = rendered(lambda T: T("mixed").sum() * float("nan"), steps=2)
    assert "The objective was nan before update 1" in said


@pytest.mark.parametrize("layer", [torch.nn.Dropout(), torch.nn.BatchNorm2d(4)])
def test_a_network_in_training_mode_is_said(layer):
    model = from_torch(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), layer), (0, 1))
    layer.train()
    with pytest.warns(RuntimeWarning, match=f"training mode: .*{type(layer).__name__}"):
        render.make_vis_T(model, "0:1")


def test_units_that_never_move_are_named():
    asked = [objectives.channel("mixed", 1), objectives.as_objective(dead)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        render_many(TinyModel(), asked, size=12, steps=40, verbose=False)
    (said,) = warned(caught)
    assert "The objective of dead did not change" in said


@pytest.mark.parametrize(
    ("reached", "begin"), [("1110001", None), ("0000", 0), ("10000", 1), ("0001000011", 4), ("", None)]
)
def test_the_first_run_of_silence(reached, begin):
    assert first_run(np.array([one == "1" for one in reached], bool), 4) == begin


def test_still():
    assert still(np.zeros(PATIENCE))
    assert not still(np.zeros(PATIENCE - 1))
    assert not still(np.arange(100.0))


def test_nothing_is_read_between_two_readings(monkeypatch):
    reads = []
    monkeypatch.setattr(Watch, "check", lambda self: reads.append(len(self.losses)))
    vis = render.make_vis_T(TinyModel(), "mixed:1", lambda: param.image(12))
    for _ in range(2 * EVERY + 10):
        vis.step()
    assert reads == [EVERY, 2 * EVERY]
