"""Cases of ops that take values apart, put them together, reduce them, and give them other shapes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from parity_tests.cases.base import ONE_SIZE, Build, CaseWriter, case

FEW = {"sizes": ONE_SIZE, "batch": 2}


def grouped_convolution(w: CaseWriter) -> None:
    """As caffe-tensorflow writes it: Split of the channels and of the weights, Conv2D each, Concat."""
    axis = w.const("axis", 3)
    w.op("parts", "Split", [axis, w.x], num_split=2)
    w.op("weights/parts", "Split", [axis, w.seeded("weights", (3, 3, w.channels // 2, 4))], num_split=2)
    made = [
        w.conv2d(f"conv{index}", f"parts:{index}" if index else "parts", f"weights/parts:{index}", 2)
        for index in range(2)
    ]
    w.concat_v2("y", made, axis)


def split(axis: int, count: int, read: int) -> Build:
    """Reads one part of a Split."""

    def build(w: CaseWriter) -> None:
        w.op("parts", "Split", [w.const("axis", axis), w.x], num_split=count)
        w.op("y", "Tanh", [f"parts:{read}"])

    return build


def split_v(sizes: Sequence[int], axis: int, read: int) -> Build:
    def build(w: CaseWriter) -> None:
        inputs = [w.x, w.const("sizes", list(sizes)), w.const("axis", axis)]
        w.op("parts", "SplitV", inputs, num_split=len(sizes), Tlen=np.int32)
        w.op("y", "Tanh", [f"parts:{read}"])

    return build


def unpack(axis: int, count: int) -> Build:
    """Taken apart and put together in another order, along another axis."""

    def build(w: CaseWriter) -> None:
        w.op("parts", "Unpack", [w.x], num=count, axis=axis)
        w.op("y", "Pack", [f"parts:{count - 1}", "parts", "parts:1"], N=3, axis=1)

    return build


def pack_images(axis: int) -> Build:
    """Images packed and taken apart again, through rank 5."""

    def build(w: CaseWriter) -> None:
        packed = w.op("packed", "Pack", [w.x, w.op("relu", "Relu", [w.x])], N=2, axis=axis)
        w.op("parts", "Unpack", [packed], num=2, axis=axis)
        w.op("y", "AddV2", ["parts", "parts:1"])

    return build


def slice_(begin: Sequence[int], size: Sequence[int]) -> Build:
    return lambda w: w.op(
        "y", "Slice", [w.x, w.const("begin", list(begin)), w.const("size", list(size))], Index=np.int32
    )


def strided(first: Sequence[int], last: Sequence[int], steps: Sequence[int], **masks: int) -> Build:
    def build(w: CaseWriter) -> None:
        bounds = [w.const(name, list(value)) for name, value in (("first", first), ("last", last), ("steps", steps))]
        masks_ = {
            f"{name}_mask": masks.get(name, 0) for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")
        }
        w.op("y", "Tanh", [w.op("part", "StridedSlice", [w.x, *bounds], Index=np.int32, **masks_)])

    return build


STRIDED = {
    "rows-and-columns": strided([0, 1, 1, 0], [0, -1, 6, 0], [1, 1, 2, 1], begin=9, end=9),
    "reversed-channels": strided([0, 0], [0, 0], [1, -1], ellipsis=1, begin=2, end=2),
    "reversed-rows": strided([0, 3, 0], [0, 0, 0], [1, -2, 1], begin=5, end=5),
    "shrink-channel": strided([0, 2], [0, 3], [1, 1], ellipsis=1, shrink_axis=2),
    "shrink-row": strided([0, -2], [0, 0], [1, 1], begin=1, end=1, shrink_axis=2),
    "new-axis": strided([0, 0, 1], [0, 0, 4], [1, 1, 1], begin=1, end=1, new_axis=2),
    "one-image": strided([1], [2], [1]),
}


def gather(positions: Sequence[int] | int, axis: int) -> Build:
    """GatherV2; of several positions, or of one, which drops the axis."""

    def build(w: CaseWriter) -> None:
        inputs = [w.x, w.const("positions", positions), w.const("axis", axis)]
        found = w.op("found", "GatherV2", inputs, T=None, Tparams=np.float32, Tindices=np.int32, Taxis=np.int32)
        w.op("y", "Tanh", [found])

    return build


def gather_images(w: CaseWriter) -> None:
    found = w.op(
        "found", "Gather", [w.x, w.const("positions", [1, 0, 1])], T=None, Tparams=np.float32, Tindices=np.int32
    )
    w.op("y", "Tanh", [found])


def reversed_(axes: Sequence[int]) -> Build:
    return lambda w: w.op("y", "ReverseV2", [w.x, w.const("axes", list(axes))], Tidx=np.int32)


def reduction(op: str, axes: Sequence[int], keep: bool) -> Build:
    return lambda w: w.op("y", op, [w.x, w.const("axes", list(axes), np.int32)], keep_dims=keep, Tidx=np.int32)


def expand_dims(axis: int, rank: int) -> Build:
    """A new axis of an image, or of a part of one."""

    def build(w: CaseWriter) -> None:
        x = w.x
        if rank < 4:
            gone = w.const("axes", list(range(1, 5 - rank)))
            x = w.op("less", "Mean", [x, gone], keep_dims=False, Tidx=np.int32)
        w.op("y", "Tanh", [w.op("more", "ExpandDims", [x, w.const("axis", axis)], Tdim=np.int32)])

    return build


def expanded_convolution(w: CaseWriter) -> None:
    """A convolution of one row, as Keras has it: an axis is added before and dropped after."""
    x = w.op("line", "Mean", [w.x, w.const("axes", [1])], keep_dims=False, Tidx=np.int32)
    x = w.op("more", "ExpandDims", [x, w.const("axis", 1)], Tdim=np.int32)
    x = w.conv2d("conv", x, w.seeded("weights", (1, 3, w.channels, 4)))
    w.bias_add("y", w.op("less", "Squeeze", [x], squeeze_dims=[1]), w.seeded("bias", (4,)))


def squeeze_all(w: CaseWriter) -> None:
    """Squeeze without axes, behind a mean over positions."""
    pooled = w.op("pool", "Mean", [w.x, w.const("axes", [1, 2])], keep_dims=True, Tidx=np.int32)
    w.matmul("y", w.op("less", "Squeeze", [pooled]), w.seeded("matrix", (w.channels, 3)))


def squeeze_rows(w: CaseWriter) -> None:
    """One axis of an image is removed."""
    x = w.op("row", "Max", [w.x, w.const("axes", [1])], keep_dims=True, Tidx=np.int32)
    w.op("y", "Tanh", [w.op("less", "Squeeze", [x], squeeze_dims=[1])])


def tile(times: Sequence[int]) -> Build:
    return lambda w: w.op("y", "Tile", [w.x, w.const("times", list(times))], Tmultiples=np.int32)


def mirror_pad(amounts: Sequence[Sequence[int]], mode: str) -> Build:
    return lambda w: w.op(
        "y", "MirrorPad", [w.x, w.const("paddings", np.array(amounts, np.int32))], Tpaddings=np.int32, mode=mode
    )


def pad_rows(w: CaseWriter) -> None:
    """Padding of a tensor of rank 3."""
    x = w.reshape("tokens", w.x, [-1, 35, w.channels])
    paddings = w.const("paddings", np.array([[0, 0], [1, 0], [0, 2]], np.int32))
    w.op("y", "Pad", [x, paddings], Tpaddings=np.int32)


def class_token(w: CaseWriter) -> None:
    """CLIP's pooling by attention: a mean joins the tokens, positions are added, heads attend."""
    count, width, heads = 35, w.channels, 2
    tokens = w.reshape("tokens", w.x, [-1, count, width])
    mean = w.op("mean", "Mean", [tokens, w.const("mean/axes", [1])], keep_dims=True, Tidx=np.int32)
    joined = w.concat_v2("joined", [mean, tokens], w.const("joined/axis", 1))
    x = w.op("positioned", "AddV2", [joined, w.seeded("positions", (count + 1, width))])
    parts = {}
    for part in ("query", "key", "value"):
        rows = w.matmul(f"{part}/rows", w.reshape(f"{part}/flat", x, [-1, width]), w.seeded(part, (width, width)))
        split_ = w.reshape(f"{part}/heads", rows, [-1, count + 1, heads, width // heads])
        order = w.const(f"{part}/perm", [0, 2, 1, 3])
        parts[part] = w.op(f"{part}/turned", "Transpose", [split_, order], Tperm=np.int32)
    logits = w.op("logits", "BatchMatMulV2", [parts["query"], parts["key"]], adj_x=False, adj_y=True)
    weights = w.op("attention", "Softmax", [w.op("scaled", "Mul", [logits, w.const("scale", 0.5)])])
    mixed = w.op("mixed", "BatchMatMulV2", [weights, parts["value"]], adj_x=False, adj_y=False)
    back = w.op("back", "Transpose", [mixed, w.const("back/perm", [0, 2, 1, 3])], Tperm=np.int32)
    w.reshape("y", back, [-1, count + 1, width])


def joined_constant(w: CaseWriter) -> None:
    """A constant map beside the channels; the batch is the constant's."""
    w.concat_v2("y", [w.x, w.seeded("map", (2, 5, 7, 2))], w.const("axis", 3))


def joined_token(w: CaseWriter) -> None:
    """A constant token before the others."""
    tokens = w.reshape("tokens", w.x, [2, 35, w.channels])
    w.concat_v2("y", [w.seeded("token", (2, 1, w.channels)), tokens], w.const("axis", 1))


def products(op: str, first: bool, second: bool) -> Build:
    """Two matrices of an image's values."""

    def build(w: CaseWriter) -> None:
        x = w.reshape("tokens", w.x, [2, 35, w.channels] if op != "MatMul" else [70, w.channels])
        other = w.op("other", "Sigmoid", [x])
        shape = [2, w.channels, 35] if op != "MatMul" else [w.channels, 70]
        a = x if not first else w.reshape("a", x, shape)
        b = other if second else w.reshape("b", other, shape)
        flags = {"transpose_a": first, "transpose_b": second} if op == "MatMul" else {"adj_x": first, "adj_y": second}
        w.op("y", op, [a, b], **flags)

    return build


def constant_first(w: CaseWriter) -> None:
    """A constant matrix times a value."""
    x = w.reshape("rows", w.x, [70, w.channels])
    w.op("y", "MatMul", [w.seeded("matrix", (3, 70)), x], transpose_a=False, transpose_b=False)


def tokens_by_matrix(w: CaseWriter) -> None:
    """Keras's dense layer for a tensor of rank 3."""
    x = w.reshape("tokens", w.x, [-1, 35, w.channels])
    w.op("y", "BatchMatMulV2", [x, w.seeded("matrix", (w.channels, 3))], adj_x=False, adj_y=False)


def different_ranks(op: str) -> Build:
    """An image and a vector, or a map, that the graph computes."""

    def build(w: CaseWriter) -> None:
        vector = w.op("vector", "Mean", [w.x, w.const("axes", [0, 1, 2])], keep_dims=False, Tidx=np.int32)
        once = w.op("once", op, [w.x, w.op("exp", "Exp", [vector])])
        line = w.op("line", "Mean", [w.x, w.const("line/axes", [0, 1])], keep_dims=False, Tidx=np.int32)
        w.op("y", op, [w.op("line/exp", "Exp", [line]), w.op("once/exp", "Exp", [once])])

    return build


def add() -> None:
    """Adds the cases."""
    case("grouped-convolution", grouped_convolution, batch=2)
    for axis, count, read in ((3, 3, 2), (-1, 2, 0), (2, 7, 3), (0, 2, 1)):
        case(f"Split-{axis}-{count}", split(axis, count, read), **FEW)
    for sizes, axis, read in (((1, 3, 2), 3, 1), ((2, -1), -1, 1), ((4, -1, 1), 1, 0)):
        case(f"SplitV-{axis}-{'-'.join(map(str, sizes))}", split_v(sizes, axis, read), **FEW)
    for axis, count in ((1, 5), (3, 6), (-2, 7)):
        case(f"Unpack-{axis}", unpack(axis, count), **FEW)
    for axis in (0, 4, 2):
        case(f"Pack-images-{axis}", pack_images(axis), **FEW)
    for name, begin, size in (("inner", (0, 1, 2, 1), (-1, 3, 4, -1)), ("channels", (0, 0, 0, 2), (2, 5, 7, 3))):
        case(f"Slice-{name}", slice_(begin, size), **FEW)
    for name, build in STRIDED.items():
        case(f"StridedSlice-{name}", build, **FEW)
    case("GatherV2-channels", gather([2, 1, 0, 2], 3), **FEW)
    case("GatherV2-row", gather(3, 1), **FEW)
    case("Gather-images", gather_images, **FEW)
    for axes in ((3,), (1, -2)):
        case(f"ReverseV2-{'-'.join(map(str, axes))}", reversed_(axes), **FEW)
    for op in ("Mean", "Sum", "Max", "Min", "Prod"):
        for axes in ((1, 2), (3,), (1,), (0, 3), (-2,)):
            for keep in (False, True):
                name = f"{op}-{'-'.join(map(str, axes))}-keep-{keep}"
                case(name, reduction(op, axes, keep), **FEW)
        case(f"ties-{op}", reduction(op, (1, 2), False), kind="steps", **FEW)
    case("Sum-no-axes", reduction("Sum", (), False), **FEW)
    for axis, rank in ((0, 3), (1, 3), (-1, 3), (1, 2), (2, 4)):
        case(f"ExpandDims-{axis}-of-rank-{rank}", expand_dims(axis, rank), **FEW)
    case("ExpandDims-conv-Squeeze", expanded_convolution, **FEW)
    case("Squeeze-all", squeeze_all, **FEW)
    case("Squeeze-one", squeeze_rows, **FEW)
    for times in ((1, 2, 1, 3), (2, 1, 3, 1)):
        case(f"Tile-{''.join(map(str, times))}", tile(times), **FEW)
    for mode in ("REFLECT", "SYMMETRIC"):
        case(f"MirrorPad-{mode}", mirror_pad([[0, 0], [2, 1], [3, 0], [0, 0]], mode), **FEW)
        case(f"MirrorPad-channels-{mode}", mirror_pad([[1, 0], [0, 0], [0, 0], [1, 2]], mode), **FEW)
    case("pad-rank-3", pad_rows, **FEW)
    case("class-token", class_token, **FEW)
    case("Concat-constant-map", joined_constant, **FEW)
    case("Concat-constant-token", joined_token, **FEW)
    for first in (False, True):
        for second in (False, True):
            for op in ("MatMul", "BatchMatMul"):
                case(f"{op}-{'T' if first else 'N'}{'T' if second else 'N'}", products(op, first, second), **FEW)
    case("MatMul-constant-first", constant_first, **FEW)
    case("BatchMatMulV2-constant", tokens_by_matrix, **FEW)
    for op in ("Add", "Mul", "RealDiv"):
        case(f"{op}-of-different-ranks", different_ranks(op), **FEW)
