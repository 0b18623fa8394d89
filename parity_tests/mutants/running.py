"""Runs tests on a mutated module, in a forked process that changes no file."""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import json
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import CodeType, ModuleType

import pytest

CPU_SECONDS = 20
WALL_SECONDS = 120  # the machine may be busy: the mutant's own time is CPU_SECONDS
DATA_BYTES = 3 << 30


@dataclass(frozen=True)
class Outcome:
    """What the tests said of a mutant.

    Attributes:
        status: `killed` (a test failed or the process died), `timeout` (more CPU time than `CPU_SECONDS`), `survived`,
            `uncovered` (no test ran), or `unfinished` (more wall time than `WALL_SECONDS`: says nothing).
        by: the failed test, or the reason.
    """

    status: str
    by: str


class _Loader(importlib.machinery.SourceFileLoader):
    def __init__(self, name: str, path: str, source: str) -> None:
        super().__init__(name, path)
        self.mutated = source

    def get_code(self, fullname: str) -> CodeType:
        return compile(self.mutated, self.path, "exec", dont_inherit=True)


class MutatedModule(importlib.abc.MetaPathFinder):
    """Import hook: a module's source is the mutated one."""

    def __init__(self, name: str, source: str) -> None:
        self.name, self.source = name, source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if fullname != self.name:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.origin is not None:
            spec.loader = _Loader(fullname, spec.origin, self.source)
        return spec


class _Selected:
    """pytest plugin: keeps the chosen tests in their order, and notes the first failure."""

    def __init__(self, tests: list[str], report: Path) -> None:
        self.order = {test: number for number, test in enumerate(tests)}
        self.report = report

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        config.hook.pytest_deselected(items=[item for item in items if item.nodeid not in self.order])
        items[:] = sorted(
            (item for item in items if item.nodeid in self.order), key=lambda item: self.order[item.nodeid]
        )

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.report.write_text(json.dumps(report.nodeid))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self.report.write_text(json.dumps(f"the import of {report.nodeid}"))


def _run(root: Path, module: str, source: str | None, tests: list[str], report: Path) -> None:
    """Runs in the forked process and never returns."""
    os.setsid()
    log = os.open(report.with_suffix(".log"), os.O_WRONLY | os.O_CREAT)
    for stream in (1, 2):
        os.dup2(log, stream)
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS + 5))
    resource.setrlimit(resource.RLIMIT_DATA, (DATA_BYTES, DATA_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.chdir(root)
    sys.path.insert(0, str(root))
    if source is not None:
        sys.meta_path.insert(0, MutatedModule(module, source))
    # Plain asserts and no report: a mutant's time is that of its tests.
    options = ["-x", "--assert=plain", "-o", "addopts=", "-m", "not slow", f"--rootdir={root}"]
    options += ["-p", "no:cacheprovider", "-p", "no:terminal"]
    codes: set[int] = set()
    try:
        for file in dict.fromkeys(test.split("::")[0] for test in tests):  # imports a file when those before it passed
            codes.add(int(pytest.main([*options, file], [_Selected(tests, report)])))
            if codes - {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
                break
    except BaseException:
        codes = {pytest.ExitCode.INTERNAL_ERROR}
        raise
    finally:
        os._exit(_exit_code(codes))


def _exit_code(codes: set[int]) -> int:
    """That of the file that failed; without one, success if any test ran."""
    failed = codes - {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}
    return max(failed, default=min(codes, default=pytest.ExitCode.INTERNAL_ERROR))


def run_tests(root: Path, module: str, source: str | None, tests: list[str]) -> Outcome:
    """Runs tests, up to the first failure, while a module has another source.

    The calling process must not have imported the module, since its imports are those of the forked process.

    Args:
        root: folder of the tests and of the module's package.
        module: dotted name of the mutated module.
        source: its mutated text; None leaves it as it is.
        tests: pytest's node ids, in order.
    """
    if module in sys.modules:
        raise RuntimeError(f"{module} is already imported: a mutant needs a process that has not imported it.")
    if not tests:
        return Outcome("uncovered", "no test runs the line")
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        fork = multiprocessing.get_context("fork")
        process = fork.Process(target=_run, args=(root, module, source, tests, report))
        process.start()
        process.join(WALL_SECONDS)
        code = process.exitcode
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid or 0, signal.SIGKILL)  # and the tests' own processes
        process.join()
        return _outcome(code, json.loads(report.read_text()) if report.exists() else "")


def run_mutant(root: Path, module: str, source: str, tests: list[str]) -> Outcome:
    """As `run_tests`, but a timeout kills a mutant only if the tests take less time without it."""
    outcome = run_tests(root, module, source, tests)
    if outcome.status == "timeout" and run_tests(root, module, None, tests).status == "timeout":
        return Outcome("unfinished", f"the tests alone take more than {CPU_SECONDS} s of CPU time")
    return outcome


def _outcome(code: int | None, failed: str) -> Outcome:
    if code is None:
        return Outcome("unfinished", f"no answer after {WALL_SECONDS} s")
    if code == 0:
        return Outcome("survived", "")
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        return Outcome("uncovered", "the tests do not exist")
    if code in (-signal.SIGXCPU, -signal.SIGKILL):
        return Outcome("timeout", f"more than {CPU_SECONDS} s of CPU time")
    if code < 0:
        return Outcome("killed", signal.Signals(-code).name)
    return Outcome("killed", failed or f"pytest's exit code {code}")
