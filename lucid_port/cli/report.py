"""The page that `lucid-port parity` writes: self-contained HTML, the worst first."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.reference.references import References
from lucid_port import __version__
from lucid_port.misc.templates import data_url, render


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
    """The `data:` address of a JPEG with pictures of Lucid and the port; empty if the file is missing."""
    return data_url(path.read_bytes(), "jpeg") if path.is_file() else ""


def page(
    source: str,
    references: References,
    layers: Sequence[Comparison],
    functions: Sequence[Comparison],
    pictures: str,
) -> str:
    """The whole page as HTML.

    Args:
        source: what the user asked for.
        references: what its layers were compared with.
        layers: comparisons of layers and gradients.
        functions: comparisons of functions with Lucid.
        pictures: address from `pictures_of`.
    """
    return render(
        "parity.html",
        source=source,
        version=__version__,
        tensorflow=", ".join(sorted({reference.tensorflow for reference in references.inputs.values()})),
        references=references.source,
        layers=worst_first(layers),
        functions=worst_first(functions),
        pictures=pictures,
    )


def worst_first(rows: Sequence[Comparison]) -> list[Comparison]:
    """Failures, then the rest by their shares of the bounds."""
    return sorted(rows, key=lambda row: (row.passed, -row.share))
