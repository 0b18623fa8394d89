"""The page that `lucid-port parity` writes: self-contained HTML, the largest errors first."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from converters.reference.store import References
from lucid_port import __version__
from lucid_port.cli.comparison import versions
from lucid_port.misc.templates import data_url, render


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
    """The `data:` URL of a JPEG that shows finished renders of Lucid and the port; empty if the file does not exist."""
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
        source: name or path of the model.
        references: the recorded values of its layers.
        layers: comparisons of layers and gradients.
        functions: comparisons of functions with Lucid.
        pictures: URL from `pictures_of`.
    """
    return render(
        "parity.html",
        source=source,
        version=__version__,
        tensorflow=versions(references),
        references=references.source,
        layers=worst_first(layers),
        functions=worst_first(functions),
        pictures=pictures,
    )


def worst_first(rows: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons, failures and the largest errors first."""
    return sorted(rows, key=lambda row: (row.passed, -row.share))


def refuse_failures(failed: int, page: Path) -> None:
    """Raises an error if comparisons failed.

    Raises:
        ValueError: `failed` is not 0.
    """
    if failed:
        raise ValueError(f"{failed} comparisons are beyond their bounds; {page} lists them first.")
