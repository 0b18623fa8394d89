"""Values without an axis of channels, lambda layers, states of recurrent layers, and layers that `layouts=` opens."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.get_activations import get_activations
from lucid_port.optvis import objectives, render


def images(height: int, width: int, count: int = 2) -> torch.Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(3)) / 2 + 0.25


def value_of(model, objective, batch) -> float:
    vis = render.make_vis_T(model, objective, lambda: batch.clone().requires_grad_(), transforms=[])
    return float(vis.evaluate([objective])[0])


class OneHead(nn.Module):
    """Attention with one head, whose map has no axis of heads; and parts of the image without channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 4, 4)
        self.gray = nn.Identity()
        self.map = nn.Identity()
        self.colors = nn.Identity()
        self.apart = nn.Identity()

    def forward(self, image):
        x = self.conv(image).flatten(2)
        gray = self.gray(image[:, 0] * 0.3 + image[:, 1] * 0.6 + image[:, 2] * 0.1)
        colors = self.colors(torch.stack([gray, gray.sin(), gray.cos(), gray.exp()], 1))
        apart = self.apart(gray.unsqueeze(-1))
        attended = x @ self.map((x.transpose(1, 2) @ x).softmax(-1)).transpose(1, 2)
        return attended.mean((1, 2)) + colors.mean((1, 2, 3)) + apart.mean((1, 2, 3))


@pytest.fixture(name="one_head")
def _one_head():
    torch.manual_seed(0)
    return from_torch(OneHead().eval(), (0, 1), image_shape=(8, 12, 3))


def test_values_without_an_axis_of_channels_are_one_channel(one_head) -> None:
    layers, batch = one_head.network.layers, images(8, 12)
    found = {name: (layers[name].axes, layers[name].channels) for name in ("gray", "map", "colors", "apart")}
    assert found == {"gray": ("NHW", 1), "map": ("NLL", 1), "colors": ("NCHW", 4), "apart": ("NHWC", 1)}
    own = one_head.activations(batch, ["gray", "map", "colors", "apart"])
    wanted = float(own["map"][:, 4, 1].mean())
    assert value_of(one_head, objectives.neuron("map", 0, 4, 1), batch) == pytest.approx(wanted, rel=1e-5)
    wanted = float(own["gray"][:, 3, 7].mean())
    for layer in ("gray", "apart"):
        assert value_of(one_head, objectives.neuron(layer, 0, 3, 7), batch) == pytest.approx(wanted, rel=1e-5)
        assert value_of(one_head, objectives.channel(layer, 0, 1), batch) == pytest.approx(
            float(own["gray"][1].mean()), rel=1e-5
        )
    wanted = float(batch[:, 0].mul(0.3).add(batch[:, 1] * 0.6).add(batch[:, 2] * 0.1).cos()[:, 3, 7].mean())
    assert value_of(one_head, objectives.neuron("colors", 2, 3, 7), batch) == pytest.approx(wanted, rel=1e-5)
    with pytest.raises(IndexError, match="has no channel 1"):
        value_of(one_head, objectives.channel("gray", 1), batch)


def test_get_activations_of_one_channel_have_a_channel_axis(one_head) -> None:
    batch = images(8, 12)
    found = get_activations(one_head, "gray", batch.permute(0, 2, 3, 1).numpy())
    assert found.shape == (2, 8, 12, 1)
    own = one_head.activations(batch, ["gray"])["gray"]
    torch.testing.assert_close(torch.as_tensor(found[..., 0]), own)


class Lambda(nn.Module):
    """The convolution of a lambda layer: its kernel has size 1 along the axis of the values' features."""

    def __init__(self) -> None:
        super().__init__()
        self.values = nn.Conv2d(3, 5, 2, 2)
        self.positions = nn.Conv3d(1, 4, (3, 3, 1), padding=(1, 1, 0))
        self.read = nn.Identity()

    def forward(self, image):
        v = self.values(image)
        positions = self.positions(v.permute(0, 2, 3, 1)[:, None])  # (N, K, H, W, V)
        return self.read(positions.sum(1) + v.permute(0, 2, 3, 1))


def test_a_kernel_of_size_1_keeps_the_features_of_its_axis() -> None:
    torch.manual_seed(0)
    model, batch = from_torch(Lambda().eval(), (0, 1), image_shape=(8, 12, 3)), images(8, 12)
    layers = model.network.layers
    assert (layers["positions"].channel_axis(5), layers["positions"].channels) == (1, 4)
    assert (layers["read"].axes, layers["read"].channels) == ("NHWC", 5)
    wanted = float(model.activations(batch, ["read"])["read"][..., 3].mean())
    assert value_of(model, objectives.channel("read", 3), batch) == pytest.approx(wanted, rel=1e-5)


class Recurrent(nn.Module):
    """A recurrent layer over patches, whose states after the last patch classify the image."""

    def __init__(self, kind: type[nn.Module], batch_first: bool, bidirectional: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 4, 4)
        self.rnn = kind(6, 7, num_layers=2, batch_first=batch_first, bidirectional=bidirectional)
        self.fc = nn.Linear(7, 3)

    def forward(self, image):
        x = self.conv(image).flatten(2)
        _, state = self.rnn(x.transpose(1, 2) if self.rnn.batch_first else x.permute(2, 0, 1))
        return self.fc((state[0] if type(self.rnn) is nn.LSTM else state)[-1])


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, nn.RNN])
def test_states_of_recurrent_layers_have_features_last(kind, batch_first, bidirectional) -> None:
    torch.manual_seed(0)
    network, batch = Recurrent(kind, batch_first, bidirectional).eval(), images(8, 12)
    model = from_torch(network, (0, 1), image_shape=(8, 12, 3))
    names = ["rnn:1:0", "rnn:1:1"] if kind is nn.LSTM else ["rnn:1"]
    seen = []
    network.rnn.register_forward_hook(lambda *call: seen.append(call[2][1]))
    with torch.no_grad():
        network(batch)
    states = seen[-1] if kind is nn.LSTM else [seen[-1]]
    for name, state in zip(names, states, strict=True):
        assert (model.network.layers[name].axes, model.network.layers[name].channels) == ("GNC", 7)
        wanted = float(state[1, :, 5].mean())  # the states are (layers * directions, images, features)
        assert value_of(model, objectives.channel(name, 5, head=1), batch) == pytest.approx(wanted, rel=1e-4, abs=1e-6)
    assert model.network.layers["fc"].axes == "NC"


# Refused layers ---------------------------------------------------------------------------------

REFUSED = {
    "timm/csatv2": (1140, 28),  # its spatial attention multiplies the images of a batch with each other
    "timm/lambda_resnet50ts": (584, 0),
    "timm/shvit_s1": (574, 0),
    "transformers/MobileViTForImageClassification": (529, 12),  # joins images, channels and rows to one axis
    "segmentation_models_pytorch/MAnet": (256, 1),  # adds features to tokens that it takes for channels
}


@pytest.mark.slow
@pytest.mark.parametrize("name", REFUSED)
def test_layers_that_are_refused_open_with_layouts(name: str, monkeypatch) -> None:
    from parity_tests.docs import ROOT

    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    import coverage_networks

    entry = coverage_networks.entry(name)
    torch.manual_seed(0)
    network = entry.build().eval().requires_grad_(False)
    layers = dict(entry.model(network).network.layers)
    refused = {layer: info for layer, info in layers.items() if info.unknown}
    assert len(refused) <= REFUSED[name][1], {layer: info.unknown for layer, info in refused.items()}
    assert len(layers) >= 0.9 * REFUSED[name][0]
    if not refused:
        return
    height, width, channels = entry.shape
    x = torch.rand(1, channels, height, width)
    with torch.no_grad():
        own = entry.model(network).network.activations(x, list(refused))
    layouts = {layer: "N" + "G" * (value.ndim - 2) + "C" for layer, value in own.items()}
    options = {**(entry.options or {}), "layouts": layouts}
    opened = from_torch(network, (0, 1), image_shape=entry.shape, **options)
    for layer, value in own.items():
        info = opened.network.layers[layer]
        assert not info.unknown
        assert info.channels_first(value).shape[1] == value.shape[-1]
    layer = next(iter(own))
    found = value_of(opened, objectives.channel(layer, -1), x)
    with torch.no_grad():
        wanted = float(opened.activations(x, [layer])[layer][..., -1].mean())
    assert found == pytest.approx(wanted, rel=1e-4, abs=1e-6)
