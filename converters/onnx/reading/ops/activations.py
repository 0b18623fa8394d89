"""Activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converters.onnx.reading.ops.registry import Built, Node, register

_MODULES: Mapping[str, Callable[[], nn.Module]] = {
    "HardSwish": nn.Hardswish,
    "Mish": nn.Mish,
    "Relu": nn.ReLU,
    "Sigmoid": nn.Sigmoid,
    "Softplus": nn.Softplus,
    "Softsign": nn.Softsign,
    "Tanh": nn.Tanh,
}
SELU_ALPHA, SELU_GAMMA = 1.67326319217681884765625, 1.05070102214813232421875


@register(*_MODULES, builds=True)
def activation(node: Node, *, op: str) -> Built:
    return Built(_MODULES[op]())


@register("LeakyRelu", builds=True)
def leaky_relu(node: Node, *, alpha: float = 0.01) -> Built:
    return Built(nn.LeakyReLU(alpha))


@register("Elu", builds=True)
def elu(node: Node, *, alpha: float = 1.0) -> Built:
    return Built(nn.ELU(alpha))


@register("Celu", builds=True)
def celu(node: Node, *, alpha: float = 1.0) -> Built:
    return Built(nn.CELU(alpha))


@register("Selu", builds=True)
def selu_module(node: Node, *, alpha: float = SELU_ALPHA, gamma: float = SELU_GAMMA) -> Built | None:
    return Built(nn.SELU()) if np.allclose((alpha, gamma), (SELU_ALPHA, SELU_GAMMA), 1e-7) else None


@register("Selu")
def selu(x: Tensor, *, alpha: float = SELU_ALPHA, gamma: float = SELU_GAMMA) -> Tensor:
    return gamma * torch.where(x > 0, x, alpha * torch.expm1(x))


@register("ThresholdedRelu")
def thresholded_relu(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return torch.where(x > alpha, x, torch.zeros_like(x))


@register("HardSigmoid")
def hard_sigmoid(x: Tensor, *, alpha: float = 0.2, beta: float = 0.5) -> Tensor:
    return (x * alpha + beta).clamp(0.0, 1.0)


@register("Shrink")
def shrink(x: Tensor, *, bias: float = 0.0, lambd: float = 0.5) -> Tensor:
    return torch.where(x < -lambd, x + bias, torch.where(x > lambd, x - bias, torch.zeros_like(x)))


@register("Swish", builds=True)
def swish_module(node: Node, *, alpha: float = 1.0) -> Built | None:
    return Built(nn.SiLU()) if alpha == 1 else None


@register("Swish")
def swish(x: Tensor, *, alpha: float = 1.0) -> Tensor:
    return x * torch.sigmoid(alpha * x)


@register("Gelu", builds=True)
def gelu(node: Node, *, approximate: str = "none") -> Built:
    return Built(nn.GELU(approximate))


@register("PRelu")
def prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x >= 0, x, x * slope)


@register("Clip", builds=True)
def clip_6(node: Node, *, min: float | None = None, max: float | None = None) -> Built | None:
    return _clip(min, max)


@register("Clip")
def clamp_6(x: Tensor, *, min: float | None = None, max: float | None = None) -> Tensor:
    return x.clamp(min, max)


@register("Clip", since=11, builds=True)
def clip(node: Node) -> Built | None:
    limits = [node.constant(index) for index in (1, 2)]
    if any(limit is None and node.has(index) for index, limit in enumerate(limits, 1)):
        return None
    return _clip(*(None if limit is None or not limit.size else limit.item() for limit in limits))


def _clip(low: Any, high: Any) -> Built | None:
    if low is None and high is None:
        return Built(nn.Identity())
    if low == 0 and high is None:
        return Built(nn.ReLU())
    return Built(nn.ReLU6()) if low == 0 and high == 6 else None


@register("Clip", since=11, is_stored=False, host="low high")
def clamp(x: Tensor, low: Any = None, high: Any = None) -> Tensor:
    limits = [None if limit is None or np.size(limit) == 0 else np.asarray(limit).item() for limit in (low, high)]
    return x if limits == [None, None] else x.clamp(*limits)


@register("Softmax", "LogSoftmax", since=13, builds=True)
def softmax(node: Node, *, op: str, axis: int = -1) -> Built:
    return Built(nn.Softmax(axis) if op == "Softmax" else nn.LogSoftmax(axis))


@register("Softmax", "LogSoftmax")
def softmax_1(x: Tensor, *, op: str, axis: int = 1) -> Tensor:
    """Up to opset 12, over all axes from `axis` on."""
    rows = x.reshape(*x.shape[: axis % max(x.ndim, 1)], -1)
    return (F.softmax(rows, -1) if op == "Softmax" else F.log_softmax(rows, -1)).reshape(x.shape)


@register("Hardmax", since=13)
def hardmax(x: Tensor, *, axis: int = -1) -> Tensor:
    return torch.zeros_like(x).scatter(axis, x.argmax(axis, keepdim=True), 1.0)


@register("Dropout", builds=True)
def dropout_1(node: Node, *, ratio: float = 0.5) -> Built:
    return Built(nn.Dropout(ratio))


@register("Dropout", since=12, builds=True)
def dropout(node: Node, *, seed: int = 0) -> Built:
    """The seed and the ratio matter in training mode only, which is refused."""
    training = node.constant(2)
    if node.has(2) and (training is None or bool(np.any(training))):
        raise node.error("is in training mode: export the network in evaluation mode (training_mode false)")
    ratio = node.constant(1)
    return Built(nn.Dropout(0.5 if ratio is None else float(np.asarray(ratio).ravel()[0])))
