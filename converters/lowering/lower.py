"""Lowers a frozen graph to a program: one layer for every op that the input reaches."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from converters.errors import GraphError, require_supported
from converters.frozen.graph import NCHW, NHWC, Graph, Node, Output
from converters.frozen.placeholders import OPS as PLACEHOLDERS
from converters.frozen.placeholders import image_placeholders, stated_shape
from converters.frozen.single_image import with_batch
from converters.lowering.constants import Constants
from converters.lowering.evaluate import EVALUATORS, NotKnownError, evaluate
from converters.lowering.intervals import Interval
from converters.lowering.ops import CONVERTERS, Operation, Read, Value
from converters.lowering.ops.registry import image
from converters.lowering.simplify import OPS, require_decided, simplify
from converters.program.program import Metadata, Program, Step, module_names
from converters.program.sizes import Size, shape_of

# The name of the constant in which Lucid stores a model's metadata as JSON.
LUCID_METADATA_NODE = "lucid_metadata_json"

# Concatenations, for which `_pre_relu` twins are added. Lucid adds them for Concat only, and crashes on ConcatV2.
CONCATS = frozenset({"Concat", "ConcatV2"})

# Op that reads only the shape of its input -> function that computes its output from the shape, an object array.
SHAPE_OPS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "Shape": lambda shape: shape,
    "ShapeN": lambda shape: shape,
    "Size": lambda shape: np.asarray(np.prod(shape), object),
    "Rank": lambda shape: np.array(len(shape), np.int32),
}

# Ops whose data_format is the layout of the graph's input.
LAYOUT_OPS = frozenset(
    {"Conv2D", "DepthwiseConv2dNative", "BiasAdd", "MaxPool", "AvgPool"}
    | {"FusedBatchNorm", "FusedBatchNormV2", "FusedBatchNormV3"}
)
TO_NCHW, TO_NHWC = (0, 3, 1, 2), (0, 2, 3, 1)
# Order of a transposition -> layout of the value that it reads.
TRANSPOSED_LAYOUTS = {TO_NCHW: NHWC, TO_NHWC: NCHW}

# Layers whose output has as many channels as their input.
KEEPS_CHANNELS = frozenset({"AvgPool2d", "Cast", "Identity", "MaxPool2d", "Relu", "Relu6", "Resize"})


def supported_ops() -> list[str]:
    """Returns the names of all TensorFlow ops that can be converted, sorted.

    Example:
        >>> "Conv2D" in supported_ops()
        True
    """
    return sorted({*CONVERTERS, *EVALUATORS, *SHAPE_OPS, *OPS})


Tensors = dict[str, Mapping[str, np.ndarray]]


@dataclass
class _Lowering:
    """The state of a lowering.

    Attributes:
        graph: the simplified graph.
        constants: its constants.
        layout: the layout of its images.
        values: every output that was lowered or evaluated.
        steps: the program so far, by node name.
        tensors: the steps' tensors, by node name.
        materialized: output that is a constant or computed from sizes -> output of the step that holds it as a tensor.
        arranged: (output, layout, rank) -> output of the step that converts it to this layout and rank.
    """

    graph: Graph
    constants: Constants
    layout: str
    values: dict[Output, Value] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=dict)
    tensors: Tensors = field(default_factory=dict)
    materialized: dict[Output, Output] = field(default_factory=dict)
    arranged: dict[tuple[Output, str, int], Output] = field(default_factory=dict)

    def value(self, source: Output) -> Value:
        """Returns an input of an op: a lowered value or a constant."""
        if source not in self.values:
            if source.node in self.steps:
                raise GraphError(f"A node reads output {source.index} of node {source.node!r}, which does not exist.")
            self.values[source] = _known(self.constants.array(source))
        return self.values[source]

    def add(self, step: Step, tensors: Mapping[str, np.ndarray], *values: Value) -> Output:
        """Adds a step with its tensors and outputs; returns its first output."""
        self.steps[step.name] = step
        if tensors:
            self.tensors[step.name] = tensors
        for index, value in enumerate(values):
            self.values[Output(step.name, index)] = value
        return Output(step.name)

    def read(self, node: Node, read: Read) -> Output:
        """Returns the output that a layer reads; adds steps for constants and sizes, and to change layout or rank."""
        source = node.inputs[read.index]
        value = self.value(source)
        if value.constant is not None or value.numbers is not None:
            if source not in self.materialized:
                self.materialized[source] = self._materialize(node, source, value)
            source, value = self.materialized[source], Value(value.shape, layout=NCHW)
        rank = value.rank if read.rank is None else read.rank
        layout = read.layout or value.layout
        fits = rank != 4 or value.rank != 4 or layout == value.layout
        if rank == value.rank and fits:
            return source
        key = (source, layout, rank)
        if key not in self.arranged:
            self.arranged[key] = self._add_arranged(source, value, layout, rank)
        return self.arranged[key]

    def _materialize(self, node: Node, source: Output, value: Value) -> Output:
        """Adds a step that holds a constant, or numbers computed from sizes, as a tensor."""
        if value.constant is not None:
            array = value.constant()
            name = self.unused(f"{source}/value")
            step = Step(name, "Const", "Constant", {"shape": array.shape}, hidden=True, layout=NCHW)
            return self.add(step, {"value": array}, Value(array.shape, layout=NCHW))
        numbers = np.asarray(value.numbers)
        if any(isinstance(number, Interval) for number in numbers.ravel()):
            raise GraphError(
                f"Node {node.name!r} ({node.op}) reads random numbers: the graph contains dropout or other noise. "
                "Freeze it in inference mode, or set the placeholder that controls it (such as --set keep_prob=1)."
            )
        arguments, inputs = self.resolved({"numbers": tuple(numbers.ravel()), "shape": numbers.shape}, [])
        own_name = source.index == 0 and source.node not in self.steps
        name = source.node if own_name else self.unused(str(source))
        self.values.setdefault(Output(name), Value(numbers.shape, layout=NCHW))
        return self.add(Step(name, self.graph.nodes[source.node].op, "Numbers", arguments, inputs, layout=NCHW), {})

    def _add_arranged(self, source: Output, value: Value, layout: str, rank: int) -> Output:
        """Adds a step that transposes a value, or adds leading axes."""
        lead = rank - value.rank
        dims = tuple(range(rank))
        if rank == 4:
            orders = {(NCHW, NHWC): TO_NCHW, (NHWC, NCHW): TO_NHWC}
            dims = orders.get((value.layout if value.rank == 4 else NCHW, layout), dims)
        name = self.unused(f"{source}/{layout if rank == 4 else rank}")
        made = Value((1,) * lead + value.shape, layout=layout if rank == 4 else NHWC)
        arguments = {"dims": dims, "lead": lead}
        return self.add(
            Step(name, "Transpose", "Arrange", arguments, (source,), hidden=True, layout=made.layout), {}, made
        )

    def resolved(
        self, arguments: Mapping[str, Any], inputs: Sequence[Output]
    ) -> tuple[dict[str, Any], tuple[Output, ...]]:
        """Replaces `Size`s in arguments by expressions of plain data.

        Returns:
            The arguments; and the inputs, followed by all other values whose sizes the arguments refer to.
        """
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

    def unused(self, name: str) -> str:
        """Returns a name that no node and no step has: `name`, `name_1`, `name_2`, ..."""
        candidate, number = name, 1
        while candidate in self.graph.nodes or candidate in self.steps:
            candidate, number = f"{name}_{number}", number + 1
        return candidate


def _known(array: np.ndarray) -> Value:
    """Returns a value that is known at conversion."""
    if array.dtype == object and not all(isinstance(item, (str, bytes)) for item in array.ravel()):
        return Value(array.shape, layout=NCHW, numbers=array)
    return Value(array.shape, lambda: array, NCHW)


def lower(graph: Graph, metadata: Metadata) -> tuple[Program, Tensors]:
    """Lowers a graph to a program.

    Args:
        graph: a frozen graph.
        metadata: names the graph's input, and is stored in the program.

    Returns:
        The program, and the tensors of each step by node name.

    Raises:
        UnsupportedOpsError: lists every op that cannot be converted, and its nodes.
        GraphError: the input is not an image, or an op's inputs or attributes are invalid.
    """
    fingerprint, whole = graph.fingerprint(), graph
    graph = with_batch(simplify(graph, graph[metadata.input_name].name), metadata.input_name)
    entry = graph[metadata.input_name]
    reached = list(_reached(graph, entry.name))
    require_decided(graph, reached)
    require_supported(((name, graph.nodes[name].op) for name in reached), {*CONVERTERS, *EVALUATORS, *SHAPE_OPS})
    layout = _input_layout(graph, reached)
    value = Value(_input_shape(entry, layout), layout=layout)
    lowering = _Lowering(graph, Constants(graph), layout, {Output(entry.name): value})
    for name in reached:
        _lower_node(lowering, graph.nodes[name])
    if not lowering.steps:
        raise GraphError(f"No node of the graph reads its input {entry.name!r}.")
    outputs = _outputs(lowering, whole)
    _add_pre_relu_concats(lowering)
    names = module_names(lowering.steps)
    steps = tuple(replace(step, module=names[step.name]) for step in lowering.steps.values())
    channels = value.channels or _wanted_channels(steps, entry.name)
    metadata = _with_image_shape(metadata, channels, entry, layout)
    program = Program(metadata, channels, steps, outputs, fingerprint, input_layout=layout)
    return program, lowering.tensors


def _outputs(lowering: _Lowering, whole: Graph) -> tuple[str, ...]:
    """Returns the steps that are read by no step and by no node that `simplify` removed.

    If there are none, returns the steps that no step reads.
    """
    read = {source.node for step in lowering.steps.values() for source in step.inputs}
    unread = tuple(name for name in lowering.steps if name not in read)
    removed = (node for name, node in whole.nodes.items() if name not in lowering.graph.nodes)
    read_by_removed = {source.node for node in removed for source in node.inputs}
    return tuple(name for name in unread if name not in read_by_removed) or unread


def _wanted_channels(steps: Sequence[Step], entry: str) -> int | None:
    """Returns the number of channels that the first layers expect of the input; None if they state none."""
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
    """Returns the nodes that depend on the input, in topological order."""
    found = {entry}
    for name in graph.order:
        if name != entry and any(source.node in found for source in graph.nodes[name].inputs):
            found.add(name)
            yield name


def _input_layout(graph: Graph, reached: Sequence[str]) -> str:
    """Returns the layout of the input, according to the first op that determines it."""
    for node in (graph.nodes[name] for name in reached):
        if node.op in LAYOUT_OPS:
            return NCHW if node.attrs.get("data_format") == NCHW else NHWC
        if node.op == "Transpose" and len(node.inputs) == 2:
            constant = graph.nodes[node.inputs[1].node].constant
            order = tuple(constant().ravel().tolist()) if constant is not None else ()
            if order in TRANSPOSED_LAYOUTS:
                return TRANSPOSED_LAYOUTS[order]
    return NHWC


def _input_shape(entry: Node, layout: str) -> tuple[int | None, ...]:
    """Returns the input's shape; height and width are unknown even if the graph states them, as in Lucid."""
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
    """Returns metadata with the image shape that the input's placeholder states, unless the metadata have one."""
    shape = (stated_shape(entry) or ()) if entry.op in PLACEHOLDERS else ()
    height, width = (shape[2:] if layout == NCHW else shape[1:3]) if len(shape) == 4 else (None, None)
    if metadata.image_shape is not None or not (height and width):
        return metadata
    return replace(metadata, image_shape=(height, width, channels))


def _lower_node(lowering: _Lowering, node: Node) -> None:
    values = [lowering.value(source) for source in node.inputs]
    known = _evaluated(node, values)
    if known is not None:
        lowering.values.update((Output(node.name, index), _known(array)) for index, array in enumerate(known))
        return
    if node.op not in CONVERTERS:
        raise GraphError(f"Node {node.name!r} ({node.op}) converts only if its inputs are constants or sizes.")
    call = CONVERTERS[node.op](Operation(node, values, lowering.layout))
    sources = [lowering.read(node, read if isinstance(read, Read) else Read(read)) for read in call.inputs]
    arguments, inputs = lowering.resolved(call.arguments, sources)
    layout = call.layout or _layout_of(lowering, sources)
    made = [Value(shape, layout=layout) for shape in (call.shape, *call.more)]
    step = Step(node.name, node.op, call.layer, arguments, inputs, made[0].channels, outputs=len(made), layout=layout)
    lowering.add(step, call.tensors, *made)


def _evaluated(node: Node, values: Sequence[Value]) -> tuple[np.ndarray, ...] | None:
    """Returns the outputs of a node that depends only on constants and sizes; None for other nodes."""
    if node.op in SHAPE_OPS and all(value.constant is None and value.numbers is None for value in values):
        shapes = [shape_of(source, value.shape) for source, value in zip(node.inputs, values, strict=True)]
        return tuple(SHAPE_OPS[node.op](shape) for shape in shapes)
    arrays = [value.constant() if value.constant else value.numbers for value in values]
    if node.op not in EVALUATORS or any(array is None for array in arrays):
        return None
    try:
        return evaluate(node, [array for array in arrays if array is not None])
    except NotKnownError:
        return None


def _layout_of(lowering: _Lowering, sources: Sequence[Output]) -> str:
    """Returns the layout of a layer's first input of rank 4, or the graph's layout if there is none."""
    values = (lowering.values[source] for source in sources)
    return next((value.layout for value in values if value.rank == 4), lowering.layout)


def _add_pre_relu_concats(lowering: _Lowering) -> None:
    """Adds for each concatenation of channels a `_pre_relu` twin, which concatenates the inputs of its towers' ReLUs.

    Lucid adds these to InceptionV1. As in Lucid, a Concat's twin is named after the first part of the op's name. The
    twin of a ConcatV2 is named after the whole name. Taken names get a suffix `_1`, `_2`, ... as in TensorFlow.
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
        name = lowering.unused(f"{stem}_pre_relu")
        lowering.steps[name] = replace(step, name=name, inputs=towers)


def _before_relu(graph: Graph, tower: Output) -> Output:
    node = graph.nodes.get(tower.node)
    return node.inputs[0] if node is not None and node.op == "Relu" else tower


def infer_metadata(graph: Graph, input_name: str | None = None) -> Metadata:
    """Reads the metadata from the graph's Lucid metadata node, or finds the graph's only image placeholder.

    Args:
        graph: a frozen graph.
        input_name: name of the input; required if the graph has several, or if its input is not a placeholder.

    Raises:
        GraphError: there is no node of this name, no input, or more than one.
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
        f"The graph has {len(placeholders)} inputs ({', '.join(placeholders[:5])}): name the image with input_name "
        "(--input-name), and set inputs that are always the same number with constants (--set NAME=VALUE)."
    )


def _lucid_metadata(graph: Graph) -> Metadata | None:
    node = graph.nodes.get(LUCID_METADATA_NODE)
    if node is None or node.constant is None:
        return None
    value = node.constant()
    try:
        return Metadata.from_json(json.loads(bytes(value.reshape(-1)[0])))
    except GraphError:
        raise
    except (ValueError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise GraphError(f"The graph's metadata node {LUCID_METADATA_NODE!r} does not hold JSON: {error}") from error
