"""pytest plugin: records which tests run which lines of the mutated files, and how long each test takes.

`python -m parity_tests.mutants --collect` uses it, in a process for each test file.
"""

from __future__ import annotations

import importlib
import json
import time
from collections.abc import Generator
from pathlib import Path

import coverage
import pytest

from parity_tests.mutants.sources import ROOT, module_name, source_files

WHOLE_FILE = "*"  # the context of module-level code and of fixtures that several tests share


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--contexts", help="coverage data file to write")
    parser.addoption("--contexts-seconds", type=float, help="start no test after this time")


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(
        _Recorder(Path(config.getoption("--contexts")), config.getoption("--contexts-seconds"))
    )


class _Recorder:
    """Switches coverage's context to the running test."""

    def __init__(self, path: Path, seconds: float) -> None:
        # What an import runs belongs to no test: it is not measured.
        for name in source_files():
            importlib.import_module(module_name(name))
        include = [str(ROOT / name) for name in source_files()]
        self.path, self.deadline = path, time.monotonic() + seconds
        self.coverage = coverage.Coverage(data_file=str(path), config_file=False, include=include)
        self.times: dict[str, float] = {}
        self.failed: set[str] = set()
        self.context = ""

    def switch(self, context: str) -> str:
        previous, self.context = self.context, context
        self.coverage.switch_context(context)
        return previous

    def pytest_sessionstart(self) -> None:
        self.coverage.start()

    def pytest_collectstart(self, collector: pytest.Collector) -> None:
        if isinstance(collector, pytest.Module):
            self.switch(f"{collector.nodeid}::{WHOLE_FILE}")

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(
        self, fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
    ) -> Generator[None, object, object]:
        if fixturedef.scope == "function":
            return (yield)
        previous = self.switch(f"{request.node.nodeid or self.context}".split("::")[0] + f"::{WHOLE_FILE}")
        try:
            return (yield)
        finally:
            self.switch(previous)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Generator[None, object, object]:
        self.switch(item.nodeid)
        started = time.process_time()
        try:
            return (yield)
        finally:
            self.times[item.nodeid] = round(time.process_time() - started, 4)
            if time.monotonic() > self.deadline:
                item.session.shouldstop = "the time is over"

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed or report.skipped:
            self.failed.add(report.nodeid)

    def pytest_sessionfinish(self) -> None:
        self.coverage.stop()
        self.coverage.save()
        passed = {name: seconds for name, seconds in self.times.items() if name not in self.failed}
        self.path.with_suffix(".json").write_text(json.dumps(passed))
