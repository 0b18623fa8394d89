"""captum on converted networks: its rules see their layers as they see torch's."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from captum.attr import Deconvolution, DeepLift, GuidedBackprop, IntegratedGradients, LayerGradCam
from torch import Tensor, nn

from lucid_port.modelzoo.vision_models import TinyInceptionV1
from parity_tests.converters.torch_tools import Layer, Rebuilt, images, small_graph

SIZE = (82, 75)
UNIT = (3, 2, 1)


@pytest.fixture(scope="module")
def inception():
    return TinyInceptionV1().network


@pytest.fixture(scope="module")
def small():
    return small_graph()


def close(found: Tensor, wanted: Tensor, tolerance: float = 1e-5) -> None:
    assert wanted.abs().max() > 0, "the test has no gradient to compare"
    assert (found - wanted).abs().max() <= tolerance * wanted.abs().max()


def by_hand(network: nn.Module, x: Tensor, unit: tuple[int, ...]) -> Tensor:
    """The gradient of a unit, summed over the images."""
    x = x.clone().requires_grad_()
    return torch.autograd.grad(network(x)[(slice(None), *unit)].sum(), x)[0]


class _Guided(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.relu()

    @staticmethod
    def backward(ctx, grad):
        return grad.relu() * (ctx.saved_tensors[0] > 0)


class _Deconvolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x.relu()

    @staticmethod
    def backward(ctx, grad):
        return grad.relu()


class Function(nn.Module):
    """A function as a layer, so that captum has no rule for it."""

    def __init__(self, function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(("tool", "rule"), [(GuidedBackprop, _Guided), (Deconvolution, _Deconvolution)])
@pytest.mark.parametrize("layer", ["mixed3a", "mixed3b"])
def test_guided_backprop_and_deconvolution(inception, tool, rule, layer):
    x = images(2, *SIZE) * 120
    rebuilt = Rebuilt(inception, SIZE, {"Relu": lambda step: Function(rule.apply)})
    found = tool(Layer(inception, layer)).attribute(x, target=UNIT)
    close(found, by_hand(Layer(rebuilt, layer), x, UNIT))
    assert not torch.allclose(found, by_hand(Layer(inception, layer), x, UNIT)), "the plain gradient"


def test_guided_backprop_of_a_small_graph(small):
    x = images()
    rebuilt = Rebuilt(small, (21, 18))
    found = GuidedBackprop(Layer(small, "logits")).attribute(x, target=2)
    close(found, GuidedBackprop(Layer(rebuilt, "logits")).attribute(x, target=2))


def test_captum_leaves_no_hooks(inception):
    GuidedBackprop(Layer(inception, "mixed3a")).attribute(images(1, *SIZE), target=UNIT)
    DeepLift(Layer(inception, "mixed3a")).attribute(images(1, *SIZE), target=UNIT)
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in inception.modules())


@pytest.mark.parametrize("layer", ["biased", "logits", "softmax"])
def test_deep_lift_equals_that_of_torchs_layers(small, layer):
    x, baseline = images(2), images(2, seed=1)
    unit = (3, 2, 1) if layer == "biased" else (2,)
    found, wanted = (
        DeepLift(Layer(network, layer)).attribute(x, baseline, target=unit)
        for network in (small, Rebuilt(small, (21, 18)))
    )
    close(found, wanted)


def test_deep_lift_of_a_chain_adds_up_to_the_change_of_the_unit(small):
    x, baseline = images(2), images(2, seed=1)
    network = Layer(small, "biased")  # captum has no rule for the ReLU6 after it
    found = DeepLift(network).attribute(x, baseline, target=UNIT)
    close(found.sum((1, 2, 3)), (network(x) - network(baseline))[(slice(None), *UNIT)])


class _RescaledRelu(torch.autograd.Function):
    """DeepLift's rescale rule: change of the output over change of the input, of an image and its baseline."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.relu()

    @staticmethod
    def backward(ctx, grad):
        x = ctx.saved_tensors[0]
        own, baseline = x.chunk(2)
        slope = ((own.relu() - baseline.relu()) / (own - baseline)).repeat(2, 1, 1, 1)
        is_same = (own == baseline).repeat(2, 1, 1, 1)
        return grad * torch.where(is_same, (x > 0).to(x.dtype), slope)


class _RescaledPool(torch.autograd.Function):
    """The rescale rule of a max pool of a padded value, window by window."""

    @staticmethod
    def forward(ctx, x, kernel, stride):
        ctx.save_for_backward(x)
        ctx.windows = kernel, stride
        return F.max_pool2d(x, kernel, stride)

    @staticmethod
    def backward(ctx, grad):
        (x,), ((height, width), stride) = ctx.saved_tensors, ctx.windows
        (own, baseline), grads, shares = x.chunk(2), grad.chunk(2), torch.zeros_like(x.chunk(2)[0])
        for row in range(grad.shape[2]):
            for column in range(grad.shape[3]):
                top, left = row * stride[0], column * stride[1]
                window = (..., slice(top, top + height), slice(left, left + width))
                (most, at), (most_baseline, at_baseline) = (part[window].flatten(2).max(2) for part in (own, baseline))
                greatest = torch.maximum(most, most_baseline)
                share = torch.zeros_like(own[window].flatten(2))
                rise = (greatest - most_baseline) * grads[0][..., row, column]
                fall = (most - greatest) * grads[1][..., row, column]
                share.scatter_add_(2, at[..., None], rise[..., None])
                share.scatter_add_(2, at_baseline[..., None], fall[..., None])
                shares[window] += share.view_as(shares[window])
        with torch.enable_grad():
            leaf = x.detach().requires_grad_()
            plain = torch.autograd.grad(F.max_pool2d(leaf, (height, width), stride), leaf, grad)[0]
        step = (own - baseline).repeat(2, 1, 1, 1)
        return torch.where((step.abs() < 1e-10) | step.isnan(), plain, shares.repeat(2, 1, 1, 1) / step), None, None


@pytest.mark.parametrize("layer", ["maxpool0", "mixed3a_pool", "mixed3a", "mixed4b"])
def test_deep_lift_follows_the_rescale_rule_where_branches_join_and_windows_overlap(inception, layer):
    x, baseline = images(2, *SIZE) * 120, images(2, *SIZE, seed=1) * 120
    rules = {
        "Relu": lambda step: Function(_RescaledRelu.apply),
        "MaxPool2d": lambda step: Function(
            lambda x: _RescaledPool.apply(x, step.arguments["kernel_size"], step.arguments["stride"])
        ),
    }
    rebuilt = Layer(Rebuilt(inception, SIZE, rules), layer)
    wanted = by_hand(rebuilt, torch.cat([x, baseline]), UNIT)[:2] * (x - baseline)
    close(DeepLift(Layer(inception, layer)).attribute(x, baseline, target=UNIT), wanted)


def test_deep_lift_before_the_first_norm_adds_up_to_the_change_of_the_unit(inception):
    x, baseline = images(2, *SIZE) * 120, images(2, *SIZE, seed=1) * 120
    network = Layer(inception, "maxpool0")
    found = DeepLift(network).attribute(x, baseline, target=UNIT)
    change = (network(x) - network(baseline))[(slice(None), *UNIT)]
    assert (found.sum((1, 2, 3)) - change).abs().max() <= 1e-5 * found.abs().sum()


def test_integrated_gradients(inception):
    x, baseline = images(2, *SIZE) * 120, images(2, *SIZE, seed=1) * 120
    found, wanted = (
        IntegratedGradients(Layer(network, "mixed3b")).attribute(x, baseline, target=UNIT, n_steps=5)
        for network in (inception, Rebuilt(inception, SIZE))
    )
    close(found, wanted)


def test_grad_cam_of_a_layer(inception):
    x = images(2, *SIZE) * 120
    network = Layer(inception, "mixed4b")
    found = LayerGradCam(network, inception.mixed3b).attribute(x, target=UNIT)
    values = inception.activations(x, ["mixed3b"])["mixed3b"].detach().requires_grad_()
    later = inception.activations(x, ["mixed4b"], given={"mixed3b": values})["mixed4b"]
    grads = torch.autograd.grad(later[(slice(None), *UNIT)].sum(), values)[0]
    close(found, (grads.mean((2, 3), keepdim=True) * values).sum(1, keepdim=True).detach())


def test_rules_of_the_user_stay(small, monkeypatch):
    from captum.attr._core import deep_lift

    from converters.layers import Relu

    monkeypatch.setitem(deep_lift.SUPPORTED_NON_LINEAR, Relu, lambda *args, **kwargs: args[3] * 0)
    found = DeepLift(Layer(small, "logits")).attribute(images(), images(seed=1), target=2)
    assert not found.any()
