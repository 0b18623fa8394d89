"""Biases and normalizations of channels."""

from __future__ import annotations

from typing import Any

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
        return functional.add_bias(x, self.bias)


class BatchNorm(nn.BatchNorm2d):
    """FusedBatchNorm at inference, with the stored mean and variance, also in training mode.

    Attributes:
        running_mean, running_var: other names of the buffers `mean` and `variance`.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, channels: int, epsilon: float) -> None:
        nn.Module.__init__(self)  # the buffers of torch's constructor have other names
        self.num_features, self.eps, self.momentum = channels, epsilon, 0.0
        self.affine = self.track_running_stats = True
        self.num_batches_tracked = None
        self.epsilon = epsilon
        self.weight = nn.Parameter(torch.empty(channels))
        self.bias = nn.Parameter(torch.empty(channels))
        self.register_buffer("mean", torch.empty(channels))
        self.register_buffer("variance", torch.empty(channels))

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(x, self.mean, self.variance, self.weight, self.bias, eps=self.epsilon)

    @property
    def running_mean(self) -> Tensor:
        return self.mean

    @running_mean.setter
    def running_mean(self, value: Tensor) -> None:
        self.mean = value

    @property
    def running_var(self) -> Tensor:
        return self.variance

    @running_var.setter
    def running_var(self, value: Tensor) -> None:
        self.variance = value

    def reset_running_stats(self) -> None:
        self.mean.zero_()
        self.variance.fill_(1)

    def _load_from_state_dict(self, *arguments: Any) -> None:
        nn.Module._load_from_state_dict(self, *arguments)  # torch's own adds a count of batches

    def extra_repr(self) -> str:
        return ""


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
