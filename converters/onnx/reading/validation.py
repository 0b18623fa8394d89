"""Checks ONNX graphs before their conversion; errors name the node."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from converters.errors import GraphError, UnsupportedNodeError, reason
from converters.onnx.packages import import_onnx
from converters.program.validation import MAX_WINDOW

if TYPE_CHECKING:
    import onnx

# Limits far beyond any image network, as for the arguments of TensorFlow's layers.
MAX_OPSET = 2**31
MAX_RANK = 32
MIN_OPSET = 7  # earlier models are rewritten for this opset, which has today's broadcasting
STANDARD = ("", "ai.onnx")  # names of the standard's domain
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

    Attributes without a value would be taken for zero.

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
        shown = ", ".join(f"{node.op_type} ({node_label(node)})" for node in held[:5])
        raise GraphError(f"The graph has control flow, which does not convert: {shown}.")


def holds_graphs(node: onnx.NodeProto) -> bool:
    """Returns whether a node contains graphs, as If, Loop and Scan do."""
    kinds = import_onnx().AttributeProto
    return any(a.type in (kinds.GRAPH, kinds.GRAPHS) for a in node.attribute)


def check_windows(graph: onnx.GraphProto) -> dict[str, GraphError]:
    """Checks the sizes of windows, which bound the memory, and that convolutions have constant weights.

    Returns:
        First output of a convolution whose weights the graph computes -> the error.

    Raises:
        GraphError: a size is out of range; names the node.
    """
    refused: dict[str, GraphError] = {}
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
                problem = f"has weights {node.input[1]!r} that the graph computes, not constant ones"
                refused[first_output(node)] = node_refusal(node, problem)
            elif list(stated.get("kernel_shape", weights[2:])) != weights[2:]:
                raise node_error(node, f"has kernel_shape {stated['kernel_shape']} and weights of shape {weights}")
    return refused


def node_label(node: onnx.NodeProto) -> str:
    """Returns the name of a node for errors."""
    return node.name or first_output(node)


def first_output(node: onnx.NodeProto) -> str:
    """Returns the name of a node's first output that has one; empty if there is none."""
    return next((name for name in node.output if name), "")


def node_error(node: onnx.NodeProto, problem: str) -> GraphError:
    """Returns an error about a node; `problem` continues the sentence that begins with its name."""
    return GraphError(f"Node {node_label(node)!r} ({node.op_type}) {problem}.")


def node_refusal(node: onnx.NodeProto, problem: str) -> UnsupportedNodeError:
    """Returns an error about a valid node that cannot be converted; `problem` as for `node_error`."""
    return UnsupportedNodeError(str(node_error(node, problem)))


def is_standard(node: onnx.NodeProto) -> bool:
    """Returns whether a node is of the standard's domain."""
    return node.domain in STANDARD


def opset_of(model: onnx.ModelProto) -> int:
    """Returns the version of the standard's op set that a model uses."""
    return next((entry.version for entry in model.opset_import if entry.domain in STANDARD), 1)


# Ops that move or compare values, for which whole numbers in floating point are as good as integers.
_MOVES = frozenset(
    [
        "Cast",
        "CastLike",
        "Concat",
        "ConvInteger",
        "DepthToSpace",
        "DequantizeLinear",
        "Equal",
        "Expand",
        "Flatten",
        "Gather",
        "GatherElements",
        "GatherND",
        "Greater",
        "GreaterOrEqual",
        "Identity",
        "Less",
        "LessOrEqual",
        "MatMulInteger",
        "Max",
        "MaxPool",
        "Min",
        "Pad",
        "QLinearConv",
        "QLinearMatMul",
        "QuantizeLinear",
        "Reshape",
        "Shape",
        "Size",
        "Slice",
        "SpaceToDepth",
        "Split",
        "Squeeze",
        "Tile",
        "Transpose",
        "Trilu",
        "Unsqueeze",
        "Where",
    ]
)


def check_integers(graph: onnx.GraphProto) -> dict[str, GraphError]:
    """Checks that integers of up to 16 bits and unsigned ones, which can overflow, are only moved and compared.

    Returns:
        First output of a node that computes with them -> the error.
    """
    refused: dict[str, GraphError] = {}
    kinds = import_onnx().TensorProto
    small = {kinds.UINT8, kinds.INT8, kinds.UINT16, kinds.INT16, kinds.UINT32, kinds.UINT64, kinds.UINT4, kinds.INT4}
    values = (*graph.input, *graph.value_info, *graph.output)
    types = {value.name: value.type.tensor_type.elem_type for value in values}
    for node in graph.node:
        found = next((types[name] for name in node.input if types.get(name) in small), None)
        if found is not None and node.op_type not in _MOVES:
            problem = f"computes with {kinds.DataType.Name(found)}; such integers are only moved"
            refused[first_output(node)] = node_refusal(node, problem)
    return refused


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
