"""Watching renders in a notebook: what is shown, how often, and that it changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from lucid_port.optvis import notebook, param, render
from lucid_port.optvis.progress import LiveSheet, LiveView
from lucid_port.optvis.recipe import Recipe
from lucid_port.optvis.render_many import render_many
from parity_tests.optvis.tiny import TinyModel


def small(batch=1):
    return lambda: param.image(12, 10, batch=batch)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self):
        self.now = 100.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    made = Clock()
    monkeypatch.setattr(notebook, "time", made)
    return made


def vis_of(objective="mixed:1", batch=1):
    return render.make_vis_T(TinyModel(), objective, small(batch), transforms=[])


def run(view, vis, clock, updates, seconds):
    """Updates that take some seconds each; what was read from the render, and when."""
    reads = []
    image = vis.image

    def reading():
        reads.append(vis.steps)
        return image()

    vis.image = reading
    for _ in range(updates):
        vis.step()
        clock.now += seconds
        view(vis)
    vis.image = image
    return reads


# A render --------------------------------------------------------------------------------------


def test_one_place_shows_the_present_picture(screen, clock):
    view, vis = LiveView(every=1, total=40), vis_of()
    run(view, vis, clock, 5, 2)
    assert screen.places == 1
    assert screen.changed == [1] * 4
    (picture,) = screen.pictures()
    assert np.array_equal(picture, (vis.image()[0] * 255).astype(np.uint8))
    said = f"5 of 40 updates, 0.5 a second, 70 s left, objective {float(vis.loss):.4g}"
    assert screen.shown[-1]["text/plain"] == said
    assert said in screen.html


def test_it_reads_by_the_clock(screen, clock):
    assert run(LiveView(every=1), vis_of(), clock, 34, 0.125) == [1, 9, 17, 25, 33]


def test_the_last_update_is_shown(screen, clock):
    assert run(LiveView(every=1, total=15), vis_of(), clock, 15, 0.125) == [1, 9, 15]
    view, vis = LiveView(every=1), vis_of()
    with view:
        run(view, vis, clock, 15, 0.125)
    assert screen.shown[-1]["text/plain"].startswith("15 updates, ")


def test_showing_takes_a_tenth_of_the_time_at_most(screen, clock, monkeypatch):
    encode = notebook.image_html

    def slow(*arguments):
        clock.now += 0.5
        return encode(*arguments)

    monkeypatch.setattr(notebook, "image_html", slow)
    reads = run(LiveView(every=0), vis_of(), clock, 200, 0.1)
    assert len(reads) * 0.5 <= 0.1 * 200 * 0.1 + 0.5
    assert len(reads) > 3


def test_outside_a_notebook_nothing_happens(clock, capsys):
    view, vis = LiveView(every=0, total=3), vis_of()
    with view:
        assert run(view, vis, clock, 3, 1) == []
    made = render.render_vis(TinyModel(), "mixed:1", small(), thresholds=(2,), verbose=False, live=True)
    assert len(made) == 1
    assert capsys.readouterr() == ("", "")


def test_batches_are_cut_to_what_a_screen_holds(screen, clock):
    run(LiveView(most=2, width=50), vis_of(batch=5), clock, 1, 1)
    assert len(screen.pictures()) == 2
    assert screen.html.count("width: 50px") == 2
    assert "; 3 more pictures" in screen.html


def test_a_render_that_breaks_shows_it(screen, clock):
    view, vis = LiveView(), vis_of()
    vis.step()
    with_nan = vis.image()
    with_nan[0, 0, 0] = np.nan
    vis.image = lambda: with_nan
    view(vis)
    assert "of the pixels are NaN" in screen.html


@pytest.mark.parametrize("batch", [1, 3])
def test_render_vis_is_the_same_with_and_without(screen, batch):
    options = {"thresholds": (4,), "verbose": False}
    alone = render.render_vis(TinyModel(), "mixed:1", small(batch), **options)
    watched = render.render_vis(TinyModel(), "mixed:1", small(batch), callbacks=[LiveView(every=0)], **options)
    assert len(screen.shown) > 1
    assert np.array_equal(alone[0], watched[0])
    assert np.array_equal(alone.losses, watched.losses)
    assert watched.recipe().own_code == ()


def test_render_vis_shows_the_image_before_it_begins_and_the_last(screen):
    made = render.render_vis(TinyModel(), "mixed:1", small(), thresholds=(4,), verbose=False, live=True)
    assert screen.shown[0]["text/plain"] == "0 of 5 updates"
    assert screen.shown[-1]["text/plain"].startswith("5 of 5 updates, ")
    assert np.array_equal(screen.pictures()[0], (made[-1][0] * 255).astype(np.uint8))


def test_when_the_picture_is_shown_below_a_line_stays(screen, monkeypatch, capsys):
    monkeypatch.setattr("lucid_port.optvis.render.is_notebook_environment", lambda: True)
    render.render_vis(TinyModel(), "mixed:1", small(), thresholds=(4,), live=True)
    assert capsys.readouterr().out.startswith("4 0.")
    assert screen.places == 2
    assert screen.pictures() == []
    assert "5 of 5 updates" in screen.html
    assert screen.shown[-2]["text/plain"] == "1 picture of 12 x 10 pixels"


def test_after_an_error_the_device_is_left_alone(screen, clock):
    view, vis = LiveView(keep=False), vis_of()
    run(view, vis, clock, 1, 1)
    vis.step()
    vis.image = None  # to read it would be an error
    view.__exit__(ZeroDivisionError, None, None)
    assert screen.shown[-1]["text/plain"].startswith("1 update, ")
    assert screen.pictures() == []


def test_recipes_take_it(screen):
    made = render.render_vis(TinyModel(), "mixed:1", small(), thresholds=(3,), verbose=False)
    again = Recipe.from_data(made.recipe().to_data()).render(TinyModel(), callbacks=[LiveView(total=4)])
    assert np.array_equal(again, made[0][0])
    assert screen.shown


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"every": -1}, ValueError, "every, the seconds between two refreshes, is a finite number from 0 on"),
        ({"width": 0}, ValueError, "width is a finite number above 0"),
        ({"total": 0}, ValueError, "total, the number of updates, is a whole number from 1 on"),
        ({"most": "all"}, TypeError, "most is a whole number"),
    ],
)
def test_arguments_that_make_no_sense(arguments, error, said):
    with pytest.raises(error, match=said):
        LiveView(**arguments)


# Many units ------------------------------------------------------------------------------------


@pytest.mark.parametrize("devices", [["cpu"], ["cpu", "cpu"]])
def test_finished_pictures_gather_in_one_place(screen, devices):
    options = {"size": 12, "steps": 2, "batch_size": 2, "verbose": False, "devices": devices}
    made = render_many(TinyModel(), "mixed:0-4", live=True, **options)
    assert screen.places == 1
    assert screen.shown[-1]["text/plain"].startswith("5 of 5 units, ")
    shown = {picture.tobytes() for picture in screen.pictures()}
    assert shown == {(one.image * 255).astype(np.uint8).tobytes() for one in made}
    alone = render_many(TinyModel(), "mixed:0-4", **options)
    assert all(np.array_equal(one.image, other.image) for one, other in zip(made, alone, strict=True))


def test_a_sheet_by_the_clock(screen, clock):
    with LiveSheet(4, 10, most=2) as sheet:
        for unit in range(3):
            for _ in range(10):
                clock.now += 0.25
                sheet.stepped(1)
            sheet.add(f"unit {unit}", np.full((4, 4, 3), 0.5))
            sheet.done(1)
        # A change a second, in seven and a half.
        assert len(screen.shown) == 8
        assert screen.shown[-1]["text/plain"] == "2 of 4 units, 24.0 a minute, 3 s left"
    assert "3 of 4 units" in screen.html
    assert "; the first 2 are shown" in screen.html
    assert ">unit 1<br>" in screen.html


def test_outside_a_notebook_there_is_no_sheet(capsys):
    made = render_many(TinyModel(), "mixed:0-1", size=12, steps=1, verbose=False, live=True)
    assert len(made) == 2
    assert capsys.readouterr() == ("", "")
