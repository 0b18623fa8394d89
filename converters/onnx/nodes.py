"""Collects the nodes and constants of an ONNX graph under names that do not clash."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.onnx.packages import import_onnx

if TYPE_CHECKING:
    import onnx


class NodeWriter:
    """The nodes and constants of one graph.

    Args:
        taken: names that the graph's layers will have; what helps to compute them is named otherwise.

    Attributes:
        nodes: in an order in which every value is made before it is read.
        constants: the graph's initializers.
    """

    def __init__(self, taken: Iterable[str]) -> None:
        self._onnx = import_onnx()
        self._taken = set(taken)
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def result(self, op: str, inputs: Sequence[str], names: Sequence[str], **attributes: Any) -> None:
        """Adds the node that computes a layer, called as the layer is.

        Args:
            op: ONNX's op type.
            inputs: names of the values it reads.
            names: of the values it makes; the first one is the node's name, too.
            **attributes: the node's attributes.
        """
        self.nodes.append(self._onnx.helper.make_node(op, list(inputs), list(names), name=names[0], **attributes))

    def part(self, op: str, inputs: Sequence[str], name: str, **attributes: Any) -> str:
        """Adds a node that helps to compute a layer.

        Args:
            op: ONNX's op type.
            inputs: names of the values it reads.
            name: what to call it, if the name is free; else it gets a number.
            **attributes: the node's attributes.

        Returns:
            The name of its value.
        """
        free = self._free(name)
        self.result(op, inputs, [free], **attributes)
        return free

    def constant(self, name: str, value: np.ndarray) -> str:
        """Adds a constant, stored as raw little-endian data.

        Returns:
            Its name: the given one, with a number where that is taken.
        """
        free = self._free(name)
        self.constants.append(
            self._onnx.numpy_helper.from_array(np.ascontiguousarray(value).reshape(value.shape), free)
        )
        return free

    def integers(self, name: str, values: Sequence[int]) -> str:
        """Adds a vector of integers, as shapes, axes and paddings are given."""
        return self.constant(name, np.array(values, np.int64))

    def number(self, name: str, value: float) -> str:
        """Adds a float32 scalar."""
        return self.constant(name, np.array(value, np.float32))

    def _free(self, name: str) -> str:
        free, count = name, 1
        while free in self._taken:
            count += 1
            free = f"{name}_{count}"
        self._taken.add(free)
        return free
