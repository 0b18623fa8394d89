"""The axes in the descriptions of a torch network's layers: which number is the unit."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from converters.errors import ChannelAxisError
from converters.program.layer_info import TokenGrid
from converters.tracing.axes import find
from lucid_port import modelzoo

torchvision = pytest.importorskip("torchvision")
from torchvision.models import SwinTransformer, VisionTransformer  # noqa: E402
from torchvision.models.convnext import CNBlockConfig, ConvNeXt  # noqa: E402


class Mixer(nn.Module):
    """A network that a trace cannot follow: it reads a size and branches."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 12, 4, 4)
        self.norm = nn.LayerNorm(12)
        self.tokens = nn.Linear(48, 48)
        self.features = nn.Sequential(nn.Linear(12, 20), nn.GELU(), nn.Linear(20, 12))

    def forward(self, image):
        x = self.conv(image).flatten(2).transpose(1, 2)
        if float(image.sum()) < -1e9:
            return x
        x = x + self.tokens(self.norm(x).transpose(1, 2)).transpose(1, 2) * 0.1
        return x + self.features(x)


NETWORKS = {
    "ViT": lambda: VisionTransformer(24, 6, 2, 2, 12, 20, num_classes=7),
    "Swin": lambda: SwinTransformer([4, 4], 12, [1, 1], [2, 3], [3, 3], num_classes=7),
    "ConvNeXt": lambda: ConvNeXt([CNBlockConfig(8, 12, 1), CNBlockConfig(12, None, 1)], num_classes=7),
    "Mixer": Mixer,
}
SHAPES = {"ViT": (24, 24), "Swin": (24, 36), "ConvNeXt": (24, 36), "Mixer": (24, 32)}
FUNCTIONAL = ("layer_norm", "linear", "getitem", "shifted_window_attention")  # make features, without calls
AXES = ((nn.Conv2d, 1), (nn.Linear, -1), (nn.LayerNorm, -1))


def wrapped(name: str, **options):
    torch.manual_seed(5)
    network = NETWORKS[name]()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.3)
    return modelzoo.from_torch(network, image_value_range=(0, 1), image_shape=(*SHAPES[name], 3), **options)


def producers(network) -> dict[str, int]:
    """Returns the layers whose channel axis torch's documentation states."""
    found = {}
    for name, part in network.module.named_modules():
        axis = next((axis for kind, axis in AXES if type(part) is kind), None)
        if axis is not None:
            found[name] = axis
    return found


def ran(network) -> set[str]:
    """Returns the functions, and the modules that a pass calls; attention computes some without a call."""
    called = {info.name for info in network.layers.values() if not info.module and info.axes}
    handles = [
        part.register_forward_hook(lambda module, inputs, output, name=name: called.add(name))
        for name, part in network.module.named_modules()
        if name and network.layers[name].axes
    ]
    network.module(torch.rand(1, 3, *network.image_shape[:2]))
    for handle in handles:
        handle.remove()
    return called


@pytest.mark.parametrize("name", NETWORKS)
def test_a_unit_is_the_feature_that_a_layer_computes(name: str) -> None:
    """A change of one feature of a layer moves one index along C of the values up to the next layer, but all places.

    The oracle is the layout that torch documents for convolutions, linear layers and norms. It knows of no axes.
    """
    model = wrapped(name)
    network, layers = model.network, model.network.layers
    known = producers(network)
    called = ran(network)
    order = [info.name for info in layers.values() if info.name in called]
    image = torch.rand(2, 3, *SHAPES[name])
    starts = [number for number, layer in enumerate(order) if layer in known and layers[layer].channels > 4]
    compared = 0
    with torch.no_grad():
        before = network.activations(image, order)
        for start in starts:
            makers = [number for number, layer in enumerate(order) if layer in known or layers[layer].op in FUNCTIONAL]
            stop = next((number for number in makers if number > start), len(order))
            after = moved(network, order[start], known[order[start]], image, order[start:stop])
            for layer, value in after.items():
                if order[start] == "tokens" and layer != "tokens":
                    continue  # mixes tokens: its features are tokens of the sum behind it
                compared += 1
                info, changed = layers[layer], value != before[layer]
                along = changed.movedim(info.channel_axis(value.ndim), -1).flatten(0, -2).any(0)
                # Swin joins the features of four patches.
                assert 1 <= along.sum() <= 4 and along.sum() < len(along), (order[start], layer, info.axes)  # noqa: PT018
                assert info.channels == len(along)
    assert compared > 10


def moved(network, layer: str, axis: int, image: torch.Tensor, names: list[str]) -> dict[str, torch.Tensor]:
    """Returns layers after a change of feature 2 of one layer."""

    def change(module, inputs, output):
        output = output.clone()
        output.movedim(axis, -1)[..., 2] += 3
        return output

    handle = network.layer_module(layer).register_forward_hook(change)
    try:
        return network.activations(image, names)
    finally:
        handle.remove()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_axes_of_every_layer_are_known(name: str) -> None:
    """Tuples and sums of all values have no axes of channels. All other layers that run have."""
    refused = {info.name: info.unknown for info in wrapped(name).network.layers.values() if info.unknown}
    scalars = {"sum"} if name == "Mixer" else set()
    assert {layer for layer, reason in refused.items() if "not a tensor" not in reason} == scalars


def test_tokens_are_described() -> None:
    layers = wrapped("ViT").network.layers
    block = layers["encoder.layers.encoder_layer_0"]
    assert (block.axes, block.channels) == ("NLC", 12)
    assert block.tokens == TokenGrid((6.0, 6.0), before=("class_token",))


def test_the_pass_that_finds_axes_runs_when_layers_are_looked_at(monkeypatch) -> None:
    """A wrap and a read of a module or function do not run it; it runs once."""
    runs = []
    attempt = find._attempt
    monkeypatch.setattr(find, "_attempt", lambda *args: (runs.append(1), attempt(*args)))
    model = wrapped("ConvNeXt")
    model.activations(torch.rand(1, 3, 24, 36), ["features.1.0", "features.1.0.add"])
    assert runs == []
    assert model.network.layers["features.1.0"].axes == model.network.layers["features.1.0.add"].axes == "NCHW"
    assert runs == [1]


def test_num_features_of_a_container_is_not_its_number_of_channels() -> None:
    class Backbone(nn.Sequential):
        num_features = 99

    network = nn.Sequential(Backbone(nn.Conv2d(3, 6, 3)), nn.ReLU())
    layers = modelzoo.from_torch(network, (0, 1), image_shape=(8, 9, 3)).network.layers
    assert layers["0"].channels == 6


class Constant(nn.Module):
    """A network with a layer that does not see the image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)
        self.bias = nn.Linear(2, 6)
        self.register_buffer("table", torch.rand(1, 2))

    def forward(self, image):
        return self.conv(image) + self.bias(self.table)[..., None, None]


@pytest.mark.parametrize("trace", [True, False])
def test_values_that_do_not_depend_on_the_image_are_not_listed(trace: bool) -> None:
    """They can be looked up, with the reason why they have no units."""
    layers = modelzoo.from_torch(Constant(), (0, 1), image_shape=(8, 9, 3), trace=trace).network.layers
    assert "conv" in list(layers)
    assert "bias" not in list(layers)
    with pytest.raises(ChannelAxisError, match="does not depend on the image"):
        layers["bias"].channel_axis(2)


class Joined(nn.Module):
    """A network whose last function joins images and channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3)

    def forward(self, image):
        return self.conv(image).flatten(0, 1)


def test_layouts_open_a_layer_that_is_refused() -> None:
    """The error says so, and the axes that are stated are taken."""
    refused = modelzoo.from_torch(Joined(), (0, 1), image_shape=(8, 9, 3)).network.layers["flatten"]
    with pytest.raises(ChannelAxisError, match=r"one axis joins images and channels.*layouts=\{'flatten': 'NLC'\}"):
        refused.channel_axis(3)
    layouts = {"flatten": "NCW"}
    opened = modelzoo.from_torch(Joined(), (0, 1), image_shape=(8, 9, 3), layouts=layouts).network.layers["flatten"]
    assert (opened.channel_axis(3), opened.channels, opened.unknown) == (1, 6, "")


@pytest.mark.parametrize(
    ("layouts", "error", "message"),
    [
        ({"conv": "NCCW"}, ValueError, "C for channels once"),
        ({"conv": "GHWL"}, ValueError, "C for channels once"),
        ({"conv": "NCXY"}, ValueError, "one letter for each axis"),
        ({"conv": "NCL"}, ValueError, "its value has 4 axes"),
        ({"conf": "NCHW"}, ValueError, "no layer of this name"),
        ({"conv": 3}, TypeError, "maps names of layers to letters"),
        ("NCHW", TypeError, "layouts is a dictionary"),
    ],
)
def test_wrong_layouts_are_refused(layouts, error, message: str) -> None:
    with pytest.raises(error, match=message):
        modelzoo.from_torch(Joined(), (0, 1), image_shape=(8, 9, 3), layouts=layouts)


def test_a_network_of_another_size_is_described_at_the_size_of_its_images() -> None:
    """The network does not run at `image_shape`; after a read of images of its size, all layers are described."""
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Flatten(), nn.Linear(6 * 6 * 7, 5), nn.ReLU())
    model = modelzoo.from_torch(network, (0, 1))
    assert (model.network.layers["0"].axes, model.network.layers["2"].channel_axis(2)) == ("NCHW", 1)
    assert "does not run on an input of shape (1, 3, 224, 224)" in model.network.layers["3"].unknown
    model.activations(torch.rand(1, 3, 8, 9), "3")
    assert (model.network.layers["3"].axes, model.network.layers["3"].channels) == ("NC", 5)


class _Halves(nn.Module):
    """A network whose functions return tuples and None."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, x):
        first, second = self.conv(x).chunk(2, 1)
        return first + second


def test_functions_that_return_no_tensor_are_not_listed():
    network = modelzoo.from_torch(_Halves(), (0, 1), image_shape=(9, 7, 3)).network
    assert not [name for name in network.layers if name.endswith("chunk")]
    assert network.layers["chunk:1"].channels == 4
