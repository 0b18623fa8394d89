"""Converters of shape ops: Reshape, Squeeze, ExpandDims, Transpose, Tile, Fill."""

from __future__ import annotations

import math

from converters.frozen.graph import NCHW, NHWC, Output
from converters.lowering.ops.axes import reduced
from converters.lowering.ops.registry import Call, Operation, Read, Shape, axis_of_torch, register
from converters.program.sizes import Number, Size

MAX_VALUES = 2**31
MAX_RANK = 8
TO_NCHW = (0, 3, 1, 2)
# (layout, order of a transposition) -> new layout. These transpositions change the layout, but not the torch tensor.
LAYOUT_CHANGES: dict[tuple[str, tuple[int, ...]], str] = {(NHWC, TO_NCHW): NCHW, (NCHW, (0, 2, 3, 1)): NHWC}


@register("Reshape")
def reshape(op: Operation) -> Call:
    sizes, value = op.sizes(1), op.value(0)
    fixed = [size for size in sizes if isinstance(size, int)]
    if len(sizes) > MAX_RANK or fixed.count(-1) > 1 or min(fixed, default=0) < -1:
        raise op.error(f"reshapes to {list(sizes)}, which is not a valid shape")
    if math.prod(size for size in fixed if size > 0) > MAX_VALUES:
        raise op.error(f"reshapes to {list(sizes)}, which is larger than in any image network")
    shape: Shape = tuple(size if isinstance(size, int) and size >= 0 else None for size in sizes)
    if -1 in fixed:
        shape = _with_rest(shape, sizes, op)
    arguments: dict[str, object] = {"shape": sizes}
    if value.rank == 4 and value.layout != NHWC:
        arguments["source"] = value.layout
    layout = value.layout if value.rank == 4 else op.graph_layout
    if len(sizes) == 4 and layout != NHWC:
        arguments["target"] = layout
    return Call("Reshape", shape, arguments, layout=layout)


def _with_rest(shape: Shape, sizes: tuple[Number, ...], op: Operation) -> Shape:
    """Replaces the -1 of a reshape's target by a number, if the unknown sizes of input and target cancel."""
    source, value = op.node.inputs[0], op.value(0)
    given = [(source, axis) if size is None else size for axis, size in enumerate(value.shape)]
    wanted = [_atom(size) for size in sizes if size != -1]
    for item in [item for item in wanted if isinstance(item, tuple)]:
        if item in given:
            given.remove(item)
            wanted.remove(item)
    numbers = [[item for item in side if isinstance(item, int)] for side in (given, wanted)]
    if len(numbers[0]) != len(given) or len(numbers[1]) != len(wanted) or 0 in numbers[1]:
        return shape
    rest = math.prod(numbers[0]) // math.prod(numbers[1])
    return tuple(rest if size == -1 else known for size, known in zip(sizes, shape, strict=True))


def _atom(size: Number) -> object:
    """Returns a size that is one axis of a value as (value, axis), and every other size unchanged."""
    if isinstance(size, Size) and size.function == "size":
        source, axis = size.operands
        return (source, axis) if isinstance(source, Output) else size
    return size


@register("Squeeze")
def squeeze(op: Operation) -> Call:
    axes, value = op.axes("squeeze_dims") or op.axes("axis"), op.value(0)
    if not axes:
        known = [axis for axis, size in enumerate(value.shape) if size == 1]
        shape = tuple(size for size in value.shape if size != 1)
        return Call("SqueezeAll", shape, {"rank": value.rank - len(known)}, inputs=(Read(0, NCHW),), layout=NCHW)
    left = reduced(op, axes)
    return Call("Squeeze", left.shape, {"dims": left.dims}, inputs=(left.read,), layout=left.layout)


@register("ExpandDims")
def expand_dims(op: Operation) -> Call:
    (axis,) = op.integers(1)[:1] or (0,)
    shape = list(op.value(0).shape)
    axis = op.axis(axis, len(shape) + 1)
    shape.insert(axis, 1)
    arguments: dict[str, object] = {"dim": axis}
    layout = op.graph_layout
    if len(shape) == 4 and layout == NHWC:
        arguments["order"] = TO_NCHW
    return Call("Unsqueeze", tuple(shape), arguments, inputs=(Read(0, NCHW),), layout=layout)


@register("Transpose")
def transpose(op: Operation) -> Call:
    value, order = op.value(0), op.integers(1)
    if sorted(order) != list(range(value.rank)):
        raise op.error(f"permutes the axes of a value of rank {value.rank} to {list(order)}")
    shape = tuple(value.shape[axis] for axis in order)
    layout = LAYOUT_CHANGES.get((value.layout, order))
    if layout is not None:
        return Call("Identity", shape, layout=layout)
    dims = [0] * value.rank
    for axis, source in enumerate(order):
        dims[value.dim(axis)] = value.dim(source)
    return Call("Arrange", shape, {"dims": tuple(dims)}, layout=value.layout)


@register("Tile")
def tile(op: Operation) -> Call:
    value, times = op.value(0), op.sizes(1)
    if len(times) != value.rank:
        raise op.error(f"repeats a value of rank {value.rank} by {list(times)}")
    pairs = zip(value.shape, times, strict=True)
    shape = tuple(size * n if size is not None and isinstance(n, int) else None for size, n in pairs)
    by_dim = {value.dim(axis): n for axis, n in enumerate(times)}
    return Call("Tile", shape, {"times": tuple(by_dim[dim] for dim in range(value.rank))})


@register("Fill")
def fill(op: Operation) -> Call:
    sizes = op.sizes(0)
    number = float(op.constant(1, rank=0))
    shape = tuple(size if isinstance(size, int) else None for size in sizes)
    layout = op.graph_layout
    order = sorted(range(len(sizes)), key=lambda axis: axis_of_torch(axis, len(sizes), layout))
    arguments = {"shape": tuple(sizes[axis] for axis in order), "value": number}
    return Call("Fill", shape, arguments, inputs=(), layout=layout)
