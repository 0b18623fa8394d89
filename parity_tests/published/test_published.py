"""The official InceptionV1 gives what the articles and notebooks published.

Needs the network (LUCID_PORT_MODELZOO) and the published files (LUCID_PORT_PUBLISHED, or their public addresses).
"""

from __future__ import annotations

import pytest

from lucid_port.modelzoo.catalogue import label_lists
from parity_tests.published import CHECKS
from parity_tests.published.files import NotHere, Published


@pytest.mark.parametrize("name", CHECKS)
def test_the_network_gives_what_was_published(name, official):
    try:
        CHECKS[name].run(official, Published())
    except NotHere as error:
        pytest.skip(str(error))


def test_classes_are_called_what_the_articles_call_them():
    try:
        published = Published().json("bb_labels.json")
    except NotHere as error:
        pytest.skip(str(error))
    ours = [name.split(", ")[0] for name in label_lists()["ImageNet_alternate"].read()]
    assert [name.split(", ")[0] for name in published] == ours[: len(published)]
