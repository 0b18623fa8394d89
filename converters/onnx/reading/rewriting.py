"""Rewrites ONNX graphs so that onnx2torch converts them exactly: one NCHW image as input, supported padding only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from converters.errors import GraphError, UnsupportedOpsError, nearest_names
from converters.onnx.packages import import_onnx
from converters.onnx.reading.padding import AutoPad
from converters.onnx.reading.validation import WINDOWS, attributes, node_error
from converters.onnx.writing.exporters.base import TO_NCHW, TO_NHWC

if TYPE_CHECKING:
    import onnx

CHANNELS = (1, 3, 4)  # usual numbers of channels of images

# Ops whose modules in onnx2torch return several values; the modules of all other ops return one.
SEVERAL_OUTPUTS = frozenset({"Split", "TopK"})


# -- the input --------------------------------------------------------------------------------------------------------


def choose_input(graph: onnx.GraphProto, wanted: str | None) -> onnx.ValueInfoProto:
    """Returns the image: the graph's only input, or the named one.

    Args:
        graph: the graph.
        wanted: name of an input or of a value inside the graph, with or without TensorFlow's `:0`.

    Raises:
        GraphError: there is no value of this name, no input, or more than one input; or the value is no image.
    """
    constants = {tensor.name for tensor in graph.initializer}
    inputs = {value.name: value for value in graph.input if value.name not in constants}
    values = {**{value.name: value for value in graph.value_info}, **inputs}
    if wanted is not None:
        found = values.get(wanted) or values.get(f"{wanted}:0")
        if found is None:
            raise GraphError(f"The graph has no value called {wanted!r}.{nearest_names(str(wanted), values)}")
        return _image(found)
    if not inputs:
        raise GraphError("The graph has no input. Name a value of it with input_name.")
    if len(inputs) > 1:
        shown = ", ".join(list(inputs)[:5])
        raise GraphError(f"The graph has {len(inputs)} inputs ({shown}): name the image with input_name.")
    return _image(next(iter(inputs.values())))


def _image(value: onnx.ValueInfoProto) -> onnx.ValueInfoProto:
    kinds = import_onnx().TensorProto
    tensor = value.type.tensor_type
    if tensor.elem_type != kinds.FLOAT:
        kind = kinds.DataType.Name(tensor.elem_type) if tensor.elem_type in kinds.DataType.values() else "no tensor"
        raise GraphError(f"The input {value.name!r} is {kind}; an image network reads float32.")
    if tensor.HasField("shape") and len(tensor.shape.dim) != 4:
        raise GraphError(
            f"The input {value.name!r} has shape {sizes_of(value)}; an image network reads a batch of images, "
            "which has four axes."
        )
    return value


def sizes_of(value: onnx.ValueInfoProto) -> list[int | None]:
    """Returns a value's shape; sizes that are not positive, such as the -1 of some exporters, are unknown (None)."""
    return [dim.dim_value if dim.dim_value > 0 else None for dim in value.type.tensor_type.shape.dim]


def restrict(graph: onnx.GraphProto, entry: onnx.ValueInfoProto) -> set[str]:
    """Makes a value the graph's only input; keeps the nodes that depend on no other input, and their constants.

    Args:
        graph: modified in place.
        entry: the value.

    Returns:
        The names of the values that depend on it.

    Raises:
        GraphError: no node is left, or a node reads a value that does not exist.
    """
    made = {tensor.name for tensor in graph.initializer} | {entry.name}
    lacking = {value.name for value in graph.input} - made
    reached, kept = {entry.name}, []
    for node in graph.node:
        outputs = {name for name in node.output if name}
        inputs = {name for name in node.input if name}
        unknown = inputs - made - lacking
        if unknown:
            raise node_error(node, f"reads {min(unknown)!r}, which no earlier node produces: the file is damaged")
        if inputs & lacking:
            lacking |= outputs - {entry.name}
        elif entry.name not in outputs:
            kept.append(node)
            made |= outputs
            reached |= outputs if inputs & reached else set()
    needed, nodes = set(reached), []
    for node in reversed(kept):
        if needed & set(node.output):
            needed |= set(node.input)
            nodes.append(node)
    if reached == {entry.name}:
        raise GraphError(f"No node of the graph can be computed from its input {entry.name!r} alone.")
    replace_messages(graph.node, reversed(nodes))
    left = [value for value in graph.output if value.name in reached - {entry.name}]
    replace_messages(graph.input, [entry])
    replace_messages(graph.output, left or ends(graph, reached))
    return reached - {entry.name}


def ends(graph: onnx.GraphProto, reached: set[str]) -> list[onnx.ValueInfoProto]:
    """Returns the values that no node reads, as the outputs of a graph whose outputs were removed."""
    onnx = import_onnx()
    read = {name for node in graph.node for name in node.input}
    ends = [name for node in graph.node for name in node.output if name in reached - read]
    return [onnx.ValueInfoProto(name=name) for name in ends]  # their types are inferred later


def replace_messages(field: Any, values: Iterable[Any]) -> None:
    """Replaces the messages of a repeated field."""
    copies = [type(value).FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(copies)


# -- rewriting --------------------------------------------------------------------------------------------------------


def constants_to_initializers(graph: onnx.GraphProto) -> None:
    """Turns Constant nodes, and Identity nodes of constants, into initializers, as onnx2torch expects weights."""
    onnx = import_onnx()
    same: dict[str, str] = {}
    constants = {tensor.name for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        _rename(node.input, same)
        value = attributes(node).get("value") if node.op_type == "Constant" else None
        if isinstance(value, onnx.TensorProto):
            graph.initializer.add().CopyFrom(value)
            graph.initializer[-1].name = node.output[0]
            constants.add(node.output[0])
        elif node.op_type == "Identity" and node.input and node.input[0] in constants:
            same[node.output[0]] = node.input[0]
        else:
            nodes.append(node)
    replace_messages(graph.node, nodes)


def drop_unused_outputs(graph: onnx.GraphProto) -> None:
    """Drops outputs that no node reads: masks of Dropout, indices of MaxPool, statistics of batch norm.

    Raises:
        UnsupportedOpsError: a node reads an output other than the first, which onnx2torch does not return.
    """
    read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    refused: defaultdict[str, list[str]] = defaultdict(list)
    for node in graph.node:
        if node.op_type in SEVERAL_OUTPUTS:
            continue
        while len(node.output) > 1 and node.output[-1] not in read:
            del node.output[-1]
        if len(node.output) > 1:
            refused[f"{node.op_type} with {len(node.output)} outputs"].append(node.name)
    if refused:
        raise UnsupportedOpsError(dict(refused))


def lay_out_input(graph: onnx.GraphProto, layout: str | None) -> dict[str, str]:
    """Makes the graph read its image as NCHW.

    If only Transposes read the image, as in files of tf2onnx, they are removed. Any other NHWC image is transposed back
    before it is read, and values up to the graph's own Transposes stay NHWC.

    Args:
        graph: modified in place.
        layout: "NCHW" or "NHWC", the layout of the image in the file; None to infer it from its shape and readers.

    Returns:
        Name of a removed Transpose's output -> the input, which replaces it.
    """
    entry = graph.input[0]
    readers = [node for node in graph.node if entry.name in node.input]
    turned = [node for node in readers if node.op_type == "Transpose" and _turns(node, TO_NCHW)]
    sizes = sizes_of(entry) or [None] * 4
    by_size = sizes[3] in CHANNELS and sizes[1] not in CHANNELS
    if layout == "NCHW" or (layout is None and not by_size and len(turned) < len(readers)):
        return {}
    _set_sizes(entry, [sizes[axis] for axis in TO_NCHW])
    gone = {node.output[0]: entry.name for node in turned}
    others = [node for node in graph.node if node not in turned]
    if len(turned) < len(readers):
        back = import_onnx().helper.make_node("Transpose", [entry.name], [f"{entry.name}/nhwc"], perm=TO_NHWC)
        for node in others:
            _rename(node.input, {entry.name: back.output[0]})
        others.insert(0, back)
    for node in others:
        _rename(node.input, gone)
    replace_messages(graph.node, others)
    return gone


def _turns(node: onnx.NodeProto, order: Sequence[int]) -> bool:
    return tuple(attributes(node).get("perm", ())) == tuple(order)


def _rename(names: Any, other: Mapping[str, str]) -> None:
    for index, name in enumerate(names):
        names[index] = other.get(name, name)


def _set_sizes(value: onnx.ValueInfoProto, sizes: Sequence[int | None]) -> None:
    shape = value.type.tensor_type.shape
    del shape.dim[:]
    for size in sizes:
        dim = shape.dim.add()
        if size is not None:
            dim.dim_value = size


def keep_ranks(graph: onnx.GraphProto) -> None:
    """Removes heights and widths from all shapes: converted networks take images of any size."""
    for value in (*graph.input, *graph.output, *graph.value_info):
        if value.type.tensor_type.HasField("shape"):
            sizes = sizes_of(value)
            _set_sizes(value, [None, *sizes[1:2], *[None] * (len(sizes) - 2)][: len(sizes)])


def take_padding(graph: onnx.GraphProto) -> dict[str, AutoPad]:
    """Removes padding that onnx2torch does not support from its nodes.

    Args:
        graph: modified in place.

    Returns:
        Name of a node's output -> the node's padding.

    Raises:
        GraphError: the padding is combined with an attribute that is not supported with it.
    """
    found = {}
    for node in graph.node:
        if node.op_type in WINDOWS:
            padding = _padding_to_take(node)
            if padding is not None:
                found[node.output[0]] = padding
                for attribute in [a for a in node.attribute if a.name in ("auto_pad", "pads", "output_shape")]:
                    node.attribute.remove(attribute)
    return found


def _padding_to_take(node: onnx.NodeProto) -> AutoPad | None:
    """Returns a node's padding if onnx2torch does not support it, otherwise None."""
    stated = attributes(node)
    kind, pads = stated.get("auto_pad", "NOTSET"), stated.get("pads", [0, 0, 0, 0])
    output_shape = tuple(stated.get("output_shape", ()))
    if kind == "VALID" or (kind == "NOTSET" and len(pads) != 4) or kind not in ("NOTSET", "SAME_UPPER", "SAME_LOWER"):
        return None
    top, left, bottom, right = pads if kind == "NOTSET" else (0, 0, 0, 0)
    plain = kind == "NOTSET" and not output_shape and (top, left) == (bottom, right)
    if plain and (node.op_type in ("Conv", "ConvTranspose") or _fits_torch(pads, stated)):
        return None
    if stated.get("ceil_mode", 0) or (node.op_type == "MaxPool" and set(stated.get("dilations", ())) - {1}):
        raise node_error(node, "has a padding that is not supported together with ceil_mode or dilations")
    if len(stated.get("kernel_shape", (0, 0))) != 2 or len(output_shape) not in (0, 2):
        raise node_error(node, "slides a window over something else than height and width")
    return AutoPad(kind, (top, bottom, left, right), output_shape or None)


def _fits_torch(pads: Sequence[int], stated: Mapping[str, Any]) -> bool:
    """Returns whether torch's pools support a padding: up to half of the window."""
    return all(2 * pad <= size for pad, size in zip(pads[:2], stated.get("kernel_shape", (0, 0)), strict=True))
