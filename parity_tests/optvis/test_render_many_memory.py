"""The batch size of `render_many` follows the free memory."""

from __future__ import annotations

import contextlib
import functools
import warnings

import numpy as np
import pytest
import torch

from lucid_port.modelzoo import vision_models
from lucid_port.optvis.engine.vis import VisT
from lucid_port.optvis.many import memory, workers
from lucid_port.optvis.recipe_files import read_recipe
from lucid_port.optvis.render_many import make_many_T
from parity_tests.optvis.many import LIVE, Killed, alone, assert_alike, fail_above, killed_after, manifest, many
from parity_tests.optvis.tiny import TinyModel

OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory."),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate memory: you tried ..."),
    RuntimeError("std::bad_alloc"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["cuda", "numpy", "cpu", "c++"])
def test_a_batch_that_does_not_fit_is_halved(monkeypatch, error):
    expected = many(LIVE)
    sizes = fail_above(monkeypatch, 3, error)
    with pytest.warns(RuntimeWarning, match=r"6 images .* at most 3"):
        found = many(LIVE, batch_size=6)
    assert sizes == [6, 3, 3, 3, 3, 3, 3]
    assert_alike(found, expected)


def test_finished_units_are_kept_when_memory_runs_out_later(monkeypatch, tmp_path):
    sizes = fail_above(monkeypatch, 4, MemoryError())
    with pytest.warns(RuntimeWarning):
        found = many(["conva:*", "mixed:0-5", "head:*"], batch_size=6, output=tmp_path)
    assert len(found) == 14
    assert sizes == [4] * 3 + [6] + [3] * 6 + [2] * 6


@pytest.mark.parametrize("error", OUT_OF_MEMORY[1:], ids=["numpy", "cpu", "c++"])
@pytest.mark.parametrize("place", ["__init__", "step"])
def test_a_single_render_that_does_not_fit(monkeypatch, place, error):
    def failing(*args, **kwargs):
        raise error

    monkeypatch.setattr(VisT, place, failing)
    with pytest.raises(MemoryError, match="The render does not fit into the memory of cpu: make the image smaller"):
        alone("mixed:1")


def test_one_image_that_does_not_fit(monkeypatch):
    fail_above(monkeypatch, 0, MemoryError())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(MemoryError, match="A single image does not fit into the memory of cpu"):
            many()


def test_other_errors_are_not_taken_for_want_of_memory(monkeypatch):
    sizes = fail_above(monkeypatch, 0, RuntimeError("something else"))
    with pytest.raises(RuntimeError, match="something else"):
        many()
    assert len(sizes) == 1


def test_an_error_in_the_middle_has_what_was_finished(monkeypatch):
    fail_above(monkeypatch, 2, RuntimeError("too many"))
    with pytest.raises(RuntimeError) as caught:
        many(["conva:0-1", "mixed:1,4,6"])
    assert [one.name for one in caught.value.renders] == ["conva:0", "conva:1"]


def test_the_networks_precision():
    exact, rounded = many(), many(precision="bf16")
    assert not np.array_equal(exact[0].image, rounded[0].image)
    assert many(precision="float32")[0].losses[0] == pytest.approx(rounded[0].losses[0], rel=0.02)


def test_the_size_of_a_batch_follows_the_free_memory(monkeypatch):
    vis = make_many_T(TinyModel(), "mixed:0", size=12, transforms=[])
    needed = memory.saved_bytes(lambda: vis("loss"))
    assert needed > 2 * 4 * 9 * 12 * 12  # at least what goes into and out of the ReLUs
    forward = functools.partial(vis, "loss")
    for free, expected in ((None, 16), (10**15, 16), (0, 1), (3 * 2 * needed * 5.5, 5)):
        monkeypatch.setattr(memory, "free_host_memory", lambda free=free: free)
        assert memory.host_batch_size(forward) == expected


def _files(root, files):
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)


GIGA = 2**30
MEMINFO = {"proc/meminfo": f"MemTotal: 9 kB\nMemFree: 7 kB\nMemAvailable: {8 * 2**20} kB\n"}
LIMITED = {
    "the machine": ({}, 8 * GIGA),
    "version 2": (
        {
            "proc/self/cgroup": "0::/box/inner\n",
            "groups/box/inner/memory.max": "max\n",
            "groups/box/inner/memory.current": "5\n",
            "groups/box/memory.max": f"{4 * GIGA}\n",
            "groups/box/memory.current": f"{3 * GIGA}\n",
            "groups/box/memory.stat": f"anon 5\ninactive_file {GIGA}\n",
        },
        2 * GIGA,
    ),
    "version 2 in a container": (
        {
            "proc/self/cgroup": "0::/seen/from/outside\n",
            "groups/memory.max": f"{GIGA}\n",
            "groups/memory.current": "100\n",
        },
        GIGA - 100,
    ),
    "version 1": (
        {
            "proc/self/cgroup": "9:cpu:/\n4:memory:/box\n",
            "groups/memory/box/memory.limit_in_bytes": f"{3 * GIGA}\n",
            "groups/memory/box/memory.usage_in_bytes": f"{GIGA}\n",
            "groups/memory/memory.limit_in_bytes": "9223372036854771712\n",
            "groups/memory/memory.usage_in_bytes": f"{GIGA}\n",
        },
        2 * GIGA,
    ),
    "a group beyond its limit": (
        {"proc/self/cgroup": "0::/\n", "groups/memory.max": "100\n", "groups/memory.current": "200\n"},
        0,
    ),
}


@pytest.mark.parametrize("which", LIMITED)
def test_free_memory_is_bounded_by_control_groups(monkeypatch, tmp_path, which):
    files, expected = LIMITED[which]
    _files(tmp_path, {**MEMINFO, **files})
    monkeypatch.setattr(memory, "PROC", tmp_path / "proc")
    monkeypatch.setattr(memory, "CGROUPS", tmp_path / "groups")
    assert memory.free_host_memory() == expected


def test_the_rest_of_a_batch_that_does_not_fit_is_split_as_if_asked_for(monkeypatch):
    units = {"asked": ["mixed:0-4", "mixed:0-4"], "seeds": range(10)}
    sizes = fail_above(monkeypatch, 4, MemoryError())
    with pytest.warns(RuntimeWarning, match="5 images do not fit"):
        halved = many(**units, batch_size=5)
    assert sizes[1:] == [2] * 5 * 3
    for one, other in zip(halved, many(**units, batch_size=2), strict=True):
        np.testing.assert_array_equal(one.image, other.image)


@pytest.mark.parametrize("asked", [None, 6])
def test_a_run_that_resumes_keeps_the_batch_size_after_a_lack_of_memory(monkeypatch, tmp_path, asked):
    with monkeypatch.context() as patched:
        fail_above(patched, 2, MemoryError())
        step, count = VisT.step, []

        def dying(vis):
            count.append(vis)
            if len(count) > 8:
                raise KeyError("died")
            return step(vis)

        patched.setattr(VisT, "step", dying)
        patched.setattr(memory, "batch_size", lambda make, most: 5)
        with pytest.warns(RuntimeWarning), pytest.raises(KeyError):
            many("mixed:0-6", batch_size=asked, output=tmp_path)
    name = "7 units of mixed" + (", at most 6" if asked else "")
    assert manifest(tmp_path)["batch_sizes"] == {name: 1}
    finished = len(manifest(tmp_path)["units"])
    assert 0 < finished < 7
    monkeypatch.setattr(memory, "batch_size", lambda make, most: 7)
    resumed = many("mixed:0-6", batch_size=asked, output=tmp_path, keep=True)
    assert resumed.reused == finished
    expected = {one.name: one.image for one in many("mixed:0-6", batch_size=1)}
    for one in resumed:
        recipe = read_recipe(one.path)
        assert len(recipe.seeds["seeds"]) == 1
        np.testing.assert_array_equal(recipe.render(TinyModel()), expected[one.name])
        if one.image is not None:
            np.testing.assert_array_equal(one.image, expected[one.name])


def _fail_second(monkeypatch, most):
    """All batches of more images than this, except the first one, do not fit."""
    step, first = VisT.step, []

    def limited(vis):
        first.append(vis)
        if vis.param.shape[0] > most and vis is not first[0]:
            raise MemoryError
        return step(vis)

    monkeypatch.setattr(VisT, "step", limited)


def test_a_run_that_resumes_has_the_batches_of_one_that_was_not_interrupted(monkeypatch, tmp_path):
    units = {"asked": ["mixed:0-6", "mixed:0-6"], "seeds": range(14), "batch_size": 7}
    for name, steps in (("whole", 1000), ("killed", 3 + 1)):
        with monkeypatch.context() as patched:
            killed_after(patched, steps)
            _fail_second(patched, 3)
            with pytest.warns(RuntimeWarning), contextlib.suppress(Killed):
                many(**units, output=tmp_path / name)
    assert len(manifest(tmp_path / "killed")["units"]) == 7
    many(**units, output=tmp_path / "killed")
    whole, resumed = manifest(tmp_path / "whole"), manifest(tmp_path / "killed")
    assert len({unit["recipe"] for unit in whole["units"]}) == 4
    assert resumed == whole


def test_a_lack_of_memory_bounds_the_batches_of_other_layers(monkeypatch, tmp_path):
    fail_above(monkeypatch, 3, MemoryError())
    with pytest.warns(RuntimeWarning):
        many(["conva:0-2", "mixed:0-5", "head:*"], batch_size=6, output=tmp_path)
    sizes = manifest(tmp_path)["batch_sizes"]
    assert sizes == {"6 units of mixed, at most 6": 3, "4 units of head, at most 6": 3}


def test_batches_are_even():
    assert [len(b) for b in workers.split_evenly(range(130), 128)] == [65, 65]
    assert [k for batch in workers.split_evenly(range(11), 4) for k in batch] == list(range(11))
    assert workers.split_evenly([], 4) == []


@pytest.mark.gpu
def test_batches_fit_on_a_gpu():
    model = vision_models.InceptionV1_seeded().to("cuda")
    found = many("mixed4a_pre_relu:0-39", model, size=64)
    assert len(found) == 40
    np.testing.assert_allclose(found[3].image, many("mixed4a_pre_relu:3", model, size=64)[0].image, atol=1e-3)
