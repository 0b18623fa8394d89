"""Writes the layers of a Caffe network as a frozen graph."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from converters.caffe.net import Net, Node
from converters.caffe.registry import WRITERS, CaffeWriter, Geometry, Operation, Value
from converters.dependencies import with_dependencies
from converters.errors import GraphError, UnsupportedNodeError, UnsupportedOpsError, clause, nearest_names, not_needed
from converters.frozen.graph import Output
from converters.program.program import Metadata


@dataclass(frozen=True)
class Written:
    """A graph that was written.

    Attributes:
        graph: the graph.
        metadata: the metadata that the definition states.
        outputs: TensorFlow's names of the wanted outputs; None for all.
        left_out: TensorFlow's name of a layer that was left out -> the reason, as a clause.
    """

    graph: CaffeWriter
    metadata: Metadata
    outputs: Sequence[str] | None
    left_out: Mapping[str, str]


def write(
    net: Net, geometry: Geometry, input_name: str | None, apart: bool, outputs: Sequence[str] | None = None
) -> Written:
    """Writes the graph of a network.

    Args:
        net: the network.
        geometry: the framework whose window positions the layers use.
        input_name: TensorFlow's name of the input; None to convert Caffe's.
        apart: whether to write the weights apart from the graph (see `CaffeWriter`).
        outputs: names of the wanted outputs (see `_wanted`); None for all layers that convert.

    Raises:
        UnsupportedOpsError: no layer, or not every wanted output, can be converted for the types of its layers.
        GraphError: a layer is invalid, or the network has no output of a name.
    """
    layers = [node.layer.name for node in net.nodes]
    names = _tensorflow_names([net.entry.name, *layers, *net.left_out], input_name)
    wanted = None if outputs is None else _wanted(net, names, outputs)
    nodes = net.nodes if wanted is None else _needed(net.nodes, wanted)
    entry = names[net.entry.name]
    channels, height, width = net.entry.shape
    graph = CaffeWriter(apart)
    values = {net.entry.output: Value(graph.placeholder(entry, [None, None, None, channels]), net.entry.shape)}
    blocked = _Blocked(values)
    for node in nodes:
        if not blocked.blocks(node):
            try:
                written = WRITERS[node.layer.type](
                    Operation(node, names[node.layer.name], blocked.inputs(node), graph, geometry)
                )
                values.update((Output(node.layer.name, index), value) for index, value in enumerate(written))
            except UnsupportedNodeError as error:
                blocked.add(node, clause(error), error)
    if blocked.reasons and (outputs is not None or len(values) == 1):
        raise blocked.error()
    left_out = {names[name]: why for name, why in (*net.left_out.items(), *blocked.reasons.items())}
    if outputs is not None and wanted is not None:
        left_out |= {names[node.layer.name]: not_needed(outputs) for node in net.nodes if node not in nodes}
        outputs = [_written_name(name, output, values) for name, (_, output) in zip(outputs, wanted, strict=True)]
    known = None not in net.entry.shape
    return Written(graph, Metadata(entry, (height, width, channels) if known else None), outputs, left_out)


class _Blocked:
    """The layers that cannot be written, and the layers behind them.

    Args:
        values: the values that are written.

    Attributes:
        reasons: name of each of these layers -> the reason, as a clause.
    """

    def __init__(self, values: Mapping[Output, Value]) -> None:
        self.values = values
        self.reasons: dict[str, str] = {}
        self._types: dict[str, list[str]] = {}
        self._errors: list[GraphError] = []

    def add(self, node: Node, why: str, error: GraphError | None = None) -> None:
        """Adds a layer that cannot be written."""
        self.reasons[node.layer.name] = why
        self._errors += [error] if error else []

    def blocks(self, node: Node) -> bool:
        """Adds a layer that cannot be written, for its type or its inputs; returns whether that is so."""
        name, kind = node.layer.name, node.layer.type
        if kind not in WRITERS:
            self._types.setdefault(kind, []).append(name)
        behind = next((self.reasons[source.node] for source in node.inputs if source.node in self.reasons), None)
        if behind is not None:
            self.add(node, behind)
        elif kind not in WRITERS:
            self.add(node, f"the layer type {kind} of {name!r} cannot be converted")
        else:
            missing = [source for source in node.inputs if source not in self.values]
            if missing:
                error = GraphError(
                    f"Layer {name!r} ({kind}) reads {str(missing[0])!r}, which does not depend on the network's image "
                    "input."
                )
                self.add(node, clause(error), error)
        return name in self.reasons

    def inputs(self, node: Node) -> list[Value]:
        """Returns the values that a layer reads."""
        return [self.values[source] for source in node.inputs]

    def error(self) -> GraphError:
        """Returns the error of the layers that cannot be written: of unsupported types, or else of the first."""
        return UnsupportedOpsError(self._types) if self._types else self._errors[0]


def _wanted(net: Net, names: Mapping[str, str], outputs: Sequence[str]) -> list[tuple[str, Output | None]]:
    """Returns the layer of each output, and the output of the layer; None for an op in the layer's scope.

    Args:
        net: the network.
        names: Caffe's names -> TensorFlow's.
        outputs: names of layers, as in Caffe or in the graph, with an index (`slice:1`) or without; names of blobs; or
            of ops in the scope of a layer (`conv1/Conv2D`).

    Raises:
        TypeError: the outputs are not a list of names.
        GraphError: there are none, or the network has no layer of a name.
    """
    if isinstance(outputs, str) or not all(isinstance(name, str) for name in outputs):
        raise TypeError(f"The outputs are a list of names, not {outputs!r}.")
    if not outputs:
        raise GraphError("The outputs are an empty list: name at least one layer, or leave them out.")
    layers = {node.layer.name for node in net.nodes}
    caffe = {names[layer]: layer for layer in layers}
    found: list[tuple[str, Output | None]] = []
    for name in outputs:
        made = next((Output(each) for each in (name, caffe.get(name)) if each in layers), None)
        made = made or net.outputs.get(name) or Output.parse(name)
        node = made.node if made.node in layers else caffe.get(made.node)
        scope = next((layer for layer in layers if made.node.startswith(f"{names[layer]}/")), None)
        if node is not None:
            found.append((node, replace(made, node=node)))
        elif scope is not None:
            found.append((scope, None))
        elif made == net.entry.output:
            raise GraphError(f"The output {name!r} is the network's input: name a layer.")
        else:
            known = [*layers, *net.outputs]
            raise GraphError(f"The network has no layer or blob called {name!r}.{nearest_names(name, known)}")
    return found


def _written_name(name: str, output: Output | None, values: Mapping[Output, Value]) -> str:
    """Returns TensorFlow's name of an output that was asked for by this name.

    Raises:
        GraphError: its layer does not have this output.
    """
    if output is None:
        return name
    if output not in values:
        count = sum(made.node == output.node for made in values)
        raise GraphError(
            f"The output {name!r} does not exist: layer {output.node!r} has {count} output{'s' * (count != 1)}."
        )
    return values[output].name


def _needed(nodes: Sequence[Node], wanted: Sequence[tuple[str, Output | None]]) -> list[Node]:
    """Returns the nodes that the outputs of some layers need."""
    by_name = {node.layer.name: node for node in nodes}
    names = [name for name, _ in wanted]
    needed = with_dependencies(names, lambda name: [s.node for s in by_name[name].inputs] if name in by_name else [])
    return [node for node in nodes if node.layer.name in needed]


def _tensorflow_names(names: Sequence[str], first: str | None) -> dict[str, str]:
    """Converts Caffe's names to TensorFlow's.

    Slashes and invalid characters become underscores, as in caffe-tensorflow. Taken names get a suffix `_1`, `_2`, ...
    as in TensorFlow.

    Args:
        names: Caffe's names, all different.
        first: TensorFlow's name for the first of them; None to convert it, too.
    """
    found = {} if first is None else {names[0]: first}
    used = set(found.values())
    for name in names[len(found) :]:
        base = re.sub(r"[^A-Za-z0-9_.-]", "_", name)
        base = base if base[:1].isalnum() or base[:1] == "." else f"layer{base}"
        candidate, number = base, 1
        while candidate in used:
            candidate, number = f"{base}_{number}", number + 1
        used.add(candidate)
        found[name] = candidate
    return found
