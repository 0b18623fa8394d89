"""Converts ONNX files to networks whose layers have the file's names."""

from __future__ import annotations

import json
import operator
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import fx, nn

from converters.errors import GraphError, reason
from converters.layers import LocalResponseNorm
from converters.onnx.packages import import_onnx, import_onnx2torch
from converters.onnx.reading.files import read_model
from converters.onnx.reading.network import OnnxNetwork
from converters.onnx.reading.padding import PADDED, AutoPad
from converters.onnx.reading.partial import keep_outputs, layers_left_out, leave_out, of_other_inputs, op_unsupported
from converters.onnx.reading.resizing import Resize, convention_of
from converters.onnx.reading.rewriting import (
    choose_input,
    constants_to_initializers,
    drop_unused_outputs,
    keep_ranks,
    lay_out_input,
    restrict,
    sizes_of,
    take_padding,
)
from converters.onnx.reading.validation import (
    attributes,
    check_attributes,
    check_control_flow,
    check_model,
    check_ops,
    check_opsets,
    check_windows,
    holds_graphs,
    node_error,
    unsupported_op,
)
from converters.onnx.writing.export import PROPERTY
from converters.program.program import Metadata, module_names
from converters.program.validation import MAX_BAND

if TYPE_CHECKING:
    import onnx

LAYOUTS = (None, "NCHW", "NHWC")

# Errors that onnx, onnx2torch and torch raise for invalid attributes and constants.
REFUSALS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)

# Attributes of an fx.GraphModule other than its layers; no layer may have these names.
RESERVED_NAMES = ("code", "graph", "initializers", *(name for name in dir(fx.GraphModule) if name[0] != "_"))


def from_onnx(
    path: str | os.PathLike[str],
    input_name: str | None = None,
    *,
    layout: str | None = None,
    metadata: Metadata | None = None,
    outputs: Sequence[str] | None = None,
) -> OnnxNetwork:
    """Converts an ONNX file to a PyTorch network, through onnx2torch.

    Its layers have the names of the file's values, with or without TensorFlow's `:0`, and the names of nodes, unless a
    value has the same name. In files from tf2onnx, only the names of values are used: if tf2onnx folds a batch norm
    into a convolution, the value has the name of the batch norm, but the node has that of the convolution.
    `auto_pad=SAME_UPPER` and `SAME_LOWER` pad at every size as the standard defines. Nodes that depend on an op that
    cannot be converted, or on another input, are left out; `network.left_out` names them with the reasons.

    Args:
        path: path of the file. External weights are read from its folder only.
        input_name: name of the image if the graph has several inputs; may be a value inside the graph.
        layout: layout of the image in the file, "NCHW" or "NHWC"; None to infer it (NHWC if Transposes to NCHW read the
            image, or if its last axis has 1, 3 or 4 channels). The network reads NCHW in any case.
        metadata: metadata of the input. By default it is read from the file's properties, if this package wrote the
            file.
        outputs: names of the network's outputs; only what they need is converted. None for those of the file.

    Returns:
        The network, in evaluation mode, float32, with frozen weights.

    Raises:
        MissingPackageError: the packages `onnx` and `onnx2torch` are not installed.
        FileNotFoundError: the file does not exist.
        UnsupportedOpsError: onnx2torch does not convert some ops, and no other layer is left, or one of `outputs`
            depends on them; names all of them.
        GraphError: the file is no ONNX model of an image network, or it cannot be converted.

    Example:
        >>> import tempfile
        >>> import converters
        >>> from converters.frozen.writer import GraphWriter
        >>> graph = GraphWriter()
        >>> _ = graph.op("relu", "Relu", [graph.placeholder("input", [None, None, None, 3])])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = converters.convert(graph.graph_def()).to_onnx(f"{folder}/relu.onnx")
        ...     network = from_onnx(path)
        >>> list(network.layers)
        ['input', 'relu']
        >>> network.activations(-torch.ones(1, 3, 4, 4), "relu")["relu"].max()
        tensor(0.)
    """
    if layout not in LAYOUTS:
        raise ValueError(f"The layout is 'NCHW', 'NHWC' or None, not {layout!r}.")
    import_onnx2torch()
    try:
        prepared = prepare(read_model(path), input_name, layout, outputs)
    except UnicodeDecodeError as error:  # protobuf decodes text when it is read
        raise GraphError(f"The file is damaged: it has a name that is no text, {error.object[:40]!r}.") from error
    module = _converted(prepared)
    for parameter in module.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    nodes = _nodes(prepared, module)
    names = {layer: nodes[value] for layer, value in prepared.layers.items()}
    ops = {layer: prepared.ops[value] for layer, value in prepared.layers.items()}
    return OnnxNetwork(
        module,
        names,
        metadata or prepared.metadata,
        ops,
        channels=prepared.input_channels(),
        outputs=prepared.outputs(),
        left_out={name: why for name, why in prepared.left_out.items() if name not in names},
    )


@dataclass(frozen=True)
class Prepared:
    """A model that onnx2torch can convert, with the properties that were removed from it.

    Attributes:
        model: has one NCHW input; the names of its nodes are identifiers.
        layers: name of a layer -> name of its value, in the file's order; the input first.
        ops: name of a value -> op of its node.
        padding: name of a value -> padding of its node, if it was removed from the node.
        channels: name of a value -> its number of channels, if it is known.
        metadata: metadata of the input.
        left_out: name of a layer of the file that the model does not have -> the reason, as a clause.
    """

    model: onnx.ModelProto
    layers: Mapping[str, str]
    ops: Mapping[str, str]
    padding: Mapping[str, AutoPad]
    channels: Mapping[str, int]
    metadata: Metadata
    left_out: Mapping[str, str]

    def input_channels(self) -> int | None:
        """Returns the number of channels of the image, or None if the file does not state it."""
        sizes = sizes_of(self.model.graph.input[0])
        return sizes[1] if len(sizes) == 4 else None

    def outputs(self) -> list[str]:
        """Returns the layers that are the file's outputs, or the last layer if no output is a layer."""
        first = {value: layer for layer, value in reversed(list(self.layers.items()))}
        found = [first[value.name] for value in self.model.graph.output if value.name in first]
        return found or [list(self.layers)[-1]]


def prepare(
    model: onnx.ModelProto,
    input_name: str | None = None,
    layout: str | None = None,
    wanted: Sequence[str] | None = None,
) -> Prepared:
    """Checks a model, and rewrites nodes that onnx2torch refuses or converts wrongly.

    Raises:
        UnsupportedOpsError: onnx2torch does not convert some ops.
        GraphError: the model is no image network, or it cannot be converted.
    """
    model, reached, left_out = _one_image(model, input_name, wanted)
    graph = model.graph
    check_attributes(graph)
    check_windows(graph)
    drop_unused_outputs(graph)
    gone = lay_out_input(graph, layout)
    entry, values = graph.input[0], {value.name: value for value in (*graph.value_info, *graph.output)}
    metadata = _metadata(model, entry)
    channels = {name: sizes[1] for name, value in values.items() if len(sizes := sizes_of(value)) == 4}
    padding = take_padding(graph)
    keep_ranks(graph)
    others = {name for name, value in values.items() if value.type.tensor_type.elem_type not in _floats()}
    layers = _layers(graph, reached - others, gone, with_nodes=model.producer_name != "tf2onnx")
    ops = {entry.name: "Placeholder", **{name: node.op_type for node in graph.node for name in node.output}}
    known = {name: count for name, count in channels.items() if count is not None}
    _name_nodes(graph)
    return Prepared(model, layers, ops, padding, known, metadata, left_out)


def _one_image(
    model: onnx.ModelProto, input_name: str | None, wanted: Sequence[str] | None
) -> tuple[onnx.ModelProto, set[str], dict[str, str]]:
    """Restricts a model to one input and to the nodes that convert, and checks it.

    Returns:
        The model, the names of the values that depend on the input, and the layers that were left out.
    """
    onnx = import_onnx()
    check_opsets(model)
    if model.functions:
        model = _checked_call(onnx.inliner.inline_local_functions, model)
    if input_name is not None:  # it may be a value inside the graph, whose type the file may not state
        model = _checked_call(onnx.shape_inference.infer_shapes, model)
    constants_to_initializers(model.graph)
    nodes, gone = list(model.graph.node), {}
    if wanted is not None:
        gone = keep_outputs(model.graph, wanted)
    entry = choose_input(model.graph, input_name)
    gone |= of_other_inputs(model.graph, entry.name)
    reached = restrict(model.graph, entry)
    blocked = {} if wanted is not None else leave_out(model.graph, reached, lambda node: _reason(model, node))
    if not reached - set(blocked) or wanted is not None:
        check_control_flow(model.graph.node)
        check_ops(model)
    model = _checked_call(onnx.shape_inference.infer_shapes, model)
    check_model(model)
    return model, reached - set(blocked), layers_left_out(nodes, {**gone, **blocked})


def _reason(model: onnx.ModelProto, node: onnx.NodeProto) -> str | None:
    """Returns the reason, as a clause, for which a node cannot be converted; None if it can."""
    op = f"{node.op_type}, which has graphs of its own," if holds_graphs(node) else unsupported_op(model, node)
    return None if op is None else op_unsupported(op, node)


def _checked_call(function: Callable[[onnx.ModelProto], onnx.ModelProto], model: onnx.ModelProto) -> onnx.ModelProto:
    """Calls a function of onnx; its errors become GraphErrors."""
    try:
        return function(model)
    except (*REFUSALS, import_onnx().shape_inference.InferenceError) as error:
        raise GraphError(f"The file is no valid ONNX model: {reason(error)}.") from error


def _floats() -> tuple[int, int]:
    kinds = import_onnx().TensorProto
    return kinds.FLOAT, kinds.UNDEFINED


def _layers(graph: onnx.GraphProto, values: set[str], gone: Mapping[str, str], with_nodes: bool) -> dict[str, str]:
    """Returns layer name -> value. Layers have the names of values, and names of nodes that no value has.

    Args:
        graph: the graph.
        values: names of the values that are layers.
        gone: names of removed values -> the input, which replaces them.
        with_nodes: whether the names of nodes are names of layers as well.
    """
    entry = graph.input[0].name
    made = [(name, node) for node in graph.node for name in node.output if name in values]
    all_values = {entry, *gone, *(name for name, _ in made)}

    def public(name: str) -> str:
        return name[:-2] if name.endswith(":0") and name[:-2] not in all_values else name

    layers = {public(entry): entry, **{public(name): name for name, _ in made}}
    for name, source in gone.items():
        layers.setdefault(public(name), source)
    for name, node in made:
        if with_nodes and node.name and name == node.output[0]:
            layers.setdefault(public(node.name), name)
    return layers


def _name_nodes(graph: onnx.GraphProto) -> None:
    """Renames each node to an identifier, which becomes the name of its module."""
    reserved = dict.fromkeys(RESERVED_NAMES)
    names = module_names([*reserved, *(node.output[0] for node in graph.node)])
    for node in graph.node:
        node.name = names[node.output[0]]


def _metadata(model: onnx.ModelProto, entry: onnx.ValueInfoProto) -> Metadata:
    """Reads the metadata of the input from a file's properties, or else from the input's shape."""
    name = entry.name.removesuffix(":0")
    stated = {entry.key.removeprefix(PROPERTY): entry.value for entry in model.metadata_props}
    ours = {entry.key for entry in model.metadata_props if entry.key.startswith(PROPERTY)}
    if not ours:
        _, channels, height, width = sizes_of(entry) or [None] * 4
        return Metadata(name, (height, width, channels) if channels else None)
    try:
        data = {key: json.loads(text) for key, text in stated.items() if f"{PROPERTY}{key}" in ours}
    except ValueError as error:
        raise GraphError(f"The file's properties are damaged: {error}.") from error
    return Metadata.from_json({**data, "input_name": name})


def _converted(prepared: Prepared) -> fx.GraphModule:
    """Converts a model with onnx2torch, and replaces layers that would be inexact.

    Raises:
        GraphError: onnx2torch refuses a node, or a Resize cannot be computed exactly.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # inexact Resizes are replaced below
        try:
            module: fx.GraphModule = import_onnx2torch().convert(prepared.model)
        except REFUSALS as error:
            raise GraphError(f"onnx2torch cannot convert the graph: {reason(error)}.") from error
    opset = next(entry.version for entry in prepared.model.opset_import if entry.domain == "")
    for node in prepared.model.graph.node:
        layer = module.get_submodule(node.name)
        if node.op_type == "Resize":
            exact = _exact_resize(node, opset)
        else:
            exact = _exact(layer, prepared.padding.get(node.output[0]), prepared.channels.get(node.output[0]))
        if exact is not layer:
            module.add_submodule(node.name, exact)
    return module


def _exact_resize(node: onnx.NodeProto, opset: int) -> nn.Module:
    stated = attributes(node)
    convention = convention_of(stated)
    if convention is None or stated.get("exclude_outside") or opset < 11:  # conventions exist from opset 11 on
        shown = {key: value for key, value in stated.items() if isinstance(value, str)}
        raise node_error(node, f"resizes in a way that is not computed exactly: {shown}")
    return Resize(*convention)


def _exact(layer: nn.Module, padding: AutoPad | None, channels: int | None) -> nn.Module:
    """Returns onnx2torch's layer, or an exact replacement for it."""
    if padding is not None:
        return PADDED[type(layer)](layer, padding)
    if isinstance(layer, nn.LocalResponseNorm):
        if layer.size % 2 == 0:
            raise GraphError(f"The graph has an LRN over {layer.size} channels; windows around a channel are odd.")
        if channels is not None and channels <= MAX_BAND:  # computes the same sum several times faster
            radius = layer.size // 2
            return LocalResponseNorm(channels, radius, float(layer.k), layer.alpha / layer.size, layer.beta)
    return layer


def _nodes(prepared: Prepared, module: fx.GraphModule) -> dict[str, str]:
    """Returns the names of the fx nodes by the names of their values."""
    placeholder = next(node for node in module.graph.nodes if node.op == "placeholder")
    calls = {str(node.target): node for node in module.graph.nodes if node.op == "call_module"}
    found = {prepared.model.graph.input[0].name: placeholder.name}
    for node in prepared.model.graph.node:
        call = calls[node.name]
        if len(node.output) == 1:
            found[node.output[0]] = call.name
            continue
        with module.graph.inserting_after(call):
            for index, name in enumerate(node.output):
                found[name] = module.graph.call_function(operator.getitem, (call, index)).name
    module.recompile()
    return found
