"""Reads ONNX files as networks whose layers answer to the file's names."""

from __future__ import annotations

import json
import operator
import os
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import fx, nn

from converters.errors import GraphError
from converters.layers import LocalResponseNorm
from converters.onnx.packages import import_onnx, import_onnx2torch
from converters.onnx.reading.checks import (
    attributes,
    check_attributes,
    check_control_flow,
    check_model,
    check_ops,
    check_opsets,
    check_windows,
    node_error,
)
from converters.onnx.reading.files import read_model
from converters.onnx.reading.network import OnnxNetwork
from converters.onnx.reading.padding import PADDED, AutoPad
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
from converters.onnx.writing.export import PROPERTY
from converters.program.program import Metadata, module_names
from converters.program.validation import MAX_BAND

if TYPE_CHECKING:
    import onnx

LAYOUTS = (None, "NCHW", "NHWC")

# What onnx, onnx2torch and torch raise about a node's attributes and constants that make no sense.
REFUSALS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)

# What an fx.GraphModule has besides its layers; no layer may take these names.
RESERVED_NAMES = ("code", "graph", "initializers", *(name for name in dir(fx.GraphModule) if name[0] != "_"))


def from_onnx(
    path: str | os.PathLike[str],
    input_name: str | None = None,
    *,
    layout: str | None = None,
    metadata: Metadata | None = None,
) -> OnnxNetwork:
    """Reads an ONNX file as a PyTorch network, through onnx2torch.

    Its layers answer to the names of the file's values, with or without TensorFlow's `:0`, and to the names of its
    nodes where no value is called so. In files from tf2onnx only values' names count: where it folds a batch norm into
    the convolution before, the node is called as TensorFlow's convolution and its value as the batch norm, which it is.
    `auto_pad=SAME_UPPER` and `SAME_LOWER` pad at every size as the standard says.

    Args:
        path: of the file. Weights in files of their own are read from its folder, and from nowhere else.
        input_name: the image, where the graph has several inputs; also a value inside the graph.
        layout: how the file has its image, "NCHW" or "NHWC"; None for what the file shows (it reads the image through
            Transposes to NCHW, or its last axis has 1, 3 or 4 channels). The network reads NCHW in any case.
        metadata: what the network wants to be fed, where the caller knows it; otherwise what this package wrote into
            the file's properties, if it did.

    Returns:
        The network, in evaluation mode, float32, with frozen weights.

    Raises:
        MissingPackageError: the packages `onnx` and `onnx2torch` are not installed.
        FileNotFoundError: there is no such file.
        UnsupportedOpsError: the graph has ops that onnx2torch does not convert; it names all of them.
        GraphError: the file is no ONNX model of an image network that converts; the sentence says what is wrong.
    """
    if layout not in LAYOUTS:
        raise ValueError(f"The layout is 'NCHW', 'NHWC' or None, not {layout!r}.")
    import_onnx2torch()
    try:
        prepared = prepare(read_model(path), input_name, layout)
    except UnicodeDecodeError as error:  # protobuf looks at text when it is asked for
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
    )


@dataclass(frozen=True)
class Prepared:
    """A model for onnx2torch, and what it cannot say.

    Attributes:
        model: one input, NCHW; nodes called by identifiers.
        layers: name of a layer -> the value it is, in the file's order; the input first.
        ops: name of a value -> the op that makes it.
        padding: name of a value -> how the node that makes it pads, if it does not say that itself.
        channels: name of a value -> its channels, where they are known.
        metadata: what the network wants to be fed.
    """

    model: onnx.ModelProto
    layers: Mapping[str, str]
    ops: Mapping[str, str]
    padding: Mapping[str, AutoPad]
    channels: Mapping[str, int]
    metadata: Metadata

    def input_channels(self) -> int | None:
        """Of the image, where the file states them."""
        sizes = sizes_of(self.model.graph.input[0])
        return sizes[1] if len(sizes) == 4 else None

    def outputs(self) -> list[str]:
        """The layers that the file gives, or the last one where it gives only what is no layer."""
        first = {value: layer for layer, value in reversed(list(self.layers.items()))}
        found = [first[value.name] for value in self.model.graph.output if value.name in first]
        return found or [list(self.layers)[-1]]


def prepare(model: onnx.ModelProto, input_name: str | None = None, layout: str | None = None) -> Prepared:
    """Checks a model, and rewrites what onnx2torch refuses or gets wrong.

    Raises:
        UnsupportedOpsError: it has ops that onnx2torch does not convert.
        GraphError: it is no image network that converts.
    """
    model, reached = _one_image(model, input_name)
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
    return Prepared(model, layers, ops, padding, known, metadata)


def _one_image(model: onnx.ModelProto, input_name: str | None) -> tuple[onnx.ModelProto, set[str]]:
    """A checked model with one input and what it reaches, and the names of the values that depend on it."""
    onnx = import_onnx()
    check_opsets(model)
    if model.functions:
        model = _checked_call(onnx.inliner.inline_local_functions, model)
    if input_name is not None:  # it may be a value inside the graph, of which the file need not say what it is
        model = _checked_call(onnx.shape_inference.infer_shapes, model)
    constants_to_initializers(model.graph)
    reached = restrict(model.graph, choose_input(model.graph, input_name))
    check_control_flow(model.graph.node)
    check_ops(model)
    model = _checked_call(onnx.shape_inference.infer_shapes, model)
    check_model(model)
    return model, reached


def _checked_call(function: Callable[[onnx.ModelProto], onnx.ModelProto], model: onnx.ModelProto) -> onnx.ModelProto:
    """What a function of onnx makes of a model."""
    try:
        return function(model)
    except (*REFUSALS, import_onnx().shape_inference.InferenceError) as error:
        raise GraphError(f"The file is no valid ONNX model: {_one_line(error)}.") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300].rstrip(".") or type(error).__name__


def _floats() -> tuple[int, int]:
    kinds = import_onnx().TensorProto
    return kinds.FLOAT, kinds.UNDEFINED


def _layers(graph: onnx.GraphProto, values: set[str], gone: Mapping[str, str], with_nodes: bool) -> dict[str, str]:
    """Public names of a graph's values: first those of values, then those of nodes that no value has.

    Args:
        graph: the graph.
        values: those that are layers.
        gone: values that are the input.
        with_nodes: whether a node's name says what its value is.
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
    """Calls each node by an identifier, which its module gets."""
    reserved = dict.fromkeys(RESERVED_NAMES)
    names = module_names([*reserved, *(node.output[0] for node in graph.node)])
    for node in graph.node:
        node.name = names[node.output[0]]


def _metadata(model: onnx.ModelProto, entry: onnx.ValueInfoProto) -> Metadata:
    """What the file says of the image it wants."""
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
    """What onnx2torch makes of a model, exact where it alone is not.

    Raises:
        GraphError: onnx2torch refuses a node, or computes it only about.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a Resize that is only about right, and is seen to below
        try:
            module: fx.GraphModule = import_onnx2torch().convert(prepared.model)
        except REFUSALS as error:
            raise GraphError(f"onnx2torch cannot convert the graph: {_one_line(error)}.") from error
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
    if convention is None or stated.get("exclude_outside") or opset < 11:  # before 11, it had no conventions
        shown = {key: value for key, value in stated.items() if isinstance(value, str)}
        raise node_error(node, f"resizes in a way that is not computed exactly: {shown}")
    return Resize(*convention)


def _exact(layer: nn.Module, padding: AutoPad | None, channels: int | None) -> nn.Module:
    """A layer that computes what its node says, for one that onnx2torch made."""
    if padding is not None:
        return PADDED[type(layer)](layer, padding)
    if isinstance(layer, nn.LocalResponseNorm):
        if layer.size % 2 == 0:
            raise GraphError(f"The graph has an LRN over {layer.size} channels; windows around a channel are odd.")
        if channels is not None and channels <= MAX_BAND:  # the same sum, several times as fast
            radius = layer.size // 2
            return LocalResponseNorm(channels, radius, float(layer.k), layer.alpha / layer.size, layer.beta)
    return layer


def _nodes(prepared: Prepared, module: fx.GraphModule) -> dict[str, str]:
    """Name of a value -> name of the fx node that gives it."""
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
