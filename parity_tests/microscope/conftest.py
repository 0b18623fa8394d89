"""A site of a few units, few pictures and few updates."""

import pytest

from lucid_port.microscope import settings
from lucid_port.microscope.drawings import Drawings
from lucid_port.modelzoo.vision_models import TinyInceptionV1

TINY = {"size": 32, "steps": 2, "dream_steps": 1}


@pytest.fixture(scope="session")
def tiny_model():
    return TinyInceptionV1()


@pytest.fixture(scope="session")
def drawings():
    return Drawings(30)


@pytest.fixture
def tiny_quality(monkeypatch):
    """The preset "preview" with few updates of small pictures."""
    monkeypatch.setattr(settings, "QUALITIES", {**settings.QUALITIES, "preview": TINY})
