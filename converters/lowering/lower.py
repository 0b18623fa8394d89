"""Lowers a frozen graph to a program: one layer for every op that the input reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from converters.documents import parse_json
from converters.errors import (
    GraphError,
    TrainingModeError,
    UndecidedError,
    UnsupportedNodeError,
    UnsupportedOpsError,
    clause,
    op_reason,
)
from converters.frozen.graph import NCHW, NHWC, Graph, Node, Output
from converters.frozen.placeholders import how_to_set, image_placeholders, placeholders_behind
from converters.frozen.single_image import with_batch
from converters.lowering.constants import Constants
from converters.lowering.entry import (
    TO_NCHW,
    TO_NHWC,
    WINDOW_OPS,
    before_windows,
    input_layout,
    input_shape,
    with_image_shape,
)
from converters.lowering.evaluate import EVALUATORS, NotKnownError, evaluate
from converters.lowering.intervals import Interval
from converters.lowering.ops import CONVERTERS, Operation, Read, Value
from converters.lowering.part import Part, cut
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

# Layers whose output has as many channels as their input.
KEEPS_CHANNELS = frozenset({"AvgPool2d", "Cast", "Identity", "MaxPool2d", "Relu", "Relu6", "Resize"})


def supported_ops() -> list[str]:
    """Returns the names of all TensorFlow ops that can be converted, sorted.

    Example:
        >>> "Conv2D" in supported_ops()
        True
    """
    return sorted({*CONVERTERS, *EVALUATORS, *SHAPE_OPS, *OPS})


_CONVERTED = frozenset({*CONVERTERS, *EVALUATORS, *SHAPE_OPS})

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

    def forget(self, names: Sequence[str]) -> None:
        """Removes steps, which no other step reads."""
        for name in names:
            del self.steps[name]
            self.tensors.pop(name, None)
            self.values.pop(Output(name), None)
        gone = set(names)
        self.materialized = {key: made for key, made in self.materialized.items() if made.node not in gone}
        self.arranged = {key: made for key, made in self.arranged.items() if made.node not in gone}

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
            problem = f"Node {node.name!r} ({node.op}) reads random numbers: the graph contains dropout or other noise."
            advice = "set the placeholder that controls it (such as --set keep_prob=1), or freeze"
            raise TrainingModeError(problem, "float32", "1", advice)
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


def lower(graph: Graph, metadata: Metadata, outputs: Sequence[str] | None = None) -> tuple[Program, Tensors]:
    """Lowers a graph to a program.

    Nodes that depend on an op that cannot be converted are left out, and named with the reason in the program.

    Args:
        graph: a frozen graph.
        metadata: names the graph's input, and is stored in the program.
        outputs: names of the program's outputs; only the nodes that they need are lowered. None for all nodes that
            depend on the input.

    Returns:
        The program, and the tensors of each step by node name.

    Raises:
        UnsupportedOpsError: nothing converts, or an output of `outputs` does not; lists every op that cannot be
            converted, and its nodes.
        GraphError: the input is not an image, an op's inputs or attributes are invalid, or each output depends on a
            value that has to be set.
    """
    wanted = None if outputs is None else _wanted_outputs(graph, outputs)
    fingerprint, entry_name = graph.fingerprint(), graph[metadata.input_name].name
    metadata = replace(metadata, input_name=entry_name)
    part = cut(graph, entry_name, wanted)
    graph = with_batch(simplify(part.graph, entry_name), entry_name)
    entry = graph[entry_name]
    reached = list(_reached(graph, entry.name))
    layout = input_layout(graph, reached)
    value = Value(input_shape(graph, entry, layout, reached), layout=layout)
    lowering = _Lowering(graph, Constants(graph), layout, {Output(entry.name): value})
    blocked = _Blocked(part, entry_name, wanted)
    for name in reached:
        blocked.lower(lowering, graph.nodes[name])
    found = blocked.outputs(lowering)
    _add_pre_relu_concats(lowering)
    names = module_names(lowering.steps)
    steps = tuple(replace(step, module=names[step.name]) for step in lowering.steps.values())
    channels = value.channels or _wanted_channels(steps, entry.name)
    metadata = with_image_shape(metadata, channels, entry, layout)
    left_out = {**part.left_out, **blocked.reasons}
    program = Program(metadata, channels, steps, found, fingerprint, input_layout=layout, left_out=left_out)
    return program, lowering.tensors


class _Blocked:
    """The nodes that cannot be lowered, and the nodes behind them.

    Args:
        part: the part of the graph that is lowered, before it was simplified.
        entry: name of the input.
        wanted: the outputs that were asked for, which have to be lowered; None for those of the graph.

    Attributes:
        reasons: name of each of these nodes -> the reason, as a clause.
    """

    def __init__(self, part: Part, entry: str, wanted: Sequence[Output] | None) -> None:
        self.part, self.entry, self.wanted = part, entry, wanted
        self.reasons: dict[str, str] = {}
        self._ops: dict[str, list[str]] = {}
        self._errors: list[GraphError] = []

    def lower(self, lowering: _Lowering, node: Node) -> None:
        """Lowers a node, or records why it cannot be lowered."""
        if node.op not in _CONVERTED:
            self._ops.setdefault(node.op, []).append(node.name)
        behind = next((self.reasons[source.node] for source in node.inputs if source.node in self.reasons), None)
        if behind is not None:
            self.reasons[node.name] = behind
            return
        done = len(lowering.steps)
        try:
            require_decided(lowering.graph, node)
            if node.op not in _CONVERTED:
                self.reasons[node.name] = op_reason(node.op, node.name)
            else:
                _lower_node(lowering, node)
        except (UndecidedError, UnsupportedNodeError) as error:
            lowering.forget(list(lowering.steps)[done:])
            stated = self._with_hint(error, node)
            self._errors.append(stated)
            self.reasons[node.name] = clause(stated)

    def _with_hint(self, error: GraphError, node: Node) -> GraphError:
        """Completes an error by the placeholders that decide whether a node trains or drops values."""
        if not isinstance(error, TrainingModeError):
            return error
        nodes = map(self.part.graph.__getitem__, placeholders_behind(self.part.graph, node.name))
        behind = [each.name for each in nodes if each.attrs.get("dtype") == error.dtype and each.name != self.entry]
        problem = str(error).rstrip(".")
        if not behind:
            return UndecidedError(f"{problem}: {error.advice} the graph in inference mode.")
        listed = ", ".join(map(repr, behind[:5]))
        decides = f"Placeholder {listed} decides" if len(behind) == 1 else f"Placeholders {listed} decide"
        set_it = how_to_set(behind, error.value)
        return UndecidedError(f"{problem}. {decides} this: {set_it}, or freeze the graph in inference mode.")

    def outputs(self, lowering: _Lowering) -> tuple[str, ...]:
        """Returns the outputs of the graph that were lowered, or else the last steps that were.

        Raises:
            GraphError: there are none, or too little was lowered.
        """
        if self.wanted is not None:
            return self._checked_outputs(lowering, self.wanted)
        read = {source.node for step in lowering.steps.values() for source in step.inputs}
        unread = [name for name in lowering.steps if name not in read]
        last = [name for name in unread if name not in self._read_before(lowering.graph)] or unread
        read_by_blocked = {source.node for name in self.reasons for source in lowering.graph.nodes[name].inputs}
        complete = [name for name in last if name not in read_by_blocked]
        undecided = next((error for error in self._errors if isinstance(error, UndecidedError)), None)
        if undecided is not None and not complete:
            raise undecided
        if not lowering.steps:
            raise self._error() or GraphError(f"No node of the graph reads its input {self.entry!r}.")
        self._require_windows(lowering)
        return tuple(complete or last)

    def _read_before(self, graph: Graph) -> set[str]:
        """Returns the nodes that a node read before the graph was simplified, and now does not read or is removed."""
        before = self.part.graph.nodes.values()
        changed = [node for node in before if node.name not in graph.nodes or graph[node.name].inputs != node.inputs]
        return {source.node for node in changed for source in node.inputs}

    def _require_windows(self, lowering: _Lowering) -> None:
        """Raises an error if the graph has convolutions or pools, but none of them was lowered."""
        ops = {name: node.op for name, node in self.part.graph.nodes.items()}
        blocked = [name for name in self.reasons if ops[name] in WINDOW_OPS]
        if not blocked or any(ops.get(name) in WINDOW_OPS for name in lowering.steps):
            return
        advice = before_windows(lowering.graph, list(self.reasons))
        error = self._error(advice)
        if isinstance(error, (UndecidedError, UnsupportedOpsError)):
            raise error
        if error is not None:
            raise GraphError(f"{error}{advice}")

    def _checked_outputs(self, lowering: _Lowering, wanted: Sequence[Output]) -> tuple[str, ...]:
        for output in wanted:
            if output.node in self.reasons:
                raise self._error() or GraphError(f"The output {str(output)!r} cannot be converted.")
            if output.node not in lowering.steps or output not in lowering.values:
                raise GraphError(
                    f"The output {str(output)!r} is not a layer: it has no value that is computed from pictures."
                )
        return tuple(map(str, wanted))

    def _error(self, advice: str = "") -> GraphError | None:
        """Returns the error of the nodes that cannot be lowered: of those to be set, of unsupported ops, of others."""
        undecided = [error for error in self._errors if isinstance(error, UndecidedError)]
        ops = [UnsupportedOpsError(self._ops, advice)] if self._ops else []
        return next(iter([*undecided, *ops, *self._errors]), None)


def _wanted_outputs(graph: Graph, names: Sequence[str]) -> list[Output]:
    """Returns the outputs of these names.

    Raises:
        TypeError: the names are not a sequence of names.
        GraphError: there are none, or the graph has no node of a name.
    """
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"The outputs are a list of names, not {names!r}.")
    if not names:
        raise GraphError("The outputs are an empty list: name at least one node, or leave them out.")
    found = [Output(name) if name in graph.nodes else Output.parse(name) for name in names]
    for output in found:
        graph[output.node]  # an unknown name raises an error
    return found


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


def _lower_node(lowering: _Lowering, node: Node) -> None:
    values = [lowering.value(source) for source in node.inputs]
    known = _evaluated(node, values)
    if known is not None:
        lowering.values.update((Output(node.name, index), _known(array)) for index, array in enumerate(known))
        return
    if node.op not in CONVERTERS:
        raise UnsupportedNodeError(
            f"Node {node.name!r} ({node.op}) converts only if its inputs are constants or sizes."
        )
    call = CONVERTERS[node.op](Operation(node, values, lowering.layout))
    sources = [lowering.read(node, read if isinstance(read, Read) else Read(read)) for read in call.inputs]
    arguments, inputs = lowering.resolved(call.arguments, sources)
    layout = call.layout or _layout_of(lowering, sources)
    made = [Value(shape, layout=layout) for shape in (call.shape, *call.more)]
    step = Step(node.name, node.op, call.layer, arguments, inputs, made[0].channels, outputs=len(made), layout=layout)
    lowering.add(step, call.tensors, *made)
    lowering.values.update((Output(node.name, index), _known(array)) for index, array in call.constants.items())


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
        input_name: name of the input, with or without `:0`; required if the graph has several, or if its input is not a
            placeholder.

    Raises:
        GraphError: there is no node of this name, no input, or more than one.
    """
    if input_name is not None and not isinstance(input_name, str):
        raise GraphError(f"The input's name is text, not {input_name!r}.")
    stated = _lucid_metadata(graph)
    if stated is not None and (input_name is None or graph[input_name].name == stated.input_name):
        if stated.input_name not in graph.nodes:
            raise GraphError(f"The graph's own metadata name the input {stated.input_name!r}, which it does not have.")
        return stated
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
        return Metadata.from_json(parse_json(bytes(value.reshape(-1)[0])))
    except GraphError:
        raise
    except (ValueError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise GraphError(f"The graph's metadata node {LUCID_METADATA_NODE!r} does not hold JSON: {error}") from error
