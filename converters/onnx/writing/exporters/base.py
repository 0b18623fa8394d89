"""What an exporter is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from converters.errors import GraphError
from converters.onnx.nodes import NodeWriter

OPSET = 17
TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


@dataclass(frozen=True)
class Value:
    """A value of the graph.

    Attributes:
        name: in ONNX.
        rank: how many axes it has.
        kind: of its numbers: "float", "int" or "bool". ONNX combines values of one kind only.
    """

    name: str
    rank: int
    kind: str = "float"


@dataclass(frozen=True)
class Call:
    """A layer to write.

    Attributes:
        name: TensorFlow's name, which its value gets in ONNX, too.
        arguments: all of its constructor's arguments.
        values: what it reads.
        tensors: its parameters and buffers.
        outputs: names of the values it makes.
    """

    name: str
    arguments: Mapping[str, Any]
    values: Sequence[Value]
    tensors: Mapping[str, np.ndarray]
    outputs: Sequence[str]

    @property
    def x(self) -> Value:
        """The first value it reads; behind it may stand others of which only the sizes count."""
        return self.values[0]

    def part(self, what: str) -> str:
        """A name for something that helps to compute the layer."""
        return f"{self.name}/{what}"

    def same(self, rank: int | None = None, kind: str | None = None) -> list[Value]:
        """Its one result, like its first input but for what is given."""
        x = self.x
        return [replace(x, name=self.name, rank=x.rank if rank is None else rank, kind=kind or x.kind)]

    def error(self, what: str) -> GraphError:
        return GraphError(f"Layer {self.name!r} cannot be written to ONNX: it {what}.")


Exporter = Callable[[Call, NodeWriter], list[Value]]  # returns what the layer makes
EXPORTERS: dict[str, Exporter] = {}


def exports(*kinds: str) -> Callable[[Exporter], Exporter]:
    """Makes a function the exporter of these classes of `converters.layers`."""

    def decorate(function: Exporter) -> Exporter:
        for kind in kinds:
            if kind in EXPORTERS:
                raise ValueError(f"Two functions write {kind}.")
            EXPORTERS[kind] = function
        return function

    return decorate
