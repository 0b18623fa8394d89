"""Converters of the ops that move blocks of positions to the batch or channel axis, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from converters.lowering.ops.registry import Call, Operation, Read, Shape, image, register

MAX_BLOCK = 4096


def _moved(op: Operation, layer: str, argument: str, length: Callable[[int, int, int], int]) -> Call:
    """Converts SpaceToBatchND or BatchToSpaceND.

    Args:
        op: the op.
        layer: the layer's class name.
        argument: the layer's argument for the paddings or crops.
        length: computes an axis's new length from the old length, the block size, and the padding or crop.
    """
    value, block, amounts = op.value(0), op.integers(1), op.sizes(2)
    count = len(block)
    wrong = not 1 <= count < value.rank or len(amounts) != 2 * count
    if wrong or not all(1 <= size <= MAX_BLOCK for size in block):
        raise op.error(f"moves blocks of {list(block)} of a value of rank {value.rank}")
    if any(isinstance(amount, int) and amount < 0 for amount in amounts):
        raise op.error(f"pads by {list(amounts)}")
    spatial = []
    for axis, size in enumerate(block):
        before, after = amounts[2 * axis : 2 * axis + 2]
        known = value.shape[1 + axis]
        fixed = known is not None and isinstance(before, int) and isinstance(after, int)
        spatial.append(length(known, size, before + after) if fixed else None)  # type: ignore[arg-type]
    shape: Shape = (None, *spatial, *value.shape[1 + count :])
    dims = tuple(value.dim(1 + axis) for axis in range(count))
    arguments: dict[str, Any] = {"block": block, argument: amounts, "dims": dims}
    return Call(layer, shape, arguments, layout=value.layout)


@register("SpaceToBatchND")
def space_to_batch(op: Operation) -> Call:
    return _moved(op, "SpaceToBatch", "padding", lambda size, block, pads: (size + pads) // block)


@register("BatchToSpaceND")
def batch_to_space(op: Operation) -> Call:
    return _moved(op, "BatchToSpace", "crops", lambda size, block, crops: size * block - crops)


@register("SpaceToDepth", "DepthToSpace")
def depth(op: Operation) -> Call:
    layout, channels = op.layout(), op.image_channels(0)
    block = op.integer("block_size", 1)
    if not 1 <= block <= MAX_BLOCK:
        raise op.error(f"moves blocks of {block}")
    made = None
    if channels is not None and op.node.op == "SpaceToDepth":
        made = channels * block**2
    elif channels is not None:
        made, rest = divmod(channels, block**2)
        if rest:
            raise op.error(f"splits {channels} channels into blocks of {block}x{block}")
    return Call(op.node.op, image(made, layout), {"block": block}, inputs=(Read(0, layout),), layout=layout)
