"""Layers that join, split, index, reshape, pad, reduce and multiply values."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from converters.onnx.nodes import NodeWriter
from converters.onnx.writing.exporters.base import TO_NCHW, TO_NHWC, Call, Exporter, Value, exports
from converters.onnx.writing.exporters.elementwise import as_kind
from converters.onnx.writing.exporters.sizes import Expression, bounds, numbers, whole_numbers

# Bounds of slices that run to the end of an axis: FIRST for a backward slice, LAST for a forward slice.
FIRST, LAST = -(2**62), 2**62


# -- joining, splitting and indexing ----------------------------------------------------------------------------------


def _one_kind(call: Call, w: NodeWriter) -> tuple[list[str], str]:
    """Returns the names of a layer's inputs, cast to one kind of numbers, and that kind."""
    kinds = {value.kind for value in call.values}
    kind = kinds.pop() if len(kinds) == 1 else "float"
    return [as_kind(w, value, kind) for value in call.values], kind


@exports("Concat")
def concat(call: Call, w: NodeWriter) -> list[Value]:
    names, kind = _one_kind(call, w)
    return call.result(w, "Concat", names, kind=kind, axis=call.arguments["dim"])


@exports("Stack")
def stack(call: Call, w: NodeWriter) -> list[Value]:
    names, kind = _one_kind(call, w)
    axis = w.integers("axis", [call.arguments["dim"]])
    parts = [w.part("Unsqueeze", [name, axis], "part") for name in names]
    return call.result(w, "Concat", parts, rank=call.x.rank + 1, kind=kind, axis=call.arguments["dim"])


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
    for index, name in enumerate(call.outputs):  # a scalar index removes the axis
        position = w.constant("position", np.array(index, np.int64))
        w.result("Gather", [call.x.name, position], [name], axis=dim)
    return _parts(call, call.x.rank - 1)


@exports("Take")
def take(call: Call, w: NodeWriter) -> list[Value]:
    positions = w.integers("positions", call.arguments["positions"])
    return call.result(w, "Gather", [call.x.name, positions], axis=call.arguments["dim"])


@exports("Index")
def index(call: Call, w: NodeWriter) -> list[Value]:
    axes: list[tuple[Expression, Expression, int]] = []
    gone: list[int] = []
    new: list[int] = []
    for kind, *item in call.arguments["items"]:
        if kind == "new":
            new.append(len(axes) - len(gone) + len(new))
        elif kind == "at":
            gone.append(len(axes))
            axes.append((item[0], LAST if item[0] == -1 else ("add", item[0], 1), 1))
        else:
            begin, stop, step = item
            ends = (0, LAST) if step > 0 else (LAST, FIRST)
            axes.append((ends[0] if begin is None else begin, ends[1] if stop is None else stop, step))
    begins, stops, steps = zip(*axes, strict=True) if axes else ((), (), ())
    x = call.x.name
    if axes:
        sides = bounds(call, w, begins, stops)
        x = w.part("Slice", [x, *sides, w.integers("axes", range(len(axes))), w.integers("steps", steps)], "slice")
    if gone:
        x = w.part("Squeeze", [x, w.integers("gone", gone)], "squeezed")
    if new:
        x = w.part("Unsqueeze", [x, w.integers("new", new)], "unsqueezed")
    return call.result(w, "Identity", [x], rank=call.x.rank - len(gone) + len(new))


# -- shapes -----------------------------------------------------------------------------------------------------------


@exports("Reshape")
def reshape(call: Call, w: NodeWriter) -> list[Value]:
    shape = call.arguments["shape"]
    if 0 in shape:  # in ONNX, 0 keeps a size
        raise call.error(f"reshapes to {list(shape)}")
    x = call.x.name
    if call.x.rank == 4 and call.arguments["source"] == "NHWC":
        x = w.part("Transpose", [x], "nhwc", perm=TO_NHWC)
    inputs = [x, whole_numbers(call, w, shape, "shape")]
    if len(shape) == 4 and call.arguments["target"] == "NHWC":
        w.result("Transpose", [w.part("Reshape", inputs, "reshaped")], [call.name], perm=TO_NCHW)
    else:
        w.result("Reshape", inputs, [call.name])
    return call.same(len(shape))


@exports("Squeeze")
def squeeze(call: Call, w: NodeWriter) -> list[Value]:
    dims = call.arguments["dims"]
    return call.result(w, "Squeeze", [call.x.name, w.integers("axes", dims)], rank=call.x.rank - len(dims))


@exports("Unsqueeze")
def unsqueeze(call: Call, w: NodeWriter) -> list[Value]:
    order, inputs = call.arguments["order"], [call.x.name, w.integers("axis", [call.arguments["dim"]])]
    if order is None:
        w.result("Unsqueeze", inputs, [call.name])
    else:
        w.result("Transpose", [w.part("Unsqueeze", inputs, "unsqueezed")], [call.name], perm=order)
    return call.same(call.x.rank + 1)


@exports("Arrange")
def arrange(call: Call, w: NodeWriter) -> list[Value]:
    x, lead = call.x.name, call.arguments["lead"]
    if lead:
        x = w.part("Unsqueeze", [x, w.integers("lead", range(lead))], "led")
    return call.result(w, "Transpose", [x], rank=call.x.rank + lead, perm=call.arguments["dims"])


@exports("Tile")
def tile(call: Call, w: NodeWriter) -> list[Value]:
    return call.result(w, "Tile", [call.x.name, whole_numbers(call, w, call.arguments["times"], "times")])


@exports("Fill")
def fill(call: Call, w: NodeWriter) -> list[Value]:
    shape = call.arguments["shape"]
    zeros = w.part("ConstantOfShape", [whole_numbers(call, w, shape, "shape")], "zeros")
    value = w.number("value", float(call.arguments["value"]))
    return call.result(w, "Add", [zeros, value], rank=len(shape), kind="float")


@exports("Numbers")
def sizes_as_numbers(call: Call, w: NodeWriter) -> list[Value]:
    shape = call.arguments["shape"]
    made = numbers(call, w, call.arguments["numbers"], "numbers")
    return call.result(w, "Reshape", [made, w.integers("shape", shape)], rank=len(shape), kind="float")


# -- padding ----------------------------------------------------------------------------------------------------------


def _pads(call: Call) -> list[Expression]:
    """Converts torch's padding (last axis first, in pairs) to ONNX's (all before, then all after)."""
    padding, rank = call.arguments["padding"], call.x.rank
    sides: list[tuple[Expression, Expression]] = [(0, 0)] * (rank - len(padding) // 2)
    sides += list(zip(padding[::2], padding[1::2], strict=True))[::-1]
    return [before for before, _ in sides] + [after for _, after in sides]


@exports("Pad")
def pad(call: Call, w: NodeWriter) -> list[Value]:
    value = w.number("value", float(call.arguments["value"]))
    return call.result(w, "Pad", [call.x.name, whole_numbers(call, w, _pads(call), "pads"), value])


@exports("MirrorPad")
def mirror_pad(call: Call, w: NodeWriter) -> list[Value]:
    pads = _pads(call)
    if not call.arguments["repeats_border"]:
        return call.result(w, "Pad", [call.x.name, whole_numbers(call, w, pads, "pads")], mode="reflect")
    x = call.x.name
    for axis, (before, after) in enumerate(zip(pads[: call.x.rank], pads[call.x.rank :], strict=True)):
        if before == 0 and after == 0:
            continue
        ahead = _turned(call, w, x, ("sub", before, 1), FIRST, axis)
        behind = _turned(call, w, x, LAST, ("sub", -1, after), axis)
        x = w.part("Concat", [ahead, x, behind], "mirrored", axis=axis)
    return call.result(w, "Identity", [x])


def _turned(call: Call, w: NodeWriter, x: str, begin: Expression, end: Expression, axis: int) -> str:
    """Writes a slice of an axis in reverse order, and returns its name."""
    sides = bounds(call, w, [begin], [end])
    return w.part("Slice", [x, *sides, w.integers("axis", [axis]), w.integers("step", [-1])], "border")


# -- reducing and multiplying -----------------------------------------------------------------------------------------

REDUCTIONS = {"max": "ReduceMax", "min": "ReduceMin", "prod": "ReduceProd"}


def _reduced(call: Call) -> int:
    return call.x.rank - (0 if call.arguments["keepdim"] else len(call.arguments["dims"]))


@exports("Mean")
def mean(call: Call, w: NodeWriter) -> list[Value]:
    dims, keep = call.arguments["dims"], int(call.arguments["keepdim"])
    return call.result(w, "ReduceMean", [call.x.name], rank=_reduced(call), axes=dims, keepdims=keep)


@exports("Reduce")
def reduce(call: Call, w: NodeWriter) -> list[Value]:
    function, dims, keep = call.arguments["function"], call.arguments["dims"], int(call.arguments["keepdim"])
    if function == "sum":
        w.result("ReduceSum", [call.x.name, w.integers("axes", dims)], [call.name], keepdims=keep)
    else:
        w.result(REDUCTIONS[function], [call.x.name], [call.name], axes=dims, keepdims=keep)
    return call.same(_reduced(call))


def _position(op: str) -> Exporter:
    def write(call: Call, w: NodeWriter) -> list[Value]:
        dim, rank = call.arguments["dim"], call.x.rank - 1
        return call.result(w, op, [call.x.name], rank=rank, kind="int", axis=dim, keepdims=0)

    return write


exports("ArgMax")(_position("ArgMax"))
exports("ArgMin")(_position("ArgMin"))


@exports("Linear")
def linear(call: Call, w: NodeWriter) -> list[Value]:
    return call.result(w, "MatMul", [call.x.name, w.constant("weight", call.tensors["weight"].T)])


@exports("MatMul")
def matmul(call: Call, w: NodeWriter) -> list[Value]:
    names = []
    for value, key in zip(call.values, ("transpose_a", "transpose_b"), strict=True):
        turned = [*range(value.rank - 2), value.rank - 1, value.rank - 2]
        is_turned = call.arguments[key]
        names.append(w.part("Transpose", [value.name], "turned", perm=turned) if is_turned else value.name)
    return call.result(w, "MatMul", names, rank=call.largest_rank)


# -- positions and channels -------------------------------------------------------------------------------------------


def _rearranged(
    call: Call, w: NodeWriter, x: str, split: Sequence[Expression], order: Sequence[int], shape: Sequence[Expression]
) -> str:
    """Writes a reshape to `split`, a transpose by `order` and a reshape to `shape`; returns the name of the result."""
    parts = w.part("Reshape", [x, whole_numbers(call, w, split, "split")], "parts")
    turned = w.part("Transpose", [parts], "turned", perm=order)
    return w.part("Reshape", [turned, whole_numbers(call, w, shape, "shape")], "joined")


def _sizes(rank: int) -> list[Expression]:
    return [("size", 0, axis) for axis in range(rank)]


@exports("SpaceToDepth")
def space_to_depth(call: Call, w: NodeWriter) -> list[Value]:
    block = call.arguments["block"]
    count, channels, height, width = _sizes(4)
    rows, columns = ("floordiv", height, block), ("floordiv", width, block)
    split = [count, channels, rows, block, columns, block]
    shape = [count, ("mul", channels, block * block), rows, columns]
    return call.result(w, "Identity", [_rearranged(call, w, call.x.name, split, (0, 3, 5, 1, 2, 4), shape)])


@exports("DepthToSpace")
def depth_to_space(call: Call, w: NodeWriter) -> list[Value]:
    # ONNX's "DCR" order is TensorFlow's: row in the block, column in the block, channel.
    return call.result(w, "DepthToSpace", [call.x.name], blocksize=call.arguments["block"], mode="DCR")


@exports("SpaceToBatch")
def space_to_batch(call: Call, w: NodeWriter) -> list[Value]:
    block, dims, rank = call.arguments["block"], call.arguments["dims"], call.x.rank
    before: list[Expression] = [0] * rank
    after: list[Expression] = [0] * rank
    for position, dim in enumerate(dims):
        before[dim], after[dim] = call.arguments["padding"][2 * position : 2 * position + 2]
    fill = w.number("fill", 0.0)
    x = w.part("Pad", [call.x.name, whole_numbers(call, w, [*before, *after], "pads"), fill], "padded")
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
    return call.result(w, "Identity", [_rearranged(call, w, x, split, order, shape)])


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
    return call.result(w, "Slice", [x, *bounds(call, w, begins, ends), w.integers("axes", dims)])
