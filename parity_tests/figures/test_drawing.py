"""What figures draw on pictures."""

from __future__ import annotations

import numpy as np
import pytest

from lucid_port.figures.common import class_of, short, tile
from lucid_port.figures.diagram import Diagram, beside, with_axes
from lucid_port.figures.drawing import AGAINST, FOR, enlarged, heat, outlined, part, two_sided

GREY = np.full((30, 42, 3), 0.5, np.float32)


def test_nothing_to_show_leaves_a_pale_picture():
    np.testing.assert_allclose(heat(GREY, [np.zeros((3, 7))]), np.full_like(GREY, 0.875))


def test_a_map_colours_its_place():
    values = np.zeros((3, 7))
    values[2, 5] = 1
    shown = heat(GREY, [values], [(1, 0, 0)])
    at = shown[25, 33]
    assert at[0] > 0.75 > 0.25 > at[1] == at[2]
    np.testing.assert_allclose(shown[5, 10], 0.875)


def test_maps_in_one_place_mix_their_colours():
    whole = np.ones((2, 2))
    shown = heat(GREY, [whole, whole], [(1, 0, 0), (0, 0, 1)])
    np.testing.assert_allclose(shown[15, 20], [0.5, 0.175, 0.5], rtol=1e-5)


def test_signs_have_colours():
    shown = two_sided(GREY, np.array([[-2.0, 0, 1]]))
    left, middle, right = shown[15, 3], shown[15, 21], shown[15, 39]
    assert np.argmax(left) == np.argmax(AGAINST)
    assert np.ptp(middle) < 0.02
    assert np.argmax(right) == np.argmax(FOR)
    assert np.ptp(left) > np.ptp(right)  # by the largest


def test_no_values_at_all_are_shown():
    assert np.isfinite(two_sided(GREY, np.zeros((3, 7)))).all()


@pytest.mark.parametrize(("smooth", "between"), [(True, True), (False, False)])
def test_enlarging(smooth, between):
    found = enlarged(np.array([[0.0, 1.0]]), (4, 20), smooth)
    assert found.shape == (4, 20)
    assert bool(((found > 0.1) & (found < 0.9)).any()) is between


def test_frames():
    picture = outlined(GREY, [(2, 6), (0, 0)], (3, 7), [(1, 0, 0), (0, 1, 0)])
    framed = (picture != GREY).any(-1)
    assert framed[20:30, 36:42].any()
    assert not framed[22:28, 38:40].any()  # inside
    assert framed.sum() == 2 * (10 * 6 - 6 * 2)
    np.testing.assert_array_equal(picture[20, 36], [1, 0, 0])
    np.testing.assert_array_equal(picture[0, 0], [0, 1, 0])
    assert (GREY == 0.5).all()


def test_frames_of_places_smaller_than_their_lines():
    assert (outlined(GREY, [(29, 41)], (30, 42)) != GREY).any(-1).sum() == 4 * 4


def test_parts():
    picture = np.zeros((30, 42, 3), np.float32)
    picture[10:20, 12:18] = 1
    assert (part(picture, (1, 2), (3, 7), 8, around=0) == 1).all()
    assert part(picture, (1, 2), (3, 7), 8).mean() == pytest.approx(1 / 9, abs=0.02)  # Lanczos at the borders
    assert part(picture, (0, 0), (3, 7), 8).shape == (8, 8, 3)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("mixed4a_pre_relu:476", "4a:476"),
        ("inception_4a_output_pre_relu:3", "4a:3"),
        ("inception_3b_output", "3b"),
        ("conv1_7x7_s2/conv1_7x7_s2:9", "conv1_7x7_s2:9"),
        ("conv2d0_pre_relu:9", "conv2d0:9"),
        ("input", "input"),
    ],
)
def test_short_names(name, shown):
    assert short(name) == shown


def test_classes_of_the_command_line():
    assert class_of("55") == class_of(55) == 55
    assert class_of("tiger cat") == "tiger cat"


def test_small_pictures_have_room_for_a_caption():
    assert tile(GREY).shape == (112, 112, 3)
    large = np.zeros((120, 120, 3))
    assert tile(large) is large


# Diagrams ----------------------------------------------------------------------------------------


def test_an_arrow_runs_from_its_start_to_its_end_below_the_pictures():
    diagram = Diagram(90, 50)
    diagram.picture(np.zeros((8, 8, 3), np.float32), (30, 13), 24)
    diagram.arrow((5, 25), (80, 25), colour=(255, 0, 0))
    drawn = diagram.drawn()
    red = np.argwhere((drawn[..., 0] > 0.9) & (drawn[..., 1] < 0.5))
    assert (np.abs(red.min(0) - (20, 5)) <= (2, 1)).all()
    assert (np.abs(red.max(0) - (29, 79)) <= (2, 2)).all()
    assert (drawn[13:37, 30:54] == 0).all()


def test_a_label_lies_below_the_middle_of_its_picture():
    diagram = Diagram(120, 80)
    diagram.picture(np.full((10, 20, 3), 0.5, np.float32), (20, 10), 60, "car")
    dark = np.argwhere((diagram.drawn() < 0.4).all(-1))
    assert dark[:, 0].min() >= 40
    assert abs(dark[:, 1].mean() - 50) < 4


def test_axes_leave_the_map_as_it_is():
    values = np.random.default_rng(0).integers(0, 128, (30, 70, 3)).astype(np.float32) / 255
    shown = with_axes(values, [(0, "0"), (1, "9")], [(0, "a"), (1, "b")], ("x", "y"))
    places = [x for x in range(shown.shape[1] - 69) if np.allclose(shown[17:47, x : x + 70], values, atol=2e-3)]
    assert len(places) == 1


def test_pictures_beside_each_other_keep_their_pixels():
    tall, wide = np.zeros((9, 3, 3), np.float32), np.full((4, 7, 3), 0.25, np.float32)
    sheet = beside([tall, wide], gap=2)
    np.testing.assert_array_equal(sheet[:, :3], tall)
    np.testing.assert_array_equal(sheet[2:6, 5:], wide)
    assert (sheet[:, 3:5] == 1).all()
