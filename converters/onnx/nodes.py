"""Collects the nodes and constants of an ONNX graph under unique names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from converters.onnx.packages import import_onnx

if TYPE_CHECKING:
    import onnx

Attribute: TypeAlias = "int | float | str | Sequence[int]"


class NodeWriter:
    """The nodes and constants of one graph.

    Args:
        taken: names of the graph's layers; auxiliary values get other names.

    Attributes:
        layer: name of the layer that is being written, the prefix of the names of auxiliary values.
        nodes: in topological order.
        constants: the graph's initializers.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self._onnx = import_onnx()
        self._taken = set(taken)
        self.layer = ""
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def result(self, op: str, inputs: Sequence[str], names: Sequence[str], **attributes: Attribute) -> None:
        """Adds a node.

        Args:
            op: ONNX's op type.
            inputs: names of the node's inputs.
            names: names of the node's outputs; the first one is also the node's name.
            **attributes: the node's attributes.
        """
        self.nodes.append(self._onnx.helper.make_node(op, list(inputs), list(names), name=names[0], **attributes))

    def part(self, op: str, inputs: Sequence[str], name: str, **attributes: Attribute) -> str:
        """Adds an auxiliary node for the current layer.

        Args:
            op: ONNX's op type.
            inputs: names of the node's inputs.
            name: suffix of the node's output after the layer's name. A number makes it unique.
            **attributes: the node's attributes.

        Returns:
            The full name of the node's output.
        """
        free = self._free(name)
        self.result(op, inputs, [free], **attributes)
        return free

    def constant(self, name: str, value: np.ndarray) -> str:
        """Adds a constant for the current layer, stored as raw little-endian data.

        Returns:
            Its full name.
        """
        free = self._free(name)
        self.constants.append(
            self._onnx.numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), free)
        )
        return free

    def integers(self, name: str, values: Sequence[int]) -> str:
        """Adds a vector of int64, the dtype of shapes, axes and paddings."""
        return self.constant(name, np.array(values, np.int64))

    def number(self, name: str, value: float) -> str:
        """Adds a float32 scalar."""
        return self.constant(name, np.array(value, np.float32))

    def _free(self, name: str) -> str:
        full = f"{self.layer}/{name}"
        free, count = full, 1
        while free in self._taken:
            count += 1
            free = f"{full}_{count}"
        self._taken.add(free)
        return free
