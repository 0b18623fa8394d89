"""docs/notebooks.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import torch

from lucid_port.misc.io import show
from lucid_port.optvis import param, render
from parity_tests.optvis.tiny import TinyModel

TEXT = Path(__file__).parents[2].joinpath("docs", "notebooks.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)


def test_the_code_blocks_run(screen):
    namespace: dict[str, object] = {}
    shown = []
    for block in BLOCKS:
        exec(compile(block, "docs/notebooks.md", "exec"), namespace)
        shown.append([len(screen.pictures()), screen.places])
    # Pictures in the last place, and places: five calls of `show`, then one for each render.
    assert shown[0] == [1, 5]
    assert shown[1] == [0, 6]
    assert shown[2] == [1, 7]
    assert screen.html.count("32 of 32 updates") == 1


def test_what_render_vis_returns_is_shown(screen):
    show(render.render_vis(TinyModel(), "mixed:1", lambda: param.image(12), thresholds=(0, 1), verbose=False))
    assert len(screen.pictures()) == 2


def test_tensors_of_a_batch_are_pictures(screen):
    show(torch.rand(4, 3, 32, 32))
    assert [picture.shape for picture in screen.pictures()] == [(32, 32, 3)] * 4
