"""Turns a frozen graph into a program: the layer for every op that the input reaches."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from converters.errors import GraphError, UnsupportedOpsError
from converters.frozen.graph import NCHW, NHWC, Graph, Node, Output
from converters.frozen.placeholders import OPS as PLACEHOLDERS
from converters.frozen.placeholders import image_placeholders, stated_shape
from converters.frozen.single_image import with_batch
from converters.lowering.constants import Constants
from converters.lowering.evaluate import EVALUATORS, NotKnownError, evaluate
from converters.lowering.intervals import Interval
from converters.lowering.ops import Call, Operation, Read, Value, lookup, registered_ops
from converters.lowering.ops.registry import image
from converters.lowering.simplify import OPS, require_decided, simplify
from converters.program.program import Metadata, Program, Step, module_names
from converters.program.sizes import Size, shape_of

# Lucid writes a model's metadata into its graph as JSON, in a constant of this name.
LUCID_METADATA_NODE = "lucid_metadata_json"

# TensorFlow op -> position of its first tower. Lucid adds `_pre_relu` twins for Concat only (and crashes on
# ConcatV2, whose axis comes last).
CONCATS = {"Concat": slice(1, None), "ConcatV2": slice(None, -1)}

# Ops that ask for a value's shape alone, and ops of constants and sizes.
SHAPE_OPS = frozenset({"Shape", "ShapeN", "Size", "Rank"})

# Ops by whose layout a graph shows how its input lies, and transpositions that show the same.
LAYOUT_OPS = frozenset(
    {"Conv2D", "DepthwiseConv2dNative", "BiasAdd", "MaxPool", "AvgPool"}
    | {"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"}
)
TURNS = {(0, 3, 1, 2): NHWC, (0, 2, 3, 1): NCHW}  # how the value lies that is turned so

# Layers whose result has as many channels as what they read.
KEEPS_CHANNELS = frozenset({"AvgPool2d", "Cast", "Identity", "MaxPool2d", "Relu", "Relu6", "Resize"})


def supported_ops() -> list[str]:
    """Every op that converts, sorted: what a layer computes, what is computed at conversion, and what goes before."""
    return sorted({*registered_ops(), *EVALUATORS, *SHAPE_OPS, *OPS})


Tensors = dict[str, Mapping[str, np.ndarray]]


@dataclass
class _Lowering:
    """What is known while a graph is gone through."""

    graph: Graph
    constants: Constants
    layout: str
    values: dict[Output, Value] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)
    tensors: Tensors = field(default_factory=dict)
    arranged: dict[tuple[Output, str, int], Output] = field(default_factory=dict)

    def value(self, source: Output) -> Value:
        """What is known of an op's input: computed already, or a constant."""
        if source not in self.values:
            if source.node in self.steps:  # constants have their outputs asked for one by one
                raise GraphError(f"Output {source.index} of node {source.node!r} is read, which it does not have.")
            self.values[source] = _known(self.constants.array(source))
        return self.values[source]

    def add(self, step: Step, tensors: Mapping[str, np.ndarray], *values: Value) -> None:
        """Adds a step, its tensors, and what is known of its outputs."""
        self.steps[step.name] = step
        if tensors:
            self.tensors[step.name] = tensors
        for index, value in enumerate(values):
            self.values[Output(step.name, index)] = value

    def read(self, node: Node, read: Read) -> Output:
        """The value that a layer reads: made first where it is a constant or a size, and turned where need be."""
        source = node.inputs[read.index]
        value = self.value(source)
        if value.constant is not None:
            source, value = self._constant(source, value)
        elif value.numbers is not None:
            source, value = self._numbers(node, source, value.numbers)
        rank = value.rank if read.rank is None else read.rank
        layout = read.layout or value.layout
        lies_so = rank != 4 or value.rank != 4 or layout == value.layout
        if rank == value.rank and lies_so:
            return source
        key = (source, layout, rank)
        if key not in self.arranged:
            self.arranged[key] = self._arranged(source, value, layout, rank)
        return self.arranged[key]

    def _constant(self, source: Output, value: Value) -> tuple[Output, Value]:
        """A constant as a step."""
        name = unused(f"{source}/value", self)
        made = Output(name)
        found = next((key for key in self.arranged if key == (source, "", 0)), None)
        if found is not None:
            return self.arranged[found], self.values[self.arranged[found]]
        array = self.constants.array(source) if value.constant is None else value.constant()
        arguments = {"shape": array.shape}
        step = Step(name, "Const", "Constant", arguments, (), None, hidden=True, layout=NCHW)
        self.add(step, {"value": array}, Value(array.shape, layout=NCHW))
        self.arranged[source, "", 0] = made
        return made, self.values[made]

    def _numbers(self, node: Node, source: Output, numbers: np.ndarray) -> tuple[Output, Value]:
        """What a graph computes from sizes, as a step that makes a tensor of it."""
        if any(isinstance(number, Interval) for number in numbers.ravel()):
            raise GraphError(
                f"Node {node.name!r} ({node.op}) reads random numbers: dropout, or other noise, is left in the graph. "
                "Freeze it in inference mode, or set what decides it (such as --set keep_prob=1)."
            )
        made = self.arranged.get((source, "", 0))
        if made is None:
            arguments, inputs = self.resolved({"numbers": tuple(numbers.ravel()), "shape": numbers.shape}, [])
            made = source if source.index == 0 and source.node not in self.steps else Output(unused(str(source), self))
            op = self.graph.nodes[source.node].op
            self.add(Step(made.node, op, "Numbers", arguments, inputs, None, layout=NCHW), {})
            self.arranged[source, "", 0] = made
        return made, Value(numbers.shape, layout=NCHW)

    def _arranged(self, source: Output, value: Value, layout: str, rank: int) -> Output:
        """A step that turns a value, or puts axes in front of it."""
        lead = rank - value.rank
        dims = tuple(range(rank))
        if rank == 4:
            lies = value.layout if value.rank == 4 else NCHW
            turn = {(NCHW, NHWC): (0, 3, 1, 2), (NHWC, NCHW): (0, 2, 3, 1)}
            dims = turn.get((lies, layout), dims)
        name = unused(f"{source}/{layout if rank == 4 else rank}", self)
        shape = (1,) * lead + value.shape
        made = Value(shape, layout=layout if rank == 4 else NHWC)
        step = Step(
            name, "Transpose", "Arrange", {"dims": dims, "lead": lead}, (source,), None, hidden=True, layout=made.layout
        )
        self.add(step, {}, made)
        return Output(name)

    def resolved(
        self, arguments: Mapping[str, Any], inputs: Sequence[Output]
    ) -> tuple[dict[str, Any], tuple[Output, ...]]:
        """Arguments as plain data, and a step's inputs with those behind them whose sizes the arguments mention."""
        sources = list(inputs)

        def plain(argument: Any) -> Any:
            if isinstance(argument, tuple):
                return tuple(plain(item) for item in argument)
            if not isinstance(argument, Size):
                return argument
            if argument.function != "size":
                return (argument.function, *(plain(operand) for operand in argument.operands))
            source, axis = argument.operands
            if source not in sources:
                sources.append(source)
            return ("size", sources.index(source), self.value(source).dim(axis))

        return {key: plain(argument) for key, argument in arguments.items()}, tuple(sources)


def _known(array: np.ndarray) -> Value:
    """A value that is known at conversion."""
    if array.dtype == object and not all(isinstance(item, (str, bytes)) for item in array.ravel()):
        return Value(array.shape, layout=NCHW, numbers=array)
    return Value(array.shape, lambda: array, NCHW)


def lower(graph: Graph, metadata: Metadata) -> tuple[Program, Tensors]:
    """The program of a graph, and its tensors by step.

    Args:
        graph: a frozen graph.
        metadata: names the input; the rest is kept for the model.

    Raises:
        UnsupportedOpsError: names every op that the registry lacks, and its nodes.
        GraphError: the input is not an image, or an op's inputs or attributes make no sense.
    """
    fingerprint, whole = graph.fingerprint(), graph
    graph = with_batch(simplify(graph, graph[metadata.input_name].name), metadata.input_name)
    entry = graph[metadata.input_name]
    reached = list(_reached(graph, entry.name))
    require_decided(graph, reached)
    _require_supported(graph, reached)
    layout = _input_layout(graph, reached)
    value = Value(_input_shape(entry, layout), layout=layout)
    lowering = _Lowering(graph, Constants(graph), layout, {Output(entry.name): value})
    for name in reached:
        _lower_node(lowering, graph.nodes[name])
    if not lowering.steps:
        raise GraphError(f"Nothing in the graph reads its input {entry.name!r}.")
    read = {source.node for step in lowering.steps.values() for source in step.inputs}
    unread = tuple(name for name in lowering.steps if name not in read)
    by_dead = {source.node for name, node in whole.nodes.items() if name not in graph.nodes for source in node.inputs}
    outputs = tuple(name for name in unread if name not in by_dead) or unread
    _add_pre_relu_concats(lowering)
    names = module_names(lowering.steps)
    steps = tuple(replace(step, module=names[step.name]) for step in lowering.steps.values())
    channels = value.channels or _wanted_channels(steps, entry.name)
    metadata = _with_image_shape(metadata, channels, entry, layout)
    program = Program(metadata, channels, steps, outputs, fingerprint, input_layout=layout)
    return program, lowering.tensors


def _wanted_channels(steps: Sequence[Step], entry: str) -> int | None:
    """The input's channels where the graph does not state them: those that the first layers want."""
    keep = {entry}
    for step in steps:
        if step.inputs and step.inputs[0].node in keep:
            wanted = step.arguments.get("in_channels", step.arguments.get("channels"))
            if isinstance(wanted, int):
                return wanted
            if step.layer in KEEPS_CHANNELS or (step.layer == "Pad" and not any(step.arguments["padding"][4:])):
                keep.add(step.name)
    return None


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
        if lookup(op) is None and op not in EVALUATORS and op not in SHAPE_OPS:
            missing.setdefault(op, []).append(name)
    if missing:
        raise UnsupportedOpsError(missing)


def _input_layout(graph: Graph, reached: Sequence[str]) -> str:
    """How the input's axes lie, by the first op that shows it."""
    for node in (graph.nodes[name] for name in reached):
        if node.op in LAYOUT_OPS:
            return NCHW if node.attrs.get("data_format") == NCHW else NHWC
        if node.op == "Transpose" and len(node.inputs) == 2:
            order = graph.nodes[node.inputs[1].node].constant
            turn = tuple(order().ravel().tolist()) if order is not None else ()
            if turn in TURNS:
                return TURNS[turn]
    return NHWC


def _input_shape(entry: Node, layout: str) -> tuple[int | None, ...]:
    """The input's shape with height and width left open, as Lucid leaves them."""
    shape = entry.attrs.get("shape") if entry.op in PLACEHOLDERS else None
    if not shape:  # absent, unknown, or the empty shape that old versions wrote for "unknown"
        return (None, None, None, None)
    if not isinstance(shape, tuple) or len(shape) != 4 or any(isinstance(size, (str, float)) for size in shape):
        raise GraphError(
            f"The input {entry.name!r} has shape {shape!r}; an image network reads (batch, height, width, channels)"
            " or (batch, channels, height, width)."
        )
    return image(shape[1] if layout == NCHW else shape[3], layout)


def _with_image_shape(metadata: Metadata, channels: int | None, entry: Node, layout: str) -> Metadata:
    """Metadata with the size of image that the input's placeholder states, where nothing else says it."""
    shape = (stated_shape(entry) or ()) if entry.op in PLACEHOLDERS else ()
    height, width = (shape[2:] if layout == NCHW else shape[1:3]) if len(shape) == 4 else (None, None)
    if metadata.image_shape is not None or not (height and width):
        return metadata
    return replace(metadata, image_shape=(height, width, channels))


def _lower_node(lowering: _Lowering, node: Node) -> None:
    values = [lowering.value(source) for source in node.inputs]
    known = _evaluated(node, values)
    if known is not None:
        for index, array in enumerate(known):
            lowering.values[Output(node.name, index)] = _known(array)
        return
    convert = lookup(node.op)
    if convert is None:
        raise GraphError(f"Node {node.name!r} ({node.op}) works on values that only sizes and constants may be.")
    call: Call = convert(Operation(node, values, lowering.layout))
    reads = [read if isinstance(read, Read) else Read(read) for read in call.inputs]
    sources = [lowering.read(node, read) for read in reads]
    arguments, inputs = lowering.resolved(call.arguments, sources)
    layout = call.layout or _layout_of(lowering, sources)
    shapes = (call.shape, *call.more)
    made = [Value(shape, layout=layout) for shape in shapes]
    step = Step(node.name, node.op, call.layer, arguments, inputs, made[0].channels, outputs=len(shapes), layout=layout)
    lowering.add(step, call.tensors, *made)


def _evaluated(node: Node, values: Sequence[Value]) -> tuple[np.ndarray, ...] | None:
    """The outputs of a node that only constants and sizes reach, where they are known; None where not."""
    if node.op in SHAPE_OPS and all(value.constant is None and value.numbers is None for value in values):
        shapes = [shape_of(source, value.shape) for source, value in zip(node.inputs, values, strict=True)]
        return tuple(_SHAPES[node.op](shape) for shape in shapes)
    arrays = [value.constant() if value.constant else value.numbers for value in values]
    if node.op not in EVALUATORS or any(array is None for array in arrays):
        return None
    try:
        return evaluate(node, [array for array in arrays if array is not None])
    except NotKnownError:
        return None


_SHAPES = {
    "Shape": lambda shape: shape,
    "ShapeN": lambda shape: shape,
    "Size": lambda shape: np.asarray(np.prod(shape), object),
    "Rank": lambda shape: np.array(len(shape), np.int32),
}


def _layout_of(lowering: _Lowering, sources: Sequence[Output]) -> str:
    """The layout of the first image that a layer reads, or the graph's."""
    values = (lowering.values[source] for source in sources)
    return next((value.layout for value in values if value.rank == 4), lowering.layout)


def _add_pre_relu_concats(lowering: _Lowering) -> None:
    """Adds what Lucid adds to InceptionV1: beside each Concat of channels, the same towers before their ReLUs.

    Lucid takes its name from the first part of the op's name; for ConcatV2, where Lucid has no rule, the whole name
    is taken. A name that the graph already has gets TensorFlow's `_1`, `_2`, ...
    """
    steps = lowering.steps
    lowering.steps = {}
    for step in steps.values():
        lowering.steps[step.name] = step
        if step.op not in CONCATS or step.layer != "Concat" or lowering.values[Output(step.name)].rank != 4:
            continue
        if step.arguments["dim"] != 1:
            continue
        stem = step.name.split("/")[0] if step.op == "Concat" else step.name
        towers = tuple(_before_relu(lowering.graph, tower) for tower in step.inputs)
        name = unused(f"{stem}_pre_relu", lowering)
        lowering.steps[name] = replace(step, name=name, inputs=towers)


def _before_relu(graph: Graph, tower: Output) -> Output:
    node = graph.nodes.get(tower.node)
    return node.inputs[0] if node is not None and node.op == "Relu" else tower


def unused(name: str, lowering: _Lowering) -> str:
    """A name that no node and no step has yet."""
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
    placeholders = image_placeholders(graph)
    if len(placeholders) == 1:
        return Metadata(placeholders[0])
    if not placeholders:
        raise GraphError(
            "The graph has no input: no node of it is a Placeholder. Name the input with input_name (--input-name)."
        )
    raise GraphError(
        f"The graph has {len(placeholders)} inputs ({', '.join(placeholders[:5])}): name the image's with input_name "
        "(--input-name); where another one is a number that is always the same, give it with constants "
        "(--set NAME=VALUE)."
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
