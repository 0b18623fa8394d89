"""Activations and elementwise arithmetic."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from converters.onnx.nodes import NodeWriter
from converters.onnx.writing.exporters.base import Call, Exporter, Value, exports

# Kind of number -> dtype, as its number in onnx.TensorProto.
KINDS = {"float": 1, "int": 7, "bool": 9}

PLAIN = {
    "Elu": "Elu",
    "Identity": "Identity",
    "Relu": "Relu",
    "Selu": "Selu",  # the default constants of ONNX are those of TensorFlow
    "Sigmoid": "Sigmoid",
    "Softplus": "Softplus",
    "StopGradient": "Identity",
    "Tanh": "Tanh",
}


def _plain(op: str) -> Exporter:
    return lambda call, w: call.result(w, op, [call.x.name])


for _kind, _op in PLAIN.items():
    exports(_kind)(_plain(_op))


def as_kind(w: NodeWriter, value: Value, kind: str) -> str:
    """Returns the name of a value, which is cast if it is not of the given kind."""
    return value.name if value.kind == kind else w.part("Cast", [value.name], kind, to=KINDS[kind])


@exports("Relu6")
def relu6(call: Call, w: NodeWriter) -> list[Value]:
    return call.result(w, "Clip", [call.x.name, w.number("low", 0.0), w.number("high", 6.0)])


@exports("LeakyRelu")
def leaky_relu(call: Call, w: NodeWriter) -> list[Value]:
    return call.result(w, "LeakyRelu", [call.x.name], alpha=float(call.arguments["alpha"]))


def _softmax(op: str) -> Exporter:
    def write(call: Call, w: NodeWriter) -> list[Value]:
        dim = call.arguments["dim"]
        axis = dim if dim is not None else 1 if call.x.rank == 4 else -1
        return call.result(w, op, [call.x.name], axis=axis)

    return write


exports("Softmax")(_softmax("Softmax"))
exports("LogSoftmax")(_softmax("LogSoftmax"))


@exports("Cast")
def cast(call: Call, w: NodeWriter) -> list[Value]:
    kind = call.arguments["kind"]
    return call.result(w, "Cast", [call.x.name], kind=kind, to=KINDS[kind])


# -- functions of one value -------------------------------------------------------------------------------------------

Node = tuple[str, list[str]]  # an op and the names of its inputs


def _ones(w: NodeWriter, x: str) -> Node:
    zeros = w.part("ConstantOfShape", [w.part("Shape", [x], "shape")], "zeros")
    return "Add", [zeros, w.number("one", 1.0)]


UNARY: Mapping[str, str | Callable[[NodeWriter, str], Node]] = {
    "abs": "Abs",
    "ceil": "Ceil",
    "cos": "Cos",
    "erf": "Erf",
    "exp": "Exp",
    "expm1": lambda w, x: ("Sub", [w.part("Exp", [x], "exp"), w.number("one", 1.0)]),
    "floor": "Floor",
    "log": "Log",
    "log1p": lambda w, x: ("Log", [w.part("Add", [x, w.number("one", 1.0)], "sum")]),
    "neg": "Neg",
    "not": "Not",
    "ones_like": _ones,
    "reciprocal": "Reciprocal",
    "round": "Round",
    "rsqrt": lambda w, x: ("Reciprocal", [w.part("Sqrt", [x], "root")]),
    "sign": "Sign",
    "sin": "Sin",
    "softsign": "Softsign",
    "sqrt": "Sqrt",
    "square": lambda w, x: ("Mul", [x, x]),
    "zeros_like": lambda w, x: ("Mul", [x, w.number("zero", 0.0)]),
}


@exports("Unary")
def unary(call: Call, w: NodeWriter) -> list[Value]:
    function = call.arguments["function"]
    kind = "bool" if function == "not" else "float"
    if call.x.kind != "float" and kind == "float":
        raise call.error(f"takes {function} of numbers that are {call.x.kind}")
    node, x = UNARY[function], as_kind(w, call.x, kind)
    op, inputs = (node, [x]) if isinstance(node, str) else node(w, x)
    return call.result(w, op, inputs, kind=kind)


# -- functions of several values --------------------------------------------------------------------------------------


def _remainder(w: NodeWriter, x: str, y: str) -> Node:
    whole = w.part("Floor", [w.part("Div", [x, y], "quotient")], "whole")
    return "Sub", [x, w.part("Mul", [whole, y], "multiple")]


def _squared_difference(w: NodeWriter, x: str, y: str) -> Node:
    return "Mul", [w.part("Sub", [x, y], "difference")] * 2


def _quotient_or_zero(w: NodeWriter, x: str, y: str) -> Node:
    zero, one = w.number("zero", 0.0), w.number("one", 1.0)
    is_zero = w.part("Equal", [y, zero], "is_zero")
    quotient = w.part("Div", [x, w.part("Where", [is_zero, one, y], "divisor")], "quotient")
    return "Where", [is_zero, zero, quotient]


LOGIC = {"and": "And", "or": "Or"}
COMPARISONS: Mapping[str, str | Callable[[NodeWriter, str, str], Node]] = {
    "greater": "Greater",
    "greater_equal": "GreaterOrEqual",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "equal": "Equal",
    "not_equal": lambda w, x, y: ("Not", [w.part("Equal", [x, y], "equal")]),
}
BINARY: Mapping[str, str | Callable[[NodeWriter, str, str], Node]] = {
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "maximum": "Max",
    "minimum": "Min",
    "pow": "Pow",
    "div_no_nan": _quotient_or_zero,
    "floordiv": lambda w, x, y: ("Floor", [w.part("Div", [x, y], "quotient")]),
    "mod": _remainder,
    "squared_difference": _squared_difference,
    **COMPARISONS,
    **LOGIC,
}


@exports("Binary")
def binary(call: Call, w: NodeWriter) -> list[Value]:
    function = call.arguments["function"]
    sides = list(call.values)
    if "constant" in call.tensors:
        constant = call.tensors["constant"]
        sides.append(Value(w.constant("constant", constant), constant.ndim))
    if call.arguments["constant_first"]:
        sides.reverse()
    x, y = (as_kind(w, side, "bool" if function in LOGIC else "float") for side in sides)
    node = BINARY[function]
    op, inputs = (node, [x, y]) if isinstance(node, str) else node(w, x, y)
    is_bool = function in COMPARISONS or function in LOGIC
    return call.result(w, op, inputs, rank=max(side.rank for side in sides), kind="bool" if is_bool else "float")


@exports("Sum")
def add_all(call: Call, w: NodeWriter) -> list[Value]:
    names = [as_kind(w, value, "float") for value in call.values]
    return call.result(w, "Sum", names, rank=call.largest_rank, kind="float")


@exports("Select")
def select(call: Call, w: NodeWriter) -> list[Value]:
    names = [as_kind(w, call.x, "bool"), *(as_kind(w, value, "float") for value in call.values[1:])]
    return call.result(w, "Where", names, rank=call.largest_rank, kind="float")


@exports("Constant")
def constant(call: Call, w: NodeWriter) -> list[Value]:
    value: np.ndarray = call.tensors["value"]
    w.result("Identity", [w.constant("value", value)], [call.name])
    return [Value(call.name, value.ndim)]
