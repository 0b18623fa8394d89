"""Progress bars move in a notebook: in a real kernel, as a widget or, without ipywidgets, as a line of text."""

from __future__ import annotations

import re

import nbformat
import pytest

from parity_tests.notebooks.kernel import execute

RENDER = """
from parity_tests.optvis.tiny import TinyModel
from lucid_port.optvis import param
from lucid_port.optvis.render import render_vis
from lucid_port.optvis.render_many import render_many
model = TinyModel()
"""
HIDDEN = """
import sys
sys.modules["ipywidgets"] = None
"""
ONE = """
import time
slow = lambda vis: time.sleep(0.05)
render_vis(model, "mixed:1", lambda: param.image(12), thresholds=(12,), transforms=[], verbose=True, callbacks=[slow])
"""
MANY = "_ = render_many(model, 'mixed:*', size=12, steps=40, transforms=[], batch_size=1, verbose=True)"


def run(folder, *cells):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    return execute(notebook, folder)


def test_without_ipywidgets_a_line_of_text_moves(tmp_path):
    *_, one, many = run(tmp_path, HIDDEN + RENDER, ONE, MANY).cells
    said = [
        "".join(output.get("text", "") for output in cell.outputs if output.get("name") == "stderr")
        for cell in (one, many)
    ]
    steps = [int(step) for step in re.findall(r"(\d+)/13 \[", said[0])]
    assert steps == sorted(steps)
    assert len(set(steps)) > 2
    assert steps[-1] == 13
    assert "objective=" in said[0]
    assert len(re.findall(r"\r[1-9]\d*/\d+ units", said[1])) > 2
    assert "Warning" not in said[0] + said[1]


def test_with_ipywidgets_a_widget_is_displayed(tmp_path):
    pytest.importorskip("ipywidgets", reason="widgets need ipywidgets")
    cells = run(tmp_path, RENDER, ONE, MANY).cells[1:]
    for cell in cells:
        assert any("application/vnd.jupyter.widget-view+json" in output.get("data", {}) for output in cell.outputs)
