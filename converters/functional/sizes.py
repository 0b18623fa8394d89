"""Size expressions: sizes that a layer computes from the sizes of its inputs, as plain data.

An expression is a number, `("size", input, dim)` for the size of an input along torch's axis `dim`, or
`(function, operand, ...)` with a key of `SIZE_FUNCTIONS`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

Expression = int | float | str | tuple[Any, ...] | None
"""A size expression, or a part of one."""


def float32(number: float) -> float:
    """Rounds a number to float32, in which TensorFlow computes scaled sizes."""
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


def evaluate_size(expression: Expression, tensors: Sequence[Tensor]) -> Any:
    """Evaluates a size expression.

    Args:
        expression: an expression, as the module's docstring describes it, or None.
        tensors: the layer's inputs.

    Returns:
        A number, or None for None.
    """
    if not isinstance(expression, tuple):
        return expression
    name, *operands = expression
    if name == "size":
        return tensors[operands[0]].shape[operands[1]]
    return SIZE_FUNCTIONS[name](*(evaluate_size(operand, tensors) for operand in operands))


def evaluate_sizes(expressions: Sequence[Expression], tensors: Sequence[Tensor]) -> tuple[int, ...]:
    """Evaluates size expressions to integers. Sizes that a tracer records stay its symbols."""
    found: list[Any] = [evaluate_size(expression, tensors) for expression in expressions]
    kept: list[Any] = [size if isinstance(size, (int, torch.SymInt, Tensor)) else int(size) for size in found]
    return tuple(kept)


def sizes_as_tensor(expressions: Sequence[Expression], tensors: Sequence[Tensor]) -> Tensor:
    """Evaluates size expressions to a tensor of rank 1, with the dtype and device of the first of `tensors`."""
    numbers = [float(evaluate_size(expression, tensors)) for expression in expressions]
    return torch.tensor(numbers, dtype=tensors[0].dtype, device=tensors[0].device)
