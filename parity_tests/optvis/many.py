"""Helpers that render many units of the tiny model, and let runs fail or be killed."""

from __future__ import annotations

import functools
import json

import numpy as np

import converters
from lucid_port.modelzoo import vision_models
from lucid_port.modelzoo.seeded import seeded_inceptionv1
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import param, render, transform
from lucid_port.optvis.render_many import render_many
from parity_tests.optvis.tiny import TinyModel

SHAPE_KEEPING = [transform.pad(6), transform.jitter(5), transform.random_rotate([-3, 0, 8])]
QUICK = {"size": 12, "steps": 3, "verbose": False}
LIVE = "mixed:1-4,6-7"
"""Channels that are not dead at first: of others Adam gets gradients as small as rounding, and makes steps of them."""
ROUNDING = 1e-5
"""Bound for pictures in [0, 1] of tiny networks that sum in another order: 1/400 of a grey level. Measured: 1e-7."""


def many(asked="mixed:1,4,6,7", model=None, **kwargs):
    return render_many(model or TinyModel(), asked, **{**QUICK, **kwargs})


def alone(name, model=None, size=12, steps=3, **kwargs):
    options = {"param_f": lambda: param.image(size), "thresholds": (steps - 1,), "verbose": False, **kwargs}
    return render.render_vis(model or TinyModel(), name, **options)


def assert_alike(renders, others, tolerance=ROUNDING):
    assert [one.name for one in renders] == [one.name for one in others]
    for one, other in zip(renders, others, strict=True):
        np.testing.assert_allclose(one.image, other.image, atol=tolerance)
        np.testing.assert_allclose(one.losses, other.losses, rtol=1e-4, atol=1e-6)


@functools.cache
def inception(smooth):
    if not smooth:
        return vision_models.InceptionV1_seeded()
    return Model(network=converters.convert(seeded_inceptionv1(smooth=True)), image_value_range=(-117, 138))


def fail_above(monkeypatch, most, error):
    """Steps of more images than this fail for want of memory."""
    step = render.VisT.step
    sizes = []

    def limited(vis):
        sizes.append(vis.param.shape[0])
        if sizes[-1] > most:
            raise error
        return step(vis)

    monkeypatch.setattr(render.VisT, "step", limited)
    return sizes


class Killed(BaseException):
    pass


def killed_after(monkeypatch, steps):
    """A run that dies in the middle of a step, as a killed one does."""
    step, made = render.VisT.step, []

    def dying(vis):
        made.append(vis)
        if len(made) > steps:
            raise Killed
        return step(vis)

    monkeypatch.setattr(render.VisT, "step", dying)
    return made


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
