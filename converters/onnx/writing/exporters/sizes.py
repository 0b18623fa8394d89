"""Writes expressions of sizes (`converters.functional.sizes`) as nodes that compute them.

They are computed in float64, which holds every size exactly and rounds quotients as Python does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from converters.onnx.nodes import NodeWriter
from converters.onnx.writing.exporters.base import Call

Expression: TypeAlias = "int | float | tuple[Any, ...]"  # a number, or (name of a function, *operands)

FLOAT, INT64, DOUBLE = 1, 7, 11  # numbers of dtypes in onnx.TensorProto


def whole_numbers(call: Call, w: NodeWriter, expressions: Sequence[Expression], what: str) -> str:
    """Writes a vector of int64: a constant if all expressions are numbers, nodes that compute it otherwise.

    Args:
        call: the layer whose inputs the expressions refer to.
        w: gets the nodes.
        expressions: one expression for each element of the vector.
        what: text that the names of the nodes contain.

    Returns:
        The vector's name.
    """
    known = [int(expression) for expression in expressions if not isinstance(expression, tuple)]
    if len(known) == len(expressions):
        return w.integers(what, known)
    numbers = [_number(call, w, expression, what) for expression in expressions]
    joined = w.part("Concat", numbers, what, axis=0) if len(numbers) > 1 else numbers[0]
    return w.part("Cast", [joined], what, to=INT64)


def numbers(call: Call, w: NodeWriter, expressions: Sequence[Expression], what: str) -> str:
    """Writes a vector of float32; otherwise like `whole_numbers`."""
    found = [_number(call, w, expression, what) for expression in expressions]
    return w.part("Cast", [w.part("Concat", found, what, axis=0)], what, to=FLOAT)


def bounds(call: Call, w: NodeWriter, begins: Sequence[Expression], ends: Sequence[Expression]) -> list[str]:
    """Writes the bounds of a Slice, and returns their names."""
    return [whole_numbers(call, w, begins, "begin"), whole_numbers(call, w, ends, "end")]


def _number(call: Call, w: NodeWriter, expression: Expression, what: str) -> str:
    """Writes a vector of one float64."""
    if not isinstance(expression, tuple):
        return w.constant(what, np.array([expression], np.float64))
    function, *operands = expression
    if function == "size":
        value, axis = call.values[operands[0]], operands[1]
        size = w.part("Shape", [value.name], f"{what}_size", start=axis, end=axis + 1)
        return w.part("Cast", [size], what, to=DOUBLE)
    values = [_number(call, w, operand, what) for operand in operands]
    return FUNCTIONS[function](w, values, f"{what}_{function}")


Function = Callable[[NodeWriter, list[str], str], str]


def _plain(op: str) -> Function:
    return lambda w, values, name: w.part(op, values, name)


def _cast_through(kind: int) -> Function:
    return lambda w, values, name: w.part("Cast", [w.part("Cast", values, name, to=kind)], name, to=DOUBLE)


def _floor_quotient(w: NodeWriter, values: list[str], name: str) -> str:
    return w.part("Floor", [w.part("Div", values, name)], name)


def _remainder(w: NodeWriter, values: list[str], name: str) -> str:
    whole = w.part("Mul", [_floor_quotient(w, values, name), values[1]], name)
    return w.part("Sub", [values[0], whole], name)


FUNCTIONS: dict[str, Function] = {
    "add": _plain("Add"),
    "sub": _plain("Sub"),
    "mul": _plain("Mul"),
    "div": _plain("Div"),
    "floordiv": _floor_quotient,
    "mod": _remainder,
    "max": _plain("Max"),
    "min": _plain("Min"),
    "floor": _plain("Floor"),
    "ceil": _plain("Ceil"),
    "round": _plain("Round"),
    "int": _cast_through(INT64),
    "float": lambda w, values, name: values[0],
    "float32": _cast_through(FLOAT),
}
