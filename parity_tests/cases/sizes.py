"""Cases of values that are static or computed from sizes: shapes, constants, conditions, dropout."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from parity_tests.cases.base import SIZES, Build, CaseWriter, case

FEW: dict[str, Any] = {"sizes": ((5, 7), (6, 6)), "batch": 2, "channels": 4}


def shape_of(w: CaseWriter, x: str, name: str = "shape") -> str:
    return w.op(name, "Shape", [x], out_type=np.int32)


def one_of(w: CaseWriter, name: str, vector: str, index: int) -> str:
    """vector[index], as Python's indexing writes it."""
    bounds = [w.const(f"{name}/{key}", [value]) for key, value in (("at", index), ("end", index + 1), ("step", 1))]
    masks = {"begin_mask": 0, "end_mask": 0, "ellipsis_mask": 0, "new_axis_mask": 0, "shrink_axis_mask": 1}
    return w.op(name, "StridedSlice", [vector, *bounds], T=np.int32, Index=np.int32, **masks)


def pieces(w: CaseWriter, vector: str, count: int = 4) -> list[str]:
    return [one_of(w, f"size{index}", vector, index) for index in range(count)]


def pack(w: CaseWriter, name: str, numbers: Sequence[str]) -> str:
    return w.op(name, "Pack", list(numbers), T=np.int32, N=len(numbers), axis=0)


def flatten(w: CaseWriter) -> None:
    """Keras's Flatten: [shape[0], -1]."""
    target = pack(w, "target", [one_of(w, "batch", shape_of(w, w.x), 0), w.const("rest", -1)])
    w.op("y", "Softmax", [w.op("rows", "Reshape", [w.x, target], Tshape=np.int32)])


def flatten_by_product(w: CaseWriter) -> None:
    """Slim's flatten: the product of all sizes but the first."""
    shape = shape_of(w, w.x)
    inputs = [shape, w.const("begin", [1]), w.const("size", [3])]
    spatial = w.op("spatial", "Slice", inputs, T=np.int32, Index=np.int32)
    product = w.op("product", "Prod", [spatial, w.const("axis", [0])], T=np.int32, Tidx=np.int32, keep_dims=False)
    batch = w.op("first", "Slice", [shape, w.const("zero", [0]), w.const("one", [1])], T=np.int32, Index=np.int32)
    more = w.op("more", "ExpandDims", [product, w.const("at", 0)], T=np.int32, Tdim=np.int32)
    target = w.op("target", "ConcatV2", [batch, more, w.const("along", 0)], T=np.int32, N=2, Tidx=np.int32)
    w.op("y", "Softmax", [w.op("rows", "Reshape", [w.x, target], Tshape=np.int32)])


def tokens(w: CaseWriter) -> None:
    """Positions as a list: [n, h * w, c], turned and back."""
    batch, height, width, channels = pieces(w, shape_of(w, w.x))
    area = w.op("area", "Mul", [height, width], T=np.int32)
    x = w.op("tokens", "Reshape", [w.x, pack(w, "flat", [batch, area, channels])], Tshape=np.int32)
    x = w.op("turned", "Transpose", [x, w.const("perm", [0, 2, 1])], Tperm=np.int32)
    x = w.op("soft", "Softmax", [x])
    x = w.op("back", "Transpose", [x, w.const("back/perm", [0, 2, 1])], Tperm=np.int32)
    x = w.op("image", "Reshape", [x, pack(w, "full", [batch, height, width, w.const("c", 4)])], Tshape=np.int32)
    w.conv2d("y", x, w.seeded("weights", (3, 3, 4, 3)))


def resize_twice(w: CaseWriter) -> None:
    """Upsampling by a factor: size * 2."""
    inputs = [shape_of(w, w.x), w.const("begin", [1]), w.const("end", [3]), w.const("step", [1])]
    size = w.op("size", "StridedSlice", inputs, T=np.int32, Index=np.int32)
    twice = w.op("twice", "Mul", [size, w.const("factor", [2, 3])], T=np.int32)
    w.op("y", "ResizeNearestNeighbor", [w.x, twice], align_corners=False, half_pixel_centers=False)


def resize_by_fraction(rounding: str) -> Build:
    """Sizes through float32, in which 10 * 0.7 is 7 (and less than 7 in float64)."""

    def build(w: CaseWriter) -> None:
        inputs = [shape_of(w, w.x), w.const("begin", [1]), w.const("end", [3]), w.const("step", [1])]
        size = w.op("size", "StridedSlice", inputs, T=np.int32, Index=np.int32)
        numbers = w.op("numbers", "Cast", [size], T=None, SrcT=np.int32, DstT=np.float32)
        scaled = w.op("scaled", "Mul", [numbers, w.const("factor", 0.7)])
        whole = w.op("whole", "Cast", [w.op("round", rounding, [scaled])], T=None, SrcT=np.float32, DstT=np.int32)
        w.op("y", "ResizeBilinear", [w.x, whole], align_corners=False, half_pixel_centers=False)

    return build


def resize_to_another(w: CaseWriter) -> None:
    """To the size of another layer, as pyramids do."""
    small = w.pool("small", "MaxPool", w.x, 2, 2, "SAME")
    inputs = [shape_of(w, w.x), w.const("begin", [1]), w.const("end", [3]), w.const("step", [1])]
    size = w.op("size", "StridedSlice", inputs, T=np.int32, Index=np.int32)
    large = w.op("large", "ResizeBilinear", [small, size], align_corners=True, half_pixel_centers=False)
    w.op("y", "AddV2", [large, w.x])


def transposed(padding: str) -> Build:
    """Keras's transposed convolution: its output's size is computed."""

    def build(w: CaseWriter) -> None:
        batch, height, width, _ = pieces(w, shape_of(w, w.x))
        sizes = [
            w.op(f"twice{k}", "Mul", [n, w.const(f"two{k}", 2)], T=np.int32) for k, n in enumerate((height, width))
        ]
        if padding == "VALID":
            sizes = [w.op(f"more{k}", "Add", [n, w.const(f"one{k}", 1)], T=np.int32) for k, n in enumerate(sizes)]
        target = pack(w, "target", [batch, *sizes, w.const("channels", 3)])
        weights = w.seeded("weights", (3, 3, 3, w.channels))
        y = w.op(
            "conv", "Conv2DBackpropInput", [target, weights, w.x], strides=[1, 2, 2, 1], padding=padding,
            data_format="NHWC",
        )  # fmt: skip
        w.bias_add("y", y, w.seeded("bias", (3,)))

    return build


def atrous(w: CaseWriter) -> None:
    """A dilated convolution whose paddings TensorFlow computes: base (2, 2) and up to a multiple of 2."""
    sizes = pieces(w, shape_of(w, w.x))[1:3]
    rows, cuts = [], []
    for k, size in enumerate(sizes):
        full = w.op(f"full{k}", "Add", [size, w.const(f"base{k}", 4)], T=np.int32)
        over = w.op(f"over{k}", "FloorMod", [full, w.const(f"two{k}", 2)], T=np.int32)
        rest = w.op(f"less{k}", "Sub", [w.const(f"from{k}", 2), over], T=np.int32)
        extra = w.op(f"extra{k}", "FloorMod", [rest, w.const(f"mod{k}", 2)], T=np.int32)
        after = w.op(f"after{k}", "Add", [extra, w.const(f"least{k}", 2)], T=np.int32)
        rows.append(pack(w, f"row{k}", [w.const(f"before{k}", 2), after]))
        cuts.append(pack(w, f"cut{k}", [w.const(f"none{k}", 0), extra]))
    block = w.const("block", [2, 2])
    x = w.op(
        "apart", "SpaceToBatchND", [w.x, block, pack(w, "paddings", rows)], Tblock_shape=np.int32, Tpaddings=np.int32
    )
    x = w.conv2d("conv", x, w.seeded("weights", (3, 3, w.channels, 4)), 1, "VALID")
    w.op("y", "BatchToSpaceND", [x, block, pack(w, "crops", cuts)], Tblock_shape=np.int32, Tcrops=np.int32)


def pad_to_square(w: CaseWriter) -> None:
    """Padding up to the longer side."""
    _, height, width, _ = pieces(w, shape_of(w, w.x))
    side = w.op("side", "Maximum", [height, width], T=np.int32)
    none = w.const("none", 0)
    pairs = [pack(w, "p0", [none, none])]
    for name, size in (("p1", height), ("p2", width)):
        pairs.append(pack(w, name, [none, w.op(f"{name}/rest", "Sub", [side, size], T=np.int32)]))
    pairs.append(pack(w, "p3", [none, none]))
    w.op("y", "Pad", [w.x, pack(w, "paddings", pairs)], Tpaddings=np.int32)


def global_pool(w: CaseWriter) -> None:
    """A crop from the middle, at bounds that are computed, and a sum over the number of its positions."""
    _, height, width, _ = pieces(w, shape_of(w, w.x))
    bounds = {}
    for name, size in (("top", height), ("left", width)):
        bounds[name] = w.op(name, "FloorDiv", [size, w.const(f"{name}/four", 4)], T=np.int32)
    none = w.const("none", 0)
    begin = pack(w, "begin", [none, bounds["top"], bounds["left"], none])
    masks = {"begin_mask": 9, "end_mask": 15, "ellipsis_mask": 0, "new_axis_mask": 0, "shrink_axis_mask": 0}
    inputs = [w.x, begin, w.const("end", [0, 0, 0, 0]), w.const("steps", [1, 1, 1, 1])]
    part = w.op("part", "StridedSlice", inputs, Index=np.int32, **masks)
    total = w.op("total", "Sum", [part, w.const("axes", [1, 2])], keep_dims=False, Tidx=np.int32)
    area = w.op("area", "Mul", [height, width], T=np.int32)
    w.op("y", "RealDiv", [total, w.op("count", "Cast", [area], T=None, SrcT=np.int32, DstT=np.float32)])


def zeros_of_a_size(w: CaseWriter) -> None:
    """Zeros of a computed shape, joined to the channels: ResNet's padded shortcut; and a map that is repeated."""
    batch, height, width, _ = pieces(w, shape_of(w, w.x))
    shape = pack(w, "filled/shape", [batch, height, width, w.const("two", 2)])
    zeros = w.op("filled", "Fill", [shape, w.const("half", 0.5)], index_type=np.int32)
    one = w.const("one", 1)
    times = pack(w, "times", [batch, height, width, one])
    vector = w.op("vector", "Tile", [w.seeded("v", (1, 1, 1, 2)), times], Tmultiples=np.int32)
    w.concat_v2("y", [w.op("relu", "Relu", [w.x]), zeros, vector], w.const("axis", 3))


def mean_of_all_but_the_last(w: CaseWriter) -> None:
    """Axes as a range up to the rank."""
    rank = w.op("rank", "Rank", [w.x])
    last = w.op("last", "Sub", [rank, w.const("less", 1)], T=np.int32)
    axes = w.op("axes", "Range", [w.const("start", 1), last, w.const("step", 1)], T=None, Tidx=np.int32)
    w.op("y", "Mean", [w.x, axes], keep_dims=False, Tidx=np.int32)


def dense_by_tensordot(w: CaseWriter) -> None:
    """Keras's dense layer of an image, which `tensordot` takes apart and puts together from sizes."""
    shape = shape_of(w, w.x)
    kinds = {"T": None, "Tparams": np.int32, "Tindices": np.int32, "Taxis": np.int32}
    zero = w.const("zero", 0)
    free = w.op("free", "GatherV2", [shape, w.const("free/axes", [0, 1, 2]), zero], **kinds)
    same = w.op("same", "GatherV2", [shape, w.const("same/axes", [3]), zero], **kinds)
    first = [w.const("all", [0])]
    rows = w.op("rows", "Prod", [free, *first], T=np.int32, Tidx=np.int32, keep_dims=False)
    columns = w.op("columns", "Prod", [same, *first], T=np.int32, Tidx=np.int32, keep_dims=False)
    order = w.op(
        "order", "ConcatV2", [w.const("a", [0, 1, 2]), w.const("b", [3]), zero], T=np.int32, N=2, Tidx=np.int32
    )
    turned = w.op("turned", "Transpose", [w.x, order], Tperm=np.int32)
    matrix = w.op("matrix", "Reshape", [turned, pack(w, "flat", [rows, columns])], Tshape=np.int32)
    weights = w.reshape("weights/matrix", w.seeded("weights", (4, 3)), [4, 3])
    product = w.op("product", "MatMul", [matrix, weights], transpose_a=False, transpose_b=False)
    target = w.op("target", "ConcatV2", [free, w.const("out", [3]), zero], T=np.int32, N=2, Tidx=np.int32)
    w.op("y", "Reshape", [product, target], Tshape=np.int32)


def shapes_of_several(w: CaseWriter) -> None:
    """One op for the shapes of two values."""
    small = w.pool("small", "AvgPool", w.x, 2, 2, "VALID")
    w.op("shapes", "ShapeN", [w.x, small], N=2, out_type=np.int32)
    bounds = [w.const("begin", [1]), w.const("end", [3]), w.const("step", [1])]
    size = w.op("size", "StridedSlice", ["shapes:1", *bounds], T=np.int32, Index=np.int32)
    less = w.op("less", "ResizeBilinear", [w.x, size], align_corners=False, half_pixel_centers=True)
    w.op("y", "Sub", [less, small])


def size_of_all(w: CaseWriter) -> None:
    """Everything in one row, by the number of values."""
    count = w.op("count", "Size", [w.x], out_type=np.int32)
    w.op("y", "Reshape", [w.x, pack(w, "target", [w.const("one", 1), count])], Tshape=np.int32)


# -- constants that the graph computes --------------------------------------------------------------------------------


def computed_weights(w: CaseWriter) -> None:
    """Weights that were stored in another order, scaled, and put together of parts."""
    stored = w.seeded("stored", (4, w.channels, 3, 3))
    turned = w.op("turned", "Transpose", [stored, w.const("perm", [2, 3, 1, 0])], Tperm=np.int32)
    norm = w.op(
        "norm", "Sum", [w.op("square", "Square", [turned]), w.const("axes", [0, 1, 2])], keep_dims=True, Tidx=np.int32
    )
    scaled = w.op("scaled", "Mul", [turned, w.op("rsqrt", "Rsqrt", [norm])])
    more = w.op("more", "Tile", [scaled, w.const("times", [1, 1, 1, 2])], Tmultiples=np.int32)
    y = w.conv2d("conv", w.x, more)
    stacked = w.op("stacked", "Pack", [w.seeded("b0", (4,)), w.seeded("b1", (4,))], N=2, axis=0)
    w.bias_add("y", y, w.reshape("bias", stacked, [8]))


def computed_constants(w: CaseWriter) -> None:
    """All that may become of constants before they meet the input."""
    values = w.seeded("values", (4,), 0.5, 1.5)
    for op in ("Sqrt", "Exp", "Abs", "Log", "Neg", "Reciprocal", "Floor", "Sign", "Square", "Rint"):
        positive = w.op(f"{op}/of", "Abs", [values])
        values = w.op(f"{op}/sum", "Sub" if op == "Neg" else "AddV2", [values, w.op(op, op, [positive])])
    values = w.op("small", "RealDiv", [values, w.const("large", 10.0)])
    mask = w.op("mask", "Greater", [values, w.const("limit", 1.0)])
    both = w.op(
        "both",
        "LogicalAnd",
        [mask, w.op("not", "LogicalNot", [w.const("never", np.zeros(4, np.bool_))], T=None)],
        T=None,
    )
    chosen = w.op("chosen", "Select", [both, values, w.op("zeros", "ZerosLike", [values])])
    filled = w.op("filled", "Fill", [w.const("length", [4]), w.const("two", 2.0)], index_type=np.int32)
    powered = w.op("powered", "Pow", [w.op("ones", "OnesLike", [filled]), filled])
    total = w.op("total", "AddN", [chosen, filled, powered], N=3)
    w.op("parts", "Split", [w.const("split/axis", 0), total], num_split=2)
    joined = w.concat_v2("joined", ["parts:1", "parts"], w.const("axis", 0))
    turned = w.op("reversed", "ReverseV2", [joined, w.const("rev", [0])], Tidx=np.int32)
    order = w.op("order", "InvertPermutation", [w.const("places", [1, 0, 2])], T=np.int32)
    wide = w.op("wide", "BroadcastTo", [turned, w.const("wide/shape", [1, 2, 4])], Tidx=np.int32)
    deep = w.op("deep", "Transpose", [wide, order], Tperm=np.int32)
    w.op("y", "Mul", [w.x, w.op("sum", "Sum", [deep, w.const("sum/axes", [0])], keep_dims=False, Tidx=np.int32)])


# -- conditions and dropout -------------------------------------------------------------------------------------------


def condition(w: CaseWriter, value: bool, default: bool) -> str:
    """is_training, as a constant or as a placeholder with a default."""
    constant = w.const("training/value", np.bool_(value))
    if not default:
        return constant
    return w.placeholder_with_default("training", constant, [], np.bool_)


def conditional(value: bool, default: bool) -> Build:
    """tf.cond: a branch for each case, and a Merge."""

    def build(w: CaseWriter) -> None:
        predicate = condition(w, value, default)
        w.op("cond/Switch", "Switch", [predicate, predicate], T=np.bool_)
        w.op("cond/yes", "Identity", ["cond/Switch:1"], T=np.bool_)
        w.op("cond/no", "Identity", ["cond/Switch"], T=np.bool_)
        pred = w.op("cond/pred", "Identity", [predicate], T=np.bool_)
        w.op("cond/x", "Switch", [w.x, pred])
        w.op("cond/true", "Exp", ["cond/x:1", "^cond/yes"])
        w.op("cond/false", "Tanh", ["cond/x"])
        w.op("cond/Merge", "Merge", ["cond/false", "cond/true"], N=2)
        w.op("y", "Mul", ["cond/Merge", w.x])

    return build


def noise(w: CaseWriter, x: str, low: float, high: float) -> str:
    """A tensor of random numbers of x's shape, as tf.random_uniform writes it."""
    shape = w.op("dropout/Shape", "Shape", [x], out_type=np.int32)
    uniform = w.op("dropout/uniform", "RandomUniform", [shape], T=np.int32, dtype=np.float32, seed=1, seed2=2)
    least, greatest = w.const("dropout/min", low), w.const("dropout/max", high)
    span = w.op("dropout/sub", "Sub", [greatest, least])
    return w.op("dropout/random", "Add", [w.op("dropout/mul", "Mul", [uniform, span]), least])


def dropout(w: CaseWriter) -> None:
    """TensorFlow 1's dropout that keeps everything: x / keep * floor(keep + random)."""
    x = w.op("tanh", "Tanh", [w.x])
    keep = w.placeholder_with_default("keep", w.const("keep/value", 1.0), [])
    mask = w.op("dropout/Floor", "Floor", [w.op("dropout/add", "Add", [keep, noise(w, x, 0.0, 1.0)])])
    w.op("y", "Mul", [w.op("dropout/div", "RealDiv", [x, keep]), mask])


def dropout_by_rate(w: CaseWriter) -> None:
    """The later form: x * scale * (random >= rate)."""
    x = w.op("tanh", "Tanh", [w.x])
    rate = w.const("rate", 0.0)
    scale = w.op("scale", "RealDiv", [w.const("one", 1.0), w.op("kept", "Sub", [w.const("all", 1.0), rate])])
    kept = w.op("dropout/kept", "GreaterEqual", [noise(w, x, 0.0, 1.0), rate])
    mask = w.op("dropout/mask", "Cast", [kept], T=None, SrcT=np.bool_, DstT=np.float32)
    w.op("y", "Mul", [w.op("dropout/scaled", "Mul", [x, scale]), mask])


def dropout_behind_a_switch(w: CaseWriter) -> None:
    """Dropout that is live in training, which does not take place."""
    w.op("cond/x", "Switch", [w.op("tanh", "Tanh", [w.x]), condition(w, False, default=True)])
    mask = w.op(
        "dropout/Floor", "Floor", [w.op("dropout/add", "Add", [w.const("half", 0.5), noise(w, "cond/x:1", 0.0, 1.0)])]
    )
    w.op("dropped", "Mul", ["cond/x:1", mask])
    w.op("kept", "Identity", ["cond/x"])
    w.op("y", "Relu", [w.op("cond/Merge", "Merge", ["kept", "dropped"], N=2)])


def several_identities(w: CaseWriter) -> None:
    """IdentityN, in which Keras wraps functions with gradients of their own."""
    product = w.op("product", "Mul", [w.x, w.op("sigmoid", "Sigmoid", [w.x])])
    node = w.op("both", "IdentityN", [product, w.x], T=[np.float32, np.float32])
    w.op("y", "AddV2", [node, f"{node}:1"])


def add() -> None:
    """Adds the cases."""
    for name, build in {
        "flatten": flatten,
        "flatten-by-product": flatten_by_product,
        "tokens": tokens,
        "resize-twice": resize_twice,
        "resize-to-another": resize_to_another,
        "transposed-SAME": transposed("SAME"),
        "transposed-VALID": transposed("VALID"),
        "atrous": atrous,
        "pad-to-square": pad_to_square,
        "zeros": zeros_of_a_size,
        "mean-of-a-range": mean_of_all_but_the_last,
        "tensordot": dense_by_tensordot,
        "size": size_of_all,
        "shapes": shapes_of_several,
    }.items():
        case(f"sizes-{name}", build, **FEW)
    fraction = {**FEW, "sizes": (*SIZES, (10, 20)), "channels": 1, "batch": 1}
    for rounding in ("Floor", "Ceil", "Round"):
        case(f"sizes-resize-by-fraction-{rounding}", resize_by_fraction(rounding), fetches=["y"], **fraction)
    case("sizes-crop-and-count", global_pool, **FEW)
    case("constants-weights", computed_weights, **FEW)
    case("constants-arithmetic", computed_constants, **FEW)
    for value in (True, False):
        for default in (True, False):
            live = "cond/true" if value else "cond/false"
            fetches = [live, "cond/Merge", "y", *([] if value else ["cond/x"])]
            name = f"cond-{value}-{'default' if default else 'constant'}"
            case(name, conditional(value, default), fetches=fetches, of=("y", 0), **FEW)
    case("dropout-keeps-all", dropout, fetches=["tanh", "dropout/div", "y"], of=("y", 0), **FEW)
    case("dropout-of-rate-zero", dropout_by_rate, fetches=["tanh", "dropout/scaled", "y"], of=("y", 0), **FEW)
    fetches = ["tanh", "kept", "cond/Merge", "y"]
    case("dropout-behind-a-switch", dropout_behind_a_switch, fetches=fetches, of=("y", 0), **FEW)
    case("IdentityN", several_identities, **FEW)
