"""Activations and arithmetic, one value at a time."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from converters.onnx.nodes import NodeWriter
from converters.onnx.writing.exporters.base import Call, Exporter, Value, exports

# Numbers of onnx.TensorProto.
KINDS = {"float": 1, "int": 7, "bool": 9}

PLAIN = {
    "Elu": "Elu",
    "Identity": "Identity",
    "Relu": "Relu",
    "Selu": "Selu",  # ONNX's own constants are TensorFlow's
    "Sigmoid": "Sigmoid",
    "Softplus": "Softplus",
    "StopGradient": "Identity",
    "Tanh": "Tanh",
}


def _plain(op: str) -> Exporter:
    def write(call: Call, w: NodeWriter) -> list[Value]:
        w.result(op, [call.x.name], [call.name])
        return call.same()

    return write


for _kind, _op in PLAIN.items():
    exports(_kind)(_plain(_op))


def as_kind(call: Call, w: NodeWriter, value: Value, kind: str) -> str:
    """The name of a value made of another kind of numbers, if it is of another."""
    return value.name if value.kind == kind else w.part("Cast", [value.name], call.part(kind), to=KINDS[kind])


@exports("Relu6")
def relu6(call: Call, w: NodeWriter) -> list[Value]:
    ends = [w.number(call.part("low"), 0.0), w.number(call.part("high"), 6.0)]
    w.result("Clip", [call.x.name, *ends], [call.name])
    return call.same()


@exports("LeakyRelu")
def leaky_relu(call: Call, w: NodeWriter) -> list[Value]:
    w.result("LeakyRelu", [call.x.name], [call.name], alpha=float(call.arguments["alpha"]))
    return call.same()


def _softmax(op: str) -> Exporter:
    def write(call: Call, w: NodeWriter) -> list[Value]:
        dim = call.arguments["dim"]
        axis = dim if dim is not None else 1 if call.x.rank == 4 else -1
        w.result(op, [call.x.name], [call.name], axis=axis)
        return call.same()

    return write


exports("Softmax")(_softmax("Softmax"))
exports("LogSoftmax")(_softmax("LogSoftmax"))


@exports("Cast")
def cast(call: Call, w: NodeWriter) -> list[Value]:
    kind = call.arguments["kind"]
    w.result("Cast", [call.x.name], [call.name], to=KINDS[kind])
    return call.same(kind=kind)


# -- functions of one value -------------------------------------------------------------------------------------------

UNARY = {
    "abs": "Abs",
    "ceil": "Ceil",
    "cos": "Cos",
    "erf": "Erf",
    "exp": "Exp",
    "floor": "Floor",
    "log": "Log",
    "neg": "Neg",
    "reciprocal": "Reciprocal",
    "round": "Round",
    "sign": "Sign",
    "sin": "Sin",
    "softsign": "Softsign",
    "sqrt": "Sqrt",
}


def _expm1(call: Call, w: NodeWriter) -> None:
    exponential = w.part("Exp", [call.x.name], call.part("exp"))
    w.result("Sub", [exponential, w.number(call.part("one"), 1.0)], [call.name])


def _log1p(call: Call, w: NodeWriter) -> None:
    w.result("Log", [w.part("Add", [call.x.name, w.number(call.part("one"), 1.0)], call.part("sum"))], [call.name])


def _rsqrt(call: Call, w: NodeWriter) -> None:
    w.result("Reciprocal", [w.part("Sqrt", [call.x.name], call.part("root"))], [call.name])


def _square(call: Call, w: NodeWriter) -> None:
    w.result("Mul", [call.x.name] * 2, [call.name])


def _not(call: Call, w: NodeWriter) -> None:
    w.result("Not", [as_kind(call, w, call.x, "bool")], [call.name])


def _zeros(call: Call, w: NodeWriter) -> None:
    w.result("Mul", [call.x.name, w.number(call.part("zero"), 0.0)], [call.name])


def _ones(call: Call, w: NodeWriter) -> None:
    zeros = w.part("ConstantOfShape", [w.part("Shape", [call.x.name], call.part("shape"))], call.part("zeros"))
    w.result("Add", [zeros, w.number(call.part("one"), 1.0)], [call.name])


COMPOSED: dict[str, Callable[[Call, NodeWriter], None]] = {
    "expm1": _expm1,
    "log1p": _log1p,
    "not": _not,
    "ones_like": _ones,
    "rsqrt": _rsqrt,
    "square": _square,
    "zeros_like": _zeros,
}


@exports("Unary")
def unary(call: Call, w: NodeWriter) -> list[Value]:
    function = call.arguments["function"]
    if call.x.kind != "float" and function != "not":
        raise call.error(f"takes {function} of numbers that are {call.x.kind}")
    if function in UNARY:
        w.result(UNARY[function], [call.x.name], [call.name])
    else:
        COMPOSED[function](call, w)
    return call.same(kind="bool" if function == "not" else None)


# -- functions of two -------------------------------------------------------------------------------------------------

ARITHMETIC = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "maximum": "Max", "minimum": "Min", "pow": "Pow"}
COMPARISONS = {
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "equal": "Equal",
}
LOGIC = {"and": "And", "or": "Or"}


def _floor_quotient(call: Call, w: NodeWriter, x: str, y: str) -> None:
    w.result("Floor", [w.part("Div", [x, y], call.part("quotient"))], [call.name])


def _remainder(call: Call, w: NodeWriter, x: str, y: str) -> None:
    whole = w.part("Floor", [w.part("Div", [x, y], call.part("quotient"))], call.part("whole"))
    w.result("Sub", [x, w.part("Mul", [whole, y], call.part("multiple"))], [call.name])


def _squared_difference(call: Call, w: NodeWriter, x: str, y: str) -> None:
    difference = w.part("Sub", [x, y], call.part("difference"))
    w.result("Mul", [difference, difference], [call.name])


def _quotient_or_zero(call: Call, w: NodeWriter, x: str, y: str) -> None:
    zero, one = w.number(call.part("zero"), 0.0), w.number(call.part("one"), 1.0)
    is_zero = w.part("Equal", [y, zero], call.part("is_zero"))
    quotient = w.part("Div", [x, w.part("Where", [is_zero, one, y], call.part("divisor"))], call.part("quotient"))
    w.result("Where", [is_zero, zero, quotient], [call.name])


def _not_equal(call: Call, w: NodeWriter, x: str, y: str) -> None:
    w.result("Not", [w.part("Equal", [x, y], call.part("equal"))], [call.name])


COMBINED: dict[str, Callable[[Call, NodeWriter, str, str], None]] = {
    "div_no_nan": _quotient_or_zero,
    "floordiv": _floor_quotient,
    "mod": _remainder,
    "not_equal": _not_equal,
    "squared_difference": _squared_difference,
}


@exports("Binary")
def binary(call: Call, w: NodeWriter) -> list[Value]:
    function = call.arguments["function"]
    sides = list(call.values)
    if "constant" in call.tensors:
        constant = call.tensors["constant"]
        sides.append(Value(w.constant(call.part("constant"), constant), constant.ndim))
    if call.arguments["constant_first"]:
        sides.reverse()
    kind = "bool" if function in LOGIC else "float"
    x, y = (as_kind(call, w, side, kind) for side in sides)
    op = {**ARITHMETIC, **COMPARISONS, **LOGIC}.get(function)
    if op is None:
        COMBINED[function](call, w, x, y)
    else:
        w.result(op, [x, y], [call.name])
    is_bool = function in COMPARISONS or function in LOGIC or function == "not_equal"
    return call.same(max(side.rank for side in sides), "bool" if is_bool else "float")


def _as_floats(call: Call, w: NodeWriter, values: Sequence[Value]) -> list[str]:
    return [as_kind(call, w, value, "float") for value in values]


@exports("Sum")
def add_all(call: Call, w: NodeWriter) -> list[Value]:
    w.result("Sum", _as_floats(call, w, call.values), [call.name])
    return call.same(max(value.rank for value in call.values), "float")


@exports("Select")
def select(call: Call, w: NodeWriter) -> list[Value]:
    condition = as_kind(call, w, call.x, "bool")
    w.result("Where", [condition, *_as_floats(call, w, call.values[1:])], [call.name])
    return call.same(max(value.rank for value in call.values), "float")


@exports("Constant")
def constant(call: Call, w: NodeWriter) -> list[Value]:
    value: np.ndarray = call.tensors["value"]
    w.result("Identity", [w.constant(call.part("value"), value)], [call.name])
    return [Value(call.name, value.ndim)]
