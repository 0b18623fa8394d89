"""What every kind of network promises of its layers, and recipes that rely on it, against one network by hand."""

from __future__ import annotations

import copy
import itertools
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.utils._python_dispatch import TorchDispatchMode

import converters
from converters.frozen.writer import GraphWriter
from converters.tracing.traced import TracedNetwork
from lucid_port.modelzoo.from_torch import TorchNetwork, from_torch
from lucid_port.modelzoo.vision_base import Model
from lucid_port.recipes.attribution import channel_attribution, gradient_magnitudes, spatial_attribution
from lucid_port.recipes.weights import edited_copy, expanded_weights, kernels_of

RANDOM = np.random.RandomState(4)
FIRST = (RANDOM.randn(3, 3, 3, 4) / 3).astype(np.float32)  # height, width, in, out
SECOND = (RANDOM.randn(3, 3, 4, 5) / 3).astype(np.float32)
SKIP = (RANDOM.randn(1, 1, 4, 5) / 2).astype(np.float32)
LOGITS = RANDOM.randn(5, 3).astype(np.float32)
SIZE = (10, 13)
NAMES = ("first", "first_relu", "pool", "second", "skip", "second_relu", "logits")
CHAIN = ("first", "first_relu", "pool", "second", "second_relu", "logits")


def graph():
    """The network as TensorFlow has it."""
    writer = GraphWriter()
    x = writer.placeholder("input", [None, None, None, 3])
    x = writer.op("first_relu", "Relu", [writer.conv2d("first", x, writer.const("first_w", FIRST))])
    x = writer.pool("pool", "MaxPool", x, 2, 2, "VALID")
    parts = [writer.conv2d(name, x, writer.const(f"{name}_w", w)) for name, w in (("second", SECOND), ("skip", SKIP))]
    x = writer.op("second_relu", "Relu", [writer.op("sum", "Add", parts)])
    x = writer.op("mean", "Mean", [x, writer.const("axes", [1, 2])], Tidx=np.int32, keep_dims=False)
    writer.matmul("logits", x, writer.const("logits_w", LOGITS))
    return writer.graph_def()


class Network(nn.Module):
    """The same, where ReLUs and the sum overwrite what the convolutions gave."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.first_relu = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.second = nn.Conv2d(4, 5, 3, padding=1, bias=False)
        self.skip = nn.Conv2d(4, 5, 1, bias=False)
        self.second_relu = nn.ReLU(inplace=True)
        self.logits = nn.Linear(5, 3, bias=False)
        for part, weight in ((self.first, FIRST), (self.second, SECOND), (self.skip, SKIP)):
            part.weight.data = torch.from_numpy(weight.transpose(3, 2, 0, 1).copy())
        self.logits.weight.data = torch.from_numpy(LOGITS.T.copy())

    def forward(self, x):
        x = self.pool(self.first_relu(self.first(x)))
        y = self.second(x)
        y += self.skip(x)
        return self.logits(self.second_relu(y).mean((2, 3)))


def by_hand(x, given=None):
    """All layers' values, each from those before it, nothing in place; a value of `given` takes the place of one."""
    network, found = Network().requires_grad_(False), {}

    def keep(name, value):
        found[name] = value if given is None or name not in given else given[name]
        return found[name]

    x = keep("pool", F.max_pool2d(keep("first_relu", F.relu(keep("first", network.first(x)))), 2))
    y = keep("second", network.second(x)) + keep("skip", network.skip(x))
    keep("logits", network.logits(keep("second_relu", F.relu(y)).mean((2, 3))))
    return found


def fx_network():
    graph_module = fx.symbolic_trace(Network())
    return TracedNetwork(graph_module, {name: name for name in NAMES})


def saved(folder):
    converters.save(converters.convert(graph()), folder)
    return converters.load(folder)


def onnx(folder):
    path = folder / "network.onnx"
    converters.convert(graph()).to_onnx(path, ["logits"])
    return converters.from_onnx(path)


KINDS = {
    "converted": lambda folder: converters.convert(graph()),
    "converted, saved and loaded": lambda folder: saved(folder / "model"),
    "onnx": onnx,
    "fx": lambda folder: fx_network(),
    "fx, pickled": lambda folder: pickle.loads(pickle.dumps(fx_network())),
    "traced": lambda folder: TorchNetwork(Network()),
    "traced, pickled": lambda folder: pickle.loads(pickle.dumps(TorchNetwork(Network()))),
    "hooks": lambda folder: TorchNetwork(Network(), trace=False),
    "hooks, copied": lambda folder: copy.deepcopy(TorchNetwork(Network(), trace=False)),
}
IN_TORCH = ("fx", "traced", "hooks")


@pytest.fixture(params=KINDS)
def network(request, tmp_path):
    return KINDS[request.param](tmp_path)


@pytest.fixture
def model(network):
    return Model(network=network, image_value_range=(-1, 1), image_shape=(*SIZE, 3))


def images():
    return torch.from_numpy(np.random.RandomState(1).randn(2, 3, *SIZE).astype(np.float32))


def no_hooks(network):
    return not any(part._forward_hooks or part._forward_pre_hooks for part in network.modules())


# Activations ----------------------------------------------------------------------------------


def test_each_layer_by_its_name(network):
    for name, expected in by_hand(images()).items():
        torch.testing.assert_close(network.activations(images(), [name])[name], expected)


@pytest.mark.parametrize("names", [NAMES, NAMES[::-1], ("second_relu", "first"), ("skip", "second")])
def test_layers_together_are_what_each_is_alone(network, names):
    together = network.activations(images(), list(names))
    assert list(together) == list(names)
    for name in names:
        torch.testing.assert_close(together[name], network.activations(images(), [name])[name], rtol=0, atol=0)


@pytest.mark.parametrize(("earlier", "later"), list(itertools.combinations(CHAIN, 2)))
def test_gradients_between_layers(network, earlier, later):
    """Whichever others are asked for."""
    expected = by_hand(images().requires_grad_())
    (by_torch,) = torch.autograd.grad(expected[later].square().sum(), expected[earlier])
    for names in ([earlier, later], NAMES):
        found = network.activations(images().requires_grad_(), names)
        (gradient,) = torch.autograd.grad(found[later].square().sum(), found[earlier], allow_unused=True)
        assert gradient is not None
        torch.testing.assert_close(gradient, by_torch)
    assert by_torch.any()


def test_gradients_to_the_image(network):
    gradients = []
    for run in (lambda x: by_hand(x), lambda x: network.activations(x, NAMES)):
        x = images().requires_grad_()
        found = run(x)
        gradients.append(torch.autograd.grad(sum(found[name].square().sum() for name in NAMES), x)[0])
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-4)  # sums in another order: measured 7e-5 of 6


def test_no_gradients_and_no_graph_where_none_are_wanted(network):
    with torch.inference_mode():
        found = network.activations(images(), NAMES)
    for name, expected in by_hand(images()).items():
        torch.testing.assert_close(found[name], expected)


def test_hooks_are_gone_also_behind_an_error(network):
    network.activations(images(), NAMES)
    assert no_hooks(network)
    value = by_hand(images())["pool"]
    for given in ({}, {"given": {"pool": value}}):
        with pytest.raises((RuntimeError, ValueError)):
            network.activations(torch.zeros(1, 7, *SIZE), ["first", "logits"], **given)
        assert no_hooks(network)


@pytest.mark.parametrize("layer", ["first", "first_relu", "pool", "second", "second_relu"])
def test_what_follows_reads_the_value_that_is_given(network, layer):
    value = 0.5 - by_hand(images())[layer]
    given, own = (value.clone().requires_grad_() for _ in range(2))
    expected = by_hand(images(), {layer: own})["logits"]
    found = network.activations(images(), ["logits", "first"], given={layer: given})
    torch.testing.assert_close(found["logits"], expected)
    if layer != "first":
        torch.testing.assert_close(found["first"], by_hand(images())["first"])
    gradients = (
        torch.autograd.grad(one.square().sum(), at)[0] for one, at in ((found["logits"], given), (expected, own))
    )
    torch.testing.assert_close(*gradients)
    torch.testing.assert_close(given, value, rtol=0, atol=0)
    torch.testing.assert_close(network.activations(images(), ["logits"])["logits"], by_hand(images())["logits"])


def test_the_module_of_a_layer(network):
    torch.testing.assert_close(
        network.layer_module("second").weight.detach(), torch.from_numpy(SECOND.transpose(3, 2, 0, 1).copy())
    )
    with pytest.raises(converters.LayerNotFoundError, match="second"):
        network.layer_module("secodn")


def test_layers_that_no_module_computes():
    with pytest.raises(ValueError, match=r"Layer 'mean' is a function \(mean\), not a module: name a layer that"):
        TorchNetwork(Network()).layer_module("mean")
    with pytest.raises(ValueError, match=r"Layer 'input' is the network's input, not a module"):
        converters.convert(graph()).layer_module("input")


# Memory ---------------------------------------------------------------------------------------


class Copies(TorchDispatchMode):
    """Counts copies of tensors."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.count += func in (torch.ops.aten.clone.default, torch.ops.aten.copy_.default)
        return func(*args, **kwargs or {})


@pytest.mark.parametrize("kind", ["converted", *IN_TORCH])
def test_what_nothing_overwrites_is_not_copied(kind, tmp_path):
    network = KINDS[kind](tmp_path)
    names = ["first_relu", "pool", "skip", "second_relu", "logits"]
    with Copies() as copies:
        network.activations(images(), names)
    assert copies.count == 0
    if kind == "converted":  # nothing in it works in place
        return
    with Copies() as copies:
        network.activations(images(), [*names, "first"])
    assert copies.count > 0


class Shortcut(nn.Module):
    """What it adds in place is read, not overwritten."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.relu = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1), nn.ReLU(inplace=True)

    def forward(self, x):
        x = self.one(x)
        return self.relu(self.two(x).add_(x))


def test_what_is_added_to_another_in_place_is_not_copied():
    network = TorchNetwork(Shortcut())
    with Copies() as copies:
        network.activations(images(), ["one", "relu"])
    assert copies.count == 0
    with Copies() as copies:
        network.activations(images(), ["two", "relu"])
    assert copies.count == 1


class Shift(nn.Module):
    def forward(self, x):
        return x.sub_(0.25)


class Aliases(nn.Module):
    """Modules whose values nobody takes, or which share their memory with others that are overwritten."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 2, 1)
        self.flat, self.same = nn.Flatten(), nn.Identity()
        self.shift, self.relu = Shift(), nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.conv(x)
        flat, same = self.flat(y), self.same(y)
        self.shift(y)
        doubled = flat * 2
        self.relu(same)
        return self.last(y + doubled.sum() * flat.sum())


def aliases_by_hand(module, x):
    conv = module.conv(x)
    shift = conv - 0.25
    relu = F.relu(shift)
    return {"conv": conv, "shift": shift, "relu": relu, "last": module.last(relu + 2 * shift.sum() * relu.sum())}


@pytest.mark.parametrize("trace", [True, False])
def test_memory_under_several_names(trace):
    torch.manual_seed(2)
    module, x = Aliases(), torch.randn(1, 3, 7, 6)
    network = TorchNetwork(module, trace)
    expected = aliases_by_hand(module, x)
    found = network.activations(x, ["conv", "flat", "same", "shift", "relu", "last"])
    for name, value in {**expected, "flat": expected["conv"].flatten(1), "same": expected["conv"]}.items():
        torch.testing.assert_close(found[name], value, rtol=0, atol=0)
    for earlier, later in itertools.combinations(expected, 2):
        expected = aliases_by_hand(module, x.requires_grad_())
        found = network.activations(x, [earlier, later])
        gradients = (torch.autograd.grad(v[later].square().sum(), v[earlier])[0] for v in (found, expected))
        torch.testing.assert_close(*gradients)


class Encoder(nn.Module):
    """A part of torch's own, whose parts a trace does not see, between functions."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 4, stride=4)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x):
        return self.head(self.layer(self.patches(x).flatten(2).transpose(1, 2) * 2).mean(1))


def test_gradients_between_what_hooks_and_what_a_trace_sees():
    torch.manual_seed(0)
    module, x = Encoder(), torch.rand(1, 3, 8, 12)
    network = TorchNetwork(module)
    found = network.activations(x.requires_grad_(), ["mul", "layer.linear1", "head"])
    torch.testing.assert_close(found["head"], module(x))
    tokens = found["mul"].detach().requires_grad_()
    layer = module.layer
    first = layer.norm1(tokens + layer.self_attn(tokens, tokens, tokens, need_weights=False)[0])
    linear1 = layer.linear1(first)
    head = module.head(layer.norm2(first + layer.linear2(F.relu(linear1))).mean(1))
    for later, at, value, by in (
        ("head", "layer.linear1", head, linear1),
        ("head", "mul", head, tokens),
        ("layer.linear1", "mul", linear1, tokens),
    ):
        (gradient,) = torch.autograd.grad(found[later].square().sum(), found[at], retain_graph=True)
        (expected,) = torch.autograd.grad(value.square().sum(), by, retain_graph=True)
        torch.testing.assert_close(gradient, expected)
    assert no_hooks(network)


class Twice(nn.Module):
    """One ReLU that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.relu = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1), nn.ReLU(inplace=True)

    def forward(self, x):
        return self.relu(self.two(self.relu(self.one(x)))).mean((2, 3))


@pytest.mark.parametrize(("trace", "layer"), [(True, "relu"), (True, "relu_1"), (False, "relu")])
def test_a_value_is_given_in_the_place_of_one_run(trace, layer):
    torch.manual_seed(0)
    module, x = Twice(), torch.randn(1, 3, 4, 5)
    value = torch.randn(1, 3, 4, 5)
    network = from_torch(nn.Sequential(module, nn.Identity()), (0, 1), trace=trace).network
    found = network.activations(x, ["1"], given={f"0.{layer}": value})["1"]
    expected = value if layer == "relu_1" else F.relu(module.two(value))
    torch.testing.assert_close(found, expected.mean((2, 3)))


# Recipes --------------------------------------------------------------------------------------


@pytest.fixture
def picture():
    return np.random.RandomState(7).uniform(size=(*SIZE, 3)).astype(np.float32)


def values_of(picture):
    x = 2 * torch.from_numpy(picture.transpose(2, 0, 1)[None].copy()) - 1
    return by_hand(x.requires_grad_())


def nhwc(value):
    return value[0].detach().numpy().transpose(1, 2, 0)


@pytest.mark.parametrize("layer", ["first", "first_relu", "second"])
def test_channel_attribution(model, picture, layer):
    found = channel_attribution(model, picture, layer, 1, 0, logits="logits")
    values = values_of(picture)
    score = values["logits"][0, 1] - values["logits"][0, 0]
    (gradient,) = torch.autograd.grad(score, values[layer])
    np.testing.assert_allclose(found.field, nhwc(values[layer] * gradient), rtol=1e-4, atol=1e-6)
    assert np.abs(found.field).max() > 0


@pytest.mark.parametrize("layer", ["first", "pool", "second"])
def test_channel_attribution_along_a_path(model, picture, layer):
    found = channel_attribution(model, picture, layer, 2, logits="logits", path_steps=12)
    x = 2 * torch.from_numpy(picture.transpose(2, 0, 1)[None].copy()) - 1
    activation, gradients = by_hand(x)[layer], []
    for step in range(12):
        point = (activation * step / 12).requires_grad_()
        score = by_hand(x, {layer: point})["logits"][0, 2]
        gradients.append(torch.autograd.grad(score, point)[0])
    expected = activation * torch.stack(gradients).mean(0)
    np.testing.assert_allclose(found.field, nhwc(expected), rtol=1e-4, atol=1e-6)
    assert np.abs(found.field).max() > 0


def test_a_path_from_a_layer_that_the_classes_do_not_read(model, picture):
    with pytest.raises(ValueError, match="'pool' does not depend on layer 'logits'"):
        channel_attribution(model, picture, "logits", 2, logits="pool", path_steps=3)


def test_gradient_magnitudes(model, picture):
    layers = ["second", "first", "first_relu"]
    found = gradient_magnitudes(model, picture, layers, 0, logits="logits")
    values = values_of(picture)
    gradients = torch.autograd.grad(values["logits"][0, 0], [values[name] for name in layers])
    for name, gradient in zip(layers, gradients, strict=True):
        np.testing.assert_allclose(found[name], np.linalg.norm(nhwc(gradient), axis=-1), rtol=1e-4, atol=1e-7)


def test_spatial_attribution(model, picture):
    found = spatial_attribution(model, picture, "first_relu", "second", positions=[(2, 3), (0, 5)])
    for row, column in ((2, 3), (0, 5)):
        values = values_of(picture)
        (gradient,) = torch.autograd.grad(values["second"][0, :, row, column].norm(), values["first_relu"])
        expected = (values["first_relu"] * gradient)[0].sum(0).detach().numpy()
        np.testing.assert_allclose(found.values[row, column], expected, rtol=1e-4, atol=1e-6)
        assert expected.any()


def test_expanded_weights(model):
    """Across a ReLU and a pool that averages: a quarter of the kernel in each of four places."""
    found = expanded_weights(model, "first", "second", [3, 0]).values
    kernels = SECOND[..., [3, 0]].transpose(3, 2, 0, 1) / 4
    expected = np.zeros((2, 4, 7, 7), np.float32)
    expected[..., :6, :6] = kernels.repeat(2, -1).repeat(2, -2)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert no_hooks(model.network)


def test_kernels(model):
    np.testing.assert_array_equal(kernels_of(model, "second"), SECOND.transpose(3, 0, 1, 2))
    edited = edited_copy(model, {"second": lambda kernels: 2 * kernels})
    np.testing.assert_array_equal(kernels_of(edited, "second"), 2 * SECOND.transpose(3, 0, 1, 2))
    np.testing.assert_array_equal(kernels_of(model, "second"), SECOND.transpose(3, 0, 1, 2))
    with pytest.raises(ValueError, match="'pool' is no convolution"):
        kernels_of(model, "pool")
