"""Shared by all tests: where models are, which tests need a GPU, and which skips are allowed."""

from __future__ import annotations

import os
from collections.abc import Iterable

import pytest
import torch

from parity_tests.skips import pytest_make_collect_report, pytest_runtest_makereport

__all__ = ["pytest_make_collect_report", "pytest_runtest_makereport"]  # hooks


def pytest_configure() -> None:
    """One thread here and in the processes that tests start, unless the environment states a number.

    Starting more costs more than these images do, and far more where several workers share the processors.
    """
    torch.set_num_threads(1)
    os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_collection_modifyitems(items: Iterable[pytest.Item]) -> None:
    """Tests marked `gpu` run where CUDA does, and say so where it does not."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
