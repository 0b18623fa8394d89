"""Cases of NCHW graphs and of transpositions.

TensorFlow has no convolutions and pools of NCHW on a CPU. It runs the same ops of NHWC between transpositions, which
give the same values at the same names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from parity_tests.cases.base import ONE_SIZE, Build, CaseWriter, case

CHANNELS = 4
TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)
SMALL = {"channels": CHANNELS, "batch": 2}
Op = Callable[[CaseWriter, str, str, str], str]  # writer, name, input, layout


def turn(w: CaseWriter, name: str, x: str, order: Sequence[int]) -> str:
    return w.op(name, "Transpose", [x, w.const(f"{name}/perm", list(order))], Tperm=np.int32)


def axes(layout: str, rows: int, columns: int, both: Sequence[int] = (1, 1)) -> list[int]:
    """A window's sizes over all four axes."""
    return [both[0], both[1], rows, columns] if layout == "NCHW" else [both[0], rows, columns, both[1]]


def inside(ops: Sequence[Op]) -> Build:
    """A chain of NCHW ops; the last is `y`."""

    def build(w: CaseWriter) -> None:
        x = w.x
        for index, op in enumerate(ops):
            x = op(w, "y" if index == len(ops) - 1 else f"op{index}", x, "NCHW")

    return build


def around(ops: Sequence[Op]) -> Build:
    """The same chain of NHWC ops, turned before and after each."""

    def build(w: CaseWriter) -> None:
        x = w.x
        for index, op in enumerate(ops):
            name = "y" if index == len(ops) - 1 else f"op{index}"
            made = op(w, f"{name}/turned", turn(w, f"{name}/nhwc", x, TO_NHWC), "NHWC")
            x = turn(w, name, made, TO_NCHW)

    return build


def constant(w: CaseWriter, name: str, shape: Sequence[int], low: float = -1.0) -> str:
    """A constant that does not depend on the order in which the two graphs draw."""
    draws = np.random.RandomState(sum(shape)).uniform(low, 1.0, tuple(shape))
    return w.const(name, draws.astype(np.float32))


def convolution(kernel: int, stride: int, padding: str) -> Op:
    def op(w: CaseWriter, name: str, x: str, layout: str) -> str:
        weights = constant(w, f"{name}/weights", (kernel, kernel, CHANNELS, 5))
        return w.op(
            name, "Conv2D", [x, weights], strides=axes(layout, stride, stride), padding=padding, data_format=layout
        )

    return op


def explicit_padding(w: CaseWriter, name: str, x: str, layout: str) -> str:
    pads = [0, 0, 0, 0, 1, 2, 0, 3] if layout == "NCHW" else [0, 0, 1, 2, 0, 3, 0, 0]
    return w.op(
        name, "Conv2D", [x, constant(w, f"{name}/weights", (3, 3, CHANNELS, 5))], strides=axes(layout, 2, 1),
        padding="EXPLICIT", explicit_paddings=pads, data_format=layout,
    )  # fmt: skip


def depthwise(w: CaseWriter, name: str, x: str, layout: str) -> str:
    weights = constant(w, f"{name}/weights", (3, 3, CHANNELS, 2))
    return w.op(
        name, "DepthwiseConv2dNative", [x, weights], strides=axes(layout, 2, 2), padding="SAME", data_format=layout
    )


def bias(count: int) -> Op:
    return lambda w, name, x, layout: w.op(
        name, "BiasAdd", [x, constant(w, f"{name}/bias", (count,))], data_format=layout
    )


def batch_norm(w: CaseWriter, name: str, x: str, layout: str) -> str:
    vectors = [constant(w, f"{name}/{key}", (CHANNELS,), 0.1) for key in ("gamma", "beta", "mean", "variance")]
    return w.op(name, "FusedBatchNorm", [x, *vectors], epsilon=1e-3, is_training=False, data_format=layout)


def pool(kind: str, kernel: int, stride: int, padding: str) -> Op:
    return lambda w, name, x, layout: w.op(
        name, kind, [x], ksize=axes(layout, kernel, kernel), strides=axes(layout, stride, stride), padding=padding,
        data_format=layout,
    )  # fmt: skip


def relu(w: CaseWriter, name: str, x: str, layout: str) -> str:
    return w.op(name, "Relu", [x])


def mean_of_positions(keep: bool) -> Op:
    return lambda w, name, x, layout: w.op(
        name, "Mean", [x, w.const(f"{name}/axes", [2, 3] if layout == "NCHW" else [1, 2])], keep_dims=keep,
        Tidx=np.int32,
    )  # fmt: skip


def transposed(w: CaseWriter, name: str, x: str, layout: str) -> str:
    """A transposed convolution of an input of 5 x 7 to 10 x 14."""
    weights = constant(w, f"{name}/weights", (3, 3, 3, CHANNELS))
    sizes = w.const(f"{name}/sizes", axes(layout, 10, 14, (2, 3)))
    return w.op(
        name, "Conv2DBackpropInput", [sizes, weights, x], strides=axes(layout, 2, 2), padding="SAME",
        data_format=layout,
    )  # fmt: skip


CHAINS: dict[str, Sequence[Op]] = {
    "conv-3-stride-2-SAME": [convolution(3, 2, "SAME"), bias(5), relu],
    "conv-3-stride-1-VALID": [convolution(3, 1, "VALID"), bias(5)],
    "conv-explicit-padding": [explicit_padding, bias(5)],
    "depthwise": [depthwise, relu],
    "batch-norm": [batch_norm, relu],
    "MaxPool": [bias(4), pool("MaxPool", 3, 2, "SAME")],
    "AvgPool": [bias(4), pool("AvgPool", 3, 2, "VALID")],
}


def inner(name: str, ops: Sequence[Op]) -> None:
    case(f"NCHW-{name}", inside(ops), stands_for=around(ops), layout="NCHW", of=("y", 1), fetches=_names(ops), **SMALL)


def _names(ops: Sequence[Op]) -> list[str]:
    return [*(f"op{index}" for index in range(len(ops) - 1)), "y"]


def dense_behind(w: CaseWriter) -> None:
    """TensorFlow flattens in the order of its own axes; the pool before determines the layout."""
    x = pool("MaxPool", 1, 1, "VALID")(w, "pool", w.x, "NCHW")
    w.matmul("y", w.reshape("rows", x, [-1, CHANNELS * 35]), constant(w, "matrix", (CHANNELS * 35, 3)))


def dense_behind_turned(w: CaseWriter) -> None:
    x = turn(w, "pool", turn(w, "nhwc", w.x, TO_NHWC), TO_NCHW)
    w.matmul("y", w.reshape("rows", x, [-1, CHANNELS * 35]), constant(w, "matrix", (CHANNELS * 35, 3)))


def joined(layout: str) -> Build:
    """Joins, a vector over the channels as TensorFlow spreads it, and a softmax over the last axis."""

    def build(w: CaseWriter) -> None:
        if layout == "NCHW":
            pooled = pool("AvgPool", 3, 1, "SAME")(w, "pool", w.x, "NCHW")
        else:
            made = pool("AvgPool", 3, 1, "SAME")(w, "pool/turned", turn(w, "nhwc", w.x, TO_NHWC), "NHWC")
            pooled = turn(w, "pool", made, TO_NCHW)
        relu_ = w.op("relu", "Relu", [pooled])
        both = w.concat_v2("both", [relu_, w.x], w.const("axis", 1))
        vector = constant(w, "vector", (2 * CHANNELS, 1, 1))
        w.op("y", "Softmax", [w.op("scaled", "Mul", [both, vector])])

    return build


def turned_within(w: CaseWriter) -> None:
    """NHWC outside, NCHW between two transpositions, as graphs made for GPUs have it."""
    x = w.conv2d("conv", w.x, w.seeded("weights", (3, 3, w.channels, 4)), 2, "SAME")
    x = w.op("relu", "Relu", [turn(w, "nchw", x, TO_NCHW)])
    w.bias_add("y", turn(w, "back", x, TO_NHWC), w.seeded("bias", (4,)))


def transposition(order: Sequence[int]) -> Build:
    return lambda w: w.op("y", "Relu", [turn(w, "turned", w.x, order)])


def transposed_rows(w: CaseWriter) -> None:
    """Rank 3, as transformers turn it."""
    x = w.reshape("tokens", w.x, [-1, 35, w.channels])
    w.op("y", "Tanh", [turn(w, "turned", x, (0, 2, 1))])


def channel_shuffle(w: CaseWriter) -> None:
    """ShuffleNet's: groups of channels in rank 5."""
    x = w.reshape("groups", w.x, [-1, 5, 7, 2, w.channels // 2])
    x = w.reshape("back", turn(w, "turned", x, (0, 1, 2, 4, 3)), [-1, 5, 7, w.channels])
    w.conv2d("y", x, w.seeded("weights", (1, 1, w.channels, 3)))


def add() -> None:
    """Adds the cases."""
    for name, ops in CHAINS.items():
        inner(name, ops)
    few = {"sizes": ONE_SIZE, **SMALL, "layout": "NCHW"}
    for keep in (False, True):
        ops = [pool("MaxPool", 2, 1, "SAME"), mean_of_positions(keep)]
        target = {"stands_for": around(ops)} if keep else {"stands_for": _mean_turned}
        case(f"NCHW-mean-keep-{keep}", inside(ops), of=("op0", 1), fetches=["op0", "y"], **target, **few)
    ops = [bias(CHANNELS), transposed]
    case("NCHW-transposed-conv", inside(ops), stands_for=around(ops), of=("y", 1), fetches=["op0", "y"], **few)
    case("NCHW-dense", dense_behind, stands_for=dense_behind_turned, fetches=["pool", "rows", "y"], **few)
    names = ["pool", "relu", "both", "scaled", "y", "both_pre_relu"]
    case("NCHW-joined", joined("NCHW"), stands_for=joined("NHWC"), fetches=names[:-1], **few)
    case("NCHW-within", turned_within, batch=2)
    for order in ((0, 3, 1, 2), (0, 2, 1, 3), (0, 2, 3, 1), (3, 1, 2, 0)):
        case(f"Transpose-{''.join(map(str, order))}", transposition(order), sizes=ONE_SIZE, batch=2)
    case("Transpose-rank-3", transposed_rows, sizes=ONE_SIZE, batch=2)
    case("channel-shuffle", channel_shuffle, sizes=ONE_SIZE, batch=2)


def _mean_turned(w: CaseWriter) -> None:
    """The chain of a pool and a mean, which has nothing to turn back."""
    pooled = pool("MaxPool", 2, 1, "SAME")(w, "op0/turned", turn(w, "nhwc", w.x, TO_NHWC), "NHWC")
    mean_of_positions(False)(w, "y", turn(w, "op0", pooled, TO_NCHW), "NCHW")
