"""TensorFlow's ops that move blocks of positions to the batch or channel axis, and back.

The position in the block becomes the slowest index of the new axis: channels are ordered (row in the block, column in
the block, channel). The order of torch's `pixel_shuffle` is (channel, row, column).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor

from converters.errors import InputSizeError


def space_to_batch(x: Tensor, block: Sequence[int], padding: Sequence[int], dims: Sequence[int]) -> Tensor:
    """SpaceToBatchND.

    Args:
        x: (N, ...), of any dtype.
        block: block size along each of `dims`.
        padding: zeros before and after each of `dims`: (before, after, before, after, ...).
        dims: torch's axes.

    Returns:
        (N * number of positions in a block, ...).

    Raises:
        InputSizeError: the padded length of an axis is not a multiple of its block size.
    """
    pads = {dim: (padding[2 * index], padding[2 * index + 1]) for index, dim in enumerate(dims)}
    x = F.pad(x, [amount for dim in reversed(range(x.dim())) for amount in pads.get(dim, (0, 0))])
    lengths = dict(zip(dims, block, strict=True))
    sizes: list[int] = []  # two for each axis: number of blocks, block size
    for dim, size in enumerate(x.shape):
        length = lengths.get(dim, 1)
        if size % length:
            raise InputSizeError(f"it cuts an axis of length {size} into blocks of {length}")
        sizes += [size // length, length]
    inner = [2 * dim + 1 for dim in dims]
    outer = [axis for axis in range(len(sizes)) if axis not in inner]
    return x.reshape(sizes).permute(*inner, *outer).reshape([x.shape[0] * math.prod(block), *sizes[2::2]])


def batch_to_space(x: Tensor, block: Sequence[int], crops: Sequence[int], dims: Sequence[int]) -> Tensor:
    """BatchToSpaceND, the inverse of `space_to_batch`.

    Args:
        x: (N * number of positions in a block, ...), of any dtype.
        block: block size along each of `dims`.
        crops: positions to remove before and after each of `dims`: (before, after, before, after, ...).
        dims: torch's axes.

    Returns:
        (N, ...).

    Raises:
        InputSizeError: the batch size is not a multiple of the block's positions, or an axis is shorter than its crops.
    """
    positions = math.prod(block)
    count = x.shape[0] // positions
    if x.shape[0] % positions:
        raise InputSizeError(f"it makes blocks of {list(block)} of a batch of {x.shape[0]}")
    lengths, inner = dict(zip(dims, block, strict=True)), list(dims)
    sizes = [count, *(size * lengths.get(dim, 1) for dim, size in enumerate(x.shape) if dim)]
    order = [len(block)]
    for dim in range(1, x.dim()):
        order += [len(block) + dim, inner.index(dim)] if dim in lengths else [len(block) + dim]
    x = x.reshape([*block, count, *x.shape[1:]]).permute(order).reshape(sizes)
    for index, dim in enumerate(dims):
        before, after = crops[2 * index], crops[2 * index + 1]
        if before + after > x.shape[dim]:
            raise InputSizeError(f"it cuts {before + after} off an axis of length {x.shape[dim]}")
        x = x.narrow(dim, before, x.shape[dim] - before - after)
    return x


def space_to_depth(x: Tensor, block: int) -> Tensor:
    """SpaceToDepth: (N, C, H, W) to (N, C * block**2, H / block, W / block).

    Raises:
        InputSizeError: the height or the width is not a multiple of `block`.
    """
    count, channels, height, width = x.shape
    if height % block or width % block:
        raise InputSizeError(f"it cuts an image of {height}x{width} into blocks of {block}")
    x = x.reshape(count, channels, height // block, block, width // block, block)
    return x.permute(0, 3, 5, 1, 2, 4).reshape(count, -1, height // block, width // block)


def depth_to_space(x: Tensor, block: int) -> Tensor:
    """DepthToSpace: (N, C, H, W) to (N, C / block**2, H * block, W * block).

    Raises:
        InputSizeError: the number of channels is not a multiple of block * block.
    """
    count, channels, height, width = x.shape
    if channels % (block * block):
        raise InputSizeError(f"it makes blocks of {block}x{block} of {channels} channels")
    x = x.reshape(count, block, block, channels // (block * block), height, width)
    return x.permute(0, 3, 4, 1, 5, 2).reshape(count, -1, height * block, width * block)
