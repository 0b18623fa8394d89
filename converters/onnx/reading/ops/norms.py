"""Normalizations."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converters.layers import LocalResponseNorm
from converters.onnx.reading.ops.registry import Built, Node, register
from converters.program.validation import MAX_BAND

_BATCH_NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}
_INSTANCE_NORMS = {3: nn.InstanceNorm1d, 4: nn.InstanceNorm2d, 5: nn.InstanceNorm3d}


def _require_inference(node: Node, is_training: bool) -> None:
    if is_training:
        raise node.error(
            "is in training mode, where images of a batch depend on each other: export the network in evaluation mode"
        )


def _batch_norm(node: Node, epsilon: float, momentum: float) -> Built | None:
    kind = _BATCH_NORMS.get(node.rank() or 0)
    if kind is None or any(node.constant(index) is None for index in range(1, 5)):
        return None
    scale = node.tensor(1).float()
    layer = kind(scale.shape[0], eps=epsilon, momentum=1 - round(momentum, 6))  # as float64, not as float32
    layer.weight, layer.bias = nn.Parameter(scale), nn.Parameter(node.tensor(2).float())
    layer.running_mean, layer.running_var = node.tensor(3).float(), node.tensor(4).float()
    return Built(layer)


@register("BatchNormalization", builds=True, since=7)
def batch_norm_7(node: Node, *, epsilon: float = 1e-5, momentum: float = 0.9, spatial: int = 1) -> Built | None:
    """Up to opset 13, further outputs mean training mode."""
    _require_inference(node, len(node.proto.output) > 1)
    if not spatial:
        raise node.error("normalizes each place on its own (spatial=0), which is not supported")
    return _batch_norm(node, epsilon, momentum)


@register("BatchNormalization", builds=True, since=14)
def batch_norm(node: Node, *, epsilon: float = 1e-5, momentum: float = 0.9, training_mode: int = 0) -> Built | None:
    _require_inference(node, bool(training_mode))
    return _batch_norm(node, epsilon, momentum)


@register("BatchNormalization", since=7)
def batch_norm_of_values(
    x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor, *, epsilon: float = 1e-5,
    momentum: float = 0.9, spatial: int = 1, training_mode: int = 0,
) -> Tensor:  # fmt: skip
    """Momentum matters in training mode only. The builders refuse the other values of `spatial` and `training_mode`."""
    return F.batch_norm(x, mean, variance, scale, bias, eps=epsilon)


@register("InstanceNormalization", builds=True)
def instance_norm_module(node: Node, *, epsilon: float = 1e-5) -> Built | None:
    kind = _INSTANCE_NORMS.get(node.rank() or 0)
    if kind is None or node.constant(1) is None or node.constant(2) is None:
        return None
    scale = node.tensor(1).float()
    layer = kind(scale.shape[0], eps=epsilon, affine=True)
    layer.weight, layer.bias = nn.Parameter(scale), nn.Parameter(node.tensor(2).float())
    return Built(layer)


@register("InstanceNormalization")
def instance_norm(x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5) -> Tensor:
    return F.instance_norm(x, weight=scale, bias=bias, eps=epsilon)


@register("GroupNormalization", builds=True, since=21)
def group_norm_module(node: Node, *, epsilon: float = 1e-5, num_groups: int, stash_type: int = 1) -> Built | None:
    if node.constant(1) is None or node.constant(2) is None:
        return None
    scale = node.tensor(1).float()
    layer = nn.GroupNorm(num_groups, scale.shape[0], epsilon)
    layer.weight, layer.bias = nn.Parameter(scale), nn.Parameter(node.tensor(2).float())
    return Built(layer)


@register("GroupNormalization", since=18)
def group_norm_18(x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5, num_groups: int) -> Tensor:
    """In opset 18, scale and bias are per group."""
    repeats = x.shape[1] // num_groups
    return F.group_norm(x, num_groups, scale.repeat_interleave(repeats), bias.repeat_interleave(repeats), epsilon)


@register("GroupNormalization", since=21)
def group_norm(
    x: Tensor, scale: Tensor, bias: Tensor, *, epsilon: float = 1e-5, num_groups: int, stash_type: int = 1
) -> Tensor:
    return F.group_norm(x, num_groups, scale, bias, epsilon)


@register("LayerNormalization", builds=True, since=17)
def layer_norm_module(node: Node, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> Built | None:
    """All types are computed in float32, which is the meaning of `stash_type` 1."""
    scale, bias = node.constant(1), node.constant(2)
    rank = node.rank()
    over = -axis if axis < 0 else None if rank is None else rank - axis
    if scale is None or (node.has(2) and bias is None) or over != scale.ndim:
        return None
    layer = nn.LayerNorm(tuple(scale.shape), epsilon)
    layer.weight = nn.Parameter(node.tensor(1).float())
    layer.bias = nn.Parameter(node.tensor(2).float() if node.has(2) else torch.zeros(scale.shape))
    return Built(layer)


@register("LayerNormalization", since=17)
def layer_norm(
    x: Tensor, scale: Tensor, bias: Tensor | None = None, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1
) -> Tensor:
    y = F.layer_norm(x, x.shape[axis:], eps=epsilon) * scale
    return y if bias is None else y + bias


@register("RMSNormalization", since=23)
def rms_norm(x: Tensor, scale: Tensor, *, axis: int = -1, epsilon: float = 1e-5, stash_type: int = 1) -> Tensor:
    return F.rms_norm(x, x.shape[axis:], eps=epsilon) * scale


@register("LpNormalization")
def lp_norm(x: Tensor, *, axis: int = -1, p: int = 2) -> Tensor:
    """Where all values are zero, the result is zero."""
    norm = x.norm(p, axis, keepdim=True)
    return x / torch.where(norm == 0, torch.ones_like(norm), norm)


@register("MeanVarianceNormalization", since=9)
def mean_variance_norm(x: Tensor, *, axes: Sequence[int] = (0, 2, 3)) -> Tensor:
    centred = x - x.mean(tuple(axes), keepdim=True)
    return centred / (x.square().mean(tuple(axes), keepdim=True) - x.mean(tuple(axes), keepdim=True) ** 2).sqrt().add(
        1e-9
    )


@register("LRN", builds=True)
def local_response_norm_module(
    node: Node, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, size: int
) -> Built | None:
    if size % 2 == 0 or node.rank() not in (None, 4):
        return None
    channels = (node.sizes.get(node.proto.input[0]) or [None, None])[1]
    if channels is not None and channels <= MAX_BAND:  # computes the same sum several times faster
        return Built(LocalResponseNorm(channels, size // 2, float(bias), alpha / size, beta))
    return Built(nn.LocalResponseNorm(size, alpha, beta, bias))


@register("LRN")
def local_response_norm(x: Tensor, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, size: int) -> Tensor:
    """A window of even length reaches one channel further up than down."""
    squares = x.square().movedim(1, -1)
    rows = F.pad(squares, ((size - 1) // 2, size // 2)).unfold(-1, size, 1).sum(-1)
    return x / (bias + alpha / size * rows.movedim(-1, 1)) ** beta
