"""Models that several tests share."""

from __future__ import annotations

import pytest

from lucid_port.modelzoo.vision_models import TinyInceptionV1
from parity_tests.attribution import networks


@pytest.fixture(scope="session")
def tiny():
    return TinyInceptionV1()


@pytest.fixture(scope="session")
def branching():
    return networks.made(networks.Branching)


@pytest.fixture(scope="session")
def modules():
    return networks.made(networks.Modules)
