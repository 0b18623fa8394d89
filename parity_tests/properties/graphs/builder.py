"""Builds a graph from random choices: the values that nodes may read, and the registry of steps."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from tensorboard.compat.proto.graph_pb2 import GraphDef

from converters.frozen.writer import GraphWriter
from converters.reference.inputs import InputSpec

INPUT = "x"
MAX_VALUES = 3000
MAX_RANK = 5
NODES = (4, 14)
SIDES = (4, 11)


class NothingFits(Exception):
    """A step finds no value that its op can read."""


@dataclass(frozen=True)
class Value:
    """A value of the graph.

    Attributes:
        name: name of the node, or `node:index`.
        shape: sizes in TensorFlow's order.
        exact: whether libraries compute it without rounding, so that their values are equal.
    """

    name: str
    shape: tuple[int, ...]
    exact: bool = False

    @property
    def rank(self) -> int:
        return len(self.shape)


@dataclass(frozen=True)
class RandomGraph:
    """A graph and its input.

    Attributes:
        graph_def: the frozen graph, with the placeholder `x`.
        spec: the input.
    """

    graph_def: GraphDef
    spec: InputSpec


class Builder:
    """Adds random nodes to a graph.

    Args:
        choices: source of all choices.

    Attributes:
        values: the values that nodes may read.
    """

    def __init__(self, choices: random.Random) -> None:
        self.choices = choices
        self.graph = GraphWriter()
        self.shape = (choices.randint(1, 3), choices.randint(*SIDES), choices.randint(*SIDES), choices.randint(1, 6))
        stated = choices.choice(((None, None, None), (None, *self.shape[1:3]), self.shape[:3]))
        self.graph.placeholder(INPUT, [*stated, self.shape[3]])
        self.values = [Value(INPUT, self.shape, exact=True)]
        self._count = 0

    def name(self, op: str) -> str:
        """Returns a new name; some are inside of a scope."""
        self._count += 1
        return f"{self.choices.choice(('', '', 'scope/'))}n{self._count}_{op}"

    def pick(self, accepts: Callable[[Value], bool] = lambda value: True) -> Value:
        """Returns a value that fits; late values are likely. None if there is none."""
        fitting = [value for value in self.values if accepts(value)]
        if not fitting:
            raise NothingFits
        return self.choices.choice(fitting[-3:] if self.choices.random() < 0.7 else fitting)

    def image(self) -> Value:
        """Returns a value of rank 4 whose axes all have a length."""
        return self.pick(lambda value: value.rank == 4)

    def numbers(self, shape: Sequence[int], low: float = -1.0, high: float = 1.0) -> str:
        """Adds a float32 constant of uniform draws."""
        count = math.prod(shape)
        draws = np.array([self.choices.uniform(low, high) for _ in range(count)], np.float32)
        return self.graph.const(self.name("Const"), draws.reshape(shape))

    def integers(self, numbers: int | Sequence[int] | Sequence[Sequence[int]]) -> str:
        """Adds an int32 constant."""
        return self.graph.const(self.name("Const"), np.array(numbers, np.int32))

    def op(self, op: str, inputs: Sequence[str], **attributes: object) -> str:
        """Adds a node of float32, unless `T` says otherwise; returns its name."""
        return self.graph.op(self.name(op), op, inputs, **attributes)

    def add(self, name: str, shape: Sequence[int], exact: bool = False) -> None:
        """Makes a value readable, if it is neither empty nor too large."""
        value = Value(name, tuple(shape), exact)
        if 0 < math.prod(shape) <= MAX_VALUES and value.rank <= MAX_RANK:
            self.values.append(value)

    def axis(self, value: Value, first: int = 1) -> int:
        """Returns an axis behind the batch, as it is written: it may be negative."""
        axis = self.choices.randrange(first, value.rank)
        return axis - value.rank if self.choices.random() < 0.3 else axis


Step = Callable[[Builder], None]
STEPS: dict[str, Step] = {}
"""Op -> function that adds a node, and those that it needs."""


def step(*names: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Registers a step for some ops; with several, the function gets the op as its second argument."""

    def add(function: Callable[..., None]) -> Callable[..., None]:
        for name in names:
            STEPS[name] = function if len(names) == 1 else (lambda builder, name=name: function(builder, name))
        return function

    return add


def random_graph(choices: random.Random) -> RandomGraph:
    """Returns a random graph; equal sources of choices give equal graphs."""
    builder = Builder(choices)
    wanted = choices.randint(*NODES)
    names = sorted(STEPS)
    for _ in range(6 * wanted):
        if len(builder.values) > wanted:
            break
        with contextlib.suppress(NothingFits):
            STEPS[choices.choice(names)](builder)
    kind = choices.choice(("noise", "texture", "steps"))
    return RandomGraph(
        builder.graph.graph_def(), InputSpec(kind, builder.shape, (-2.0,), (2.0,), seed=choices.randrange(1000))
    )
