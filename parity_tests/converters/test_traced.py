"""torch.fx graphs whose nodes are layers, against what hooks see in the network itself."""

from __future__ import annotations

import copy
import pickle

import pytest
import torch
import torch.nn.functional as F
from torch import fx, nn

import converters
from converters.tracing.traced import TracedNetwork
from parity_tests.networks import takes_relu_rule


class Residual(nn.Module):
    """A block whose sum is overwritten by the ReLU behind it, and whose ReLU runs twice."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.conv2(self.relu(self.conv1(x)))
        y += x
        return self.relu(y)


class Network(nn.Module):
    """Blocks, then ReLUs as a function, as a method in place and bounded; two outputs of a chunk; a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 6, 3, stride=2)
        self.blocks = nn.Sequential(Residual(6), Residual(6))
        self.bounded = nn.Hardtanh(0, 6, inplace=True)
        self.head = nn.Linear(3, 4)

    def forward(self, x):
        x = self.blocks(F.relu(self.stem(x), inplace=True))
        first, second = (x * 3).chunk(2, 1)
        x = torch.cat([self.bounded(first - 1), second.sub(1).relu_()], 1)
        return self.head(x[:, :3].mean((2, 3)))


@pytest.fixture
def module():
    torch.manual_seed(3)
    return Network()


def traced(module: nn.Module, **names: str) -> TracedNetwork:
    graph_module = fx.symbolic_trace(module)
    return TracedNetwork(graph_module, names or {node.name: node.name for node in graph_module.graph.nodes})


def what_hooks_see(module: nn.Module, x: torch.Tensor, names: list[str]) -> dict[str, torch.Tensor]:
    """The first value that each module gives, copied when it does."""
    seen: dict[str, torch.Tensor] = {}

    def keep(name: str):
        def hook(part, inputs, output):
            seen.setdefault(name, output.clone())

        return hook

    handles = [module.get_submodule(name).register_forward_hook(keep(name)) for name in names]
    module(x)
    for handle in handles:
        handle.remove()
    return seen


MODULES = {
    "stem": "stem",
    "blocks.0.conv1": "blocks_0_conv1",
    "blocks.0.relu": "blocks_0_relu",
    "blocks.0.conv2": "blocks_0_conv2",
    "blocks.1.conv2": "blocks_1_conv2",
    "head": "head",
}


@pytest.mark.parametrize("size", [(9, 11), (16, 7)])
def test_values_are_those_that_hooks_see_whichever_are_asked_for_together(module, size):
    x = torch.randn(2, 3, *size)
    expected = what_hooks_see(module, x, list(MODULES))
    network = traced(module, **MODULES)
    for names in ([name] for name in MODULES):
        torch.testing.assert_close(network.activations(x, names)[names[0]], expected[names[0]], rtol=0, atol=0)
    together = network.activations(x, list(reversed(MODULES)))
    assert list(together) == list(reversed(MODULES))
    torch.testing.assert_close(together, {name: expected[name] for name in together}, rtol=0, atol=0)


def test_a_sum_is_what_it_was_before_the_relu_worked_on_it(module):
    x = torch.randn(1, 3, 9, 11)
    seen = []
    module.blocks[0].relu.register_forward_pre_hook(lambda part, inputs: seen.append(inputs[0].clone()))
    module(x)
    found = traced(module, sum="add", behind="blocks_0_relu_1").activations(x, ["sum", "behind"])
    assert (found["sum"] < 0).any()
    torch.testing.assert_close(found["sum"], seen[1], rtol=0, atol=0)
    torch.testing.assert_close(found["behind"], seen[1].relu(), rtol=0, atol=0)


def test_gradients_pass_through_what_is_overwritten_later(module):
    x = torch.randn(1, 3, 9, 11, requires_grad=True)
    found = traced(module, sum="add", logits="head").activations(x, ["sum", "logits"])
    (expected,) = torch.autograd.grad(found["logits"].sum(), x, retain_graph=True)
    assert expected.abs().sum() > 0
    (of_sum,) = torch.autograd.grad(found["sum"].square().sum(), x)
    plain = F.relu(module.stem(x))
    block = module.blocks[0]
    (by_hand,) = torch.autograd.grad((block.conv2(F.relu(block.conv1(plain))) + plain).square().sum(), x)
    torch.testing.assert_close(of_sum, by_hand, rtol=0, atol=0)


class Discarded(nn.Module):
    """What works in place gives a value that nobody takes; views and other branches see the change."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.conv(x)
        flat = y.flatten(1)
        doubled = y * 2
        self.relu(y)
        tripled = y * 3
        torch.mul(flat, 5, out=flat)
        return doubled, tripled, flat - 1, y + 7


def test_a_change_in_place_counts_though_nobody_takes_its_value():
    torch.manual_seed(0)
    module, x = Discarded(), torch.randn(2, 3, 7, 5)
    network = traced(module, doubled="mul", tripled="mul_1", flat="sub", conv="conv", plus="add")
    doubled, tripled, flat, plus = module(x)
    with torch.no_grad():
        conv = module.conv(x)
    for name, expected in {"doubled": doubled, "tripled": tripled, "flat": flat, "plus": plus, "conv": conv}.items():
        torch.testing.assert_close(network.activations(x, [name])[name], expected, rtol=0, atol=0)


def test_only_what_is_needed_runs(module):
    ran = []
    network = traced(module)
    module.blocks[1].conv1.register_forward_hook(lambda *_: ran.append("blocks.1"))
    module.head.register_forward_hook(lambda *_: ran.append("head"))
    network.activations(torch.randn(1, 3, 9, 11), ["add", "blocks_0_relu_1"])
    assert ran == []


def test_branches_that_share_an_input_do_not_need_each_other():
    class Branches(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 4, 1)
            self.relu = nn.ReLU(inplace=True)

        def forward(self, x):
            return torch.cat([self.relu(self.a(x)), self.relu(self.b(x))], 1)

    module = Branches()
    ran = []
    module.a.register_forward_hook(lambda *_: ran.append("a"))
    traced(module, b="relu_1").activations(torch.randn(1, 3, 5, 5), ["b"])
    assert ran == []


def test_layers_say_what_they_are(module):
    layers = traced(module).layers
    assert {name: (layers[name].op, layers[name].channels, layers[name].module) for name in ("stem", "add", "cat")} == {
        "stem": ("Conv2d", 6, "stem"),
        "add": ("add", 6, ""),
        "cat": ("cat", None, ""),
    }
    assert layers["bounded"].op == "Hardtanh"


def test_the_channels_of_a_concatenation_are_summed():
    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(3, 4, 1), nn.Conv2d(3, 5, 1)

        def forward(self, x):
            return F.max_pool2d(F.relu(torch.cat([self.a(x), self.b(x)], 1)), 2)

    layers = traced(Wide()).layers
    assert [layers[name].channels for name in ("x", "cat", "relu", "max_pool2d")] == [None, 9, 9, 9]


def test_ops_may_be_named_otherwise(module):
    graph_module = fx.symbolic_trace(module)
    network = TracedNetwork(graph_module, {"sum/1": "add"}, ops={"sum/1": "Add"})
    assert network.layers["sum/1"].op == "Add"
    assert network.layers["sum/1:0"].name == "sum/1"


def test_a_wrong_name_offers_the_nearest(module):
    with pytest.raises(converters.LayerNotFoundError, match=r"No layer is called 'stme'\. Did you mean stem"):
        traced(module).activations(torch.randn(1, 3, 9, 9), ["stme"])


def test_a_name_of_no_node(module):
    with pytest.raises(ValueError, match=r"no node for layer sum \(plus\)"):
        traced(module, sum="plus")


def test_a_layer_that_is_no_tensor(module):
    with pytest.raises(ValueError, match="Layer 'chunk' returns a tuple, not a tensor"):
        traced(module).activations(torch.randn(1, 3, 9, 9), ["chunk", "head"])


def test_two_images_are_no_image():
    graph_module = fx.symbolic_trace(lambda a, b: a + b)
    with pytest.raises(ValueError, match=r"takes 2 values \(a, b\)"):
        TracedNetwork(graph_module, {"sum": "add"})


def test_a_replaced_part_takes_part(module):
    network, x = traced(module, blocks="blocks_1_relu_1"), torch.randn(1, 3, 9, 9)
    before = network.activations(x, ["blocks"], instead={"Relu": torch.sigmoid})["blocks"]
    for block in network.module.blocks.children():
        block.relu = nn.Tanh()
    after = network.activations(x, ["blocks"], instead={"Relu": torch.sigmoid})["blocks"]
    assert (before > 0).all()
    assert (after < 0).any()  # tanh, which is no ReLU and stays


def test_a_copy_is_a_network_of_its_own(module):
    network, x = traced(module), torch.randn(1, 3, 9, 9)
    expected = network.activations(x, ["add_1", "head"])
    twin, read = copy.deepcopy(network), pickle.loads(pickle.dumps(network))
    assert list(twin.layers) == list(read.layers) == list(network.layers)
    with torch.no_grad():
        network.module.stem.weight.zero_()
    torch.testing.assert_close(twin.activations(x, ["add_1", "head"]), expected, rtol=0, atol=0)
    torch.testing.assert_close(read.activations(x, ["add_1", "head"]), expected, rtol=0, atol=0)


def test_it_moves_to_another_precision(module):
    network, x = traced(module), torch.randn(1, 3, 9, 9)
    network.activations(x, ["head"])
    assert network.double().activations(x.double(), ["head"])["head"].dtype == torch.float64


def halved_relu(x):
    return x.relu() / 2


def halved_relu6(x):
    return x.clamp(0, 6) / 2


def test_other_functions_take_the_place_of_every_relu(module):
    """Of modules, functions and methods, in place or not, bounded or not."""
    x = 20 * torch.randn(2, 3, 9, 11)
    found = traced(module).activations(x, ["cat"], instead={"Relu": halved_relu, "Relu6": halved_relu6})["cat"]
    y = halved_relu(module.stem(x))
    for block in module.blocks:
        y = halved_relu(block.conv2(halved_relu(block.conv1(y))) + y)
    first, second = (3 * y).chunk(2, 1)
    expected = torch.cat([halved_relu6(first - 1), halved_relu(second - 1)], 1)
    assert (first > 7).any()
    torch.testing.assert_close(found, expected)


def test_another_function_in_place_is_seen_by_who_reads_its_input_later():
    torch.manual_seed(0)
    module, x = Discarded(), torch.randn(2, 3, 7, 5)
    found = traced(module, tripled="mul_1", doubled="mul").activations(x, ["tripled", "doubled"], {"Relu": halved_relu})
    with torch.no_grad():
        conv = module.conv(x)
    torch.testing.assert_close(found["tripled"], 3 * halved_relu(conv), rtol=0, atol=0)
    torch.testing.assert_close(found["doubled"], 2 * conv, rtol=0, atol=0)


def test_a_watched_relu_is_not_replaced(module):
    network, x = traced(module), torch.randn(1, 3, 9, 9)
    assert takes_relu_rule(network)
    handle = module.blocks[0].relu.register_forward_hook(lambda *_: None)
    assert not takes_relu_rule(network)
    with pytest.raises(ValueError, match="has a hook"):
        network.activations(x, ["head"], instead={"Relu": halved_relu})
    handle.remove()
    assert takes_relu_rule(network)


def test_a_relu_inside_of_a_module_is_not_replaced():
    class Hidden(nn.Module):
        def forward(self, x):
            return F.relu(x)

    class Leaves(fx.Tracer):
        def is_leaf_module(self, m, module_qualified_name):
            return True

    module = nn.Sequential(nn.Conv2d(3, 4, 1), Hidden())
    network = TracedNetwork(fx.GraphModule(module, Leaves().trace(module)), {"hidden": "_1"})
    assert not takes_relu_rule(network)
