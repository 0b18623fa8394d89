"""The model of all notebooks."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from lucid_port.modelzoo import vision_models


@pytest.fixture(scope="session")
def model() -> vision_models.Model:
    """InceptionV1 with seeded weights: the graph and the names of Lucid's notebooks."""
    made = vision_models.InceptionV1_seeded()
    made.load_graphdef()
    return made


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Images this small gain nothing from threads, and lose on a busy machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
