"""What is said to someone who gives an argument that makes no sense."""

from __future__ import annotations

import copy
import io
import json
import pickle
import warnings

import numpy as np
import pytest
import torch
from torch import nn

from lucid_port.misc import iter_nd_utils, ndimage_utils, stimuli
from lucid_port.misc.channel_reducer import ChannelReducer
from lucid_port.misc.convert_matplotlib import matplotlib_to_numpy
from lucid_port.misc.io import batch_save, io_scope, load, sanitize, save
from lucid_port.misc.io.collapse_channels import collapse_channels
from lucid_port.misc.io.saving import check_picture_path
from lucid_port.misc.io.serialize_array import normalize_array, serialize_array
from lucid_port.misc.io.showing import images
from lucid_port.modelzoo.catalogue import label_lists
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.optvis import objectives, param, render, resampling, serialization, style, transform
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.sampling import RandomSource

NAN, INFINITY = float("nan"), float("inf")

# Objectives -----------------------------------------------------------------------------------

ACTIVATIONS = {
    "input": torch.rand(2, 3, 6, 7),
    "lay": torch.rand(2, 4, 5, 6),
    "head": torch.rand(2, 4),
    "labels": ["cat", "dog", "cow", "hen", "pig", "ram"],
}
LAY = objectives.channel("lay", 0)

WHEN_MADE = [
    (lambda: objectives.channel("lay", "1"), TypeError, r"channel's n_channel is a whole number, not '1'"),
    (lambda: objectives.channel("lay", 1.5), ValueError, r"whole number, not 1\.5"),
    (lambda: objectives.channel("lay", True), TypeError, "whole number, not True"),
    (lambda: objectives.channel(3, 1), TypeError, "channel's layer is the name of a layer"),
    (lambda: objectives.channel("lay", 1, batch=-1), ValueError, "batch, the index of an image, is a whole number"),
    (lambda: objectives.channel("lay", 1, batch="1"), TypeError, "batch"),
    (lambda: objectives.channel("lay"), TypeError, "channel: missing a required argument: 'n_channel'"),
    (lambda: objectives.neuron("lay", None), TypeError, "neuron's channel_n"),
    (lambda: objectives.neuron("lay", 1, x=1.5), ValueError, "neuron's x"),
    (lambda: objectives.neuron("lay", 1, y="2"), TypeError, "neuron's y"),
    (lambda: objectives.direction("lay", [1, NAN, 0, 0]), ValueError, "direction's vec contains NaN"),
    (
        lambda: objectives.direction("lay", torch.full((4,), INFINITY)),
        ValueError,
        "direction's vec contains NaN or inf",
    ),
    (lambda: objectives.direction("lay", ["a", "b"]), TypeError, "direction's vec is an array of real numbers"),
    (lambda: objectives.direction("lay", [[1, 2], [3]]), ValueError, "rows differ in length"),
    (lambda: objectives.direction("lay", []), ValueError, "direction's vec is empty"),
    (lambda: objectives.direction("lay", 3), TypeError, "one number for each channel; it is the number 3"),
    (lambda: objectives.direction("lay", [1, 2, 3, 4], cossim_pow=NAN), ValueError, "direction's cossim_pow"),
    (lambda: objectives.direction_neuron("lay", [1, 2, 3, NAN]), ValueError, "direction_neuron's vec"),
    (lambda: objectives.tensor_direction("lay", [1, 2]), ValueError, "not of rank 1"),
    (lambda: objectives.tensor_direction("lay", np.full((2, 2, 4), NAN)), ValueError, "tensor_direction's vec"),
    (lambda: objectives.tensor_direction(3, np.ones((2, 2, 4))), TypeError, "tensor_direction"),
    (lambda: objectives.L1(constant="0"), TypeError, "L1's constant"),
    (lambda: objectives.L2(constant=NAN), ValueError, "L2's constant"),
    (lambda: objectives.L2(epsilon=-1), ValueError, "L2's epsilon is a finite number from 0 on"),
    (lambda: objectives.alignment("lay", 0), ValueError, "decay_ratio is a finite number above 0"),
    (lambda: objectives.input_diff("photo.png"), TypeError, "input_diff's orig_img"),
    (lambda: objectives.class_logit("head", 1.5), ValueError, "class_logit's label"),
    (lambda: objectives.class_logit("head", None), TypeError, "class_logit's label"),
    (lambda: objectives.channel_interpolate("lay", 0, "lay", "1"), TypeError, "n_channel2"),
    (lambda: objectives.channel_interpolate(3, 0, "lay", 1), TypeError, "channel_interpolate's layer"),
    (lambda: objectives.channel_interpolate("lay", 0, 3, 1), TypeError, "channel_interpolate's layer"),
    (lambda: objectives.penalize_boundary_complexity((6, 7)), ValueError, r"\[batch, height, width, channels\]"),
    (lambda: objectives.penalize_boundary_complexity(6), TypeError, r"\[batch, height, width, channels\]"),
    (lambda: objectives.penalize_boundary_complexity((1, 6, 7, 3), w=-1), ValueError, "w is a whole number from 0"),
    (lambda: LAY * NAN, ValueError, "An objective's factor is a finite number, not nan"),
    (lambda: INFINITY * LAY, ValueError, "factor"),
    (lambda: LAY + NAN, ValueError, "summand"),
    (lambda: LAY - NAN, ValueError, "finite"),
    (lambda: LAY / NAN, ValueError, "divisor"),
    (lambda: LAY / 0, ZeroDivisionError, "divided by 0"),
    (lambda: objectives.Objective("lay:1"), TypeError, "use as_objective"),
    (lambda: objectives.Objective.sum("lay:1"), TypeError, "a list of objectives"),
    (lambda: objectives.as_objective(objectives.channel), TypeError, "channel makes objectives"),
]

WHEN_EVALUATED = [
    (lambda: objectives.channel("lay", 4), IndexError, r"'lay' has no channel 4: its channels are 0 to 3"),
    (lambda: objectives.direction("lay", [1, 2, 3]), ValueError, "has 3 numbers, but layer 'lay' has 4 channels"),
    (lambda: objectives.direction("lay", [1]), ValueError, "has 1 numbers, but layer 'lay' has 4 channels"),
    (lambda: objectives.direction("lay", np.ones((3, 1, 1, 4))), ValueError, "does not fit the activation of layer"),
    (lambda: objectives.direction_neuron("lay", np.ones(5)), ValueError, "has 5 numbers"),
    (lambda: objectives.tensor_direction("lay", np.ones((2, 2, 5))), ValueError, "has 5 numbers"),
    (lambda: objectives.tensor_direction("lay", np.ones((3, 2, 2, 4))), ValueError, "does not fit"),
    (lambda: objectives.tensor_direction("lay", np.ones((9, 2, 4))), ValueError, "larger than layer 'lay'"),
    (lambda: objectives.class_logit("head", 4), IndexError, "'head' has no class 4: its classes are 0 to 3"),
    (lambda: objectives.class_logit("head", "pig"), IndexError, "'head' has no class 4"),
    (lambda: objectives.class_logit("head", "dog"), ValueError, "4 classes, and the model has 6 labels"),
    (lambda: objectives.channel_interpolate("lay", 0, "lay", 4), IndexError, "'lay' has no channel 4"),
    (lambda: objectives.input_diff(np.ones((6, 8, 3))), ValueError, r"\[6, 8, 3\].* does not fit .*\[2, 6, 7, 3\]"),
    (lambda: objectives.penalize_boundary_complexity((1, 7, 6, 3), w=1), ValueError, "shp .* does not fit"),
    (lambda: objectives.penalize_boundary_complexity(None, mask=np.ones((3, 3))), ValueError, "mask .* does not fit"),
]


@pytest.mark.parametrize(("make", "error", "words"), WHEN_MADE)
def test_objectives_refuse_when_they_are_made(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize(("make", "error", "words"), WHEN_EVALUATED)
def test_objectives_refuse_what_does_not_fit_the_layer(make, error, words):
    objective = make()
    with pytest.raises(error, match=words):
        objective(ACTIVATIONS.__getitem__)


def test_of_classes_with_one_label_the_first_is_read_as_in_lucid():
    labels = label_lists()["ImageNet_alternate"].read()
    classes = [number for number, label in enumerate(labels) if label == "crane"]
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, len(labels)))
    model = from_torch(network, (0, 1), image_shape=(16, 13, 3), labels=labels)
    objective = objectives.class_logit("output", "crane")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        render.render_vis(model, objective, lambda: param.image(16), thresholds=(3,), transforms=[], verbose=False)
    assert [str(one.message) for one in caught] == [
        f"The model has the label 'crane' 2 times, for the classes {classes[0]}, {classes[1]}: as in Lucid, the first "
        f"of them, {classes[0]}, is rendered. Give the number to render another one."
    ]
    T = {"head": torch.rand(2, len(labels)), "labels": labels}.__getitem__
    assert objectives.class_logit("head", "crane")(T) == objectives.class_logit("head", classes[0])(T)


def test_numbers_may_be_whole_floats_and_tensors_without_axes():
    expected = objectives.channel("lay", 3)(ACTIVATIONS.__getitem__)
    for number in (3.0, np.int64(3), np.array(3), torch.tensor(3)):
        assert objectives.channel("lay", number)(ACTIVATIONS.__getitem__) == expected


# Transforms -----------------------------------------------------------------------------------

TRANSFORMS = [
    (lambda: transform.jitter(-1), ValueError, "jitter's d is a whole number from 0 on, not -1"),
    (lambda: transform.jitter(1.5), ValueError, "jitter's d"),
    (lambda: transform.jitter("8"), TypeError, "jitter's d"),
    (lambda: transform.jitter(8, seed=-1), ValueError, "jitter's seed"),
    (lambda: transform.pad(-1), ValueError, "pad's w"),
    (lambda: transform.pad(2, mode=3), ValueError, "pad mode 3"),
    (lambda: transform.pad(2, "constant", NAN), ValueError, "pad's constant_value is a finite number"),
    (lambda: transform.pad(2, "constant", None), TypeError, "pad's constant_value"),
    (lambda: transform.random_scale([1, 0]), ValueError, "random_scale's scales is a finite number above 0, not 0"),
    (lambda: transform.random_scale([-1]), ValueError, "random_scale's scales"),
    (lambda: transform.random_scale(1.1), TypeError, "random_scale's scales is a list of numbers, not 1.1"),
    (lambda: transform.random_scale([]), ValueError, "nothing to choose from"),
    (lambda: transform.random_rotate([NAN]), ValueError, "random_rotate's angles"),
    (lambda: transform.random_rotate("10"), TypeError, "random_rotate's angles"),
    (lambda: transform.random_rotate([10], units=None), ValueError, "Unknown units None"),
    (lambda: transform.normalize_gradient(0.5), TypeError, "grad_scales is a list of numbers"),
    (lambda: transform.normalize_gradient([NAN]), ValueError, "grad_scales"),
    (lambda: transform.collapse_alpha_random(NAN), ValueError, "collapse_alpha_random's sd"),
    (lambda: transform.collapse_alpha_random(-1), ValueError, "collapse_alpha_random's sd"),
    (lambda: transform.crop_or_pad_to(-3, 4), ValueError, "crop_or_pad_to's height is a whole number from 1 on"),
    (lambda: transform.crop_or_pad_to(3, 4.5), ValueError, "crop_or_pad_to's width"),
    (lambda: transform.compose("jitter"), TypeError, r"list of transforms, as in .*, not 'jitter'"),
    (lambda: transform.compose(3), TypeError, "transforms is a list of transforms"),
    (lambda: transform.compose([3]), TypeError, "A transform is a Transform or a function"),
    (lambda: transform.as_transform(transform.jitter), TypeError, "jitter makes transforms"),
    (lambda: transform.as_transform(torch.nn.ReLU), TypeError, "ReLU makes transforms"),
]


@pytest.mark.parametrize(("make", "error", "words"), TRANSFORMS)
def test_transforms_refuse_when_they_are_made(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize("chain", [transform.jitter(2), transform.compose([]), transform.as_transform(torch.relu)])
def test_transforms_want_a_batch(chain):
    with pytest.raises(ValueError, match=r"4 axes, not one of shape \[3, 8, 9\]"):
        chain(torch.rand(3, 8, 9))


@pytest.mark.parametrize("function", [lambda image: None, lambda image: image[0]])
def test_a_function_has_to_return_a_batch(function):
    with pytest.raises(TypeError, match=r"The transform <lambda> returned .*, not a batch"):
        transform.compose([function])(torch.rand(1, 3, 8, 9))


def test_gradient_scales_are_one_for_each_image():
    image = torch.rand(3, 3, 4, 4)
    with pytest.raises(ValueError, match="2 grad_scales for a batch of 3 images"):
        transform.normalize_gradient([1, 2])(image)
    assert transform.normalize_gradient([2])(image).shape == image.shape


def test_rotation_tables_keep_to_their_memory():
    made = []

    def make(size):
        made.append(size)
        return torch.zeros(size, dtype=torch.int32)

    tables = resampling._TableCache(make, limit=80)
    for size in (10, 10, 8, 10, 5, 8, 30, 30):
        assert len(tables(size)) == size
        assert tables.bytes <= 80 or size == 30
    assert made == [10, 8, 5, 8, 30]


# Parameterizations ----------------------------------------------------------------------------

RGB = np.full((4, 5, 3), 0.5)

PARAMETERIZATIONS = [
    (lambda: param.image(0), ValueError, "image's w is a whole number from 1 on, not 0"),
    (lambda: param.image(-3), ValueError, "image's w"),
    (lambda: param.image(32.5), ValueError, "image's w"),
    (lambda: param.image("32"), TypeError, "image's w"),
    (lambda: param.image(1), ValueError, "width of at least 2 pixels"),
    (lambda: param.image(8, 0), ValueError, "image's h"),
    (lambda: param.image(8, batch=0), ValueError, "image's batch"),
    (lambda: param.image(8, batch=0.5), ValueError, "image's batch"),
    (lambda: param.image(8, channels=0), ValueError, "image's channels"),
    (lambda: param.image(8, sd=NAN), ValueError, "sd is a finite number, not nan"),
    (lambda: param.image(8, sd=-1, fft=False), ValueError, "pixel_image's sd"),
    (lambda: param.image(5, 4, init=RGB * NAN), ValueError, "An initial value contains NaN"),
    (lambda: param.image(5, 4, init="photo.png"), TypeError, "An initial value is an array of real numbers"),
    (lambda: param.image(4, 5, init=RGB), ValueError, r"\(4, 5, 3\) does not fit the shape \(1, 5, 4, 3\)"),
    (lambda: param.fft_image((1, 8, 8, 3), decay_power=INFINITY), ValueError, "fft_image's decay_power"),
    (
        lambda: param.fft_image(8),
        TypeError,
        r"fft_image's shape is a shape of \[batch, height, width, channels\], not 8",
    ),
    (lambda: param.fft_image((8, 8, 3)), ValueError, r"not \(8, 8, 3\)"),
    (lambda: param.pixel_image((1, 8.5, 8, 3)), ValueError, "Every size of pixel_image's shape is a whole number"),
    (lambda: param.laplacian_pyramid_image((8, 8)), ValueError, r"\[\.\.\., height, width, channels\]"),
    (lambda: param.laplacian_pyramid_image((1, 8, 8, 3), 0), ValueError, "n_levels"),
    (lambda: param.lowres_tensor((8, 8), (0, 4)), ValueError, "lowres_tensor's underlying_shape"),
    (lambda: param.lowres_tensor((8, 8), (4, 4), offset=-1), ValueError, "An offset of lowres_tensor"),
    (lambda: param.lowres_tensor((8, 8), (4, 4), offset=9), ValueError, "offset of 9 does not fit an axis of size 8"),
    (lambda: param.image_sample((1, 8, 8, 3), sd=NAN), ValueError, "image_sample's sd"),
    (lambda: param.cppn(0), ValueError, "cppn's width"),
    (lambda: param.cppn(8, batch=0), ValueError, "cppn's batch"),
    (lambda: param.cppn(8, num_layers=-1), ValueError, "cppn's num_layers"),
    (lambda: param.cppn(8, activation_func=3), TypeError, "activation_func is a name or a function, not 3"),
    (lambda: param.unit_ball_L2((0, 3)), ValueError, "unit_ball_L2's shape"),
    (lambda: param.unit_ball_L_inf("3"), TypeError, "unit_ball_L_inf.s shape"),
    (lambda: param.unit_ball_L2(0), ValueError, "unit_ball_L2.s shape"),
    (lambda: param.unit_ball_L2((2, 3), direction="up"), ValueError, "direction"),
    (lambda: param.unit_ball_L_inf((2, 3), direction="up"), ValueError, "direction"),
    (lambda: param.multi_interpolation_basis(1), ValueError, "n_objectives is a whole number from 2 on, not 1"),
    (lambda: param.resize_bilinear_nd(torch.ones(4, 4), (0, 4)), ValueError, "target_shape"),
    (lambda: param.bilinearly_sampled_image(torch.ones(1, 4, 4, 3), torch.ones(5, 2)), ValueError, "a texture"),
    (lambda: param.constant(NAN), ValueError, "A constant in a parameterization contains NaN"),
    (lambda: param.image(8) + "1", TypeError, "A constant in a parameterization is an array of real numbers, not '1'"),
    (lambda: param.image(8) * NAN, ValueError, "contains NaN"),
    (lambda: param.image(8)[0.5], ValueError, "An index of a parameterization"),
    (lambda: param.image(8)[[0, 1]], TypeError, "An index of a parameterization"),
    (lambda: param.image(8)[..., ...], IndexError, "at most one"),
    (lambda: param.image(8)[::0], ValueError, "step of a slice cannot be 0"),
    (lambda: param.stack([]), ValueError, "stack needs at least one"),
    (lambda: param.concat(param.image(8)), TypeError, "concat's parts is a list of parameterizations"),
    (lambda: param.as_parameterization(np.ones((1, 3, 8, 8))), TypeError, "an array of shape"),
]

WHEN_COMPUTED = [
    (lambda: param.image(8) + param.image(9), ValueError, r"\[1, 8, 8, 3\] and \[1, 9, 9, 3\] cannot be combined"),
    (lambda: param.image(8) * np.ones(4), ValueError, "cannot be combined"),
    (lambda: param.stack([param.image(8), param.image(9)]), ValueError, r"stack cannot join .* \[1, 9, 9, 3\]"),
    (lambda: param.concat([param.image(8), param.image(9)]), ValueError, "concat cannot join"),
    (lambda: param.image(8)[0, 0, 0, 0, 0], IndexError, "5 indices are too many"),
]


@pytest.mark.parametrize(("make", "error", "words"), PARAMETERIZATIONS)
def test_parameterizations_refuse_when_they_are_made(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize(("make", "error", "words"), WHEN_COMPUTED)
def test_parameterizations_refuse_parts_that_do_not_fit(make, error, words):
    made = make()
    with pytest.raises(error, match=words):
        made()


@pytest.mark.parametrize(
    "index",
    [
        (..., slice(None, None, -1)),
        (0, ..., slice(None, None, -2), slice(None)),
        (slice(None), slice(5, 1, -3)),
        (None, ..., slice(1, 3), slice(2, 0, -1)),
        (slice(None), slice(0, 4, -1)),
    ],
)
def test_slices_may_run_backwards(index):
    image = param.image(6, 7, batch=2)
    assert np.array_equal(image[index].nhwc().detach().numpy(), image.nhwc().detach().numpy()[index])


@pytest.mark.parametrize(
    "make",
    [
        lambda: param.image(6, alpha=True),
        lambda: param.grayscale_image_rgb(6),
        lambda: param.image(6, channels=2, fft=False),
        lambda: param.to_valid_rgb(param.laplacian_pyramid_image((1, 8, 8, 3))),
        lambda: param.stack([param.image(6)[0, ::-1], param.image(6)[0] * 0.5]).reshape(2, 6, 6, 3),
        lambda: param.cppn(6, num_layers=1),
        lambda: param.unit_ball_L2((1, 4, 4, 3)) + param.unit_ball_L_inf((1, 4, 4, 3)),
    ],
)
@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda made: pickle.loads(pickle.dumps(made))])
def test_copies_and_pickles_give_the_same_image(make, duplicate):
    made = make().reset(RandomSource(2))
    twin = duplicate(made)
    assert torch.equal(twin(), made())
    twin.reset(RandomSource(3))
    assert torch.equal(made(), make().reset(RandomSource(2))())


@pytest.mark.parametrize("make", [param.image, param.cppn, lambda size: param.image(size, fft=False)])
def test_images_in_double_precision_by_default(make):
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        assert make(6)().dtype == torch.float64
    finally:
        torch.set_default_dtype(before)


@pytest.mark.parametrize("init", [0.5, np.full((4, 5, 1), 0.5), np.full((1, 4, 5, 3), 0.5)])
def test_initial_pictures_are_repeated(init):
    torch.testing.assert_close(param.image(5, 4, batch=2, init=init)(), torch.full((2, 3, 4, 5), 0.5))


# Optimiser, style, plain data -----------------------------------------------------------------

WEIGHTS = [torch.zeros(1, requires_grad=True)]

OTHERS = [
    (lambda: TFAdam(WEIGHTS, lr="0.05"), TypeError, "lr is a finite number, not '0.05'"),
    (lambda: TFAdam(WEIGHTS, betas=0.9), TypeError, "TFAdam's betas is a pair of numbers"),
    (lambda: TFAdam(WEIGHTS, betas=(0.9,)), ValueError, "out of range"),
    (lambda: TFAdam(WEIGHTS, betas=(0.9, NAN)), ValueError, "out of range"),
    (lambda: TFAdam(WEIGHTS, eps=NAN), ValueError, "eps is a finite number, not nan"),
    (lambda: style.StyleLoss("mixed4a"), TypeError, "style_layers is a list of layer names, not 'mixed4a'"),
    (lambda: style.StyleLoss([]), ValueError, "empty"),
    (lambda: style.StyleLoss([4]), TypeError, "Each of style_layers is a layer's name, not 4"),
    (lambda: style.StyleLoss(["a"], ema_decay=NAN), ValueError, "ema_decay"),
    (lambda: style.StyleLoss(["a"], ema_decay="0.5"), TypeError, "ema_decay"),
    (lambda: style.StyleLoss(["a"], style_func="gram"), TypeError, "style_func is a function, not 'gram'"),
    (lambda: style.StyleLoss(["a"]).set_style({"b": 1}), KeyError, "lack the style's layer 'a'"),
    (lambda: style.StyleLoss(["a"]).set_style(torch.ones(2)), TypeError, "set_style takes activations by layer"),
    (lambda: style.gram_style(torch.ones(3)), ValueError, r"\[N, C, \.\.\.\]"),
    (lambda: style.mean_l1_loss(torch.ones(3, 3), torch.ones(1, 3)), ValueError, r"\[3, 3\] and \[1, 3\]"),
    (lambda: serialization.from_data({"objective": ["channel"]}), ValueError, "names its objective by a string"),
    (lambda: serialization.from_data({"objective": "chanel"}), ValueError, "Unknown objective 'chanel'"),
    (lambda: serialization.from_data({"objective": "channel"}), ValueError, "missing a required argument: 'layer'"),
    (lambda: serialization.from_data({"objective": "channel", "args": [1]}), ValueError, "a mapping from names"),
    (lambda: serialization.from_data({"param": "image", "args": {"size": 8}}), ValueError, "do not fit it"),
    (lambda: serialization.from_data({"param": "image", "args": {"w": "8"}}), TypeError, "image's w"),
    (
        lambda: serialization.from_data({"param": "arithmetic", "args": {"operation": "xor", "left": 1, "right": 2}}),
        ValueError,
        "xor",
    ),
    (lambda: serialization.from_data({"objective": "scale", "args": {"objective": "a", "by": 2}}), TypeError, "factor"),
    (lambda: serialization.from_data({"transform": "jitter", "args": {"d": None}}), TypeError, "jitter's d"),
    (lambda: serialization.from_data({"array": "///"}), ValueError, "array in the recipe cannot be read"),
    (lambda: serialization.from_data({"array": 3}), ValueError, "array in the recipe cannot be read"),
]


@pytest.mark.parametrize(("make", "error", "words"), OTHERS)
def test_the_rest_of_optvis_refuses(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_half_precision_directions_have_a_plain_form():
    data = objectives.direction("lay", torch.arange(4, dtype=torch.bfloat16)).to_data()
    again = serialization.from_data(json.loads(json.dumps(data)))
    expected = objectives.direction("lay", [0, 1, 2, 3])(ACTIVATIONS.__getitem__)
    assert torch.equal(again(ACTIVATIONS.__getitem__), expected)


# Files ----------------------------------------------------------------------------------------

PICTURE = np.linspace(0, 1, 60).reshape(4, 5, 3)
BYTES = (PICTURE * 255).astype(np.uint8)


class _Named(io.BytesIO):
    name = "a.png"


SAVES = [
    (lambda: save(3.0, "a.png"), ValueError, r"A picture is \[height, width\] .* not of shape \(\)"),
    (lambda: save("text", "a.png"), TypeError, "A picture is an array of numbers, not 'text'"),
    (lambda: save(np.ones((2, 4, 5, 3)), "a.png"), ValueError, r"not of shape \(2, 4, 5, 3\)"),
    (lambda: save(np.ones((4, 5, 7)), "a.png"), ValueError, "1 to 4 channels"),
    (lambda: save(np.ones((0, 5, 3)), "a.png"), ValueError, r"not of shape \(0, 5, 3\)"),
    (lambda: save([[1, 2], [3]], "a.png"), ValueError, "rows differ in length"),
    (lambda: save(PICTURE * NAN, "a.png"), ValueError, "contains NaN"),
    (lambda: save(np.array([[0, INFINITY]]), "a.png"), ValueError, "infinite values: pass domain="),
    (lambda: save(BYTES, "a.png", domain=(0, 1)), ValueError, r"whole numbers up to 255.*pass domain=\(0, 255\)"),
    (lambda: save(PICTURE, "a.png", domain=(1, 0)), ValueError, "the smaller number first"),
    (lambda: save(PICTURE, "a.png", domain=1), TypeError, r"domain is \(low, high\)"),
    (lambda: save(PICTURE, "a.png", domain=(0, NAN)), ValueError, "Each end of domain"),
    (lambda: save(PICTURE, "a.png", sd=1), TypeError, r"\.png has no option 'sd'; it has domain, quality"),
    (lambda: save(PICTURE, "a.jpg", quality="best"), TypeError, "quality is a whole number"),
    (lambda: save(PICTURE, "gs://bucket/a.png"), ValueError, "gs://bucket/a.png is a URL"),
    (lambda: save(PICTURE, "http://host/a.png"), ValueError, "is a URL, and files cannot be saved to URLs"),
    (lambda: save(PICTURE, None), TypeError, "A path, an address or an open file is needed, not None"),
    (lambda: save(PICTURE, io.BytesIO()), ValueError, "BytesIO has no name with an extension that states the format"),
    (lambda: save(PICTURE, io.StringIO()), TypeError, "open for text"),
    (lambda: save({1: PICTURE}, "a.npz"), ValueError, "cannot have the name 1"),
    (lambda: save({"file": PICTURE}, "a.npz"), ValueError, "cannot have the name 'file'"),
    (lambda: save({"a": {}}, "a.npz"), TypeError, "no array of numbers"),
    (lambda: save({"a": 1}, "a.npy"), TypeError, "no array of numbers"),
    (lambda: save(3, "a.txt"), TypeError, "a string or a list of lines, not 3"),
    (lambda: batch_save([("thing",)]), ValueError, r"one is \('thing',\)"),
    (lambda: batch_save([], num_workers=0), ValueError, "num_workers"),
    (lambda: check_picture_path("s3://bucket/a.png"), ValueError, "is a URL"),
    (lambda: serialize_array(PICTURE, fmt="foo"), ValueError, "Unknown picture format 'foo'"),
]


@pytest.mark.parametrize(("make", "error", "words"), SAVES)
def test_saving_refuses_and_leaves_nothing_behind(make, error, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=words):
        make()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.png", b"no picture"),
        ("a.png", b"\x89PNG\r\n\x1a\n"),
        ("a.npy", b"no array"),
        ("a.npz", b"PK no archive"),
        ("a.json", b"{"),
        ("a.txt", b"\xff\xfe\xfd"),
        ("A.txt.xz", b"not compressed"),
    ],
)
def test_a_broken_file_is_named(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} cannot be read as \."):
        load(tmp_path / name)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: load("gs://bucket/a.png"), ValueError, "only http and https are supported"),
        (lambda: load("http://localhost:9/a.png"), OSError, "http://localhost:9/a.png cannot be read"),
        (lambda: load(3), TypeError, "A path, an address or an open file is needed, not 3"),
        (lambda: load(io.BytesIO()), ValueError, "BytesIO has no name"),
        (lambda: load(_Named(), sizes=3), TypeError, r"\.png has no option 'sizes'; it has size"),
    ],
)
def test_loading_refuses(make, error, words):
    with pytest.raises(error, match=words):
        make()


@pytest.mark.parametrize(
    ("shape", "mode_shape"),
    [
        ((8, 1, 3), (8, 1, 3)),
        ((1, 8, 3), (1, 8, 3)),
        ((1, 1, 3), (1, 1, 3)),
        ((1, 4, 5, 3), (4, 5, 3)),
        ((4, 5, 1), (4, 5)),
        ((1, 4, 5, 1), (4, 5)),
        ((1, 4, 5), (4, 5)),
        ((1, 1, 4, 5, 4), (4, 5, 4)),
    ],
)
def test_only_the_axes_of_batch_and_channel_are_dropped(shape, mode_shape):
    assert normalize_array(np.full(shape, 0.5)).shape == mode_shape


def test_pictures_of_unusual_kinds_survive(tmp_path):
    for name, picture in [("grey_alpha.jpg", PICTURE[..., :2]), ("half.png", torch.from_numpy(PICTURE).bfloat16())]:
        save(picture, tmp_path / name, domain=(0, 1))
        assert load(tmp_path / name).shape == (4, 5, 3)


def test_an_open_file_with_a_name_is_read_and_written():
    file = _Named()
    save(BYTES, file)
    file.seek(0)
    np.testing.assert_array_equal(load(file), BYTES / np.float32(255))


# The rest of misc -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: ChannelReducer(2)(PICTURE * NAN), ValueError, "The array of activations contains NaN"),
        (lambda: ChannelReducer(2)(3.0), ValueError, "not a single number"),
        (lambda: ChannelReducer(0), ValueError, "int from 1 on, not 0"),
        (lambda: collapse_channels([[NAN]]), ValueError, "contains NaN"),
        (lambda: collapse_channels(3), ValueError, "axis of channels"),
        (lambda: images([PICTURE], labels=["a", "b"]), ValueError, "1 pictures have 2 labels"),
        (lambda: sanitize(3), TypeError, "a name, not 3"),
        (lambda: io_scope(None).__enter__(), TypeError, "io_scope's path is a path, not None"),
        (lambda: matplotlib_to_numpy(PICTURE), TypeError, "a figure or pyplot, not an array of shape"),
        (lambda: iter_nd_utils.batch_iter([1], 0), ValueError, "batch_size is a whole number from 1 on"),
        (lambda: iter_nd_utils.dict_to_ndarray({}), ValueError, "at least one value"),
        (lambda: iter_nd_utils.dict_to_ndarray({(0,): 1, (0, 1): 2}), ValueError, "index tuple of the same length"),
        (lambda: ndimage_utils.resize(PICTURE, 0), ValueError, "resize's target_size is a whole number from 1 on"),
        (
            lambda: ndimage_utils.resize(PICTURE, (4, 5, 3)),
            ValueError,
            r"resize's target_size is one number or \(height, width\)",
        ),
        (lambda: ndimage_utils.resize(PICTURE, ratios=-1), ValueError, "resize's ratios"),
        (lambda: ndimage_utils.composite(PICTURE, PICTURE[..., :1]), ValueError, "same channels, not of 3 and 1"),
        (lambda: ndimage_utils.composite(PICTURE, PICTURE, 2), ValueError, "does not fit on a background of 4 x 5"),
        (lambda: ndimage_utils.composite(PICTURE, PICTURE, 0.5, (0, 2)), ValueError, "foreground_position"),
        (lambda: stimuli.sample_binary_image(0), ValueError, "size is a whole number from 1 on"),
        (lambda: stimuli.sample_binary_image(8, color_a=1), ValueError, "color_a is three numbers"),
    ],
)
def test_the_rest_of_misc_refuses(make, error, words):
    with pytest.raises(error, match=words):
        make()
