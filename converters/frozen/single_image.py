"""Graphs whose input is one image without a batch, to which an ExpandDims behind it adds the batch's axis."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from converters.frozen.graph import Graph, Node

# What may stand before the ExpandDims: it works on one value at a time.
BETWEEN = frozenset({"Add", "AddV2", "Cast", "Div", "Identity", "Maximum", "Minimum", "Mul", "RealDiv", "Sub"})


def with_batch(graph: Graph, entry: str) -> Graph:
    """The graph as one of a batch of images, where it starts with one image; otherwise the graph as it is.

    The input gets a batch's axis, and the ExpandDims that would add it passes its input on. TensorFlow's values before
    the ExpandDims lack that axis.

    Args:
        graph: a graph.
        entry: name of its input.
    """
    node = graph[entry]
    shape = node.attrs.get("shape")
    if node.op != "Placeholder" or not isinstance(shape, tuple) or len(shape) != 3:
        return graph
    expanded = set(_expansions(graph, entry))
    if not expanded:
        return graph

    def batched(each: Node) -> Node:
        if each.name == entry:
            return replace(each, attrs={**each.attrs, "shape": (None, *shape)})
        return replace(each, op="Identity", inputs=each.inputs[:1]) if each.name in expanded else each

    return Graph(batched(graph.nodes[name]) for name in graph.order)


def _expansions(graph: Graph, entry: str) -> Iterator[str]:
    """The nodes that add the batch's axis; none where something else reads the image without it."""
    single: set[str] = {entry}
    found: list[str] = []
    for name in graph.order:
        node = graph.nodes[name]
        if not any(source.node in single for source in node.inputs):
            continue
        if node.op in BETWEEN:
            single.add(name)
        elif node.op == "ExpandDims" and _is_first_axis(graph, node):
            found.append(name)
        else:
            return iter(())
    return iter(found)


def _is_first_axis(graph: Graph, node: Node) -> bool:
    constant = graph.nodes[node.inputs[1].node].constant if len(node.inputs) == 2 else None
    return constant is not None and constant().ravel().tolist() in ([0], [-4])
