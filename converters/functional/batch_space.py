"""TensorFlow's ops that move positions into the batch or the channels, and back.

Blocks of positions come first where they go: a batch is ordered block by block, and so are the channels (row in the
block, column in the block, channel), which is not how torch's `pixel_shuffle` orders them.
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
        x: any value whose first axis is the batch.
        block: positions of a block along each axis.
        padding: zeros before and after each axis, in pairs.
        dims: torch's axes.

    Raises:
        InputSizeError: an axis does not consist of whole blocks.
    """
    pads = [(0, 0)] * x.dim()
    for index, dim in enumerate(dims):
        pads[dim] = (padding[2 * index], padding[2 * index + 1])
    x = F.pad(x, [amount for pair in reversed(pads) for amount in pair])
    split: list[int] = []
    position = {}  # of the block within the split axes
    for dim, size in enumerate(x.shape):
        if dim not in dims:
            split.append(size)
            continue
        length = block[list(dims).index(dim)]
        if size % length:
            raise InputSizeError(f"it cuts an axis of length {size} into blocks of {length}")
        split += [size // length, length]
        position[dim] = len(split) - 1
    blocks = [position[dim] for dim in dims]
    order = [*blocks, *(axis for axis in range(len(split)) if axis not in blocks)]
    sizes = [size // block[list(dims).index(dim)] if dim in dims else size for dim, size in enumerate(x.shape)]
    return x.reshape(split).permute(order).reshape([x.shape[0] * math.prod(block), *sizes[1:]])


def batch_to_space(x: Tensor, block: Sequence[int], crops: Sequence[int], dims: Sequence[int]) -> Tensor:
    """BatchToSpaceND; the arguments are those of `space_to_batch`, whose reverse it is, with crops for paddings.

    Raises:
        InputSizeError: the batch does not consist of whole blocks, or less is left than is cut off.
    """
    if x.shape[0] % math.prod(block):
        raise InputSizeError(f"it makes blocks of {list(block)} of a batch of {x.shape[0]}")
    x = x.reshape([*block, x.shape[0] // math.prod(block), *x.shape[1:]])
    order = [len(block)]
    for dim in range(1, x.dim() - len(block)):
        order.append(len(block) + dim)
        if dim in dims:
            order.append(list(dims).index(dim))
    x = x.permute(order)
    sizes, axis = [], 0
    for dim in range(x.dim() - len(block)):
        sizes.append(x.shape[axis] * (x.shape[axis + 1] if dim in dims else 1))
        axis += 2 if dim in dims else 1
    x = x.reshape(sizes)
    for index, dim in enumerate(dims):
        before, after = crops[2 * index], crops[2 * index + 1]
        if before + after > x.shape[dim]:
            raise InputSizeError(f"it cuts {before + after} off an axis of length {x.shape[dim]}")
        x = x.narrow(dim, before, x.shape[dim] - before - after)
    return x


def space_to_depth(x: Tensor, block: int) -> Tensor:
    """SpaceToDepth of (N, C, H, W).

    Raises:
        InputSizeError: the image does not consist of whole blocks.
    """
    count, channels, height, width = x.shape
    if height % block or width % block:
        raise InputSizeError(f"it cuts an image of {height}x{width} into blocks of {block}")
    x = x.reshape(count, channels, height // block, block, width // block, block)
    return x.permute(0, 3, 5, 1, 2, 4).reshape(count, -1, height // block, width // block)


def depth_to_space(x: Tensor, block: int) -> Tensor:
    """DepthToSpace of (N, C, H, W).

    Raises:
        InputSizeError: the channels are no multiple of block * block.
    """
    count, channels, height, width = x.shape
    if channels % (block * block):
        raise InputSizeError(f"it makes blocks of {block}x{block} of {channels} channels")
    x = x.reshape(count, block, block, channels // (block * block), height, width)
    return x.permute(0, 3, 4, 1, 5, 2).reshape(count, -1, height * block, width * block)
