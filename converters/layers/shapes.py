"""Layers that join, move, count and multiply values."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from converters import functional


class Linear(nn.Module):
    """MatMul with a constant matrix."""

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(out_features, in_features))

    def forward(self, x: Tensor) -> Tensor:
        return functional.linear(x, self.weight)


class Concat(nn.Module):
    """Concat and ConcatV2; `dim` counts torch's axes (1 for the channels of NCHW)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, *towers: Tensor) -> Tensor:
        return functional.concat(towers, self.dim)


class Reshape(nn.Module):
    """Reshape; `shape` and the order of the values are TensorFlow's (NHWC)."""

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.shape = tuple(shape)

    def forward(self, x: Tensor) -> Tensor:
        return functional.reshape(x, self.shape)


class Squeeze(nn.Module):
    """Squeeze of torch's axes `dims`."""

    def __init__(self, dims: Sequence[int]) -> None:
        super().__init__()
        self.dims = tuple(dims)

    def forward(self, x: Tensor) -> Tensor:
        return x.squeeze(self.dims)


class Mean(nn.Module):
    """Mean over torch's axes `dims`."""

    def __init__(self, dims: Sequence[int], keepdim: bool = False) -> None:
        super().__init__()
        self.dims, self.keepdim = tuple(dims), keepdim

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(self.dims, self.keepdim)


class Pad(nn.Module):
    """Pad with a constant; `padding` is in the order of `torch.nn.functional.pad` (last axis first)."""

    def __init__(self, padding: Sequence[int], value: float = 0.0) -> None:
        super().__init__()
        self.padding, self.value = tuple(padding), value

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x, self.padding, value=self.value)
