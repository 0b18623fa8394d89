"""Many units at a time: each picture is that of its unit alone, however they are asked for."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest
import torch

from converters.errors import LayerNotFoundError
from lucid_port.optvis import objectives, param, render
from lucid_port.optvis.render_many import make_many_T
from lucid_port.optvis.sampling import RandomSource
from parity_tests.optvis.many import LIVE, ROUNDING, SHAPE_KEEPING, alone, assert_alike, inception, many
from parity_tests.optvis.tiny import TinyModel

# As if alone ----------------------------------------------------------------------------------

STEPS = 8
FACTOR = 10
"""As for a free render against Lucid's: no further from the unit alone than this many times what that is from itself
when its initial parameters are multiplied by 1 +- 1e-6 (3 draws of signs)."""
SMOOTH_BOUND = 5e-6
"""Where no decision can flip, in [0, 1] (mean over pixels); measured 1e-6 after 8 steps."""
UNITS = [3, 100, 250, 400]


def path_of(vis, index=0):
    pictures = []
    for _ in range(STEPS):
        vis.step()
        pictures.append(vis.image()[index])
    return np.stack(pictures)


@functools.cache
def path_alone(smooth, unit, disturbance=None):
    image = param.image(40).reset(RandomSource(0).scope("param"))
    if disturbance is not None:
        generator = torch.Generator().manual_seed(disturbance)
        with torch.no_grad():
            for parameter in image.parameters():
                signs = 2 * torch.randint(0, 2, parameter.shape, generator=generator) - 1
                parameter.mul_(1 + 1e-6 * signs)
    vis = render.make_vis_T(inception(smooth), f"mixed4a_pre_relu:{unit}", image, relu_gradient_override=True)
    return path_of(vis)


def distances(path, other):
    return np.abs(path - other).mean((1, 2, 3))


@pytest.mark.parametrize("asked", ["channels", "objectives"])
@pytest.mark.parametrize("smooth", [True, False])
def test_first_steps_of_each_image_are_those_of_its_unit_alone(smooth, asked):
    wanted = {
        "channels": [("mixed4a_pre_relu", unit) for unit in UNITS],
        "objectives": [objectives.channel("mixed4a_pre_relu", unit) for unit in UNITS],
    }[asked]
    vis = make_many_T(inception(smooth), wanted, size=40, relu_gradient_override=True)
    pictures = []
    for _ in range(STEPS):
        assert vis.step().shape == (len(UNITS),)
        pictures.append(vis.image())
    for index, unit in enumerate(UNITS):
        reference = path_alone(smooth, unit)
        found = distances(np.stack(pictures)[:, index], reference)
        bound = np.full(STEPS, SMOOTH_BOUND)
        if not smooth:
            own = np.max([distances(path_alone(smooth, unit, draw), reference) for draw in range(3)], 0)
            bound = np.maximum(FACTOR * own, 1e-5)
        assert (found <= bound).all(), f"unit {unit}: {found} {bound}"


def test_batch_sizes_and_devices_do_not_matter():
    asked = [LIVE, "conva:0-2", objectives.channel("mixed", 1) - 0.01 * objectives.L2()]
    one = many(asked, batch_size=1)
    assert [(r.layer, r.unit) for r in one] == [
        *(("mixed", k) for k in (1, 2, 3, 4, 6, 7)),
        *(("conva", k) for k in range(3)),
        ("mixed", None),
    ]
    assert_alike(many(asked, batch_size=4), one)
    assert_alike(many(asked), one)
    assert_alike(many(asked, batch_size=2, devices=["cpu", "cpu", "cpu"]), one)


def test_all_kinds_of_objectives_see_one_image():
    """Also those that are no mean over the batch: a norm of everything, one value for each image, a dense layer."""
    wanted = [
        objectives.channel("mixed", 1) - 0.1 * objectives.L2(),
        objectives.channel("mixed", 1) - 0.01 * objectives.total_variation(),
        objectives.channel("mixed", 1) - 0.1 * objectives.blur_input_each_step(),
        objectives.class_logit("head", "some"),
        objectives.direction("mixed", np.arange(9) - 3, cossim_pow=2),
    ]
    for found, objective in zip(many(wanted), wanted, strict=True):
        expected = alone(objective)
        np.testing.assert_allclose(found.image, expected[0][0], atol=ROUNDING)
        np.testing.assert_allclose(found.losses, expected.losses, rtol=1e-4)
        assert found.value == found.losses[-1]
        assert found.image.dtype == np.float32


def test_channels_of_dense_layers():
    found = many("head:*")
    assert [r.unit for r in found] == list(range(4))
    np.testing.assert_allclose(found[1].image, alone("head:1")[0][0], atol=ROUNDING)


def test_layers_with_several_rows_for_each_image():
    """A dense layer on an image larger than it was made for has a row for each position."""

    class Rows(TinyModel):
        def activations(self, image, names):
            conva = super().activations(image, ["conva"])["conva"][:, :, ::4, ::3]
            return dict.fromkeys(names, conva.permute(0, 2, 3, 1).flatten(0, 2))

    found = many([("rows", 1), ("rows", 3)], Rows())
    by_objective = many([objectives.channel("rows", 1), objectives.channel("rows", 3)], Rows())
    for one, other, channel in zip(found, by_objective, (1, 3), strict=True):
        expected = alone(f"rows:{channel}", Rows())[0][0]
        np.testing.assert_allclose(one.image, expected, atol=ROUNDING)
        np.testing.assert_allclose(other.image, expected, atol=ROUNDING)


def test_gradients_between_layers_need_a_batch_of_one():
    def attribution(T):
        mixed, conva = T("mixed"), T("conva")
        return torch.autograd.grad(mixed[:, 1].sum(), conva, create_graph=True)[0].mul(conva).sum()

    asked = [attribution, functools.partial(attribution)]
    with pytest.raises(ValueError, match="batch_size=1"):
        many(asked, batch_size=2)
    np.testing.assert_allclose(many(asked, batch_size=1)[0].image, alone(attribution)[0][0], atol=ROUNDING)


@pytest.mark.parametrize(
    "factory",
    [
        lambda: param.image(12),
        lambda count: param.image(12, batch=count),
        functools.partial(param.image, 12),
        lambda: param.image(12) * 0.5 + param.pixel_image((1, 12, 12, 3), sd=0.1) * 0.1,
    ],
)
def test_images_however_they_are_made(factory):
    expected = (
        factory if "count" not in str(factory.__code__.co_varnames if hasattr(factory, "__code__") else "") else None
    )
    found = many(size=None, param_f=factory)
    reference = alone("mixed:4", param_f=expected or (lambda: param.image(12)))
    np.testing.assert_allclose(found[1].image, reference[0][0], atol=ROUNDING)


def test_images_that_would_share_their_parameters_are_made_one_by_one():
    found = many(size=None, param_f=lambda batch: param.cppn(12, batch, num_layers=2))
    reference = alone("mixed:6", param_f=lambda: param.cppn(12, num_layers=2))
    np.testing.assert_allclose(found[2].image, reference[0][0], atol=1e-4)  # measured 2e-6: Adam of tiny gradients


def test_each_image_has_its_own_seed():
    seeds = [5, 0, 5, 9]
    found = many(seeds=seeds, seed=2, batch_size=2)
    assert [r.seed for r in found] == seeds
    for one in found:
        source = RandomSource(seeds=[one.seed], shared=2)
        np.testing.assert_allclose(one.image, alone(one.name, seed=source)[0][0], atol=ROUNDING)


@pytest.mark.parametrize("batch_size", [1, 4])
def test_each_image_has_its_own_transforms(batch_size):
    found = many(seeds=[5, 0, 5, 9], per_image=True, transforms=SHAPE_KEEPING, batch_size=batch_size)
    for one in found:
        expected = alone(one.name, seed=one.seed, transforms=SHAPE_KEEPING)
        np.testing.assert_allclose(one.image, expected[0][0], atol=ROUNDING)


def test_own_transforms_have_seeds_that_differ():
    assert [r.seed for r in many(per_image=True, seed=7)] == [7, 8, 9, 10]
    assert [r.seed for r in many(seed=7)] == [7, 7, 7, 7]


def test_images_of_one_seed_have_the_same_draws():
    drawn = RandomSource(seeds=[3, 8, 3]).normal("n", 4, images=3)
    assert np.array_equal(drawn[0], drawn[2])
    assert not np.array_equal(drawn[0], drawn[1])
    assert np.array_equal(drawn[1], RandomSource(8).normal("n", 4))


# What is asked for ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("conva:*", [0, 1, 2, 3]),
        ("conva:1-2", [1, 2]),
        ("conva: 3, 0-1,3", [3, 0, 1]),
        (("conva", 2), [2]),
        ([("conva", np.int64(2)), "conva:0"], [2, 0]),
    ],
)
def test_expressions(asked, expected):
    assert [r.unit for r in many(asked, steps=1)] == expected


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("mixed:9", "no unit 9: layer 'mixed' has channels 0..8"),
        ("mixed:3-12", "no unit 12: layer 'mixed' has channels 0..8"),
        ("mixed", "':' and channels are expected, as in 'mixed:3'"),
        ("mixed:", "at its end: a channel's number"),
        ("mixed:5-2", "ends before it begins"),
        ("mixed:-1", "at character 7 ('-1'): channels count from 0"),
        ("mixed:1,x", "at character 9 ('x'): a channel's number"),
        ([], "No units"),
        (["mixed:1", "mixed:0-3"], "mixed:1 is named twice"),
    ],
)
def test_expressions_that_make_no_sense(asked, words):
    with pytest.raises(ValueError, match=re.escape(words)):
        many(asked)


@pytest.mark.parametrize("asked", [3, None, [3], ("mixed", 1.5), {"mixed": 1}])
def test_what_is_no_unit(asked):
    with pytest.raises((TypeError, ValueError)):
        many(asked)


def test_a_layer_that_does_not_exist():
    with pytest.raises(LayerNotFoundError, match="Did you mean mixed4"):
        many("mixed4q:*", inception(False))
    with pytest.raises(ValueError, match=re.escape("layer 'mixed4a' has channels 0..507")):
        many("mixed4a:508", inception(False))


def test_arguments_that_make_no_sense(tmp_path):
    for words, kwargs in {
        "param_f is a function": {"param_f": param.image(12), "size": None},
        "either size or param_f": {"param_f": lambda: param.image(12)},
        "one for each": {"seeds": [1, 2]},
        "steps": {"steps": 0},
        "batch_size": {"batch_size": 0},
        "devices is empty": {"devices": []},
        "no device": {"devices": ["abacus"]},
        "give output": {"sheet": True},
        "a picture has 1, 3 or 4": {
            "asked": lambda T: T("input").mean(),
            "param_f": lambda batch: param.image(9, batch=batch, channels=6),
            "size": None,
            "transforms": [lambda image: image[:, :3]],
            "output": tmp_path,
        },
        "for a batch of 1": {"param_f": lambda batch: param.image(12, batch=2 * batch), "size": None},
        "returned the same image again": {"param_f": functools.cache(lambda: param.image(12)), "size": None},
    }.items():
        with pytest.raises((TypeError, ValueError), match=words):
            many(**kwargs)
    assert list(tmp_path.iterdir()) == []
