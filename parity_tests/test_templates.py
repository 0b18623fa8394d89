"""The one way in which HTML is written."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import jinja2
import pytest

from lucid_port.misc.io.showing import cells_html
from lucid_port.misc.templates import FOLDER, data_url, render

ROOT = Path(__file__).resolve().parent.parent
PICTURELESS = {"url": "", "width": None, "size": "1 x 1", "lost": ""}


def test_texts_are_escaped():
    text = render("image.html", **{**PICTURELESS, "size": "<b>\"'&"})
    assert text.count("&lt;b&gt;&#34;&#39;&amp;") == 2
    assert "<b>" not in text


def test_labels_are_escaped_whatever_they_are_and_cells_are_not():
    class Label:
        def __str__(self):
            return "<i>"

        __html__ = __str__  # objects with this are HTML to the template engine

    assert "&lt;i&gt;<br><b>cell</b>" in cells_html(["<b>cell</b>"], [Label()])


def test_a_missing_value_is_an_error():
    with pytest.raises(jinja2.UndefinedError, match="line"):
        render("live.html", pictures="", total=None, done=0)


def test_addresses_hold_the_file():
    assert data_url(b"picture", "jpeg") == "data:image/jpeg;base64,cGljdHVyZQ=="


def test_html_is_in_templates_alone():
    """No code builds tags of text by itself."""
    tag = re.compile(r"</?(html|body|div|p|table|tr|td|th|figure|figcaption|img|h[12]|style|code|small|br)[ >]")
    found = {
        str(path.relative_to(ROOT)) for path in (ROOT / "lucid_port").rglob("*.py") if tag.search(path.read_text())
    }
    assert found == set()
    assert {path.name for path in FOLDER.iterdir()} >= {"demo.html", "figure.html", "live.html", "parity.html"}


def test_rendering_pictures_does_not_import_the_template_engine():
    code = "import sys, lucid_port.optvis.render, lucid_port.cli.app; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
