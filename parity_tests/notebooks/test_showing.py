"""`show`: every kind of picture, in a notebook and outside."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from PIL import Image

from lucid_port.misc.io import show
from lucid_port.misc.io.showing import MARK, image, image_url, images
from lucid_port.optvis.render_many import render_many
from parity_tests.notebooks.display import pictures_in
from parity_tests.optvis.tiny import TinyModel

RAMP = np.linspace(0, 1, 4 * 5 * 3, dtype=np.float32).reshape(4, 5, 3)
BYTES = (RAMP * 255).astype(np.uint8)  # truncated, as Lucid does


def only(screen):
    (picture,) = screen.pictures()
    return picture


# What it looks like ----------------------------------------------------------------------------


def test_a_picture_is_shown_pixel_for_pixel(screen):
    show(RAMP)
    assert np.array_equal(only(screen), BYTES)
    assert screen.shown[0]["text/plain"] == "1 picture of 5 x 4 pixels"


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 1)])
def test_grey(screen, shape):
    show(RAMP[..., 0].reshape(shape))
    assert np.array_equal(only(screen), BYTES[..., 0])


def test_transparency(screen):
    show(np.dstack([RAMP, RAMP[..., :1]]))
    assert np.array_equal(only(screen), np.dstack([BYTES, BYTES[..., :1]]))


def test_a_batch_has_a_label_for_each(screen):
    show(np.stack([RAMP, 1 - RAMP]), labels=["one", "<two>"], w=80)
    assert [picture.shape for picture in screen.pictures()] == [(4, 5, 3)] * 2
    assert "one<br>" in screen.html
    assert "&lt;two&gt;<br>" in screen.html
    assert screen.html.count("width: 80px;") == 2
    assert len(screen.shown) == 1


def test_lists_may_mix_sizes_and_batches(screen):
    show([RAMP, np.zeros((2, 6, 7, 3)), RAMP[..., 0]])
    assert [picture.shape[:2] for picture in screen.pictures()] == [(4, 5), (6, 7), (6, 7), (4, 5)]
    assert [label in screen.html for label in (">0<br>", ">1.0<br>", ">1.1<br>", ">2<br>")] == [True] * 4


def test_a_dict_gives_the_labels(screen):
    show({"ramp": RAMP, "dark": RAMP * 0})
    assert ">ramp<br>" in screen.html
    assert not screen.pictures()[1].any()


def test_pillow_pictures_have_their_own_colours(screen):
    picture = Image.fromarray(BYTES)
    show(picture)
    assert np.array_equal(only(screen), BYTES)
    show(picture.quantize(256))  # a palette's numbers are no colours
    assert only(screen).shape == (4, 5, 3)
    assert np.abs(only(screen).astype(int) - BYTES).max() < 8


def test_bytes_are_0_to_255(screen):
    show(BYTES)
    assert np.array_equal(only(screen), BYTES)


def test_masks_are_black_and_white(screen):
    show(RAMP[..., 0] > 0.5)
    assert sorted(set(only(screen).ravel().tolist())) == [0, 255]


def test_contrast(screen):
    show(0.4 + 0.2 * RAMP)
    assert (only(screen).min(), only(screen).max()) == (102, 153)
    show(0.4 + 0.2 * RAMP, domain=None)
    assert (only(screen).min(), only(screen).max()) == (0, 255)
    image(0.4 + 0.2 * RAMP)  # Lucid's two defaults
    assert (only(screen).min(), only(screen).max()) == (0, 255)


def test_many_channels_are_hues(screen):
    show(np.eye(6, dtype=np.float32)[None])
    assert len({tuple(pixel) for pixel in only(screen)[0]}) == 6


def test_what_render_many_returns_has_its_names(screen):
    made = render_many(TinyModel(), "mixed:1,4", size=12, steps=1, verbose=False)
    show(made)
    assert ">mixed:1<br>" in screen.html
    assert ">mixed:4<br>" in screen.html
    assert np.array_equal(screen.pictures()[1], (made[1].image * 255).astype(np.uint8))


def test_what_recipes_return_is_shown(screen):
    @dataclass
    class Result:
        names: tuple[str, ...]
        pictures: np.ndarray

    show(Result(("up", "down"), np.stack([RAMP, 1 - RAMP])))
    assert ">down<br>" in screen.html
    assert len(screen.pictures()) == 2


# Tensors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tensor",
    [
        torch.from_numpy(RAMP),
        torch.from_numpy(RAMP).permute(2, 0, 1),
        torch.from_numpy(RAMP).permute(2, 0, 1).requires_grad_(),
        torch.from_numpy(RAMP).permute(2, 0, 1)[None],
        torch.from_numpy(RAMP)[None],
    ],
)
def test_tensors_are_turned_where_their_channels_come_first(screen, tensor):
    show(tensor)
    assert np.array_equal(only(screen), BYTES)


def test_tensors_of_which_nobody_can_tell_are_refused(screen):
    tensor = torch.rand(1, 6, 5, 7)
    with pytest.raises(ValueError, match=r"shape \(1, 6, 5, 7\) may have its channels first or last: pass layout="):
        show(tensor)
    show(tensor, layout="NCHW")
    assert only(screen).shape == (5, 7, 3)
    show(tensor, layout="NHWC")
    assert only(screen).shape == (6, 5, 3)


def test_arrays_are_channels_last_as_in_lucid(screen):
    first = np.moveaxis(np.random.RandomState(0).rand(8, 9, 3), -1, 0)
    with pytest.warns(UserWarning, match=r"shape \(3, 8, 9\) is shown as 9 channels.*layout='NCHW'"):
        show(first)
    assert only(screen).shape == (3, 8, 3)
    show(first, layout="NCHW")
    assert only(screen).shape == (8, 9, 3)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        show(np.random.RandomState(0).rand(14, 14, 508))  # a layer's activations
    with pytest.raises(ValueError, match="layout is 'NHWC'"):
        show(first, layout="CHW")


# NaN -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [None, 1, 3, 4, 6])
@pytest.mark.parametrize("domain", [(0, 1), None])
def test_pixels_without_a_value_are_marked(screen, channels, domain):
    values = np.random.RandomState(0).rand(4, 5, *([] if channels is None else [channels])).astype(np.float32)
    before = image_url(values, domain=domain)
    values[1, 2] = np.nan
    show(values, domain)
    picture = only(screen)
    assert tuple(picture[1, 2][:3]) == MARK
    assert "5.0% of the pixels are NaN" in screen.html
    marked = (picture[..., :3] == MARK).all(-1)
    assert marked.sum() == 1
    if domain is not None and channels in (3, 4):
        (whole,) = pictures_in(f'src="{before}"')
        assert np.array_equal(picture[~marked], whole[~marked])


def test_a_picture_of_nothing_but_nan(screen):
    show(np.full((4, 5, 3), np.nan))
    assert (only(screen) == MARK).all()
    assert "All of the pixels are NaN" in screen.html


def test_infinite_values_are_cut(screen):
    values = RAMP.copy()
    values[0, 0], values[3, 4] = -np.inf, np.inf
    show(values)
    assert np.array_equal(only(screen)[0, 0], [0, 0, 0])
    show(values, domain=None)
    assert only(screen).min() == 0
    assert only(screen).max() >= 254  # the largest finite value, truncated
    assert len(np.unique(only(screen))) > 20


def test_what_is_shown_is_left_as_it_was(screen):
    values = RAMP.copy()
    values[0, 0] = np.nan
    before = values.copy()
    show(values)
    np.testing.assert_array_equal(values, before)


# Elsewhere, and what is no picture -------------------------------------------------------------


@pytest.mark.parametrize(
    ("thing", "said"),
    [
        (RAMP, "1 picture of 5 x 4 pixels. Pictures are shown in notebooks; lucid_port.misc.io.save"),
        ([RAMP, RAMP[:2]], "2 pictures of 5 x 2 and 5 x 4 pixels."),
        ([np.zeros((n, 3)) for n in range(2, 9)], "7 pictures of several sizes."),
    ],
)
def test_outside_a_notebook_a_line_says_what_it_is(thing, said, capsys):
    show(thing)
    assert capsys.readouterr().out.startswith(said)


@pytest.mark.parametrize(
    "thing",
    [3, "text", None, [], [1, 2], {"a": 1}, np.arange(3), np.zeros((0, 3)), np.zeros((2, 2), complex), [RAMP, 1]],
)
def test_anything_else_is_text(thing, capsys, screen):
    show(thing)
    assert capsys.readouterr().out == (thing if isinstance(thing, str) else repr(thing)) + "\n"
    assert not screen.shown


@pytest.mark.parametrize(
    ("call", "error", "said"),
    [
        (lambda: show(RAMP, w=0), ValueError, "w, the width, is a finite number above 0"),
        (lambda: show(RAMP, w="wide"), TypeError, "w is a finite number"),
        (lambda: show([RAMP, RAMP], labels=["one"]), ValueError, "2 pictures have 1 labels"),
        (lambda: show([RAMP, RAMP], labels="ab"), TypeError, "labels is a list of texts, not 'ab'"),
        (lambda: show(RAMP, format="gif87"), ValueError, "Unknown picture format"),
        (lambda: show(RAMP, domain=(1, 0)), ValueError, "the smaller number first"),
        (lambda: images([RAMP[0, 0]]), ValueError, "A picture is"),
    ],
)
def test_arguments_that_make_no_sense(call, error, said, screen):
    with pytest.raises(error, match=said):
        call()


def test_a_list_that_nests_too_deeply_is_refused():
    deep = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(ValueError, match="nests too deeply"):
        show(deep)
