"""Steps that add reductions, products, and ops that work on values one at a time."""

from __future__ import annotations

import math

import numpy as np
from onnx import TensorProto

from parity_tests.properties.graphs.choosing import NothingFits, Value
from parity_tests.properties.onnx_graphs.builder import Builder, step

EXACT = ("Relu", "Neg", "Abs", "Identity", "Dropout", "Sign", "Floor", "Ceil", "Round", "Hardmax")
JUMPS = ("Sign", "Floor", "Ceil", "Round", "Hardmax")


def _unary(builder: Builder, op: str, **attributes: object) -> None:
    value = builder.pick(lambda value: value.exact or op not in JUMPS)
    builder.add(builder.op(op, [value.name], **attributes), value.shape, value.exact and op in EXACT)


@step("Relu", "Neg", "Abs", "Identity", "Dropout", "Sigmoid", "Tanh", "Softplus", "Softsign", "Atan",
      "Floor", "Ceil")  # fmt: skip
def _plain(builder: Builder, op: str) -> None:
    _unary(builder, op)


@step("Erf", "Sign", since=9)
def _since_9(builder: Builder, op: str) -> None:
    _unary(builder, op)


@step("Asinh", since=9)
def _asinh(builder: Builder) -> None:
    _unary(builder, "Asinh")


@step("Round", since=11)
def _round(builder: Builder) -> None:
    _unary(builder, "Round")


@step("HardSwish", since=14)
def _hard_swish(builder: Builder) -> None:
    _unary(builder, "HardSwish")


@step("Mish", since=18)
def _mish(builder: Builder) -> None:
    _unary(builder, "Mish")


@step("Gelu", since=20)
def _gelu(builder: Builder) -> None:
    _unary(builder, "Gelu", approximate=builder.choices.choice(("none", "tanh")))


@step("Elu", "LeakyRelu")
def _alpha(builder: Builder, op: str) -> None:
    _unary(builder, op, **({} if builder.choices.random() < 0.3 else {"alpha": builder.choices.uniform(0.05, 2)}))


@step("Celu", since=12)
def _celu(builder: Builder) -> None:
    _unary(builder, "Celu", alpha=builder.choices.uniform(0.5, 2))


@step("HardSigmoid")
def _hard_sigmoid(builder: Builder) -> None:
    _unary(builder, "HardSigmoid", alpha=builder.choices.uniform(0.1, 0.5), beta=builder.choices.uniform(0.2, 0.8))


@step("Selu")
def _selu(builder: Builder) -> None:
    _unary(builder, "Selu", alpha=builder.choices.uniform(1, 2), gamma=builder.choices.uniform(0.5, 1.5))


@step("ThresholdedRelu", since=10)
def _thresholded(builder: Builder) -> None:
    value = builder.pick(lambda value: value.exact)
    name = builder.op("ThresholdedRelu", [value.name], alpha=builder.choices.uniform(0, 1))
    builder.add(name, value.shape, exact=True)


@step("Shrink", since=9)
def _shrink(builder: Builder) -> None:
    value = builder.pick(lambda value: value.exact)
    draw = builder.choices.uniform
    builder.add(builder.op("Shrink", [value.name], bias=draw(0, 0.5), lambd=draw(0, 1)), value.shape)


@step("Exp", "Log", "Sqrt", "Reciprocal")
def _bounded(builder: Builder, op: str) -> None:
    value = builder.pick()
    half = builder.constant(np.array(0.5, np.float32))
    between = builder.op("Add", [builder.op("Sigmoid", [value.name]), half])
    builder.add(builder.op(op, [between]), value.shape)


@step("Sinh", "Cosh", "Atanh", since=9)
def _hyperbolic(builder: Builder, op: str) -> None:
    value = builder.pick()
    half = builder.constant(np.array(0.5, np.float32))
    builder.add(builder.op(op, [builder.op("Mul", [builder.op("Tanh", [value.name]), half])]), value.shape)


@step("Tan", "Asin", "Acos", "Sin", "Cos")
def _inverse(builder: Builder, op: str) -> None:
    value = builder.pick()
    half = builder.constant(np.array(0.5, np.float32))
    builder.add(builder.op(op, [builder.op("Mul", [builder.op("Tanh", [value.name]), half])]), value.shape)


@step("Clip")
def _clip(builder: Builder) -> None:
    value, choices = builder.pick(), builder.choices
    low, high = choices.uniform(-1.5, 0), choices.uniform(0, 1.5)
    if builder.opset < 11:
        name = builder.op("Clip", [value.name], min=low, max=high)
    else:
        limits = [builder.constant(np.array(limit, np.float32)) for limit in (low, high)]
        limits = choices.choice((limits, limits[:1], ["", limits[1]]))
        name = builder.op("Clip", [value.name, *limits])
    builder.add(name, value.shape, value.exact)


@step("Hardmax", since=13)  # that of earlier opsets is refused
def _hardmax(builder: Builder) -> None:
    _softmax(builder, "Hardmax")


@step("Softmax", "LogSoftmax")
def _softmax(builder: Builder, op: str) -> None:
    value = builder.pick(lambda value: value.rank > 1 and (value.exact or op != "Hardmax"))
    axis = builder.axis(value)
    axis = axis if builder.opset >= 11 else axis % value.rank
    builder.add(builder.op(op, [value.name], axis=axis), value.shape, op == "Hardmax")


@step("PRelu")
def _prelu(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank > 1)
    shape = builder.choices.choice(((1,), (value.shape[1], *[1] * (value.rank - 2))))
    builder.add(builder.op("PRelu", [value.name, builder.numbers(shape)]), value.shape)


def _second(builder: Builder, value: Value) -> Value:
    """Returns a value or constant that broadcasts to the first one's shape."""

    def fits(other: Value) -> bool:
        pairs = zip(other.shape[::-1], value.shape[::-1], strict=False)
        return other.rank <= value.rank and all(a in (1, b) for a, b in pairs)

    if builder.choices.random() < 0.5:
        return builder.pick(fits)
    behind = builder.choices.randint(0, value.rank)
    shape = tuple(builder.choices.choice((1, size)) for size in value.shape[value.rank - behind :])
    if len(shape) == value.rank:
        shape = (1, *shape[1:])
    return Value(builder.numbers(shape), shape, exact=True)


@step("Add", "Sub", "Mul", "Div")
def _arithmetic(builder: Builder, op: str) -> None:
    value = builder.pick()
    pair = [value.name, _second(builder, value).name]
    if op == "Div":
        half = builder.constant(np.array(0.5, np.float32))
        pair[1] = builder.op("Add", [builder.op("Sigmoid", [pair[1]]), half])
    elif op == "Mul":
        pair = [builder.op("Tanh", [name]) for name in pair]
    elif op == "Sub":  # of two values that nothing makes equal: of their difference only rounding would be left
        pair[1] = builder.op("Exp", [builder.op("Tanh", [pair[1]])])
    if op in ("Add", "Sub") and builder.choices.random() < 0.5:
        pair.reverse()
    builder.add(builder.op(op, pair), value.shape)


@step("Pow")
def _power(builder: Builder) -> None:
    value = builder.pick()
    half = builder.constant(np.array(0.5, np.float32))
    base = builder.op("Add", [builder.op("Sigmoid", [value.name]), half])
    builder.add(builder.op("Pow", [base, builder.op("Tanh", [_second(builder, value).name])]), value.shape)


@step("Mod", since=10)
def _mod(builder: Builder) -> None:
    value = builder.pick(lambda value: value.exact)
    divisor = builder.constant(np.array(builder.choices.uniform(0.3, 1.5), np.float32))
    builder.add(builder.op("Mod", [value.name, divisor], fmod=1), value.shape)


@step("Max", "Min", since=8)
def _extreme(builder: Builder, op: str) -> None:
    _variadic(builder, op)


@step("Sum", "Mean", since=8)
def _total(builder: Builder, op: str) -> None:
    _variadic(builder, op)


def _variadic(builder: Builder, op: str) -> None:
    value = builder.pick()
    parts = [value, *(_second(builder, value) for _ in range(builder.choices.randint(0, 2)))]
    exact = op in ("Max", "Min") and all(part.exact for part in parts)
    builder.add(builder.op(op, [part.name for part in parts]), value.shape, exact)


@step("Greater", "Less", since=9)
def _compare(builder: Builder, op: str) -> None:
    _comparison(builder, op)


@step("GreaterOrEqual", "LessOrEqual", since=12)
def _compare_or_equal(builder: Builder, op: str) -> None:
    _comparison(builder, op)


@step("Equal", since=11)
def _equal(builder: Builder) -> None:
    _comparison(builder, "Equal")


def _comparison(builder: Builder, op: str) -> None:
    """A comparison that selects between two values, or that becomes a number."""
    value = builder.pick(lambda value: value.exact)
    other = _second(builder, value)
    if not other.exact:
        raise NothingFits
    answer = builder.op(op, [value.name, other.name])
    if builder.choices.random() < 0.3:
        answer = builder.op("Not", [answer])
    if builder.choices.random() < 0.3:
        limit = builder.constant(np.array(builder.choices.uniform(-1, 1), np.float32))
        join = builder.choices.choice(("And", "Or", "Xor"))
        answer = builder.op(join, [answer, builder.op("Less", [value.name, limit])])
    if builder.choices.random() < 0.4:
        builder.add(builder.op("Cast", [answer], to=TensorProto.FLOAT), value.shape, exact=True)
        return
    pair = [_second(builder, value) for _ in range(2)]
    name = builder.op("Where", [answer, *(each.name for each in pair)])
    builder.add(name, value.shape, all(each.exact for each in pair))


REDUCTIONS = (
    "ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare",
    "ReduceLogSum", "ReduceLogSumExp",
)  # fmt: skip


BOUNDED = {
    "ReduceLogSum": "Sigmoid", "ReduceLogSumExp": "Tanh", "ReduceProd": "Sigmoid", "ReduceSum": "Tanh",
    "ReduceSumSquare": "Tanh",
}  # fmt: skip
MAX_TERMS = 24


@step(*REDUCTIONS)
def _reduce(builder: Builder, op: str) -> None:
    value, choices = builder.pick(lambda value: value.rank > 1), builder.choices
    axes = choices.sample(range(1, value.rank), choices.randint(1, value.rank - 1))
    keep = choices.random() < 0.5
    stated = [axis - value.rank for axis in axes] if builder.may(11, 0.3) else axes
    read = value.name
    if op in BOUNDED:  # nothing behind it may overflow, or vanish
        if math.prod(value.shape[axis] for axis in axes) > MAX_TERMS:
            raise NothingFits
        read = builder.op(BOUNDED[op], [read])
    if builder.opset >= (13 if op == "ReduceSum" else 18):
        name = builder.op(op, [read, builder.integers(stated)], keepdims=int(keep))
    else:
        name = builder.op(op, [read], axes=stated, keepdims=int(keep))
    shape = [1 if axis in axes else size for axis, size in enumerate(value.shape) if keep or axis not in axes]
    builder.add(name, shape, value.exact and op in ("ReduceMax", "ReduceMin"))


@step("ArgMax", "ArgMin")
def _arg_max(builder: Builder, op: str) -> None:
    value = builder.pick(lambda value: value.exact and value.rank > 1)
    axis = builder.choices.randrange(1, value.rank)
    keep = builder.choices.randint(0, 1)
    more = {"select_last_index": 1} if builder.may(12, 0.3) else {}
    found = builder.op(op, [value.name], axis=axis, keepdims=keep, **more)
    shape = [*value.shape[:axis], *[1] * keep, *value.shape[axis + 1 :]]
    builder.add(builder.op("Cast", [found], to=TensorProto.FLOAT), shape, exact=True)


@step("Gemm")
def _gemm(builder: Builder) -> None:
    value, choices = builder.pick(lambda value: value.rank == 2), builder.choices
    outputs, turned = choices.randint(1, 5), choices.randint(0, 1)
    shape = (outputs, value.shape[1]) if turned else (value.shape[1], outputs)
    factors = {"alpha": choices.uniform(0.5, 2), "beta": choices.uniform(0.5, 2)} if choices.random() < 0.5 else {}
    inputs = [value.name, builder.weights(shape, value.shape[1])]
    if builder.opset < 11 or choices.random() < 0.7:
        inputs.append(builder.numbers(choices.choice(((outputs,), (1, outputs), (1,)))))
    builder.add(builder.op("Gemm", inputs, transB=turned, **factors), (value.shape[0], outputs))


@step("MatMul")
def _matmul(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank >= 2)
    outputs = builder.choices.randint(1, 4)
    matrix = builder.weights((value.shape[-1], outputs), value.shape[-1])
    builder.add(builder.op("MatMul", [value.name, matrix]), (*value.shape[:-1], outputs))


@step("Einsum", since=12)
def _einsum(builder: Builder) -> None:
    value = builder.pick(lambda value: value.rank == 3)
    equation, axis = builder.choices.choice((("nij,nkj->nik", 1), ("nij,nik->njk", 2)))
    side = value.shape[axis]
    name = builder.op("Einsum", [value.name, value.name], equation=equation)
    builder.add(builder.op("Tanh", [name]), (value.shape[0], side, side))
