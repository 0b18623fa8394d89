"""Random numbers with known bounds, which simplify dropout with a keep probability of 1."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable


class Interval:
    """A random number from [low, high).

    Dropout with a keep probability of 1 takes a random number from [0, 1). It adds 1 and rounds down, or it tests
    whether the number is at least 0. In both cases the bounds of the number determine the result.

    Args:
        low: the lower bound, included.
        high: the upper bound, excluded.
    """

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def _map(self, function: Callable[[float, float], float], other: float) -> Interval:
        ends = sorted((function(self.low, float(other)), function(self.high, float(other))))
        return Interval(*ends)

    def __add__(self, other: float) -> Interval:
        return self._map(operator.add, other)

    def __sub__(self, other: float) -> Interval:
        return self._map(operator.sub, other)

    def __mul__(self, other: float) -> Interval:
        return self._map(operator.mul, other)

    def __truediv__(self, other: float) -> Interval:
        return self._map(operator.truediv, other)

    __radd__, __rmul__ = __add__, __mul__

    def floor(self) -> float | Interval:
        """Returns the number rounded down if it is the same for the whole interval, otherwise the interval."""
        low = math.floor(self.low)
        return float(low) if self.high <= low + 1 else self

    def at_least(self, other: float) -> bool | Interval:
        """Returns whether the number is at least `other` if the bounds determine this, otherwise the interval."""
        return True if self.low >= other else False if self.high <= other else self

    def __repr__(self) -> str:
        return f"a random number from {self.low:g} to {self.high:g}"
