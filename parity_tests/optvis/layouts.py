"""Networks whose layers have their channels on any axis, described by hand, with the plain feature of each layer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from converters.network.request import LayeredNetwork, LayerRequest
from converters.program.layer_info import LayerInfo, Layers, TokenGrid, module_of
from lucid_port.modelzoo.vision_base import Model

HEIGHT, WIDTH, PATCH, FEATURES = 12, 20, 4, 7  # 3 x 5 patches
ROWS, COLUMNS = HEIGHT // PATCH, WIDTH // PATCH
PATCHES = ROWS * COLUMNS
GRID = TokenGrid((PATCH, PATCH))
WITH_CLASS = TokenGrid((PATCH, PATCH), ("cls_token",), ("register_1", "register_2"))


@dataclass(frozen=True)
class Case:
    """A layer.

    Attributes:
        info: its description.
        arrange: maps features (N, FEATURES, ROWS, COLUMNS) of patches to the layer's tensor.
        feature: maps the layer's tensor and a number to the plain feature, by an index into the tensor.
        places: maps the same to [N, ROWS, COLUMNS]; None if the layer has no places.
    """

    info: LayerInfo
    arrange: Callable[[Tensor], Tensor]
    feature: Callable[[Tensor, int], Tensor]
    places: Callable[[Tensor, int], Tensor] | None = None


def _tokens(x: Tensor) -> Tensor:
    return x.flatten(2).transpose(1, 2)  # (N, L, C)


def _with_others(x: Tensor) -> Tensor:
    tokens = _tokens(x)
    first, last = tokens.mean(1, keepdim=True), tokens[:, -2:].sin()
    return torch.cat([first, tokens, last], 1)


def _maps(x: Tensor) -> Tensor:
    return torch.einsum("ncl,ncm->nclm", x.flatten(2)[:, :3], x.flatten(2)[:, 1:4])  # (N, heads, L, L)


def _groups(x: Tensor) -> Tensor:
    return torch.stack([_tokens(x), _tokens(x).cos()], 1)  # (N, G, L, C)


def _windows(x: Tensor) -> Tensor:
    return _tokens(x).unflatten(1, (ROWS, COLUMNS)).flatten(0, 1)  # (N * windows, L, C)


def _blocks(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).flatten(0, 1)[:, None]  # (N * windows, H, W, C), a window for each row of patches


def _case(name: str, axes: str, arrange: Callable[[Tensor], Tensor], feature, places=None, **more) -> Case:
    info = LayerInfo(name, "Layer", more.pop("channels", FEATURES), name, axes=axes, **more)
    return Case(info, arrange, feature, places)


def _grid(values: Tensor) -> Tensor:
    return values.unflatten(1, (ROWS, COLUMNS))


CASES = {
    case.info.name: case
    for case in (
        _case("NCHW", "NCHW", lambda x: x, lambda v, k: v[:, k], lambda v, k: v[:, k]),
        _case("NHWC", "NHWC", lambda x: x.permute(0, 2, 3, 1), lambda v, k: v[..., k], lambda v, k: v[..., k]),
        _case("NLC", "NLC", _tokens, lambda v, k: v[..., k], lambda v, k: _grid(v[..., k]), tokens=GRID),
        _case(
            "class",
            "NLC",
            _with_others,
            lambda v, k: v[..., k],
            lambda v, k: _grid(v[:, 1 : 1 + PATCHES, k]),
            tokens=WITH_CLASS,
        ),
        _case(
            "led",
            "NLC",
            lambda x: _with_others(x)[:, : 1 + PATCHES],
            lambda v, k: v[..., k],
            lambda v, k: _grid(v[:, 1:, k]),
            tokens=TokenGrid((PATCH, PATCH), ("cls_token",)),
        ),
        _case("no_grid", "NLC", lambda x: _tokens(x)[:, :11], lambda v, k: v[..., k]),
        _case("misfit", "NLC", lambda x: _tokens(x)[:, :11], lambda v, k: v[..., k], tokens=WITH_CLASS),
        _case(
            "LNC",
            "LNC",
            lambda x: _tokens(x).transpose(0, 1),
            lambda v, k: v[..., k].T,
            lambda v, k: _grid(v[..., k].T),
            tokens=GRID,
        ),
        _case("NCL", "NCL", lambda x: x.flatten(2), lambda v, k: v[:, k], lambda v, k: _grid(v[:, k]), tokens=GRID),
        _case("NCLL", "NCLL", _maps, lambda v, k: v[:, k], lambda v, k: v[:, k], channels=3),
        _case("NGLC", "NGLC", _groups, lambda v, k: v[..., k]),
        _case("windows", "NLC", _windows, lambda v, k: v[..., k].unflatten(0, (-1, ROWS)).flatten(1)),
        _case("blocks", "NHWC", _blocks, lambda v, k: v[..., k].unflatten(0, (-1, ROWS)).flatten(1)),
        _case("rows", "NC", lambda x: _tokens(x).flatten(0, 1), lambda v, k: v[:, k].unflatten(0, (-1, PATCHES))),
        _case("dense", "NC", lambda x: x.mean((2, 3)), lambda v, k: v[:, k]),
        _case("rank3", "", _tokens, lambda v, k: v[..., k]),
    )
}
"""Layers by name. `rank3` is one of a TensorFlow graph, whose last axis has the channels."""

UNKNOWN = LayerInfo("unknown", "mystery", None, "", unknown="'mystery' mixes its axes")


class Described(LayeredNetwork):
    """A network that computes every case from seeded features of patches."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.kernel = nn.Parameter(torch.randn(FEATURES, 3, PATCH, PATCH, generator=generator) / 4, False)
        self.layers = Layers([*(case.info for case in CASES.values()), UNKNOWN])
        self.passes = 0

    def compute(self, x: Tensor, request: LayerRequest) -> dict[str, Tensor]:
        self.passes += 1
        features = torch.conv2d(x, self.kernel, stride=PATCH).tanh()
        made = {name: self.layers[name].name for name in request.names}
        return {
            name: _tokens(features) if own == "unknown" else CASES[own].arrange(features) for name, own in made.items()
        }


def model() -> Model:
    """Returns a model of the cases."""
    return Model(network=Described(), image_value_range=(-1, 1), image_shape=(HEIGHT, WIDTH, 3))


def images(count: int, seed: int = 0) -> Tensor:
    """Returns random images (count, 3, HEIGHT, WIDTH) in [0.25, 0.75]."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, HEIGHT, WIDTH, generator=generator) / 2 + 0.25


class Chain(LayeredNetwork):
    """A classifier: features of patches (`places`), the same as tokens (`tokens`, last axis), `norm` and `logits`."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Conv2d(3, FEATURES, PATCH, PATCH)
        self.norm = nn.LayerNorm(FEATURES, elementwise_affine=False)
        self.affine = nn.LayerNorm(FEATURES)
        nn.init.uniform_(self.affine.weight, 0.5, 1.5)
        self.head = nn.Linear(FEATURES, 4)
        self.requires_grad_(False)
        self.layers = Layers(
            [
                LayerInfo("places", "Conv2d", FEATURES, "features", axes="NCHW"),
                LayerInfo("tokens", "transpose", FEATURES, "", axes="NLC", tokens=GRID),
                LayerInfo("norm", "LayerNorm", FEATURES, "norm", axes="NLC", tokens=GRID),
                LayerInfo("affine", "LayerNorm", FEATURES, "affine", axes="NLC", tokens=GRID),
                LayerInfo("logits", "Linear", 4, "head", axes="NC"),
            ]
        )

    def layer_module(self, name: str) -> nn.Module:
        return module_of(self, self.layers[name])

    def compute(self, x: Tensor, request: LayerRequest) -> dict[str, Tensor]:
        given, values = dict(request.interventions), {}

        def layer(name: str, value: Tensor) -> Tensor:
            values[name] = given.get(name, value)
            return values[name]

        tokens = layer("tokens", _tokens(layer("places", 8 * self.features(x).sigmoid())))
        layer("affine", self.affine(tokens))
        layer("logits", self.head(layer("norm", self.norm(tokens)).square().tanh().mean(1) + tokens[:, 4]))
        return {name: values[name] for name in request.names}


def chain() -> Model:
    """Returns a model of `Chain`."""
    return Model(network=Chain(), image_value_range=(-1, 1), image_shape=(HEIGHT, WIDTH, 3))
