"""What is left out of a graph's evaluation must not be missed: by hooks, by replaced layers, by thawed weights."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F

import converters
from converters import functional
from lucid_port.modelzoo.seeded import seeded_inceptionv1

NAMES = ["mixed3a", "maxpool4"]


@pytest.fixture(scope="module")
def model():
    return converters.convert(seeded_inceptionv1(width=0.25))


@pytest.fixture
def x():
    return torch.rand(2, 3, 61, 54, generator=torch.Generator().manual_seed(0)) * 255 - 117


def _half(x):
    return 0.5 * F.relu(x)


def _scale(values):
    return max(float(value.abs().max()) for value in values)


def test_lean_evaluation_gives_what_the_layers_give(model, x):
    lean = model.activations(x, NAMES)
    for name, value in zip(NAMES, model.subgraph(NAMES)(x), strict=True):
        assert (lean[name] - value).abs().max() <= 1e-6 * value.abs().max()


def test_a_hook_on_a_convolution_is_called(model, x):
    twin, seen = copy.deepcopy(model), []
    layer = twin.get_submodule(twin.layers["mixed3a_1x1_pre_relu/conv"].module)
    twin.activations(x, NAMES)
    handle = layer.register_forward_hook(lambda module, args, result: seen.append(result.shape[1]))
    twin.activations(x, NAMES)
    handle.remove()
    twin.activations(x, NAMES)
    assert seen == [16]


def test_a_global_hook_sees_every_layer(model, x):
    seen = []
    handle = torch.nn.modules.module.register_module_forward_hook(lambda m, i, o: seen.append(type(m).__name__))
    try:
        model.activations(x, ["mixed3a_1x1"])
    finally:
        handle.remove()
    assert {"Conv2d", "Bias", "Relu"} <= set(seen)


def test_a_replaced_bias_takes_part(model, x):
    twin = copy.deepcopy(model)
    before = twin.activations(x, ["conv2d0_pre_relu"])["conv2d0_pre_relu"]
    setattr(twin, twin.layers["conv2d0_pre_relu"].module, torch.nn.Identity())
    assert not torch.equal(twin.activations(x, ["conv2d0_pre_relu"])["conv2d0_pre_relu"], before)


def test_changed_weights_take_part(model, x):
    twin = copy.deepcopy(model)
    twin.activations(x, ["conv2d0_pre_relu"])
    twin.get_submodule(twin.layers["conv2d0_pre_relu"].module).bias = torch.nn.Parameter(torch.full((16,), 7.0))
    twin.get_submodule(twin.layers["conv2d0_pre_relu/conv"].module).weight.data.zero_()
    assert (twin.activations(x, ["conv2d0_pre_relu"])["conv2d0_pre_relu"] == 7).all()


def test_weights_may_be_laid_out_as_usual(model, x):
    twin = copy.deepcopy(model).to(memory_format=torch.contiguous_format)
    assert all(parameter.is_contiguous() for parameter in twin.parameters())
    for name, value in model.activations(x, NAMES).items():
        assert (twin.activations(x, NAMES)[name] - value).abs().max() <= 1e-6 * value.abs().max()


def test_thawed_weights_get_gradients(model, x):
    twin = copy.deepcopy(model).requires_grad_()
    lean = twin.activations(x, ["conv2d1_pre_relu"])["conv2d1_pre_relu"]
    (plain,) = twin.subgraph(["conv2d1_pre_relu"])(x)
    weights = [p for name, p in twin.named_parameters() if name.startswith("conv2d")][:4]
    for ours, theirs in zip(
        torch.autograd.grad(lean.square().mean(), weights),
        torch.autograd.grad(plain.square().mean(), weights),
        strict=True,
    ):
        assert (ours - theirs).abs().max() <= 1e-5 * theirs.abs().max()


@pytest.mark.parametrize("hooked", [False, True])
def test_another_function_takes_the_place_of_every_relu(model, x, hooked):
    twin, seen = copy.deepcopy(model), []
    relu = twin.get_submodule(twin.layers["conv2d0"].module)
    if hooked:
        relu.register_forward_hook(lambda module, args, result: seen.append(1))
    found = twin.activations(x, ["conv2d0", "conv2d0_pre_relu"], instead={"Relu": _half})
    torch.testing.assert_close(found["conv2d0"], 0.5 * found["conv2d0_pre_relu"].relu(), rtol=0, atol=0)
    assert seen == [1] * hooked
    after = twin.activations(x, ["conv2d0", "conv2d0_pre_relu"])
    torch.testing.assert_close(after["conv2d0"], after["conv2d0_pre_relu"].relu(), rtol=0, atol=0)


@pytest.mark.parametrize("size", [(8, 8), (9, 12), (15, 10), (7, 7)])
@pytest.mark.parametrize(("kernel", "stride"), [(7, 2), (3, 2), (5, 3), (4, 2), (5, 4)])
@pytest.mark.parametrize("padding", ["SAME", "VALID", (1, 0, 2, 3)])
def test_gradients_of_a_strided_convolution_of_an_image(size, kernel, stride, padding):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(2, 3, *size, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 3, kernel, kernel, generator=generator, dtype=torch.float64, requires_grad=True)
    bias = torch.randn(5, generator=generator, dtype=torch.float64, requires_grad=True)
    top, bottom, left, right = functional.spatial_padding(size, (kernel,) * 2, (stride,) * 2, (1, 1), padding)
    ours = functional.conv2d(x, weight, (stride, stride), padding, bias=bias)
    theirs = F.conv2d(F.pad(x, (left, right, top, bottom)), weight, bias, stride)
    torch.testing.assert_close(ours, theirs)
    grad = torch.randn(ours.shape, generator=generator, dtype=torch.float64)
    wanted = torch.autograd.grad(theirs, (x, weight, bias), grad)
    torch.testing.assert_close(torch.autograd.grad(ours, (x, weight, bias), grad), wanted)


def test_a_strided_convolution_has_second_gradients():
    generator = torch.Generator().manual_seed(2)
    x = torch.randn(1, 3, 7, 9, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(2, 3, 3, 3, generator=generator, dtype=torch.float64)
    function = lambda t: functional.conv2d(t, weight, (2, 2)).square()  # noqa: E731
    assert torch.autograd.gradgradcheck(function, x)


@pytest.mark.parametrize("beta", [0.5, 0.75, 0.6])
def test_local_response_norm_has_first_and_second_gradients(beta):
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(2, 7, 2, 3, generator=generator, dtype=torch.float64, requires_grad=True)
    band = functional.lrn_band(7, 2, 0.3).double()
    function = lambda t: functional.local_response_norm(t, band, 1.3, beta)  # noqa: E731
    assert torch.autograd.gradcheck(function, x)
    assert torch.autograd.gradgradcheck(function, x)
