"""Results of mutants, one JSON line each, and the list of equivalent mutants."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path

from parity_tests.mutants.making import Mutant

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

EQUIVALENT = Path(__file__).with_name("equivalent.toml")
KILLED = ("killed", "timeout")
SURVIVED = ("survived", "uncovered")


@dataclass(frozen=True)
class Result:
    """A mutant's result.

    Attributes:
        key: the mutant's key.
        status: an `Outcome`'s status.
        by: the test that failed, or the reason.
        ran: number of tests that were chosen.
        cover: number of tests that run the line.
    """

    key: str
    status: str
    by: str
    ran: int
    cover: int


def equivalents(path: Path = EQUIVALENT) -> dict[str, str]:
    """Keys of mutants that no test can kill, with the reasons."""
    entries = tomllib.loads(path.read_text(encoding="utf-8")).get("mutant", [])
    return {f"{entry['file']} | {entry['function']} | {entry['mutation']}": entry["reason"] for entry in entries}


def read_results(path: Path) -> dict[str, Result]:
    """Results by key; the last one of a key counts, and a line cut off by an interruption is left out."""
    results = {}
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        try:
            result = Result(**json.loads(line))
        except json.JSONDecodeError:
            continue
        results[result.key] = result
    return results


def add_result(path: Path, result: Result) -> None:
    with path.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(result)) + "\n")


def summary(mutants: list[Mutant], results: dict[str, Result], reasons: dict[str, str]) -> tuple[str, bool]:
    """Numbers in words, and whether at least 95 % of the mutants that are not equivalent are killed."""
    keys = [mutant.key for mutant in mutants if mutant.key in results or mutant.key in reasons]
    counts = Counter("equivalent" if key in reasons else results[key].status for key in keys)
    killed, survived = (sum(counts[name] for name in names) for names in (KILLED, SURVIVED))
    decided = killed + survived
    share = killed / decided if decided else 0.0
    words = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    text = f"{len(keys)} of {len(mutants)} mutants: {words}; {killed} of {decided} others killed ({share:.1%})"
    return text, decided > 0 and share >= 0.95
