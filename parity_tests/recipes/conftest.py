"""Networks that are quick to run, for recipes."""

from __future__ import annotations

import numpy as np
import pytest

from converters import convert
from lucid_port.modelzoo.seeded import seeded_inceptionv1
from lucid_port.modelzoo.vision_models import MODELS


@pytest.fixture(scope="session")
def model():
    """InceptionV1's layers at a twentieth of their width, random weights."""
    network = convert(seeded_inceptionv1(width=0.05))
    return MODELS["InceptionV1"](network=network, image_shape=(48, 40, 3))


@pytest.fixture(scope="session")
def picture():
    """Coloured stripes, [48, 40, 3]."""
    y, x = np.mgrid[:48, :40] / 48
    return np.stack([np.sin(9 * x) ** 2, np.cos(7 * y) ** 2, (x + y) / 2], -1).astype(np.float32)
