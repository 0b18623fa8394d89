"""Sorts the nodes of a graph, and puts the branches of decided Ifs into it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

import numpy as np

from converters.errors import GraphError
from converters.onnx.reading.casting import subgraphs
from converters.onnx.reading.folding import replace_nodes
from converters.onnx.reading.validation import is_standard, node_error

if TYPE_CHECKING:
    import onnx


def sort_nodes(graph: onnx.GraphProto, needed: Collection[str] | None = None) -> dict[str, str]:
    """Sorts the nodes of a graph in topological order; nodes that are in order keep their order.

    Args:
        graph: modified in place.
        needed: names of the values or nodes that the graph has to compute. Circles that they do not need are removed,
            and the nodes behind them. None for all.

    Returns:
        Value that was removed -> the reason, as a clause.

    Raises:
        GraphError: two nodes make a value of the same name, a node reads a value that nothing makes, an output is made
            by nothing, or the nodes form a circle.
    """
    makers: dict[str, int] = {}
    given = {tensor.name for tensor in graph.initializer} | {value.name for value in graph.input}
    for index, node in enumerate(graph.node):
        for name in node.output:
            if name and (name in makers or name in given):
                raise node_error(node, f"makes {name!r}, which is made elsewhere, too: the file is damaged")
            if name:
                makers[name] = index
    needs = [{name for name in reads(node) if name not in given} for node in graph.node]
    for node, names in zip(graph.node, needs, strict=True):
        if names - makers.keys():
            unknown = min(names - makers.keys())
            raise node_error(node, f"reads {unknown!r}, which no node produces: the file is damaged")
    for value in graph.output:
        if value.name not in makers and value.name not in given:
            raise GraphError(f"The graph's output {value.name!r} is made by no node: the file is damaged.")
    order = _order([{makers[name] for name in names} for names in needs])
    if len(order) < len(graph.node):
        lost = [graph.node[index] for index in sorted(set(range(len(graph.node))) - set(order))]
        names = {
            name for node in lost for name in (node.name, *node.output, *(n.removesuffix(":0") for n in node.output))
        }
        if needed is None or names & {*needed, *(name.removesuffix(":0") for name in needed)}:
            raise node_error(lost[0], "depends on itself: the graph has a circle")
        gone = {name: "it depends on a circle of the graph" for node in lost for name in node.output if name}
        replace_nodes(graph, [graph.node[index] for index in order])
        for value in [value for value in graph.output if value.name in gone]:
            graph.output.remove(value)
        return gone
    if order != list(range(len(order))):
        replace_nodes(graph, [graph.node[index] for index in order])
    return {}


def _order(before: list[set[int]]) -> list[int]:
    """Returns the indices in topological order; those that are in order keep it. Members of circles are left out."""
    readers: defaultdict[int, list[int]] = defaultdict(list)
    waits = [len(sources) for sources in before]
    for index, sources in enumerate(before):
        for source in sources:
            readers[source].append(index)
    if all(source < index for index, sources in enumerate(before) for source in sources):
        return list(range(len(before)))
    ready, order = [index for index, count in enumerate(waits) if not count], []
    ready.reverse()
    while ready:
        index = ready.pop()
        order.append(index)
        for reader in readers[index]:
            waits[reader] -= 1
            if not waits[reader]:
                ready.append(reader)
    return order


def reads(node: onnx.NodeProto) -> set[str]:
    """Returns the names of the values that a node reads, also those that its graphs read from outside of them."""
    found = {name for name in node.input if name}
    for inner in subgraphs(node):
        own = {tensor.name for tensor in inner.initializer} | {value.name for value in inner.input}
        own |= {name for one in inner.node for name in one.output}
        found |= {name for one in inner.node for name in reads(one)} - own
        found |= {value.name for value in inner.output} - own
    return found


def inline_ifs(graph: onnx.GraphProto, constants: Mapping[str, np.ndarray]) -> bool:
    """Replaces each If with a constant condition by the nodes of the branch that runs.

    Args:
        graph: modified in place.
        constants: name -> value of each constant.

    Returns:
        Whether there was one.
    """
    decided = [
        node for node in graph.node
        if node.op_type == "If" and is_standard(node) and node.input and node.input[0] in constants
    ]  # fmt: skip
    if not decided:
        return False
    kept = []
    for node in graph.node:
        if node in decided:
            kept += _branch(graph, node, bool(np.all(constants[node.input[0]])))
        else:
            kept.append(node)
    replace_nodes(graph, kept)
    return True


def _branch(graph: onnx.GraphProto, node: onnx.NodeProto, condition: bool) -> list[onnx.NodeProto]:
    """Returns the nodes of a branch under names of their own; adds its constants to the graph."""
    wanted = "then_branch" if condition else "else_branch"
    branch = next((attribute.g for attribute in node.attribute if attribute.name == wanted), None)
    if branch is None or len(branch.output) != len(node.output):
        raise node_error(node, f"has no {wanted} with its {len(node.output)} outputs: the file is damaged")
    label = node.name or node.output[0]
    inner = [tensor.name for tensor in branch.initializer]
    inner += [name for one in branch.node for name in one.output if name]
    names = {name: f"{label}/{wanted}/{name}" for name in inner}
    for tensor in branch.initializer:
        copied = graph.initializer.add()
        copied.CopyFrom(tensor)
        copied.name = names[tensor.name]
    nodes = []
    for one in branch.node:
        copied_node = type(one).FromString(one.SerializeToString())
        rename(copied_node, names)
        copied_node.name = f"{label}/{wanted}/{one.name}" if one.name else ""
        nodes.append(copied_node)
    for value, name in zip(branch.output, node.output, strict=True):
        if name:
            same = type(node)(op_type="Identity", input=[names.get(value.name, value.name)], output=[name])
            nodes.append(same)
    return nodes


def rename(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    """Renames the values that a node reads and makes, also in its graphs."""
    for field in (node.input, node.output):
        for index, name in enumerate(field):
            field[index] = names.get(name, name)
    for inner in subgraphs(node):
        own = {tensor.name for tensor in inner.initializer} | {value.name for value in inner.input}
        outer = {key: value for key, value in names.items() if key not in own}
        for one in inner.node:
            rename(one, outer)
        for value in inner.output:
            value.name = outer.get(value.name, value.name)
