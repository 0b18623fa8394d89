"""Logs of figures, read back by TensorBoard's own reader."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from lucid_port.figures.run import Request, write
from lucid_port.modelzoo.vision_models import TinyInceptionV1
from parity_tests.event_files import pictures, read, runs, steps, text

REQUEST = Request("fv-channel", "TinyInceptionV1", options={"units": ["mixed4a:3", "mixed4a:8"]}, steps=2, fast=True)


def test_a_figure_is_a_run_and_so_are_its_renders(tmp_path):
    picture, _, recipe = write(REQUEST, TinyInceptionV1(), tmp_path / "plain")
    logged, _, _ = write(REQUEST, TinyInceptionV1(), tmp_path / "logged", log_dir=tmp_path / "runs")
    np.testing.assert_array_equal(np.asarray(Image.open(picture)), np.asarray(Image.open(logged)))
    first, *renders = runs(tmp_path / "runs")
    assert first == "fv-channel"
    assert renders
    assert all(name.startswith("fv-channel/") for name in renders)
    whole = read(tmp_path / "runs" / first)
    np.testing.assert_array_equal(np.asarray(pictures(whole, "figure")[0]), np.asarray(Image.open(picture)))
    written = json.loads(text(whole).removeprefix("```json\n").removesuffix("\n```"))
    assert written["figure"] == json.loads(recipe.read_text())["figure"]
    for name in renders:
        assert steps(read(tmp_path / "runs" / name), "objective") == [1, 2]


def test_a_wrong_log_is_refused_before_the_work(tmp_path):
    with pytest.raises(TypeError, match="log_dir is a folder, or a writer"):
        write(REQUEST, TinyInceptionV1(), tmp_path / "figures", log_dir=3)
    assert not list(tmp_path.iterdir())
