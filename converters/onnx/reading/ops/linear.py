"""Matrix products and convolutions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converters.onnx.reading.ops.registry import Built, Node, as_tensor, register
from converters.onnx.reading.padding import AutoPad, PaddedConv2d, PaddedConvTranspose2d

_CONVOLUTIONS: tuple[type[nn.Module], ...] = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED: tuple[type[nn.Module], ...] = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)


@register("MatMul")
def matmul(x: Tensor, y: Tensor) -> Tensor:
    return torch.matmul(x, y)


@register("Gemm", builds=True)
def linear(node: Node, *, alpha: float = 1.0, beta: float = 1.0, transA: int = 0, transB: int = 0) -> Built | None:
    weights, bias = node.constant(1), node.constant(2)
    if transA or weights is None or weights.ndim != 2 or (node.has(2) and (bias is None or bias.ndim != 1)):
        return None
    weights = weights if transB else weights.T
    if weights.dtype != np.float32 or (bias is not None and bias.shape != weights.shape[:1]):
        return None
    layer = nn.Linear(weights.shape[1], weights.shape[0], bias is not None, device="meta")
    layer.weight = nn.Parameter(as_tensor(weights * np.float32(alpha)))
    if bias is not None:
        layer.bias = nn.Parameter(as_tensor(bias * np.float32(beta)))
    return Built(layer)


@register("Gemm")
def gemm(
    a: Tensor, b: Tensor, c: Tensor | None = None, *, alpha: float = 1.0, beta: float = 1.0, transA: int = 0,
    transB: int = 0,
) -> Tensor:  # fmt: skip
    product = (a.T if transA else a) @ (b.T if transB else b)
    product = product if alpha == 1 else product * alpha
    return product if c is None else product + c * beta


@register("Einsum", since=12)
def einsum(*values: Tensor, equation: str) -> Tensor:
    return torch.einsum(equation, *values)


def padding_of(
    node: Node, axes: int, auto_pad: str, pads: Sequence[int] | None, output_shape: Sequence[int] | None = None
) -> tuple[int, ...] | AutoPad:
    """Returns the padding of windows as torch's symmetric amounts for each axis, or else as an `AutoPad`.

    Raises:
        GraphError: the padding depends on the image or is not symmetric, and the windows do not slide over two axes.
    """
    sides = tuple(pads or (0,) * (2 * axes)) if auto_pad == "NOTSET" else (0,) * (2 * axes)
    wanted = tuple(output_shape or ())[-axes:]
    if auto_pad in ("NOTSET", "VALID") and not wanted and sides[:axes] == sides[axes:]:
        return sides[:axes]
    if axes != 2:
        raise node.error(f"pads {axes} axes by {auto_pad if auto_pad != 'NOTSET' else list(sides)}; two are supported")
    top, left, bottom, right = sides
    return AutoPad("NOTSET" if auto_pad == "VALID" else auto_pad, (top, bottom, left, right), wanted or None)


def _with_weights(node: Node, layer: nn.Module) -> Built:
    weights = [node.tensor(1)] + ([node.tensor(2)] if node.has(2) else [])
    for name, tensor in zip(("weight", "bias"), weights, strict=False):
        setattr(layer, name, nn.Parameter(tensor.float()))
    return Built(layer)


def _numbers(values: Sequence[int] | None, axes: int, default: int = 1) -> tuple[int, ...]:
    return tuple(values) if values else (default,) * axes


@register("Conv", builds=True)
def conv(
    node: Node, *, auto_pad: str = "NOTSET", dilations: Sequence[int] | None = None, group: int = 1,
    kernel_shape: Sequence[int] | None = None, pads: Sequence[int] | None = None, strides: Sequence[int] | None = None,
) -> Built:  # fmt: skip
    weights = node.tensor(1)
    axes = weights.ndim - 2
    if not 1 <= axes <= 3:
        raise node.error(f"slides a window over {axes} axes; one to three are supported")
    padding = padding_of(node, axes, auto_pad, pads)
    layer = _CONVOLUTIONS[axes - 1](
        weights.shape[1] * group, weights.shape[0], tuple(weights.shape[2:]), _numbers(strides, axes),
        padding if isinstance(padding, tuple) else 0, _numbers(dilations, axes), group, node.has(2), device="meta",
    )  # fmt: skip
    built = _with_weights(node, layer)
    return built if isinstance(padding, tuple) else Built(PaddedConv2d(built.module, padding))  # type: ignore[arg-type]


@register("ConvTranspose", builds=True)
def conv_transpose(
    node: Node, *, auto_pad: str = "NOTSET", dilations: Sequence[int] | None = None, group: int = 1,
    kernel_shape: Sequence[int] | None = None, output_padding: Sequence[int] | None = None,
    output_shape: Sequence[int] | None = None, pads: Sequence[int] | None = None, strides: Sequence[int] | None = None,
) -> Built:  # fmt: skip
    weights = node.tensor(1)
    axes = weights.ndim - 2
    if not 1 <= axes <= 3:
        raise node.error(f"slides a window over {axes} axes; one to three are supported")
    padding = padding_of(node, axes, auto_pad, pads, output_shape)
    more = _numbers(output_padding, axes, 0)
    steps, gaps = _numbers(strides, axes), _numbers(dilations, axes)
    layer = _TRANSPOSED[axes - 1](
        weights.shape[0], weights.shape[1] * group, tuple(weights.shape[2:]), steps,
        padding if isinstance(padding, tuple) else 0, more, group, node.has(2), gaps, device="meta",
    )  # fmt: skip
    built = _with_weights(node, layer)
    if isinstance(padding, tuple):
        return built
    return Built(PaddedConvTranspose2d(built.module, padding))  # type: ignore[arg-type]


def convolve(x: Tensor, weight: Tensor, strides: Any, pads: Any, dilations: Any, group: int) -> Tensor:
    """Convolves with padding that may differ on the two sides: `pads` are those before all axes, then those after."""
    axes = weight.ndim - 2
    sides = [int(pad) for pad in pads or (0,) * (2 * axes)]
    flat = [amount for axis in reversed(range(axes)) for amount in (sides[axis], sides[axes + axis])]
    run = (F.conv1d, F.conv2d, F.conv3d)[axes - 1]
    return run(F.pad(x, flat), weight, None, _numbers(strides, axes), 0, _numbers(dilations, axes), group)


@register("Attention", since=23, builds=True)
def check_attention(
    node: Node, *, is_causal: int = 0, kv_num_heads: int = 0, q_num_heads: int = 0, scale: float | None = None,
    softcap: float = 0.0, softmax_precision: int = 1,
) -> None:  # fmt: skip
    if any(node.has(index) for index in range(4, 7)):
        raise node.error("reads keys and values of earlier tokens, which is not supported")


@register("Attention", since=23)
def attention(
    q: Tensor, k: Tensor, v: Tensor, mask: Tensor | None = None, *, is_causal: int = 0, kv_num_heads: int = 0,
    q_num_heads: int = 0, scale: float | None = None, softcap: float = 0.0, softmax_precision: int = 1,
) -> Tensor:  # fmt: skip
    """Attention of (N, heads, L, features) or (N, L, heads * features). The softmax is computed in float32."""
    is_flat = q.ndim == 3
    if is_flat:
        q = q.unflatten(-1, (q_num_heads, -1)).transpose(1, 2)
        k, v = (one.unflatten(-1, (kv_num_heads, -1)).transpose(1, 2) for one in (k, v))
    repeats = q.shape[1] // k.shape[1]
    if repeats > 1:
        k, v = k.repeat_interleave(repeats, 1), v.repeat_interleave(repeats, 1)
    scores = (q @ k.transpose(-1, -2)) * (q.shape[-1] ** -0.5 if scale is None else scale)
    if softcap:
        scores = softcap * torch.tanh(scores / softcap)
    if mask is not None:
        scores = scores.masked_fill(~mask, float("-inf")) if mask.dtype == torch.bool else scores + mask
    if is_causal:
        below = torch.ones(scores.shape[-2:], dtype=torch.bool, device=q.device).tril()
        scores = scores.masked_fill(~below, float("-inf"))
    nothing = torch.isneginf(scores).all(-1, keepdim=True)  # tokens that attend to nothing give zero
    y = scores.softmax(-1).masked_fill(nothing, 0.0) @ v
    return y.transpose(1, 2).flatten(2) if is_flat else y
