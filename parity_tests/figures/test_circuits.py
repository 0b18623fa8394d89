"""The figures of the Circuits articles: what they show, and that a network with known weights gives known numbers."""

from __future__ import annotations

import numpy as np
import pytest

from converters.frozen.writer import write_graph_def
from lucid_port.figures.base import catalogue, find_figure
from lucid_port.figures.common import SHOWN, layer_and_units
from lucid_port.figures.drawing import repeated
from lucid_port.figures.run import Request, make
from lucid_port.figures.sheet import compose
from lucid_port.modelzoo.seeded import seeded_inceptionv1
from lucid_port.modelzoo.vision_models import InceptionV1

EARLY = {"orientations": 12}
OWN = {
    "ev-conv1-weights": {"groups": {"all": [0, 1, 2, 3]}},
    "ev-neuron-families": {"units": ["mixed3a:1", "conv2d2:2", "mixed3a:0"], "size": 24},
    "cd-radial-tuning": {
        **EARLY,
        "units": ["mixed3b:1", "mixed3b:2"],
        "others": {"mixed3a": {"units": [3], "radius": 9.0}},
        "size": 24,
    },
    "cd-synthetic-curves": {**EARLY, "units": ["mixed3b:1", "mixed3b:2"], "radii": [8.0, 16.0], "stimulus_size": 64},
    "cc-curve-weights": {
        **EARLY,
        "units": ["mixed3b:18", "mixed3b:20"],
        "sources": {
            "mixed3a": {"units": [1, 2, 3], "stimulus": "curve", "size": 5},
            "conv2d2": {"units": [4], "stimulus": "line", "size": 9},
        },
    },
    "cc-circuit-editing": {
        **EARLY,
        "units": [f"mixed3b:{unit}" for unit in range(7, 17)],  # the 3x3 branch: the narrow 5x5 one is silent here
        "kernels": "mixed3b_3x3",
        "bottleneck": "mixed3b_3x3_bottleneck",
        "early_curves": [1, 2, 3],
    },
    "zi-car-circuit": {
        "units": ["mixed4b:5", "mixed4b:9"],
        "whole": "mixed4c:12",
        "next": ["mixed4d:3", "mixed4d:4"],
        "size": 24,
    },
    "fe-high-low": {**EARLY, "units": ["mixed3a:4", "mixed3a:5"], "size": 24, "facets": 2},
    "fe-nmf-factors": {"units": ["mixed3a:4", "mixed3a:5", "mixed3a:6"], "size": 24},
    "vw-weight-nmf": {"layers": {"mixed4d_5x5": 3, "mixed5b_5x5": 128}, "factors": 2},
}


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("models") / "InceptionV1.pb"
    write_graph_def(seeded_inceptionv1(width=0.05), path)
    return InceptionV1(path)


@pytest.fixture(scope="module")
def result(model):
    """The figures, each made once."""
    made = {}

    def of(name):
        if name not in made:
            steps = 2 if find_figure(name).steps else None
            made[name] = make(Request(name, options=OWN[name], steps=steps), model)
        return made[name]

    return of


@pytest.mark.parametrize("name", OWN)
def test_pictures_and_numbers(result, name):
    found = result(name)
    assert found.data
    for panel in found.panels:
        assert len(panel.pictures) > 0
        assert len(panel.captions) in (0, len(panel.pictures))
        for picture in panel.pictures:
            assert picture.shape[-1] == 3
            assert 0 <= np.min(picture) <= np.max(picture) <= 1
    assert compose(found.panels).ndim == 3


@pytest.mark.parametrize("name", OWN)
def test_units_are_named_for_both_models(name):
    figure = catalogue()[name]
    assert {"InceptionV1", "InceptionV1_caffe"} <= set(figure.options)
    keys = [set(options) for options in figure.options.values()]
    assert all(one == keys[0] for one in keys)


def test_kernels_come_in_their_groups(result):
    panels = result("ev-conv1-weights").panels
    assert [len(panel.pictures) for panel in panels] == [4]
    assert panels[0].pictures[0].shape == (7, 7, 3)


def test_every_first_kernel_is_in_one_group():
    for options in find_figure("ev-conv1-weights").options.values():
        assert sorted(unit for group in options["groups"].values() for unit in group) == list(range(64))


def test_own_units_are_a_family_of_their_own(result):
    (panel,) = result("ev-neuron-families").panels
    assert list(panel.captions) == ["1", "2", "0"]


def test_polar_plots_are_ordered_by_their_peaks(result):
    numbers = result("cd-radial-tuning").data["mixed3b"]
    order = np.argsort(numbers["peaks"], kind="stable")
    shown = [caption.split(":")[0] for caption in result("cd-radial-tuning").panels[1].captions]
    assert shown == [numbers["units"][number].split(":")[1] for number in order]
    np.testing.assert_array_equal(numbers["orientations"][numbers["values"].argmax(1)], numbers["peaks"])


def test_a_heat_map_has_its_largest_where_it_says(result):
    data = result("cd-synthetic-curves").data
    for values, radius, angle in zip(data["values"], data["best_radius"], data["best_orientation"], strict=True):
        row, column = np.unravel_index(values.argmax(), values.shape)
        assert data["radii"][row] == radius
        assert column * 30 == angle


def test_small_multiples_have_a_row_for_each_unit(result):
    found = result("cc-curve-weights")
    assert [panel.columns for panel in found.panels] == [3, 1]
    assert [len(panel.pictures) for panel in found.panels] == [6, 2]
    assert found.panels[0].pictures[0].shape == (5, 5, 3)
    assert found.panels[1].pictures[0].shape == (9, 9, 3)
    for panel, earlier in zip(found.panels, ("mixed3a", "conv2d2"), strict=True):
        sources, angles = found.data[earlier]["units"], found.data[earlier]["orientations"]
        heads = [f"{unit}, {angle:.0f}°" for unit, angle in zip(sources, angles, strict=True)]
        assert [head.text for head in panel.heads] == heads
        assert [head.text.split(",")[0] for head in panel.sides] == [name.split(":")[1] for name in found.data["units"]]


def test_frames_are_where_orientations_agree(result):
    found = result("cc-curve-weights")
    for panel, earlier, turn in zip(found.panels, ("mixed3a", "conv2d2"), (360, 180), strict=True):
        rows, columns = np.array(found.data["orientations"]), np.array(found.data[earlier]["orientations"])
        apart = np.array([[min((row - one) % turn, (one - row) % turn) for one in columns] for row in rows])
        assert panel.framed == np.flatnonzero(apart <= 30).tolist()
    assert found.data["mixed3a"]["orientations"].tolist() == sorted(found.data["mixed3a"]["orientations"])


def test_taking_inhibition_away_takes_no_answer_away(result):
    """Behind a ReLU, inputs are positive: a unit without its negative weights answers at least as much as with them."""
    data = result("cc-circuit-editing").data
    whole, without = data["All weights"]["values"], data["No negative weights"]["values"]
    assert (without >= whole - 1e-4).all()
    assert (without > whole + 1e-3).any()
    kept, kept_without = (data[f"Early curves alone{end}"]["values"] for end in ("", ", no negative weights"))
    assert (kept_without >= kept - 1e-4).all()


def test_an_echo_is_a_share(result):
    for row in result("cc-circuit-editing").data.values():
        assert ((row["echo"] >= 0) & (row["echo"] <= 1)).all()


def test_the_whole_and_its_parts(result, model):
    found = result("zi-car-circuit")
    assert [len(panel.pictures) for panel in found.panels] == [1]
    kernel_like = found.data["weights"]
    assert kernel_like.shape == (2, 5, 5)
    assert found.data["onward"].shape == (2, 5, 5)
    for weights, height in zip(kernel_like, found.data["height"], strict=True):
        assert np.sign(height) == np.sign(weights[:2].sum() - weights[3:].sum())


def test_stripes_of_one_frequency_are_the_first_row(result):
    data = result("fe-high-low").data
    assert data["values"].shape == (2, 10, 12)
    assert data["ratios"].tolist() == list(range(1, 11))


def test_a_factors_caption_has_room(result):
    panel = result("fe-nmf-factors").panels[0]
    assert min(picture.shape[1] for picture in panel.pictures) * panel.scale >= SHOWN


def test_the_finer_factor_comes_first(result):
    answers = result("fe-nmf-factors").data["answers"]
    fine, coarse = answers["High frequency"], answers["Low frequency"]
    assert fine[0] / fine.sum() >= coarse[0] / coarse.sum()


def test_no_more_kernels_than_there_are(result):
    found = result("vw-weight-nmf")
    assert [len(panel.pictures) for panel in found.panels] == [3, 7]
    for data in found.data.values():
        assert 0 <= sum(data["banding"].values()) <= 1 + 1e-6


def test_pixels_are_repeated():
    picture = np.arange(12.0).reshape(2, 2, 3)
    large = repeated(picture, 5, 6)
    assert large.shape == (4, 6, 3)
    np.testing.assert_array_equal(large[::2, ::3], picture)
    assert repeated(picture, 1, 1).shape == picture.shape


def test_names_of_units():
    assert layer_and_units(["a:1", "a:2"]) == ("a", [1, 2])
    with pytest.raises(ValueError, match="a, b"):
        layer_and_units(["a:1", "b:2"])
    with pytest.raises(ValueError, match="one layer"):
        layer_and_units([])


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("cd-radial-tuning", {"units": ["mixed3b:999"]}, "no unit 999"),
        ("cd-radial-tuning", {"units": ["mixed3b:1", "mixed3a:1"]}, "one layer"),
        ("ev-conv1-weights", {"units": ["conv2d0:99"]}, "no unit 99"),
        ("vw-weight-nmf", {"units": ["mixed4d_5x5:99"]}, "no unit 99"),
        ("vw-weight-nmf", {"units": ["maxpool1:0"]}, "no convolution"),
        ("cc-circuit-editing", {"kernels": "maxpool1"}, "no convolution"),
    ],
)
def test_units_that_cannot_be_shown(model, name, options, words):
    with pytest.raises(ValueError, match=words):
        make(Request(name, options={**OWN[name], **options}, steps=1), model)
