"""Models that several tests share."""

from __future__ import annotations

import pytest

from lucid_port.inspection import inspect
from lucid_port.modelzoo.vision_models import TinyInceptionV1
from parity_tests.attribution import networks
from parity_tests.attribution.networks import photos


@pytest.fixture(scope="session")
def tiny():
    return TinyInceptionV1()


@pytest.fixture(scope="session")
def branching():
    return networks.made(networks.Branching)


@pytest.fixture(scope="session")
def inspected(branching):
    return inspect(branching[1], photos(1)[0], "dog", ["relu", "conv2", "add", "mean", "output"])
