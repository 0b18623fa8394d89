"""What recipes are given: pictures of any kind, layers and units that may not exist."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from converters import LayerNotFoundError
from lucid_port.modelzoo.vision_models import TinyInceptionV1
from lucid_port.recipes import inputs
from lucid_port.recipes.attribution import (
    channel_attribution,
    class_attribution,
    gradient_magnitudes,
    input_attribution,
    spatial_attribution,
)
from lucid_port.recipes.deepdream import deepdream
from lucid_port.recipes.image_activations import image_activations
from lucid_port.recipes.inputs import (
    activations_of,
    channels_of,
    check_positions,
    check_units,
    load_folder,
    load_image,
    load_scaled,
    spatial_activations,
)
from lucid_port.recipes.patches import patch_table
from lucid_port.recipes.tuning import middle_activations
from lucid_port.recipes.weights import expanded_weights

RGB = np.random.RandomState(0).randint(0, 256, (9, 13, 3), np.uint8)


def saved(tmp_path, picture, name="a.png", **options):
    picture.save(tmp_path / name, **options)
    return load_image(tmp_path / name)


def test_colours(tmp_path):
    np.testing.assert_allclose(saved(tmp_path, Image.fromarray(RGB)), RGB / 255, atol=1e-6)


def test_grey(tmp_path):
    found = saved(tmp_path, Image.fromarray(RGB[..., 0]))
    np.testing.assert_allclose(found, np.repeat(RGB[..., :1], 3, -1) / 255, atol=1e-6)


def test_sixteen_bits(tmp_path):
    grey = np.linspace(0, 65535, 12).astype(np.uint16).reshape(3, 4)
    np.testing.assert_allclose(saved(tmp_path, Image.fromarray(grey))[..., 1], grey / 65535, atol=1e-6)


def test_a_palette(tmp_path):
    found = saved(tmp_path, Image.fromarray(RGB).quantize(256))
    np.testing.assert_allclose(found, RGB / 255, atol=1e-6)


@pytest.mark.parametrize(("background", "expected"), [(1.0, 1.0), (0.0, 0.0)])
def test_what_is_transparent_shows_the_background(tmp_path, background, expected):
    picture = np.dstack([RGB, np.full(RGB.shape[:2], 255, np.uint8)])
    picture[:4, :, 3] = 0
    Image.fromarray(picture).save(tmp_path / "a.png")
    found = load_image(tmp_path / "a.png", background=background)
    assert (found[:4] == expected).all()
    np.testing.assert_allclose(found[4:], RGB[4:] / 255, atol=1e-6)


def test_gray_with_alpha_shows_the_background():
    """0.5 x 0.25 + 0.8 x 0.75 = 0.725 in each channel."""
    pixels = np.broadcast_to([0.5, 0.25], (5, 4, 2))
    np.testing.assert_allclose(load_image(pixels, background=0.8), np.full((5, 4, 3), 0.725), atol=1e-6)


def test_a_photograph_taken_sideways(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by 90 degrees
    found = saved(tmp_path, Image.fromarray(RGB), "a.webp", lossless=True, exif=exif)
    np.testing.assert_allclose(found, np.rot90(RGB, -1) / 255, atol=1e-6)


def test_sizes_are_height_and_width():
    assert load_image(RGB, (20, 31)).shape == (20, 31, 3)
    assert load_image(RGB, 7).shape == (7, 7, 3)
    np.testing.assert_allclose(load_image(np.full((5, 4, 3), 0.25), 11), 0.25, atol=1e-6)


@pytest.mark.parametrize("size", [(20, 31), (64, 5), (3, 90), (41, 5), (20, 67), (41, 67)])
@pytest.mark.parametrize(
    "name", ["RGB.png", "L.png", "RGBA.png", "LA.png", "P.png", "CMYK.jpg", "turned.jpg", "I;16.png"]
)
def test_strips_are_resized_as_the_whole_picture_is(tmp_path, monkeypatch, name, size):
    noise = np.random.RandomState(0).randint(0, 256, (41, 67, 4)).astype(np.uint8)
    mode = {"turned": "RGB"}.get(name[:-4], name[:-4])
    picture = Image.fromarray(noise)
    picture = Image.fromarray(noise[..., 0].astype(np.uint16) * 257) if mode == "I;16" else picture.convert(mode)
    exif = Image.Exif()
    exif[0x0112] = 6 if "turned" in name else 1
    picture.save(tmp_path / name, exif=exif)
    whole = load_image(load_image(tmp_path / name, background=0.3), size)
    assert np.array_equal(load_image(tmp_path / name, size, 0.3), whole)
    monkeypatch.setattr("lucid_port.misc.io.pictures._STRIP", 500)
    monkeypatch.setattr("lucid_port.recipes.inputs.LARGE", 1000)
    # Pillow may resize columns before rows.
    np.testing.assert_allclose(load_image(tmp_path / name, size, 0.3), whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("longest", [5, 67, 90])
def test_the_longer_side_of_a_file_is_that_of_its_array(tmp_path, longest):
    noise = np.random.RandomState(0).randint(0, 256, (41, 67, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    found = load_scaled(tmp_path / "a.png", longest)
    assert max(found.shape[:2]) == longest
    np.testing.assert_array_equal(found, load_scaled(noise, longest))


@pytest.mark.parametrize(
    ("image", "words"),
    [
        (np.zeros((3, 3, 5)), "1 to 4 channels"),
        (np.full((3, 3, 3), 200.0), "divide by 255"),
        (np.full((3, 3, 3), np.nan), "NaN or infinite"),
        (np.zeros((2, 3, 3, 3)), "an array"),
        (None, "an array"),
    ],
)
def test_what_is_no_picture(image, words):
    with pytest.raises((TypeError, ValueError), match=words):
        load_image(image)


def test_files_that_are_no_pictures(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(ValueError, match=r"a\.txt is no picture: the names of pictures end in"):
        load_image(tmp_path / "a.txt")
    with pytest.raises(IsADirectoryError, match="is a folder: name one of its pictures"):
        load_image(tmp_path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no picture .*a.png"):
        load_image(tmp_path / "a.png")


def test_folders_say_what_they_leave_out(tmp_path):
    for name in ("b.png", "a.png"):
        Image.fromarray(RGB).save(tmp_path / name)
    (tmp_path / "c.png").write_bytes(b"no picture")
    (tmp_path / "notes.txt").write_text("not asked for")
    pictures, skipped = load_folder(tmp_path, 8)
    assert pictures.shape == (2, 8, 8, 3)
    assert [one.split(" was")[0] for one in skipped] == ["c.png"]


def test_folders_without_pictures(tmp_path):
    with pytest.raises(ValueError, match="no picture that can be read"):
        load_folder(tmp_path)
    with pytest.raises(FileNotFoundError, match="no folder"):
        load_folder(tmp_path / "gone")


def test_activations_are_those_of_the_model(model, picture):
    found = activations_of(model, picture, ["mixed3a"])
    assert found["mixed3a"].shape == (6, 5, model.network.layers["mixed3a"].channels)


def test_one_layers_name_is_no_list_of_them(model, picture):
    with pytest.raises(TypeError, match=r"layer_names is a list of layers, as in \['mixed4a'\], not 'mixed3a'"):
        image_activations(model, picture, "mixed3a")
    assert list(image_activations(model, picture, ("mixed3a",))) == ["mixed3a"]


def test_layers_that_do_not_exist_or_have_no_positions(model):
    square = np.zeros((224, 224, 3), np.float32)
    with pytest.raises(LayerNotFoundError, match="mixed3a"):
        spatial_activations(model, square, "mixed3A")
    with pytest.raises(ValueError, match=r"'softmax2' is fully connected.*no positions"):
        spatial_activations(model, square, "softmax2")


def test_channels_of_a_layer_without_a_description_are_counted(model, monkeypatch):
    described = channels_of(model, "mixed3a")
    monkeypatch.setattr(inputs, "layer_info", lambda model, layer: None)
    assert channels_of(model, "mixed3a") == described


@pytest.mark.parametrize(("units", "words"), [([0, 99], "There is no unit 99"), ([], "No units"), ([-1], "least|0")])
def test_units_that_do_not_exist(model, units, words):
    with pytest.raises(ValueError, match=words):
        check_units(model, "mixed3a", units)


@pytest.mark.parametrize("positions", [[(0.5, 1)], [("a", "b")], [(0, 14)], [(1, 2, 3)], 3])
def test_positions_that_are_none(positions):
    with pytest.raises((TypeError, ValueError), match=r"position|row|column|pair"):
        check_positions(positions, 14, 14)


def test_all_positions():
    assert check_positions(None, 2, 3) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]


def test_a_background_outside_of_the_range():
    with pytest.raises(ValueError, match="background is a finite number from 0 to 1, not 7"):
        load_image(np.zeros((2, 2, 4), np.float32), background=7)


STRICT = {
    "activations_of": lambda model, image: activations_of(model, image, ["mixed3a"]),
    "middle_activations": lambda model, image: middle_activations(model, "mixed3a", image[None]),
    "deepdream": lambda model, image: deepdream(model, image, "mixed3a", octaves=1, steps=1),
    "channel_attribution": lambda model, image: channel_attribution(model, image, "mixed3a", 1, 2),
    "path attribution": lambda model, image: channel_attribution(model, image, "mixed3a", 1, path_steps=2),
    "class_attribution": lambda model, image: class_attribution(model, image, "mixed3a", 1),
    "spatial_attribution": lambda model, image: spatial_attribution(
        model, image, "mixed3a", "mixed3b", positions=[(0, 0)]
    ),
    "gradient_magnitudes": lambda model, image: gradient_magnitudes(model, image, ["mixed3a"], 1),
    "input_attribution": lambda model, image: input_attribution(model, image, 1),
    "expanded_weights": lambda model, image: expanded_weights(model, "mixed3a", "mixed3b", [1]),
    "patch_table": lambda model, image: patch_table(model, image, image[:4, :4]),
}


@pytest.mark.parametrize("name", STRICT)
def test_what_is_computed_outside_of_renders_is_strict_float32(name, monkeypatch):
    """A GPU's convolutions round to 11 bits unless they are told not to."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)
    model, seen = TinyInceptionV1(), []
    original = model.compute
    monkeypatch.setattr(
        model, "compute", lambda *a, **k: seen.append(torch.backends.cudnn.allow_tf32) or original(*a, **k)
    )
    STRICT[name](model, np.random.RandomState(0).uniform(size=(96, 96, 3)).astype(np.float32))
    assert seen
    assert not any(seen)
    assert torch.backends.cudnn.allow_tf32
