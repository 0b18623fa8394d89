"""Names of a site's files: no two layers share a folder, and no layer takes the place of a site's own file."""

import pytest

from lucid_port.microscope.names import RESERVED, Places, layer_folder


@pytest.mark.parametrize("name", sorted(RESERVED))
def test_a_layer_never_takes_a_reserved_name(name):
    assert layer_folder(name) not in RESERVED


@pytest.mark.parametrize("name", ["a/b", "a:b", "a b", "../a", "x" * 300, "A", "<b>", "con.txt", "é", "", "..."])
def test_folders_are_plain_names(name):
    folder = layer_folder(name)
    assert folder.isascii()
    assert folder == folder.lower()
    assert not set(folder) & set('/\\:*?"<>| ')
    assert 0 < len(folder) < 100
    assert folder.strip(".") == folder
    assert folder.partition(".")[0] not in RESERVED


def test_names_that_differ_by_case_only_have_different_folders():
    assert len({layer_folder(name).lower() for name in ("Conv", "conv", "CONV", "conv_", "conv/")}) == 5


def test_files_of_a_layer_lie_in_its_folders():
    places = Places("site", {"odd": "even"})
    assert places.page("mixed4a", 7).as_posix() == "site/mixed4a/7.html"
    assert places.redirect("mixed4a").as_posix() == "site/mixed4a_0/index.html"
    assert places.crops("odd", 7).as_posix() == "site/data/even/crops/0007.webp"
