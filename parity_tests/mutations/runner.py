"""Runs tests on mutated code, each mutation in a separate process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from parity_tests.mutations.defects import MUTATIONS, Mutation

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Outcome:
    """The outcome of a selection of tests.

    Attributes:
        counts: number of tests by outcome: noticed (an assertion failed), crashed, passed, skipped.
        seconds: wall time of the process.
        output: the end of pytest's output.
    """

    counts: Counter[str]
    seconds: float
    output: str

    @property
    def caught(self) -> bool:
        """Whether a test noticed: crashes alone do not count, the tests may have been broken otherwise."""
        return self.counts["noticed"] > 0

    @property
    def clean(self) -> bool:
        """Whether tests ran and none failed."""
        return self.counts["passed"] > 0 and not self.counts["noticed"] and not self.counts["crashed"]


def run_selection(tests: tuple[str, ...], expression: str = "", mutation: str | None = None) -> Outcome:
    """Runs tests in a new process, on mutated code if a mutation is named.

    Args:
        tests: files below `parity_tests`.
        expression: value of pytest's `-k`.
        mutation: a name of `MUTATIONS`.
    """
    command = [sys.executable, "-m", "pytest", "-q", "--tb=line", "-p", "no:cacheprovider", "-n", "0"]
    command += ["-p", "parity_tests.mutations.plugin", *(f"parity_tests/{test}" for test in tests)]
    if expression:
        command += ["-k", expression]
    if mutation is not None:
        command += ["--mutation", mutation]
    paths = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    # The tests are small: threads only wait for each other. Options meant for the run outside are not for this one.
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONPATH": os.pathsep.join(path for path in paths if path)}
    environment.pop("PYTEST_ADDOPTS", None)
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        started = time.perf_counter()
        process = subprocess.run(
            [*command, "--mutation-report", str(report)],
            cwd=ROOT,
            env=environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        seconds = time.perf_counter() - started
        counts = Counter(json.loads(report.read_text())) if report.exists() else Counter(crashed=1)
    return Outcome(counts, seconds, process.stdout[-3000:])


def run_mutation(mutation: Mutation) -> Outcome:
    """Runs a mutation's selection of tests on the mutated code."""
    return run_selection(mutation.tests, mutation.expression, mutation.name)


def run_unmutated(mutations: list[Mutation]) -> Outcome:
    """Runs the mutations' selections together, as the code is: everything has to pass there."""
    tests = dict.fromkeys(test for mutation in mutations for test in mutation.tests)
    selections = dict.fromkeys((test, m.expression) for m in mutations for test in m.tests)
    # A file's name is a keyword of its tests, too.
    expression = " or ".join(f"({Path(test).stem} and ({chosen}))" for test, chosen in selections)
    return run_selection(tuple(tests), expression)


def find(names: list[str]) -> list[Mutation]:
    """The mutations of these names, or all.

    Raises:
        KeyError: a name is unknown.
    """
    return [MUTATIONS[name] for name in names] if names else list(MUTATIONS.values())
