"""Turns a frozen graph into a program: the layer for every op that the input reaches."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from converters.errors import GraphError, UnsupportedOpsError
from converters.graph import Graph, Node, Output
from converters.ops import Call, Operation, Value, lookup
from converters.program import Metadata, Program, Step, module_names

# Lucid writes a model's metadata into its graph as JSON, in a constant of this name.
LUCID_METADATA_NODE = "lucid_metadata_json"

# Ops that hand a constant on unchanged.
CONSTANT_PASSES = frozenset({"Identity", "StopGradient", "Snapshot", "CheckNumerics"})

# TensorFlow op -> position of its first tower. Lucid adds `_pre_relu` twins for Concat only (and crashes on
# ConcatV2, whose axis comes last).
CONCATS = {"Concat": slice(1, None), "ConcatV2": slice(None, -1)}

Tensors = dict[str, Mapping[str, np.ndarray]]


@dataclass
class _Lowering:
    """What is known while a graph is gone through."""

    graph: Graph
    values: dict[str, Value] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)
    tensors: Tensors = field(default_factory=dict)

    def value(self, source: Output) -> Value:
        """What is known of an op's input: computed already, or a constant."""
        if source.node in self.values:
            if source.index:
                raise GraphError(f"Output {source.index} of node {source.node!r} is read; only its first converts.")
            return self.values[source.node]
        decode = self.constant(self.graph[source.node])
        self.values[source.node] = Value(decode().shape, decode)
        return self.values[source.node]

    def constant(self, node: Node) -> Callable[[], np.ndarray]:
        """The value of a node that the input does not reach, which has to be a constant."""
        while node.constant is None and node.op in CONSTANT_PASSES and node.inputs:
            node = self.graph[node.inputs[0].node]
        if node.constant is None:
            raise GraphError(
                f"Node {node.name!r} ({node.op}) is neither reached by the input nor a constant: "
                "the graph has another input, or was not frozen."
            )
        return _checked(node)


def _checked(node: Node) -> Callable[[], np.ndarray]:
    """Decodes a constant once, and refuses NaN."""

    @functools.cache
    def decode() -> np.ndarray:
        if node.constant is None:
            raise GraphError(f"Node {node.name!r} is no constant.")
        value = node.constant()
        if value.dtype.kind == "f" and np.isnan(value).any():
            raise GraphError(f"Constant {node.name!r} holds NaN: the weights are damaged, or training diverged.")
        return value

    return decode


def lower(graph: Graph, metadata: Metadata) -> tuple[Program, Tensors]:
    """The program of a graph, and its tensors by step.

    Args:
        graph: a frozen graph.
        metadata: names the input; the rest is kept for the model.

    Raises:
        UnsupportedOpsError: names every op that the registry lacks, and its nodes.
        GraphError: the input is not an image, or an op's inputs or attributes make no sense.
    """
    entry = graph[metadata.input_name]
    reached = list(_reached(graph, entry.name))
    _require_supported(graph, reached)
    input_value = Value(_input_shape(entry))
    lowering = _Lowering(graph, {entry.name: input_value})
    for name in reached:
        _lower_node(lowering, graph.nodes[name])
    if not lowering.steps:
        raise GraphError(f"Nothing in the graph reads its input {entry.name!r}.")
    read = {source.node for step in lowering.steps.values() for source in step.inputs}
    outputs = tuple(name for name in lowering.steps if name not in read)
    _add_pre_relu_concats(lowering)
    names = module_names(lowering.steps)
    steps = tuple(replace(step, module=names[step.name]) for step in lowering.steps.values())
    program = Program(metadata, input_value.channels, steps, outputs, graph.fingerprint())
    return program, lowering.tensors


def _reached(graph: Graph, entry: str) -> Iterator[str]:
    """The nodes whose values depend on the input, in order."""
    found = {entry}
    for name in graph.order:
        if name != entry and any(source.node in found for source in graph.nodes[name].inputs):
            found.add(name)
            yield name


def _require_supported(graph: Graph, names: list[str]) -> None:
    missing: dict[str, list[str]] = {}
    for name in names:
        op = graph.nodes[name].op
        if lookup(op) is None:
            missing.setdefault(op, []).append(name)
    if missing:
        raise UnsupportedOpsError(missing)


def _input_shape(entry: Node) -> tuple[int | None, ...]:
    """The input's shape with height and width left open, as Lucid leaves them."""
    shape = entry.attrs.get("shape") if entry.op == "Placeholder" else None
    if not shape:  # absent, unknown, or the empty shape that old versions wrote for "unknown"
        return (None, None, None, None)
    if not isinstance(shape, tuple) or len(shape) != 4 or any(isinstance(size, (str, float)) for size in shape):
        raise GraphError(
            f"The input {entry.name!r} has shape {shape!r}; an image network reads (batch, height, width, channels)"
            " with the channels last."
        )
    return (None, None, None, shape[3])


def _lower_node(lowering: _Lowering, node: Node) -> None:
    convert = lookup(node.op)
    if convert is None:
        raise UnsupportedOpsError({node.op: [node.name]})
    operation = Operation(node, [lowering.value(source) for source in node.inputs])
    call: Call = convert(operation)
    lowering.values[node.name] = Value(call.shape)
    inputs = tuple(node.inputs[index] for index in call.inputs)
    channels = call.shape[-1] if call.shape else None
    lowering.steps[node.name] = Step(node.name, node.op, call.layer, dict(call.arguments), inputs, channels)
    if call.tensors:
        lowering.tensors[node.name] = call.tensors


def _add_pre_relu_concats(lowering: _Lowering) -> None:
    """Adds what Lucid adds to InceptionV1: beside each Concat of channels, the same towers before their ReLUs.

    Lucid takes its name from the first part of the op's name; for ConcatV2, where Lucid has no rule, the whole name
    is taken. A name that the graph already has gets TensorFlow's `_1`, `_2`, ...
    """
    steps = lowering.steps
    lowering.steps = {}
    for step in steps.values():
        lowering.steps[step.name] = step
        if step.op not in CONCATS or step.layer != "Concat" or lowering.values[step.name].rank != 4:
            continue
        if step.arguments["dim"] != 1:
            continue
        stem = step.name.split("/")[0] if step.op == "Concat" else step.name
        towers = tuple(_before_relu(lowering.graph, tower) for tower in step.inputs)
        name = _unused(f"{stem}_pre_relu", lowering)
        lowering.steps[name] = Step(name, step.op, step.layer, step.arguments, towers, step.channels)


def _before_relu(graph: Graph, tower: Output) -> Output:
    node = graph.nodes[tower.node]
    return node.inputs[0] if node.op == "Relu" else tower


def _unused(name: str, lowering: _Lowering) -> str:
    candidate, number = name, 1
    while candidate in lowering.graph.nodes or candidate in lowering.steps:
        candidate, number = f"{name}_{number}", number + 1
    return candidate


def infer_metadata(graph: Graph, input_name: str | None = None) -> Metadata:
    """What a graph says of its input: Lucid's metadata node where there is one, else its only placeholder.

    Args:
        graph: a frozen graph.
        input_name: the input, where the graph has several or its input is not a placeholder.

    Raises:
        GraphError: there is no such input, none at all, or more than one to choose from.
    """
    stated = _lucid_metadata(graph)
    if stated is not None and input_name in (None, stated.input_name):
        if stated.input_name not in graph.nodes:
            raise GraphError(f"The graph's own metadata name the input {stated.input_name!r}, which it does not have.")
        return stated
    if input_name is not None and not isinstance(input_name, str):
        raise GraphError(f"The input's name is text, not {input_name!r}.")
    if input_name is not None:
        return Metadata(graph[input_name].name)
    placeholders = [node.name for node in graph.nodes.values() if node.op == "Placeholder"]
    if len(placeholders) == 1:
        return Metadata(placeholders[0])
    if not placeholders:
        raise GraphError("The graph has no input: no node of it is a Placeholder. Name the input with input_name.")
    raise GraphError(
        f"The graph has {len(placeholders)} inputs ({', '.join(placeholders[:5])}): name one with input_name."
    )


def _lucid_metadata(graph: Graph) -> Metadata | None:
    node = graph.nodes.get(LUCID_METADATA_NODE)
    if node is None or node.constant is None:
        return None
    value = node.constant()
    try:
        data = json.loads(bytes(value.reshape(-1)[0]))
        return Metadata.from_json(data)
    except (ValueError, IndexError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, GraphError):
            raise
        raise GraphError(f"The graph's metadata node {LUCID_METADATA_NODE!r} does not hold JSON: {error}") from error
