"""Figures of The Building Blocks of Interpretability: what is shown where, and the recipes' numbers."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from converters import LayerNotFoundError
from lucid_port.figures.base import Settings, catalogue, find_figure
from lucid_port.figures.common import class_label
from lucid_port.figures.photographs import PHOTOGRAPHS, photograph
from lucid_port.recipes.activation_grid import activation_grid, factored_activation_grid
from lucid_port.recipes.attribution import channel_attribution, class_attribution, spatial_attribution
from lucid_port.recipes.inputs import load_image
from lucid_port.recipes.neuron_groups import neuron_groups
from lucid_port.recipes.semantic_dictionary import semantic_dictionary

PHOTO = (224, 224, 3)
TILE = (112, 112, 3)


def shapes(panel):
    return [picture.shape for picture in panel.pictures]


def in_range(result):
    return all(
        np.isfinite(picture).all() and picture.min() >= 0 and picture.max() <= 1
        for panel in result.panels
        for picture in panel.pictures
    )


# Semantic dictionary -----------------------------------------------------------------------------


def test_semantic_dictionary(make, network, drawing):
    result = make("bb-semantic-dictionary", ["mixed4d"], size=32, places=2)
    assert [shapes(panel) for panel in result.panels] == [[PHOTO], [TILE] * 5, [TILE] * 5]
    assert in_range(result)
    found = semantic_dictionary(network, drawing, "mixed4d")
    inner = found.values[1:-1, 1:-1, 0]
    row, column = np.argwhere(inner == inner.max())[0] + 1
    assert result.data["places"][0] == (row, column)
    for place, channels, values in zip(*(result.data[key] for key in ("places", "channels", "values")), strict=True):
        np.testing.assert_array_equal(channels, found.channels[place])
        np.testing.assert_array_equal(values, found.values[place])
    strongest = f"{found.channels[row, column][0]}: {found.values[row, column][0]:.4g}"
    assert result.panels[1].captions[:2] == [f"row {row}, column {column}", strongest]


def test_places_are_apart(make):
    first, second, third = make("bb-semantic-dictionary", ["mixed4d"], size=24, places=3).data["places"]
    for one, other in ((first, second), (first, third), (second, third)):
        assert np.hypot(one[0] - other[0], one[1] - other[1]) >= 14 / 3.5


# Channel attribution -----------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [["Labrador retriever", "tiger cat"], ["176", "55"]])
def test_channel_attribution(make, network, drawing, classes):
    result = make("bb-channel-attribution", ["mixed4d", *classes], size=24, channels=3)
    assert [shapes(panel) for panel in result.panels] == [[PHOTO] * 2, *[[TILE] * 3] * 4]
    assert in_range(result)
    found = channel_attribution(network, drawing, "mixed4d", 176, 55)
    np.testing.assert_array_equal(result.data["values"], found.values)
    np.testing.assert_array_equal(result.data["order"], found.order)
    assert (result.data["toward"], result.data["against"]) == ("Labrador retriever", "tiger cat")
    assert result.panels[1].captions[0] == f"{found.order[0]}: {found.values.max():+.3f}"
    assert result.panels[3].captions[0] == f"{found.order[-1]}: {found.values.min():+.3f}"


def test_what_argues_for_a_class_is_orange_and_against_it_blue(make, network, drawing):
    result = make("bb-channel-attribution", ["mixed4d", "176", "55"], size=24, channels=1)
    field = channel_attribution(network, drawing, "mixed4d", 176, 55).field.sum(-1)
    shown = result.panels[0].pictures[1]
    redder = (shown[..., 0] - shown[..., 2]).reshape(14, 16, 14, 16).mean((1, 3))
    assert redder[np.unravel_index(field.argmax(), field.shape)] > 0
    assert redder[np.unravel_index(field.argmin(), field.shape)] < 0


# Activation grid ---------------------------------------------------------------------------------


@pytest.mark.parametrize("naive", [True, False])
def test_activation_grid(make, network, drawing, naive):
    result = make("bb-activation-grid", ["mixed5a"], size=16, batch_size=3, naive=naive)
    assert [shapes(panel) for panel in result.panels] == [[PHOTO], [(7 * 12, 7 * 12, 3)], [(7 * 12, 7 * 12, 3)]]
    assert in_range(result)
    if naive:
        found = activation_grid(network, drawing, "mixed5a", size=16, steps=1)
    else:
        found = factored_activation_grid(network, drawing, "mixed5a", size=16, steps=1, batch_size=3)
    np.testing.assert_array_equal(result.data["magnitudes"], found.magnitudes)
    np.testing.assert_allclose(result.panels[1].pictures[0], found.mosaic, atol=1e-6)  # one rounding of a sigmoid


# Spatial attribution -----------------------------------------------------------------------------


def test_spatial_attribution(make, network, drawing):
    result = make("bb-spatial-attribution", ["mixed4d", "mixed5a"], places=2, classes=3)
    assert [shapes(panel) for panel in result.panels] == [*[[PHOTO] * 2] * 4, *[[PHOTO] * 3] * 2]
    assert list(result.panels[-1].captions) == [class_label(network, one) for one in result.data["classes"]]
    assert in_range(result)
    places = result.data["places"]
    for pools, attributions in result.data["attributions"].items():
        found = spatial_attribution(network, drawing, "mixed4d", "mixed5a", pools=pools, positions=places).normalised
        np.testing.assert_array_equal(attributions, [found[place] for place in places])
    for pools, values in result.data["to_classes"].items():
        for number, one in zip(result.data["classes"], values, strict=True):
            np.testing.assert_array_equal(one, class_attribution(network, drawing, "mixed4d", number, pools=pools))


# Neuron groups -----------------------------------------------------------------------------------


def test_neuron_groups(make, network, drawing):
    result = make("bb-neuron-groups", ["mixed4d", "tiger cat", "176"], size=24, groups=3)
    assert [shapes(panel) for panel in result.panels] == [[PHOTO] * 2, [(136, 136, 3)] * 6]
    assert in_range(result)
    found = neuron_groups(network, drawing, "mixed4d", 3, classes=[55, 176], icons=False)
    np.testing.assert_array_equal(result.data["spatial"], found.spatial)
    assert list(result.data["effects"]) == ["tiger cat", "Labrador retriever"]
    for effects, one in zip(result.data["effects"].values(), (55, 176), strict=True):
        np.testing.assert_array_equal(effects, found.effects[one])
    first = f"tiger cat {found.effects[55][0]:+.2f}, Labrador retriever {found.effects[176][0]:+.2f}"
    assert result.panels[1].captions[0] == first


def test_groups_without_classes_take_the_likeliest(make):
    assert len(make("bb-neuron-groups", ["mixed4d"], size=24, groups=2).data["effects"]) == 2


# Photographs -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_come_with_scikit_image(network, name):
    picture = photograph(Settings(network, {}, 1), name)
    assert picture.shape == PHOTO
    assert picture.std() > 0.1


def test_an_own_picture_goes_first(network, drawing):
    np.testing.assert_array_equal(photograph(Settings(network, {}, 1, image=drawing)), load_image(drawing, (224, 224)))


def test_without_scikit_image(network, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    with pytest.raises(ImportError, match="--image"):
        photograph(Settings(network, {}, 1))


# What cannot be made -----------------------------------------------------------------------------

CLASSES = ["176", "55"]


@pytest.mark.parametrize(
    ("name", "units", "error", "words"),
    [
        ("bb-semantic-dictionary", ["mixed9"], LayerNotFoundError, "mixed9"),
        ("bb-semantic-dictionary", ["softmax2"], ValueError, "fully connected"),
        ("bb-semantic-dictionary", ["mixed4d", "mixed4c"], ValueError, "takes a layer; 2 given"),
        ("bb-channel-attribution", ["mixed9", *CLASSES], LayerNotFoundError, "mixed9"),
        ("bb-channel-attribution", ["softmax2_pre_activation", *CLASSES], ValueError, "fully connected"),
        ("bb-channel-attribution", ["mixed4d", "176"], ValueError, "takes a layer, a class and another class; 2 given"),
        ("bb-channel-attribution", ["mixed4d", "a dog of mine", "55"], ValueError, "No class of the model is called"),
        ("bb-channel-attribution", ["mixed4d", "1008", "55"], ValueError, "no class 1008"),
        (
            "bb-channel-attribution",
            ["mixed4d", "Labrador retriever", "176"],
            ValueError,
            "176 is Labrador retriever again",
        ),
        ("bb-activation-grid", ["mixed9"], LayerNotFoundError, "mixed9"),
        ("bb-activation-grid", ["softmax2"], ValueError, "fully connected"),
        ("bb-spatial-attribution", ["mixed4d"], ValueError, "takes two layers, the earlier first; 1 given"),
        ("bb-spatial-attribution", ["mixed5a", "mixed4d"], ValueError, "earlier layer first"),
        ("bb-spatial-attribution", ["mixed4d", "softmax2"], ValueError, "fully connected"),
        ("bb-neuron-groups", ["softmax2"], ValueError, "fully connected"),
        ("bb-neuron-groups", ["mixed4d_pre_relu"], ValueError, "does not depend"),
        ("bb-neuron-groups", [], ValueError, "takes a layer, and classes; 0 given"),
    ],
)
def test_what_cannot_be_made(make, name, units, error, words):
    with pytest.raises(error, match=words):
        make(name, units)


@pytest.mark.parametrize("name", [name for name in catalogue() if name.startswith("bb-")])
def test_models_that_figures_know(name):
    assert {"InceptionV1", "InceptionV1_caffe", "InceptionV1_seeded"} <= set(find_figure(name).options)
    assert find_figure(name).takes
