"""Cases of further functions of one value at a time, of two, and of conditions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from parity_tests.cases.base import ONE_SIZE, Build, CaseWriter, case

FEW = {"sizes": ONE_SIZE, "batch": 2}
ROUNDINGS = ("Ceil", "Floor", "Rint", "Round", "Sign")
ANYWHERE = ("Abs", "Cos", "Erf", "Exp", "Expm1", "Neg", "Sin", "Softsign", "Square")
POSITIVE = ("Inv", "Log", "Log1p", "Reciprocal", "Rsqrt", "Sqrt")


def unary(op: str) -> Build:
    return lambda w: w.op("y", op, [w.x])


def two(op: str) -> Build:
    def build(w: CaseWriter) -> None:
        w.op("y", op, [w.op("first", "Softplus", [w.x]), w.op("second", "Exp", [w.x])])

    return build


def constant(op: str, value: float, first: bool) -> Build:
    def build(w: CaseWriter) -> None:
        x, number = w.op("positive", "Softplus", [w.x]), w.const("constant", value)
        w.op("y", op, [number, x] if first else [x, number])

    return build


def div_no_nan(w: CaseWriter) -> None:
    w.op("y", "DivNoNan", [w.x, w.op("floor", "Floor", [w.x])])


def add_n(count: int) -> Build:
    def build(w: CaseWriter) -> None:
        others = [w.op(f"other{index}", op, [w.x]) for index, op in enumerate(("Tanh", "Exp", "Relu")[: count - 1])]
        w.op("y", "AddN", [w.x, *others], N=count)

    return build


def unfused_batch_norm(w: CaseWriter) -> None:
    """Batch norm as `tf.nn.batch_normalization` leaves it: the factor is computed from constants in the graph."""
    variance = w.op("variance/read", "Identity", [w.seeded("variance", (w.channels,), 0.01, 2.0)])
    rsqrt = w.op("rsqrt", "Rsqrt", [w.op("add", "Add", [variance, w.const("epsilon", 1e-3)])])
    factor = w.op("factor", "Mul", [rsqrt, w.seeded("gamma", (w.channels,), 0.5, 1.5)])
    scaled = w.op("scaled", "Mul", [w.x, factor])
    moved = w.op("moved", "Mul", [w.seeded("mean", (w.channels,)), factor])
    shift = w.op("shift", "Sub", [w.seeded("beta", (w.channels,)), moved])
    w.op("y", "Add", [scaled, shift])


def instance_norm(w: CaseWriter) -> None:
    """Normalised by each image's own mean and variance."""
    axes = w.const("axes", [1, 2])
    mean = w.op("mean", "Mean", [w.x, axes], keep_dims=True, Tidx=np.int32)
    difference = w.op("difference", "SquaredDifference", [w.x, w.op("still", "StopGradient", [mean])])
    variance = w.op("variance", "Mean", [difference, axes], keep_dims=True, Tidx=np.int32)
    rsqrt = w.op("rsqrt", "Rsqrt", [w.op("add", "AddV2", [variance, w.const("epsilon", 1e-3)])])
    w.op("y", "Exp", [w.op("normal", "Mul", [w.op("centred", "Sub", [w.x, mean]), rsqrt])])


def l2_normalised(axis: int) -> Build:
    """The ops that `tf.nn.l2_normalize` creates."""

    def build(w: CaseWriter) -> None:
        square = w.op("square", "Square", [w.x])
        total = w.op("sum", "Sum", [square, w.const("axis", [axis])], keep_dims=True, Tidx=np.int32)
        rsqrt = w.op("rsqrt", "Rsqrt", [w.op("max", "Maximum", [total, w.const("epsilon", 1e-12)])])
        w.op("y", "Mul", [w.x, rsqrt])

    return build


def hard_swish(w: CaseWriter) -> None:
    """MobileNet V3's."""
    gate = w.op("relu6", "Relu6", [w.op("moved", "AddV2", [w.x, w.const("three", 3.0)])])
    w.op("y", "Mul", [w.x, w.op("gate", "Mul", [gate, w.const("sixth", 1 / 6)])])


def softmax(op: str, rank: int) -> Build:
    def build(w: CaseWriter) -> None:
        x = w.x if rank == 4 else w.reshape("rows", w.x, [2, 35, w.channels] if rank == 3 else [-1, w.channels])
        w.op("y", op, [x])

    return build


def select(op: str) -> Build:
    def build(w: CaseWriter) -> None:
        condition = w.op("condition", "Greater", [w.x, w.op("tanh", "Tanh", [w.x])])
        w.op("y", op, [condition, w.op("exp", "Exp", [w.x]), w.op("square", "Square", [w.x])])

    return build


def comparison(op: str) -> Build:
    """A mask from a comparison, cast to numbers."""

    def build(w: CaseWriter) -> None:
        mask = w.op("compared", op, [w.x, w.const("half", 0.5)])
        numbers = w.op("mask", "Cast", [mask], T=None, SrcT=np.bool_, DstT=np.float32)
        w.op("y", "Mul", [w.x, numbers])

    return build


def logic(op: str) -> Build:
    def build(w: CaseWriter) -> None:
        low = w.op("low", "Greater", [w.x, w.const("below", -0.5)])
        high = w.op("high", "Less", [w.x, w.const("above", 0.75)])
        inputs = [w.op("not", "LogicalNot", [low], T=None)] if op == "LogicalNot" else [low, high]
        found = inputs[0] if op == "LogicalNot" else w.op("found", op, inputs, T=None)
        w.op("y", "Mul", [w.x, w.op("mask", "Cast", [found], T=None, SrcT=np.bool_, DstT=np.float32)])

    return build


def select_by_constant(taken: bool) -> Build:
    def build(w: CaseWriter) -> None:
        w.op("y", "Select", [w.const("condition", np.bool_(taken)), w.op("exp", "Exp", [w.x]), w.x])

    return build


def arg_max(op: str, axis: int) -> Build:
    def build(w: CaseWriter) -> None:
        found = w.op("found", op, [w.x, w.const("axis", axis)], Tidx=np.int32, output_type=np.int64)
        w.op("y", "Cast", [found], T=None, SrcT=np.int64, DstT=np.float32)

    return build


def like(op: str) -> Build:
    return lambda w: w.op("y", "Sub", [w.x, w.op("like", op, [w.x])])


def casts(w: CaseWriter) -> None:
    """To whole numbers and back, as quantising does."""
    whole = w.op("whole", "Cast", [w.x], T=None, SrcT=np.float32, DstT=np.int32)
    w.op("y", "Cast", [whole], T=None, SrcT=np.int32, DstT=np.float32)


def add_all(names: Sequence[str], **options: object) -> None:
    for op in names:
        case(op, unary(op), **options, **FEW)


def add() -> None:
    """Adds the cases."""
    add_all((*ROUNDINGS, *ANYWHERE))
    add_all(POSITIVE, low=0.25, high=3.0)
    case("ties-Abs", unary("Abs"), kind="steps", low=-4.0, high=4.0, **FEW)
    case("ties-Round", unary("Round"), kind="steps", low=-2.0, high=2.0, **FEW)
    for op in ("Pow", "SquaredDifference", "FloorDiv", "FloorMod", "Div"):
        case(f"{op}-tensor", two(op), **FEW)
    for value, first in ((2.0, False), (0.5, False), (-1.5, False), (3.0, True)):
        case(f"Pow-constant-{value:g}-{'first' if first else 'second'}", constant("Pow", value, first), **FEW)
    for op in ("FloorDiv", "FloorMod"):
        case(f"{op}-constant", constant(op, 0.3, False), **FEW)
    case("DivNoNan", div_no_nan, **FEW)
    for count in (1, 2, 4):
        case(f"AddN-{count}", add_n(count), **FEW)
    case("batch-norm-unfused", unfused_batch_norm, **FEW)
    case("instance-norm", instance_norm, **FEW)
    for axis in (3, 1, -1):
        case(f"l2-normalised-{axis}", l2_normalised(axis), **FEW)
    case("hard-swish", hard_swish, **FEW)
    case("Softmax-rank-3", softmax("Softmax", 3), **FEW)
    for rank in (2, 3, 4):
        case(f"LogSoftmax-rank-{rank}", softmax("LogSoftmax", rank), **FEW)
    for op in ("Select", "SelectV2"):
        case(op, select(op), **FEW)
    for taken in (True, False):
        case(f"Select-constant-{taken}", select_by_constant(taken), **FEW)
    for op in ("Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual"):
        case(op, comparison(op), kind="steps", **FEW)
    for op in ("LogicalAnd", "LogicalOr", "LogicalNot"):
        case(op, logic(op), **FEW)
    for op in ("ArgMax", "ArgMin"):
        for axis in (3, 1):
            case(f"{op}-{axis}", arg_max(op, axis), kind="steps", **FEW)
    for op in ("OnesLike", "ZerosLike"):
        case(op, like(op), **FEW)
    case("Cast-to-int-and-back", casts, **FEW)
    case("Print", lambda w: w.op("y", "Tanh", [w.op("passed", "Print", [w.x, w.x], U=[np.float32])]), **FEW)
