"""Tensors interpolated from smaller tensors, and Laplacian pyramids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.optvis.param.base import (
    Memo,
    Parameterization,
    channels_first,
    channels_last,
    deviation,
    draw_normal,
    parameterization,
    total,
)
from lucid_port.optvis.param.resize_bilinear_nd import resize_bilinear_nd
from lucid_port.optvis.sampling import RandomSource

__all__ = ["laplacian_pyramid_image", "lowres_tensor", "offset_tensor"]


def offset_tensor(tensor: torch.Tensor, offsets: Sequence[int]) -> torch.Tensor:
    """Shifts a tensor towards the end of each axis; the gap is filled with the mirrored start, edge included.

    Raises:
        ValueError: An offset is negative or larger than its axis.
    """
    for axis, offset in enumerate(offsets):
        size = tensor.shape[axis]
        if not 0 <= offset <= size:
            raise ValueError(f"An offset of {offset} does not fit an axis of size {size}.")
        if offset:
            source = np.concatenate([np.arange(offset)[::-1], np.arange(size)])[:size]
            index = torch.from_numpy(source.copy()).to(tensor.device)
            tensor = tensor.index_select(axis, index)
    return tensor


class _Lowres(Parameterization):
    """Parameters: `underlying`, channels first."""

    def __init__(self, shape: Sequence[int], underlying: Sequence[int], offsets: Sequence[int], sd: float) -> None:
        super().__init__()
        self._shape, self._small, self._offsets = tuple(shape), tuple(underlying), tuple(offsets)
        self._sd = sd
        self.underlying = torch.nn.Parameter(channels_first(torch.zeros(self._small)).contiguous())

    def draw(self, source: RandomSource) -> None:
        value = draw_normal(source, "underlying", self._small, self._sd)
        with torch.no_grad():
            self.underlying.copy_(channels_first(value))

    def compute(self, memo: Memo) -> torch.Tensor:
        tensor = resize_bilinear_nd(channels_last(self.underlying), self._shape)
        return channels_first(offset_tensor(tensor, self._offsets))


Offset: TypeAlias = bool | int | Sequence[bool | int | None] | None


def _offsets(shape: Sequence[int], underlying: Sequence[int], offset: Offset) -> list[int]:
    entries = list(offset) if isinstance(offset, (list, tuple)) else [offset] * len(shape)
    if len(entries) != len(shape):
        raise ValueError(f"{len(entries)} offsets were given for {len(shape)} axes.")
    amounts = []
    for size, small, entry in zip(shape, underlying, entries, strict=True):
        if entry is True:
            amounts.append(int(size / small / 2))
        else:
            amounts.append(checks.whole(entry or 0, "An offset of lowres_tensor", 0))
        if amounts[-1] > size:
            raise ValueError(f"An offset of {amounts[-1]} does not fit an axis of size {size}.")
    return amounts


@parameterization
@checked
def lowres_tensor(
    shape: Sequence[int],
    underlying_shape: Sequence[int],
    offset: Offset = None,
    sd: float | None = None,
) -> Parameterization:
    """A tensor interpolated bilinearly from a smaller one, along any axis, the batch axis included.

    Args:
        shape: Shape of the result, in Lucid's axis order.
        underlying_shape: Shape of the parameters, of the same rank.
        offset: Shift along each axis: a number for all axes, or a list or tuple. True means half the
            ratio of the sizes.
        sd: Standard deviation of the initial parameters; 0 or None means 0.01.

    Raises:
        TypeError, ValueError: The ranks differ, or an argument is out of range.

    Example:
        >>> tensor = lowres_tensor((4, 16, 16, 3), (1, 8, 8, 3))  # four equal images
        >>> tensor.shape, tensor.underlying.shape
        ((4, 16, 16, 3), torch.Size([1, 3, 8, 8]))
    """
    large = checks.sizes(shape, "lowres_tensor's shape")
    small = checks.sizes(underlying_shape, "lowres_tensor's underlying_shape")
    if len(large) != len(small):
        raise ValueError(f"The shapes {large} and {small} have different ranks.")
    return _Lowres(large, small, _offsets(large, small, offset), deviation(sd, "lowres_tensor") or 0.01)


@parameterization
@checked
def laplacian_pyramid_image(shape: Sequence[int], n_levels: int = 4, sd: float | None = None) -> Parameterization:
    """An image parameterized as the sum of images at several resolutions.

    Args:
        shape: [..., H, W, C].
        n_levels: Number of levels; level k has 1 / 2^k of the resolution.
        sd: Standard deviation of the initial values of each level; 0 or None means 0.01.

    Raises:
        TypeError, ValueError: An argument is out of range, or the image is smaller than
            `2 ** (n_levels - 1)` pixels.

    Example:
        >>> pyramid = laplacian_pyramid_image((1, 16, 16, 3), n_levels=3)
        >>> pyramid.shape, [tuple(p.shape[-2:]) for p in pyramid.parameters()]
        ((1, 16, 16, 3), [(16, 16), (8, 8), (4, 4)])
    """
    sizes = checks.sizes(shape, "laplacian_pyramid_image's shape")
    if len(sizes) < 3:
        raise ValueError(f"laplacian_pyramid_image's shape is [..., height, width, channels], not {list(sizes)}.")
    n_levels = checks.whole(n_levels, "laplacian_pyramid_image's n_levels", 1)
    *batch, height, width, channels = sizes
    if min(height, width) < 2 ** (n_levels - 1):
        raise ValueError(
            f"An image of {height} x {width} pixels has no {n_levels} pyramid levels: "
            f"it needs {2 ** (n_levels - 1)} pixels, or fewer levels."
        )
    return total(
        [lowres_tensor(sizes, (*batch, height // 2**k, width // 2**k, channels), sd=sd) for k in range(n_levels)]
    )
