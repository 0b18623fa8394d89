"""Lists of labels and of synsets: facts, each checked against what a second source says of the same list."""

from __future__ import annotations

import hashlib
from collections import Counter
from importlib import resources

import pytest

from lucid_port.modelzoo.catalogue import label_lists


def read(name: str) -> list[str]:
    return label_lists()[name].read()


def test_the_lists_are_lucids():
    imagenet = ["ImageNet_standard", "ImageNet_standard_with_dummy", "ImageNet_alternate"]
    places, own = ["Places205", "Places365"], ["TinyInceptionV1"]
    assert set(label_lists()) == {*imagenet, *(f"{name}_synsets" for name in imagenet), *places, *own}


def test_the_alternate_labels_are_the_file_of_tensorflows_release():
    file = resources.files("lucid_port.modelzoo").joinpath("labels/ImageNet_alternate.txt")
    expected = "da2a31ecfe9f212ae8dd07379b11a74cb2d7a110eba12c5fc8c862a65b8e6606"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == expected


def test_the_places365_labels_are_the_file_of_the_data_sets_authors():
    """Their categories_places365.txt has the hash, and lines such as "/a/airfield 0"."""
    lines = [f"/{name[0]}/{name} {index}" for index, name in enumerate(read("Places365"))]
    assert hashlib.md5("\n".join(lines).encode()).hexdigest() == "06c963b85866bd0649f97cb43dd16673"


def test_the_places205_labels():
    labels = read("Places205")
    assert len(labels) == len(set(labels)) == 205
    assert {at: labels[at] for at in (0, 13, 36, 99, 188, 204)} == {
        0: "abbey", 13: "apartment_building/outdoor", 36: "bakery/shop", 99: "ice_cream_parlor",
        188: "temple/east_asia", 204: "yard",
    }  # fmt: skip


def test_standard_synsets_ascend():
    ids = read("ImageNet_standard_synsets")
    assert ids == sorted(set(ids))
    assert (len(ids), ids[0], ids[967]) == (1000, "n01440764", "n07920052")  # tench, espresso


def test_the_background_comes_first_where_there_is_one():
    for suffix in ("", "_synsets"):
        assert read(f"ImageNet_standard_with_dummy{suffix}") == ["dummy", *read(f"ImageNet_standard{suffix}")]
    assert read("ImageNet_alternate")[:2] == ["dummy", "kit fox"]
    assert read("ImageNet_alternate_synsets")[:2] == ["dummy", "n02119789"]


# Class numbers in imagenet_2012_challenge_label_map_proto.pbtxt, which came with TensorFlow's Inception.
LABEL_MAP = {
    "n02788148": 718, "n02790996": 916, "n02791124": 307, "n02791270": 705, "n02793495": 683, "n02794156": 518,
    "n03126707": 545, "n03710637": 782, "n03710721": 977, "n03717622": 763, "n03720891": 338, "n03761084": 661,
}  # fmt: skip


def test_alternate_synsets_are_numbered_as_in_tensorflows_label_map():
    ids = read("ImageNet_alternate_synsets")
    assert {name: ids.index(name) for name in LABEL_MAP} == LABEL_MAP


def test_both_orders_name_the_same_classes():
    standard = dict(zip(read("ImageNet_standard_synsets"), read("ImageNet_standard"), strict=True))
    alternate = dict(zip(read("ImageNet_alternate_synsets"), read("ImageNet_alternate"), strict=True))
    assert set(alternate) - {"dummy"} == set(standard)
    different = {(standard[name], label) for name, label in alternate.items() if standard.get(name, label) != label}
    assert different == {
        ("crane bird", "crane"),
        ("maillot tank suit", "maillot"),
        ("cannon", "cannon [ground]"),
        ("teddy", "teddy bear"),
    }


@pytest.mark.parametrize(("name", "twice"), [("standard", set()), ("alternate", {"crane", "maillot"})])
def test_names_that_two_classes_share(name, twice):
    assert {label for label, count in Counter(read(f"ImageNet_{name}")).items() if count > 1} == twice
