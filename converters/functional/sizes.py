"""Sizes that follow from other values' sizes when a layer runs, written as plain data.

An expression is a number, `("size", input, dim)` for the length of a layer's input along torch's axis `dim`, or
`(function, operand, ...)` with a function of `SIZE_FUNCTIONS`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor


def float32(number: float) -> float:
    """A number rounded to float32, in which TensorFlow computes scaled sizes."""
    if not math.isfinite(number):
        return number
    mantissa, exponent = math.frexp(number)
    return math.ldexp(round(mantissa * 2**24), exponent - 24)


SIZE_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "max": max,
    "min": min,
    "floor": math.floor,
    "ceil": math.ceil,
    "round": round,
    "int": int,
    "float": float,
    "float32": float32,
}


def evaluate_size(expression: Any, tensors: Sequence[Tensor]) -> Any:
    """The number that an expression stands for.

    Args:
        expression: see above.
        tensors: the layer's inputs.
    """
    if not isinstance(expression, tuple):
        return expression
    name, *operands = expression
    if name == "size":
        return tensors[operands[0]].shape[operands[1]]
    return SIZE_FUNCTIONS[name](*(evaluate_size(operand, tensors) for operand in operands))


def evaluate_sizes(expressions: Sequence[Any], tensors: Sequence[Tensor]) -> tuple[int, ...]:
    """The whole numbers that some expressions stand for."""
    return tuple(int(evaluate_size(expression, tensors)) for expression in expressions)
