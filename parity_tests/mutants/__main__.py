"""`python -m parity_tests.mutants`: draws one-token mutants and runs the tests that run the mutated lines.

First measure which test runs which line: `python -m parity_tests.mutants --collect` (about 20 minutes; or in parts,
with test files). `--results FILE` keeps results, so that an interrupted run resumes.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import PIL.Image  # noqa: F401  # for all mutants once, before they are forked
import torch

from parity_tests.mutants.choosing import Chooser, within
from parity_tests.mutants.contexts import Contexts, default_cache, files_to_measure
from parity_tests.mutants.making import Mutant, read_sources, sample
from parity_tests.mutants.results import KILLED, Result, add_result, equivalents, read_results, summary
from parity_tests.mutants.running import run_mutant
from parity_tests.mutants.sources import ROOT, module_name, source_files


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m parity_tests.mutants", description=__doc__)
    parser.add_argument("--count", type=int, default=300, help="number of mutants")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", action="append", default=[], metavar="PATH", help="mutate this file or folder only")
    parser.add_argument("--results", type=Path, help="file of results, resumed if it exists")
    parser.add_argument("--retry", action="store_true", help="run survivors of the results again")
    parser.add_argument("--budget", type=float, default=8.0, help="measured CPU time of a mutant's tests, in seconds")
    parser.add_argument("--tests", nargs="+", metavar="TEST", help="run these tests, not those that run a mutated line")
    parser.add_argument("--list", action="store_true", help="only print the mutants")
    parser.add_argument("--cache", type=Path, default=default_cache(), help="folder of the measured contexts")
    parser.add_argument(
        "--collect", nargs="*", metavar="TEST", help="measure these test files, by default those not measured yet"
    )
    parser.add_argument("--collect-seconds", type=float, default=120, help="start no test of a file after this time")
    return parser


def collect(contexts: Contexts, named: list[str], seconds: float) -> None:
    """Measures test files: the named ones, or those of the default selection that are missing."""
    measured = {test.split("::")[0] for test in contexts.seconds}
    for name in files_to_measure(tuple(named)):
        if named or name not in measured:
            print(f"{name}: {contexts.collect(name, seconds)}", flush=True)


def run(mutants: list[Mutant], sources: dict[str, str], arguments: argparse.Namespace) -> dict[str, Result]:
    """Runs the mutants without a result."""
    contexts, reasons = Contexts.load(arguments.cache), equivalents()
    chooser = Chooser(contexts, read_sources(ROOT, source_files()))
    results = read_results(arguments.results) if arguments.results else {}
    for mutant in mutants:
        earlier = results.get(mutant.key)
        finished = earlier and earlier.status != "unfinished" and (earlier.status in KILLED or not arguments.retry)
        if finished or mutant.key in reasons:
            continue
        tests = arguments.tests or chooser.tests(mutant)
        chosen = arguments.tests or within(tests, contexts.seconds, arguments.budget)
        outcome = run_mutant(ROOT, module_name(mutant.path), mutant.source(sources[mutant.path]), chosen)
        result = Result(mutant.key, outcome.status, outcome.by, len(chosen), len(tests))
        print(
            f"{result.status:10} {result.ran}/{result.cover} {mutant.key} (line {mutant.line}) {result.by}", flush=True
        )
        results[mutant.key] = result
        if arguments.results:
            add_result(arguments.results, result)
    return results


def main() -> int:
    arguments = _parser().parse_args()
    if arguments.collect is not None:
        collect(Contexts.load(arguments.cache), arguments.collect, arguments.collect_seconds)
        return 0
    sources = read_sources(ROOT, source_files(tuple(arguments.only)))
    mutants = sample(sources, arguments.count, arguments.seed)
    if arguments.list:
        print(*(f"{mutant.key} (line {mutant.line})" for mutant in mutants), sep="\n")
        return 0
    if not Contexts.load(arguments.cache).seconds:
        print("No test is measured: run `python -m parity_tests.mutants --collect` first.")
        return 2
    torch.set_num_threads(1)
    text, enough = summary(mutants, run(mutants, sources, arguments), equivalents())
    print(text)
    return 0 if enough else 1


if __name__ == "__main__":
    sys.exit(main())
