"""Biases and normalizations of channels."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converters import functional


class Bias(nn.Module):
    """BiasAdd: adds one number to each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + (self.bias[:, None, None] if x.dim() == 4 else self.bias)


class BatchNorm(nn.Module):
    """FusedBatchNorm at inference, with the stored mean and variance."""

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, epsilon: float) -> None:
        super().__init__()
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.register_buffer("mean", torch.empty(channels))
        self.register_buffer("variance", torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.mean, self.variance, self.weight, self.bias, eps=self.epsilon)


class LocalResponseNorm(nn.Module):
    """LRN with TensorFlow's attributes: alpha is not divided by the window's length."""

    band: Tensor

    def __init__(self, channels: int, depth_radius: int, bias: float, alpha: float, beta: float) -> None:
        super().__init__()
        self.bias, self.beta = bias, beta
        band = functional.lrn_band(channels, depth_radius, alpha)
        self.register_buffer("band", band, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.local_response_norm(x, self.band, self.bias, self.beta)
