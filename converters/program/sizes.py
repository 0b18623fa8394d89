"""Symbolic sizes: numbers that a graph computes from the shapes of its values.

TensorFlow graphs compute shapes with ordinary ops: Shape, StridedSlice, Mul, Pack. Conversion evaluates these ops on
numpy arrays of objects, whose elements are plain numbers or `Size`s. The functions of numpy and the operators of Python
work on both. A layer gets the resulting expression as plain data (`functional.sizes`) and works at every image size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from converters.errors import GraphError
from converters.frozen.graph import Output
from converters.functional.sizes import SIZE_FUNCTIONS

MAX_PARTS = 200  # parts of one expression; real graphs need about a dozen


Operator: TypeAlias = "Callable[[Size, Number], Number]"


def _operators(function: str) -> tuple[Operator, Operator]:
    """Returns the methods for an operator and for its reflected form."""
    return lambda self, other: combine(function, self, other), lambda self, other: combine(function, other, self)


class Size:
    """A number that depends on the image's size.

    Args:
        function: `size`, or a key of `SIZE_FUNCTIONS`.
        operands: for `size`, an output of a node and TensorFlow's axis; otherwise numbers and other sizes.

    Raises:
        GraphError: the expression has more than `MAX_PARTS` parts.
    """

    def __init__(self, function: str, *operands: Any) -> None:
        self.function, self.operands = function, operands
        self.parts: int = 1 + sum(operand.parts for operand in operands if isinstance(operand, Size))
        if self.parts > MAX_PARTS:
            raise GraphError("The graph computes a size in a way that no image network does: it takes too many steps.")

    __add__, __radd__ = _operators("add")
    __sub__, __rsub__ = _operators("sub")
    __mul__, __rmul__ = _operators("mul")
    __truediv__, __rtruediv__ = _operators("div")
    __floordiv__, __rfloordiv__ = _operators("floordiv")
    __mod__, __rmod__ = _operators("mod")

    def __neg__(self) -> Number:
        return combine("sub", 0, self)

    def __repr__(self) -> str:
        return f"{self.function}({', '.join(map(str, self.operands))})"


Number: TypeAlias = int | float | Size

# (function, right operand) pairs for which the function returns its left operand unchanged.
_NEUTRAL = {("add", 0), ("sub", 0), ("mul", 1), ("floordiv", 1)}


def combine(function: str, *operands: Number) -> Number:
    """Applies a function to numbers. The result is a number if all operands are, and a `Size` otherwise."""
    if not any(isinstance(operand, Size) for operand in operands):
        result: Number = SIZE_FUNCTIONS[function](*operands)
        return result
    first, last = operands[0], operands[-1]
    if isinstance(last, int) and (function, last) in _NEUTRAL:
        return first
    if isinstance(first, int) and (function, first) in (("add", 0), ("mul", 1)):
        return last
    return Size(function, *operands)


def elementwise(function: str) -> np.ufunc:
    """Returns a function of arrays of objects that applies a function to each element."""
    count = 1 if function in ("floor", "ceil", "round", "int", "float", "float32") else 2
    return np.frompyfunc(lambda *operands: combine(function, *operands), count, 1)


def shape_of(source: Output, shape: tuple[int | None, ...]) -> np.ndarray:
    """Returns the shape of a value as a vector of numbers; unknown sizes are `Size`s of the value."""
    sizes = [Size("size", source, axis) if size is None else size for axis, size in enumerate(shape)]
    vector = np.empty(len(sizes), object)
    vector[:] = sizes
    return vector
