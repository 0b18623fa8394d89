"""What people bring: wrappers, exported networks, adapters, networks that return dicts and tuples."""

from __future__ import annotations

import copy
import inspect
import sys
from dataclasses import dataclass

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.vision_base import Model
from lucid_port.optvis import objectives, param, render

IMAGE = (16, 13, 3)


class Block(nn.Module):
    """A residual block whose sum and ReLU work in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x):
        y = self.conv(x)
        y += x
        return self.relu(y)


class Classifier(nn.Module):
    """Returns a dict, a tuple, or a dataclass."""

    def __init__(self, returned=lambda logits, features: logits) -> None:
        super().__init__()
        self.stem, self.blocks = nn.Conv2d(3, 4, 3), nn.Sequential(Block(), Block())
        self.fc = nn.Linear(4, 5)
        self.returned = returned

    def forward(self, x):
        x = self.blocks(F.relu(self.stem(x)))
        return self.returned(self.fc(x.mean((2, 3))), x)


@pytest.fixture
def classifier():
    torch.manual_seed(1)
    return Classifier()


@pytest.fixture
def image():
    return torch.rand(1, 3, *IMAGE[:2], generator=torch.Generator().manual_seed(2))


def test_weights_without_a_shape():
    with pytest.raises(
        ValueError, match=r"Module '1' \(LazyLinear\) has lazy weights without a shape: run the network"
    ):
        from_torch(nn.Sequential(nn.Flatten(), nn.LazyLinear(3)), (0, 1))


def test_an_image_of_other_channels_than_the_network_reads():
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU())
    with pytest.raises(ValueError, match=r"Layer '0' reads images of 1 channel, .* image_shape=\(height, width, 1\)"):
        from_torch(module, (0, 1))


def test_a_network_of_one_channel_renders():
    torch.manual_seed(0)
    model = from_torch(nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU()), (0, 1), image_shape=(28, 28, 1))
    found = render.render_vis(
        model, "1:2", lambda: param.image(19, 17, channels=1), thresholds=(0, 20), verbose=False, seed=3
    )
    assert found[-1].shape == (1, 17, 19, 1)
    assert found.losses[-1] > found.losses[0]
    with pytest.raises(ValueError, match=r"takes \(N, 1, H, W\): param\.image\(\.\.\., channels=1\) makes such images"):
        render.render_vis(model, "1:2", lambda: param.image(17), thresholds=(0,), verbose=False)


def test_a_models_network_is_no_model(classifier):
    model = from_torch(classifier, (-1, 1))
    with pytest.raises(TypeError, match=r"A TorchNetwork is the network of a model.*give the model itself"):
        render.render_vis(model.network, "fc:0", thresholds=(0,), verbose=False)
    with pytest.raises(TypeError, match="is a model already"):
        from_torch(model, (-1, 1))


def test_a_network_with_layers_of_its_own_keeps_them(classifier):
    network = from_torch(classifier, (-1, 1)).network
    model = from_torch(network, (0, 1))
    assert model.network is network


@pytest.mark.parametrize("hide", [torch.jit.script, lambda module: torch.jit.trace(module, torch.zeros(1, 3, 8, 8))])
def test_networks_that_hide_their_layers_are_refused(hide):
    with pytest.raises(TypeError, match=r"TorchScript.*hides its layers"):
        from_torch(hide(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())), (0, 1))


# Wrappers and exported networks ---------------------------------------------------------------


@pytest.mark.parametrize(
    "wrap",
    [nn.DataParallel, torch.compile, lambda network: torch.compile(nn.DataParallel(network))],
    ids=["DataParallel", "compiled", "both"],
)
def test_wrappers_are_taken_off(classifier, image, wrap):
    expected = from_torch(copy.deepcopy(classifier), (0, 1))
    model = from_torch(wrap(classifier), (0, 1))
    assert list(model.network.layers) == list(expected.network.layers)
    names = ["blocks.0.add", "fc"]
    torch.testing.assert_close(model.activations(image, names), expected.activations(image, names), rtol=0, atol=0)
    assert model.network.module is classifier


def test_adapted_networks_of_peft(classifier, image, monkeypatch):
    """Any object with peft's interface, as peft itself is optional."""

    class PeftModel(nn.Module):
        def __init__(self, base):
            super().__init__()
            self.base_model = base

        def get_base_model(self):
            return self.base_model

    monkeypatch.setitem(sys.modules, "peft", type("peft", (), {"PeftModel": PeftModel}))
    assert from_torch(PeftModel(classifier), (0, 1)).network.module is classifier


@pytest.fixture(params=["program", "file"])
def exported(request, classifier, tmp_path):
    program = torch.export.export(classifier.eval(), (torch.zeros(1, 3, *IMAGE[:2]),))
    if request.param == "program":
        return program
    torch.export.save(program, tmp_path / "network.pt2")
    return tmp_path / "network.pt2"


def test_exported_networks_have_the_names_of_the_original(exported, classifier, image):
    model, expected = from_torch(exported, (0, 1), image_shape=IMAGE), from_torch(classifier, (0, 1))
    layers = model.network.layers
    modules = [name for name, info in expected.network.layers.items() if info.module]
    assert [(name, layers[name].op) for name in layers if layers[name].module] == [
        (name, expected.network.layers[name].op) for name in modules
    ]
    assert {name for name in layers if not layers[name].module} == {"relu", "blocks.0.add_", "blocks.1.add_", "mean"}
    found = model.activations(image, [*modules, "relu", "blocks.0.add_", "output"])
    wanted = expected.activations(image, [*modules, "relu", "blocks.0.add", "output"])
    torch.testing.assert_close(list(found.values()), list(wanted.values()), rtol=0, atol=0)


def test_an_exported_network_renders(exported):
    found = render.render_vis(
        from_torch(exported, (-1, 1), image_shape=IMAGE),
        "blocks.1.add_:2",
        lambda: param.image(IMAGE[1], IMAGE[0]),
        transforms=[],
        thresholds=(0, 10),
        verbose=False,
        seed=3,
    )
    assert found.losses[-1] > found.losses[0]


def test_a_file_that_holds_no_exported_network(tmp_path):
    with pytest.raises(FileNotFoundError, match="no exported network"):
        from_torch(tmp_path / "network.pt2", (0, 1))
    (tmp_path / "network.pt2").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"network\.pt2 holds no exported network"):
        from_torch(tmp_path / "network.pt2", (0, 1))


# Inputs of other ranks ------------------------------------------------------------------------


class Video(nn.Module):
    """Takes (N, C, T, H, W)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(3, 4, (2, 3, 3))

    def forward(self, x):
        assert x.dim() == 5
        return self.conv(x).relu()


def frames(image):
    """One image as three equal frames."""
    return image[:, :, None].expand(-1, -1, 3, -1, -1)


@pytest.mark.parametrize("trace", [True, False])
def test_an_adapter_makes_the_networks_input(trace, image):
    torch.manual_seed(0)
    network = Video()
    model = from_torch(network, (-1, 1), image_shape=IMAGE, adapter=frames, input_shape=(3, 3, None, None), trace=trace)
    assert list(model.network.layers) == (["conv", "relu"] if trace else ["conv"])
    expected = network.conv(frames(2 * image - 1))
    torch.testing.assert_close(model.activations(image, "conv")["conv"], expected, rtol=0, atol=0)
    torch.testing.assert_close(model(image), expected.relu(), rtol=0, atol=0)


def test_waveforms():
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(1, 4, 5), nn.ReLU())
    model = from_torch(
        network, (-1, 1), image_shape=(1, 40, 1), adapter=lambda image: image[:, :, 0], input_shape=(1, 40)
    )
    sound = torch.rand(2, 1, 1, 40)
    expected = network[0](2 * sound[:, :, 0] - 1)
    torch.testing.assert_close(model.activations(sound, "0")["0"], expected, rtol=0, atol=0)


def test_the_input_has_the_stated_shape(image):
    model = from_torch(Video(), (0, 1), image_shape=IMAGE, adapter=frames, input_shape=(3, 8, None, None), trace=False)
    with pytest.raises(ValueError, match=r"an input of shape \(1, 3, 3, 16, 13\) .* input_shape says \(N, 3, 8, any"):
        model.activations(image, "conv")


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"adapter": 3}, TypeError, "adapter is a function"),
        ({"input_shape": (3, 8)}, ValueError, "give adapter="),
        ({"adapter": frames, "input_shape": (3, 0)}, ValueError, "Every size of input_shape"),
        ({"adapter": frames, "input_shape": 3}, TypeError, "input_shape is a shape"),
    ],
)
def test_adapters_that_make_no_sense(given, error, words):
    with pytest.raises(error, match=words):
        from_torch(Video(), (0, 1), **given)


# What networks return -------------------------------------------------------------------------


@dataclass
class Result:
    logits: Tensor
    features: Tensor
    loss: Tensor | None = None


RETURNED = {
    "dict": (lambda logits, features: {"logits": logits, "features": features}, ("logits", "features")),
    "dataclass": (Result, ("logits", "features")),
    "tuple": (lambda logits, features: (logits, features), ("0", "1")),
}


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize("kind", RETURNED)
def test_elements_of_what_a_network_returns_are_layers(kind, trace, image):
    returned, keys = RETURNED[kind]
    torch.manual_seed(1)
    network = Classifier(returned)
    model = from_torch(network, (0, 1), image_shape=IMAGE, trace=trace)
    names = [f"output:{key}" for key in keys]
    assert model.network.outputs == tuple(names)
    found = model.activations(image, [*names, "fc", "blocks"])
    torch.testing.assert_close(found[names[0]], found["fc"], rtol=0, atol=0)
    torch.testing.assert_close(found[names[1]], found["blocks"], rtol=0, atol=0)
    assert not set(names) & set(model.network.layers)
    with pytest.raises(ValueError, match=rf"Layer 'output' returns a \w+, .*'output:{keys[0]}', 'output:{keys[1]}'"):
        model.activations(image, "output")
    with pytest.raises(ValueError, match=f"layer 'output' has no element 'nothing': .*'output:{keys[0]}'"):
        model.activations(image, "output:nothing")


@pytest.mark.parametrize("trace", [True, False])
def test_a_tensor_that_a_network_returns_is_the_layer_output(classifier, image, trace):
    model = from_torch(classifier, (0, 1), image_shape=IMAGE, trace=trace)
    assert model.network.outputs == ("output",)
    found = model.activations(image, ["output", "fc"])
    torch.testing.assert_close(found["output"], found["fc"], rtol=0, atol=0)


def test_a_module_called_output_keeps_its_name(image):
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.output = nn.Conv2d(3, 4, 1)

        def forward(self, x):
            return self.output(x) * 2

    network = Named()
    model = from_torch(network, (0, 1), image_shape=IMAGE)
    assert model.network.outputs == ("output_1",)
    found = model.activations(image, ["output", "output_1"])
    torch.testing.assert_close(found["output"], network.output(image), rtol=0, atol=0)
    torch.testing.assert_close(found["output_1"], 2 * found["output"], rtol=0, atol=0)


class Pair(nn.Module):
    """A part that returns a tuple, and another one of torch's own that does."""

    def __init__(self, hides: bool) -> None:
        super().__init__()
        self.part, self.attention = Halves(), nn.MultiheadAttention(4, 2, batch_first=True)
        self.hides = hides

    def forward(self, x):
        if self.hides and x.mean() < -100:
            return x
        first, second = self.part(x)
        tokens = (first * second).flatten(2).transpose(1, 2)
        return self.attention(tokens, tokens, tokens)[0]


class Halves(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 1)

    def forward(self, x):
        return self.conv(x).chunk(2, 1)


@pytest.mark.parametrize("hides", [False, True])
@pytest.mark.parametrize("trace", [True, False])
def test_elements_of_tuples_inside_the_network(image, hides, trace):
    torch.manual_seed(0)
    network = Pair(hides)
    model = from_torch(network, (0, 1), image_shape=IMAGE, trace=trace)
    found = model.activations(image, ["part:0", "part:1", "part.conv", "attention:0"])
    torch.testing.assert_close(torch.cat([found["part:0"], found["part:1"]], 1), found["part.conv"], rtol=0, atol=0)
    torch.testing.assert_close(found["attention:0"], network(image), rtol=0, atol=0)
    torch.testing.assert_close(model.activations(image, "part.conv:0")["part.conv:0"], found["part.conv"])
    with pytest.raises(ValueError, match=r"Layer 'part' returns a tuple, not a tensor: .*'part:0', 'part:1'"):
        model.activations(image, "part")
    with pytest.raises(ValueError, match=r"The tuple of layer 'part' has no element '7': .*'part:0'"):
        model.activations(image, "part:7")
    assert model.network.layer_module("part:1") is network.part
    assert model.network.layers["part:1"].module == "part"


def test_a_unit_of_an_element_renders():
    torch.manual_seed(0)
    model = from_torch(Pair(False), (-1, 1), image_shape=IMAGE)
    found = render.render_vis(
        model, "part:1:3", lambda: param.image(IMAGE[1], IMAGE[0]), thresholds=(0, 10), verbose=False, seed=3
    )
    assert found.losses[-1] > found.losses[0]


# Attributes and arguments of models -----------------------------------------------------------


def test_a_model_without_labels_can_be_inspected(classifier):
    model = from_torch(classifier, (0, 1))
    assert not hasattr(model, "labels")
    assert not hasattr(model, "synset_ids")
    assert {"layers", "network"} <= dict(inspect.getmembers(model)).keys()
    with pytest.raises(RuntimeError, match=r"Model has no list of labels: give labels=\[...\] to from_torch or to"):
        _ = model.labels
    names = ["a", "b", "c", "d"]
    assert from_torch(classifier, (0, 1), labels=names).labels == names
    assert Model(network=model.network, image_value_range=(0, 1), labels=names).labels == names
    with pytest.raises(AttributeError, match="nothing"):
        _ = model.nothing


@pytest.mark.parametrize(
    ("given", "error", "words"),
    [
        ({"image_shape": (16, 13)}, ValueError, "image_shape is"),
        ({"image_shape": 16}, TypeError, "image_shape is"),
        ({"image_shape": (16, -13, 3)}, ValueError, "Every size of image_shape"),
        ({"is_BGR": "no"}, TypeError, "is_BGR is True or False, not 'no'"),
    ],
)
def test_models_check_what_from_torch_checks(classifier, given, error, words):
    network = from_torch(classifier, (0, 1)).network
    with pytest.raises(error, match=words):
        Model(network=network, image_value_range=(0, 1), **given)
    with pytest.raises(error, match=words):
        from_torch(classifier, (0, 1), **given)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        (("prob", [8, 8, 3], [0, 1]), TypeError, "output_names is a list of names"),
        ((["prob"], [8, 3], [0, 1]), ValueError, "image_shape"),
        ((["prob"], [8, 8, 3], [0, 0]), ValueError, "same value"),
    ],
)
def test_save_checks_its_arguments_before_it_reads_the_graph(tmp_path, arguments, error, words):
    with pytest.raises(error, match=words):
        Model.save(tmp_path / "model.pb", "input", *arguments, graph=b"no graph")
    assert not list(tmp_path.iterdir())


class Nested(nn.Module):
    """A part that returns nested values, parts that do not run, and recurrent states."""

    def __init__(self, hides: bool) -> None:
        super().__init__()
        self.part, self.recurrent, self.unused = Inner(), nn.LSTM(4, 5, batch_first=True), nn.Linear(3, 4)
        self.attention, self.listed = nn.MultiheadAttention(4, 2, batch_first=True), nn.ModuleList([nn.ReLU()])
        self.hides = hides

    def forward(self, x):
        if self.hides and x.mean() < -100:
            return x
        found = self.part(x)
        tokens = self.listed[0](found["map"]).flatten(2).transpose(1, 2)
        states, _ = self.recurrent(tokens)
        mixed, weights = self.attention(tokens, tokens, tokens)
        return {"states": states, "more": {"pooled": found["more"][0], "none": None}, "both": [mixed, weights]}


class Inner(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        value = self.conv(x)
        return {"map": value, "more": (value.mean((2, 3)), None), "count": 3}


@pytest.mark.parametrize("hides", [False, True])
@pytest.mark.parametrize("trace", [True, False])
def test_every_listed_layer_is_one_tensor(image, hides, trace):
    torch.manual_seed(0)
    network = Nested(hides)
    model = from_torch(network, (0, 1), image_shape=IMAGE, trace=trace)
    layers = list(model.network.layers)
    found = model.activations(image, layers)
    assert list(found) == layers
    assert {"part:map", "part:more:0", "recurrent:0", "recurrent:1:0", "recurrent:1:1", "attention:0"} < set(layers)
    absent = {"part", "recurrent", "attention", "unused", "listed", "attention.out_proj"}
    assert not absent & set(layers)
    returned = network(image)
    assert model.network.outputs == ("output:states", "output:more:pooled", "output:both:0", "output:both:1")
    for name, value in (
        ("part:map", network.part.conv(image)),
        ("part:more:0", returned["more"]["pooled"]),
        ("output:more:pooled", returned["more"]["pooled"]),
        ("output:both:1", returned["both"][1]),
        ("recurrent:1:0", returned["states"][None, :, -1]),
    ):
        torch.testing.assert_close(model.activations(image, name)[name], value, rtol=0, atol=0)


@pytest.mark.parametrize("trace", [True, False])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("part:more:1", "Element 'more:1' of layer 'part' is None, not a tensor"),
        ("part:count", "Element 'count' of layer 'part' is an int, not a tensor"),
        ("part:more", "Element 'more' of layer 'part' is a tuple, not a tensor: .*'part:more:0'"),
        ("output:more:none", "Element 'more:none' of layer 'output' is None, not a tensor: .*'output:states'"),
        ("unused", "Layer 'unused' did not run"),
    ],
)
def test_elements_that_are_no_tensors(image, trace, name, words):
    model = from_torch(Nested(False), (0, 1), image_shape=IMAGE, trace=trace)
    with pytest.raises(ValueError, match=words):
        model.activations(image, name)


@pytest.mark.parametrize("trace", [True, False])
def test_modules_called_like_values_of_objectives_are_listed_by_their_element(image, trace):
    network = nn.Sequential()
    network.add_module("input", nn.Conv2d(3, 4, 3))
    network.add_module("labels", nn.Conv2d(4, 5, 3))
    with pytest.warns(UserWarning, match=r"the module's layer is 'input:0', and its channel 3 is 'input:0:3'"):
        model = from_torch(network, (0, 1), image_shape=IMAGE, trace=trace, layouts={"labels:0": "NCHW"})
    assert list(model.network.layers) == ["input:0", "labels:0"]
    read = objectives.channel("input:0", 3) + objectives.as_objective("labels:0:4") + objectives.channel("input", 2)
    value = read(lambda name: image if name == "input" else model.activations(image, name)[name])
    found = render.make_vis_T(model, read, lambda: image.clone().requires_grad_(), transforms=[]).evaluate([read])
    hidden = network.get_submodule("input")(image)
    expected = hidden[:, 3].mean() + network(image)[:, 4].mean() + image[:, 2].mean()
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(torch.as_tensor(found[0]), expected)


@pytest.mark.parametrize(("name", "meaning"), [("input", "the image"), ("labels", "the list of class names")])
def test_names_that_mean_something_else_in_objectives(name, meaning):
    network = nn.Sequential()
    network.add_module(name, nn.Conv2d(3, 4, 3))
    with pytest.warns(UserWarning, match=f"a module called '{name}', but in objectives '{name}' is {meaning}"):
        from_torch(network, (0, 1))
