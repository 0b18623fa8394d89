"""Functions of networks that torch.fx cannot trace, against traces, forward hooks and passes by hand."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torch.overrides import _get_current_function_mode_stack

from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.optvis import param, render
from lucid_port.optvis.overrides.redirected_relu_grad import PASSING_AT_LIMITS
from parity_tests.networks import takes_relu_rule


class Residual(nn.Module):
    """A block whose ReLU runs twice, in place, the second time on the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.conv2(self.relu(self.conv1(x)))
        y += x
        return self.relu(y)


class Blocks(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.stem, self.blocks, self.fc = nn.Conv2d(3, 4, 3), nn.Sequential(Residual(), Residual()), nn.Linear(4, 5)

    def forward(self, x):
        x = self.blocks(F.relu(self.stem(x), inplace=True))
        x = F.max_pool2d(x, 2).mean((2, 3)).view(x.shape[0], -1)
        return self.fc(x)


class Operators(nn.Module):
    """Operators, methods and functions of the same kind, in place and not; constants, chunks, comparisons."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.scale = nn.Parameter(torch.rand(4, 1, 1))
        self.register_buffer("shift", torch.rand(4, 1, 1))

    def forward(self, x):
        y = self.conv(x) * self.scale + self.shift * 2
        first, second = y.chunk(2, 1)
        y = torch.cat([1 - first, second / 2, first.div(3), 2 / second.abs().add(1)], 1)
        y = y.mul_(2).sub(1)
        y *= 3
        y /= 2
        y = torch.where(y > 0, y, -y) ** 2
        y = y.transpose(1, 2) @ y.transpose(1, 2).mT
        y = y[:, 0] + (y.softmax(-1) - 0.1).relu_()[:, 1] + y.max(1)[0]
        return y.clamp(0, 5).flatten(1) % 3


class Attention(nn.Module):
    """torch's own attention, a scaled product as a function, and the sizes that they read."""

    def __init__(self) -> None:
        super().__init__()
        self.patches, self.norm = nn.Conv2d(3, 8, 4, stride=4), nn.LayerNorm(8)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.qkv = nn.Linear(8, 24)

    def forward(self, x):
        x = self.norm(self.patches(x).flatten(2).transpose(1, 2))
        count, tokens, width = x.shape
        q, k, v = self.qkv(x).reshape(count, tokens, 3, 2, width // 2).permute(2, 0, 3, 1, 4).unbind(0)
        y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(count, tokens, width)
        x = x + y
        return x + self.attention(x, x, x, need_weights=True)[0]


NETWORKS = {
    "blocks": Blocks,
    "operators": Operators,
    "attention": Attention,
    "resnet": lambda: torchvision.models.ResNet(torchvision.models.resnet.BasicBlock, [1, 1, 1, 1], num_classes=7),
    "shufflenet": lambda: torchvision.models.ShuffleNetV2([1, 1, 1], [8, 8, 8, 16, 16], num_classes=7),
    "densenet": lambda: torchvision.models.DenseNet(4, (2, 2, 1), 8, num_classes=7),
}
SIZE = (32, 40, 3)


def hidden(network: nn.Module) -> nn.Module:
    """A copy whose code depends on a value of the image, so that torch.fx cannot trace it."""
    twin, kind = copy.deepcopy(network), type(network)

    def forward(self, x):
        if x.detach().min() < -1e9:
            raise ValueError("never")
        return kind.forward(self, x)

    twin.__class__ = type(kind.__name__, (kind,), {"forward": forward})
    return twin


OWN = ("detach", "min", "lt")  # the functions that `hidden` calls


@pytest.fixture(params=NETWORKS, scope="module")
def pair(request):
    """A traced model, one of the same weights that cannot be traced, and the traced layers."""
    torch.manual_seed(0)
    network = NETWORKS[request.param]().eval()
    traced, recorded = (from_torch(one, (-2, 2), image_shape=SIZE) for one in (network, hidden(network)))
    assert traced.network.untraced is None
    assert recorded.network.untraced.startswith("torch.fx cannot trace the network")
    return traced, recorded, list(traced.network.layers)


def image(count=2, size=SIZE[:2]):
    return torch.rand(count, 3, *size, generator=torch.Generator().manual_seed(1))


def test_functions_have_the_names_of_a_trace(pair):
    traced, recorded, runs = pair
    names = [name for name in recorded.network.layers if name not in OWN]
    assert [name for name in names if name in runs] == [name for name in traced.network.layers if name in runs]
    assert set(names) == set(runs)


def test_recorded_values_are_the_traced_ones(pair):
    traced, recorded, names = pair
    expected = traced.activations(image(), names)
    torch.testing.assert_close(recorded.activations(image(), names), expected, rtol=0, atol=0)
    for name in names[:: max(1, len(names) // 8)]:
        torch.testing.assert_close(recorded.activations(image(), [name])[name], expected[name], rtol=0, atol=0)


def test_a_visit_sees_each_value_once(pair):
    traced, recorded, names = pair
    names = [name for name in names if ":" not in name]  # elements are not visited by themselves
    expected = traced.activations(image(), names)
    for model in (traced, recorded):
        seen: dict[str, torch.Tensor] = {}

        def look(call, value, seen=seen):
            assert call.name not in seen
            seen[call.name] = value.clone() if isinstance(value, torch.Tensor) else value

        x = model.create_input(image())
        with torch.no_grad():
            model.network.visit(x, look)
            torch.testing.assert_close({name: seen[name] for name in names}, expected, rtol=0, atol=0)
            assert list(seen)[-1] == "output"
            torch.testing.assert_close(seen["output"], model.network(x), rtol=0, atol=0)


def test_gradients_between_functions_and_modules(pair):
    traced, recorded, names = pair
    functions = [name for name in names if not traced.network.layers[name].module]
    first, last = functions[0], functions[-1]
    gradients = []
    for model in (traced, recorded):
        x = image().requires_grad_()
        found = model.activations(x, [first, last])
        gradients.append(torch.autograd.grad(found[last].square().sum(), (found[first], x)))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=0)
    assert gradients[0][0].any()


@pytest.fixture
def blocks():
    torch.manual_seed(3)
    network = Blocks()
    return from_torch(network, (-2, 2), image_shape=SIZE), from_torch(hidden(network), (-2, 2), image_shape=SIZE)


@pytest.mark.parametrize(
    "layer", ["stem", "relu", "blocks.0.conv2", "blocks.0.add", "blocks.0.relu_1", "blocks.0", "blocks", "view"]
)
def test_given_values_of_functions_and_modules(blocks, layer):
    traced, _ = blocks
    value = 0.5 - traced.activations(image(), [layer])[layer]
    names = ["stem", "blocks.0.add", "blocks.1.add", "fc"]
    expected, found = (model.activations(image(), names, given={layer: value}) for model in blocks)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)
    own = traced.activations(image(), ["fc"])
    assert not torch.equal(found["fc"], own["fc"])


def test_a_rule_replaces_every_relu(blocks):
    traced, recorded = blocks
    assert takes_relu_rule(recorded)
    gradients, values = [], []
    for model in blocks:
        x = image().requires_grad_()
        values.append(model.activations(x, ["blocks.0.add", "fc"], instead=PASSING_AT_LIMITS))
        gradients.append(torch.autograd.grad(sum(value.square().sum() for value in values[-1].values()), x)[0])
    torch.testing.assert_close(values[0], values[1], rtol=0, atol=0)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=0, atol=0)
    halved = {"Relu": lambda x: x.relu() / 2}
    torch.testing.assert_close(
        recorded.activations(image(), ["fc"], instead=halved), traced.activations(image(), ["fc"], instead=halved)
    )


def test_bounded_relus_of_every_kind_are_replaced():
    class Bounded(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.six, self.tanh = nn.ReLU6(inplace=True), nn.Hardtanh(0, 6)

        def forward(self, x):
            return self.six(x * 9) + self.tanh(x * 8) + F.relu6(x * 7) + F.hardtanh(x * 9, -1, 1) + F.relu(x)

    model = from_torch(hidden(Bounded()), (-2, 2), image_shape=SIZE)
    found = model.activations(image(), "output", instead={"Relu6": lambda x: 10 * x, "Relu": lambda x: -x})["output"]
    x = model.create_input(image())
    torch.testing.assert_close(found, 10 * (9 * x + 8 * x + 7 * x) + F.hardtanh(x * 9, -1, 1) - x)


def test_the_network_runs_no_further_than_the_last_function(blocks):
    _, recorded = blocks
    assert "blocks.0.add" in recorded.network.layers  # which one run lists
    ran = []
    recorded.network.module.blocks[1].conv1.register_forward_hook(lambda *_: ran.append(1))
    recorded.activations(image(), ["blocks.0.add", "relu"])
    assert not ran


def test_nothing_of_a_recorded_pass_stays(blocks):
    _, recorded = blocks
    state, wrong = torch.get_rng_state(), torch.zeros(1, 5, 9, 9)
    assert "blocks.0.add" in recorded.network.layers
    recorded.activations(image(), ["blocks.0.add"])
    with pytest.raises(RuntimeError):
        recorded.network.activations(wrong, ["blocks.0.add"])
    parts = list(recorded.network.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in parts)
    assert not _get_current_function_mode_stack()
    assert torch.equal(torch.get_rng_state(), state)
    assert not recorded.network.training


def test_plain_modules_need_no_list_of_layers(blocks):
    _, recorded = blocks
    ran = []
    recorded.network.module.register_forward_hook(lambda *_: ran.append(1))
    recorded.activations(image(), ["blocks.0.conv1"])
    assert not ran


def test_threads_do_not_record_each_other(blocks):
    _, recorded = blocks
    expected = recorded.activations(image(), ["blocks.1.add", "relu"])
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: recorded.activations(image(), ["blocks.1.add", "relu"]), range(20)):
            torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_copies_record_too(blocks):
    _, recorded = blocks
    expected = recorded.activations(image(), ["blocks.1.add"])
    torch.testing.assert_close(copy.deepcopy(recorded).activations(image(), ["blocks.1.add"]), expected)


def test_layers_inside_of_torchs_own_modules():
    """They are read by name, but are not named like functions between modules."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True)
    network = nn.Sequential(hidden(Blocks().stem), nn.Flatten(2), nn.Linear(30 * 38, 4), layer)
    model = from_torch(network, (0, 1), image_shape=SIZE)
    layers = list(model.network.layers)
    assert layers[:7] == ["0.detach", "0.min", "0.lt", "0.conv2d", "0", "1", "2"]
    assert layers[7:9] == ["3", "3.self_attn:0"]
    found = model.activations(image(), ["0.detach", "3.linear1", "3"])
    torch.testing.assert_close(found["3"], network(image()))
    assert found["3.linear1"].shape == (2, 4, 8)


class Growing(nn.Module):
    """Doubles a value until it is large."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x):
        y = self.conv(x)
        while float(y.detach().abs().max()) < 10:
            y = y + y
        return y


def test_functions_that_depend_on_values():
    torch.manual_seed(0)
    model = pickle.loads(pickle.dumps(from_torch(Growing(), (0, 1), image_shape=SIZE)))
    names = [name for name in model.network.layers if name.startswith("add")]
    assert len(names) > 2
    for size in ((7, 9), (20, 5)):
        found = model.activations(image(1, size), ["conv", *names[:2]])
        torch.testing.assert_close(found["add_1"], 4 * found["conv"])
    with pytest.raises(ValueError, match=f"Layer '{names[-1]}' did not run"):
        model.activations(torch.full((1, 3, 4, 4), 1e4), names[-1])


def test_a_function_renders(blocks):
    _, recorded = blocks
    found = render.render_vis(
        recorded, "blocks.0.add:2", lambda: param.image(17, 15), thresholds=(0, 20), verbose=False, seed=3
    )
    assert found.losses[-1] > found.losses[0]


def test_a_network_that_fails_at_its_size_has_its_modules():
    network = nn.Sequential(nn.Flatten(), hidden(Flat()))
    model = from_torch(network, (0, 1), image_shape=(9, 9, 3))
    assert list(model.network.layers) == ["0", "1", "1.fc"]
    assert (
        "the network does not run on an input of shape (1, 3, 9, 9) (RuntimeError: mat1 and mat2"
        in model.network.unrecorded
    )


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * 4 * 4, 2)

    def forward(self, x):
        return self.fc(x)


def test_compiled_parts_run_as_they_are(blocks):
    _, recorded = blocks
    expected = recorded.activations(image(), ["blocks.1.add"])
    network = copy.deepcopy(recorded.network.module)
    network.blocks[0].compile()
    model = from_torch(network, (-2, 2), image_shape=SIZE)
    torch.testing.assert_close(model.activations(image(), ["blocks.1.add"]), expected, rtol=0, atol=0)
