"""Helpers of ``lucid_port.misc`` against Lucid's, and what has no oracle."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from lucid_port.misc import io, ndimage_utils, stimuli
from lucid_port.misc.channel_reducer import ChannelReducer
from lucid_port.misc.io.collapse_channels import collapse_channels, hue_to_rgb
from lucid_port.misc.io.serialize_array import normalize_array
from lucid_port.optvis.sampling import RandomSource
from parity_tests.optvis.cases import assert_matches, cases, reference, seeded


def _run(case, arrays):
    factory, kwargs = case["factory"], dict(case["kwargs"])
    if factory == "hue_to_rgb":
        return np.stack([hue_to_rgb(a, kwargs["warp"]) for a in kwargs["angles"]])
    if factory == "collapse_channels":
        return collapse_channels(seeded(*kwargs["array"]))
    if factory == "normalize_array":
        return normalize_array(seeded(*kwargs["array"]), kwargs["domain"])
    if factory == "rmin":
        x, y = (seeded(seed, (9, 8), "normal") for seed in kwargs["seeds"])
        return stimuli.rmin(x, y, kwargs["r"])
    if factory == "rounded_corner":
        source = RandomSource(replay={"stimuli/offset": [arrays["offsets"] + 0.5]})
        return stimuli.rounded_corner(**kwargs, source=source)
    if factory == "soft_alpha_blend":
        return ndimage_utils.soft_alpha_blend(seeded(*kwargs["array"]), kwargs["amount_background"])
    if factory == "resize":
        return ndimage_utils.resize(seeded(*kwargs["array"]), kwargs["target_size"])
    foreground = seeded(2071, (9, 9, 3))
    return ndimage_utils.composite(seeded(2070, (20, 24, 3)), foreground, 0.4, (0.5, 0.2))


@pytest.mark.parametrize("case", cases("misc"))
def test_misc(case):
    arrays = reference("misc", case)
    assert_matches(_run(case, arrays), arrays["output"])


@pytest.mark.parametrize("algorithm", ["NMF", "PCA"])
def test_channel_reducer_reduces_the_last_axis(algorithm):
    activations = seeded(1, (2, 5, 7, 9))
    reducer = ChannelReducer(3, algorithm)
    reduced = reducer(activations)
    assert reduced.shape == (2, 5, 7, 3)
    assert reducer.components.shape == (3, 9)
    # scikit-learn's NMF iterates in each call, 200 times at the most: 7e-4 of values up to 0.6 measured.
    np.testing.assert_allclose(reducer(activations[:1]), reduced[:1], atol=2e-3)
    if algorithm == "NMF":
        rebuilt = reduced @ reducer.components
        assert (reduced >= 0).all()
        assert np.abs(rebuilt - activations).mean() < np.abs(activations).mean()


def test_channel_reducer_refuses():
    with pytest.raises(ValueError, match="Foo"):
        ChannelReducer(3, "Foo")
    with pytest.raises(ValueError, match="whole number"):
        ChannelReducer(2.5)
    with pytest.raises(AttributeError):
        _ = ChannelReducer().components


@pytest.mark.parametrize("name", ["a.png", "a.npy", "a.npy.xz", "a.PNG"])
def test_arrays_survive_a_file(tmp_path, name):
    array = np.round(seeded(3, (7, 9, 3)) * 255).astype(np.float32) / np.float32(255)
    kwargs = {"domain": (0, 1)} if "png" in name.lower() else {}
    result = io.save(array, tmp_path / "folder" / name, **kwargs)
    loaded = io.load(result["url"])
    # A picture is truncated to bytes, as in Lucid.
    np.testing.assert_allclose(loaded, array, atol=1.01 / 255 if kwargs else 0)


def test_pictures_are_stretched_by_default(tmp_path):
    io.save(0.2 + 0.5 * seeded(4, (8, 8, 3)), tmp_path / "a.png")
    loaded = io.load(tmp_path / "a.png")
    assert loaded.min() == 0
    assert loaded.max() >= 254 / 255  # bytes are truncated


def test_scopes_and_captures(tmp_path):
    with io.CaptureSaveContext() as context, io.io_scope(str(tmp_path)), io.io_scope("b"):
        io.batch_save([({"x": np.arange(3)}, "c.json"), (["l1", "l2"], "../d.txt")])
        assert io.load("c.json") == {"x": [0, 1, 2]}
    assert io.load(tmp_path / "d.txt", split=True) == ["l1", "l2"]
    assert sorted(s["type"] for s in context.captured_saves) == ["json", "txt"]
    assert io.scope_url("a.png") == "a.png"


def test_unusual_pictures(tmp_path):
    deep = (np.arange(64).reshape(8, 8) * 1000).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_allclose(io.load(tmp_path / "deep.png")[..., 0], deep / 65535, atol=1e-6)
    red = Image.new("P", (4, 4))
    red.putpalette([255, 0, 0] * 256)
    red.save(tmp_path / "palette.png")
    assert io.load(tmp_path / "palette.png")[0, 0].tolist() == [1, 0, 0]


def test_pickles_need_permission(tmp_path):
    with pytest.raises(ValueError, match="allow_unsafe_formats"):
        io.save({}, tmp_path / "a.pkl")
    with pytest.raises(ValueError, match="known extensions"):
        io.save({}, tmp_path / "a.foo")
