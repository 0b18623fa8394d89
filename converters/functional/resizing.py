"""TensorFlow's image resizing in its three conventions of where pixels lie.

legacy: output pixel i lies at i * scale. half_pixel: at (i + 0.5) * scale - 0.5. corners: the first and the last pixels
of both images coincide. Positions are computed in float32, as TensorFlow does.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from converters.errors import InputSizeError


def resize_scale(source: int, target: int, convention: str) -> Tensor:
    """Input pixels to an output pixel, float32."""
    if convention == "corners" and target > 1:
        source, target = source - 1, target - 1
    return torch.tensor(float(source)) / float(target)


def bilinear_table(source: int, target: int, convention: str) -> tuple[Tensor, Tensor, Tensor]:
    """For each output pixel along one axis: the input pixels on both sides, and the weight of the upper one."""
    index = torch.arange(target, dtype=torch.float32)
    scale = resize_scale(source, target, convention)
    at = (index + 0.5) * scale - 0.5 if convention == "half_pixel" else index * scale
    below = at.floor()
    low = below.long().clamp(min=0)
    return low, (below.long() + 1).clamp(0, source - 1), at - below


def nearest_table(source: int, target: int, convention: str) -> Tensor:
    """For each output pixel along one axis: the input pixel that it is."""
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
        x: the images.
        size: (height, width) to resize to.
        method: `bilinear` or `nearest`.
        convention: `legacy`, `half_pixel` (half_pixel_centers) or `corners` (align_corners).

    Raises:
        InputSizeError: the size is none.
    """
    height, width = size
    if min(height, width, *x.shape[-2:]) < 1:
        raise InputSizeError(f"it resizes images of {list(x.shape[-2:])} to {list(size)}")
    if method == "bilinear":
        return _lerp_axis(_lerp_axis(x, 3, width, convention), 2, height, convention)
    rows, columns = (nearest_table(x.shape[dim], n, convention).to(x.device) for dim, n in ((2, height), (3, width)))
    return x.index_select(2, rows).index_select(3, columns)
