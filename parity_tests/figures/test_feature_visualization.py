"""Figures of Feature Visualization: what is shown where, and the recipes' numbers."""

from __future__ import annotations

import numpy as np
import pytest

from converters import LayerNotFoundError
from lucid_port.figures.base import catalogue, find_figure
from lucid_port.figures.common import short
from lucid_port.figures.distill.feature_visualization import EDGE_STEPS, footnote_transforms
from lucid_port.optvis import objectives
from lucid_port.optvis.sampling import RandomSource
from lucid_port.optvis.transform import compose
from lucid_port.recipes.attribution import gradient_magnitudes
from lucid_port.recipes.feature_visualization import diversity, visualize
from lucid_port.recipes.interaction import sums
from lucid_port.recipes.interpolation import interpolations
from lucid_port.recipes.regularization import frequency_penalties, preconditioning, transformation_robustness

TILE = (112, 112, 3)
A, B, C, D = "mixed3a:1", "mixed3b:2", "mixed4a_pre_relu:3", "mixed4a:4"


def shapes(panel):
    return [picture.shape for picture in panel.pictures]


# Units -------------------------------------------------------------------------------------------


def test_channels(make, network):
    result = make("fv-channel", [A, B], steps=2, size=24)
    found = visualize(network, [A, B], size=24, steps=2)
    np.testing.assert_array_equal(result.panels[0].pictures, found.pictures)
    np.testing.assert_array_equal(result.data["values"], found.losses[:, -1])
    assert result.panels[0].captions[0] == f"{short(A)} ({found.losses[0, -1]:.4g})"


@pytest.mark.parametrize("label", ["tiger cat", "55"])
def test_objectives(make, network, label):
    result = make("fv-objectives", [C, label], size=40)
    assert shapes(result.panels[0]) == [(40, 40, 3)] * 5
    assert result.panels[0].captions[-2:] == ["logit of tiger cat", "probability of tiger cat"]
    layer = "mixed4a_pre_relu"
    local = [objectives.neuron(layer, 3), objectives.channel(layer, 3), objectives.deepdream(layer)]
    classes = [objectives.class_logit(name, 55) for name in ("softmax2_pre_activation", "softmax2")]
    values = [
        *visualize(network, local, size=40, steps=1, transforms=footnote_transforms(40)).losses[:, -1],
        *visualize(network, classes, size=224, steps=1, transforms=footnote_transforms(224)).losses[:, -1],
    ]
    np.testing.assert_array_equal(result.data["values"], values)


@pytest.mark.parametrize("size", [64, 200, 224])
def test_the_articles_transforms_keep_the_size(size):
    transforms = compose(footnote_transforms(size))
    for seed in range(20):
        params = transforms.make_params(RandomSource(seed), (2, 3, size, size))
        assert tuple(transforms.output_shape((2, 3, size, size), params)) == (2, 3, size, size)


def test_rows_of_five(make, network):
    units = [f"mixed3a:{unit}" for unit in range(15)]
    result = make("fv-hero", units, size=120, rows=2)
    assert result.panels[0].columns == 5
    assert shapes(result.panels[0]) == [(120, 120, 3)] * 10
    assert result.panels[0].captions[9] == "3a:9"
    later = [unit for number, unit in enumerate(units[:10]) if number % 5]
    found = visualize(network, later, size=120, steps=1, transforms=footnote_transforms(120))
    np.testing.assert_array_equal([v for n, v in enumerate(result.data["values"]) if n % 5], found.losses[:, -1])


def test_edges_are_the_middle_of_a_larger_picture_after_few_updates(make, network):
    units = [f"mixed3a:{unit}" for unit in range(5)]
    result = make("fv-hero", units, size=120, steps=EDGE_STEPS + 1)
    larger = visualize(network, units[:1], size=168, steps=EDGE_STEPS, transforms=footnote_transforms(168))
    np.testing.assert_array_equal(result.panels[0].pictures[0], larger.pictures[0, 24:-24, 24:-24])
    assert result.data["values"][0] == larger.losses[0, -1]


def test_edges_alone(make):
    assert shapes(make("fv-hero", ["mixed3a:1"], size=120).panels[0]) == [(120, 120, 3)]


def test_the_opening_figure_has_as_many_units_of_each_family():
    for model, count, layers in (
        ("InceptionV1", 6, ["conv2d0", "mixed3a", "mixed4a", ("mixed4b", "mixed4c"), ("mixed4d", "mixed4e")]),
        ("InceptionV1_caffe", 5, ["conv1", "inception_3b", "inception_4a", "inception_4", "inception_4"]),
    ):
        units = find_figure("fv-hero").options[model]["units"]
        assert len(units) == len(set(units)) == 5 * count
        for number, unit in enumerate(units):
            assert unit.startswith(layers[number % 5])


# Several pictures of a unit ----------------------------------------------------------------------


def test_facets(make, network):
    result = make("fv-diversity", [B, D], size=24, count=3, steps=2)
    assert [panel.sides for panel in result.panels] == [["3b:2", "4a:4"]]
    assert [shapes(panel) for panel in result.panels] == [[TILE] * 8]
    np.testing.assert_array_equal(result.data["alone"], visualize(network, [B, D], size=24, steps=2).losses[:, -1])
    found = diversity(network, "mixed4a", 4, 3, size=24, steps=2)
    assert result.data["values"][1] == found.losses[-1]


def test_both_ends(make, network):
    result = make("fv-negative", [C, D], size=112, steps=2)
    assert result.panels[0].columns == 2
    up, down = (visualize(network, [sign * objectives.as_objective(C)], size=112, steps=2) for sign in (1, -1))
    # Batches of other sizes round the sums of a convolution otherwise.
    np.testing.assert_allclose(result.data["positive"][0], up.losses[0, -1], rtol=1e-4)
    np.testing.assert_allclose(result.data["negative"][0], -down.losses[0, -1], rtol=1e-4)
    np.testing.assert_array_equal(
        result.data["differences"], np.subtract(result.data["positive"], result.data["negative"])
    )
    assert result.data["positive"][0] > result.data["negative"][0]
    assert [caption.split(" ")[0] for caption in result.panels[0].captions] == ["4a:3", "4a:4", "-4a:3", "-4a:4"]


# Units together ----------------------------------------------------------------------------------


def test_addition(make, network):
    result = make("fv-neuron-addition", [A, B, C, D], size=112)
    panel, found = result.panels[0], sums(network, [A, B], [C, D], size=112, steps=1)
    assert panel.columns == 3
    assert len(panel.pictures) == 9
    assert (panel.pictures[0] == 1).all()
    np.testing.assert_array_equal(panel.pictures[2], found.of_columns[1])
    np.testing.assert_array_equal(panel.pictures[6], found.of_rows[1])
    np.testing.assert_array_equal(panel.pictures[7], found.pictures[1, 0])
    values = found.losses[:, -1]
    np.testing.assert_array_equal(result.data["sums"], values[4:].reshape(2, 2))
    assert panel.captions == [
        "",
        f"3a:1 ({values[0]:.4g})",
        f"3b:2 ({values[1]:.4g})",
        f"4a:3 ({values[2]:.4g})",
        f"{values[4]:.4g}",
        f"{values[5]:.4g}",
        f"4a:4 ({values[3]:.4g})",
        f"{values[6]:.4g}",
        f"{values[7]:.4g}",
    ]


def test_interpolation(make, network):
    result = make("fv-interpolation", [A, B, C, D], size=32, frames=3)
    assert [panel.title for panel in result.panels] == ["3a:1 to 3b:2", "4a:3 to 4a:4"]
    assert [shapes(panel) for panel in result.panels] == [[TILE] * 3] * 2
    found = interpolations(network, [(A, B), (C, D)], 3, size=32, steps=1)
    np.testing.assert_array_equal(result.data["values"], [row.losses[-1] for row in found])


# The enemy of feature visualization --------------------------------------------------------------

STUDIES = {
    "fv-preconditioning": (
        lambda *given, **options: preconditioning(*given, rates=(0.05,), **options),
        ["plain pixels", "transforms", "decorrelated", "decorrelated + transforms"],
    ),
    "fv-robustness": (
        transformation_robustness,
        [
            "no transform",
            "scale 1.1",
            "rotate 5°",
            "rotate 5° + scale 1.1",
            "jitter 1 px",
            "jitter 1 px + scale 1.1",
            "jitter 1 px + rotate 5°",
            "jitter 1 px + rotate 5° + scale 1.1",
        ],
    ),
    "fv-frequency-penalty": (
        frequency_penalties,
        [
            "no penalty",
            "blur 1.0",
            "total variation 0.25",
            "total variation 0.25 + blur 1.0",
            "L1 0.05",
            "L1 0.05 + blur 1.0",
            "L1 0.05 + total variation 0.25",
            "L1 0.05 + total variation 0.25 + blur 1.0",
        ],
    ),
}


@pytest.mark.parametrize("name", STUDIES)
def test_studies(make, network, name):
    study, titles = STUDIES[name]
    result = make(name, [A, C], size=16, steps=2)
    found = study(network, [A, C], thresholds=[1, 2] if name != "fv-robustness" else [2], size=16)
    pictures = found.pictures.reshape(len(titles), 2, *found.pictures.shape[-4:])
    assert [panel.title for panel in result.panels] == ["3a:1", "4a:3"]
    for number, panel in enumerate(result.panels):
        assert sorted(panel.sides) == sorted(titles)
        assert [side.count("+") for side in panel.sides] == sorted(side.count("+") for side in panel.sides)
        assert panel.heads == [f"{count} step{'s'[: count - 1]}" for count in found.thresholds]
        shown = np.reshape(panel.pictures, (len(titles), *pictures.shape[2:]))
        for side, row in zip(panel.sides, shown, strict=True):
            np.testing.assert_array_equal(row, pictures[titles.index(side), number])
    np.testing.assert_array_equal(result.data["values"], found.losses[..., -1])


def test_gradients(make, network, drawing):
    result = make("fv-gradient-artefacts", ["input", "mixed4a", "mixed5a"])
    assert [len(panel.pictures) for panel in result.panels] == [1, 6]
    assert result.panels[1].heads == ["input", "4a", "5a"]
    assert {shape for panel in result.panels for shape in shapes(panel)} == {(224, 224, 3)}
    toward = network.labels.index(result.data["class"])
    for pools, means in result.data["mean_magnitudes"].items():
        found = gradient_magnitudes(network, drawing, ["input", "mixed4a", "mixed5a"], toward, pools=pools)
        assert means == {layer: values.mean() for layer, values in found.items()}
    seen = result.panels[1].pictures[1][::16, ::16, 0]
    magnitudes = gradient_magnitudes(network, drawing, ["mixed4a"], toward)["mixed4a"]
    np.testing.assert_array_equal(np.argsort(seen, None)[:9], np.argsort(magnitudes, None)[:9])
    assert seen.max() == 1


# What cannot be made -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "units", "error", "words"),
    [
        *((name, ["mixed9:1"], LayerNotFoundError, "mixed9") for name in ("fv-channel", "fv-hero", *STUDIES)),
        *((name, ["mixed3a:15"], ValueError, "0..14") for name in ("fv-diversity", *STUDIES)),
        *((name, ["mixed3a"], ValueError, "layer:channel") for name in ("fv-channel", "fv-negative", *STUDIES)),
        ("fv-channel", [], ValueError, "takes units, layer:channel; 0 given"),
        ("fv-objectives", ["mixed3a:1"], ValueError, "takes a unit, layer:channel, and a class; 1 given"),
        ("fv-objectives", ["mixed3a:1", "a dog of mine"], ValueError, "No class of the model is called"),
        ("fv-neuron-addition", [A, B, C], ValueError, "then half for the rows; 3 given"),
        ("fv-neuron-addition", ["mixed9:1", B], LayerNotFoundError, "mixed9"),
        ("fv-interpolation", [A], ValueError, "takes pairs of units, layer:channel; 1 given"),
        ("fv-interpolation", [A, "mixed3a:15"], ValueError, "0..14"),
        ("fv-gradient-artefacts", ["mixed9"], LayerNotFoundError, "mixed9"),
        ("fv-gradient-artefacts", ["softmax2"], ValueError, "fully connected"),
    ],
)
def test_what_cannot_be_made(make, name, units, error, words):
    with pytest.raises(error, match=words):
        make(name, units, size=24)


@pytest.mark.parametrize("name", [name for name in catalogue() if name.startswith("fv-")])
def test_models_that_figures_know(name):
    assert {"InceptionV1", "InceptionV1_caffe", "InceptionV1_seeded"} <= set(find_figure(name).options)
