"""Networks that write their state in the forward pass: the write counts inside of the pass, and is gone afterwards."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.optvis import param, render


class Copied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("high", torch.tensor([0.5]))

    def forward(self, x):
        self.high.copy_(torch.maximum(self.high, x.detach().abs().max()))
        return x / self.high


class Assigned(Copied):
    def forward(self, x):
        self.high = torch.maximum(self.high, x.detach().abs().max())
        return x / self.high


class Augmented(Copied):
    def forward(self, x):
        self.high += x.detach().abs().max()
        return x / self.high


class Indexed(Copied):
    def forward(self, x):
        self.high[0] = x.detach().abs().max()
        return x / self.high


class View(Copied):
    def forward(self, x):
        self.high.view(1, 1).add_(x.detach().abs().max())
        return x / self.high


class Counted(Copied):
    """A write that does not depend on the image."""

    def forward(self, x):
        self.high.add_(1)
        return x / self.high


class Plain(nn.Module):
    """A tensor that is no buffer, and a number."""

    def __init__(self) -> None:
        super().__init__()
        self.high, self.calls = torch.tensor([0.5]), 1

    def forward(self, x):
        self.calls += 1
        self.high.add_(x.detach().abs().max())
        return x / self.high + self.calls


KINDS = (Copied, Assigned, Augmented, Indexed, View, Counted, Plain)


@pytest.fixture(params=KINDS)
def network(request):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), request.param(), nn.Conv2d(8, 8, 3)).eval()


def state(network):
    part = network[1]
    return part.high, part.high.clone(), getattr(part, "calls", 0)


@pytest.mark.parametrize("trace", [True, False])
def test_a_write_counts_in_its_pass_only(network, trace):
    own = copy.deepcopy(network).requires_grad_(False)
    x = torch.rand(2, 3, 16, 11)
    expected = own(x)
    tensor, value, calls = state(network)
    model = from_torch(network, (0, 1), image_shape=(16, 11, 3), trace=trace)
    for run in (
        lambda: model.activations(x, ["2"])["2"],
        lambda: model.activations(x, ["1", "2"])["2"],
        lambda: model(x),
        lambda: model.activations(x, ["output"])["output"],
    ):
        torch.testing.assert_close(run(), expected, rtol=0, atol=0)
        assert network[1].high is tensor
        assert torch.equal(tensor, value)
        assert getattr(network[1], "calls", 0) == calls
    assert list(model.network.layers)
    assert torch.equal(tensor, value)


@pytest.mark.parametrize("trace", [True, False])
def test_gradients_through_what_was_written(network, trace):
    own = copy.deepcopy(network).requires_grad_(False)
    gradients = []
    for run in (own, lambda x: from_torch(network, (0, 1), trace=trace).activations(x, ["2"])["2"]):
        x = torch.rand(1, 3, 9, 9, generator=torch.Generator().manual_seed(0)).requires_grad_()
        gradients.append(torch.autograd.grad(run(x).square().sum(), x)[0])
    torch.testing.assert_close(*gradients, rtol=0, atol=0)


def test_two_renders_are_alike(network):
    model = from_torch(network, (0, 1), image_shape=(24, 24, 3))
    losses = [
        render.render_vis(model, "2:1", lambda: param.image(24), thresholds=(5,), verbose=False, seed=1).losses
        for _ in range(2)
    ]
    assert (losses[0] == losses[1]).all()


def test_the_reason_names_the_buffer():
    network = nn.Sequential(nn.Conv2d(3, 8, 3), Copied())
    assert from_torch(network, (0, 1)).network.untraced == "its forward pass writes the buffer '1.high'"
    network = nn.Sequential(nn.Conv2d(3, 8, 3), Counted())
    assert from_torch(network, (0, 1)).network.untraced == "its forward pass writes the buffer '1.high'"


class Trained(nn.Module):
    """Batch normalization that stays in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3)

    def train(self, mode: bool = True):
        super().train(mode)
        self.norm.training = True
        return self

    def forward(self, x):
        return self.norm(x)


def test_batch_statistics_of_a_part_in_training_mode():
    network = Trained()
    before = copy.deepcopy(network.state_dict())
    model = from_torch(network, (0, 1))
    assert model.network.untraced == "module 'norm' stays in training mode"
    x = torch.rand(2, 3, 8, 8)
    for _ in range(2):
        torch.testing.assert_close(
            model.activations(x, "norm")["norm"], F.batch_norm(x, None, None, training=True), rtol=1e-5, atol=1e-5
        )
    torch.testing.assert_close(network.state_dict(), before, rtol=0, atol=0)


# In-place changes in traced networks ----------------------------------------------------------


class Rectified(nn.Module):
    """Later layers read the input of an in-place ReLU, a view of it, and its value."""

    def __init__(self, is_module: bool, augments: bool) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 2, 1)
        self.act = nn.ReLU(inplace=True) if is_module else None
        self.augments = augments

    def forward(self, x):
        return self.run(x, {})

    def run(self, x, given):
        """The pass by hand: a value of `given` takes the place of a layer's own."""
        x = given.get("conv", self.conv(x)).clone() if "conv" in given else self.conv(x)
        flat = x.flatten(1)
        y = torch.relu_(x) if self.act is None else self.act(x)
        y = given["y"].clone() if "y" in given else y
        z = x + y
        if self.augments:
            y += 1
        return self.last(z + y + flat.view_as(z))


@pytest.mark.parametrize("augments", [False, True])
@pytest.mark.parametrize("is_module", [False, True])
@pytest.mark.parametrize("layer", ["conv", "y"])
@pytest.mark.parametrize("names", [("last",), ("conv", "last"), ("last", "add")])
def test_given_values_around_an_in_place_relu(is_module, augments, layer, names):
    torch.manual_seed(0)
    network = Rectified(is_module, augments)
    traced = from_torch(network, (-1, 1))
    assert traced.network.untraced is None
    x = torch.rand(2, 3, 5, 6)
    name = {"y": "act" if is_module else "relu_"}.get(layer, layer)
    value = torch.randn(2, 4, 5, 6)
    expected = network.run(2 * x - 1, {layer: value})
    found = traced.activations(x, names, given={name: value})
    torch.testing.assert_close(found["last"], expected, rtol=0, atol=0)
    if is_module and "add" not in names:
        hooked = from_torch(copy.deepcopy(network), (-1, 1), trace=False)
        torch.testing.assert_close(hooked.activations(x, names, given={name: value}), found, rtol=0, atol=0)
    torch.testing.assert_close(traced.activations(x, "last")["last"], network(2 * x - 1), rtol=0, atol=0)


def test_augmented_assignments_change_views_in_traced_networks():
    class Views(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            y = self.conv(x)
            flat = y.flatten(1)
            y += 1
            y *= 2
            return flat - y.flatten(1) + 3 * flat

    network = Views()
    model = from_torch(network, (-1, 1))
    assert model.network.untraced is None
    assert list(model.network.layers) == ["conv", "flatten", "add", "mul", "flatten_1", "sub", "mul_1", "add_1"]
    x = torch.rand(1, 3, 5, 6)
    found = model.activations(x, ["output", "conv", "add"])
    torch.testing.assert_close(found["output"], network(2 * x - 1), rtol=0, atol=0)
    torch.testing.assert_close(found["conv"], network.conv(2 * x - 1), rtol=0, atol=0)
    torch.testing.assert_close(found["add"], network.conv(2 * x - 1) + 1, rtol=0, atol=0)


class Drawing(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 4, 1)

    def forward(self, x):
        return self.head(torch.nn.functional.dropout(self.conv(x), training=True))


@pytest.mark.parametrize("trace", [True, False])
def test_passes_of_a_network_that_draws_are_repeatable(trace):
    model, image = from_torch(Drawing(), (0, 1), image_shape=(9, 7, 3), trace=trace), torch.rand(1, 3, 9, 7)
    before = torch.get_rng_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model.activations(image, ["conv"])
    with pytest.warns(RuntimeWarning, match="draws random numbers") as caught:
        found = [model.activations(image, ["head"])["head"] for _ in range(2)]
    assert len(caught) == 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        found += [model.activations(image, ["head"])["head"], model(image)]
    assert all(torch.equal(found[0], one) for one in found)
    assert torch.equal(torch.get_rng_state(), before)


class Collecting(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.seen, self.table, self.sizes = nn.Conv2d(3, 4, 1), [], {}, set()

    def forward(self, x):
        y = self.conv(x)
        self.seen.append(y)
        self.table[len(self.table)] = y
        self.sizes.add(len(self.sizes))
        return y.relu()


@pytest.mark.parametrize("trace", [True, False])
def test_containers_of_modules_are_afterwards_as_before(trace):
    module, image = Collecting(), torch.rand(1, 3, 5, 4)
    seen = module.seen
    model = from_torch(module, (0, 1), image_shape=(5, 4, 3), trace=trace)
    for _ in range(2):
        model.activations(image, ["conv"])
        model(image)
    assert module.seen is seen
    assert (module.seen, module.table, module.sizes) == ([], {}, set())
