"""The page that `lucid-port parity` writes: self-contained HTML, the largest errors first."""

from __future__ import annotations

import base64
import html
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.reference.store import References
from lucid_port import __version__
from lucid_port.cli.checking import versions

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 66em; margin: 2em auto; padding: 0 1em; color: #222; }
h1, h2 { font-weight: 600; } table { border-collapse: collapse; width: 100%; font-size: 13px; }
td, th { text-align: left; padding: 2px 10px 2px 0; border-bottom: 1px solid #eee; vertical-align: top; }
td.number { font-variant-numeric: tabular-nums; white-space: nowrap; } td.bar { width: 12em; }
.bar div { height: 9px; background: #4a90d9; border-radius: 2px; min-width: 1px; }
.failed .bar div { background: #d0021b; }
.failed { background: #fff0f0; } img { max-width: 100%; image-rendering: pixelated; } .note { color: #666; }
details { margin: 1em 0; } summary { cursor: pointer; font-weight: 600; }
"""
SHOWN = 25
"""Rows of a table; the others are folded away."""


@dataclass(frozen=True)
class Comparison:
    """One comparison with the reference.

    Attributes:
        name: of the layer or function.
        detail: of the input, or of the part that was compared.
        error: largest absolute difference, divided by the largest absolute value of the reference.
        bound: largest error that passes.
    """

    name: str
    detail: str
    error: float
    bound: float

    @property
    def passed(self) -> bool:
        """Whether the error is within its bound."""
        return self.error <= self.bound

    @property
    def share(self) -> float:
        """The error divided by its bound; 0 if both are 0."""
        return self.error / self.bound if self.bound else (0.0 if self.error == 0 else math.inf)


def read_log(path: Path) -> list[Comparison]:
    """The comparisons that tests recorded (`parity_tests/comparisons.py`)."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Comparison(row["test"].rpartition("/")[2], row["what"], row["error"], row["bound"]) for row in rows]


def pictures_of(path: Path) -> str:
    """HTML that shows finished renders of Lucid and the port; empty if the file does not exist."""
    if not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    return (
        "<h2>Pictures</h2><p>Eight units of InceptionV1_caffe, 256 steps, two seeds: Lucid above, the port below. "
        "Renders diverge after a few dozen steps, also two renders of Lucid, so pictures agree in kind, not pixel by "
        f'pixel.</p><img alt="Lucid above, port below" src="data:image/jpeg;base64,{data}">'
    )


def page(
    source: str,
    references: References,
    layers: Sequence[Comparison],
    functions: Sequence[Comparison],
    pictures: str,
) -> str:
    """The whole page.

    Args:
        source: name or path of the model.
        references: the recorded values of its layers.
        layers: comparisons of layers and gradients.
        functions: comparisons of functions with Lucid.
        pictures: HTML from `pictures_of`.
    """
    title = f"Parity of {html.escape(source)}"
    return document(
        title,
        f"<p>lucid_port {__version__}, against TensorFlow {html.escape(versions(references))}: "
        f"{html.escape(references.source)}.</p>"
        f"<h2>Layers and gradients</h2>{comparisons(layers)}"
        + (f"<h2>Functions, against Lucid 0.3.10</h2>{comparisons(functions)}" if functions else "")
        + pictures,
    )


def document(title: str, body: str) -> str:
    """A whole HTML page.

    Args:
        title: HTML.
        body: HTML.
    """
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1>{body}</html>\n"
    )


def comparisons(rows: Sequence[Comparison]) -> str:
    """HTML of comparisons: a summary and a table, failures and the largest errors first."""
    worst_first = sorted(rows, key=lambda row: (row.passed, -row.share))
    head, rest = worst_first[:SHOWN], worst_first[SHOWN:]
    folded = f"<details><summary>The other {len(rest)}</summary>{_rows(rest)}</details>" if rest else ""
    failed = sum(not row.passed for row in rows)
    verdict = f"<b>{failed} beyond their bounds</b>" if failed else "all within their bounds"
    return (
        f"<p>{len(rows)} comparisons, {verdict}. The error is the largest difference, divided by the reference's "
        f"maximum; the bar shows the error divided by its bound.</p>{_rows(head)}{folded}"
    )


def _rows(rows: Sequence[Comparison]) -> str:
    head = "<tr><th>what</th><th></th><th>error</th><th>bound</th><th></th></tr>"
    return f"<table>{head}{''.join(_row(row) for row in rows)}</table>"


def _row(row: Comparison) -> str:
    mark = "" if row.passed else " class=failed"
    return (
        f"<tr{mark}><td>{html.escape(row.name)}</td><td>{html.escape(row.detail)}</td>"
        f"<td class=number>{row.error:.1e}</td><td class=number>{row.bound:.1e}</td>"
        f'<td class=bar><div style="width:{100 * min(row.share, 1):.1f}%"></div></td></tr>'
    )


def refuse_failures(failed: int, page: Path) -> None:
    """Raises an error if comparisons failed.

    Raises:
        ValueError: `failed` is not 0.
    """
    if failed:
        raise ValueError(f"{failed} comparisons are beyond their bounds; {page} lists them first.")
