"""Arithmetic, reductions, torch functions and transforms of parameterizations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
import torch

from lucid_port.modelzoo.nets_factory import get_model
from lucid_port.optvis import param, render, serialization, transform
from lucid_port.optvis.param.base import channels_first
from lucid_port.optvis.sampling import RandomSource


@pytest.fixture(scope="module")
def tiny():
    return get_model("TinyInceptionV1")


def picture(seed=0, shape=(2, 5, 7, 3)):
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


P, Q = picture(0), picture(1)


def constant(array):
    return param.constant(array)


ELEMENTWISE = {
    "abs": (abs, np.abs),
    "method abs": (lambda p: p.abs(), np.abs),
    "power": (lambda p: p**2, lambda a: a**2),
    "reversed power": (lambda p: 2**p, lambda a: 2**a),
    "exp": (lambda p: p.exp(), np.exp),
    "sqrt": (lambda p: (p * p + 1).sqrt(), lambda a: np.sqrt(a * a + 1)),
    "log": (lambda p: (p * p + 1).log(), lambda a: np.log(a * a + 1)),
    "sigmoid": (lambda p: p.sigmoid(), lambda a: 1 / (1 + np.exp(-a))),
    "tanh": (lambda p: p.tanh(), np.tanh),
    "relu": (lambda p: p.relu(), lambda a: np.maximum(a, 0)),
    "clamp": (lambda p: p.clamp(-0.5, 0.25), lambda a: np.clip(a, -0.5, 0.25)),
    "one limit": (lambda p: p.clamp(max=0.25), lambda a: np.minimum(a, 0.25)),
    "floor": (lambda p: p // 0.5, lambda a: a // 0.5),
    "remainder": (lambda p: p % 0.75, lambda a: a % 0.75),
    "less": (lambda p: p < 0.5, lambda a: a < 0.5),
    "at most": (lambda p: p <= Q, lambda a: a <= Q),
    "greater": (lambda p: Q.item(0) > p, lambda a: Q.item(0) > a),
    "masked": (lambda p: (p >= 0) * p - 1, lambda a: (a >= 0) * a - 1),
    "positive": (lambda p: +p, lambda a: a),
}
REDUCTIONS = {
    "all": (lambda p: p.mean(), lambda a: a.mean()),
    "channels": (lambda p: p.sum(-1), lambda a: a.sum(-1)),
    "places": (lambda p: p.max([1, 2], keepdims=True), lambda a: a.max((1, 2), keepdims=True)),
    "rows": (lambda p: p.min(1), lambda a: a.min(1)),
    "centered": (lambda p: p - p.mean((1, 2), keepdims=True), lambda a: a - a.mean((1, 2), keepdims=True)),
    "share": (lambda p: (p > 0).mean((1, 2)), lambda a: (a > 0).mean((1, 2))),
    "a row of channels": (lambda p: p - p.mean((0, 1, 2)), lambda a: a - a.mean((0, 1, 2))),
    "a matrix": (lambda p: p * p.mean((0, 1)), lambda a: a * a.mean((0, 1))),
    "an image": (lambda p: p[0] - p.mean(0), lambda a: a[0] - a.mean(0)),
}


@pytest.mark.parametrize("name", [*ELEMENTWISE, *REDUCTIONS])
def test_values_are_numpys_in_lucids_order(name):
    ours, numpys = {**ELEMENTWISE, **REDUCTIONS}[name]
    made = ours(constant(P))
    np.testing.assert_allclose(np.asarray(made, np.float32), numpys(P).astype(np.float32), rtol=2e-5, atol=1e-6)
    assert made.shape == numpys(P).shape


@pytest.mark.parametrize("name", [*ELEMENTWISE, *REDUCTIONS])
def test_results_can_be_stored_in_recipes(name):
    ours, _ = {**ELEMENTWISE, **REDUCTIONS}[name]
    array = param.constant(P)
    made = ours(array)
    try:
        data = made.to_data()
    except serialization.NotSerialisable:  # an expression that reads the image twice
        assert name in ("masked", "sqrt", "log", "centered", "a row of channels", "a matrix", "an image")
        return
    torch.testing.assert_close(serialization.from_data(data)(), made())


def test_gradients_reach_the_parameters():
    p = param.pixel_image((1, 4, 6, 3))
    (p**2).mean()().backward()
    (pixels,) = p.parameters()
    torch.testing.assert_close(pixels.grad, 2 * pixels.detach() / pixels.numel())


@pytest.mark.parametrize(
    ("wrong", "match"),
    [
        (lambda p: p.mean(4).shape, "-4 to 3 here"),
        (lambda p: p.mean([1, -3]).shape, "twice"),
        (lambda p: p.mean("H"), "axis"),
        (lambda p: p.clamp(), "min, max or both"),
        (lambda p: p**None, "constant"),
    ],
)
def test_wrong_arguments_are_one_sentence(wrong, match):
    with pytest.raises((TypeError, ValueError), match=match):
        wrong(param.image(8))


# Functions of torch ---------------------------------------------------------------------------


def test_functions_of_torch_take_and_give_nchw():
    p, q = constant(P), constant(Q)
    nchw = channels_first(torch.from_numpy(P)), channels_first(torch.from_numpy(Q))
    torch.testing.assert_close(torch.mean(p, 1)(), nchw[0].mean(1))
    torch.testing.assert_close(torch.maximum(p, q)(), torch.maximum(*nchw))
    torch.testing.assert_close(torch.stack([p, q])(), torch.stack(list(nchw)))
    wide = torch.nn.functional.interpolate(p, size=(8, 9), mode="bilinear")
    assert wide.shape == (2, 8, 9, 3)
    assert torch.abs(p).to_data()["param"] == "elementwise"
    assert torch.where(p > 0, p, q).shape == p.shape


def test_a_tensor_on_the_left_is_in_lucids_order():
    left = torch.tensor([1.0, 2.0, 3.0])
    for made in (left + constant(P), constant(P) + left):
        np.testing.assert_allclose(made.nhwc(), P + left.numpy())


@pytest.mark.parametrize("function", [lambda p: torch.max(p, 1), torch.is_nonzero, lambda p: torch.equal(p, p)])
def test_functions_without_a_tensor_as_a_result_say_so(function):
    with pytest.raises((TypeError, RuntimeError), match=r"not a tensor: use p\.map|ambiguous"):
        function(param.image(8))


def test_functions_in_place_are_refused():
    p = param.pixel_image((1, 4, 4, 3))
    before = p().detach().clone()
    with pytest.raises(TypeError, match="changes its argument"):
        torch.relu_(p)
    with pytest.raises(TypeError, match="changes its argument"):
        torch.abs(p, out=torch.zeros(1, 3, 4, 4))
    assert torch.equal(p(), before)


# Transforms -----------------------------------------------------------------------------------


def offsets(T, name="transforms/param/0/jitter/offset"):
    return [tuple(one) for one in T.source.draws[name]]


def shaken(**kwargs):
    return lambda: transform.jitter(4)(param.image(20, 24, **kwargs))


def test_a_transform_draws_anew_at_each_step(tiny):
    def rendered():
        T = render.make_vis_T(tiny, "mixed3a:1", shaken(), transforms=[], seed=RandomSource(5, record=True))
        for _ in range(4):
            T.step()
        return T

    first, again = rendered(), rendered()
    assert len(set(offsets(first))) > 1
    assert offsets(first) == offsets(again)
    assert np.array_equal(first.image(), again.image())
    assert first.image().shape == (1, 20, 16, 3)
    assert np.array_equal(first.image(), first.image())  # pictures are always of the same draw


def test_the_step_sees_the_drawn_part_of_the_image(tiny):
    T = render.make_vis_T(tiny, "mixed3a:1", shaken(), transforms=[], seed=RandomSource(5, record=True))
    whole = T.param.part().detach()
    seen = T("input")
    (y, x), *_ = offsets(T, "read/param/0/jitter/offset")
    assert torch.equal(seen, whole[:, :, y : y + 20, x : x + 16])


def test_transforms_within_an_image_draw_separately(tiny):
    def two():
        p = param.image(20)
        augment = transform.compose([transform.jitter(4), transform.jitter(4)])
        return augment(p) + transform.jitter(8)(param.image(20))

    T = render.make_vis_T(tiny, "mixed3a:1", two, transforms=[], seed=RandomSource(5, record=True))
    for _ in range(6):
        T.step()
    names = sorted(name for name in T.source.draws if name.startswith("transforms/"))
    assert names == [f"transforms/param/{number}/jitter/offset" for number in range(3)]
    drawn = [offsets(T, name) for name in names]
    assert drawn[0] != drawn[1]


@pytest.mark.parametrize("per_image", [False, True])
def test_images_of_a_batch_draw_as_alone(tiny, per_image):
    units = [("mixed3a:1", 3), ("mixed3a:2", 4)]
    options = {"steps": 3, "transforms": [], "relu_gradient_override": False}
    both = render.render_many(
        tiny, [u for u, _ in units], shaken(), seeds=[s for _, s in units], per_image=per_image, **options
    )
    for index, (unit, seed) in enumerate(units):
        source = RandomSource(seeds=[seed], shared=0, per_image=per_image)
        T = render.make_vis_T(tiny, unit, shaken(), transforms=[], seed=source)
        for _ in range(3):
            T.step()
        np.testing.assert_allclose(both.pictures[index], T.image()[0], atol=2e-5)


def test_a_users_own_transform_may_hold_a_list(tiny):
    @dataclass(frozen=True)
    class Brighten(transform.Transform):
        kind = "brighten"
        by: list[float]

        def make_params(self, source, shape):
            return float(source.uniform("amount")) + sum(self.by)

        def apply(self, image, params):
            return image + params

    T = render.make_vis_T(tiny, "mixed3a:1", lambda: Brighten([0.5])(param.image(16)), transforms=[])
    assert not torch.equal(T("input"), T("input"))
    assert torch.equal(T.param(), T.param())


def test_a_transformed_image_can_be_stored_in_a_recipe():
    made = transform.compose([transform.pad(2), transform.jitter(4)])(param.image(12))
    again = serialization.from_data(made.to_data())
    assert torch.equal(again(), made())
    own = transform.as_transform(lambda image: image.flip(-1))(param.image(12))
    with pytest.raises(serialization.NotSerialisable, match="lambda"):
        own.to_data()


def test_a_transform_of_a_parameterization_says_what_it_needs():
    with pytest.raises(ValueError, match="give none"):
        transform.jitter(4)(param.image(12), RandomSource(1))
    with pytest.raises(ValueError, match=r"take a batch of images"):
        transform.jitter(4)(param.image(12)[0]).shape  # noqa: B018


# Lucid's and Lucent's forms -------------------------------------------------------------------


@pytest.mark.parametrize("make", [param.unit_ball_L2, param.unit_ball_L_inf, param.pixel_image])
def test_a_number_is_a_shape_of_one_axis(make):
    assert make(3).shape == make(np.int64(3)).shape == make([3]).shape == (3,)
    assert serialization.from_data(make(3).to_data()).shape == (3,)
