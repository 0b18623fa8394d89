"""The model of all notebooks, and a notebook to look into."""

from __future__ import annotations

import pytest

from lucid_port.modelzoo import vision_models
from parity_tests.notebooks.display import Screen, open_notebook


@pytest.fixture(scope="session")
def model() -> vision_models.Model:
    """InceptionV1 with seeded weights: the graph and the names of Lucid's notebooks."""
    made = vision_models.InceptionV1_seeded()
    made.load_graphdef()
    return made


@pytest.fixture
def screen(monkeypatch) -> Screen:
    """Records displayed output, as if the test ran in a notebook."""
    return open_notebook(monkeypatch)
