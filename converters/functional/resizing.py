"""TensorFlow's image resizing with its three conventions for the positions of pixels.

legacy: output pixel i is at input position i * scale. half_pixel: at (i + 0.5) * scale - 0.5. corners: the first and
the last pixels of both images coincide. Positions are computed in float32, as in TensorFlow.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from converters.errors import InputSizeError


def resize_scale(source: int, target: int, convention: str) -> Tensor:
    """Input pixels per output pixel, a float32 scalar."""
    if convention == "corners" and target > 1:
        source, target = source - 1, target - 1
    return torch.tensor(float(source)) / float(target)


def bilinear_table(source: int, target: int, convention: str) -> tuple[Tensor, Tensor, Tensor]:
    """The indices of the input pixels below and above each output pixel along one axis, and the weight of the upper."""
    index = torch.arange(target, dtype=torch.float32)
    scale = resize_scale(source, target, convention)
    at = (index + 0.5) * scale - 0.5 if convention == "half_pixel" else index * scale
    below = at.floor()
    low = below.long().clamp(min=0)
    return low, (below.long() + 1).clamp(0, source - 1), at - below


def nearest_table(source: int, target: int, convention: str) -> Tensor:
    """The index of the input pixel for each output pixel along one axis."""
    index = torch.arange(target, dtype=torch.float32)
    at = (index + 0.5 if convention == "half_pixel" else index) * resize_scale(source, target, convention)
    at = (at + 0.5).floor() if convention == "corners" else at.floor()
    return at.long().clamp(0, source - 1)


def _lerp_axis(x: Tensor, dim: int, target: int, convention: str) -> Tensor:
    low, high, weight = (table.to(x.device) for table in bilinear_table(x.shape[dim], target, convention))
    below = x.index_select(dim, low)
    weight = weight.to(x.dtype)
    return below + (x.index_select(dim, high) - below) * (weight[:, None] if dim == 2 else weight)


def resize(x: Tensor, size: Sequence[int], method: str, convention: str) -> Tensor:
    """TensorFlow's ResizeBilinear and ResizeNearestNeighbor of (N, C, H, W).

    Args:
        x: (N, C, H, W).
        size: the new (height, width).
        method: `bilinear` or `nearest`.
        convention: `legacy`, `half_pixel` (half_pixel_centers) or `corners` (align_corners).

    Returns:
        (N, C, height, width).

    Raises:
        InputSizeError: the old or the new size is not positive.
    """
    height, width = size
    if min(height, width, *x.shape[-2:]) < 1:
        raise InputSizeError(f"it resizes images of {list(x.shape[-2:])} to {list(size)}")
    if method == "bilinear":
        return _lerp_axis(_lerp_axis(x, 3, width, convention), 2, height, convention)
    rows, columns = (nearest_table(x.shape[dim], n, convention).to(x.device) for dim, n in ((2, height), (3, width)))
    return x.index_select(2, rows).index_select(3, columns)
