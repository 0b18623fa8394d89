"""Builds a graph of TensorFlow from random choices."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from tensorboard.compat.proto.graph_pb2 import GraphDef

from converters.frozen.writer import GraphWriter
from converters.reference.inputs import InputSpec
from parity_tests.properties.graphs.choosing import SIDES, Chooser, Steps, Value, grow

INPUT = "x"


@dataclass(frozen=True)
class RandomGraph:
    """A graph and its input.

    Attributes:
        graph_def: the frozen graph, with the placeholder `x`.
        spec: the input.
    """

    graph_def: GraphDef
    spec: InputSpec


class Builder(Chooser):
    """Adds random nodes to a graph.

    Args:
        choices: source of all choices.
    """

    def __init__(self, choices: random.Random) -> None:
        self.graph = GraphWriter()
        self.shape = (choices.randint(1, 3), choices.randint(*SIDES), choices.randint(*SIDES), choices.randint(1, 6))
        super().__init__(choices, Value(INPUT, self.shape, exact=True))
        stated = choices.choice(((None, None, None), (None, *self.shape[1:3]), self.shape[:3]))
        self.graph.placeholder(INPUT, [*stated, self.shape[3]])

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


STEPS: Steps[Builder] = Steps()
step = STEPS.register


def random_graph(choices: random.Random) -> RandomGraph:
    """Returns a random graph; equal sources of choices give equal graphs."""
    builder = Builder(choices)
    grow(builder, STEPS)
    kind = choices.choice(("noise", "texture", "steps"))
    spec = InputSpec(kind, builder.shape, (-2.0,), (2.0,), seed=choices.randrange(1000))
    return RandomGraph(builder.graph.graph_def(), spec)
