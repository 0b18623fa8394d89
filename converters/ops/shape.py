"""Ops that join, move or sum values: Concat, Reshape, Squeeze, Mean, Pad."""

from __future__ import annotations

import math

from converters.ops.registry import Call, Operation, Shape, Value, axis_of_torch, register


def _concat(op: Operation, towers: range, axis_input: int) -> Call:
    axes = op.integers(axis_input)
    values = [op.value(index) for index in towers]
    if len(axes) != 1 or not values:
        raise op.error(f"joins {len(values)} values along axes {list(axes)}")
    axis, rank = axes[0], values[0].rank
    if any(value.rank != rank for value in values) or not -rank <= axis < rank:
        raise op.error(f"joins values of ranks {[value.rank for value in values]} along axis {axis}")
    if any(value.constant is not None for value in values):
        raise op.error("joins a constant to computed values")
    others = [tuple(size for number, size in enumerate(value.shape) if number != axis % rank) for value in values]
    if any(None not in pair and pair[0] != pair[1] for other in others for pair in zip(others[0], other, strict=True)):
        raise op.error(f"joins shapes {[list(value.shape) for value in values]} along axis {axis}")
    shape = list(values[0].shape)
    sizes = [value.shape[axis] for value in values]
    shape[axis] = None if None in sizes else sum(size for size in sizes if size is not None)
    return Call("Concat", tuple(shape), {"dim": axis_of_torch(axis, rank)}, inputs=tuple(towers))


@register("Concat")
def concat(op: Operation) -> Call:
    return _concat(op, range(1, len(op.values)), axis_input=0)


@register("ConcatV2")
def concat_v2(op: Operation) -> Call:
    return _concat(op, range(len(op.values) - 1), axis_input=len(op.values) - 1)


@register("Reshape")
def reshape(op: Operation) -> Call:
    shape = op.integers(1)
    if len(shape) not in (2, 4) or sum(size < 0 for size in shape) > 1 or any(size < -1 for size in shape):
        raise op.error(f"reshapes to {list(shape)}; rows or images are what image networks reshape to")
    fixed = math.prod(size for size in shape if size > 0)
    if fixed > 2**31:
        raise op.error(f"reshapes to rows of {fixed} values")
    sizes: Shape = tuple(size if size >= 0 else None for size in shape)
    known = (None, *sizes[1:]) if len(sizes) == 2 else (None, None, None, sizes[3])
    return Call("Reshape", known, {"shape": shape})


def _dims(op: Operation, axes: tuple[int, ...], keep: bool) -> tuple[Shape, tuple[int, ...]]:
    """The shape left after `axes` (TensorFlow's) go, and torch's axes."""
    value: Value = op.value(0)
    if not axes or any(not -value.rank <= axis < value.rank for axis in axes):
        raise op.error(f"works along axes {list(axes)} of a value of rank {value.rank}")
    gone = {axis % value.rank for axis in axes}
    shape = tuple(1 if axis in gone else size for axis, size in enumerate(value.shape) if keep or axis not in gone)
    if value.rank == 4 and not keep and len(shape) > 2:
        raise op.error(f"drops axes {list(axes)} of an image; both height and width have to go")
    return shape, tuple(sorted(axis_of_torch(axis, value.rank) for axis in gone))


@register("Mean")
def mean(op: Operation) -> Call:
    keep = op.flag("keep_dims", op.flag("keepdims"))
    shape, dims = _dims(op, op.integers(1), keep)
    arguments = {"dims": dims, "keepdim": True} if keep else {"dims": dims}
    return Call("Mean", shape, arguments)


@register("Squeeze")
def squeeze(op: Operation) -> Call:
    axes = op.attr("squeeze_dims", ())
    if not isinstance(axes, tuple) or not all(isinstance(axis, int) for axis in axes):
        raise op.error(f"has squeeze_dims {axes!r}, which have to be axes")
    shape, dims = _dims(op, axes, keep=False)
    return Call("Squeeze", shape, {"dims": dims})


@register("Pad", "PadV2")
def pad(op: Operation) -> Call:
    value = op.value(0)
    op.integers(1)
    amounts = op.constant(1, rank=2).tolist()
    if len(amounts) != value.rank or any(len(pair) != 2 or min(pair) < 0 for pair in amounts):
        raise op.error(f"pads a value of rank {value.rank} by {amounts}")
    shape = tuple(None if size is None else size + sum(pair) for size, pair in zip(value.shape, amounts, strict=True))
    by_dim = {axis_of_torch(axis, value.rank): pair for axis, pair in enumerate(amounts)}
    padding = tuple(amount for dim in sorted(by_dim, reverse=True) for amount in by_dim[dim])
    arguments: dict[str, object] = {"padding": padding}
    if op.node.op == "PadV2":
        arguments["value"] = float(op.constant(2, rank=0))
    return Call("Pad", shape, arguments)
