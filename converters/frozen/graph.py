"""A frozen TensorFlow graph as plain data: nodes, their topological order, and a fingerprint.

This module depends on neither protobuf nor torch. Attributes are plain Python values; constants are numpy arrays,
decoded on access.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from converters.errors import GraphError, nearest_names

# The layout of a rank-4 value in the graph. The tensor is (N, C, H, W) in both cases: NHWC values are transposed, NCHW
# values are not. Values of other ranks are never transposed.
NHWC, NCHW = LAYOUTS = ("NHWC", "NCHW")


@dataclass(frozen=True)
class Output:
    """One output of one node: TensorFlow's `node:index`."""

    node: str
    index: int = 0

    def __str__(self) -> str:
        return f"{self.node}:{self.index}" if self.index else self.node

    @classmethod
    def parse(cls, text: str) -> Output:
        """Parses `name` or `name:index`, as in a GraphDef's input lists."""
        name, colon, index = text.rpartition(":")
        numbered = colon and index.isascii() and index.isdigit() and len(index) < 6
        return cls(name, int(index)) if numbered else cls(text)


@dataclass(frozen=True)
class Node:
    """One op of a graph.

    Attributes:
        name: TensorFlow's name, unchanged.
        op: TensorFlow's op type, such as `Conv2D`.
        inputs: data inputs in order, without control inputs (a frozen graph has no side effects).
        attrs: each an int, float, bool, str, dtype name, shape (a tuple with None for an unknown size, or None for an
            unknown rank), or a tuple of these.
        constant: decodes the value of a Const node; None for other ops.
    """

    name: str
    op: str
    inputs: tuple[Output, ...] = ()
    attrs: Mapping[str, Any] = field(default_factory=dict)
    constant: Callable[[], np.ndarray] | None = None


class Graph:
    """The nodes of a frozen graph.

    Args:
        nodes: the graph's nodes in any order.
        left_out: name of a node of the source that the graph does not have -> the reason, as a clause.

    Attributes:
        nodes: name -> node, in the given order.
        left_out: the argument.

    Raises:
        GraphError: two nodes have the same name, or an input does not exist.
    """

    def __init__(self, nodes: Iterable[Node], left_out: Mapping[str, str] = MappingProxyType({})) -> None:
        self.left_out = left_out
        self.nodes: dict[str, Node] = {}
        for node in nodes:
            if node.name in self.nodes:
                raise GraphError(f"Two nodes of the graph are called {node.name!r}.")
            self.nodes[node.name] = node
        for node in self.nodes.values():
            for source in node.inputs:
                if source.node not in self.nodes:
                    raise GraphError(
                        f"Node {node.name!r} reads {source.node!r}, which the graph does not have: "
                        "the file is cut short, or was pruned wrongly."
                    )

    @functools.cached_property
    def order(self) -> list[str]:
        """Names in topological order.

        Raises:
            GraphError: the graph has a cycle.
        """
        return _topological_order(self.nodes)

    __iter__ = None  # indexed by name only; `order` gives the names

    def __getitem__(self, name: str) -> Node:
        """Returns a node by its name, or by the name of its first output, `name:0`."""
        found = self.nodes.get(name) or self.nodes.get(name.removesuffix(":0"))
        if found is None:
            raise GraphError(f"The graph has no node called {name!r}.{nearest_names(name, self.nodes)}")
        return found

    def fingerprint(self) -> str:
        """SHA-256 of the structure and the constants.

        The fingerprint does not depend on the order of the nodes, the encoding of the constants, devices, or versions.
        """
        digest = hashlib.sha256()
        for name in sorted(self.nodes):
            node = self.nodes[name]
            inputs = [str(source) for source in node.inputs]
            attrs = {key: node.attrs[key] for key in sorted(node.attrs) if not key.startswith("_")}
            digest.update(json.dumps([name, node.op, inputs, attrs], default=str).encode())
            if node.constant is not None:
                value = node.constant()
                digest.update(f"{value.dtype} {value.shape}".encode())
                digest.update(np.ascontiguousarray(value).data if value.dtype != object else repr(value).encode())
        return digest.hexdigest()


def _topological_order(nodes: Mapping[str, Node]) -> list[str]:
    """Node names in topological order; ties keep the given order."""
    order: list[str] = []
    state: dict[str, int] = {}  # 1: being visited, 2: done
    for root in nodes:
        stack = [root]
        while stack:
            name = stack[-1]
            if state.get(name) == 2:
                stack.pop()
                continue
            state[name] = 1
            waiting = [s.node for s in nodes[name].inputs if state.get(s.node) != 2]
            cyclic = next((w for w in waiting if state.get(w) == 1), None)
            if cyclic is not None:
                raise GraphError(
                    f"The graph has a cycle through {cyclic!r} and {name!r}; only graphs without loops convert."
                )
            if waiting:
                stack.append(waiting[0])
                continue
            state[name] = 2
            order.append(name)
            stack.pop()
    return order
