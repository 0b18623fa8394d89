"""The checks themselves, without the official network: they pass where they should and fail where they should."""

from __future__ import annotations

import pytest

from lucid_port.modelzoo.catalogue import label_lists
from lucid_port.modelzoo.nets_factory import open_model
from parity_tests.published import CHECKS
from parity_tests.published.checks import Mismatch
from parity_tests.published.files import NotHere, Published

WRONG = "off by"  # a failure that compared values, not one for want of a file, a layer or a unit


@pytest.mark.parametrize("name", CHECKS)
def test_passes_with_references_recomputed_from_the_same_network(name, stand_in, recorded):
    CHECKS[name].run(stand_in, recorded)


@pytest.mark.parametrize("name", CHECKS)
def test_fails_with_another_networks_weights(name, another, recorded):
    with pytest.raises(Mismatch, match=WRONG):
        CHECKS[name].run(another, recorded)


OF_COLOURS = [name for name, check in CHECKS.items() if any(file.endswith(".png") for file in check.files)]


@pytest.mark.parametrize("name", [*OF_COLOURS, "adversarial_probabilities", "first_kernels"])
def test_fails_with_red_and_blue_exchanged(name, mixed_up, recorded):
    with pytest.raises(Mismatch, match=WRONG):
        CHECKS[name].run(mixed_up, recorded)


@pytest.fixture(scope="module")
def seeded():
    return open_model("InceptionV1_seeded", labels=label_lists()["ImageNet_alternate"].read())


@pytest.mark.parametrize("name", [name for name, check in CHECKS.items() if not check.slow])
def test_fails_on_what_was_published_with_weights_that_are_not_the_official_ones(name, seeded):
    published = Published()
    try:
        for file in CHECKS[name].files:
            published.path(file)
    except NotHere as error:
        pytest.skip(str(error))
    with pytest.raises(Mismatch, match=WRONG):
        CHECKS[name].run(seeded, published)
