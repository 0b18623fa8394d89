"""Layers that join, move, count and multiply values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from converters.onnx.nodes import NodeWriter
from converters.onnx.writing.exporters.base import TO_NCHW, TO_NHWC, Call, Exporter, Value, exports
from converters.onnx.writing.exporters.elementwise import as_kind
from converters.onnx.writing.exporters.sizes import Expression, numbers, whole_numbers

# Bounds of a slice that reach to an axis's end, forwards and backwards.
FIRST, LAST = -(2**62), 2**62


# -- joining and taking apart -----------------------------------------------------------------------------------------


def _one_kind(call: Call, w: NodeWriter) -> tuple[list[str], str]:
    """The names of what a layer reads, in one kind of numbers, and that kind."""
    kinds = {value.kind for value in call.values}
    kind = kinds.pop() if len(kinds) == 1 else "float"
    return [as_kind(call, w, value, kind) for value in call.values], kind


@exports("Concat")
def concat(call: Call, w: NodeWriter) -> list[Value]:
    names, kind = _one_kind(call, w)
    w.result("Concat", names, [call.name], axis=call.arguments["dim"])
    return call.same(kind=kind)


@exports("Stack")
def stack(call: Call, w: NodeWriter) -> list[Value]:
    names, kind = _one_kind(call, w)
    axis = w.integers(call.part("axis"), [call.arguments["dim"]])
    parts = [w.part("Unsqueeze", [name, axis], call.part("part")) for name in names]
    w.result("Concat", parts, [call.name], axis=call.arguments["dim"])
    return call.same(call.x.rank + 1, kind)


def _parts(call: Call, rank: int) -> list[Value]:
    return [Value(name, rank, call.x.kind) for name in call.outputs]


@exports("Split")
def split(call: Call, w: NodeWriter) -> list[Value]:
    dim, sizes = call.arguments["dim"], call.arguments["sizes"]
    rest: Expression = ("sub", ("size", 0, dim), sum(size for size in sizes if size >= 0))
    lengths = whole_numbers(call, w, [rest if size < 0 else size for size in sizes], "sizes")
    w.result("Split", [call.x.name, lengths], call.outputs, axis=dim)
    return _parts(call, call.x.rank)


@exports("Chunk")
def chunk(call: Call, w: NodeWriter) -> list[Value]:
    w.result("Split", [call.x.name], call.outputs, axis=call.arguments["dim"])
    return _parts(call, call.x.rank)


@exports("Unbind")
def unbind(call: Call, w: NodeWriter) -> list[Value]:
    dim = call.arguments["dim"]
    for index, name in enumerate(call.outputs):  # an index without axes takes its axis away
        position = w.constant(call.part("position"), _scalar(index))
        w.result("Gather", [call.x.name, position], [name], axis=dim)
    return _parts(call, call.x.rank - 1)


def _scalar(number: int) -> np.ndarray:
    return np.array(number, np.int64)


@exports("Take")
def take(call: Call, w: NodeWriter) -> list[Value]:
    positions = w.integers(call.part("positions"), call.arguments["positions"])
    w.result("Gather", [call.x.name, positions], [call.name], axis=call.arguments["dim"])
    return call.same()


@exports("Index")
def index(call: Call, w: NodeWriter) -> list[Value]:
    axes: list[tuple[Expression, Expression, int]] = []
    gone: list[int] = []
    new: list[int] = []
    for kind, *bounds in call.arguments["items"]:
        if kind == "new":
            new.append(len(axes) - len(gone) + len(new))
        elif kind == "at":
            gone.append(len(axes))
            axes.append((bounds[0], LAST if bounds[0] == -1 else ("add", bounds[0], 1), 1))
        else:
            begin, stop, step = bounds
            ends = (0, LAST) if step > 0 else (LAST, FIRST)
            axes.append((ends[0] if begin is None else begin, ends[1] if stop is None else stop, step))
    begins, stops, steps = zip(*axes, strict=True) if axes else ((), (), ())
    x = call.x.name
    if axes:
        bounds_of = [whole_numbers(call, w, side, what) for side, what in ((begins, "begin"), (stops, "end"))]
        dims = w.integers(call.part("axes"), range(len(axes)))
        x = w.part("Slice", [x, *bounds_of, dims, w.integers(call.part("steps"), steps)], call.part("slice"))
    if gone:
        x = w.part("Squeeze", [x, w.integers(call.part("gone"), gone)], call.part("squeezed"))
    if new:
        x = w.part("Unsqueeze", [x, w.integers(call.part("new"), new)], call.part("unsqueezed"))
    w.result("Identity", [x], [call.name])
    return call.same(call.x.rank - len(gone) + len(new))


# -- shapes -----------------------------------------------------------------------------------------------------------


@exports("Reshape")
def reshape(call: Call, w: NodeWriter) -> list[Value]:
    shape = call.arguments["shape"]
    if 0 in shape:  # for ONNX, a zero is a size to keep
        raise call.error(f"reshapes to {list(shape)}")
    x = call.x.name
    if call.x.rank == 4 and call.arguments["source"] == "NHWC":
        x = w.part("Transpose", [x], call.part("nhwc"), perm=TO_NHWC)
    inputs = [x, whole_numbers(call, w, shape, "shape")]
    if len(shape) == 4 and call.arguments["target"] == "NHWC":
        w.result("Transpose", [w.part("Reshape", inputs, call.part("reshaped"))], [call.name], perm=TO_NCHW)
    else:
        w.result("Reshape", inputs, [call.name])
    return call.same(len(shape))


@exports("Squeeze")
def squeeze(call: Call, w: NodeWriter) -> list[Value]:
    dims = call.arguments["dims"]
    w.result("Squeeze", [call.x.name, w.integers(call.part("axes"), dims)], [call.name])
    return call.same(call.x.rank - len(dims))


@exports("Unsqueeze")
def unsqueeze(call: Call, w: NodeWriter) -> list[Value]:
    order, inputs = call.arguments["order"], [call.x.name, w.integers(call.part("axis"), [call.arguments["dim"]])]
    if order is None:
        w.result("Unsqueeze", inputs, [call.name])
    else:
        w.result("Transpose", [w.part("Unsqueeze", inputs, call.part("unsqueezed"))], [call.name], perm=order)
    return call.same(call.x.rank + 1)


@exports("Arrange")
def arrange(call: Call, w: NodeWriter) -> list[Value]:
    x, lead = call.x.name, call.arguments["lead"]
    if lead:
        x = w.part("Unsqueeze", [x, w.integers(call.part("lead"), range(lead))], call.part("led"))
    w.result("Transpose", [x], [call.name], perm=call.arguments["dims"])
    return call.same(call.x.rank + lead)


@exports("Tile")
def tile(call: Call, w: NodeWriter) -> list[Value]:
    w.result("Tile", [call.x.name, whole_numbers(call, w, call.arguments["times"], "times")], [call.name])
    return call.same()


@exports("Fill")
def fill(call: Call, w: NodeWriter) -> list[Value]:
    shape = call.arguments["shape"]
    zeros = w.part("ConstantOfShape", [whole_numbers(call, w, shape, "shape")], call.part("zeros"))
    w.result("Add", [zeros, w.number(call.part("value"), float(call.arguments["value"]))], [call.name])
    return call.same(len(shape), "float")


@exports("Numbers")
def sizes_as_numbers(call: Call, w: NodeWriter) -> list[Value]:
    shape = call.arguments["shape"]
    made = numbers(call, w, call.arguments["numbers"], "numbers")
    w.result("Reshape", [made, w.integers(call.part("shape"), shape)], [call.name])
    return call.same(len(shape), "float")


# -- padding ----------------------------------------------------------------------------------------------------------


def _pads(call: Call) -> list[Expression]:
    """torch's padding (last axis first, in pairs) as ONNX's: all before, then all after."""
    padding, rank = call.arguments["padding"], call.x.rank
    sides: list[tuple[Expression, Expression]] = [(0, 0)] * (rank - len(padding) // 2)
    sides += list(zip(padding[::2], padding[1::2], strict=True))[::-1]
    return [before for before, _ in sides] + [after for _, after in sides]


@exports("Pad")
def pad(call: Call, w: NodeWriter) -> list[Value]:
    value = w.number(call.part("value"), float(call.arguments["value"]))
    w.result("Pad", [call.x.name, whole_numbers(call, w, _pads(call), "pads"), value], [call.name])
    return call.same()


@exports("MirrorPad")
def mirror_pad(call: Call, w: NodeWriter) -> list[Value]:
    pads = _pads(call)
    if not call.arguments["repeats_border"]:
        w.result("Pad", [call.x.name, whole_numbers(call, w, pads, "pads")], [call.name], mode="reflect")
        return call.same()
    x = call.x.name
    for axis, (before, after) in enumerate(zip(pads[: call.x.rank], pads[call.x.rank :], strict=True)):
        if before == 0 and after == 0:
            continue
        ahead = _turned(call, w, x, ("sub", before, 1), FIRST, axis)
        behind = _turned(call, w, x, LAST, ("sub", -1, after), axis)
        x = w.part("Concat", [ahead, x, behind], call.part("mirrored"), axis=axis)
    w.result("Identity", [x], [call.name])
    return call.same()


def _turned(call: Call, w: NodeWriter, x: str, begin: Expression, end: Expression, axis: int) -> str:
    """A piece of an axis, from its last element to its first."""
    bounds = [whole_numbers(call, w, [bound], what) for bound, what in ((begin, "begin"), (end, "end"))]
    more = [w.integers(call.part("axis"), [axis]), w.integers(call.part("step"), [-1])]
    return w.part("Slice", [x, *bounds, *more], call.part("border"))


# -- counting and multiplying -----------------------------------------------------------------------------------------

REDUCTIONS = {"max": "ReduceMax", "min": "ReduceMin", "prod": "ReduceProd"}


def _reduced(call: Call) -> int:
    return call.x.rank - (0 if call.arguments["keepdim"] else len(call.arguments["dims"]))


@exports("Mean")
def mean(call: Call, w: NodeWriter) -> list[Value]:
    dims, keep = call.arguments["dims"], int(call.arguments["keepdim"])
    w.result("ReduceMean", [call.x.name], [call.name], axes=dims, keepdims=keep)
    return call.same(_reduced(call))


@exports("Reduce")
def reduce(call: Call, w: NodeWriter) -> list[Value]:
    function, dims, keep = call.arguments["function"], call.arguments["dims"], int(call.arguments["keepdim"])
    if function == "sum":
        w.result("ReduceSum", [call.x.name, w.integers(call.part("axes"), dims)], [call.name], keepdims=keep)
    else:
        w.result(REDUCTIONS[function], [call.x.name], [call.name], axes=dims, keepdims=keep)
    return call.same(_reduced(call))


def _position(op: str) -> Exporter:
    def write(call: Call, w: NodeWriter) -> list[Value]:
        w.result(op, [call.x.name], [call.name], axis=call.arguments["dim"], keepdims=0)
        return call.same(call.x.rank - 1, "int")

    return write


exports("ArgMax")(_position("ArgMax"))
exports("ArgMin")(_position("ArgMin"))


@exports("Linear")
def linear(call: Call, w: NodeWriter) -> list[Value]:
    w.result("MatMul", [call.x.name, w.constant(call.part("weight"), call.tensors["weight"].T)], [call.name])
    return call.same()


@exports("MatMul")
def matmul(call: Call, w: NodeWriter) -> list[Value]:
    names = []
    for value, key in zip(call.values, ("transpose_a", "transpose_b"), strict=True):
        turned = [*range(value.rank - 2), value.rank - 1, value.rank - 2]
        is_turned = call.arguments[key]
        names.append(w.part("Transpose", [value.name], call.part("turned"), perm=turned) if is_turned else value.name)
    w.result("MatMul", names, [call.name])
    return call.same(max(value.rank for value in call.values))


# -- positions and channels -------------------------------------------------------------------------------------------


def _rearranged(
    call: Call, w: NodeWriter, x: str, split: Sequence[Expression], order: Sequence[int], shape: Sequence[Expression]
) -> str:
    """A value reshaped to `split`, its axes put in `order`, and reshaped to `shape`."""
    parts = w.part("Reshape", [x, whole_numbers(call, w, split, "split")], call.part("parts"))
    turned = w.part("Transpose", [parts], call.part("turned"), perm=order)
    return w.part("Reshape", [turned, whole_numbers(call, w, shape, "shape")], call.part("joined"))


def _sizes(rank: int) -> list[Expression]:
    return [("size", 0, axis) for axis in range(rank)]


@exports("SpaceToDepth")
def space_to_depth(call: Call, w: NodeWriter) -> list[Value]:
    block = call.arguments["block"]
    count, channels, height, width = _sizes(4)
    rows, columns = ("floordiv", height, block), ("floordiv", width, block)
    split = [count, channels, rows, block, columns, block]
    shape = [count, ("mul", channels, block * block), rows, columns]
    w.result("Identity", [_rearranged(call, w, call.x.name, split, (0, 3, 5, 1, 2, 4), shape)], [call.name])
    return call.same()


@exports("DepthToSpace")
def depth_to_space(call: Call, w: NodeWriter) -> list[Value]:
    # ONNX's "DCR" order is TensorFlow's: row in the block, column in the block, channel.
    w.result("DepthToSpace", [call.x.name], [call.name], blocksize=call.arguments["block"], mode="DCR")
    return call.same()


@exports("SpaceToBatch")
def space_to_batch(call: Call, w: NodeWriter) -> list[Value]:
    block, dims, rank = call.arguments["block"], call.arguments["dims"], call.x.rank
    before: list[Expression] = [0] * rank
    after: list[Expression] = [0] * rank
    for position, dim in enumerate(dims):
        before[dim], after[dim] = call.arguments["padding"][2 * position : 2 * position + 2]
    fill = w.number(call.part("fill"), 0.0)
    x = w.part("Pad", [call.x.name, whole_numbers(call, w, [*before, *after], "pads"), fill], call.part("padded"))
    lengths = dict(zip(dims, block, strict=True))
    padded: list[Expression] = [("add", ("size", 0, dim), ("add", before[dim], after[dim])) for dim in range(rank)]
    split: list[Expression] = []
    shape: list[Expression] = []
    places = {}
    for dim in range(rank):
        size = ("floordiv", padded[dim], lengths[dim]) if dim in lengths else padded[dim]
        split.append(size)
        shape.append(size)
        if dim in lengths:
            places[dim] = len(split)
            split.append(lengths[dim])
    blocks = [places[dim] for dim in dims]
    order = [*blocks, *(axis for axis in range(len(split)) if axis not in blocks)]
    shape[0] = ("mul", shape[0], math.prod(block))
    w.result("Identity", [_rearranged(call, w, x, split, order, shape)], [call.name])
    return call.same()


@exports("BatchToSpace")
def batch_to_space(call: Call, w: NodeWriter) -> list[Value]:
    block, dims, rank = call.arguments["block"], call.arguments["dims"], call.x.rank
    lengths = dict(zip(dims, block, strict=True))
    sizes = _sizes(rank)
    count: Expression = ("floordiv", sizes[0], math.prod(block))
    order, shape = [len(block)], [count]
    for dim in range(1, rank):
        order += [len(block) + dim] + ([list(dims).index(dim)] if dim in lengths else [])
        shape.append(("mul", sizes[dim], lengths.get(dim, 1)))
    x = _rearranged(call, w, call.x.name, [*block, count, *sizes[1:]], order, shape)
    crops = call.arguments["crops"]
    begins, ends = list(crops[::2]), [("sub", shape[dim], after) for dim, after in zip(dims, crops[1::2], strict=True)]
    bounds = [whole_numbers(call, w, side, what) for side, what in ((begins, "begin"), (ends, "end"))]
    w.result("Slice", [x, *bounds, w.integers(call.part("axes"), dims)], [call.name])
    return call.same()
