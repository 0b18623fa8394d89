"""pytest plugin: `-p parity_tests.mutations.plugin --mutation NAME` runs the tests on mutated code.

It also records outcomes of tests for the runner. A failed assertion means that a test detected the mutation; a crash
only means that the mutation is badly written.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Generator
from pathlib import Path

import pytest

from parity_tests.mutations.defects import MUTATIONS
from parity_tests.mutations.patching import Patches

_outcomes: Counter[str] = Counter()
_patches = Patches()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--mutation", choices=sorted(MUTATIONS), help="defect to patch in")
    parser.addoption("--mutation-report", help="JSON file for the numbers of tests by outcome")


def pytest_configure(config: pytest.Config) -> None:
    name = config.getoption("--mutation")
    if name is not None:
        MUTATIONS[name].patch(_patches)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, object, None]:
    result = yield
    report = result.get_result()  # type: ignore[attr-defined]
    if report.failed:
        # A failure without an exception is pytest's own verdict on a test (an expected failure that passed).
        failures = (AssertionError, pytest.fail.Exception)
        noticed = call.when == "call" and (call.excinfo is None or isinstance(call.excinfo.value, failures))
        _outcomes["noticed" if noticed else "crashed"] += 1
    elif report.when == "call":
        _outcomes["passed" if report.passed else "skipped"] += 1
    elif report.skipped:
        _outcomes["skipped"] += 1


def pytest_unconfigure(config: pytest.Config) -> None:
    _patches.close()
    path = config.getoption("--mutation-report")
    if path is not None:
        Path(path).write_text(json.dumps(_outcomes))
