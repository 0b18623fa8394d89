"""Converters of indexing ops: Slice, StridedSlice, Gather, ReverseV2."""

from __future__ import annotations

from collections.abc import Sequence

from converters.frozen.graph import NCHW
from converters.lowering.ops.registry import Call, Operation, Read, Shape, register
from converters.lowering.slices import Item, strided_items
from converters.program.sizes import Number

MAX_POSITIONS = 2**16


@register("Slice")
def slice_(op: Operation) -> Call:
    begin, size, rank = op.sizes(1), op.sizes(2), op.value(0).rank
    if not len(begin) == len(size) == rank:
        raise op.error(f"slices a value of rank {rank} from {list(begin)} by {list(size)}")
    ends: list[Number | None] = [None if n == -1 else b + n for b, n in zip(begin, size, strict=True)]
    return _index(op, [("slice", b, e, 1) for b, e in zip(begin, ends, strict=True)])


@register("StridedSlice")
def strided_slice(op: Operation) -> Call:
    try:
        items = strided_items(op.node.attrs, op.value(0).rank, op.sizes(1), op.sizes(2), op.sizes(3))
    except ValueError as error:
        raise op.error(f"is invalid: {error}") from error
    return _index(op, items)


@register("ReverseV2")
def reverse(op: Operation) -> Call:
    rank = op.value(0).rank
    reversed_axes = {op.axis(axis, rank) for axis in op.integers(1)}
    return _index(op, [("slice", None, None, -1 if axis in reversed_axes else 1) for axis in range(rank)])


def _index(op: Operation, items: Sequence[Item]) -> Call:
    value = op.value(0)
    shape = _shape(value.shape, items)
    if any(item[0] != "slice" for item in items):
        return Call("Index", shape, {"items": tuple(items)}, inputs=(Read(0, NCHW),), layout=NCHW)
    by_dim = {value.dim(axis): item for axis, item in enumerate(items)}
    return Call("Index", shape, {"items": tuple(by_dim[dim] for dim in range(value.rank))}, layout=value.layout)


def _shape(shape: Shape, items: Sequence[Item]) -> Shape:
    left = list(shape)
    sizes: list[int | None] = []
    for item in items:
        if item[0] == "new":
            sizes.append(1)
            continue
        size = left.pop(0)
        if item[0] == "slice":
            sizes.append(_length(size, item))
    return tuple(sizes)


def _length(size: int | None, item: Item) -> int | None:
    """Returns the length of a slice; None if it depends on the image."""
    _, begin, end, step = item  # type: ignore[misc]
    known = all(bound is None or isinstance(bound, int) for bound in (begin, end))
    if size is None or not known:
        return None
    return len(range(*slice(begin, end, step).indices(size)))


@register("Gather", "GatherV2")
def gather(op: Operation) -> Call:
    value, indices = op.value(0), op.constant(1)
    axes = op.integers(2) if len(op.values) > 2 else (0,)
    if indices.dtype.kind not in "iu" or indices.ndim > 1 or indices.size > MAX_POSITIONS or len(axes) != 1:
        raise op.unsupported("takes positions that are not one constant list along one axis")
    axis = op.axis(axes[0], value.rank)
    positions = tuple(int(position) for position in indices.ravel())
    length = value.shape[axis]
    if min(positions, default=0) < 0 or (length is not None and max(positions, default=0) >= length):
        raise op.error(f"takes positions {list(positions)[:10]} of an axis of length {length}")
    if indices.ndim == 0:
        items: list[Item] = [("slice", None, None, 1)] * value.rank
        items[axis] = ("at", positions[0])
        return _index(op, items)
    shape = (*value.shape[:axis], len(positions), *value.shape[axis + 1 :])
    return Call("Take", shape, {"positions": positions, "dim": value.dim(axis)}, layout=value.layout)
