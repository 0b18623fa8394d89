"""Rules of captum's DeepLift for converted layers.

DeepLift looks up rules by the exact class of a layer, and takes the plain gradient of all other layers without a word.
So the rules of torch's classes are entered for the converted layers that derive from them.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn

from converters import functional
from converters.layers import LAYERS, MaxPool2d

Rule = Callable[..., Tensor]


def enter_rules() -> None:
    """Enters the rules into captum's table, if DeepLift is imported; entries of the user stay."""
    deep_lift: Any = sys.modules.get("captum.attr._core.deep_lift")
    if deep_lift is None:
        return
    rules: dict[type[nn.Module], Rule] | None = getattr(deep_lift, "SUPPORTED_NON_LINEAR", None)
    if rules is None:
        warnings.warn("This captum has no table of rules: its DeepLift takes plain gradients here.", stacklevel=3)
        return
    for layer in LAYERS.values():
        inherited = next((rules[base] for base in layer.__mro__ if base in rules), None)
        if inherited is not None:
            rules.setdefault(layer, _max_pool_rule(deep_lift.maxpool) if layer is MaxPool2d else inherited)


def _max_pool_rule(rule: Rule) -> Rule:
    """Returns captum's rule of max pools for TensorFlow's padding, which the pool's input gets first."""

    def pads(module: MaxPool2d, size: tuple[int, ...]) -> tuple[int, ...]:
        return functional.spatial_padding(size, module.kernel_size, module.stride, (1, 1), module.tensorflow_padding)

    def apply(module: MaxPool2d, *values: Tensor, eps: float = 1e-10) -> Tensor:
        kernel, stride = module.kernel_size, module.stride

        def pool(x: Tensor, *_: Any) -> tuple[Tensor, Tensor]:
            top, bottom, left, right = pads(module, x.shape[-2:])
            x = F.pad(x, (left, right, top, bottom), value=-math.inf)
            return F.max_pool2d_with_indices(x, kernel, stride)

        def unpool(values: Tensor, indices: Tensor, *arguments: Any) -> Tensor:
            count, channels, height, width = arguments[-1]
            top, bottom, left, right = pads(module, (height, width))
            padded = [count, channels, height + top + bottom, width + left + right]
            return F.max_unpool2d(values, indices, kernel, stride, 0, padded)[
                ..., top : top + height, left : left + width
            ]

        return rule(module, pool, unpool, *values, eps=eps)

    return apply
