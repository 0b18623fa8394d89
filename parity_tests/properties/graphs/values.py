"""Steps that add reductions, products, and ops that work on values one at a time."""

from __future__ import annotations

import math

import numpy as np

from parity_tests.properties.graphs.builder import Builder, step
from parity_tests.properties.graphs.choosing import NothingFits, Value

MAX_TERMS = 24


@step("Mean", "Sum", "Max", "Min", "Prod")
def _reduce(builder: Builder, op: str) -> None:
    value = builder.pick(lambda value: value.rank > 1)
    axes = builder.choices.sample(range(1, value.rank), builder.choices.randint(1, value.rank - 1))
    keep = builder.choices.random() < 0.5
    stated = [axis - value.rank if builder.choices.random() < 0.3 else axis for axis in axes]
    read = value.name
    if op in ("Sum", "Prod"):  # of few small numbers: nothing behind it may overflow, or vanish
        if math.prod(value.shape[axis] for axis in axes) > MAX_TERMS:
            raise NothingFits
        read = builder.op("Tanh" if op == "Sum" else "Sigmoid", [read])
    name = builder.op(op, [read, builder.integers(stated)], keep_dims=keep, Tidx=np.int32)
    shape = [1 if axis in axes else size for axis, size in enumerate(value.shape) if keep or axis not in axes]
    builder.add(name, shape, value.exact and op in ("Max", "Min"))


@step("ArgMax", "ArgMin")
def _arg_max(builder: Builder, op: str) -> None:
    value = builder.pick(lambda value: value.exact and value.rank > 1)
    axis = builder.axis(value)
    found = builder.op(op, [value.name, builder.integers(axis)], Tidx=np.int32, output_type=np.int64)
    name = builder.op("Cast", [found], T=None, SrcT=np.int64, DstT=np.float32)
    axis %= value.rank
    builder.add(name, [*value.shape[:axis], *value.shape[axis + 1 :]], exact=True)


@step("MatMul")
def _matmul(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank == 2)
    columns, outputs = value.shape[1], builder.choices.randint(1, 5)
    transposed = builder.choices.random() < 0.5
    matrix = builder.numbers((outputs, columns) if transposed else (columns, outputs))
    name = builder.graph.matmul(builder.name("MatMul"), value.name, matrix, transposed)
    builder.add(name, (value.shape[0], outputs))


@step("BatchMatMul", "BatchMatMulV2")
def _batch_matmul(builder: Builder, op: str) -> None:
    """A value by itself, turned: the products of all pairs of its rows, or of its columns."""
    value = builder.pick(lambda value: value.rank > 2)
    first = builder.choices.random() < 0.5
    name = builder.op(op, [value.name, value.name], adj_x=first, adj_y=not first)
    side = value.shape[-1] if first else value.shape[-2]
    builder.add(builder.op("Tanh", [name]), (*value.shape[:-2], side, side))


KEEPS = ("Relu", "Relu6", "Neg", "Abs", "Identity", "StopGradient", "Sign", "Floor", "Ceil", "Rint", "Round")
JUMPS = ("Sign", "Floor", "Ceil", "Rint", "Round")
SMOOTH = (
    "Elu", "Selu", "Softplus", "Sigmoid", "Tanh", "Softsign", "Erf", "Sin", "Cos", "Softmax", "LogSoftmax", "LeakyRelu",
    "OnesLike", "ZerosLike",
)  # fmt: skip
BOUNDED = ("Exp", "Expm1", "Square")
POSITIVE = ("Log", "Log1p", "Sqrt", "Rsqrt", "Reciprocal", "Inv")


@step(*KEEPS, *SMOOTH, *BOUNDED, *POSITIVE)
def _unary(builder: Builder, op: str) -> None:
    value = builder.pick(lambda value: value.exact or op not in JUMPS)
    name = value.name
    if op in BOUNDED:
        name = builder.op("Tanh", [name])
    if op in POSITIVE:
        half = builder.graph.const(builder.name("Const"), np.float32(0.5))
        name = builder.op("AddV2", [builder.op("Sigmoid", [name]), half])
    more = {"alpha": builder.choices.uniform(0.05, 0.9)} if op == "LeakyRelu" else {}
    builder.add(builder.op(op, [name], **more), value.shape, value.exact and op in KEEPS)


def _second(builder: Builder, value: Value) -> tuple[str, tuple[int, ...], bool]:
    """Returns (name, shape, exact) of a value or constant that broadcasts to the first one's shape."""

    def fits(other: Value) -> bool:
        pairs = zip(other.shape[::-1], value.shape[::-1], strict=False)
        return other.rank <= value.rank and all(a in (1, b) for a, b in pairs)

    other = builder.pick(fits)
    if other is not None and builder.choices.random() < 0.5:
        return other.name, other.shape, other.exact
    behind = builder.choices.randint(0, value.rank)
    shape = tuple(builder.choices.choice((1, size)) for size in value.shape[value.rank - behind :])
    if len(shape) == value.rank:
        shape = (1, *shape[1:])  # a constant that states the batch would be of one batch only
    return builder.numbers(shape), shape, True


@step("Add", "AddV2", "Sub", "Mul", "Maximum", "Minimum", "SquaredDifference", "RealDiv", "DivNoNan", "Pow")
def _binary(builder: Builder, op: str) -> None:
    value = builder.pick()
    name, _, exact = _second(builder, value)
    pair = [value.name, name]
    if op in ("RealDiv", "DivNoNan", "Pow"):
        half = builder.graph.const(builder.name("Const"), np.float32(0.5))
        bounded = 0 if op == "Pow" else 1
        pair[bounded] = builder.op("AddV2", [builder.op("Sigmoid", [pair[bounded]]), half])
        pair[1 - bounded] = builder.op("Tanh", [pair[1 - bounded]])
    elif op in ("Mul", "SquaredDifference"):
        pair = [builder.op("Tanh", [each]) for each in pair]
    elif op == "Sub":  # of two values that nothing makes equal: of their difference only rounding would be left
        pair[1] = builder.op("Exp", [builder.op("Tanh", [pair[1]])])
    elif builder.choices.random() < 0.5:
        pair.reverse()
    exact = exact and value.exact and op in ("Maximum", "Minimum")
    builder.add(builder.op(op, pair), value.shape, exact)


@step("Greater", "GreaterEqual", "Less", "LessEqual", "Equal", "NotEqual")
def _compare(builder: Builder, op: str) -> None:
    """A comparison that selects between two values, or that becomes a number."""
    value = builder.pick(lambda value: value.exact)
    name, _, exact = _second(builder, value)
    if not exact:
        raise NothingFits
    answer = builder.op(op, [value.name, name])
    if builder.choices.random() < 0.3:
        answer = builder.op("LogicalNot", [answer], T=None)
    if builder.choices.random() < 0.4:
        name = builder.op("Cast", [answer], T=None, SrcT=np.bool_, DstT=np.float32)
        builder.add(name, value.shape, exact=True)
    same = [other for other in builder.values if other.shape == value.shape]
    pair = [builder.choices.choice(same) for _ in range(2)]
    name = builder.op("Select", [answer, *(each.name for each in pair)])
    builder.add(name, value.shape, all(each.exact for each in pair))
