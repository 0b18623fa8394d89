"""The table of docs/converting.md, from the recorded numbers: `python -m parity_tests.fuzzing.table` prints it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from parity_tests.fuzzing.bases import KINDS

RECORDED = Path(__file__).parents[2] / "benchmarks" / "results" / "fuzzing.json"
HEAD = (
    "| kind | files | seed | answered | refused with one sentence | asked for more memory | went wrong |",
    "|---|---|---|---|---|---|---|",
)


def table(recorded: Mapping[str, Any]) -> str:
    """Returns the lines of the table, one for each recorded kind, in the order of `KINDS`."""
    return "\n".join([*HEAD, *(_row(kind, recorded[kind]) for kind in KINDS if kind in recorded)])


def _row(kind: str, entry: Mapping[str, Any]) -> str:
    outcomes = dict(entry["outcomes"])
    wrong = outcomes.pop("FAILED", 0)
    memory = outcomes.pop("refused: asks for more memory", 0)
    refused = sum(number for outcome, number in outcomes.items() if outcome.startswith("refused: "))
    answered = entry["files"] - wrong - memory - refused
    return f"| `{kind}` | {entry['files']:,} | {entry['seed']} | {answered:,} | {refused:,} | {memory:,} | {wrong:,} |"


if __name__ == "__main__":
    print(table(json.loads(RECORDED.read_text())))
