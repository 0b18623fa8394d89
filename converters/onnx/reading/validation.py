"""Checks ONNX graphs before their conversion; errors name the node."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from converters.errors import GraphError, UnsupportedOpsError, reason
from converters.onnx.packages import import_onnx, import_onnx2torch
from converters.program.validation import MAX_WINDOW

if TYPE_CHECKING:
    import onnx

# Limits far beyond any image network, as for the arguments of TensorFlow's layers.
MAX_OPSET = 2**31
MAX_RANK = 32
AXES_INPUTS = {"Slice": 3, "Squeeze": 1, "Unsqueeze": 1, "Reduce": 1, "Pad": 3}  # prefix of the op -> its axes input
NOT_VALUES = frozenset({"name", "type", "doc_string", "ref_attr_name"})  # fields of an attribute that hold no value

WINDOWS = frozenset({"AveragePool", "Conv", "ConvTranspose", "MaxPool"})


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """Returns a node's attributes as plain values."""
    read = import_onnx().helper.get_attribute_value
    found = {attribute.name: read(attribute) for attribute in node.attribute}
    return {key: value.decode(errors="replace") if isinstance(value, bytes) else value for key, value in found.items()}


def check_opsets(model: onnx.ModelProto) -> None:
    """Checks the versions of a model's operator sets.

    Raises:
        GraphError: a version is invalid, or newer than the package `onnx`.
    """
    onnx = import_onnx()
    known = onnx.defs.onnx_opset_version()
    for entry in model.opset_import:
        if not 0 < entry.version < MAX_OPSET:
            raise GraphError(
                f"The model states opset {entry.version} of {entry.domain or 'ai.onnx'!r}, which does not exist."
            )
        if entry.domain in ("", "ai.onnx") and entry.version > known:
            raise GraphError(
                f"The model is of opset {entry.version}; onnx {onnx.__version__} knows opsets up to {known}. Export it "
                "with an older opset, or upgrade onnx."
            )


def check_attributes(graph: onnx.GraphProto) -> None:
    """Checks that attributes have values, and the ranks of axes.

    onnx2torch accepts attributes without a value, and a large axis makes it exhaust the memory.

    Raises:
        GraphError: names the node and the attribute.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            if not {field.name for field, _ in attribute.ListFields()} - NOT_VALUES:
                raise node_error(node, f"has an attribute {attribute.name!r} without a value")
        axes = [axis for a in node.attribute if a.name in ("axis", "axes") for axis in (a.i, *a.ints)]
        axes += _constant_axes(node, constants)
        if any(abs(axis) > MAX_RANK for axis in axes):
            raise node_error(node, f"has axis {max(axes, key=abs)}, which is out of range")


def _constant_axes(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> list[int]:
    """Returns the axes that a node reads from a constant."""
    place = next((index for prefix, index in AXES_INPUTS.items() if node.op_type.startswith(prefix)), None)
    tensor = None if place is None or len(node.input) <= place else constants.get(node.input[place])
    kinds = import_onnx().TensorProto
    if tensor is None or tensor.data_type not in (kinds.INT32, kinds.INT64) or math.prod(tensor.dims) > MAX_RANK:
        return []
    return [int(axis) for axis in import_onnx().numpy_helper.to_array(tensor).ravel()]


def check_control_flow(nodes: Iterable[onnx.NodeProto]) -> None:
    """Checks that no node contains graphs, as If, Loop and Scan do.

    Raises:
        GraphError: names the nodes.
    """
    held = [node for node in nodes if holds_graphs(node)]
    if held:
        shown = ", ".join(f"{node.op_type} ({_label(node)})" for node in held[:5])
        raise GraphError(f"The graph has control flow, which does not convert: {shown}.")


def holds_graphs(node: onnx.NodeProto) -> bool:
    """Returns whether a node contains graphs, as If, Loop and Scan do."""
    kinds = import_onnx().AttributeProto
    return any(a.type in (kinds.GRAPH, kinds.GRAPHS) for a in node.attribute)


def check_windows(graph: onnx.GraphProto) -> None:
    """Checks the sizes of windows, which bound the memory, and that convolutions have constant weights.

    Raises:
        GraphError: names the node.
    """
    shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type not in WINDOWS | {"LRN"}:
            continue
        stated = attributes(node)
        for key in ("kernel_shape", "strides", "pads", "dilations", "output_padding", "output_shape", "size"):
            sizes = stated.get(key, ())
            if any(not 0 <= size <= MAX_WINDOW for size in ((sizes,) if isinstance(sizes, int) else sizes)):
                raise node_error(node, f"has {key} {sizes!r}; sizes up to {MAX_WINDOW} are read")
        axes = len(stated.get("kernel_shape", ()))
        for key, count in (("strides", axes), ("dilations", axes), ("pads", 2 * axes)):
            if axes and len(stated.get(key, range(count))) != count:
                raise node_error(node, f"has {key} {stated[key]!r} for a window of {axes} axes")
        if node.op_type in ("Conv", "ConvTranspose"):
            weights = shapes.get(node.input[1])
            if weights is None:
                raise node_error(node, f"has weights {node.input[1]!r} that the graph computes, not constant ones")
            if list(stated.get("kernel_shape", weights[2:])) != weights[2:]:
                raise node_error(node, f"has kernel_shape {stated['kernel_shape']} and weights of shape {weights}")


def _label(node: onnx.NodeProto) -> str:
    """Returns the name of a node for errors."""
    return node.name or next(iter(node.output), "")


def node_error(node: onnx.NodeProto, problem: str) -> GraphError:
    """Returns an error about a node; `problem` continues the sentence that begins with its name."""
    return GraphError(f"Node {_label(node)!r} ({node.op_type}) {problem}.")


def check_ops(model: onnx.ModelProto) -> None:
    """Checks that onnx2torch converts all ops.

    Raises:
        UnsupportedOpsError: names all unsupported ops and their nodes.
    """
    missing: defaultdict[str, list[str]] = defaultdict(list)
    for node in model.graph.node:
        name = unsupported_op(model, node)
        if name is not None:
            missing[name].append(_label(node))
    if missing:
        raise UnsupportedOpsError(dict(missing))


def unsupported_op(model: onnx.ModelProto, node: onnx.NodeProto) -> str | None:
    """Returns the name of a node's op if onnx2torch does not convert it; None if it does."""
    find = import_onnx2torch().node_converters.registry.get_converter
    versions = {entry.domain: entry.version for entry in model.opset_import}
    try:
        if node.domain not in versions:
            raise NotImplementedError
        find(operation_type=node.op_type, version=versions[node.domain], domain=node.domain)
    except NotImplementedError:
        return _op_name(node, versions.get(node.domain, 0))
    return None


def _op_name(node: onnx.NodeProto, version: int) -> str:
    """Returns an op's type, with its domain or opset if onnx2torch does not support these."""
    known = {entry.operation_type for entry in import_onnx2torch().node_converters.registry._CONVERTER_REGISTRY}
    if node.domain:
        return f"{node.domain}.{node.op_type}"
    return f"{node.op_type} of opset {version}" if node.op_type in known else node.op_type


def check_model(model: onnx.ModelProto) -> None:
    """Checks a model with onnx's checker.

    Raises:
        GraphError: the model is invalid; the error quotes the checker's message.
    """
    checker = import_onnx().checker
    try:
        checker.check_model(model)
    except (checker.ValidationError, ValueError) as error:
        raise GraphError(f"The file is no valid ONNX model: {reason(error)}.") from error
