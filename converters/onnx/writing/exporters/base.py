"""The arguments and results of exporters, and their registry."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from converters.errors import GraphError
from converters.onnx.nodes import Attribute, NodeWriter
from converters.registry import Registry

OPSET = 17
TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


@dataclass(frozen=True)
class Value:
    """A value of the ONNX graph.

    Attributes:
        name: in ONNX.
        rank: number of axes.
        kind: "float", "int" or "bool". An op of ONNX combines only values of the same kind.
    """

    name: str
    rank: int
    kind: str = "float"


@dataclass(frozen=True)
class Call:
    """A layer to write.

    Attributes:
        name: TensorFlow's name, which is also the name of its value in ONNX.
        arguments: all of its constructor's arguments.
        values: its inputs.
        tensors: its parameters and buffers.
        outputs: names of its outputs.
    """

    name: str
    arguments: Mapping[str, Any]
    values: Sequence[Value]
    tensors: Mapping[str, np.ndarray]
    outputs: Sequence[str]

    @property
    def x(self) -> Value:
        """The first input. Many layers read only the sizes of their other inputs."""
        return self.values[0]

    @property
    def largest_rank(self) -> int:
        """The rank of the inputs after broadcasting."""
        return max(value.rank for value in self.values)

    def same(self, rank: int | None = None, kind: str | None = None) -> list[Value]:
        """Returns the layer's only output, which has the rank and kind of the first input unless others are given."""
        x = self.x
        return [replace(x, name=self.name, rank=x.rank if rank is None else rank, kind=kind or x.kind)]

    def result(
        self,
        w: NodeWriter,
        op: str,
        inputs: Sequence[str],
        *,
        rank: int | None = None,
        kind: str | None = None,
        **attributes: Attribute,
    ) -> list[Value]:
        """Adds the node that computes the layer's only output, and returns the output as `same` does."""
        w.result(op, inputs, [self.name], **attributes)
        return self.same(rank, kind)

    def error(self, problem: str) -> GraphError:
        return GraphError(f"Layer {self.name!r} cannot be written to ONNX: it {problem}.")


Exporter = Callable[[Call, NodeWriter], list[Value]]  # returns the layer's outputs
EXPORTERS: Registry[Exporter] = Registry("write")
exports = EXPORTERS.register
"""Decorator that registers the exporter of some classes of `converters.layers`."""
