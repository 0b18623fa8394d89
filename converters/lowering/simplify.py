"""Takes out of a graph what an inference run decides once: conditions on constants, and defaults of placeholders."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from converters.errors import GraphError
from converters.frozen.graph import Graph, Node, Output
from converters.frozen.placeholders import WITH_DEFAULT, how_to_set, placeholders_behind
from converters.lowering.constants import Constants

OPS = frozenset({"Switch", "Merge", WITH_DEFAULT, "IdentityN"})
SWITCH, MERGE = "Switch", "Merge"
SEVERAL = "IdentityN"


def simplify(graph: Graph, entry: str) -> Graph:
    """The graph without the branches that never run.

    A Switch on a constant passes its data to one of its outputs; what reads the other one is dead, and goes. A Merge of
    one live input is that input. A `PlaceholderWithDefault` that is not the input is its default. Nodes that stay have
    their names; a Switch has TensorFlow's name only where its first output is the live one, for only then has
    TensorFlow a value there. What is left undecided stays as it is.

    Args:
        graph: a frozen graph.
        entry: name of the input.
    """
    if not any(node.op == SWITCH or node.op in (WITH_DEFAULT, SEVERAL) for node in graph.nodes.values()):
        return graph
    return Graph(_Simplifier(graph, entry).nodes())


def require_decided(graph: Graph, names: Iterable[str]) -> None:
    """Refuses conditions that are left.

    Raises:
        GraphError: one of the named nodes is a Switch or a Merge.
    """
    for node in (graph.nodes[name] for name in names):
        if node.op in (SWITCH, MERGE):
            behind = placeholders_behind(graph, node.inputs[-1].node) if node.op == SWITCH else []
            what_to_do = f"{how_to_set(behind)}, or freeze" if behind else "freeze"
            raise GraphError(
                f"Node {node.name!r} ({node.op}) depends on {node.inputs[-1]}, which is no constant, and only branches "
                f"that a constant decides convert: {what_to_do} the graph with it set (such as is_training to false)."
            )


class _Simplifier:
    def __init__(self, graph: Graph, entry: str) -> None:
        self.graph, self.entry = graph, entry
        self.constants = Constants(graph)
        self.instead: dict[Output, Output] = {}
        self.dead: set[Output] = set()
        self.dead_nodes: set[str] = set()

    def nodes(self) -> list[Node]:
        kept = [self.simplified(self.graph.nodes[name]) for name in self.graph.order]
        return [node for node in kept if node is not None]

    def simplified(self, node: Node) -> Node | None:
        """What takes a node's place, if anything does."""
        if node.name == self.entry:
            return replace(node, inputs=())
        inputs = tuple(self.instead.get(source, source) for source in node.inputs)
        live = tuple(source for source in inputs if not self.is_dead(source))
        if len(live) < len(inputs) and not (node.op == MERGE and live):
            self.dead_nodes.add(node.name)
            return None
        if node.op == MERGE and len(live) == 1:
            return replace(node, op="Identity", inputs=live)
        if node.op == WITH_DEFAULT:
            return replace(node, op="Identity", inputs=inputs)
        if node.op == SEVERAL:
            self.instead.update((Output(node.name, index), source) for index, source in enumerate(inputs) if index)
            return replace(node, op="Identity", inputs=inputs[:1])
        if node.op == SWITCH:
            return self.switched(replace(node, inputs=inputs))
        return replace(node, inputs=inputs)

    def switched(self, node: Node) -> Node | None:
        taken = self.decision(node)
        if taken is None:
            return node
        self.dead.add(Output(node.name, 1 - taken))
        if taken == 0:
            return replace(node, op="Identity", inputs=node.inputs[:1])
        self.instead[Output(node.name, 1)] = node.inputs[0]
        return None

    def decision(self, node: Node) -> int | None:
        """Which output of a Switch is live, where a constant says so."""
        if len(node.inputs) != 2:
            return None
        try:
            predicate = self.constants.array(self.graph.nodes[node.name].inputs[1])
        except GraphError:
            return None
        return int(predicate.reshape(-1)[0]) if predicate.size == 1 and predicate.dtype == np.bool_ else None

    def is_dead(self, source: Output) -> bool:
        return source in self.dead or source.node in self.dead_nodes
