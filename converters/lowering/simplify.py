"""Resolves conditions on constants, and defaults of placeholders, in a graph."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from converters.errors import GraphError, UndecidedError
from converters.frozen.graph import Graph, Node, Output
from converters.frozen.placeholders import WITH_DEFAULT, how_to_set, placeholders_behind
from converters.lowering.constants import Constants

SWITCH, MERGE, IDENTITY_N = "Switch", "Merge", "IdentityN"
OPS = frozenset({SWITCH, MERGE, WITH_DEFAULT, IDENTITY_N})


def simplify(graph: Graph, entry: str) -> Graph:
    """Removes the branches that never run.

    A Switch on a constant passes its data to one of its outputs (the live one). Nodes that read the other are dead
    and are removed. If the first output is live, the Switch becomes an Identity. If the second output is live, the
    Switch is removed, because its name means its first output, which has no value in TensorFlow; its readers read the
    data.
    A Merge with one live input becomes an Identity. A `PlaceholderWithDefault` other than the input becomes an Identity
    of its default. An IdentityN becomes an Identity of its first input; nodes that read another output of it read the
    input of that index. All other nodes, and Switches on other values, keep their ops.

    Args:
        graph: a frozen graph.
        entry: name of the input.
    """
    if not any(node.op in (SWITCH, WITH_DEFAULT, IDENTITY_N) for node in graph.nodes.values()):
        return graph
    return Graph(_Simplifier(graph, entry).nodes())


def require_decided(graph: Graph, node: Node) -> None:
    """Checks that a node is no condition.

    Raises:
        UndecidedError: it is a Switch or a Merge.
    """
    if node.op in (SWITCH, MERGE) and node.inputs:
        behind = placeholders_behind(graph, node.inputs[-1].node) if node.op == SWITCH else []
        what_to_do = f"{how_to_set(behind)}, or freeze" if behind else "freeze"
        raise UndecidedError(
            f"Node {node.name!r} ({node.op}) depends on {node.inputs[-1]}, which is not a constant. Only branches "
            f"with a constant condition convert: {what_to_do} the graph with it set (such as is_training to false)."
        )


class _Simplifier:
    def __init__(self, graph: Graph, entry: str) -> None:
        self.graph, self.entry = graph, entry
        self.constants = Constants(graph)
        self.aliases: dict[Output, Output] = {}  # output of a removed node -> the output that replaces it
        self.dead: set[Output] = set()
        self.dead_nodes: set[str] = set()

    def nodes(self) -> list[Node]:
        kept = [self.simplified(self.graph.nodes[name]) for name in self.graph.order]
        return [node for node in kept if node is not None]

    def simplified(self, node: Node) -> Node | None:
        """Returns the node after simplification; None if it is removed."""
        if node.name == self.entry:
            return replace(node, inputs=())
        inputs = tuple(self.aliases.get(source, source) for source in node.inputs)
        live = tuple(source for source in inputs if not self.is_dead(source))
        if len(live) < len(inputs) and not (node.op == MERGE and live):
            self.dead_nodes.add(node.name)
            return None
        if node.op == MERGE and len(live) == 1:
            return replace(node, op="Identity", inputs=live)
        if node.op == WITH_DEFAULT:
            return replace(node, op="Identity", inputs=inputs)
        if node.op == IDENTITY_N:
            self.aliases.update((Output(node.name, index), source) for index, source in enumerate(inputs) if index)
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
        self.aliases[Output(node.name, 1)] = node.inputs[0]
        return None

    def decision(self, node: Node) -> int | None:
        """Returns the index of a Switch's live output; None if its condition is not a constant."""
        if len(node.inputs) != 2:
            return None
        try:
            predicate = self.constants.array(self.graph.nodes[node.name].inputs[1])
        except GraphError:
            return None
        return int(predicate.reshape(-1)[0]) if predicate.size == 1 and predicate.dtype == np.bool_ else None

    def is_dead(self, source: Output) -> bool:
        return source in self.dead or source.node in self.dead_nodes
