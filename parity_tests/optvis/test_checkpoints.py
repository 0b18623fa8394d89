"""Renders that are stopped and taken up again give what they give when nothing stops them, bit for bit."""

from __future__ import annotations

import functools

import numpy as np
import pytest

from lucid_port.modelzoo.vision_models import TinyInceptionV1
from lucid_port.optvis import checkpoints, param
from lucid_port.optvis.many import memory
from lucid_port.optvis.render import VisT
from lucid_port.optvis.render_many import render_many
from lucid_port.recipes.activation_atlas import render_icons
from lucid_port.recipes.activation_grid import factored_activation_grid
from lucid_port.recipes.feature_visualization import channel
from lucid_port.recipes.steps import run, run_through
from parity_tests.optvis.tiny import TinyModel

KEY = {"what": "this"}
COUNTS = [2, 5, 9]


@functools.cache
def tiny():
    return TinyInceptionV1()


class Stopped(Exception):
    """Stands for whatever ends a process."""


class Updates:
    """Counts the updates of all renders, and stops at one of them.

    Attributes:
        made: how many there were.
        stop_at: the update, counted from 0, that does not come any more; None for none.
    """

    def __init__(self) -> None:
        self.made, self.stop_at = 0, None

    def step(self, vis, original):
        if self.made == self.stop_at:
            raise Stopped
        self.made += 1
        return original(vis)


@pytest.fixture(autouse=True)
def updates(monkeypatch):
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)  # seconds between two states that are kept
    counted, original = Updates(), VisT.step
    monkeypatch.setattr(VisT, "step", lambda vis: counted.step(vis, original))
    return counted


def render():
    """With draws in every update, by the default transforms."""
    vis = VisT(TinyModel(), "mixed:4", lambda: param.image(12), seed=3)
    seen, values = run_through(vis, COUNTS, vis.image)
    return np.stack(seen), values, vis.losses, vis.image()


def stopped(updates, at, work, folder, key=KEY):
    updates.made, updates.stop_at = 0, at
    with pytest.raises(Stopped), checkpoints.kept(folder, key):
        work()
    updates.made, updates.stop_at = 0, None


@pytest.mark.parametrize("at", [1, 2, 5, 8])
def test_a_render_goes_on(tmp_path, updates, at):
    whole = render()
    stopped(updates, at, render, tmp_path / "work")
    with checkpoints.kept(tmp_path / "work", KEY):
        resumed = render()
    assert updates.made == COUNTS[-1] - at
    for one, other in zip(resumed, whole, strict=True):
        np.testing.assert_array_equal(one, other)


def test_stopped_twice(tmp_path, updates):
    whole = render()
    stopped(updates, 3, render, tmp_path / "work")
    stopped(updates, 3, render, tmp_path / "work")
    with checkpoints.kept(tmp_path / "work", KEY):
        resumed = render()
    assert updates.made == COUNTS[-1] - 6
    np.testing.assert_array_equal(resumed[0], whole[0])


def many():
    return render_many(
        TinyModel(), "mixed:1,4,6-8", size=12, steps=4, batch_size=2, seeds=[5, 6, 7, 8, 9], verbose=False
    )


def test_batches_go_on(tmp_path, updates):
    whole = many()
    stopped(updates, 6, many, tmp_path / "work")  # in the middle of the second batch of three
    with checkpoints.kept(tmp_path / "work", KEY):
        resumed = many()
    assert updates.made == 3 * 4 - 6
    for one, other in zip(resumed, whole, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.losses, other.losses)


def test_renders_that_are_stepped_one_update_at_a_time(tmp_path, updates):
    """As the naive activation grid's, with draws between the updates."""

    def work():
        vis = VisT(TinyModel(), "mixed:4", lambda: param.image(12), seed=3)
        drawn = [int(vis.source.scope("own").integers("drawn", 1000)) for _ in range(4) if len(run(vis, 1))]
        return drawn, vis.image()

    drawn, image = work()
    stopped(updates, 2, work, tmp_path / "work")
    with checkpoints.kept(tmp_path / "work", KEY):
        resumed = work()
    assert updates.made == 2
    assert resumed[0][-2:] == drawn[-2:]
    np.testing.assert_array_equal(resumed[1], image)


def test_a_finished_block_leaves_nothing(tmp_path):
    with checkpoints.kept(tmp_path / "work", KEY) as folder:
        render()
        assert folder.holds_something
    assert not (tmp_path / "work").exists()


def test_files_of_others_stay(tmp_path):
    (tmp_path / "mine.pt").touch()
    with pytest.raises(ValueError, match="holds other files"), checkpoints.kept(tmp_path, KEY):
        pytest.fail("the block ran")
    assert (tmp_path / "mine.pt").exists()


def test_a_block_that_fails_before_any_update_leaves_nothing(tmp_path, updates):
    stopped(updates, 0, render, tmp_path / "work")
    assert not (tmp_path / "work").exists()


def test_nothing_is_kept_outside_of_a_block(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    render()
    assert checkpoints.active() is None
    assert not list(tmp_path.iterdir())


def test_another_key_starts_anew(tmp_path, updates):
    stopped(updates, 3, render, tmp_path / "work")
    with checkpoints.kept(tmp_path / "work", {"what": "else"}):
        render()
    assert updates.made == COUNTS[-1]


def test_another_render_in_its_place_starts_anew(tmp_path, updates):
    stopped(updates, 3, render, tmp_path / "work")
    vis = VisT(TinyModel(), "mixed:5", lambda: param.image(12), seed=3)
    with checkpoints.kept(tmp_path / "work", KEY):
        run(vis, 4)
    assert updates.made == 4


@pytest.mark.parametrize("damage", [b"", b"no state", None])
def test_a_damaged_state_starts_anew(tmp_path, updates, damage):
    whole = render()
    stopped(updates, 3, render, tmp_path / "work")
    (state,) = (tmp_path / "work").glob("*.pt")
    state.write_bytes(state.read_bytes()[:-200] if damage is None else damage)
    with checkpoints.kept(tmp_path / "work", KEY):
        resumed = render()
    assert updates.made == COUNTS[-1]
    np.testing.assert_array_equal(resumed[0], whole[0])


def test_states_are_written_now_and_then_and_at_the_end(tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoints, "EVERY", 1e9)
    written = []
    original = checkpoints.Checkpoint._write
    monkeypatch.setattr(checkpoints.Checkpoint, "_write", lambda self, path: written.append(original(self, path)))
    with checkpoints.kept(tmp_path / "work", KEY):
        render()
        render()
    assert len(written) == 2


def test_another_split_into_batches_does_not_mix_them_up(tmp_path, updates, monkeypatch):
    """Where less memory is free than when the work was begun."""
    model = TinyModel()
    directions = np.random.RandomState(0).standard_normal((5, 9)).astype(np.float32)

    def icons():
        return render_icons(model, directions, "mixed", size=24, steps=4, attempts=1, transforms=[])

    whole, _ = icons()
    monkeypatch.setattr(memory, "host_batch_size", lambda forward: 3)
    stopped(updates, 5, icons, tmp_path / "work")
    monkeypatch.setattr(memory, "host_batch_size", lambda forward: 2)
    with checkpoints.kept(tmp_path / "work", KEY):
        resumed, _ = icons()
    np.testing.assert_allclose(resumed, whole, atol=1e-5)  # in batches of other sizes: measured 0


def test_one_process_at_a_time(tmp_path):
    with checkpoints.kept(tmp_path / "work", KEY) as folder:
        render()
        with pytest.raises(BlockingIOError, match="another run"), checkpoints.kept(tmp_path / "work", {"other": 1}):
            pytest.fail("the block ran")
        assert folder.holds_something
    assert not (tmp_path / "work").exists()


def test_a_process_killed_while_it_wrote(tmp_path, updates):
    stopped(updates, 3, render, tmp_path / "work")
    (tmp_path / "work" / ".render-0001.pt.0123abcd.partial").write_bytes(b"half")
    with checkpoints.kept(tmp_path / "work", KEY):
        render()
    assert not (tmp_path / "work").exists()


def test_warnings_are_said_again(tmp_path, updates):
    """What one process was warned of, the one that goes on is, too."""

    def work():
        steps = iter(range(9))

        def objective(T):
            return T("mixed").mean() * (float("nan") if next(steps) > 2 else 1.0)

        run(VisT(TinyModel(), objective, lambda: param.image(12), transforms=[], seed=3), 8)

    with pytest.warns(RuntimeWarning, match="The objective was nan before update 4"):
        stopped(updates, 6, work, tmp_path / "work")
    with checkpoints.kept(tmp_path / "work", KEY), pytest.warns(RuntimeWarning, match="nan before update 4"):
        work()


def test_lucids_recipe_goes_on(tmp_path, updates):
    """Its losses are of all updates, those of the run that was stopped as well."""

    def work():
        return channel(tiny(), "mixed3b", [1, 4], alpha=True, n_steps=5, size=(24, 24))

    whole = work()
    stopped(updates, 3, work, tmp_path / "work")
    with checkpoints.kept(tmp_path / "work", KEY):
        resumed = work()
    np.testing.assert_array_equal(resumed.losses, whole.losses)
    np.testing.assert_array_equal(resumed.pictures, whole.pictures)
    assert whole.losses.shape == (2, 5)


def test_a_factored_grid_goes_on(tmp_path, updates):
    picture = np.random.RandomState(0).uniform(size=(64, 64, 3)).astype(np.float32)

    def work():
        return factored_activation_grid(tiny(), picture, "mixed4a", 2, size=24, steps=5, batch_size=3)

    whole = work()
    stopped(updates, 3, work, tmp_path / "work")
    with checkpoints.kept(tmp_path / "work", KEY):
        resumed = work()
    assert updates.made == 2
    np.testing.assert_array_equal(resumed.icons, whole.icons)
    np.testing.assert_array_equal(resumed.losses, whole.losses)
