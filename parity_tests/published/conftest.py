"""Networks in the official one's place, and the official one where it can be had."""

from __future__ import annotations

import pytest

from converters import convert
from lucid_port.modelzoo.catalogue import label_lists
from lucid_port.modelzoo.nets_factory import get_model
from lucid_port.modelzoo.seeded import seeded_inceptionv1
from lucid_port.modelzoo.vision_base import Model
from lucid_port.modelzoo.vision_models import MODELS
from parity_tests.published import CHECKS
from parity_tests.published.activations import record_inputs
from parity_tests.published.files import Recorder


def narrow(seed: int, is_BGR: bool = False) -> Model:
    """The official network's class, with its layers at a twentieth of their width and random weights."""
    return MODELS["InceptionV1"](
        network=convert(seeded_inceptionv1(seed, width=0.05)),
        is_BGR=is_BGR,
        labels=label_lists()["ImageNet_alternate"].read(),
    )


@pytest.fixture(scope="session")
def stand_in():
    return narrow(0)


@pytest.fixture(scope="session")
def another():
    return narrow(4)


@pytest.fixture(scope="session")
def mixed_up():
    """The stand-in, given pictures with red and blue exchanged."""
    return narrow(0, is_BGR=True)


@pytest.fixture(scope="session")
def recorded(stand_in, tmp_path_factory):
    """The published files as they would be if the stand-in had been the articles' network."""
    recorder = Recorder(tmp_path_factory.mktemp("published"))
    record_inputs(stand_in, recorder)
    for check in CHECKS.values():
        check.record(stand_in, recorder)
    return recorder.published


@pytest.fixture(scope="session")
def official():
    """Google's InceptionV1."""
    try:
        return get_model("InceptionV1")
    except FileNotFoundError as error:
        pytest.skip(str(error))
