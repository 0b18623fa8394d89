"""Properties of the parts of optvis that no reference can show."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from lucid_port.optvis import objectives, overrides, param, serialization, transform
from lucid_port.optvis.objectives.readers import each_image
from lucid_port.optvis.optimizer import TFAdam
from lucid_port.optvis.param.base import draw_normal
from lucid_port.optvis.sampling import RandomSource

# Sampling -------------------------------------------------------------------------------------


def test_draws_do_not_depend_on_other_draws():
    first, second = RandomSource(4), RandomSource(4)
    first.normal("other", 5)
    first.scope("a").integers("x", 10, 3)
    assert np.array_equal(first.integers("x", 1000, 8), second.integers("x", 1000, 8))
    assert not np.array_equal(first.integers("x", 1000, 8), RandomSource(4).integers("x", 1000, 8))


def test_recorded_draws_replay():
    recorded = RandomSource(1, record=True)
    values = [recorded.scope("s").uniform("u", 3), recorded.scope("s").uniform("u", 3)]
    replayed = RandomSource(99, replay=recorded.draws)
    for value in values:
        assert np.array_equal(replayed.scope("s").uniform("u", 3), value)
    with pytest.raises(IndexError, match="used up"):
        replayed.scope("s").uniform("u", 3)
    with pytest.raises(KeyError, match="s/u"):
        replayed.uniform("v")
    with pytest.raises(ValueError, match="shape"):
        RandomSource(replay=recorded.draws).scope("s").uniform("u", 4)


def test_images_draw_by_their_own_seeds():
    batch = RandomSource(seeds=[3, 8]).normal("n", (2, 4), images=2, axis=1)
    assert batch.shape == (2, 2, 4)
    for index, seed in enumerate([3, 8]):
        assert np.array_equal(batch[:, index], RandomSource(seed).normal("n", (2, 4)))
    assert np.array_equal(RandomSource(3).normal("n", 2, images=2)[1], RandomSource(4).normal("n", 2))
    with pytest.raises(IndexError, match="seed"):
        RandomSource(seeds=[3]).normal("n", 2, images=2)
    with pytest.raises(ValueError, match="non-negative"):
        RandomSource(-1)


@pytest.mark.parametrize("rest", [(3, 4, 2), (2, 3, 4, 2)])
def test_from_rank_4_on_normal_draws_are_those_of_each_images_seed(rest):
    two, second = draw_normal(RandomSource(5), "a", (2, *rest), 2.0), draw_normal(RandomSource(6), "a", (1, *rest), 2.0)
    assert torch.equal(two[1:], second)


def test_normal_draws_of_lower_rank_have_no_image_axis():
    drawn = draw_normal(RandomSource(5), "a", (2, 3, 4), 2.0)
    assert np.array_equal(drawn, 2 * RandomSource(5).normal("a", (2, 3, 4)).astype(np.float32))


def test_jitter_reaches_every_offset():
    source, jitter = RandomSource(), transform.jitter(3)
    drawn = {jitter.make_params(source, (1, 3, 9, 9)) for _ in range(400)}
    assert drawn == {(y, x) for y in range(4) for x in range(4)}


def test_sizes_after_the_standard_transforms():
    """For an image of 128 pixels: what Lucid's own runs gave."""
    chain = transform.compose(transform.standard_transforms)
    source = RandomSource()
    sizes = set()
    for _ in range(200):
        shape = (1, 3, 128, 128)
        sizes.add(chain.output_shape(shape, chain.make_params(source, shape))[2])
    assert sizes == {125, 128, 131, 134, 137, 140, 142, 145, 148, 151, 154}


def test_params_are_plain_and_make_the_same_image():
    chain = transform.compose(transform.standard_transforms)
    image = torch.rand(2, 3, 40, 33)
    params = chain.make_params(RandomSource(7), (2, 3, 40, 33))
    json.dumps(params)
    assert torch.equal(chain.apply(image, params), chain(image, RandomSource(7)))
    assert chain.apply(image, params).shape == chain.output_shape((2, 3, 40, 33), params)


# Plain data -----------------------------------------------------------------------------------

RECIPES = [
    lambda: objectives.direction("a", np.arange(3), cossim_pow=2) / 2 - 3 * objectives.L1(),
    lambda: objectives.channel("a", np.int64(3)) * objectives.as_objective("b:1") + 1,
    lambda: param.image(7, 5, batch=2, alpha=True),
    lambda: param.to_valid_rgb(
        2 * param.fft_image((2, 6, 7, 3)) + sum([param.lowres_tensor((2, 6, 7, 3), (1, 3, 3, 3))])
    ),
    lambda: param.stack([param.image(6)[0, ..., :2], param.image(6)[0, ::-1, ..., :2]]),
    lambda: param.cppn(6, num_layers=2) - np.float32(0.5),
    lambda: transform.compose([*transform.standard_transforms, transform.collapse_alpha_random()]),
]


@pytest.mark.parametrize("make", RECIPES)
def test_plain_data_makes_the_same_thing(make):
    data = make().to_data()
    again = serialization.from_data(json.loads(json.dumps(data)))
    assert again.to_data() == data
    if isinstance(again, param.Parameterization):
        values = [p.reset(RandomSource(3))() for p in (make(), again)]
        assert torch.equal(*values)


def test_a_users_callable_is_named():
    def mine(T):
        return T("a").mean()

    for thing in (
        objectives.as_objective(mine),
        objectives.channel("a", 1) + objectives.as_objective(mine),
        transform.compose([mine]),
    ):
        with pytest.raises(serialization.NotSerialisable, match="mine"):
            thing.to_data()


# Objectives -----------------------------------------------------------------------------------

ACTIVATION = {"a": torch.randn(2, 4, 5, 6), "head": torch.randn(2, 4)}


def test_wrap_objective_bare_and_called():
    @objectives.wrap_objective
    def bare(layer, by=2):
        return lambda T: T(layer).mean() * by

    @objectives.wrap_objective(require_format="NHWC")
    def called(layer):
        return lambda T: torch.tensor(T(layer).shape)

    assert bare("a").description == "Bare [a, 2]"
    assert bare("a")(ACTIVATION.__getitem__) == ACTIVATION["a"].mean() * 2
    assert called("a")(ACTIVATION.__getitem__).tolist() == [2, 5, 6, 4]
    assert called("head")(ACTIVATION.__getitem__).tolist() == [2, 1, 1, 4]


def test_algebra_that_lucid_refuses():
    a, b = objectives.channel("a", 0), objectives.channel("a", 1)
    T = ACTIVATION.__getitem__
    x, y = a(T), b(T)
    cases = [
        (a / b, x / y),
        (a / np.float32(2), x / 2),
        (1 / a, 1 / x),
        (3 - a, 3 - x),
        (np.int64(2) * a + np.float32(1), 2 * x + 1),
        (objectives.Objective.sum(o for o in (a, b)), x + y),
    ]
    for objective, expected in cases:
        torch.testing.assert_close(objective(T), expected)
    assert objectives.Objective.sum(o for o in (a, b)).name == "channel, channel"


def test_what_does_not_exist_is_refused():
    T = ACTIVATION.__getitem__
    with pytest.raises(IndexError, match="x=9"):
        objectives.neuron("a", 0, x=9)(T)
    with pytest.raises(IndexError, match="x=-1"):
        objectives.neuron("a", 0, x=-1)(T)
    with pytest.raises(IndexError, match="y=-1"):
        objectives.neuron("a", 0, y=-1)(T)
    with pytest.raises(IndexError, match="batch=5"):
        objectives.channel("a", 0, batch=5)(T)
    with pytest.raises(ValueError, match="as in 'mixed4a:3'"):
        objectives.as_objective("mixed4a")
    with pytest.raises(ValueError, match=r"'mixed3b:²' cannot be read at character 9"):
        objectives.as_objective("mixed3b:²")
    with pytest.raises(TypeError, match="objective"):
        objectives.as_objective(3)


@pytest.mark.parametrize("shape", [(), (5, 2)])
def test_values_that_are_not_of_each_image_are_named(shape):
    with pytest.raises(ValueError, match=re.escape(f"'a' of shape {list(shape)} has no rows for each of 2 images")):
        each_image(lambda name: torch.ones(shape), 2)[0]("a")


@pytest.mark.parametrize(("labels", "classes"), [(5, 5), (1001, 1008)])
def test_a_label_names_a_class_of_a_layer_with_its_size_or_inceptions(labels, classes):
    """InceptionV1 of Lucid has 1008 classes and labels for 1001 of them."""
    names = [f"class {number}" for number in range(labels)]
    T = {"softmax2": torch.arange(float(classes))[None], "labels": names}.get
    assert objectives.class_logit("softmax2", "class 3")(T) == 3
    with pytest.raises(ValueError, match=f"{classes - 1} classes, and the model has {labels} labels"):
        objectives.class_logit("softmax2", "class 3")({"softmax2": torch.zeros(1, classes - 1), "labels": names}.get)


def test_cosine_objective_has_a_finite_gradient_at_zero():
    zero = torch.zeros(1, 3, 2, 2, requires_grad=True)
    value = objectives.direction("a", np.ones(3), cossim_pow=2)(lambda name: zero)
    (gradient,) = torch.autograd.grad(value, zero)
    assert torch.isfinite(gradient).all()


# Overrides ------------------------------------------------------------------------------------


class _Net(torch.nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.relu = kind

    def forward(self, x):
        return self.relu(x * 1.0)


RELUS = [
    torch.nn.ReLU(),
    torch.nn.ReLU(inplace=True),
    F.relu,
    torch.relu,
    torch.relu_,
    torch.Tensor.relu,
    lambda x: x.relu_(),
    lambda x: F.relu(x, inplace=True),
]


@pytest.mark.parametrize("relu", RELUS)
def test_every_form_of_relu_is_seen(relu):
    x = torch.tensor([[-1.0, 2.0, 0.0], [-1.0, -2.0, -3.0]], requires_grad=True)
    incoming = torch.tensor([[1.0, 1.0, 1.0], [1.0, -1.0, -2.0]])
    results = {}
    for step in (0, 17):
        with overrides.redirection(step):
            output = _Net(relu)(x)
        results[step] = torch.autograd.grad(output, x, incoming)[0].tolist()
        assert torch.equal(output, F.relu(x))
    assert results[0] == [[0, 1, 1], [0, -1, -2]]
    assert results[17] == [[0, 1, 1], [0, 0, 0]]


@pytest.mark.parametrize("relu6", [F.relu6, torch.nn.ReLU6(), torch.nn.ReLU6(inplace=True), torch.nn.Hardtanh(0, 6)])
def test_every_form_of_relu6_is_seen(relu6):
    x = torch.tensor([[-1.0, 7.0], [8.0, 3.0], [6.0, 9.0]], requires_grad=True)
    incoming = torch.tensor([[-1.0, -1.0], [1.0, 0.0], [2.0, 1.0]])
    with overrides.redirection(0):
        output = _Net(relu6)(x)
    assert torch.autograd.grad(output, x, incoming)[0].tolist() == [[-1, 0], [1, 0], [2, 0]]


def test_an_inplace_relu_still_changes_its_input():
    def careless(x):
        x = x * 1.0
        F.relu_(x)
        return x

    x = torch.tensor([[-1.0, 2.0]], requires_grad=True)
    with overrides.linearization_overrides():
        output = careless(x)
    assert output.tolist() == [[0, 2]]
    assert torch.autograd.grad(output.sum(), x)[0].tolist() == [[1, 1]]


def test_other_thresholds_are_left_alone():
    x = torch.tensor([[-3.0, 0.5]], requires_grad=True)
    with overrides.linearization_overrides():
        output = F.hardtanh(x)
    assert torch.autograd.grad(output.sum(), x)[0].tolist() == [[0, 1]]
    with pytest.raises(ValueError, match="Conv"):
        overrides.gradient_override_map({"Conv": overrides.identity_grad})


@pytest.mark.parametrize(
    "pool", [torch.nn.MaxPool2d(2), lambda x: F.max_pool2d(x, 2), lambda x: torch.max_pool2d(x, 2)]
)
def test_every_form_of_max_pool_is_seen(pool):
    x = torch.arange(16.0).reshape(1, 1, 4, 4).requires_grad_()
    with overrides.pooling_overrides():
        output = pool(x)
    assert torch.autograd.grad(output.sum(), x)[0].unique().tolist() == [0.25]


def test_use_gradient():
    @overrides.use_gradient(lambda op, grad: 3 * grad * op.inputs[0])
    def double(x):
        return 2 * x

    x = torch.tensor([1.0, 5.0], requires_grad=True)
    output = double(x)
    assert output.tolist() == [2, 10]
    assert torch.autograd.grad(output.sum(), x)[0].tolist() == [3, 15]


# Parameterizations ----------------------------------------------------------------------------


@pytest.mark.parametrize("fft", [True, False])
def test_a_grayscale_image_repeats_an_image_of_one_channel(fft):
    gray = param.grayscale_image_rgb(6, 5, batch=2, fft=fft, decorrelate=not fft).reset(RandomSource(3))
    one = param.image(6, 5, batch=2, fft=fft, channels=1).reset(RandomSource(3))
    assert torch.equal(gray(), one().expand(2, 3, 5, 6))


@pytest.mark.parametrize("make", [lambda: param.cppn(6), lambda: param.image(6), lambda: param.image(6, fft=False)])
def test_a_reset_image_has_forgotten_its_updates(make):
    image = make().reset(RandomSource(3))
    fresh = image().detach().clone()
    with torch.no_grad():
        for parameter in image.parameters():
            parameter.fill_(0.7)
    assert not torch.equal(image(), fresh)
    assert torch.equal(image.reset(RandomSource(3))(), fresh)


def test_factories_draw_their_own_values_once():
    made = param.image(8)
    assert torch.equal(made(), made())
    before = made().detach().clone()
    made.reset(RandomSource(5))
    assert not torch.equal(before, made())


def test_a_part_used_twice_is_computed_once():
    sample = param.image_sample((1, 6, 6, 3)).reset(RandomSource(2))
    assert (sample - sample)().abs().max() == 0


def test_arithmetic_has_lucids_axis_order():
    part = param.fft_image((2, 5, 6, 4)).reset(RandomSource(0))
    array = part.nhwc().detach()
    assert torch.equal(part[..., :3].nhwc(), array[..., :3])
    assert torch.equal((part * np.arange(4))().detach(), (array * torch.arange(4)).permute(0, 3, 1, 2))
    assert part.reshape(-1, 6, 4).shape == (10, 6, 4)
    assert param.stack([part, part], axis=0).shape == (2, 2, 5, 6, 4)
    assert param.concat([part, part[:1]], axis=0).shape == (3, 5, 6, 4)
    assert (sum([part, part]) / 2 - part)().abs().max() == 0


def test_unit_balls_can_descend():
    x = torch.tensor([0.5, 1.0, -2.0, 3.0], requires_grad=True)
    from lucid_port.optvis.param.unit_balls import constrain_L_inf

    found = {}
    for direction in ("ascent", "descent"):
        output = constrain_L_inf(x, direction)
        found[direction] = torch.autograd.grad(output.sum(), x)[0].tolist()
    assert found == {"ascent": [1, 0, 1, 0], "descent": [1, 1, 0, 1]}


def test_what_cannot_be_made_is_refused():
    with pytest.raises(ValueError, match="pyramid"):
        param.laplacian_pyramid_image((1, 4, 4, 3))
    with pytest.raises(ValueError, match="shape"):
        param.fft_image((4, 4, 3))
    with pytest.raises(ValueError, match="activation"):
        param.cppn(8, activation_func="sine")
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        param.image(4, init=np.full((4, 4, 3), 2.0))


def test_a_zero_gradient_is_normalized_to_zero():
    def gradient(**options: bool) -> torch.Tensor:
        image = torch.ones(2, 3, 4, 5, requires_grad=True)
        weight = torch.tensor([0.0, 7.0])[:, None, None, None]
        (transform.normalize_gradient(**options)(image) * weight).sum().backward()
        return image.grad

    norms = gradient().square().sum((1, 2, 3)).sqrt()
    torch.testing.assert_close(norms, torch.tensor([0.0, 1.0]))
    assert gradient(zero_safe=False)[0].isnan().all(), "as in Lucid"


def test_shared_parts_have_no_plain_data_form():
    image = param.image(12)
    with pytest.raises(serialization.NotSerialisable, match="share"):
        param.stack([image[0], image[0]]).to_data()
    assert param.stack([param.image(12)[0], param.image(12)[0]]).to_data()


@pytest.mark.parametrize("rate", [float("nan"), float("inf"), -1.0])
def test_learning_rates_that_make_no_sense(rate):
    with pytest.raises(ValueError, match=r"out of range|is a finite number"):
        TFAdam([torch.zeros(1, requires_grad=True)], lr=rate)


def test_pictures_load_as_a_viewer_shows_them(tmp_path):
    from PIL import Image

    from lucid_port.misc.io import load

    turned = Image.Exif()
    turned[274] = 6  # the camera was held upright
    Image.new("RGB", (6, 4), (255, 0, 0)).save(tmp_path / "turned.jpg", exif=turned)
    assert load(str(tmp_path / "turned.jpg")).shape == (6, 4, 3)
    Image.new("CMYK", (6, 4), (0, 255, 255, 0)).save(tmp_path / "print.jpg")
    picture = load(str(tmp_path / "print.jpg"))
    assert picture.shape == (4, 6, 3)
    assert picture[..., 0].min() > 0.9 > 0.1 > picture[..., 1:].max()
