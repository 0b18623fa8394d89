"""The page that `lucid-port parity` writes: self-contained HTML, the worst first."""

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
SHOWN = 25  # rows of a table before the rest is folded away


@dataclass(frozen=True)
class Comparison:
    """One number of the proof.

    Attributes:
        name: what was compared.
        detail: for which input, or which part of it.
        error: greatest difference, relative to the reference's maximum.
        bound: greatest error that passes.
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
        """The error as a share of its bound; 0 where both are 0."""
        return self.error / self.bound if self.bound else (0.0 if self.error == 0 else math.inf)


def read_log(path: Path) -> list[Comparison]:
    """The comparisons that tests recorded (`parity_tests/comparisons.py`)."""
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [Comparison(row["test"].rpartition("/")[2], row["what"], row["error"], row["bound"]) for row in rows]


def pictures_of(path: Path) -> str:
    """Pictures of Lucid and the port side by side, as HTML; empty where there are none."""
    if not path.is_file():
        return ""
    data = base64.b64encode(path.read_bytes()).decode()
    return (
        "<h2>Pictures</h2><p>Eight units of InceptionV1_caffe, 256 steps, two seeds: Lucid above, the port below. "
        "Two renders part after some dozen steps, Lucid's own included, so it is the kind of picture that agrees, "
        f'not the pixels.</p><img alt="Lucid above, port below" src="data:image/jpeg;base64,{data}">'
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
        source: what the user asked for.
        references: what its layers were compared with.
        layers: comparisons of layers and gradients.
        functions: comparisons of functions with Lucid.
        pictures: HTML from `pictures_of`.
    """
    versions = ", ".join(sorted({reference.tensorflow for reference in references.inputs.values()}))
    title = f"Parity of {html.escape(source)}"
    return document(
        title,
        f"<p>lucid_port {__version__}, against TensorFlow {html.escape(versions)}: "
        f"{html.escape(references.source)}.</p>"
        f"<h2>Layers and gradients</h2>{comparisons(layers)}"
        + (f"<h2>Functions, against Lucid 0.3.10</h2>{comparisons(functions)}" if functions else "")
        + pictures,
    )


def document(title: str, body: str) -> str:
    """A page of its own, with this module's style.

    Args:
        title: HTML.
        body: HTML.
    """
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
        f"<h1>{title}</h1>{body}</html>\n"
    )


def comparisons(rows: Sequence[Comparison]) -> str:
    """What was compared, in one sentence and a table, the worst first."""
    return _summary(rows) + _table(rows)


def _summary(rows: Sequence[Comparison]) -> str:
    failed = sum(not row.passed for row in rows)
    verdict = "all within their bounds" if not failed else f"<b>{failed} beyond their bounds</b>"
    return (
        f"<p>{len(rows)} comparisons, {verdict}. The error is the greatest difference, relative to the reference's "
        "maximum; the bar shows it as a share of its bound.</p>"
    )


def _table(rows: Sequence[Comparison]) -> str:
    worst_first = sorted(rows, key=lambda row: (row.passed, -row.share))
    head, rest = worst_first[:SHOWN], worst_first[SHOWN:]
    folded = f"<details><summary>The other {len(rest)}</summary>{_rows(rest)}</details>" if rest else ""
    return _rows(head) + folded


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
