"""Converts ONNX files to networks whose layers have the file's names."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import fx

from converters.documents import parse_json
from converters.errors import GraphError, reason
from converters.onnx.packages import import_onnx
from converters.onnx.reading.axes import is_clear
from converters.onnx.reading.batches import keeps_images_apart
from converters.onnx.reading.building import Network, build
from converters.onnx.reading.casting import to_float32
from converters.onnx.reading.files import read_model
from converters.onnx.reading.folding import REFUSALS, fold
from converters.onnx.reading.network import OnnxNetwork
from converters.onnx.reading.ordering import inline_ifs, sort_nodes
from converters.onnx.reading.partial import (
    check_chosen,
    check_ops,
    keep_outputs,
    layers_left_out,
    leave_out,
    of_other_inputs,
    raise_refused,
    reasons_of,
    unsupported_ops,
)
from converters.onnx.reading.rewriting import (
    choose_input,
    constants_to_initializers,
    drop_unused_outputs,
    keep_ranks,
    lay_out_input,
    restrict,
    set_inputs,
    sizes_of,
)
from converters.onnx.reading.validation import (
    MIN_OPSET,
    check_attributes,
    check_control_flow,
    check_integers,
    check_model,
    check_opsets,
    check_windows,
    opset_of,
)
from converters.onnx.writing.export import PROPERTY
from converters.program.program import Metadata, module_names
from converters.signatures import checked

if TYPE_CHECKING:
    import onnx

Constant: TypeAlias = "bool | int | float | np.ndarray"

LAYOUTS = (None, "NCHW", "NHWC")

INITIALIZERS_ARE_NO_INPUTS = 4
"""First version of the format in which initializers need not be inputs. Files of version 3 come from old exporters."""

# Attributes of an fx.GraphModule other than its layers; no layer may have these names.
RESERVED_NAMES = ("code", "graph", "initializers", *(name for name in dir(fx.GraphModule) if name[0] != "_"))


@checked
def from_onnx(
    path: str | os.PathLike[str],
    input_name: str | None = None,
    *,
    layout: str | None = None,
    constants: Mapping[str, Constant] | None = None,
    metadata: Metadata | None = None,
    outputs: Sequence[str] | None = None,
) -> OnnxNetwork:
    """Converts an ONNX file to a PyTorch network.

    Its layers have the names of the file's values, with or without TensorFlow's `:0`, and the names of nodes, unless a
    value has the same name. In files from tf2onnx, only the names of values are used: if tf2onnx folds a batch norm
    into a convolution, the value has the name of the batch norm, but the node has that of the convolution.
    `auto_pad=SAME_UPPER` and `SAME_LOWER` pad at every size as the standard defines. Nodes that cannot be converted,
    nodes of other inputs, and the nodes that depend on them are left out; `network.left_out` gives names and reasons.

    Args:
        path: path of the file. External weights are read from its folder only.
        input_name: name of the image if the graph has several inputs; may be a value inside the graph.
        layout: layout of the image in the file, "NCHW" or "NHWC"; None to infer it (NHWC if Transposes to NCHW read the
            image, or if its last axis has 1, 3 or 4 channels). The network reads NCHW in any case.
        constants: name of another input -> its value, a number or an array. Values that depend on an input without a
            value are left out.
        metadata: metadata of the input. By default it is read from the file's properties, if this package wrote the
            file.
        outputs: names of the network's outputs; only what they need is converted. None for those of the file.

    Returns:
        The network, in evaluation mode, float32, with frozen weights.

    Raises:
        MissingPackageError: the package `onnx` is not installed.
        FileNotFoundError: the file does not exist.
        UnsupportedOpsError: some ops are not supported, and no other layer is left, or one of `outputs` depends on
            them; names all of them.
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
    try:
        prepared = prepare(read_model(path), input_name, layout, constants, outputs)
    except UnicodeDecodeError as error:  # protobuf decodes text when it is read
        raise GraphError(f"The file is damaged: it has a name that is no text, {error.object[:40]!r}.") from error
    module = prepared.network.module
    for parameter in module.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    outputs = prepared.outputs()
    prepared.network.give({layer: prepared.layers[layer] for layer in outputs})
    return OnnxNetwork(
        module,
        {layer: prepared.network.names[value] for layer, value in prepared.layers.items()},
        metadata or prepared.metadata,
        {layer: prepared.ops[value] for layer, value in prepared.layers.items()},
        channels=prepared.input_channels(),
        outputs=outputs,
        takes_one_image=prepared.takes_one_image,
        left_out=prepared.left_out,
        follows_ranks=prepared.follows_ranks,
    )


@dataclass(frozen=True)
class Prepared:
    """A converted model.

    Attributes:
        graph: has one NCHW input.
        network: the graph of torch.fx.
        layers: name of a layer -> name of its value, in the file's order; the input first.
        ops: name of a value -> op of its node.
        metadata: metadata of the input.
        takes_one_image: whether the graph computes one image at a time, because the file states a batch of one.
        left_out: name of a layer of the file that the network does not have -> the reason, as a clause.
        follows_ranks: whether the axes of all layers follow from their ranks.
    """

    graph: onnx.GraphProto
    network: Network
    layers: Mapping[str, str]
    ops: Mapping[str, str]
    metadata: Metadata
    takes_one_image: bool
    left_out: Mapping[str, str]
    follows_ranks: bool

    def input_channels(self) -> int | None:
        """Returns the number of channels of the image, or None if the file does not state it."""
        sizes = sizes_of(self.graph.input[0])
        return sizes[1] if len(sizes) == 4 else None

    def outputs(self) -> list[str]:
        """Returns the layers that are the file's outputs, or the last layer if no output is a layer."""
        first = {value: layer for layer, value in reversed(list(self.layers.items()))}
        found = [first[value] for value in self.network.outputs if value in first]
        return found or [list(self.layers)[-1]]


def prepare(
    model: onnx.ModelProto,
    input_name: str | None = None,
    layout: str | None = None,
    constants: Mapping[str, Constant] | None = None,
    wanted: Sequence[str] | None = None,
) -> Prepared:
    """Checks a model, and rewrites it.

    Raises:
        UnsupportedOpsError: some ops are not supported.
        GraphError: the model is no image network, or it cannot be converted.
    """
    part = _one_image(model, input_name, constants or {}, wanted)
    model, graph = part.model, part.model.graph
    opset = opset_of(model)
    check_attributes(graph)
    part.leave_out({**check_windows(graph), **check_integers(graph), **drop_unused_outputs(graph, opset)})
    gone = lay_out_input(graph, layout)
    entry, values = graph.input[0], {value.name: value for value in (*graph.value_info, *graph.output)}
    metadata = _metadata(model, entry)
    batch = (sizes_of(entry) or [None])[0]
    keep_ranks(graph)
    others = {name for name, value in values.items() if value.type.tensor_type.elem_type not in _pictured()}
    others -= {value.name for value in graph.output}
    ops = {entry.name: "Placeholder", **{name: node.op_type for node in graph.node for name in node.output}}
    sizes = {
        name: sizes_of(value)
        for name, value in {**values, entry.name: entry}.items()
        if value.type.tensor_type.HasField("shape")
    }
    outputs = [value.name for value in graph.output]
    network = build(graph.node, [entry.name], outputs, opset, part.constants, sizes, _paths(graph))
    part.leave_out(network.refused)
    layers = _layers(graph, part.reached - others, gone, with_nodes=model.producer_name != "tf2onnx")
    layers = {layer: name for layer, name in layers.items() if name in network.names}
    left_out = {name: why for name, why in layers_left_out(part.nodes, part.left_out).items() if name not in layers}
    takes_one_image = batch == 1 and not keeps_images_apart(graph, part.constants, sizes, opset)
    clear = is_clear({name: ops[name] for name in layers.values()}, sizes)
    return Prepared(graph, network, layers, ops, metadata, takes_one_image, left_out, clear)


@dataclass
class _Part:
    """The part of a model that is converted.

    Attributes:
        model: has one input.
        reached: names of the values that depend on the input.
        constants: name -> value of each constant.
        nodes: the nodes of the whole model.
        left_out: value that was removed -> the reason, as a clause.
        is_chosen: whether the user chose the outputs. Then every node is needed.
    """

    model: onnx.ModelProto
    reached: set[str]
    constants: Mapping[str, np.ndarray]
    nodes: Sequence[onnx.NodeProto]
    left_out: dict[str, str]
    is_chosen: bool

    def leave_out(self, errors: Mapping[str, GraphError]) -> None:
        """Removes the nodes that cannot be converted, and the nodes behind them.

        Args:
            errors: first output of such a node -> the error.

        Raises:
            GraphError: a chosen output depends on such a node, or no node that depends on the image is left.
        """
        if not self.remove(reasons_of(errors)):
            raise_refused(errors)

    def remove(self, reasons: Mapping[str, str]) -> bool:
        """Removes nodes and the nodes behind them; returns whether the network can do without them."""
        if not reasons:
            return True
        gone = None if self.is_chosen else leave_out(self.model.graph, self.reached, reasons)
        if gone is None:
            return False
        self.left_out |= gone
        self.reached = self.reached - set(gone)
        return True


def _one_image(
    model: onnx.ModelProto,
    input_name: str | None,
    constants: Mapping[str, Constant],
    wanted: Sequence[str] | None,
) -> _Part:
    """Restricts a model to one input and to the nodes whose ops are supported, and checks it."""
    onnx = import_onnx()
    check_opsets(model)
    if model.functions:
        model = _checked_call(onnx.inliner.inline_local_functions, model)
    if opset_of(model) < MIN_OPSET:
        model = _checked_call(lambda old: onnx.version_converter.convert_version(old, MIN_OPSET), model)
    to_float32(model)
    set_inputs(model.graph, constants)
    gone = sort_nodes(model.graph, wanted)
    known, refused = _with_folded_constants(model)
    if input_name is not None:  # it may be a value inside the graph, whose type the file may not state
        model = _checked_call(onnx.shape_inference.infer_shapes, model)
    nodes = list(model.graph.node)
    entry = choose_input(model.graph, input_name)
    if wanted is not None:
        gone |= keep_outputs(model.graph, wanted)
        check_chosen(model.graph, entry.name)
    gone |= of_other_inputs(model.graph, entry.name)
    reached = restrict(model.graph, entry)
    model.ir_version = max(model.ir_version, INITIALIZERS_ARE_NO_INPUTS)
    part = _Part(model, reached, known, nodes, gone, wanted is not None)
    needed = {name for node in model.graph.node for name in node.output}
    part.leave_out({name: error for name, error in refused.items() if name in needed})
    if not part.remove(unsupported_ops(model.graph.node, opset_of(model))):
        check_control_flow(model.graph.node)
        check_ops(model)
    part.model = _checked_call(onnx.shape_inference.infer_shapes, model)
    check_model(part.model)
    return part


def _with_folded_constants(model: onnx.ModelProto) -> tuple[dict[str, np.ndarray], dict[str, GraphError]]:
    """Computes the nodes of constants, and puts the branches of decided Ifs into the graph.

    Returns:
        The constants, and first output of a node of constants that cannot be computed -> the error.
    """
    to_array = import_onnx().numpy_helper.to_array
    while True:
        constants_to_initializers(model.graph)
        known = {tensor.name: to_array(tensor) for tensor in model.graph.initializer}
        refused = fold(model.graph, opset_of(model), known)
        if not inline_ifs(model.graph, known):
            return known, refused
        sort_nodes(model.graph)


def _checked_call(function: Callable[[onnx.ModelProto], onnx.ModelProto], model: onnx.ModelProto) -> onnx.ModelProto:
    """Calls a function of onnx; its errors become GraphErrors."""
    try:
        return function(model)
    except (*REFUSALS, import_onnx().shape_inference.InferenceError) as error:
        raise GraphError(f"The file is no valid ONNX model: {reason(error)}.") from error


def _pictured() -> tuple[int, ...]:
    """Returns the types of values that are layers: float32, unknown ones, and integers of up to 16 bits."""
    kinds = import_onnx().TensorProto
    return kinds.FLOAT, kinds.UNDEFINED, kinds.UINT8, kinds.INT8, kinds.UINT16, kinds.INT16


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


def _paths(graph: onnx.GraphProto) -> dict[str, str]:
    """Returns name of a node's first output -> name of its module, an identifier."""
    reserved = dict.fromkeys(RESERVED_NAMES)
    names = module_names([*reserved, *(node.output[0] for node in graph.node)])
    return {node.output[0]: names[node.output[0]] for node in graph.node}


def _metadata(model: onnx.ModelProto, entry: onnx.ValueInfoProto) -> Metadata:
    """Reads the metadata of the input from a file's properties, or else from the input's shape."""
    name = entry.name.removesuffix(":0")
    stated = {entry.key.removeprefix(PROPERTY): entry.value for entry in model.metadata_props}
    ours = {entry.key for entry in model.metadata_props if entry.key.startswith(PROPERTY)}
    if not ours:
        _, channels, height, width = sizes_of(entry) or [None] * 4
        return Metadata(name, (height, width, channels) if channels else None)
    try:
        data = {key: parse_json(text) for key, text in stated.items() if f"{PROPERTY}{key}" in ours}
    except ValueError as error:
        raise GraphError(f"The file's properties are damaged: {error}.") from error
    return Metadata.from_json({**data, "input_name": name})
