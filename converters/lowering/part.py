"""Selects the part of a graph that converts: from the input to the outputs, without loops."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from converters.dependencies import with_dependencies
from converters.errors import GraphError, not_needed
from converters.frozen.graph import Graph, Node, Output
from converters.lowering.entry import WINDOW_OPS, before_windows


@dataclass(frozen=True)
class Part:
    """A part of a graph.

    Attributes:
        graph: the nodes that the input reaches, and the nodes that these read. The input reads nothing.
        left_out: name of a node that the input reaches but that is not in `graph` -> the reason, as a clause.
    """

    graph: Graph
    left_out: Mapping[str, str]


def cut(graph: Graph, entry: str, outputs: Sequence[Output] | None = None) -> Part:
    """Selects the nodes that depend on the input, up to some outputs.

    Nodes before the input are dropped, so that neither their ops nor their loops matter.

    Args:
        graph: a frozen graph, which may have loops.
        entry: name of the input.
        outputs: the outputs; None for all nodes that the input reaches.

    Raises:
        GraphError: an output does not exist or does not depend on the input, or each node behind the input depends on
            a loop.
    """
    nodes = {**graph.nodes, entry: replace(graph[entry], inputs=())}
    readers = _readers(nodes)
    reached: set[str] = with_dependencies([entry], lambda name: readers[name])
    if reached == {entry}:
        _ = graph.order  # a loop is the more likely reason than an input that no node reads
    wanted: set[str] = reached
    if outputs is not None:
        for output in outputs:
            if graph[output.node].name not in reached - {entry}:
                raise GraphError(f"The output {str(output)!r} does not depend on the input {entry!r}.")
        wanted = reached & _with_sources(nodes, [output.node for output in outputs])
    needed = _with_sources(nodes, {*wanted, entry})
    looped = needed - _without_loops(nodes, needed, readers)
    left_out = dict(graph.left_out)
    why = not_needed(list(map(str, outputs or ())))
    left_out |= {name: why for name in nodes if name in reached - wanted}
    if looped:
        first, second = _loop(nodes, looped)
        windows = {name for name in wanted if nodes[name].op in WINDOW_OPS}
        nothing_left = windows <= looped if windows else wanted <= looped | {entry}
        if nothing_left or any(output.node in looped for output in outputs or ()):
            advice = before_windows(graph, [name for name in nodes if name in looped])
            raise GraphError(
                f"The graph has a cycle through {first!r} and {second!r}; only graphs without loops convert.{advice}"
            )
        left_out |= {name: f"the loop through {first!r} cannot be converted" for name in nodes if name in looped}
    return Part(Graph(nodes[name] for name in nodes if name in needed - looped), left_out)


def _sources(node: Node) -> list[str]:
    return [source.node for source in node.inputs]


def _with_sources(nodes: Mapping[str, Node], names: Iterable[str]) -> set[str]:
    """Returns some nodes and all nodes that they depend on."""
    return with_dependencies(names, lambda name: _sources(nodes[name]))


def _readers(nodes: Mapping[str, Node]) -> Mapping[str, list[str]]:
    """Returns the names of the nodes that read each node."""
    readers: defaultdict[str, list[str]] = defaultdict(list)
    for node in nodes.values():
        for source in node.inputs:
            readers[source.node].append(node.name)
    return readers


def _without_loops(nodes: Mapping[str, Node], names: set[str], readers: Mapping[str, Sequence[str]]) -> set[str]:
    """Returns the named nodes that are neither in a loop nor behind one."""
    waiting = {name: len(nodes[name].inputs) for name in names}
    ready = [name for name, count in waiting.items() if not count]
    found = set()
    while ready:
        name = ready.pop()
        found.add(name)
        for reader in readers[name]:
            if reader in waiting:
                waiting[reader] -= 1
                if not waiting[reader]:
                    ready.append(reader)
    return found


def _loop(nodes: Mapping[str, Node], looped: set[str]) -> tuple[str, str]:
    """Returns two neighboring nodes of a loop: a node, and a node that reads it.

    Args:
        nodes: the nodes by name.
        looped: the nodes that are in loops or behind them.
    """
    name = next(each for each in nodes if each in looped)
    seen: set[str] = set()
    while True:  # each of these nodes reads another one of them, so the walk back ends in a loop
        seen.add(name)
        source = next(source for source in _sources(nodes[name]) if source in looped)
        if source in seen:
            return source, name
        name = source
