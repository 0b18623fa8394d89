"""Renders that stop at a random update and go on have the bits of a render that nothing stops."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lucid_port.optvis import checkpoints, param
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.render_many import render_many
from lucid_port.recipes.steps import run_through
from parity_tests.optvis.tiny import TinyModel
from parity_tests.properties.conftest import few


class Stopped(BaseException):
    """Stands for the end of a process, which runs nothing more."""


class Stopping:
    """Stops every render at one update, counted from 0 over all renders."""

    def __init__(self, at: int | None) -> None:
        self.made, self.at = 0, at

    def __enter__(self) -> Stopping:
        self.patch = pytest.MonkeyPatch()
        original = VisT.step

        def step(vis):
            if self.made == self.at:
                raise Stopped
            self.made += 1
            return original(vis)

        self.patch.setattr(VisT, "step", step)
        self.patch.setattr(checkpoints, "EVERY", 0.0)  # seconds between two states that are kept
        return self

    def __exit__(self, *_: object) -> None:
        self.patch.undo()


@st.composite
def many(draw):
    """Arguments of `render_many`: units, steps, size, batch, seed."""
    units = draw(st.lists(st.integers(0, 8), min_size=1, max_size=4, unique=True))
    channels = ",".join(map(str, units))
    return {
        "units": f"mixed:{channels}",
        "steps": draw(st.integers(1, 4)),
        "size": draw(st.integers(8, 12)),
        "batch_size": draw(st.integers(1, len(units))),
        "seed": draw(st.integers(0, 50)),
        "sheet": draw(st.booleans()),
        "verbose": False,
        "keep": True,
    }, len(units)


@few()
@given(drawn=many(), data=st.data())
def test_many_units(drawn, data):
    options, count = drawn
    updates = -(-count // options["batch_size"]) * options["steps"]
    stops = data.draw(st.lists(st.integers(0, updates - 1), min_size=1, max_size=2).map(sorted))
    units = options.pop("units")
    with tempfile.TemporaryDirectory() as folder:
        whole = render_many(TinyModel(), units, output=Path(folder) / "whole", **options)
        for at in stops:
            with Stopping(at) as stopping:
                try:
                    render_many(TinyModel(), units, output=Path(folder) / "parts", **options)
                except Stopped:
                    assert stopping.made == at
        resumed = render_many(TinyModel(), units, output=Path(folder) / "parts", **options)
        assert [one.name for one in resumed] == [one.name for one in whole]
        for one, other in zip(whole, resumed, strict=True):
            assert one.value == other.value
            if other.image is not None:  # made by the last run
                np.testing.assert_array_equal(one.image, other.image)
            assert one.path.read_bytes() == other.path.read_bytes()


@few()
@given(data=st.data(), size=st.integers(8, 12), seed=st.integers(0, 50), batch=st.integers(1, 3))
def test_one_render(data, size, seed, batch):
    counts = sorted(data.draw(st.sets(st.integers(1, 6), min_size=1, max_size=3)))
    at = data.draw(st.integers(0, counts[-1] - 1))

    def render():
        vis = VisT(TinyModel(), "mixed:4", lambda: param.image(size, batch=batch), seed=seed)
        seen, values = run_through(vis, counts, vis.image)
        return np.stack(seen), values, vis.losses, vis.image()

    whole = render()
    with tempfile.TemporaryDirectory() as folder:
        with Stopping(at), pytest.raises(Stopped), checkpoints.kept(Path(folder) / "work", {"what": "this"}):
            render()
        with Stopping(None) as rest, checkpoints.kept(Path(folder) / "work", {"what": "this"}):
            resumed = render()
    assert rest.made == counts[-1] - at
    for one, other in zip(whole, resumed, strict=True):
        np.testing.assert_array_equal(one, other)
