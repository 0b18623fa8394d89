"""The axes of values, against networks whose axes are known by construction."""

from __future__ import annotations

import functools
import random

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from converters.program.layer_info import TokenGrid
from converters.tracing.axes import find_axes

SIZE = (1, 3, 24, 36)  # patches of 6 x 6 form a grid of 4 x 6


def axes_of(module: nn.Module, shape=SIZE, layout: str = "NCHW"):
    """Returns what is found for the values that a network's `forward(image, report)` reports."""
    found = find_axes(module, module, shape, layout)
    assert not found.failure
    return found.values


class Steps(nn.Module):
    """A network of one function, with the layers that it uses."""

    def __init__(self, function, **layers: nn.Module) -> None:
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)
        self.function = function
        self.eval()

    def forward(self, image, report):
        return self.function(self, image, report)


def letters(function, **layers: nn.Module):
    """Returns the axes and the channels of the value that a function of (modules, image) returns."""
    network = Steps(lambda own, image, report: report("it", function(own, image)), **layers)
    found = axes_of(network)["it"]
    return found.unknown or (found.axes, found.channels)


def patches() -> nn.Module:
    return nn.Conv2d(3, 12, 6, 6)


def tokens(own, image):
    return own.conv(image).flatten(2).transpose(1, 2)


CASES = {
    "convolution": (lambda m, x: m.conv(x), ("NCHW", 12)),
    "transposed convolution": (lambda m, x: F.conv_transpose2d(x, torch.ones(3, 7, 2, 2)), ("NCHW", 7)),
    "three dimensions": (lambda m, x: F.conv3d(x[:, :, None], torch.ones(5, 3, 1, 1, 1)), ("NCTHW", 5)),
    "one dimension": (lambda m, x: F.conv1d(x.flatten(2), torch.ones(5, 3, 1)), ("NCL", 5)),
    "channels last": (lambda m, x: m.conv(x).permute(0, 2, 3, 1), ("NHWC", 12)),
    "places to tokens": (lambda m, x: tokens(m, x), ("NLC", 12)),
    "linear on tokens": (lambda m, x: m.linear(tokens(m, x)), ("NLC", 20)),
    "linear on places": (lambda m, x: m.linear(m.conv(x).permute(0, 2, 3, 1)), ("NHWC", 20)),
    "first tokens": (lambda m, x: tokens(m, x).transpose(0, 1), ("LNC", 12)),
    "back to places": (lambda m, x: tokens(m, x).reshape(-1, 4, 6, 12).permute(0, 3, 1, 2), ("NCHW", 12)),
    "pooled": (lambda m, x: m.conv(x).mean((2, 3)), ("NC", 12)),
    "pooled, kept": (lambda m, x: F.adaptive_avg_pool2d(m.conv(x), 1), ("NCHW", 12)),
    "features of an image": (lambda m, x: m.conv(x).flatten(1), ("NC", 288)),
    "heads": (lambda m, x: tokens(m, x).unflatten(2, (3, 4)).transpose(1, 2), ("NGLC", 4)),
    "queries of heads": (
        lambda m, x: m.triple(tokens(m, x)).reshape(-1, 24, 3, 4, 5).permute(2, 0, 3, 1, 4)[0],
        ("NGLC", 5),
    ),
    "map of attention": (
        lambda m, x: (q := tokens(m, x).unflatten(2, (3, 4)).transpose(1, 2)) @ q.transpose(-2, -1),
        ("NCLL", 3),
    ),
    "attention": (
        lambda m, x: F.scaled_dot_product_attention(*[tokens(m, x).unflatten(2, (3, 4)).transpose(1, 2)] * 3)
        .transpose(1, 2)
        .flatten(2),
        ("NLC", 12),
    ),
    "torch's attention": (lambda m, x: m.attention(*[tokens(m, x)] * 3)[0], ("NLC", 12)),
    "windows": (
        lambda m, x: x.permute(0, 2, 3, 1).reshape(-1, 4, 6, 6, 6, 3).transpose(2, 3).reshape(-1, 36, 3),
        ("NLC", 3),
    ),
    "mixed tokens": (lambda m, x: m.mix(tokens(m, x).transpose(1, 2)), ("NGC", 24)),
    "mixed tokens and the residual": (
        lambda m, x: tokens(m, x) + m.mix(tokens(m, x).transpose(1, 2)).transpose(1, 2),
        ("NLC", 12),
    ),
    "gate of tokens": (
        lambda m, x: tokens(m, x) * m.mix(tokens(m, x).transpose(1, 2)).transpose(1, 2),
        ("NLC", 12),
    ),
    "joined channels": (lambda m, x: torch.cat([x, m.conv(x).mean((2, 3), keepdim=True).expand(-1, -1, 24, 36)], 1),
                        ("NCHW", 15)),
    "shuffled channels": (
        lambda m, x: m.conv(x).unflatten(1, (3, 4)).transpose(1, 2).flatten(1, 2),
        ("NCHW", 12),
    ),
    "pixel shuffle": (lambda m, x: F.pixel_shuffle(m.conv(x), 2), ("NCHW", 3)),
    "patches of pixels": (lambda m, x: F.unfold(x, 6, stride=6).transpose(1, 2), ("NLC", 108)),
    "a kernel for each image": (
        lambda m, x: F.conv2d(x.reshape(1, -1, 24, 36), m.kernels(x.mean((2, 3))).reshape(-1, 3, 1, 1),
                              groups=x.shape[0]).reshape(-1, 5, 24, 36),
        ("NCHW", 5),
    ),
    "spectrum": (lambda m, x: torch.fft.irfft2(torch.fft.rfft2(m.conv(x)) * 2, s=(4, 6)), ("NCHW", 12)),
    "resized": (lambda m, x: F.interpolate(m.conv(x), scale_factor=2), ("NCHW", 12)),
    "padded and rolled": (lambda m, x: F.pad(m.conv(x).permute(0, 2, 3, 1), (0, 0, 1, 1)).roll(2, 2), ("NHWC", 12)),
    "index": (lambda m, x: tokens(m, x)[:, torch.arange(24).flip(0)[:7]], ("NLC", 12)),
    "chosen embeddings": (lambda m, x: m.embedding((x.mean(1) > 0).long()), ("NHWC", 8)),
    "written in parts": (
        lambda m, x: torch.stack([y := torch.zeros_like(x), y[:, 1:].copy_(x[:, :2])][:1], -1)[..., 0],
        ("NCHW", 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_axes_follow_functions_and_layers(case: str) -> None:
    """The last letters are those of the layout that torch documents, and channels those of the layer before."""
    layers = {
        "conv": patches(),
        "linear": nn.Linear(12, 20),
        "triple": nn.Linear(12, 60),
        "mix": nn.Linear(24, 24),
        "kernels": nn.Linear(3, 15),
        "embedding": nn.Embedding(2, 8),
        "attention": nn.MultiheadAttention(12, 3, batch_first=True),
    }
    function, expected = CASES[case]
    assert letters(function, **layers) == expected


REFUSED = {
    "images and channels in one axis": (lambda m, x: x.flatten(0, 1), "one axis joins images and channels"),
    "channels around places": (lambda m, x: x.flatten(1, 2), "one axis joins channels and places"),
    "channels added to tokens": (
        lambda m, x: x[..., :3, :3].mean(2) + x[..., :3, :3].mean(2).mT,
        "an elementwise function joins an axis of channels with one of columns",
    ),
    "operator without a rule": (lambda m, x: torch.linalg.svdvals(x), "there is no rule for the operator _linalg_svd"),
    "images inside of rows": (
        lambda m, x: x.transpose(0, 1).transpose(1, 2).flatten(1, 2),
        "an axis has the images inside other axes",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_axes_that_cannot_be_told_are_refused_with_the_reason(case: str) -> None:
    """The sentence names the function or the axes that are joined."""
    function, reason = REFUSED[case]
    found = letters(function)
    assert found == reason


def test_a_convolution_has_known_axes_behind_a_value_that_has_none() -> None:
    """Only the values between the function without a rule and the next convolution are refused."""

    def forward(own, image, report):
        report("sorted", odd := torch.linalg.pinv(image).transpose(2, 3))
        report("conv", own.conv(odd))

    found = axes_of(Steps(forward, conv=patches()))
    assert (found["sorted"].unknown != "", found["conv"].axes) == (True, "NCHW")


class Classed(nn.Module):
    """Tokens with a class token before the patches, and register tokens behind them."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = patches()
        self.cls_token = nn.Parameter(torch.rand(1, 1, 12))
        self.registers = nn.Parameter(torch.rand(1, 2, 12))
        self.position = nn.Parameter(torch.rand(1, 27, 12))

    def forward(self, image, report):
        x = tokens(self, image)
        expanded = self.cls_token.expand(len(x), -1, -1)
        x = torch.cat([expanded, x, self.registers.repeat(len(x), 1, 1)], 1) + self.position
        report("all", x)
        report("patches", x[:, 1:-2])
        report("places", x[:, 1:-2].reshape(-1, 4, 6, 12))
        report("class", x[:, 0])
        report("without registers", x[:, :-2])
        report("constant", self.position * 2)


def test_tokens_have_names_and_a_grid() -> None:
    """Slices keep the names of the tokens that they keep; the patches alone are places again."""
    found = axes_of(Classed())
    grid = TokenGrid((6.0, 6.0), ("cls_token",), ("registers.0", "registers.1"))
    assert (found["all"].axes, found["all"].tokens) == ("NLC", grid)
    assert found["without registers"].tokens == TokenGrid((6.0, 6.0), ("cls_token",))
    assert (found["patches"].axes, found["patches"].tokens) == ("NLC", TokenGrid((6.0, 6.0)))
    assert (found["places"].axes, found["class"].axes) == ("NHWC", "NC")


def test_values_that_do_not_depend_on_the_image_are_told_apart() -> None:
    found = axes_of(Classed())
    assert [name for name, axes in found.items() if not axes.depends] == ["constant"]


def test_a_token_of_the_grid_sees_its_patch() -> None:
    """A change of one pixel moves the token at the pixel's place in the grid, and no other."""
    network = Classed()
    grid = axes_of(network)["all"].tokens
    rows, columns = grid.places(27, 24, 36)
    image = torch.rand(1, 3, 24, 36)
    changed = image.clone()
    changed[0, 0, 13, 20] += 1
    values = []
    for x in (image, changed):
        network(x, lambda name, value: values.append(value) if name == "all" else None)
    moved = (values[0] != values[1]).any(2).nonzero()[:, 1].tolist()
    row, column = 13 // 6, 20 // 6
    assert moved == [len(grid.before) + row * columns + column]
    assert (rows, columns) == (4, 6)


def test_other_layouts_of_the_input() -> None:
    """A batch of clips has times, and a batch of waveforms has one axis of places."""
    clips = Steps(lambda own, x, report: report("it", own.conv(x)), conv=nn.Conv3d(3, 4, 3))
    waves = Steps(lambda own, x, report: report("it", own.conv(x)), conv=nn.Conv1d(1, 4, 3))
    assert axes_of(clips, (1, 3, 5, 8, 9), "NCTHW")["it"].axes == "NCTHW"
    assert axes_of(waves, (1, 1, 50), "NCT")["it"].axes == "NCT"


# The network stays as it is ------------------------------------------------------------------


@functools.lru_cache(maxsize=4)
def cached_grid(size: int) -> torch.Tensor:
    return torch.arange(float(size))


class Writing(nn.Module):
    """A network that writes buffers, attributes, a dictionary and a cache, and draws random numbers."""

    def __init__(self, reads_values: bool) -> None:
        super().__init__()
        self.register_buffer("count", torch.zeros(1))
        self.register_buffer("replaced", torch.zeros(1))
        self.cache: dict[str, torch.Tensor] = {}
        self.conv = nn.Conv2d(3, 4, 3)
        self.reads_values = reads_values

    def forward(self, image, report):
        self.count += 1
        self.replaced = image.mean((0, 1, 2))[:1]
        self.last = image
        self.cache.setdefault("grid", cached_grid(image.shape[-1]) * 2)
        x = image + self.cache["grid"] + torch.rand(1) + random.random()
        if self.reads_values and float(x.sum()) < -1e9:
            return
        report("conv", self.conv(x))


@pytest.mark.parametrize("reads_values", [False, True])
def test_the_network_stays_as_it_is(reads_values: bool) -> None:
    """Buffers, attributes, caches, hooks and random numbers are those of a network that was not described.

    A network that reads values cannot run with fake tensors, so a real pass describes it.
    """
    network = Writing(reads_values)
    seen: list[torch.Tensor] = []
    network.conv.register_forward_hook(lambda module, inputs, output: seen.append(output))
    cached_grid.cache_clear()
    torch.manual_seed(3)
    random.seed(3)
    before = set(network.__dict__), network.replaced
    assert axes_of(network)["conv"].axes == "NCHW"
    drawn = torch.rand(3), random.random()
    torch.manual_seed(3)
    random.seed(3)
    assert torch.equal(drawn[0], torch.rand(3))
    assert drawn[1] == random.random()
    assert (set(network.__dict__), network.replaced) == before
    assert (float(network.count), network.cache, seen) == (0, {}, [])
    assert type(cached_grid(36)) is torch.Tensor
    network.conv(torch.rand(1, 3, 24, 36))
    assert len(seen) == 1


def test_a_network_that_fails_tells_the_values_before_the_error() -> None:
    network = Steps(lambda own, x, report: (report("conv", own.conv(x)), own.linear(x)),
                    conv=patches(), linear=nn.Linear(7, 2))  # fmt: skip
    found = find_axes(network, network, SIZE)
    assert found.values["conv"].axes == "NCHW"
    assert "(1, 3, 24, 36)" in found.failure
    assert "RuntimeError" in found.failure


def test_a_network_of_one_image_is_described() -> None:
    """A network that reshapes to one image cannot run on two."""

    def forward(own, x, report):
        y = own.conv(x).reshape(1, 12, 24)
        report("it", y.transpose(1, 2))

    found = axes_of(Steps(forward, conv=patches()))["it"]
    assert (found.axes, found.channels) == ("NLC", 12)
