"""Adds a batch axis to the input of graphs that take a single image and add the batch axis by an ExpandDims."""

from __future__ import annotations

from dataclasses import replace

from converters.frozen.graph import Graph, Node

# Elementwise ops that may precede the ExpandDims.
BETWEEN = frozenset({"Add", "AddV2", "Cast", "Div", "Identity", "Maximum", "Minimum", "Mul", "RealDiv", "Sub"})


def with_batch(graph: Graph, entry: str) -> Graph:
    """Adds a batch axis to a single-image graph; returns other graphs unchanged.

    The input gets a batch axis, and the ExpandDims becomes an Identity. TensorFlow's values before the ExpandDims have
    no batch axis.

    Args:
        graph: a graph.
        entry: name of the graph's input.
    """
    node = graph[entry]
    shape = node.attrs.get("shape")
    if node.op != "Placeholder" or not isinstance(shape, tuple) or len(shape) != 3:
        return graph
    expanded = _expansions(graph, entry)
    if not expanded:
        return graph

    def batched(each: Node) -> Node:
        if each.name == entry:
            return replace(each, attrs={**each.attrs, "shape": (None, *shape)})
        return replace(each, op="Identity", inputs=each.inputs[:1]) if each.name in expanded else each

    return Graph(batched(graph.nodes[name]) for name in graph.order)


def _expansions(graph: Graph, entry: str) -> set[str]:
    """Returns the nodes that add the batch axis; empty if any other op reads the image without it."""
    single, found = {entry}, set()
    for name in graph.order:
        node = graph.nodes[name]
        if not any(source.node in single for source in node.inputs):
            continue
        if node.op in BETWEEN:
            single.add(name)
        elif node.op == "ExpandDims" and _is_first_axis(graph, node):
            found.add(name)
        else:
            return set()
    return found


def _is_first_axis(graph: Graph, node: Node) -> bool:
    constant = graph.nodes[node.inputs[1].node].constant if len(node.inputs) == 2 else None
    return constant is not None and constant().ravel().tolist() in ([0], [-4])
