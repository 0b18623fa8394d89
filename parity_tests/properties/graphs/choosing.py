"""Random choices of a graph that grows: the values that nodes may read, and the steps that add nodes."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

MAX_VALUES = 3000
MAX_RANK = 5
NODES = (4, 14)
SIDES = (4, 11)

C = TypeVar("C", bound="Chooser")


class NothingFits(Exception):
    """A step finds no value that its op can read."""


@dataclass(frozen=True)
class Value:
    """A value of the graph.

    Attributes:
        name: name of the node, or `node:index`.
        shape: sizes in the graph's order.
        exact: whether libraries compute it without rounding, so that their values are equal.
    """

    name: str
    shape: tuple[int, ...]
    exact: bool = False

    @property
    def rank(self) -> int:
        return len(self.shape)


class Chooser:
    """A graph that grows by random choices.

    Args:
        choices: source of all choices.
        image: the graph's input.

    Attributes:
        values: the values that nodes may read.
    """

    def __init__(self, choices: random.Random, image: Value) -> None:
        self.choices = choices
        self.values = [image]
        self._count = 0

    def name(self, op: str) -> str:
        """Returns a new name; some are inside of a scope."""
        self._count += 1
        return f"{self.choices.choice(('', '', 'scope/'))}n{self._count}_{op}"

    def pick(self, accepts: Callable[[Value], bool] = lambda value: True) -> Value:
        """Returns a value that fits; late values are likely.

        Raises:
            NothingFits: there is none.
        """
        fitting = [value for value in self.values if accepts(value)]
        if not fitting:
            raise NothingFits
        return self.choices.choice(fitting[-3:] if self.choices.random() < 0.7 else fitting)

    def image(self) -> Value:
        """Returns a value of rank 4 whose axes all have a length."""
        return self.pick(lambda value: value.rank == 4)

    def add(self, name: str, shape: Sequence[int], exact: bool = False) -> None:
        """Makes a value readable, if it is neither empty nor too large."""
        value = Value(name, tuple(shape), exact)
        if 0 < math.prod(shape) <= MAX_VALUES and value.rank <= MAX_RANK:
            self.values.append(value)

    def axis(self, value: Value, first: int = 1) -> int:
        """Returns an axis behind the batch, as it is written: it may be negative."""
        axis = self.choices.randrange(first, value.rank)
        return axis - value.rank if self.choices.random() < 0.3 else axis


class Steps(dict[str, Callable[[C], None]]):
    """Op -> function that adds a node of it, and the nodes that it needs."""

    def register(self, *ops: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
        """Registers a function for some ops; with several, it gets the op as its second argument."""

        def add(function: Callable[..., None]) -> Callable[..., None]:
            for op in ops:
                self[op] = function if len(ops) == 1 else (lambda builder, op=op: function(builder, op))
            return function

        return add


def grow(builder: C, steps: Mapping[str, Callable[[C], None]]) -> None:
    """Takes random steps until the graph has a random number of values."""
    wanted, names = builder.choices.randint(*NODES), sorted(steps)
    for _ in range(6 * wanted):
        if len(builder.values) > wanted:
            break
        with contextlib.suppress(NothingFits):
            steps[builder.choices.choice(names)](builder)
