"""Any PyTorch network as a model."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import converters
from converters.errors import ChannelAxisError
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.optvis import param, render
from lucid_port.optvis.overrides import redirection
from lucid_port.optvis.overrides.redirected_relu_grad import PASSING_AT_LIMITS
from parity_tests.networks import takes_relu_rule


class Block(nn.Module):
    """A residual block, with a functional ReLU and a part that never runs."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.unused = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        return torch.relu(x + self.conv(x))


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), Block(), Block(), nn.Flatten(), nn.Linear(4, 2))


def test_layers_have_dotted_names(network):
    model = from_torch(network, (0, 1))
    assert model.network.layers["2.conv"].channels == 4
    assert model.network.layers["2.conv"].op == "Conv2d"


def test_the_network_runs_no_further_than_the_asked_layers(network):
    ran = []
    network[3].register_forward_hook(lambda *_: ran.append(3))
    model = from_torch(network, (0, 1))
    found = model.activations(torch.rand(2, 3, 9, 11), ["2.conv", "1"])
    assert {name: tuple(value.shape) for name, value in found.items()} == {"2.conv": (2, 4, 7, 9), "1": (2, 4, 7, 9)}
    assert ran == []


def test_no_hook_stays(network):
    model = from_torch(network, (0, 1))
    model.activations(torch.rand(1, 3, 9, 9), ["2"])
    assert not any(part._forward_hooks for part in network.modules())


def test_a_layer_that_does_not_run(network):
    del network[5], network[4]
    with pytest.raises(ValueError, match=r"'2\.unused' did not run"):
        from_torch(network, (0, 1)).activations(torch.rand(1, 3, 9, 9), ["2.unused"])


def test_a_wrong_name_offers_the_nearest(network):
    with pytest.raises(converters.LayerNotFoundError, match=r"Did you mean 2\.conv"):
        from_torch(network, (0, 1)).activations(torch.rand(1, 3, 9, 9), ["2.cnov"])


def test_mean_and_std_are_those_of_normalize():
    model = from_torch(nn.Sequential(nn.Identity()), mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
    image = torch.rand(1, 3, 4, 5)
    expected = (image - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[
        :, None, None
    ]
    torch.testing.assert_close(model(image), expected)


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"image_value_range": (0, 1), "mean": (0,), "std": (1,)},
        {"image_value_range": (0, 1), "mean": (0,)},
        {"image_value_range": (0, 1), "std": (1,)},
        {"mean": (0,)},
    ],
)
def test_the_range_is_said_once(network, given):
    with pytest.raises(ValueError, match="either image_value_range, or mean and std"):
        from_torch(network, **given)


COLOURS = (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"mean": 0.5, "std": 0.5}, TypeError, r"mean is a list of one number for each channel, .* not 0\.5"),
        ({"mean": COLOURS, "std": (0.2, 0, 0.2)}, ValueError, "std has numbers above 0 only"),
        ({"mean": COLOURS, "std": (0.2, 0.2)}, ValueError, "mean has 3 numbers and std 2"),
        ({"mean": (0.5,) * 4, "std": (0.5,) * 4}, ValueError, "one number each, or 3 as image_shape has 3 channels"),
        ({"mean": ("a", "b", "c"), "std": COLOURS}, TypeError, "Each number of mean"),
        ({"mean": COLOURS, "std": (float("nan"),) * 3}, ValueError, "Each number of std"),
        ({"image_value_range": (0,)}, ValueError, r"image_value_range is \(lo, hi\)"),
        ({"image_value_range": 1}, TypeError, r"image_value_range is \(lo, hi\)"),
        ({"image_value_range": (1, 1)}, ValueError, "the same value"),
        ({"image_value_range": (0, None)}, TypeError, "image_value_range"),
        ({"image_value_range": ((0, 0), (1, 1))}, ValueError, "3 channels"),
        ({"image_value_range": (0, 1), "image_shape": (224, 224)}, ValueError, "image_shape"),
        ({"image_value_range": (0, 1), "image_shape": 224}, TypeError, "image_shape"),
        ({"image_value_range": (0, 1), "labels": "cat"}, TypeError, "labels is a list of names"),
    ],
)
def test_arguments_that_make_no_sense(network, given, error, words):
    with pytest.raises(error, match=words):
        from_torch(network, **given)


@pytest.mark.parametrize(
    ("module", "words"), [(nn.ReLU, "call it first"), (None, "not None"), ("resnet", "not 'resnet'")]
)
def test_only_networks_are_wrapped(module, words):
    with pytest.raises(TypeError, match=words):
        from_torch(module, (0, 1))


class Masked(nn.Module):
    def forward(self, image, mask):
        return image * mask


class Keyword(nn.Module):
    def forward(self, image, *, mask):
        return image * mask


class Nothing(nn.Module):
    def forward(self):
        return torch.zeros(1)


@pytest.mark.parametrize(("kind", "takes"), [(Masked, "image, mask"), (Keyword, "image, mask"), (Nothing, "no value")])
def test_networks_that_take_more_or_less_than_an_image_are_refused(kind, takes):
    with pytest.raises(ValueError, match=rf"{kind.__name__}\.forward takes {takes}, and a model takes one image: wrap"):
        from_torch(kind(), (0, 1))


class Optional(nn.Module):
    def forward(self, image=None, mask=None, *more, scale=2, **options):
        return image * scale


def test_further_values_with_defaults_are_no_hindrance():
    assert from_torch(Optional(), (0, 1))(torch.ones(1, 3, 1, 1)).sum() == 6


@pytest.fixture
def perceptron():
    """For 8x6 pixels."""
    return nn.Sequential(nn.Flatten(), nn.Linear(8 * 6 * 3, 2))


@pytest.mark.parametrize("trace", [True, False])
def test_another_size_than_a_network_takes(perceptron, trace):
    model = from_torch(perceptron, (0, 1), image_shape=(8, 6, 3), trace=trace)
    with pytest.raises(
        converters.InputSizeError, match=r"images of 134x134 \(.*mat1 and .*At 8x6 it can: make"
    ) as caught:
        render.render_vis(model, "1:0", lambda: param.image(128), thresholds=(1,), verbose=False)
    assert "\n" not in str(caught.value)
    assert model(torch.zeros(1, 3, 8, 6)).shape == (1, 2)


def test_a_size_that_is_not_the_networks_own(perceptron):
    with pytest.raises(
        converters.InputSizeError, match=r"also fails at 224x224, .* image_shape=\(height, width, chann"
    ):
        from_torch(perceptron, (0, 1)).activations(torch.zeros(1, 3, 9, 9), ["1"])


class Broken(nn.Module):
    def forward(self, image):
        raise RuntimeError("No weights were loaded.")


def test_failures_that_are_not_the_sizes_stay_as_they_are():
    for model in (from_torch(Broken(), (0, 1)), from_torch(nn.Sequential(Broken()), (0, 1), trace=False)):
        with pytest.raises(RuntimeError, match=r"\ANo weights were loaded\.\Z"):
            model(torch.zeros(1, 3, 9, 9))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_image_follows_the_networks_precision(network, dtype):
    model = from_torch(network.to(dtype), mean=COLOURS, std=COLOURS)
    assert model.activations(torch.rand(1, 3, 9, 9), ["0"])["0"].dtype == dtype
    found = render.render_vis(
        model, "3:2", lambda: param.image(16), transforms=[], thresholds=(0, 20), verbose=False, seed=3
    )
    assert found.losses[-1] > found.losses[0]


def test_a_model_may_change_its_precision_later(network):
    model = from_torch(network, (-1, 1)).double()
    assert model.activations(torch.rand(1, 3, 9, 9), ["0"])["0"].dtype == torch.float64


def test_it_renders(network):
    model = from_torch(network, (0, 1), labels=["cat", "dog"])
    found = render.render_vis(
        model, "3:2", lambda: param.image(16), transforms=[], thresholds=(0, 20), verbose=False, seed=3
    )
    assert [image.shape for image in found] == [(1, 16, 16, 3)] * 2
    assert found.losses[-1] > found.losses[0]
    assert model.labels == ["cat", "dog"]


def test_a_layers_value_does_not_depend_on_which_others_are_asked_for():
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1))
    model, image = from_torch(network, (-1, 1)), torch.rand(1, 3, 9, 9)
    alone = model.activations(image, ["0"])["0"]
    assert (alone < 0).any()
    torch.testing.assert_close(model.activations(image, ["0", "2"])["0"], alone, rtol=0, atol=0)


def test_training_mode_is_refused(network):
    model = from_torch(network, (0, 1))
    model.train()
    with pytest.raises(ValueError, match="training mode"):
        model.activations(torch.rand(1, 3, 9, 9), ["1"])


def test_threads_do_not_meet_each_others_hooks(network):
    model, image = from_torch(network, (0, 1)), torch.rand(1, 3, 33, 33)
    expected = model.activations(image, ["2"])["2"]
    with ThreadPoolExecutor(4) as pool:
        for found in pool.map(lambda _: model.activations(image, ["2"])["2"], range(40)):
            torch.testing.assert_close(found, expected, rtol=0, atol=0)


def test_a_copy_is_a_model_of_its_own(network):
    model = from_torch(network, (0, 1))
    twin, image = copy.deepcopy(model), torch.rand(1, 3, 9, 9)
    expected = model.activations(image, ["2"])["2"]
    with torch.no_grad():
        network[0].weight.zero_()
    torch.testing.assert_close(twin.activations(image, ["2"])["2"], expected, rtol=0, atol=0)


# What a trace finds ---------------------------------------------------------------------------


class Residual(nn.Module):
    """A block whose ReLU runs twice, in place, the second time on the sum."""

    def __init__(self, bounded: bool = False) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU6(inplace=True) if bounded else nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.relu(self.conv1(x))
        y = self.conv2(y)
        y += x
        return self.relu(y)


class Classifier(nn.Module):
    """Residual blocks, functions between them, and a part that reads sizes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.blocks = nn.Sequential(Residual(), Residual(bounded=True))
        self.fc = nn.Linear(4, 5)

    def forward(self, x, targets=None):
        if targets is not None:
            raise ValueError("no training here")
        x = self.blocks(F.relu(self.stem(x)))
        x = F.max_pool2d(x, 2).mean((2, 3)).view(x.shape[0], -1)
        return self.fc(x)


@pytest.fixture
def classifier():
    torch.manual_seed(1)
    return Classifier()


def test_functions_have_names_beside_the_modules(classifier):
    layers = from_torch(classifier, (0, 1)).network.layers
    assert list(layers) == [
        "stem",
        "relu",
        "blocks.0.conv1",
        "blocks.0.relu",
        "blocks.0.conv2",
        "blocks.0.add",
        "blocks.0.relu_1",
        "blocks.0",
        "blocks.1.conv1",
        "blocks.1.relu",
        "blocks.1.conv2",
        "blocks.1.add",
        "blocks.1.relu_1",
        "blocks.1",
        "blocks",
        "max_pool2d",
        "mean",
        "view",
        "fc",
    ]
    described = {name: (layers[name].op, layers[name].channels) for name in ("blocks.0", "blocks.0.add", "fc")}
    assert described == {"blocks.0": ("Residual", 4), "blocks.0.add": ("add", 4), "fc": ("Linear", 5)}
    assert layers["blocks.1.relu_1"].op == "ReLU6"


def test_traced_values_are_those_of_the_hooks(classifier):
    image = torch.rand(2, 3, 9, 14)
    traced, hooked = from_torch(classifier, (-2, 2)), from_torch(classifier, (-2, 2), trace=False)
    names = list(hooked.network.layers)
    assert {"blocks", "blocks.0", "blocks.1.relu", "fc"} < set(names) < set(traced.network.layers)
    expected = {name: hooked.activations(image, [name])[name] for name in names}
    torch.testing.assert_close(traced.activations(image, names), expected, rtol=0, atol=0)
    for name in names:
        torch.testing.assert_close(traced.activations(image, [name])[name], expected[name], rtol=0, atol=0)


def test_a_sum_is_not_yet_rectified(classifier):
    found = from_torch(classifier, (-2, 2)).activations(
        torch.rand(2, 3, 9, 14), ["blocks.0.conv2", "relu", "blocks.0.add", "blocks.0", "blocks.0.relu_1"]
    )
    assert (found["blocks.0.add"] < 0).any()
    torch.testing.assert_close(found["blocks.0.add"], found["blocks.0.conv2"] + found["relu"], rtol=0, atol=0)
    torch.testing.assert_close(found["blocks.0"], found["blocks.0.add"].relu(), rtol=0, atol=0)
    torch.testing.assert_close(found["blocks.0.relu_1"], found["blocks.0"], rtol=0, atol=0)


def test_a_module_keeps_its_name_where_a_function_has_it_too():
    class Shadowed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.relu, self.relu_1 = nn.Conv2d(3, 2, 1), nn.Conv2d(2, 5, 1)

        def forward(self, x):
            return self.relu_1(F.relu(self.relu(F.relu(x))))

    layers = from_torch(Shadowed(), (0, 1)).network.layers
    assert {name: info.op for name, info in layers.items()} == {
        "relu_2": "relu",
        "relu": "Conv2d",
        "relu_3": "relu",
        "relu_1": "Conv2d",
    }


class Branching(nn.Module):
    """Its code depends on values, so that it does not trace; its first convolution runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.cold, self.warm = nn.Conv2d(3, 2, 1), nn.Conv2d(3, 2, 1)

    def forward(self, x):
        x = self.conv(self.conv(x))
        return self.warm(x) if x.mean() > -100 else self.cold(x)


def test_what_does_not_trace_names_its_functions_when_it_runs():
    torch.manual_seed(0)
    module, image = Branching(), torch.rand(1, 3, 5, 6)
    model = from_torch(module, (0, 1))
    assert model.network.untraced.startswith("torch.fx cannot trace the network (TraceError: symbolically traced")
    assert list(model.network.layers) == ["conv", "conv_1", "mean", "gt", "warm"]
    assert takes_relu_rule(model)
    found = model.activations(image, ["conv", "conv_1", "mean", "warm"])
    torch.testing.assert_close(found["conv"], module.conv(image), rtol=0, atol=0)
    torch.testing.assert_close(found["conv_1"], module.conv(module.conv(image)), rtol=0, atol=0)
    torch.testing.assert_close(found["mean"], found["conv_1"].mean(), rtol=0, atol=0)
    torch.testing.assert_close(found["warm"], module(image), rtol=0, atol=0)
    with pytest.raises(ValueError, match="'cold' did not run"):
        model.activations(image, ["cold"])
    with pytest.raises(converters.LayerNotFoundError, match=r"No layer is called 'add'"):
        model.activations(image, ["add"])


def test_without_functions_only_modules_are_layers():
    model = from_torch(Branching(), (0, 1), trace=False)
    assert list(model.network.layers) == ["conv", "warm"]
    assert not takes_relu_rule(model)
    with pytest.raises(converters.LayerNotFoundError, match="Only modules are layers here, because trace=False was"):
        model.activations(torch.rand(1, 3, 5, 6), ["mean"])


def test_a_trace_leaves_nothing_in_the_network():
    class Remembering(nn.Sequential):
        def forward(self, x):
            self.calls += 1
            self.seen = super().forward(x)
            return self.seen

    module = Remembering(nn.Conv2d(3, 4, 1), nn.ReLU())
    module.calls = 0
    model = from_torch(module, (0, 1))
    assert model.network.untraced is None
    assert module.calls == 0
    assert not hasattr(module, "seen")
    copy.deepcopy(model)


def test_layers_inside_of_what_is_not_looked_into():
    """A module of torch's own runs as one; what it holds is seen by hooks, beside functions of the trace."""

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.patches = nn.Conv2d(3, 8, 4, stride=4)
            self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

        def forward(self, x):
            return self.layer(self.patches(x).flatten(2).transpose(1, 2) * 2)

    torch.manual_seed(0)
    module, image = Encoder(), torch.rand(1, 3, 8, 12)
    model = from_torch(module, (0, 1))
    found = model.activations(image, ["layer.linear1", "mul", "layer"])
    assert list(found) == ["layer.linear1", "mul", "layer"]
    assert {name: tuple(value.shape) for name, value in found.items()} == {
        "layer.linear1": (1, 6, 16),
        "mul": (1, 6, 8),
        "layer": (1, 6, 8),
    }
    torch.testing.assert_close(found["layer"], module(image), rtol=0, atol=0)
    assert not takes_relu_rule(model)


def test_a_replaced_block_is_a_layer_from_then_on(classifier):
    model, image = from_torch(classifier, (-1, 1)), torch.rand(1, 3, 9, 9)
    model.activations(image, ["blocks"])
    classifier.blocks[1] = nn.Sequential(nn.Conv2d(4, 6, 1))
    assert model.activations(image, ["blocks.1.0", "blocks"])["blocks"].shape[1] == 6
    assert "blocks.1.add" not in model.network.layers


def test_hooks_that_sit_on_blocks_see_every_pass(classifier):
    model, image, ran = from_torch(classifier, (-1, 1)), torch.rand(1, 3, 9, 9), []
    expected = model.activations(image, ["blocks", "blocks.0.add"])
    handle = classifier.blocks[0].register_forward_hook(lambda part, inputs, output: ran.append(1) or output * 2)
    assert model.activations(image, ["blocks.0"])["blocks.0"].shape == expected["blocks.0.add"].shape
    assert ran == [1]
    found = model.activations(image, ["blocks", "blocks.0.add"])
    assert ran == [1, 1]
    assert not torch.equal(found["blocks"], expected["blocks"])
    torch.testing.assert_close(found["blocks.0.add"], expected["blocks.0.add"], rtol=0, atol=0)
    handle.remove()
    torch.testing.assert_close(model.activations(image, ["blocks", "blocks.0.add"]), expected, rtol=0, atol=0)


def test_a_network_with_a_hooked_block_is_not_traced(classifier):
    classifier.blocks.register_forward_hook(lambda *_: None)
    model = from_torch(classifier, (-1, 1))
    assert model.network.untraced == "a module that is traced through has a hook or a replaced forward"
    assert model.activations(torch.rand(1, 3, 9, 9), ["blocks"])["blocks"].shape == (1, 4, 7, 7)


def test_a_traced_model_is_pickled_and_copied(classifier):
    model, image = from_torch(classifier, (-1, 1)), torch.rand(1, 3, 9, 9)
    expected = model.activations(image, ["blocks.0.add", "fc"])
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        torch.testing.assert_close(twin.activations(image, ["blocks.0.add", "fc"]), expected, rtol=0, atol=0)
        assert list(twin.network.layers) == list(model.network.layers)
        assert not set(map(id, twin.modules())) & set(map(id, model.modules()))


# Overrides ------------------------------------------------------------------------------------


@pytest.mark.parametrize("update", [0, 16])
def test_the_redirected_gradient_revives_a_dead_network(classifier, update):
    """As Lucid's: where no ReLU passes anything, what pushes up is passed."""
    with torch.no_grad():
        classifier.stem.bias.fill_(-100)
    model, image = from_torch(classifier, (-1, 1)), torch.rand(1, 3, 9, 9, requires_grad=True)
    (dead,) = torch.autograd.grad(model.activations(image, ["relu"])["relu"].sum(), image)
    assert not dead.any()
    with redirection(update):
        loss = -model.activations(image, ["relu"])["relu"].sum()
    (revived,) = torch.autograd.grad(loss, image)
    stem = classifier.stem(model.create_input(image))
    torch.testing.assert_close(revived, torch.autograd.grad(-stem.sum(), image)[0])


def test_replaced_relus_give_what_overridden_ones_give(classifier):
    """The later rule, computed by other formulas in the traced network and by a look at every call in the other."""
    traced, hooked = from_torch(classifier, (-9, 9)), from_torch(classifier, (-9, 9), trace=False)
    assert takes_relu_rule(traced)
    assert not takes_relu_rule(hooked)
    image, gradients = torch.rand(2, 3, 9, 14, requires_grad=True), []
    names = ["blocks.0", "blocks.1.relu", "fc"]
    with redirection(17):
        by_hooks = hooked.activations(image, names)
    for found in (by_hooks, traced.activations(image, names, instead=PASSING_AT_LIMITS)):
        gradients += torch.autograd.grad(sum(value.square().sum() for value in found.values()), image)
        torch.testing.assert_close(found, by_hooks, rtol=0, atol=0)
    torch.testing.assert_close(gradients[1], gradients[0], rtol=0, atol=0)
    (plain,) = torch.autograd.grad(
        sum(value.square().sum() for value in traced.activations(image, names).values()), image
    )
    torch.testing.assert_close(plain, gradients[0])


def test_relus_that_cannot_be_replaced_say_so(classifier):
    model = from_torch(classifier, (-1, 1), trace=False)
    with pytest.raises(ValueError, match="cannot be replaced"):
        model.activations(torch.rand(1, 3, 9, 9), ["fc"], instead=PASSING_AT_LIMITS)


@pytest.mark.parametrize("name", ["blocks.0.add:2", "blocks.1.relu_1:0"])
def test_functions_are_rendered(classifier, name):
    found = render.render_vis(
        from_torch(classifier, (-1, 1)), name, lambda: param.image(17, 15), thresholds=(0, 20), verbose=False, seed=3
    )
    assert found.losses[-1] > found.losses[0]


class Pyramid(nn.Module):
    """Returns its image and two values in a container; the second is changed in place before it returns."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind
        self.low, self.high = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 6, 3, 2)

    def forward(self, x):
        low = self.low(x)
        found = [x, low, self.high(low)]
        low.mul_(2)
        return self.kind(zip("abc", found, strict=True)) if self.kind is dict else self.kind(found)


class Segmentation(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.encoder, self.head = Pyramid(kind), nn.Conv2d(6, 5, 1)

    def forward(self, x):
        found = self.encoder(x)
        return self.head(found["c"] if self.encoder.kind is dict else found[2]).relu()


@pytest.mark.parametrize("kind", [list, tuple, dict])
@pytest.mark.parametrize("trace", [True, False])
def test_elements_of_modules_are_layers(kind, trace):
    torch.manual_seed(0)
    module, image = Segmentation(kind), torch.rand(2, 3, 11, 9)
    model = from_torch(module, (0, 1), image_shape=(11, 9, 3), trace=trace)
    assert (model.network.untraced is None) == trace
    keys = "abc" if kind is dict else "012"
    names = [f"encoder:{key}" for key in keys]
    layers = model.network.layers
    assert [(layers[name].axes, layers[name].channels) for name in names] == [("NCHW", n) for n in (3, 4, 6)]
    returned = module.encoder(image)
    expected = list(returned.values()) if kind is dict else returned
    others = ["head", "relu"] if trace else ["head"]
    for found in (
        model.activations(image, names),
        {name: model.activations(image, [name])[name] for name in names},
        model.activations(image, [*names, *others]),
    ):
        for name, value in zip(names, expected, strict=True):
            torch.testing.assert_close(found[name], value, rtol=0, atol=0)
    assert layers["encoder"].unknown == f"its value is a {kind.__name__}, not a tensor"
    assert set(names) < set(layers)
    assert "encoder" not in list(layers)
    stated = from_torch(module, (0, 1), image_shape=(11, 9, 3), trace=trace, layouts={names[1]: "NCWH"})
    assert stated.network.layers[names[1]].axes == "NCWH"
    with pytest.raises(ValueError, match=f"Layer 'encoder' returns a {kind.__name__}, not a tensor: name one of its"):
        model.activations(image, ["encoder", "head"])
    seen = image.clone().requires_grad_()
    found = model.activations(seen, [names[0], names[2], "head"])
    torch.autograd.grad(found["head"].sum(), found[names[2]])  # one pass


@pytest.mark.parametrize(("rank", "axes"), [(2, "NC"), (3, "NLC"), (4, "NCHW")])
def test_advice_for_unknown_axes_fits_the_tensor(rank, axes):
    with pytest.raises(ChannelAxisError, match=f"layouts={{'mix': '{axes}'}}"):
        converters.LayerInfo("mix", "Mix", None, "mix", unknown="no axis counts channels").axes_of(rank)
