"""Converters of the ops that join and split values: Concat, Pack, Split, Unpack."""

from __future__ import annotations

from converters.frozen.graph import NCHW
from converters.lowering.ops.axes import reduced
from converters.lowering.ops.elementwise import together
from converters.lowering.ops.registry import Call, Operation, Read, Shape, axis_of_torch, register

MAX_PARTS = 4096


def _concat(op: Operation, towers: range, axis_input: int) -> Call:
    axes = op.integers(axis_input)
    values = [op.value(index) for index in towers]
    if len(axes) != 1 or not values:
        raise op.error(f"joins {len(values)} values along axes {list(axes)}")
    axis, rank = axes[0], values[0].rank
    if any(value.rank != rank for value in values) or not -rank <= axis < rank:
        raise op.error(f"joins values of ranks {[value.rank for value in values]} along axis {axis}")
    shape: list[int | None] = []
    for number, sizes in enumerate(zip(*(value.shape for value in values), strict=True)):
        known = [size for size in sizes if size is not None]
        if number == axis % rank:
            shape.append(sum(known) if len(known) == len(sizes) else None)
        elif len(set(known)) > 1:
            raise op.error(f"joins shapes {[list(value.shape) for value in values]} along axis {axis}")
        else:
            shape.append(known[0] if known else None)
    reads, layout = together(op, towers)
    dim = axis_of_torch(axis, rank, layout or NCHW)
    return Call("Concat", tuple(shape), {"dim": dim}, inputs=reads, layout=layout)


@register("Concat")
def concat(op: Operation) -> Call:
    return _concat(op, range(1, len(op.values)), axis_input=0)


@register("ConcatV2")
def concat_v2(op: Operation) -> Call:
    return _concat(op, range(len(op.values) - 1), axis_input=len(op.values) - 1)


@register("Pack")
def pack(op: Operation) -> Call:
    count = len(op.values)
    if not count or any(value.rank != op.value(0).rank for value in op.values):
        raise op.error(f"joins values of ranks {[value.rank for value in op.values]}")
    shape = list(op.value(0).shape)
    axis = op.axis(op.integer("axis", 0), len(shape) + 1)
    shape.insert(axis, count)
    reads = tuple(Read(index, NCHW) for index in range(count))
    return Call("Stack", tuple(shape), {"dim": axis}, inputs=reads, layout=NCHW)


def _split(op: Operation, index: int, axis_input: int, sizes: tuple[int, ...] | int) -> Call:
    """Splits an input into parts of these sizes, or into this number of equal parts."""
    value, axes = op.value(index), op.integers(axis_input)
    if len(axes) != 1:
        raise op.error(f"splits along axes {list(axes)}")
    axis = op.axis(axes[0], value.rank)
    length = value.shape[axis]
    if sizes in (1, (-1,), (length,)):  # a single part
        return Call("Identity", value.shape, inputs=(index,), layout=value.layout)
    if isinstance(sizes, int):
        if length is None:
            return _call(op, "Chunk", index, axis, {"count": sizes}, [None] * sizes)
        if length % sizes:
            raise op.error(f"splits an axis of length {length} into {sizes} equal parts")
        sizes = (length // sizes,) * sizes
    left = None if length is None else length - sum(size for size in sizes if size >= 0)
    if min(sizes) < -1 or sizes.count(-1) > 1 or (left is not None and (left < 0 or (left > 0 and -1 not in sizes))):
        raise op.error(f"splits an axis of length {length} into {list(sizes)}")
    return _call(op, "Split", index, axis, {"sizes": sizes}, [left if size < 0 else size for size in sizes])


def _call(
    op: Operation, layer: str, index: int, axis: int, arguments: dict[str, object], lengths: list[int | None]
) -> Call:
    value = op.value(index)
    first, *more = [(*value.shape[:axis], length, *value.shape[axis + 1 :]) for length in lengths]
    dim = value.dim(axis)
    return Call(layer, first, {**arguments, "dim": dim}, inputs=(index,), layout=value.layout, more=more)


@register("Split")
def split(op: Operation) -> Call:
    count = op.integer("num_split", 1)
    if not 1 <= count <= MAX_PARTS:
        raise op.error(f"splits into {count} parts")
    return _split(op, 1, axis_input=0, sizes=count)


@register("SplitV")
def split_v(op: Operation) -> Call:
    sizes = op.integers(1)
    if not 1 <= len(sizes) <= MAX_PARTS:
        raise op.error(f"splits into {len(sizes)} parts")
    return _split(op, 0, axis_input=2, sizes=sizes)


@register("Unpack")
def unpack(op: Operation) -> Call:
    count = op.integer("num", 1)
    if not 1 <= count <= MAX_PARTS:
        raise op.error(f"splits into {count} values")
    axis = op.axis(op.integer("axis", 0), op.value(0).rank)
    length = op.value(0).shape[axis]
    if length not in (None, count):
        raise op.error(f"splits an axis of length {length} into {count} values")
    left = reduced(op, [axis])
    if count == 1:
        return Call("Squeeze", left.shape, {"dims": left.dims}, inputs=(left.read,), layout=left.layout)
    more: list[Shape] = [left.shape] * (count - 1)
    arguments = {"count": count, "dim": left.dims[0]}
    return Call("Unbind", left.shape, arguments, inputs=(left.read,), layout=left.layout, more=more)
