"""Pictures in bytes, Pillow's images, and values far outside of [0, 1]."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from lucid_port.misc.io.pictures import pixels_of
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.get_activations import get_activations
from lucid_port.optvis.objectives import input_diff
from lucid_port.recipes.inputs import as_batch, load_image

BYTES = np.random.RandomState(0).randint(0, 256, (2, 7, 9, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return from_torch(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), (-1, 1), image_shape=(7, 9, 3))


@pytest.fixture(scope="module")
def gray_model():
    torch.manual_seed(0)
    return from_torch(nn.Sequential(nn.Conv2d(1, 4, 3)), (-1, 1), image_shape=(7, 9, 1))


@pytest.mark.parametrize(
    "examples",
    [
        BYTES,
        BYTES.astype(np.uint16) * 257,
        [Image.fromarray(one) for one in BYTES],
        [Image.fromarray(one).convert("RGBA") for one in BYTES],
        [BYTES[0], BYTES[1] / 255],
    ],
    ids=["uint8", "uint16", "pillow", "with alpha", "mixed"],
)
def test_activations_of_bytes_are_those_of_floats(model, examples):
    expected = get_activations(model, "0", BYTES.astype(np.float32) / 255)
    np.testing.assert_allclose(get_activations(model, "0", examples), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("examples", "error", "words"),
    [
        (BYTES.astype(np.float32), ValueError, "from 0 to 255, but images are in .*divide them by 255"),
        ((BYTES / 255 - 0.45) / 0.22, ValueError, "before it is normalized"),
        (BYTES.astype(np.int64), TypeError, r"not int64: convert it with astype\(np.uint8\)"),
        (BYTES > 100, TypeError, "not bool"),
        (torch.rand(2, 7, 9, 3), TypeError, r"not a tensor: give arrays, or use model\.activations"),
    ],
    ids=["0..255", "normalized", "int64", "bool", "tensor"],
)
def test_pictures_in_other_units_are_refused(model, examples, error, words):
    with pytest.raises(error, match=words):
        get_activations(model, "0", examples)


@pytest.mark.parametrize("run", [lambda m, x: m(x), lambda m, x: m.activations(x, ["0"])], ids=["call", "activations"])
def test_tensors_far_outside_the_range(model, run):
    picture = torch.from_numpy(BYTES).permute(0, 3, 1, 2)
    with pytest.raises(ValueError, match=r"uint8.*divide by 255"):
        run(model, picture)
    with pytest.warns(RuntimeWarning, match=r"from 0 to 255, but images are in \[0, 1\]: divide them by 255"):
        run(model, picture.float())
    with pytest.raises((TypeError, ValueError), match=r"is a tensor|not a tensor"):
        run(model, Image.fromarray(BYTES[0]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run(model, picture / 255)
        run(model, picture / 200 - 0.1)  # overshoots, as resizing does


@pytest.mark.parametrize("mode", ["L", "P", "1", "CMYK", "YCbCr", "HSV", "LA", "RGBA", "I;16", "RGBX"])
def test_pillows_images_of_every_mode_look_as_in_rgb(mode):
    colors = np.zeros((6, 8, 3), np.uint8)
    colors[:3], colors[3:, 4:] = 255, (0, 255, 0) if mode in ("P", "CMYK", "YCbCr", "HSV", "RGBA", "RGBX") else 255
    picture = Image.fromarray(colors)
    if mode == "I;16":
        picture = Image.fromarray(colors[..., 1].astype(np.uint16) * 257)
        colors = np.repeat(colors[..., 1:2], 3, -1)
    else:
        picture = picture.convert(mode)
    # Pillow rounds YCbCr to one of 256 levels; the other modes are exact.
    np.testing.assert_allclose(load_image(picture), colors / 255, rtol=0, atol=1.01 / 255 if mode == "YCbCr" else 1e-7)


def test_premultiplied_alpha_is_undone():
    picture = Image.new("RGBA", (2, 3), (200, 100, 50, 128))
    # Premultiplied values are rounded to one of 256 levels: measured one level.
    np.testing.assert_allclose(pixels_of(picture.convert("RGBa")), pixels_of(picture), rtol=0, atol=1.01 / 255)


def test_integers_whose_white_is_unknown_are_no_picture():
    with pytest.raises(TypeError, match=r"uint8 \(0 to 255\), uint16 .* not int64"):
        load_image([[0, 255], [255, 0]])


def test_a_picture_in_bytes_is_no_target():
    with pytest.raises(ValueError, match=r"input_diff's orig_img has values from .* to 25\d.*divide them by 255"):
        input_diff(BYTES[0])


def test_a_network_of_one_channel_gets_gray(gray_model):
    expected = np.asarray(Image.fromarray(BYTES[0]).convert("L"), np.float32) / 255
    found = as_batch(gray_model, load_image(BYTES[0]))
    np.testing.assert_allclose(found[0, 0], expected, atol=1 / 255)
    values = get_activations(gray_model, "0", [Image.fromarray(BYTES[0])])
    np.testing.assert_allclose(values[0], gray_model.activations(found, "0")["0"][0].permute(1, 2, 0), atol=1e-5)


@pytest.mark.parametrize(
    ("mean", "std"),
    [((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)), ((123.68, 116.78, 103.94), (1, 1, 1)), ((0, 0), (255, 255))],
)
def test_a_mean_in_bytes_is_refused_with_one_that_helps(mean, std):
    count = len(mean)
    network, shape = nn.Sequential(nn.Conv2d(count, 4, 3)), (224, 224, count)
    with pytest.raises(ValueError, match=r"images in \[0, 255\].*divide both by 255, mean=\(0") as caught:
        from_torch(network, mean=mean, std=std, image_shape=shape)
    arguments = eval("dict(" + str(caught.value).split("255, ")[-1].rstrip(".") + ")")
    model, picture = from_torch(network, **arguments, image_shape=shape), torch.rand(1, count, 5, 6)
    minus, by = (torch.tensor(numbers).reshape(-1, 1, 1) for numbers in (mean, std))
    expected = (picture * 255 - minus) / by
    most = 2e-3 * expected.abs().max().item()  # the message rounds to five decimals
    torch.testing.assert_close(model.create_input(picture), expected, rtol=0, atol=most)
