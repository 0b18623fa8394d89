"""Sizes, strides and receptive fields, against images with rows and columns that are not numbers.

A value becomes NaN exactly if it reads a NaN: no weight, ReLU or maximum hides it.
"""

from __future__ import annotations

import logging
import math
import pickle

import pytest
import torch
from torch import nn

from converters import InputSizeError
from lucid_port.modelzoo.from_torch import from_torch
from lucid_port.modelzoo.summary import Summary, _measured, summary
from lucid_port.modelzoo.vision_models import TinyInceptionV1


def middle_fields(model, axes, shape):
    """(first, last) row and column that the middle place of each layer reads, by NaNs; None if it reads none.

    `axes` has the letters of each layer's axes.
    """
    read = {name: ([], []) for name in axes}
    for direction, size in enumerate(shape[:2]):
        for place in range(size):
            image = torch.zeros(1, shape[2], *shape[:2])
            image[0].select(direction + 1, place)[:] = math.nan
            with torch.no_grad():
                values = model.network.activations(image, list(axes))
            for name, value in values.items():
                spatial = tuple(value.shape[k] // 2 for k, letter in enumerate(axes[name]) if letter in "HW")
                if value[(0, slice(None), *spatial)].isnan().any():
                    read[name][direction].append(place)
    ends = {name: tuple((min(found), max(found)) for found in both if found) for name, both in read.items()}
    return {name: both if len(both) == 2 else None for name, both in ends.items()}


class Residual(nn.Module):
    """A block as in ResNet, in place."""

    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, groups=2)
        self.down = nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x):
        out = self.conv2(self.relu(self.bn1(self.conv1(x))))
        out += self.down(x)
        return self.relu(out)


def resnet():
    return nn.Sequential(
        nn.Conv2d(3, 4, 7, 2, 3), nn.MaxPool2d(3, 2, 1), Residual(4, 6, 1), Residual(6, 8, 2), nn.AdaptiveAvgPool2d(1)
    )


def uneven():
    return nn.Sequential(
        nn.Conv2d(3, 4, (3, 1), (2, 1)),
        nn.Conv2d(4, 4, (1, 5), dilation=(1, 2), padding=(0, 3)),
        nn.AvgPool2d((2, 3), ceil_mode=True),
        nn.ZeroPad2d((1, 2, 0, 3)),
        nn.ConvTranspose2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 0)),
        nn.ReflectionPad2d(1),
        nn.LocalResponseNorm(3),
        nn.Conv2d(6, 6, 3, groups=6),
        nn.PixelShuffle(1),
        nn.AdaptiveAvgPool2d((3, 4)),
    )


NETWORKS = {"resnet": resnet, "uneven": uneven}


@pytest.mark.parametrize(("kind", "size"), [("resnet", (61, 90)), ("resnet", (96, 96)), ("uneven", (41, 34))])
def test_fields_are_the_pixels_that_a_value_reads(kind, size):
    torch.manual_seed(1)
    model = from_torch(NETWORKS[kind](), (0, 1), image_shape=(*size, 3))
    found = _measured(model, (*size, 3))
    assert set(found) == set(model.network.layers)
    expected = middle_fields(model, {name: one.axes for name, one in found.items()}, (*size, 3))
    assert {name: one.field() for name, one in found.items()} == expected
    assert all(one.marks.is_exact for one in found.values())


@pytest.mark.parametrize("size", [(96, 96), (107, 98)])
def test_fields_of_a_converted_network(size):
    model = TinyInceptionV1()
    found = _measured(model, (*size, 3))
    names = ["conv2d0", "maxpool0", "localresponsenorm1", "mixed3a_5x5", "mixed3a", "mixed4a_pool", "softmax2"]
    expected = middle_fields(model, {name: found[name].axes for name in names}, (*size, 3))
    assert {name: found[name].field() for name in names} == expected
    assert set(found) == set(model.network.layers)
    assert all(one.marks.is_exact for one in found.values())


def test_a_size_that_the_network_does_not_take():
    with pytest.raises(InputSizeError, match="head0_pool"):
        TinyInceptionV1().summary((75, 62, 3))


def test_fields_are_where_the_gradient_is_not_zero():
    """Of a network without maxima, with positive weights: gradients cannot cancel."""
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 5, 2, 2), nn.Sigmoid(), nn.AvgPool2d(3, 2), nn.Upsample(scale_factor=2, mode="bilinear"),
        nn.Conv2d(4, 4, 3, dilation=2), nn.Upsample(scale_factor=3), nn.Conv2d(4, 2, 3),
    )  # fmt: skip
    for weight in network.parameters():
        weight.data.abs_()
    model = from_torch(network, (0, 1), image_shape=(45, 38, 3))
    found = _measured(model, (45, 38, 3))
    for name, one in found.items():
        image = torch.full((1, 3, 45, 38), 0.1, dtype=torch.float32, requires_grad=True)
        value = model.network.activations(image, [name])[name]
        value[0, :, value.shape[2] // 2, value.shape[3] // 2].sum().backward()
        seen = image.grad[0].abs().sum(0) > 0
        rows, columns = seen.any(1).nonzero().flatten(), seen.any(0).nonzero().flatten()
        assert one.field() == ((int(rows[0]), int(rows[-1])), (int(columns[0]), int(columns[-1]))), name


def test_sizes_strides_and_fields_of_a_resnet():
    """Field and stride of each convolution by hand: f' = f + (k - 1) s, s' = s * stride."""
    found = from_torch(resnet(), (0, 1), image_shape=(64, 96, 3)).summary()
    rows = {layer.name: (layer.size_text, layer.stride_text, layer.field_text) for layer in found}
    assert rows["0"] == ("4, 32 x 48", "2", "7")
    assert rows["1"] == ("4, 16 x 24", "4", "11")
    assert rows["2.conv1"] == ("6, 16 x 24", "4", "19")
    assert rows["2"] == ("6, 16 x 24", "4", "27")
    assert rows["3.conv1"] == ("8, 8 x 12", "8", "35")
    assert rows["3.down"] == ("8, 8 x 12", "8", "27")
    assert rows["3"] == ("8, 8 x 12", "8", "51")
    assert rows["4"] == ("8, 1 x 1", "", "all")


def test_a_field_that_is_larger_than_the_image_is_measured_on_a_larger_one():
    found = TinyInceptionV1().summary()
    assert found["mixed5a"].field == (587, 587)
    assert found["mixed5a"].stride == (32, 32)
    assert found["mixed5a"].places == (3, 3)
    assert found["softmax2"].is_whole


class Gated(nn.Module):
    """Squeeze-and-excitation: each value reads the whole image, but places keep their stride."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 4, 1)
        self.squeeze = nn.AdaptiveAvgPool2d(1)
        self.excite = nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.conv(x)
        return x * self.excite(self.squeeze(x)).sigmoid()


def test_a_gate_reads_the_whole_image_and_keeps_the_stride():
    found = from_torch(nn.Sequential(Gated(), nn.Conv2d(4, 2, 3)), (0, 1), image_shape=(40, 48, 3)).summary()
    assert [found[name].field_text for name in ("0.conv", "0.squeeze", "0", "1")] == ["3", "all", "all", "all"]
    assert [found[name].stride_text for name in ("0.conv", "0.squeeze", "0", "1")] == ["4", "", "4", "4"]


class Tokens(nn.Module):
    """Patches as tokens, with attention among them."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 8, 8)
        self.norm = nn.LayerNorm(8)
        self.block = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)

    def forward(self, x):
        return self.block(self.norm(self.patches(x).flatten(2).transpose(1, 2)))


def test_attention_reads_the_whole_image():
    found = from_torch(Tokens(), (0, 1), image_shape=(40, 40, 3)).summary()
    assert (found["norm"].channels, found["norm"].tokens) == (8, 25)
    assert (found["norm"].field, found["norm"].stride) == ((8, 8), (8, 8))
    assert found["block"].is_whole
    assert torch.backends.mha.get_fastpath_enabled()


class Maps(nn.Module):
    """Attention over patches of 4 x 4 pixels, whose maps are values of the network."""

    def __init__(self, heads, keys=None):
        super().__init__()
        self.patches, self.heads, self.keys = nn.Conv2d(3, 8, 4, 4), heads, keys
        self.query, self.key = nn.Linear(8, 8), nn.Linear(8, 8)

    def forward(self, x):
        tokens = self.patches(x).flatten(2).transpose(1, 2)
        q, k = self.query(tokens), self.key(tokens[:, : self.keys])
        if self.heads > 1:
            q, k = (one.unflatten(2, (self.heads, -1)).transpose(1, 2) for one in (q, k))
        return (q @ k.transpose(-2, -1)).softmax(-1)


def gradient_field(model, name, place):
    """(height, width) of the pixels at which the gradient of an element of a layer is not zero."""
    image = torch.rand(1, 3, 20, 28, generator=torch.Generator().manual_seed(0)).requires_grad_()
    value = model.network.activations(image, [name])[name]
    (gradient,) = torch.autograd.grad(value[(0, ..., *place)].sum(), image)
    rows, columns = gradient[0].abs().sum(0).nonzero().unbind(1)
    return int(rows.max() - rows.min()) + 1, int(columns.max() - columns.min()) + 1


def test_the_field_of_a_map_is_that_of_the_middle_token_as_query_and_key():
    torch.manual_seed(0)
    model = from_torch(Maps(2).eval(), (0, 1), image_shape=(20, 28, 3))
    found = model.summary()
    middle = (5 * 7) // 2
    assert found["matmul"].field == gradient_field(model, "matmul", (middle, middle)) == (4, 4)
    assert (found["matmul"].is_exact, found["matmul"].is_cut) == (True, False)
    assert found["softmax"].is_whole
    assert gradient_field(model, "softmax", (middle, middle)) == (20, 28)


def test_the_field_of_a_map_of_one_head():
    torch.manual_seed(0)
    model = from_torch(Maps(1).eval(), (0, 1), image_shape=(20, 28, 3))
    found = model.summary()
    assert found["matmul"].field == gradient_field(model, "matmul", ((5 * 7) // 2, (5 * 7) // 2)) == (4, 4)
    assert found["softmax"].field_text == "all"  # each element reads the keys of all tokens


def test_sizes_that_a_network_refuses_are_not_logged():
    """torch logs errors of runs on fake tensors to standard error."""
    log, lines = logging.getLogger("torch._subclasses.fake_tensor"), []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())
    log.addHandler(handler)
    level = log.level
    try:
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 18 * 26, 5))
        assert from_torch(network, (0, 1), image_shape=(20, 28, 3)).summary()["2"].channels == 5
    finally:
        log.removeHandler(handler)
    assert lines == []
    assert log.level == level


class Partly(nn.Module):
    """A function without a rule, and a layer that does not run."""

    def __init__(self):
        super().__init__()
        self.conv, self.unused = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 1)

    def forward(self, x):
        return torch.fft.fft2(self.conv(x)).abs()


def test_a_function_without_a_rule_gives_a_bound_and_layers_that_do_not_run_are_left_out():
    found = from_torch(Partly(), (0, 1), image_shape=(17, 21, 3)).summary()
    assert found["conv"].field_text == "3"
    assert found["abs"].field_text == "<= all"
    assert "unused" not in [layer.name for layer in found]


class Sliced(nn.Module):
    """Writes into a part of a value in place."""

    def __init__(self):
        super().__init__()
        self.conv, self.last = nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.conv(x)
        x[:, :2] += torch.nn.functional.avg_pool2d(x[:, 2:], 3, 1, 1)
        return self.last(x)


def test_a_part_that_is_overwritten_in_place_gives_a_bound():
    found = from_torch(Sliced(), (0, 1), image_shape=(15, 15, 3), trace=False).summary()
    assert found["conv"].field == (1, 1)
    assert not found["last"].is_exact
    assert found["last"].is_whole or found["last"].field >= (3, 3)


def test_a_summary_is_a_table_and_leaves_the_network_as_it_was():
    network = resnet()
    state = {key: value.clone() for key, value in network.state_dict().items()}
    model = from_torch(network, (0, 1), image_shape=(33, 47, 3))
    found = summary(model)
    lines = str(found).splitlines()
    assert lines[0] == "Model, image 3, 33 x 47"
    assert lines[1].split() == ["name", "op", "channels,", "size", "stride", "receptive", "field"]
    assert len(lines) == 2 + len(found)
    assert str(found) in found._repr_html_().replace("&lt;", "<").replace("&gt;", ">")
    assert isinstance(found, Summary)
    assert found[0].name == "0"
    torch.testing.assert_close(network.state_dict(), state, rtol=0, atol=0)
    assert not any(module._forward_hooks for module in network.modules())
    assert type(network[0].weight) is nn.Parameter


def test_layers_of_a_torch_model_are_listed():
    model = from_torch(resnet(), (0, 1), image_shape=(33, 47, 3))
    layers = {layer.name: layer for layer in model.layers}
    assert list(layers) == [name for name, info in model.network.layers.items() if info.channels is not None]
    assert layers["2.conv1"].depth == 6
    assert layers["2.conv1"].tags == {"conv"}
    assert model.get_layer("2.conv1") == layers["2.conv1"]
    assert [layer.name for layer in pickle.loads(pickle.dumps(model)).layers] == list(layers)
    with pytest.raises(KeyError, match="lists no layer 'mixed'"):
        model.get_layer("mixed")
