"""A network that is quick to run, and a picture, for figures."""

from __future__ import annotations

import numpy as np
import pytest

from converters.frozen.writer import write_graph_def
from lucid_port.figures.base import Settings, find_figure
from lucid_port.misc.io.saving import save
from lucid_port.modelzoo.seeded import seeded_inceptionv1
from lucid_port.modelzoo.vision_models import MODELS


@pytest.fixture(scope="session")
def network(tmp_path_factory):
    """InceptionV1's layers at a twentieth of their width, random weights, the real one's labels and input."""
    path = tmp_path_factory.mktemp("network") / "InceptionV1.pb"
    write_graph_def(seeded_inceptionv1(width=0.05), path)
    return MODELS["InceptionV1"](str(path))


@pytest.fixture(scope="session")
def drawing(tmp_path_factory):
    """Path of a picture of coloured stripes, neither square nor of the network's size."""
    y, x = np.mgrid[:96, :120] / 96
    path = tmp_path_factory.mktemp("drawing") / "stripes.png"
    save(np.stack([np.sin(9 * x) ** 2, np.cos(7 * y) ** 2, (x + y) / 3], -1).astype(np.float32), str(path))
    return str(path)


@pytest.fixture
def make(network, drawing):
    """Makes a figure of its name with the network and the picture."""

    def made(name, units, steps=1, seed=0, **options):
        settings = Settings(network, {"units": units, **options}, steps, seed, drawing)
        return find_figure(name).make(settings)

    return made
