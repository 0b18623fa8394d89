"""Models that several tests share."""

from __future__ import annotations

import pytest

from lucid_port.inspection import inspect
from parity_tests.attribution.conftest import branching, tiny
from parity_tests.attribution.networks import photos

__all__ = ["branching", "tiny"]  # fixtures


@pytest.fixture(scope="session")
def inspected(branching):
    return inspect(branching[1], photos(1)[0], "dog", ["relu", "conv2", "add", "mean", "output"])
