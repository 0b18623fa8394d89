"""`python -m parity_tests.fuzzing --count N --seed S`: does every mutated file end in an answer or a clear error?"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from parity_tests.fuzzing.bases import KINDS, is_available
from parity_tests.fuzzing.runner import Case, Result, cases, keep, run


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m parity_tests.fuzzing", description=__doc__)
    parser.add_argument("--count", type=int, default=10_000, help="files in all (10000)")
    parser.add_argument("--first", type=int, default=0, help="number of the first file; goes on with a run (0)")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn (0)")
    parser.add_argument("--kind", action="append", default=[], choices=KINDS, help="only these; all by default")
    parser.add_argument("--case", help="only one, by the seed that a failure was reported with, such as 0/17")
    parser.add_argument("--workers", type=int, default=1, help="processes at a time (1)")
    parser.add_argument("--keep", type=Path, help="folder that the files go into that went wrong")
    parser.add_argument("--show", action="store_true", help="print every case")
    parser.add_argument("--record", type=Path, help="JSON file that the numbers of these kinds are put into")
    arguments = parser.parse_args()
    kinds = arguments.kind or [kind for kind in KINDS if is_available(kind)]
    wanted = (
        [Case(kinds[0], arguments.case)]
        if arguments.case
        else (cases(kinds, arguments.count, arguments.seed, arguments.first))
    )

    def tell(result: Result) -> None:
        if result.failed or arguments.show:
            line = f"{result.case.kind} {result.case.seed} ({result.base}): {result.outcome}: {result.message}"
            print(line.encode(errors="backslashreplace").decode(), flush=True)

    start = time.monotonic()
    results = run(wanted, arguments.workers, tell)
    seconds = time.monotonic() - start
    for (kind, outcome), number in sorted(Counter((r.case.kind, r.outcome) for r in results).items()):
        print(f"{number:6} {kind:6} {outcome}")
    failures = [result for result in results if result.failed]
    if arguments.keep:
        keep(failures, arguments.keep)
    if arguments.record:
        record(results, arguments.seed, arguments.record, arguments.first > 0)
    print(f"{len(results)} files in {seconds:.0f} s, {len(failures)} of them went wrong")
    return 1 if failures else 0


def record(results: Sequence[Result], seed: int, path: Path, goes_on: bool = False) -> None:
    """Writes how the files of each kind ended into a JSON file, and keeps its other kinds.

    Args:
        results: how the files ended.
        seed: the seed.
        path: the JSON file.
        goes_on: whether the numbers are added to those of the same kind and seed.
    """
    recorded = json.loads(path.read_text()) if path.exists() else {}
    for kind in dict.fromkeys(result.case.kind for result in results):
        outcomes = Counter(result.outcome for result in results if result.case.kind == kind)
        before = recorded.get(kind, {})
        if goes_on and before.get("seed") == seed:
            outcomes.update(before["outcomes"])
        recorded[kind] = {"seed": seed, "files": outcomes.total(), "outcomes": dict(sorted(outcomes.items()))}
    path.write_text(json.dumps(dict(sorted(recorded.items())), indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
