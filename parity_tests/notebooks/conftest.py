"""The model of all notebooks."""

from __future__ import annotations

import pytest

from lucid_port.modelzoo import vision_models


@pytest.fixture(scope="session")
def model() -> vision_models.Model:
    """InceptionV1 with seeded weights: the graph and the names of Lucid's notebooks."""
    made = vision_models.InceptionV1_seeded()
    made.load_graphdef()
    return made
