"""`python -m parity_tests.mutations [--only NAME ...]`: is every deliberate defect noticed?"""

from __future__ import annotations

import argparse
import sys

from parity_tests.mutations.defects import MUTATIONS
from parity_tests.mutations.runner import find, run_mutation, run_unmutated


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m parity_tests.mutations", description=__doc__)
    parser.add_argument("--only", action="append", default=[], metavar="NAME", choices=sorted(MUTATIONS))
    parser.add_argument("--list", action="store_true", help="only say what there is")
    arguments = parser.parse_args()
    mutations = find(arguments.only)
    if arguments.list:
        for mutation in mutations:
            print(f"{mutation.name:34} {mutation.breaks}")
        return 0
    unmutated = run_unmutated(mutations)
    print(f"{'(unmutated)':34} {unmutated.counts['passed']:4} passed, {unmutated.seconds:.0f} s", flush=True)
    if not unmutated.clean:
        print(unmutated.output, "The tests fail without any mutation.", sep="\n")
        return 1
    print(f"{'mutation':34} noticed crashed passed skipped  caught   time")
    survived = []
    for mutation in mutations:
        outcome = run_mutation(mutation)
        columns = (outcome.counts[key] for key in ("noticed", "crashed", "passed", "skipped"))
        caught = "yes" if outcome.caught else "NO"
        print(mutation.name.ljust(34), "{:7} {:7} {:6} {:7}".format(*columns), f" {caught:6} {outcome.seconds:4.0f} s")
        sys.stdout.flush()
        if not outcome.caught:
            survived.append(mutation)
            print(outcome.output)
    print(f"{len(mutations) - len(survived)} of {len(mutations)} mutations caught")
    for mutation in survived:
        print(f"survived: {mutation.name}: {mutation.breaks}")
    return 1 if survived else 0


if __name__ == "__main__":
    sys.exit(main())
