"""Random numbers of which a graph only uses what all of them have in common."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any


class Interval:
    """A random number of which only its bounds are known.

    Dropout that was left in a graph with nothing to drop adds 1 to a random number from [0, 1) and rounds down, or
    asks whether it is at least 0: the outcome is known, though the number is not.

    Args:
        low: least value.
        high: bound that is never reached.
    """

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    def _moved(self, function: Callable[[float, float], float], other: Any) -> Interval:
        ends = sorted((function(self.low, float(other)), function(self.high, float(other))))
        return Interval(*ends)

    def __add__(self, other: float) -> Interval:
        return self._moved(operator.add, other)

    def __sub__(self, other: float) -> Interval:
        return self._moved(operator.sub, other)

    def __mul__(self, other: float) -> Interval:
        return self._moved(operator.mul, other)

    def __truediv__(self, other: float) -> Interval:
        return self._moved(operator.truediv, other)

    __radd__, __rmul__ = __add__, __mul__

    def floor(self) -> float | Interval:
        """The number rounded down, where that is the same for all."""
        low = math.floor(self.low)
        return float(low) if self.high <= low + 1 else self

    def at_least(self, other: float) -> bool | Interval:
        """Whether the number is not less than another, where that is the same for all."""
        return True if self.low >= other else False if self.high <= other else self

    def __repr__(self) -> str:
        return f"a random number from {self.low:g} to {self.high:g}"
