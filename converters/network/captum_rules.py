"""Rules of captum's DeepLift for converted layers.

DeepLift looks up rules by the exact class of a layer, and takes the plain gradient of all other layers without a word.
So rules are entered for the converted layers whose torch class has one.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable
from typing import Any

import torch
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
    table: dict[type[nn.Module], Rule] | None = getattr(deep_lift, "SUPPORTED_NON_LINEAR", None)
    if table is None:
        warnings.warn("This captum has no table of rules: its DeepLift takes plain gradients here.", stacklevel=3)
        return
    for layer in LAYERS.values():
        inherited = next((table[base] for base in layer.__mro__ if base in table), None)
        if inherited is not None:
            table.setdefault(layer, _max_pool if layer is MaxPool2d else inherited)


def _max_pool(
    module: MaxPool2d, inputs: Tensor, outputs: Tensor, grad_input: Tensor, grad_output: Tensor, eps: float = 1e-10
) -> Tensor:
    """The rescale rule of max pools: the change goes to the maximum of the image and that of the baseline.

    captum's own rule reads torch's padding, and keeps only one of several windows with the same maximum.

    Args:
        module: the layer.
        inputs: (2 * N, C, H, W), the images' values, then those of the baselines.
        outputs: (2 * N, C, height, width).
        grad_input: gradient with respect to the inputs.
        grad_output: gradient with respect to the outputs.
        eps: least change of an input for which the rule applies.

    Returns:
        The gradient that replaces `grad_input`.
    """
    own, baseline = outputs.chunk(2)
    greatest = torch.maximum(own, baseline)
    changes = torch.cat([greatest - baseline, own - greatest]) * grad_output
    size = inputs.shape[-2:]
    top, bottom, left, right = functional.spatial_padding(
        size, module.kernel_size, module.stride, (1, 1), module.tensorflow_padding
    )
    padded = F.pad(inputs, (left, right, top, bottom), value=-math.inf)
    _, positions = F.max_pool2d_with_indices(padded, module.kernel_size, module.stride)
    shares = torch.zeros_like(padded, memory_format=torch.contiguous_format).flatten(2)
    shares = shares.scatter_add(2, positions.flatten(2), changes.flatten(2)).reshape(padded.shape)
    of_image, of_baseline = shares[..., top : top + size[0], left : left + size[1]].chunk(2)
    image, reference = inputs.chunk(2)
    step = image - reference
    multiplier = (of_image + of_baseline) / step
    return torch.where(torch.cat([step, step]).abs() < eps, grad_input, torch.cat([multiplier, multiplier]))
