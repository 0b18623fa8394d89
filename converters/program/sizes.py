"""Numbers that a graph computes from its values' sizes, as far as they are known before anything runs.

TensorFlow graphs compute shapes with the same ops as everything else: Shape, StridedSlice, Mul, Pack. Here such a
vector is a numpy array of objects whose elements are plain numbers or `Size`s; numpy's functions and Python's
operators work on both. A layer gets the outcome as plain data (`functional.sizes`) and works at every image size.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np

from converters.errors import GraphError
from converters.frozen.graph import Output
from converters.functional.sizes import SIZE_FUNCTIONS

MAX_PARTS = 200  # of one expression; an honest graph needs a dozen


class Size:
    """A number that depends on the image's size.

    Args:
        function: `size`, or a key of `SIZE_FUNCTIONS`.
        operands: for `size`, an output of a node and TensorFlow's axis; otherwise numbers and other sizes.

    Raises:
        GraphError: the expression is longer than any honest graph's.
    """

    def __init__(self, function: str, *operands: Any) -> None:
        self.function, self.operands = function, operands
        self.parts: int = 1 + sum(operand.parts for operand in operands if isinstance(operand, Size))
        if self.parts > MAX_PARTS:
            raise GraphError("The graph computes a size in a way that no image network does: it takes too many steps.")

    def __add__(self, other: Number) -> Number:
        return combine("add", self, other)

    def __radd__(self, other: Number) -> Number:
        return combine("add", other, self)

    def __sub__(self, other: Number) -> Number:
        return combine("sub", self, other)

    def __rsub__(self, other: Number) -> Number:
        return combine("sub", other, self)

    def __mul__(self, other: Number) -> Number:
        return combine("mul", self, other)

    def __rmul__(self, other: Number) -> Number:
        return combine("mul", other, self)

    def __truediv__(self, other: Number) -> Number:
        return combine("div", self, other)

    def __rtruediv__(self, other: Number) -> Number:
        return combine("div", other, self)

    def __floordiv__(self, other: Number) -> Number:
        return combine("floordiv", self, other)

    def __rfloordiv__(self, other: Number) -> Number:
        return combine("floordiv", other, self)

    def __mod__(self, other: Number) -> Number:
        return combine("mod", self, other)

    def __rmod__(self, other: Number) -> Number:
        return combine("mod", other, self)

    def __neg__(self) -> Number:
        return combine("sub", 0, self)

    def __repr__(self) -> str:
        return f"{self.function}({', '.join(map(str, self.operands))})"


Number: TypeAlias = int | float | Size

# (function, operand on the right) that changes nothing.
_NEUTRAL = {("add", 0), ("sub", 0), ("mul", 1), ("floordiv", 1)}


def combine(function: str, *operands: Number) -> Number:
    """A function of numbers: at once where all are known, as a `Size` otherwise."""
    if not any(isinstance(operand, Size) for operand in operands):
        result: Number = SIZE_FUNCTIONS[function](*operands)
        return result
    first, last = operands[0], operands[-1]
    if isinstance(last, int) and (function, last) in _NEUTRAL:
        return first
    if isinstance(first, int) and (function, first) in (("add", 0), ("mul", 1)):
        return last
    return Size(function, *operands)


def elementwise(function: str) -> Callable[..., Any]:
    """A function of arrays of objects."""
    count = 1 if function in ("floor", "ceil", "round", "int", "float", "float32") else 2
    return np.frompyfunc(lambda *operands: combine(function, *operands), count, 1)


def shape_of(source: Output, shape: tuple[int | None, ...]) -> np.ndarray:
    """The shape of a value as a vector of numbers; a size that is not known refers to the value."""
    sizes = [Size("size", source, axis) if size is None else size for axis, size in enumerate(shape)]
    vector = np.empty(len(sizes), object)
    vector[:] = sizes
    return vector
