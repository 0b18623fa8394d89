"""The reasons for which tests may be skipped; the hooks below fail every other skip.

A package that the extra `test` installs is no reason. Each reason names a missing device, interpreter or file, and the
skip is allowed only while that is really missing.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from collections.abc import Callable, Generator
from dataclasses import dataclass

import pytest

UNPUBLISHED_ARCHIVE = "aa_adversarial_images.tar"
"""The only file of `published/files.json` that a folder of LUCID_PORT_PUBLISHED may lack."""


@dataclass(frozen=True)
class AllowedSkip:
    """A reason for which tests may be skipped.

    Attributes:
        reason: regular expression; it has to match the whole reason.
        is_present: whether the dependency that the reason calls missing is present, so that the skip hides a test.
    """

    reason: str
    is_present: Callable[[], bool]

    def allows(self, reason: str) -> bool:
        """Whether a test may be skipped for this reason here."""
        return re.fullmatch(self.reason, reason, re.DOTALL) is not None and not self.is_present()


def _is_set(variable: str) -> Callable[[], bool]:
    return lambda: bool(os.environ.get(variable))


def _has_graph(name: str) -> Callable[[], bool]:
    def is_present() -> bool:
        from lucid_port.modelzoo.catalogue import entry
        from lucid_port.modelzoo.files import local_graph

        return local_graph(entry(name)) is not None

    return is_present


def _has_cuda() -> bool:
    import torch

    return torch.cuda.is_available()


def _has_egl() -> bool:
    from lucid_port.misc.gl import egl

    return not egl.obstacle()


def _has_newer_settings() -> bool:
    import torch

    return torch.__version__ >= (2, 10)


ALLOWED_SKIPS = (
    AllowedSkip("needs a CUDA device", _has_cuda),
    AllowedSkip("needs a Python with TensorFlow, named by LUCID_PORT_TENSORFLOW", _is_set("LUCID_PORT_TENSORFLOW")),
    AllowedSkip(r"needs TensorFlow 2, not 1\.[\d.]+", lambda: False),
    AllowedSkip("needs a Python with Lucent, named by LUCID_PORT_LUCENT: .*", _is_set("LUCID_PORT_LUCENT")),
    AllowedSkip(r"needs InceptionV1_caffe\.pb in a folder of LUCID_PORT_MODELZOO", _has_graph("InceptionV1_caffe")),
    AllowedSkip(r"Could not find the network of InceptionV1\. .*", _has_graph("InceptionV1")),
    AllowedSkip(r"\S+ is not in a folder named in LUCID_PORT_PUBLISHED, .*", _is_set("LUCID_PORT_PUBLISHED")),
    AllowedSkip(rf"{re.escape(UNPUBLISHED_ARCHIVE)} is not in a folder .*", lambda: False),
    AllowedSkip("Bits are not comparable: .*", lambda: False),  # another machine; the tolerant comparison runs there
    AllowedSkip("needs EGL, which this machine does not have", _has_egl),
    AllowedSkip(r"needs a C\+\+ compiler", lambda: shutil.which(os.environ.get("CXX") or "g++") is not None),
    AllowedSkip("only Linux limits a process's memory", lambda: sys.platform.startswith("linux")),
    AllowedSkip("this system has no file locks of this kind", lambda: os.name == "posix"),
    AllowedSkip("this torch has no newer settings", _has_newer_settings),
)


def skip_reason(report: pytest.TestReport | pytest.CollectReport) -> str:
    """Why a skipped test or file did not run."""
    if hasattr(report, "wasxfail"):
        return f"expected to fail: {report.wasxfail}"
    text = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return text.removeprefix("Skipped: ")


def fail_hidden_skip(report: pytest.TestReport | pytest.CollectReport) -> None:
    """Turns a skip into a failure unless `ALLOWED_SKIPS` allows its reason here."""
    if not report.skipped:
        return
    reason = skip_reason(report)
    if any(allowed.allows(reason) for allowed in ALLOWED_SKIPS):
        return
    report.outcome = "failed"
    report.longrepr = (
        f"{report.nodeid} was skipped, but its reason is not in ALLOWED_SKIPS of parity_tests/skips.py, "
        f"or what it calls missing is present: {reason}"
    )
    if hasattr(report, "wasxfail"):
        del report.wasxfail


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fails a test that is skipped for a reason that is not allowed."""
    report = yield
    fail_hidden_skip(report)
    return report


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    """Fails a whole file that is skipped for a reason that is not allowed."""
    report = yield
    fail_hidden_skip(report)
    return report
