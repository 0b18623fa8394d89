"""Rewrites ONNX graphs: one NCHW image as input, constants as initializers, outputs that are read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from converters.errors import GraphError, UnsupportedOpsError, nearest_names
from converters.frozen.placeholders import shaped
from converters.onnx.packages import import_onnx
from converters.onnx.reading.ops import find_operation
from converters.onnx.reading.ordering import reads
from converters.onnx.reading.validation import attributes, first_output, is_standard, node_error, node_refusal
from converters.onnx.writing.exporters.base import TO_NCHW, TO_NHWC

if TYPE_CHECKING:
    import onnx

CHANNELS = (1, 3, 4)  # usual numbers of channels of images


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
    values = {name: _of_unknown_type(name) for node in graph.node for name in node.output if name}
    values |= {**{value.name: value for value in (*graph.value_info, *graph.output) if _has_type(value)}, **inputs}
    if wanted is not None:
        names = (wanted, f"{wanted}:0", str(wanted).removesuffix(":0"))
        found = next((values[name] for name in names if name in values), None)
        if found is None:
            raise GraphError(f"The graph has no value called {wanted!r}.{nearest_names(str(wanted), values)}")
        return _image(found, graph)
    if not inputs:
        raise GraphError("The graph has no input. Name a value of it with input_name.")
    if len(inputs) > 1:
        shown = ", ".join(list(inputs)[:5])
        raise GraphError(
            f"The graph has {len(inputs)} inputs ({shown}): name the image with input_name, and set the "
            "others with constants={NAME: ...} (--set NAME=VALUE)."
        )
    return _image(next(iter(inputs.values())), graph)


def _has_type(value: onnx.ValueInfoProto) -> bool:
    return bool(value.type.tensor_type.elem_type)


def _of_unknown_type(name: str) -> onnx.ValueInfoProto:
    """Returns a value that is taken for a batch of images, because its type is not known behind an unknown op."""
    onnx = import_onnx()
    return onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [None] * 4)


def _image(value: onnx.ValueInfoProto, graph: onnx.GraphProto) -> onnx.ValueInfoProto:
    kinds = import_onnx().TensorProto
    tensor = value.type.tensor_type
    if tensor.elem_type not in (kinds.FLOAT, kinds.UINT8):
        kind = kinds.DataType.Name(tensor.elem_type) if tensor.elem_type in kinds.DataType.values() else "no tensor"
        raise GraphError(f"The input {value.name!r} is {kind}; an image network reads float32 or uint8.")
    if tensor.HasField("shape") and len(tensor.shape.dim) != 4:
        raise GraphError(
            f"The input {value.name!r} has shape {sizes_of(value)}; an image network reads a batch of images, "
            f"which has four axes.{_shaped_hint(graph, value.name)}"
        )
    return value


def _shaped_hint(graph: onnx.GraphProto, name: str) -> str:
    """Returns a sentence that names the image that a Reshape makes of rows of pixels; empty if there is none."""
    ranks = {tensor.name: tensor.dims[0] for tensor in graph.initializer if len(tensor.dims) == 1}
    behind = {name}
    for node in graph.node:
        if behind & reads(node):
            behind |= {output for output in node.output if output}
            if node.op_type == "Reshape" and len(node.input) > 1 and ranks.get(node.input[1]) == 4:
                image = node.output[0]
                return f" Name the image that is made of it with input_name={image!r} (--input-name {image})."
    return ""


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
        inputs = reads(node)
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
            needed |= reads(node)
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
    read = {name for node in graph.node for name in reads(node)}
    found = [name for node in graph.node for name in node.output if name in reached - read]
    known = {value.name: value for value in graph.value_info}
    return [known.get(name) or onnx.ValueInfoProto(name=name) for name in found]  # other types are inferred later


def replace_messages(field: Any, values: Iterable[Any]) -> None:
    """Replaces the messages of a repeated field."""
    copies = [type(value).FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(copies)


# -- rewriting --------------------------------------------------------------------------------------------------------


def constants_to_initializers(graph: onnx.GraphProto) -> None:
    """Turns Constant nodes, and Identity nodes of constants, into initializers."""
    same: dict[str, str] = {}
    constants = {tensor.name for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        _rename(node.input, same)
        value = _constant(node) if node.op_type == "Constant" and is_standard(node) else None
        if value is not None:
            graph.initializer.add().CopyFrom(value)
            graph.initializer[-1].name = node.output[0]
            constants.add(node.output[0])
        elif node.op_type == "Identity" and is_standard(node) and node.input and node.input[0] in constants:
            same[node.output[0]] = node.input[0]
        else:
            nodes.append(node)
    replace_messages(graph.node, nodes)
    for value_info in graph.output:
        value_info.name = same.get(value_info.name, value_info.name)


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    """Returns the tensor of a Constant node; None if it holds text or a sparse tensor."""
    onnx = import_onnx()
    stated = attributes(node)
    kinds = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}
    for name, kind in kinds.items():
        if name in stated:
            return onnx.numpy_helper.from_array(np.array(stated[name], kind))
    value = stated.get("value")
    return value if isinstance(value, onnx.TensorProto) else None


def set_inputs(graph: onnx.GraphProto, constants: Mapping[str, Any]) -> None:
    """Turns inputs into constants.

    Args:
        graph: modified in place.
        constants: name of an input, with or without TensorFlow's `:0` -> its value, a number or an array; a number
            fills the input's shape.

    Raises:
        GraphError: the graph has no such input, or the value does not fit into it.
    """
    onnx = import_onnx()
    inputs = {value.name: value for value in graph.input}
    for name, number in constants.items():
        value = inputs.get(name) or inputs.get(f"{name}:0") or inputs.get(name.removesuffix(":0"))
        if value is None:
            raise GraphError(f"The graph has no input called {name!r} to set.{nearest_names(name, inputs)}")
        sizes = sizes_of(value) if value.type.tensor_type.HasField("shape") else None
        array = shaped(_as_typed(value, number), sizes, f"The input {value.name!r}")
        graph.initializer.append(onnx.numpy_helper.from_array(array, value.name))
        graph.input.remove(value)


def _as_typed(value: onnx.ValueInfoProto, number: Any) -> np.ndarray:
    """Returns the value of an input in the input's type.

    Raises:
        GraphError: the value is of another type: text, true or false for a number, or a fraction for an integer.
    """
    onnx = import_onnx()
    kind = value.type.tensor_type.elem_type
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind)) if kind else np.dtype(np.float32)
    wanted = onnx.TensorProto.DataType.Name(kind) if kind else "FLOAT"
    try:
        given = np.asarray(number)
        is_number = given.dtype.kind in "iuf" and dtype.kind not in "bOSU"
        fits = is_number or given.dtype.kind == dtype.kind or (dtype.kind == "b" and bool(np.isin(given, (0, 1)).all()))
        found = given.astype(dtype)
        is_whole = dtype.kind not in "iu" or given.dtype.kind not in "iuf" or bool((found == given).all())
    except (TypeError, ValueError):
        fits = False
    if not fits or not is_whole:
        raise GraphError(f"The input {value.name!r} is {wanted}; it cannot be set to {number!r}.")
    return found


def drop_unused_outputs(graph: onnx.GraphProto, opset: int) -> dict[str, GraphError]:
    """Drops outputs that no node reads: masks of Dropout, indices of MaxPool, statistics of batch norm.

    Returns:
        First output of a node that cannot be converted -> the error: a node reads an output other than its first,
        which is not computed, or a BatchNormalization is in training mode, which its outputs say up to opset 13.
    """
    read = {name for node in graph.node for name in node.input} | {value.name for value in graph.output}
    refused: dict[str, GraphError] = {}
    for node in graph.node:
        if node.op_type == "BatchNormalization" and any(list(node.output)[1:]) and opset < 14:
            refused[first_output(node)] = node_refusal(
                node, "is in training mode, as its further outputs say: export the network in evaluation mode"
            )
            continue
        operation = find_operation(node.op_type, opset)
        if operation is not None and operation.several:
            continue
        while len(node.output) > 1 and node.output[-1] not in read - {""}:
            del node.output[-1]
        if len(node.output) > 1:
            op = f"{node.op_type} with {len(node.output)} outputs"
            refused[first_output(node)] = UnsupportedOpsError({op: [node.name or first_output(node)]})
    return refused


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
