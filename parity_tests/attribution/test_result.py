"""The result: maps, ranks, icons, pictures and files; and the pictures that go in."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from lucid_port.attribution import attribute
from lucid_port.attribution.drawing import QUANTILE, heat_map, over
from lucid_port.misc.io import load
from lucid_port.modelzoo.preprocessing import Preprocessing
from lucid_port.optvis.recipe_files import read_document
from parity_tests.attribution.networks import SIZE, photos


@pytest.fixture(scope="module")
def layered(branching):
    return attribute(branching[1], photos(), "dog", "conv3", "gradient_x_activation")


@pytest.fixture(scope="module")
def pixels(branching):
    return attribute(branching[1], photos(), "dog", n_steps=3)


def test_maps_are_sums_over_channels_in_the_size_of_the_picture(layered, pixels):
    np.testing.assert_allclose(pixels.maps, pixels.values.sum(-1), atol=1e-7)
    assert layered.maps.shape == (2, *SIZE)
    small = torch.from_numpy(layered.values.sum(-1))[:, None]
    wanted = torch.nn.functional.interpolate(small, SIZE, mode="bilinear")[:, 0].numpy()
    np.testing.assert_allclose(layered.maps, wanted, atol=1e-7)


def test_channels_are_ranked_by_magnitude(layered):
    np.testing.assert_allclose(layered.channels, layered.values.sum((1, 2)), atol=1e-6)
    for sums, ranked in zip(layered.channels, layered.ranked(3), strict=True):
        assert [one.channel for one in ranked] == sorted(range(5), key=lambda c: -abs(sums[c]))[:3]
        assert [one.value for one in ranked] == [float(sums[one.channel]) for one in ranked]
        assert [one.name for one in ranked] == [f"conv3:{one.channel}" for one in ranked]
    assert len(layered.ranked(99)[0]) == 5


def test_pixels_have_no_channels_to_rank(pixels, branching):
    with pytest.raises(ValueError, match="explains pixels, which are no channels of a layer: name a layer"):
        pixels.ranked()
    cam = attribute(branching[1], photos(), "dog", "conv3", "grad_cam")
    with pytest.raises(ValueError, match="sums over the channels: pass attr_dim_summation=False"):
        cam.ranked()
    each = attribute(branching[1], photos(), "dog", "conv3", "grad_cam", attr_dim_summation=False)
    np.testing.assert_allclose(each.values.sum(-1), cam.values[..., 0], atol=1e-6)
    assert len(each.ranked()[0]) == 5


def test_icons_are_renders_of_the_channels_that_mattered_most(layered):
    made = layered.icons(2, steps=2, size=12)
    wanted = dict.fromkeys(one.name for ranked in layered.ranked(2) for one in ranked)
    assert [one.name for one in made] == list(wanted)
    assert all(one.image.shape == (12, 12, 3) for one in made)
    with_icons, without = layered.picture(True, 2, steps=2, size=12), layered.picture()
    assert with_icons.shape[0] > without.shape[0]
    assert with_icons.dtype == np.float32
    assert 0 <= with_icons.min() <= with_icons.max() <= 1


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.npy", "a.npz", "a.json"])
def test_files_hold_the_numbers_and_the_recipe(layered, tmp_path, name):
    path = layered.save(tmp_path / "new" / name)
    recipe = read_document(path if name != "a.npz" else path.with_name("a.npz.json"))
    assert recipe["method"] == "gradient_x_activation"
    assert recipe["layer"] == "conv3"
    assert recipe["targets"] == ["output:1", "output:1"]
    assert recipe["labels"] == ["dog", "dog"]
    assert recipe["model"]["fingerprint"]
    if name.endswith("npy"):
        np.testing.assert_array_equal(load(path), layered.values)
    if name.endswith("npz"):
        arrays = load(path)
        assert set(arrays) == {"values", "photos", "maps", "scores"}
        np.testing.assert_array_equal(arrays["maps"], layered.maps)
    if name.endswith("json"):
        np.testing.assert_allclose(json.loads(path.read_text())["values"], layered.values)
    if name.endswith("png"):
        assert "lucid_port_attribution" in Image.open(path).info["lucid_port"]


def test_a_picture_is_a_recipe_of_a_picture_only_in_its_own_format(layered, tmp_path):
    from lucid_port.optvis.recipe_files import read_recipe

    with pytest.raises(ValueError, match="contains no recipe of one picture"):
        read_recipe(layered.save(tmp_path / "a.png"))


def test_files_that_cannot_be_written(layered, tmp_path):
    with pytest.raises(ValueError, match=r"known extensions are"):
        layered.save(tmp_path / "a.gif")
    with pytest.raises(ValueError, match=r"Icons are drawn in pictures, not in a.npz"):
        layered.save(tmp_path / "a.npz", icons=True)
    assert list(tmp_path.iterdir()) == []


def test_layers_without_places(branching, tmp_path):
    found = attribute(branching[1], photos(), "dog", "mean", "conductance", n_steps=2)
    assert found.values.shape == (2, 5)
    for call in (lambda: found.maps, lambda: found.save(tmp_path / "a.png"), found.picture):
        with pytest.raises(ValueError, match="Layer 'mean' is fully connected: it has no positions"):
            call()
    assert found.picture(True, 1, steps=1, size=12).ndim == 3
    assert set(load(found.save(tmp_path / "a.npz"))) == {"values", "photos", "scores", "baseline_scores", "delta"}


def test_colors():
    """Red for, blue against; the strongest half percent has the full color."""
    values = np.zeros((10, 21), np.float32)
    values[2, 3], values[4, 5] = 5, -5
    picture = heat_map(values)
    assert picture[2, 3].argmax() == 0
    assert picture[4, 5].argmax() == 2
    np.testing.assert_allclose(picture[0, 0], 1)
    assert QUANTILE < 1
    photo = np.full((10, 21, 3), 0.5, np.float32)
    assert over(photo, values)[2, 3].argmax() == 0
    assert np.ptp(over(photo, values)[0, 0]) == 0
    np.testing.assert_allclose(heat_map(np.zeros((3, 4))), 1)


def test_shown(layered, capsys):
    layered.show()
    assert "pixels" in capsys.readouterr().out
    assert layered._repr_html_().startswith("<img")
    assert repr(layered) == "<Attribution: gradient_x_activation of conv3 to output:1, values [2, 17, 24, 5]>".replace(
        "17, 24", ", ".join(map(str, layered.values.shape[1:3]))
    )
    assert layered.titles[0].startswith("gradient x activation of conv3, output:1 dog = ")


# Pictures that go in -----------------------------------------------------------------------------


def test_forms_of_a_photo(branching, tmp_path):
    _, model = branching
    levels = (photos(1)[0] * 255).round().astype(np.uint8)
    exact = levels.astype(np.float32) / 255
    Image.fromarray(levels).save(tmp_path / "a.png")
    tensor = torch.from_numpy(exact.transpose(2, 0, 1).copy())
    forms = [exact, exact[None], levels, tensor, tensor[None], Image.fromarray(levels), tmp_path / "a.png",
             [tmp_path / "a.png"]]  # fmt: skip
    wanted = attribute(model, exact, "dog", method="saliency")
    for form in forms:
        found = attribute(model, form, "dog", method="saliency")
        np.testing.assert_allclose(found.photos, wanted.photos, atol=1e-6)
        np.testing.assert_allclose(found.values, wanted.values, atol=1e-6)


def test_pictures_of_another_size_are_prepared_as_the_model_says(branching, monkeypatch):
    _, model = branching
    large = photos(1, 40, 90)[0]
    found = attribute(model, large, "dog", method="saliency").photos
    image = Image.fromarray(np.round(large * 255).astype(np.uint8))
    wanted = Preprocessing(SIZE, resize=max(SIZE))(image).permute(1, 2, 0).numpy()
    np.testing.assert_allclose(found[0], wanted, atol=1e-6)
    stated = Preprocessing(SIZE, resize=30, interpolation="bicubic")
    monkeypatch.setattr(model, "preprocessing", stated)
    np.testing.assert_allclose(
        attribute(model, large, "dog", method="saliency").photos[0], stated(image).permute(1, 2, 0).numpy(), atol=1e-6
    )
    assert attribute(model, large, "dog", method="saliency", prepare=False).photos.shape == (1, 40, 90, 3)


@pytest.mark.parametrize(
    ("target", "name", "label"),
    [
        ("dog", "output:1", "dog"),
        ("DOG", "output:1", "dog"),
        ("tabby", "output:2", "tabby, tabby cat"),
        ("tabby, tabby cat", "output:2", "tabby, tabby cat"),
        ("head:lemon", "head:3", "lemon"),
        ("head:tabby, tabby cat", "head:2", "tabby, tabby cat"),
        ("class:lemon", "output:3", "lemon"),
        ("head:3", "head:3", None),
        (3, "output:3", "lemon"),
        ("3", "output:3", "lemon"),
        ("conv2:5", "conv2:5", None),
        (" conv2:5[2,3] ", "conv2:5[2,3]", None),
        ("conv2:5[center]", "conv2:5[center]", None),
    ],
)
def test_names_of_targets(branching, target, name, label):
    found = attribute(branching[1], photos(1), target, method="saliency")
    assert found.targets == (name,)
    assert found.labels == (label,)
    network = branching[0]
    with torch.no_grad():
        x = torch.from_numpy(photos(1).transpose(0, 3, 1, 2).copy())
        if name.startswith(("head", "output")):
            wanted = network(x)[0, int(name[-1])]
        else:
            channel = network.conv2(network.conv1(x).relu())[0, 5]
            wanted = {"5": channel.sum(), "]": channel[2, 3], "r]": channel[9, 13]}[
                "r]" if "center" in name else name[-1]
            ]
    np.testing.assert_allclose(found.scores, float(wanted), rtol=1e-4, atol=1e-5)
