"""A skip for an unlisted reason fails, in every kind of run; a listed reason counts only where it is true."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from parity_tests import skips
from parity_tests.skips import ALLOWED_SKIPS, AllowedSkip

ROOT = Path(__file__).resolve().parent.parent

CONFTEST = """
from parity_tests import skips
from parity_tests.skips import pytest_make_collect_report, pytest_runtest_makereport

skips.ALLOWED_SKIPS = (
    skips.AllowedSkip("needs a moon", lambda: False),
    skips.AllowedSkip("needs a sun", lambda: True),
)
"""
TESTS = {
    "allowed": "def test(): pytest.skip('needs a moon')",
    "unlisted": "def test(): pytest.skip('too hard')",
    "longer": "def test(): pytest.skip('needs a moon, or a holiday')",
    "present": "def test(): pytest.skip('needs a sun')",
    "marked": "@pytest.mark.skip(reason='later')\ndef test(): pass",
    "condition": "@pytest.mark.skipif(True, reason='later')\ndef test(): pass",
    "package": "def test(): pytest.importorskip('no_package_of_this_name')",
    "fixture": "@pytest.fixture\ndef given(): pytest.skip('later')\ndef test(given): pass",
    "nothing": "@pytest.mark.parametrize('x', [])\ndef test(x): pass",
    "expected": "@pytest.mark.xfail(reason='broken')\ndef test(): assert False",
    "unittest": "import unittest\nclass Test(unittest.TestCase):\n    def test(self): self.skipTest('later')",
}
WHOLE_FILE = "pytest.importorskip('no_package_of_this_name')\ndef test(): pass"


def run_pytest(folder: Path, tests: Mapping[str, str], processes: int) -> subprocess.CompletedProcess[str]:
    (folder / "conftest.py").write_text(CONFTEST)
    (folder / "pytest.ini").write_text("[pytest]\n")
    for name, text in tests.items():
        (folder / f"test_{name}.py").write_text(f"import pytest\n{text}\n")
    options = ["-q", "-ra", "--continue-on-collection-errors", "-p", "no:cacheprovider", "-n", str(processes)]
    command = [sys.executable, "-m", "pytest", *options, str(folder)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize("processes", [0, 2])
def test_only_the_listed_skip_remains(tmp_path, processes):
    run = run_pytest(tmp_path, {**TESTS, "whole_file": WHOLE_FILE}, processes)
    assert run.returncode == 1, run.stdout
    failed = set(re.findall(r"^(?:FAILED|ERROR) \S*test_(\w+)\.py", run.stdout, re.MULTILINE))
    assert failed == {*TESTS, "whole_file"} - {"allowed"}, run.stdout
    assert re.search(r"^SKIPPED \[1\] \S*test_allowed\.py:\d+: needs a moon$", run.stdout, re.MULTILINE), run.stdout
    assert "its reason is not in ALLOWED_SKIPS of parity_tests/skips.py" in run.stdout


def test_allowed_skips_alone_pass(tmp_path):
    run = run_pytest(tmp_path, {"allowed": TESTS["allowed"]}, 0)
    assert run.returncode == 0, run.stdout
    assert "1 skipped" in run.stdout


def test_this_run_fails_hidden_skips(request):
    """`parity_tests/conftest.py` has the hooks."""
    for hook in (request.config.hook.pytest_runtest_makereport, request.config.hook.pytest_make_collect_report):
        assert any(plugin.function.__module__ == "parity_tests.skips" for plugin in hook.get_hookimpls())


@pytest.mark.parametrize("variable", ["TENSORFLOW", "LUCENT", "PUBLISHED"])
def test_what_a_variable_names_has_to_run(variable, monkeypatch):
    variable = f"LUCID_PORT_{variable}"
    (allowed,) = [one for one in ALLOWED_SKIPS if variable in one.reason]
    monkeypatch.delenv(variable, raising=False)
    assert not allowed.is_present()
    monkeypatch.setenv(variable, "/somewhere")
    assert allowed.is_present()


@pytest.mark.parametrize("name", ["InceptionV1", "InceptionV1_caffe"])
def test_a_graph_that_is_there_has_to_run(name, monkeypatch, tmp_path):
    (allowed,) = [one for one in ALLOWED_SKIPS if re.search(rf"\b{name}\b(?!_)", one.reason)]
    monkeypatch.setenv("LUCID_PORT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("LUCID_PORT_MODELZOO", str(tmp_path))
    assert not allowed.is_present()
    (tmp_path / f"{name}.pb").touch()
    assert allowed.is_present()


def test_a_published_file_may_be_missing_only_without_the_folder(monkeypatch):
    def allows(file):
        reason = f"{file} is not in a folder named in LUCID_PORT_PUBLISHED, and cannot be fetched."
        return any(allowed.allows(reason) for allowed in ALLOWED_SKIPS)

    monkeypatch.delenv("LUCID_PORT_PUBLISHED", raising=False)
    assert allows("bb_labels.json")
    monkeypatch.setenv("LUCID_PORT_PUBLISHED", "/somewhere")
    assert not allows("bb_labels.json")
    assert allows(skips.UNPUBLISHED_ARCHIVE)


def test_the_whole_reason_has_to_match():
    allowed = AllowedSkip("needs a moon", lambda: False)
    assert allowed.allows("needs a moon")
    assert not allowed.allows("needs a moonlander")
    assert not allowed.allows("it needs a moon")


@pytest.mark.parametrize("variable", ["LUCENT", "MODELZOO", "PUBLISHED"])
def test_ci_names_what_the_tests_need(variable):
    assert f"export LUCID_PORT_{variable}" in (ROOT / ".ci" / "run").read_text()
