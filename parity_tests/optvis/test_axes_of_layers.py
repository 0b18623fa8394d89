"""A unit is the same feature wherever a layer's tensor has its channels: values, gradients, places and batches."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from converters.errors import ChannelAxisError
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.get_activations import get_activations
from lucid_port.optvis import objectives, param, render, serialization, style
from lucid_port.optvis.grammar import quoted
from lucid_port.optvis.many.setup import each_channel
from lucid_port.optvis.objectives import Objective, wrap_objective
from lucid_port.optvis.render_many import make_many_T, render_many
from lucid_port.optvis.sampling import RandomSource
from lucid_port.recipes.activation_atlas.samples import sample_activations
from lucid_port.recipes.activation_grid import activation_grid, factored_activation_grid
from lucid_port.recipes.attribution import channel_attribution, class_attribution, spatial_attribution
from lucid_port.recipes.caricature import dot_compare
from lucid_port.recipes.deepdream import deepdream
from lucid_port.recipes.facets import unit_sheet
from lucid_port.recipes.inputs import activations_of, channels_of, check_units, spatial_activations
from lucid_port.recipes.neuron_groups import neuron_groups
from lucid_port.recipes.semantic_dictionary import semantic_dictionary
from lucid_port.recipes.style_transfer import style_transfer
from lucid_port.recipes.tuning import middle_activations
from parity_tests.optvis.layouts import CASES, COLUMNS, FEATURES, HEIGHT, PATCHES, ROWS, WIDTH, chain, images, model

WITH_PLACES = [name for name, case in CASES.items() if case.places is not None]
WITHOUT = [name for name in CASES if name not in (*WITH_PLACES, "dense")]
UNIT = 2


@pytest.fixture(scope="module", name="described")
def _described():
    return model()


def own(described, layer, batch):
    """The network's own tensor of a layer."""
    return described.activations(batch, [layer])[layer]


def value_and_gradient(described, objective, batch):
    """An objective's value, and its gradient with respect to the image."""
    vis = render.make_vis_T(described, objective, lambda: batch.clone().requires_grad_(), transforms=[])
    value, (gradient,) = vis.value_and_gradients()
    return value, -gradient


def by_hand(described, function, batch):
    """The value of a function of `layer -> own tensor`, and its gradient with respect to the image."""
    image = batch.clone().requires_grad_()
    value = function(lambda layer: own(described, layer, image))
    (gradient,) = torch.autograd.grad(value, image)
    return value.detach(), gradient


def assert_same(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)


# Channels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", CASES)
@pytest.mark.parametrize("count", [1, 3])
def test_a_channel_is_the_plain_feature_with_its_gradient(described, layer, count):
    case, batch = CASES[layer], images(count)
    wanted = by_hand(described, lambda T: case.feature(T(layer), UNIT).mean(), batch)
    assert wanted[1].abs().max() > 0
    assert_same(value_and_gradient(described, objectives.channel(layer, UNIT), batch), wanted)
    vector = np.eye(case.info.channels)[UNIT]
    assert_same(value_and_gradient(described, objectives.direction(layer, vector), batch), wanted)


@pytest.mark.parametrize("layer", CASES)
def test_a_channel_of_one_image_of_a_batch(described, layer):
    case = CASES[layer]
    wanted = by_hand(described, lambda T: case.feature(T(layer), UNIT)[1].mean(), images(3))
    assert_same(value_and_gradient(described, objectives.channel(layer, UNIT, batch=1), images(3)), wanted)


@pytest.mark.parametrize("layer", CASES)
def test_T_has_the_channels_on_the_second_axis_and_is_the_same_tensor_each_time(described, layer):
    seen = []
    objective = Objective(lambda T: (seen.append((T(layer), T(layer), T.raw(layer))), T(layer).mean())[1])
    value_and_gradient(described, objective, images(2))
    first, again, raw = seen[-1]
    assert first is again
    assert first.shape[1] == CASES[layer].info.channels
    torch.testing.assert_close(raw, own(described, layer, images(2)), rtol=0, atol=0)
    assert first.data_ptr() == raw.data_ptr()  # a view
    assert (first is raw) == CASES[layer].info.axes.startswith("NC")


@pytest.mark.parametrize("layer", CASES)
def test_many_units_are_each_images_own(described, layer):
    units = [2, 0, 1]
    start = images(3)
    for asked in (f"{quoted(layer)}:2,0,1", [objectives.channel(layer, unit) * 1 for unit in units]):
        vis = make_many_T(described, asked, lambda batch: start[:batch].clone().requires_grad_(), transforms=[])
        values, (gradient,) = vis.value_and_gradients()
        for image, unit in enumerate(units):
            wanted = by_hand(
                described, lambda T, u=unit: CASES[layer].feature(T(layer), u).mean(), start[image : image + 1]
            )
            assert_same((values[image], -gradient[image : image + 1]), wanted)


@pytest.mark.parametrize("layer", CASES)
def test_a_channel_that_does_not_exist_is_refused_before_the_first_update(described, layer):
    count = CASES[layer].info.channels
    vis = render.make_vis_T(described, f"{quoted(layer)}:{count}", lambda: images(1).requires_grad_(), transforms=[])
    with pytest.raises(IndexError, match=f"has no channel {count}: its channels are 0 to {count - 1}"):
        vis.step()
    assert vis.steps == 0
    with pytest.raises(ValueError, match=f"There is no unit {count}"):
        render_many(described, f"{quoted(layer)}:{count}", lambda: images(1).requires_grad_(), steps=1)
    with pytest.raises(ValueError, match=f"There is no unit {count}"):
        check_units(described, layer, [count])


def test_a_wrong_number_of_channels_in_the_description_is_refused(described):
    with pytest.raises(IndexError, match="has no channel 9"):
        value_and_gradient(described, each_channel("NLC", [0, 9]), images(2))


# Unknown axes -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "objective",
    [
        objectives.channel("unknown", 0),
        objectives.neuron("unknown", 0),
        objectives.token("unknown", 0, 0),
        objectives.direction("unknown", [1.0] * FEATURES),
        objectives.alignment("unknown"),
        lambda T: T("unknown")[:, 0].mean(),
    ],
)
def test_unknown_axes_are_refused_with_the_sentence_that_opens_them(described, objective):
    with pytest.raises(ChannelAxisError, match=re.escape("layouts={'unknown': 'NLC'}")):
        value_and_gradient(described, objective, images(2))


def test_unknown_axes_are_refused_by_recipes_and_many_renders(described):
    picture = np.full((HEIGHT, WIDTH, 3), 0.5, np.float32)
    for use in (
        lambda: render_many(described, "unknown:0", lambda: images(1).requires_grad_(), steps=1),
        lambda: activations_of(described, picture, ["unknown"]),
        lambda: channels_of(described, "unknown"),
        lambda: get_activations(described, "unknown", picture[None]),
    ):
        with pytest.raises(ChannelAxisError, match="'mystery' mixes its axes"):
            use()


def test_objectives_that_need_no_channel_axis_read_the_networks_own_tensor(described):
    assert_same(
        value_and_gradient(described, objectives.deepdream("unknown"), images(2)),
        by_hand(described, lambda T: (T("unknown") ** 2).mean(), images(2)),
    )
    assert_same(
        value_and_gradient(described, objectives.L1("unknown", 0.25), images(2)),
        by_hand(described, lambda T: (T("unknown") - 0.25).abs().sum(), images(2)),
    )
    assert_same(
        value_and_gradient(described, lambda T: T.raw("unknown")[:, 3].mean(), images(2)),
        by_hand(described, lambda T: T("unknown")[:, 3].mean(), images(2)),
    )


# Places and tokens ------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", WITH_PLACES)
@pytest.mark.parametrize(("x", "y"), [(2, 4), (None, None)])
def test_a_neuron_is_found_by_its_place(described, layer, x, y):
    case = CASES[layer]

    def plain(T):
        places = case.places(T(layer), UNIT)
        row, column = (places.shape[1] // 2, places.shape[2] // 2) if x is None else (x, y)
        return places[:, row, column].mean()

    wanted = by_hand(described, plain, images(3))
    assert_same(value_and_gradient(described, objectives.neuron(layer, UNIT, x, y), images(3)), wanted)
    vector = np.eye(case.info.channels)[UNIT]
    assert_same(value_and_gradient(described, objectives.direction_neuron(layer, vector, x, y), images(3)), wanted)
    if x is None:
        patch = vector.reshape(1, 1, -1)
        case_rows, case_columns = case.places(own(described, layer, images(1)), UNIT).shape[1:]
        if case_rows % 2 and case_columns % 2:
            assert_same(value_and_gradient(described, objectives.tensor_direction(layer, patch), images(3)), wanted)


@pytest.mark.parametrize("layer", WITH_PLACES)
def test_total_variation_compares_neighboring_places(described, layer):
    places = [CASES[layer].places(own(described, layer, images(2)), k) for k in range(CASES[layer].info.channels)]
    wanted = sum(one.diff(dim=axis).abs().sum((1, 2)) for one in places for axis in (1, 2))
    found, _ = value_and_gradient(described, objectives.total_variation(layer), images(2))
    torch.testing.assert_close(found, wanted)


@pytest.mark.parametrize("layer", WITHOUT)
def test_a_layer_without_places_says_why(described, layer):
    wanted = {
        "no_grid": "does not state the size of their patches",
        "NGLC": r"has 2 attention heads or other groups \(axis G of NGLC\): name one",
        "windows": "does not state the size of their patches",
        "misfit": "images of 12 x 20 pixels have other numbers of patches of 4 x 4 pixels and 3 other tokens: read",
        "rows": "Position x=1, y=0 is outside",
        "blocks": "Position x=1, y=0 is outside",
    }.get(layer, "has no rows and columns: its axes are")
    with pytest.raises((ValueError, IndexError), match=wanted):
        value_and_gradient(described, objectives.neuron(layer, 0, 1, 0), images(1))


def test_the_grid_of_tokens_is_that_of_the_image_that_the_network_gets(described):
    """The network cuts off two rows and one column of pixels; the render's own size does not count."""
    start = torch.nn.functional.interpolate(images(1), (2 * HEIGHT + 2, 2 * WIDTH + 1))
    vis = render.make_vis_T(
        described, objectives.neuron("class", UNIT, 5, 9), lambda: start.requires_grad_(), transforms=[]
    )
    value, _ = vis.value_and_gradients()
    torch.testing.assert_close(value, own(described, "NCHW", start)[0, UNIT, 5, 9])


@pytest.mark.parametrize("layer", ["NLC", "class", "no_grid", "LNC", "NCL", "rank3"])
@pytest.mark.parametrize("token", [0, 3, -1])
def test_a_token_by_its_number(described, layer, token):
    wanted = by_hand(described, lambda T: CASES[layer].feature(T(layer), UNIT)[:, token].mean(), images(3))
    assert_same(value_and_gradient(described, objectives.token(layer, UNIT, token), images(3)), wanted)
    alone = by_hand(described, lambda T: CASES[layer].feature(T(layer), UNIT)[2, token], images(3))
    assert_same(value_and_gradient(described, objectives.token(layer, UNIT, token, batch=2), images(3)), alone)


@pytest.mark.parametrize(("name", "index"), [("class", 0), ("cls_token", 0), ("register_1", 16), ("register_2", 17)])
def test_a_token_by_its_name(described, name, index):
    wanted = by_hand(described, lambda T: T("class")[:, index, UNIT].mean(), images(2))
    assert_same(value_and_gradient(described, objectives.token("class", UNIT, name), images(2)), wanted)


def test_tokens_that_do_not_exist_are_refused(described):
    for objective, error, sentence in (
        (
            objectives.token("class", 0, "dist"),
            ValueError,
            "no token 'dist': it names cls_token, register_1, register_2",
        ),
        (objectives.token("NLC", 0, "class"), ValueError, "names no tokens; give the token's number"),
        (objectives.token("NLC", 0, PATCHES), IndexError, f"no token {PATCHES}: its tokens are 0 to {PATCHES - 1}"),
        (objectives.token("NLC", FEATURES, 0), IndexError, f"no channel {FEATURES}"),
        (objectives.token("NHWC", 0, 0), ValueError, "has no tokens"),
        (objectives.token("dense", 0, 0), ValueError, "has no tokens"),
    ):
        with pytest.raises(error, match=sentence):
            value_and_gradient(described, objective, images(1))


def test_a_token_has_a_plain_data_form():
    made = objectives.token("class", 2, "class", batch=1)
    assert serialization.from_data(made.to_data()).description == made.description == "Token [class, 2, class, 1]"


def test_NHWC_gives_a_grid_only_if_all_tokens_are_patches(described):
    shapes = {}

    @wrap_objective(require_format="NHWC")
    def looking(layer):
        return lambda T: (shapes.update({layer: tuple(T(layer).shape)}), T(layer).mean())[1]

    for layer in CASES:
        value_and_gradient(described, looking(layer), images(2))
    assert shapes == {
        "NCHW": (2, ROWS, COLUMNS, FEATURES),
        "NHWC": (2, ROWS, COLUMNS, FEATURES),
        "NLC": (2, ROWS, COLUMNS, FEATURES),
        "class": (2, 1, PATCHES + 3, FEATURES),
        "led": (2, 1, 1 + PATCHES, FEATURES),
        "no_grid": (2, 1, 11, FEATURES),
        "misfit": (2, 1, 11, FEATURES),
        "LNC": (2, ROWS, COLUMNS, FEATURES),
        "NCL": (2, ROWS, COLUMNS, FEATURES),
        "NCLL": (2, PATCHES, PATCHES, 3),
        "NGLC": (2, 2, PATCHES, FEATURES),
        "windows": (2 * ROWS, 1, COLUMNS, FEATURES),
        "rows": (2 * PATCHES, 1, 1, FEATURES),
        "blocks": (2 * ROWS, 1, COLUMNS, FEATURES),
        "dense": (2, 1, 1, FEATURES),
        "rank3": (2, 1, PATCHES, FEATURES),
    }


# Batches ----------------------------------------------------------------------------------------

BATCHED = {
    "alignment": objectives.alignment,
    "diversity": objectives.diversity,
    "interpolate": lambda layer: objectives.channel_interpolate(layer, 0, layer, 1),
    "compare": lambda layer: dot_compare(layer, batch=2),
}


@pytest.mark.parametrize("kind", BATCHED)
@pytest.mark.parametrize("layer", ["NHWC", "NLC", "LNC", "NCL", "windows", "rows"])
def test_objectives_of_a_batch_do_not_depend_on_the_layout(described, kind, layer):
    """These layers have the features of NCHW in another order."""
    found = value_and_gradient(described, BATCHED[kind](layer), images(3))
    assert_same(found, value_and_gradient(described, BATCHED[kind]("NCHW"), images(3)))


def test_a_batch_objective_of_a_function_reads_its_own_images(described):
    start = images(3)
    functions = [lambda T: T("LNC")[0, 1].sum(), lambda T: T.raw("LNC")[3, 0, 2], lambda T: T("windows")[1, 2, 4]]
    vis = make_many_T(described, functions, lambda batch: start[:batch].clone().requires_grad_(), transforms=[])
    values, _ = vis.value_and_gradients()
    tokens, windows = own(described, "LNC", start), own(described, "windows", start)
    wanted = torch.stack([tokens[:, 0, 1].sum(), tokens[3, 1, 2], windows[2 * ROWS + 1, 4, 2]])
    torch.testing.assert_close(values, wanted, rtol=1e-5, atol=1e-7)


# Gradients between layers -----------------------------------------------------------------------


def test_gradients_between_layers_are_taken_by_the_own_tensor():
    class Chained(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = torch.nn.Linear(3, 5), torch.nn.Linear(5, 4)

        def forward(self, x):
            return self.second(self.first(x.flatten(2).transpose(1, 2)).tanh())

    torch.manual_seed(0)
    chained = from_torch(Chained(), image_value_range=(0, 1), image_shape=(4, 6, 3))
    start = torch.rand(1, 3, 4, 6)

    def between(by):
        return lambda T: torch.autograd.grad(T("second").square().sum(), by(T), create_graph=True)[0].square().sum()

    value, _ = value_and_gradient(chained, between(lambda T: T.raw("first")), start)
    first = chained.network.module.first(start.flatten(2).transpose(1, 2)).detach().requires_grad_()
    (gradient,) = torch.autograd.grad(chained.network.module.second(first.tanh()).square().sum(), first)
    torch.testing.assert_close(value, gradient.square().sum())
    with pytest.raises(ValueError, match=re.escape("network's own tensor, T.raw(layer)")):
        value_and_gradient(chained, between(lambda T: T("first")), start)


# Styles, recipes and get_activations ------------------------------------------------------------


@pytest.mark.parametrize("layer", ["NHWC", "NLC", "LNC", "NCL"])
def test_a_style_does_not_depend_on_the_layout(described, layer):
    losses = []
    for name in (layer, "NCHW"):
        loss = style.StyleLoss([name])
        loss.set_style(described.activations(images(2, 5), [name]), described)
        losses.append(value_and_gradient(described, loss.objective(), images(2)))
    assert_same(*losses)


def test_a_style_of_tensors_with_other_axes_needs_the_model(described):
    loss = style.StyleLoss(["NLC"])
    loss.set_style(described.activations(images(2, 5), ["NLC"]))
    with pytest.raises(ValueError, match="has the axes NLC: give set_style the model"):
        value_and_gradient(described, loss.objective(), images(2))


PICTURE = np.ascontiguousarray(images(1)[0].permute(1, 2, 0).numpy())


@pytest.mark.parametrize("layer", WITH_PLACES)
def test_spatial_activations_are_those_of_places(described, layer):
    case, value = CASES[layer], own(described, layer, images(1))
    wanted = torch.stack([case.places(value, k)[0] for k in range(case.info.channels)], -1).numpy()
    np.testing.assert_array_equal(spatial_activations(described, PICTURE, layer), wanted)
    middle = middle_activations(described, layer, PICTURE[None])
    np.testing.assert_array_equal(middle[0], wanted[wanted.shape[0] // 2, wanted.shape[1] // 2])
    found = get_activations(described, layer, PICTURE[None], center_only=True)
    np.testing.assert_array_equal(found[0], wanted[wanted.shape[0] // 2, wanted.shape[1] // 2])


@pytest.mark.parametrize("layer", CASES)
def test_get_activations_has_the_channels_last(described, layer):
    case, batch = CASES[layer], images(5)
    pictures = batch.permute(0, 2, 3, 1).numpy().reshape(5, 1, HEIGHT, WIDTH, 3)
    found = get_activations(described, layer, pictures, batch_size=2)
    assert found.shape[:2] == (5, 1)
    assert found.shape[-1] == case.info.channels
    for k in range(case.info.channels):
        wanted = case.feature(own(described, layer, batch), k).reshape(5, -1).numpy()
        np.testing.assert_allclose(found[..., k].reshape(5, -1), wanted, rtol=1e-5, atol=1e-6)
        alone = activations_of(described, PICTURE, [layer])[layer][..., k]
        np.testing.assert_allclose(alone.ravel(), wanted[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("layer", ["no_grid", "misfit", "windows", "blocks", "rank3", "NGLC"])
def test_the_center_of_a_layer_without_places_is_refused(described, layer):
    with pytest.raises(ValueError, match=r"no rows and columns|splits an image into 3 windows"):
        get_activations(described, layer, PICTURE[None], center_only=True)


@pytest.mark.parametrize("layer", ["NHWC", "NLC", "class", "LNC", "NCL"])
def test_spatial_recipes_work_on_patches(described, layer):
    found, plain = (semantic_dictionary(described, PICTURE, name, 2) for name in (layer, "NCHW"))
    np.testing.assert_array_equal(found.channels, plain.channels)
    found, plain = (sample_activations(described, [PICTURE], name, None) for name in (layer, "NCHW"))
    np.testing.assert_array_equal(found.activations, plain.activations)
    np.testing.assert_array_equal(found.origins, plain.origins)


@pytest.mark.parametrize("layer", ["no_grid", "windows", "blocks", "rows", "dense", "NGLC", "rank3"])
def test_spatial_recipes_say_why_a_layer_has_no_places(described, layer):
    with pytest.raises(ValueError, match=r"has no positions|no rows and columns"):
        semantic_dictionary(described, PICTURE, layer, 2)


@pytest.mark.parametrize("options", [{}, {"path_steps": 3}, {"path_steps": 12, "stochastic": True}])
def test_attributions_of_tokens_are_those_of_the_same_features(options):
    classifier = chain()
    found, plain = (
        channel_attribution(classifier, PICTURE, layer, 1, 2, logits="logits", **options)
        for layer in ("tokens", "places")
    )
    assert np.abs(plain.values).max() > 0
    for part in ("values", "field", "activations"):
        np.testing.assert_allclose(getattr(found, part), getattr(plain, part), rtol=1e-4, atol=1e-6)


def test_attributions_of_positions_of_tokens():
    classifier = chain()
    found, plain = (class_attribution(classifier, PICTURE, name, 1, logits="logits") for name in ("tokens", "places"))
    np.testing.assert_allclose(found, plain, rtol=1e-4, atol=1e-6)
    assert found.shape == (ROWS, COLUMNS)
    between = spatial_attribution(classifier, PICTURE, "places", "tokens").values
    diagonal = between.reshape(PATCHES, PATCHES)
    assert (diagonal.diagonal() > 0).all()  # each token depends on the features at its place only
    np.testing.assert_array_equal(diagonal, np.diag(diagonal.diagonal()))


def test_neuron_groups_of_tokens_are_those_of_the_same_features():
    options = {"classes": [1], "logits": "logits", "icons": False}
    found, plain = (neuron_groups(chain(), PICTURE, name, 2, **options) for name in ("tokens", "places"))
    np.testing.assert_allclose(found.spatial, plain.spatial, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(found.effects[1], plain.effects[1], rtol=1e-3, atol=1e-5)


def test_rendering_recipes_take_layers_of_tokens(described):
    grid = activation_grid(described, PICTURE, "class", size=16, steps=1)
    assert grid.icons.shape == (ROWS, COLUMNS, 12, 12, 3)
    shared = factored_activation_grid(chain(), PICTURE, "tokens", 2, size=16, steps=1, batch_size=2)
    assert shared.icons.shape == (ROWS, COLUMNS, 12, 12, 3)
    sheet = unit_sheet(described, "LNC", 3, diverse=2, seeds=1, size=12, steps=1)
    assert sheet.name == "LNC:3"
    made = style_transfer(
        described, PICTURE, PICTURE[::-1], content_layers="NLC", style_layers="class", size=None, steps=1
    )
    assert made.pictures.shape == (1, HEIGHT, WIDTH, 3)
    dreamed = deepdream(described, PICTURE, "unknown", steps=1)
    assert np.isfinite(dreamed.pictures).all()


# Arguments --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"callbacks": print}, "callbacks is a list of functions of the render, not"),
        ({"callbacks": [3]}, "A callback is a function of the render"),
        ({"callbacks": [dict]}, "a class: call it first"),
        ({"print_objectives": 3}, "print_objectives is an objective or a list of objectives, not 3"),
        ({"print_objectives": [3]}, "An objective is an Objective, a string or a function of T, not 3"),
        ({"verbose": "no"}, "verbose is True or False, not 'no'"),
        ({"live": None}, "live is True or False, not None"),
    ],
)
def test_arguments_of_a_wrong_type_are_refused_in_one_sentence(described, arguments, sentence):
    with pytest.raises(TypeError, match=sentence):
        render.render_vis(described, "NCHW:0", lambda: images(1).requires_grad_(), thresholds=(0,), **arguments)


@pytest.mark.parametrize("name", ["sheet", "overwrite", "verbose", "live", "keep", "per_image"])
def test_flags_of_many_renders_are_flags(described, name):
    with pytest.raises(TypeError, match=f"{name}.* is True or False, not 'no'"):
        render_many(described, "NCHW:0", steps=1, **{name: "no"})


@pytest.mark.parametrize(
    ("arguments", "error", "sentence"),
    [
        ({"names": 5}, TypeError, "names is a layer's name or a list of names, not of type int"),
        ({"instead": torch.relu}, TypeError, "instead is a mapping from 'Relu' or 'Relu6' to a function"),
        ({"instead": {"Relu": 3}}, TypeError, "instead['Relu'] is a function of a tensor, not of type int"),
        ({"instead": {"Elu": torch.relu}}, ValueError, "instead replaces ops of the kinds Relu and Relu6, not 'Elu'"),
        ({"given": [1]}, TypeError, "given is a mapping from a layer's name to the value that replaces its own"),
        ({"given": {"NCHW": 1}}, TypeError, "given['NCHW'] is a tensor, not of type int"),
        ({"channels": 3}, TypeError, "channels is a mapping from a layer's name to channels"),
        ({"channels": {"NCHW": 3}}, TypeError, "channels['NCHW'] is a list of channels, not of type int"),
    ],
)
def test_arguments_of_activations_are_refused_in_one_sentence(described, arguments, error, sentence):
    with pytest.raises(error, match=re.escape(sentence)):
        described.activations(images(1), **{"names": "NCHW", **arguments})


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda: param.image(8, fft="no"), "fft"),
        (lambda: param.image(8, decorrelate="no"), "decorrelate"),
        (lambda: param.grayscale_image_rgb(8, alpha="no"), "alpha"),
        (lambda: param.cppn(8, normalize="no"), "normalize"),
        (lambda: param.multi_interpolation_basis(2, 2, 8, symmetric="no"), "symmetric"),
        (lambda: param.unit_ball_L_inf((1, 8, 8, 3), "no"), "precondition"),
        (lambda: RandomSource(per_image="no"), "per_image"),
    ],
)
def test_flags_of_images_are_flags(make, name):
    with pytest.raises(TypeError, match=f"{name} is True or False, not 'no'"):
        make()
