"""Converts ONNX files to networks whose layers have the file's names."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from torch import fx

from converters.errors import GraphError, reason
from converters.onnx.packages import import_onnx
from converters.onnx.reading.building import Network, build
from converters.onnx.reading.casting import to_float32
from converters.onnx.reading.files import read_model
from converters.onnx.reading.folding import REFUSALS, fold
from converters.onnx.reading.network import OnnxNetwork
from converters.onnx.reading.ordering import inline_ifs, sort_nodes
from converters.onnx.reading.rewriting import (
    binds_batch,
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
    check_ops,
    check_opsets,
    check_windows,
    opset_of,
)
from converters.onnx.writing.export import PROPERTY
from converters.program.program import Metadata, module_names

if TYPE_CHECKING:
    import onnx

Constant: TypeAlias = "bool | int | float | np.ndarray"

LAYOUTS = (None, "NCHW", "NHWC")

# Attributes of an fx.GraphModule other than its layers; no layer may have these names.
RESERVED_NAMES = ("code", "graph", "initializers", *(name for name in dir(fx.GraphModule) if name[0] != "_"))


def from_onnx(
    path: str | os.PathLike[str],
    input_name: str | None = None,
    *,
    layout: str | None = None,
    constants: Mapping[str, Constant] | None = None,
    metadata: Metadata | None = None,
) -> OnnxNetwork:
    """Converts an ONNX file to a PyTorch network.

    Its layers have the names of the file's values, with or without TensorFlow's `:0`, and the names of nodes, unless a
    value has the same name. In files from tf2onnx, only the names of values are used: if tf2onnx folds a batch norm
    into a convolution, the value has the name of the batch norm, but the node has that of the convolution.
    `auto_pad=SAME_UPPER` and `SAME_LOWER` pad at every size as the standard defines.

    Args:
        path: path of the file. External weights are read from its folder only.
        input_name: name of the image if the graph has several inputs; may be a value inside the graph.
        layout: layout of the image in the file, "NCHW" or "NHWC"; None to infer it (NHWC if Transposes to NCHW read the
            image, or if its last axis has 1, 3 or 4 channels). The network reads NCHW in any case.
        constants: name of another input -> its value, a number or an array. Values that depend on an input without a
            value are left out.
        metadata: metadata of the input. By default it is read from the file's properties, if this package wrote the
            file.

    Returns:
        The network, in evaluation mode, float32, with frozen weights.

    Raises:
        MissingPackageError: the package `onnx` is not installed.
        FileNotFoundError: the file does not exist.
        UnsupportedOpsError: some ops are not supported; names all of them.
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
        prepared = prepare(read_model(path), input_name, layout, constants)
    except UnicodeDecodeError as error:  # protobuf decodes text when it is read
        raise GraphError(f"The file is damaged: it has a name that is no text, {error.object[:40]!r}.") from error
    module = prepared.network.module
    for parameter in module.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return OnnxNetwork(
        module,
        {layer: prepared.network.names[value] for layer, value in prepared.layers.items()},
        metadata or prepared.metadata,
        {layer: prepared.ops[value] for layer, value in prepared.layers.items()},
        channels=prepared.input_channels(),
        outputs=prepared.outputs(),
        takes_one_image=prepared.takes_one_image,
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
        takes_one_image: whether the graph computes one image at a time, because its shapes state a batch of one.
    """

    graph: onnx.GraphProto
    network: Network
    layers: Mapping[str, str]
    ops: Mapping[str, str]
    metadata: Metadata
    takes_one_image: bool

    def input_channels(self) -> int | None:
        """Returns the number of channels of the image, or None if the file does not state it."""
        sizes = sizes_of(self.graph.input[0])
        return sizes[1] if len(sizes) == 4 else None

    def outputs(self) -> list[str]:
        """Returns the layers that are the file's outputs, or the last layer if no output is a layer."""
        first = {value: layer for layer, value in reversed(list(self.layers.items()))}
        found = [first[value.name] for value in self.graph.output if value.name in first]
        return found or [list(self.layers)[-1]]


def prepare(
    model: onnx.ModelProto,
    input_name: str | None = None,
    layout: str | None = None,
    constants: Mapping[str, Constant] | None = None,
) -> Prepared:
    """Checks a model, and rewrites it.

    Raises:
        UnsupportedOpsError: some ops are not supported.
        GraphError: the model is no image network, or it cannot be converted.
    """
    model, reached, known = _one_image(model, input_name, constants or {})
    graph = model.graph
    opset = opset_of(model)
    check_attributes(graph)
    check_windows(graph)
    check_integers(graph)
    drop_unused_outputs(graph, opset)
    gone = lay_out_input(graph, layout)
    entry, values = graph.input[0], {value.name: value for value in (*graph.value_info, *graph.output)}
    metadata = _metadata(model, entry)
    batch = (sizes_of(entry) or [None])[0]
    keep_ranks(graph)
    others = {name for name, value in values.items() if value.type.tensor_type.elem_type not in _pictured()}
    layers = _layers(graph, reached - others, gone, with_nodes=model.producer_name != "tf2onnx")
    ops = {entry.name: "Placeholder", **{name: node.op_type for node in graph.node for name in node.output}}
    sizes = {
        name: sizes_of(value)
        for name, value in {**values, entry.name: entry}.items()
        if value.type.tensor_type.HasField("shape")
    }
    outputs = [value.name for value in graph.output]
    network = build(graph.node, [entry.name], outputs, opset, known, sizes, _paths(graph))
    layers = {layer: name for layer, name in layers.items() if name in network.names}
    return Prepared(graph, network, layers, ops, metadata, batch == 1 and binds_batch(graph, known))


def _one_image(
    model: onnx.ModelProto, input_name: str | None, constants: Mapping[str, Constant]
) -> tuple[onnx.ModelProto, set[str], dict[str, np.ndarray]]:
    """Restricts a model to one input and checks it.

    Returns:
        The model, the names of the values that depend on the input, and the constants.
    """
    onnx = import_onnx()
    check_opsets(model)
    if model.functions:
        model = _checked_call(onnx.inliner.inline_local_functions, model)
    if opset_of(model) < MIN_OPSET:
        model = _checked_call(lambda old: onnx.version_converter.convert_version(old, MIN_OPSET), model)
    to_float32(model)
    set_inputs(model.graph, constants)
    sort_nodes(model.graph)
    known = _with_folded_constants(model)
    if input_name is not None:  # it may be a value inside the graph, whose type the file may not state
        model = _checked_call(onnx.shape_inference.infer_shapes, model)
    reached = restrict(model.graph, choose_input(model.graph, input_name))
    check_control_flow(model.graph.node)
    check_ops(model)
    model = _checked_call(onnx.shape_inference.infer_shapes, model)
    check_model(model)
    return model, reached, known


def _with_folded_constants(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """Computes the nodes of constants, and puts the branches of decided Ifs into the graph; returns the constants."""
    to_array = import_onnx().numpy_helper.to_array
    while True:
        constants_to_initializers(model.graph)
        known = {tensor.name: to_array(tensor) for tensor in model.graph.initializer}
        fold(model.graph, opset_of(model), known)
        if not inline_ifs(model.graph, known):
            return known
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
        data = {key: json.loads(text) for key, text in stated.items() if f"{PROPERTY}{key}" in ours}
    except ValueError as error:
        raise GraphError(f"The file's properties are damaged: {error}.") from error
    return Metadata.from_json({**data, "input_name": name})
