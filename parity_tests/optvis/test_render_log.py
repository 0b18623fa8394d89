"""Logs of renders, read back by TensorBoard's own reader."""

from __future__ import annotations

import functools
import json
import sys

import numpy as np
import pytest
import tensorboardX
import torch
from torch.utils.tensorboard import SummaryWriter

from lucid_port.misc.event_writers import Log
from lucid_port.modelzoo.vision_models import TinyInceptionV1
from lucid_port.optvis import param, render, render_log
from lucid_port.optvis.progress import TensorBoardLog, logged
from lucid_port.optvis.recipe import Recipe
from lucid_port.recipes import feature_visualization
from parity_tests.event_files import pictures, read, runs, steps, text, values
from parity_tests.optvis.tiny import TinyModel

SCALARS = ["gradient_norm", "learning_rate", "objective"]


def _render(thresholds=(6,), batch=None, size=(10, 14), **options):
    make = options.pop("param_f", lambda: param.image(*size, batch=batch))
    return render.render_vis(TinyModel(), "mixed:1", make, thresholds=thresholds, verbose=False, **options)


class Recorder:
    """A user's own writer, which keeps what it is told."""

    def __init__(self):
        self.scalars, self.images, self.texts, self.closed = [], [], [], False

    def add_scalar(self, tag, value, step):
        self.scalars.append((tag, step, value))

    def add_image(self, tag, picture, step, dataformats):
        self.images.append((tag, step, picture.shape, dataformats))

    def add_text(self, tag, text, step):
        self.texts.append((tag, step, text))

    def close(self):
        self.closed = True


# Numbers -----------------------------------------------------------------------------------------


def test_scalars_at_the_first_update_the_interval_and_the_last(tmp_path):
    made = _render(callbacks=[TensorBoardLog(tmp_path, every=3)])
    log = read(tmp_path)
    assert sorted(log.Tags()["scalars"]) == SCALARS
    for tag in SCALARS:
        assert steps(log, tag) == [1, 3, 6, 7]
    np.testing.assert_allclose(values(log, "objective"), made.losses[[0, 2, 5, 6]], rtol=1e-6)
    assert set(values(log, "learning_rate")) == {np.float32(0.05)}


def test_the_default_interval_is_fifty_updates(tmp_path):
    _render(thresholds=[120], size=(6, 6), log_dir=str(tmp_path))
    assert steps(read(tmp_path), "objective") == [1, 50, 100, 121]
    assert list(pictures(read(tmp_path))) == [100, 121]


def test_the_gradient_norm_is_that_of_all_parameters(tmp_path):
    norms = []

    def own(vis):
        norms.append(np.sqrt(sum(float(one.grad.double().square().sum()) for one in vis.parameters)))

    def two():
        return 0.5 * param.image(7, 9) + 0.5 * param.image(7, 9)

    made = _render(param_f=two, callbacks=[own, TensorBoardLog(tmp_path, every=2)])
    assert len(made.vis.parameters) == 2
    np.testing.assert_allclose(values(read(tmp_path), "gradient_norm"), np.array(norms)[[0, 1, 3, 5, 6]], rtol=1e-5)


def test_a_changing_learning_rate_and_several_groups(tmp_path):
    def optimizer(parameters):
        unused = torch.zeros(1, requires_grad=True)
        return torch.optim.SGD([{"params": parameters, "lr": 0.5}, {"params": [unused]}], 0.1)

    def halve(vis):
        vis.optimizer.param_groups[0]["lr"] /= 2

    _render(thresholds=[2], optimizer=optimizer, callbacks=[halve, TensorBoardLog(tmp_path, every=1)])
    log = read(tmp_path)
    assert values(log, "learning_rate/0") == [0.25, 0.125, 0.0625]
    assert values(log, "learning_rate/1") == [np.float32(0.1)] * 3


# Pictures and recipes ----------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "grid"), [(None, (1, 1)), (3, (2, 2)), (5, (2, 3))])
def test_a_batch_is_one_grid(tmp_path, batch, grid):
    made = _render(batch=batch, thresholds=[4], callbacks=[TensorBoardLog(tmp_path, every=1, pictures_every=2)])
    found = pictures(read(tmp_path))
    assert list(found) == [2, 4, 5]
    rows, columns = grid
    assert {one.size for one in found.values()} == {(columns * 10, rows * 14)}
    last = np.asarray(found[5])
    for number, picture in enumerate(made[-1]):
        row, column = divmod(number, columns)
        cell = last[row * 14 : row * 14 + 14, column * 10 : column * 10 + 10]
        np.testing.assert_array_equal(cell, np.round(picture * 255))


@pytest.mark.parametrize(("channels", "drawn"), [(1, 1), (2, 1), (3, 3), (4, 4), (6, 3)])
def test_pictures_of_any_number_of_channels_are_drawn(channels, drawn):
    picture = np.full((2, 5, 7, channels), 0.2, np.float32)
    picture[0, 0, 0] = np.nan
    grid = render_log.picture_grid(picture)
    assert grid.shape == (5, 14, drawn)
    assert grid.dtype == np.uint8
    assert (grid[0, 0] == 0).all()
    assert (grid[1:] == 51).all()


def test_a_threshold_is_not_written_twice(tmp_path):
    _render(thresholds=[1, 3], callbacks=[TensorBoardLog(tmp_path, every=2, pictures_every=2)])
    assert [event.step for event in read(tmp_path).Images("image")] == [2, 4]


def test_the_recipe_is_a_text_that_renders_the_picture_again(tmp_path):
    made = render.render_vis(
        TinyInceptionV1(), "mixed4a:8", lambda: param.image(32), thresholds=[2], verbose=False, log_dir=tmp_path
    )
    written = text(read(tmp_path)).removeprefix("```json\n").removesuffix("\n```")
    recipe = Recipe.from_data(json.loads(written))
    assert recipe.steps == 3
    np.testing.assert_array_equal(recipe.render(TinyInceptionV1()), made[-1][0])


def test_the_recipe_names_callbacks_of_the_users_own(tmp_path):
    def blur(vis): ...

    _render(callbacks=[blur], log_dir=tmp_path)
    assert "The callback blur was called after each update." in text(read(tmp_path))


# A log changes nothing, and reads rarely ---------------------------------------------------------


@pytest.mark.parametrize("batch", [None, 2])
def test_a_render_has_the_same_bits_with_a_log(tmp_path, batch):
    plain = _render(thresholds=[0, 5, 20], batch=batch)
    logs = TensorBoardLog(tmp_path, every=1, pictures_every=1)
    seen = _render(thresholds=[0, 5, 20], batch=batch, callbacks=[logs])
    for one, other in zip(plain, seen, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(plain.losses, seen.losses)


def test_many_renders_have_the_same_bits_with_a_log(tmp_path):
    plain, seen = (
        render.render_many(TinyModel(), "mixed:1-3", size=12, steps=4, verbose=False, log_dir=log_dir)
        for log_dir in (None, tmp_path)
    )
    for one, other in zip(plain, seen, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.losses, other.losses)


def test_nothing_is_read_between_the_intervals(tmp_path, monkeypatch):
    norms, images = [], []
    norm, image = render_log._gradient_norm, render.VisT.image
    monkeypatch.setattr(render_log, "_gradient_norm", lambda vis, like: norms.append(vis.steps) or norm(vis, like))
    monkeypatch.setattr(render.VisT, "image", lambda vis: images.append(vis.steps) or image(vis))
    _render(thresholds=[9], callbacks=[TensorBoardLog(tmp_path, every=4)])
    assert norms == [1, 4, 8, 10]
    assert images == [8, 10]


# Many renders ------------------------------------------------------------------------------------


def test_a_batch_is_a_run_with_a_curve_for_each_unit(tmp_path):
    made = render.render_many(TinyModel(), ["mixed:1-3", "conva:0"], size=12, steps=4, verbose=False, log_dir=tmp_path)
    assert runs(tmp_path) == ["conva/0", "mixed/1-3"]
    log = read(tmp_path / "mixed/1-3")
    for one in made[:3]:
        np.testing.assert_allclose(values(log, f"objective/{one.name}"), one.losses[[0, 3]], rtol=1e-6)
        assert steps(log, f"objective/{one.name}") == [1, 4]
    assert pictures(log)[4].size == (24, 24)
    assert '"each_channel"' in text(log)
    assert sorted(read(tmp_path / "conva/0").Tags()["scalars"]) == SCALARS


def test_objectives_of_many_renders_are_named(tmp_path):
    units = [lambda T: T("mixed")[:, 1].mean(), lambda T: T("mixed")[:, 2].mean()]
    render.render_many(TinyModel(), units, size=12, steps=1, verbose=False, log_dir=tmp_path)
    (name,) = runs(tmp_path)
    assert name.endswith("_and_1_more")


def test_finished_units_of_a_folder_are_not_logged_again(tmp_path):
    for number in range(2):
        options = {"output": tmp_path / "o", "log_dir": tmp_path / f"log{number}"}
        render.render_many(TinyModel(), "mixed:1", size=12, steps=1, verbose=False, **options)
    assert not runs(tmp_path / "log1")


def test_each_render_of_a_block_is_a_run(tmp_path):
    with logged(tmp_path):
        _render()
        _render()
        render.render_many(TinyModel(), "mixed:4", size=12, steps=1, verbose=False)
        feature_visualization.visualize(TinyInceptionV1(), ["mixed4a:8"], size=32, steps=2)
    _render()
    assert runs(tmp_path) == ["Channel_mixed_1", "Channel_mixed_1_2", "mixed/4", "mixed4a_8"]
    assert render_log.active() is None


def test_an_inner_log_replaces_that_of_the_block(tmp_path):
    with logged(tmp_path / "block"):
        _render(log_dir=tmp_path / "own")
        with logged(None):
            _render()
    assert runs(tmp_path) == ["block/Channel_mixed_1", "own"]


# Ends --------------------------------------------------------------------------------------------


def test_a_stopped_render_logs_its_last_update(tmp_path):
    def stop(vis):
        if vis.steps == 5:
            vis.stop()

    _render(thresholds=[99], callbacks=[stop, TensorBoardLog(tmp_path, every=3)])
    log = read(tmp_path)
    assert steps(log, "objective") == steps(log, "gradient_norm") == [1, 3, 5]
    assert list(pictures(log)) == [5]


def test_an_interrupted_update_is_not_logged(tmp_path):
    def interrupted(T):
        if T("global_step") == 5:
            raise KeyboardInterrupt
        return T("mixed")[:, 1].mean()

    make = functools.partial(param.image, 12)
    render.render_vis(TinyModel(), interrupted, make, thresholds=[99], verbose=False, log_dir=tmp_path)
    assert steps(read(tmp_path), "objective") == [1, 5]


def test_a_log_can_be_used_again(tmp_path):
    log = TensorBoardLog(tmp_path, every=1)
    _render(thresholds=[0], callbacks=[log])
    _render(thresholds=[0], callbacks=[log])
    assert steps(read(tmp_path), "objective") == [1, 1]


# Writers of the user's own -----------------------------------------------------------------------


def test_a_writer_gets_everything_and_stays_open():
    writer = Recorder()
    _render(batch=3, callbacks=[TensorBoardLog(writer, every=7, pictures_every=7)])
    assert [step for tag, step, _ in writer.scalars if tag == "objective"] == [1, 7]
    assert writer.images == [("image", 7, (28, 20, 3), "HWC")]
    assert writer.texts[0][0] == "recipe"
    assert not writer.closed


def test_the_names_of_runs_stand_before_a_writers_tags():
    writer = Recorder()
    render.render_many(TinyModel(), "mixed:1,2", size=12, steps=1, verbose=False, log_dir=writer)
    assert {tag for tag, _, _ in writer.scalars} == {
        f"mixed/1-2/{tag}" for tag in (*SCALARS, "objective/mixed:1", "objective/mixed:2")
    }
    assert not writer.closed


@pytest.mark.parametrize("kind", [SummaryWriter, tensorboardX.SummaryWriter])
def test_writers_of_torch_and_tensorboardx(tmp_path, kind):
    writer = kind(str(tmp_path))
    _render(batch=3, log_dir=writer)
    writer.add_scalar("mine", 1.0, 0)  # it is open
    writer.close()
    log = read(tmp_path)
    assert sorted(log.Tags()["scalars"]) == sorted([*SCALARS, "mine"])
    assert steps(log, "objective") == [1, 7]
    assert pictures(log)[7].size == (20, 28)
    assert "lucid_port_recipe" in text(log)


# Bad input ---------------------------------------------------------------------------------------


@pytest.fixture
def no_work(monkeypatch):
    """Fails if a render begins."""
    monkeypatch.setattr(render.VisT, "step", lambda vis: pytest.fail("the render has begun"))


def _both(log_dir):
    yield lambda: _render(log_dir=log_dir)
    yield lambda: render.render_many(TinyModel(), "mixed:1", size=12, steps=1, verbose=False, log_dir=log_dir)


def test_a_file_is_no_folder(tmp_path, no_work):
    file = tmp_path / "log"
    file.write_text("")
    for call in _both(file):
        with pytest.raises(NotADirectoryError, match=r"The log_dir .*log is a file: name a folder\."):
            call()


def test_a_folder_that_cannot_be_written(no_work):
    for call in _both("/proc/nothing/here"):
        with pytest.raises(OSError, match=r"/proc/nothing/here cannot be written: .* is not a writable folder"):
            call()


def test_a_folder_inside_a_file_cannot_be_written(tmp_path, no_work):
    (tmp_path / "file").write_text("")
    for call in _both(tmp_path / "file" / "log"):
        with pytest.raises(OSError, match=r"log cannot be written: .*file is a file"):
            call()


def test_missing_methods_of_a_writer_are_named(no_work):
    class Half:
        def add_scalar(self, tag, value, step): ...

    for call in _both(Half()):
        with pytest.raises(ValueError, match=r"log_dir is a Half without add_image, add_text:"):
            call()


@pytest.mark.parametrize("wrong", [3, object(), Recorder])
def test_other_objects_are_no_writers(wrong, no_work):
    for call in _both(wrong):
        with pytest.raises(
            TypeError, match="log_dir is a folder, or a writer with add_scalar, add_image, add_text, not"
        ):
            call()


def test_without_tensorboard_one_sentence_says_so(tmp_path, monkeypatch, no_work):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    for call in _both(tmp_path):
        with pytest.raises(ImportError, match=r"Logs need the package tensorboard: pip install tensorboard"):
            call()
    _ = Log(Recorder())  # needs no TensorBoard


@pytest.mark.parametrize(("every", "pictures_every"), [(0, None), (2, 3), (50, 10), (5, 0)])
def test_wrong_intervals(tmp_path, every, pictures_every):
    with pytest.raises(ValueError, match="every"):
        TensorBoardLog(tmp_path, every=every, pictures_every=pictures_every)
    assert not list(tmp_path.iterdir())
