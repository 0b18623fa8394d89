"""The batch size of `render_many` follows the free memory."""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest
import torch

from lucid_port.modelzoo import vision_models
from lucid_port.optvis.many import memory, workers
from lucid_port.optvis.render_many import make_many_T
from parity_tests.optvis.many import LIVE, assert_alike, fail_above, many
from parity_tests.optvis.tiny import TinyModel

OUT_OF_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory."),
    MemoryError(),
    RuntimeError("[enforce fail at alloc_cpu.cpp:119] . DefaultCPUAllocator: can't allocate memory: you tried ..."),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["cuda", "numpy", "cpu"])
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
