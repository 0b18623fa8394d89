"""Defects of models, converted graphs and traced networks."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F

from converters import functional, layers
from converters.lowering import lower

# `Patches.everywhere` replaces a function in every module that is loaded: these hold copies of names that are patched.
from converters.lowering.ops import elementwise, linear  # noqa: F401 - so that patches reach them
from converters.tracing.traced import LayerGraph
from lucid_port.modelzoo import hooks, vision_base, vision_models  # noqa: F401 - so that patches reach its classes
from parity_tests.mutations.patching import Patches
from parity_tests.mutations.registry import CONTRACT, MODELS, NETWORK, OPS, mutation

# Models ---------------------------------------------------------------------------------------


@mutation(MODELS, "bgr")
def no_bgr_flip(p: Patches) -> None:
    """Models that expect BGR input get RGB."""
    p.attribute(vision_base.Model, "create_input", lambda self, image: self._low + image * self._span)


@mutation(MODELS, "bgr")
def bgr_flip_after_the_range(p: Patches) -> None:
    """The range of values is applied before the channels are reversed."""

    def create_input(self: Any, image: torch.Tensor) -> torch.Tensor:
        mapped = self._low + image * self._span
        return mapped.flip(1) if self.is_BGR else mapped

    p.attribute(vision_base.Model, "create_input", create_input)


# Converted graphs -----------------------------------------------------------------------------


@mutation(OPS, "lrn")
def lrn_constants_swapped(p: Patches) -> None:
    """LRN uses bias as beta."""
    original = functional.local_response_norm
    p.everywhere(original, lambda x, band, bias, beta: original(x, band, beta, bias))


@mutation(OPS, "lrn")
def lrn_alpha_divided_by_the_window(p: Patches) -> None:
    """LRN divides alpha by the number of channels in the window, as Caffe and torch do."""
    original = functional.lrn_band
    p.everywhere(original, lambda channels, radius, alpha: original(channels, radius, alpha / (2 * radius + 1)))


@mutation(NETWORK, "every_layer_has and seeded-97x161")
def lrn_left_out(p: Patches) -> None:
    """InceptionV1 without its local response normalisation, as in other ports."""
    p.attribute(layers.LocalResponseNorm, "forward", lambda self, x: x)


@mutation(OPS, "conv-7 or conv-3-stride or Pool-3")
def symmetric_same_padding(p: Patches) -> None:
    """SAME padding is the same on both sides, as a fixed `padding=` in torch."""

    def amounts(size: int, kernel: int, stride: int, dilation: int = 1) -> tuple[int, int]:
        half = (kernel - 1) * dilation // 2
        return half, half

    p.everywhere(functional.padding_amounts, amounts)


@mutation(OPS, "conv-7 or conv-3-stride or Pool-3")
def same_padding_starts_with_the_larger_half(p: Patches) -> None:
    """An odd row of SAME padding goes to the top instead of the bottom."""
    original = functional.padding_amounts
    p.everywhere(original, lambda *args: original(*args)[::-1])


@mutation(OPS, "MaxPool")
def max_pool_padded_with_zeros(p: Patches) -> None:
    """A max pool's padding is zero, which wins over negative values."""

    def pool(x: torch.Tensor, kernel: Any, stride: Any, padding: Any = "SAME") -> torch.Tensor:
        top, bottom, left, right = functional.spatial_padding(x.shape[-2:], kernel, stride, (1, 1), padding)
        return F.max_pool2d(F.pad(x, (left, right, top, bottom)), tuple(kernel), tuple(stride))

    p.everywhere(functional.max_pool2d, pool)


@mutation(OPS, "AvgPool")
def avg_pool_counts_padding(p: Patches) -> None:
    """An average pool divides by the whole window at the border, too."""

    def pool(x: torch.Tensor, kernel: Any, stride: Any, padding: Any = "SAME") -> torch.Tensor:
        top, bottom, left, right = functional.spatial_padding(x.shape[-2:], kernel, stride, (1, 1), padding)
        return F.avg_pool2d(F.pad(x, (left, right, top, bottom)), tuple(kernel), tuple(stride))

    p.everywhere(functional.avg_pool2d, pool)


@mutation(OPS, "dense or reshape")
def flatten_in_nchw_order(p: Patches) -> None:
    """Images are flattened channel by channel before fully connected layers."""

    def reshape(x: torch.Tensor, shape: Any, *layouts: str) -> torch.Tensor:
        flat = x.reshape(tuple(shape))
        return flat.permute(0, 3, 1, 2) if flat.dim() == 4 else flat

    p.everywhere(functional.reshape, reshape)


@mutation(f"{OPS} {NETWORK}", "Concat or (every_layer_has and seeded-97x161)")
def concat_order_swapped(p: Patches) -> None:
    """The last two towers of a concatenation are swapped."""

    def forward(self: Any, *towers: torch.Tensor) -> torch.Tensor:
        return torch.cat((*towers[:-2], towers[-1], towers[-2]), self.dim)

    p.attribute(layers.Concat, "forward", forward)


@mutation(f"{OPS} {NETWORK}", "Concat or (every_layer_has and seeded-97x161)")
def pre_relu_of_relus(p: Patches) -> None:
    """`_pre_relu` concatenates the outputs of the ReLUs."""
    p.everywhere(lower._before_relu, lambda graph, tower: tower)


@mutation(OPS, "BatchNorm")
def torchs_batch_norm_epsilon(p: Patches) -> None:
    """Batch norm takes torch's epsilon, not the graph's."""

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        return F.batch_norm(x, self.mean, self.variance, self.weight, self.bias)

    p.attribute(layers.BatchNorm, "forward", forward)


@mutation(OPS, "ResizeBilinear")
def resized_by_half_pixels(p: Patches) -> None:
    """Bilinear resizing has half-pixel centres in every convention, as in torch."""
    original = functional.resize
    p.everywhere(original, lambda x, size, method, convention: original(x, size, method, "half_pixel"))


@mutation(OPS, "DepthToSpace or SpaceToDepth")
def depth_in_torchs_order(p: Patches) -> None:
    """Blocks of positions are laid out within each channel, as torch's pixel shuffle does."""
    p.everywhere(functional.depth_to_space, F.pixel_shuffle)
    p.everywhere(functional.space_to_depth, F.pixel_unshuffle)


@mutation(OPS, "NCHW")
def layout_is_not_looked_at(p: Patches) -> None:
    """Every graph is taken for NHWC at its input."""
    p.everywhere(lower.input_layout, lambda graph, reached: "NHWC")


@mutation(OPS, "transposed")
def transposed_convolution_cut_at_the_end(p: Patches) -> None:
    """All rows of SAME padding are cut off a transposed convolution's end."""
    original = functional.conv2d_transpose

    def transpose(x: torch.Tensor, weight: torch.Tensor, size: Any, stride: Any, padding: Any, dilation: Any) -> Any:
        if padding == "SAME":
            full = F.conv_transpose2d(x, weight, stride=tuple(stride), dilation=tuple(dilation))
            return F.pad(full, (0, size[1] - full.shape[-1], 0, size[0] - full.shape[-2]))
        return original(x, weight, size, stride, padding, dilation)

    p.everywhere(original, transpose)


@mutation(OPS, "sizes-resize-by-fraction")
def sizes_in_double_precision(p: Patches) -> None:
    """Sizes that a graph scales are computed in float64, where 10 * 0.7 is less than 7."""
    p.everywhere(functional.float32, lambda number: number)


@mutation(OPS, "ties-M")
def ties_share_the_gradient(p: Patches) -> None:
    """Where two values are equal, both get half of the maximum's gradient, as in torch."""
    p.everywhere(functional.maximum, torch.maximum)


@mutation(OPS, "depthwise")
def depthwise_multiplier_first(p: Patches) -> None:
    """Depthwise filters are laid out multiplier by multiplier, not channel by channel."""
    original = layers.Conv2d.forward

    def forward(self: Any, x: torch.Tensor) -> torch.Tensor:
        y = original(self, x)
        if self.groups == 1:
            return y
        count, _, height, width = y.shape
        return y.reshape(count, self.groups, -1, height, width).transpose(1, 2).reshape(y.shape)

    p.attribute(layers.Conv2d, "forward", forward)


# Networks -------------------------------------------------------------------------------------


@mutation(CONTRACT, "gradients_between_layers")
def traced_layers_off_the_path(p: Patches) -> None:
    """Hooks on a traced layer that is overwritten in place get a copy, which later layers do not read."""
    original = LayerGraph._handed_out

    def handed_out(self: Any, piece: Any, value: Any, *rest: Any) -> Any:
        first, second = original(self, piece, value, *rest)
        return second, first

    p.attribute(LayerGraph, "_handed_out", handed_out)


@mutation(CONTRACT, "gradients_between_layers")
def hooked_layers_off_the_path(p: Patches) -> None:
    """Hooks get a copy of a layer's output, which later layers do not read."""
    p.attribute(hooks._Reading, "_kept", lambda self, name, output: output.clone())


@mutation(CONTRACT, "together")
def overwritten_layers_stay(p: Patches) -> None:
    """Hooks get tensors as they are after the pass, including later changes in place."""
    p.attribute(hooks._Reading, "overwritten", lambda self: set())
