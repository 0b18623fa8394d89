"""Refuses what is in an ONNX graph that does not convert, with one sentence that says where it is."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from converters.errors import GraphError, UnsupportedOpsError
from converters.onnx.packages import import_onnx, import_onnx2torch

if TYPE_CHECKING:
    import onnx

# Far beyond any image network, as in the arguments of TensorFlow's layers.
MAX_WINDOW = 4096
MAX_OPSET = 2**31
MAX_RANK = 32
AXES_INPUTS = {"Slice": 3, "Squeeze": 1, "Unsqueeze": 1, "Reduce": 1, "Pad": 3}  # by how the op's name begins

WINDOWS = frozenset({"AveragePool", "Conv", "ConvTranspose", "MaxPool"})


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes as plain values."""
    read = import_onnx().helper.get_attribute_value
    found = {attribute.name: read(attribute) for attribute in node.attribute}
    return {key: value.decode(errors="replace") if isinstance(value, bytes) else value for key, value in found.items()}


def check_opsets(model: onnx.ModelProto) -> None:
    """Refuses a model of a standard that is newer than the package `onnx`, or of none.

    Raises:
        GraphError: it is.
    """
    onnx = import_onnx()
    known = onnx.defs.onnx_opset_version()
    for entry in model.opset_import:
        if not 0 < entry.version < MAX_OPSET:
            raise GraphError(
                f"The model states opset {entry.version} of {entry.domain or 'ai.onnx'!r}, which there is not."
            )
        if entry.domain in ("", "ai.onnx") and entry.version > known:
            raise GraphError(
                f"The model is of opset {entry.version}; onnx {onnx.__version__} knows opsets up to {known}. Export it "
                "with an older opset, or upgrade onnx."
            )


def check_attributes(graph: onnx.GraphProto) -> None:
    """Refuses attributes that state no value, which onnx2torch takes for one, and axes for which it takes all memory.

    Raises:
        GraphError: names the node and the attribute.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    for node in graph.node:
        for attribute in node.attribute:
            stated = {field.name for field, _ in attribute.ListFields()} - {
                "name",
                "type",
                "doc_string",
                "ref_attr_name",
            }
            if not stated:
                raise node_error(node, f"has an attribute {attribute.name!r} without a value")
        axes = [axis for a in node.attribute if a.name in ("axis", "axes") for axis in (a.i, *a.ints)] + _constant_axes(
            node, constants
        )
        if any(abs(axis) > MAX_RANK for axis in axes):
            raise node_error(node, f"has axis {max(axes, key=abs)}, which no value has")


def _constant_axes(node: onnx.NodeProto, constants: Mapping[str, onnx.TensorProto]) -> list[int]:
    """Axes that a node has as a constant input."""
    place = next((index for prefix, index in AXES_INPUTS.items() if node.op_type.startswith(prefix)), None)
    tensor = None if place is None or len(node.input) <= place else constants.get(node.input[place])
    kinds = import_onnx().TensorProto
    if tensor is None or tensor.data_type not in (kinds.INT32, kinds.INT64) or math.prod(tensor.dims) > MAX_RANK:
        return []
    return [int(axis) for axis in import_onnx().numpy_helper.to_array(tensor).ravel()]


def check_control_flow(nodes: Iterable[onnx.NodeProto]) -> None:
    """Refuses nodes that hold graphs (If, Loop, Scan): what they compute depends on values.

    Raises:
        GraphError: names them.
    """
    kinds = import_onnx().AttributeProto
    held = [node for node in nodes if any(a.type in (kinds.GRAPH, kinds.GRAPHS) for a in node.attribute)]
    if held:
        shown = ", ".join(f"{node.op_type} ({_label(node)})" for node in held[:5])
        raise GraphError(f"The graph has control flow, which does not convert: {shown}.")


def check_windows(graph: onnx.GraphProto) -> None:
    """Refuses windows of sizes that no image network has, for which memory would be asked.

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
    """What a node is called in an error."""
    return node.name or next(iter(node.output), "")


def node_error(node: onnx.NodeProto, what: str) -> GraphError:
    """An error about a node."""
    return GraphError(f"Node {_label(node)!r} ({node.op_type}) {what}.")


def check_ops(model: onnx.ModelProto) -> None:
    """Refuses ops that onnx2torch does not convert.

    Raises:
        UnsupportedOpsError: names all of them and their nodes.
    """
    find = import_onnx2torch().node_converters.registry.get_converter
    versions = {entry.domain: entry.version for entry in model.opset_import}
    missing: defaultdict[str, list[str]] = defaultdict(list)
    for node in model.graph.node:
        try:
            if node.domain not in versions:
                raise NotImplementedError
            find(operation_type=node.op_type, version=versions[node.domain], domain=node.domain)
        except NotImplementedError:
            missing[_op_name(node, versions.get(node.domain, 0))].append(_label(node))
    if missing:
        raise UnsupportedOpsError(dict(missing))


def _op_name(node: onnx.NodeProto, version: int) -> str:
    """An op's type, with its domain or the opset where those are what onnx2torch does not know."""
    known = {entry.operation_type for entry in import_onnx2torch().node_converters.registry._CONVERTER_REGISTRY}
    if node.domain:
        return f"{node.domain}.{node.op_type}"
    return f"{node.op_type} of opset {version}" if node.op_type in known else node.op_type


def check_model(model: onnx.ModelProto) -> None:
    """Refuses what the ONNX standard does not allow.

    Raises:
        GraphError: with the checker's own words.
    """
    checker = import_onnx().checker
    try:
        checker.check_model(model)
    except (checker.ValidationError, ValueError) as error:
        raise GraphError(f"The file is no valid ONNX model: {' '.join(str(error).split())[:300]}.") from error
