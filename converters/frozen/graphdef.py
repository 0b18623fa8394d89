"""Reads frozen GraphDefs without TensorFlow; the compiled protos come with tensorboard."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np
from google.protobuf.message import DecodeError
from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DataType

from converters.errors import GraphError
from converters.frozen.graph import Graph, Node, Output
from converters.frozen.wire import detach_contents
from converters.paths import source_path

Source: TypeAlias = str | os.PathLike[str] | bytes | GraphDef
Content: TypeAlias = bytes | memoryview

# A Const may store one value for a whole tensor (a splat). These limits prevent a small file from allocating gigabytes.
MAX_SPLAT_BYTES = 64 * 2**20
MAX_SPLATS_BYTES = 256 * 2**20  # all splats of a graph together
MAX_RANK, MAX_SIZE = 8, 2**31

# Ops that read a variable: the graph is not frozen.
VARIABLE_OPS = frozenset({"Variable", "VariableV2", "VarHandleOp", "ReadVariableOp", "AutoReloadVariable"})

DTYPES: Mapping[int, np.dtype] = {
    DataType.DT_FLOAT: np.dtype(np.float32),
    DataType.DT_DOUBLE: np.dtype(np.float64),
    DataType.DT_HALF: np.dtype(np.float16),
    DataType.DT_INT8: np.dtype(np.int8),
    DataType.DT_INT16: np.dtype(np.int16),
    DataType.DT_INT32: np.dtype(np.int32),
    DataType.DT_INT64: np.dtype(np.int64),
    DataType.DT_UINT8: np.dtype(np.uint8),
    DataType.DT_UINT16: np.dtype(np.uint16),
    DataType.DT_BOOL: np.dtype(np.bool_),
}
# The field of a TensorProto that holds values of a type, if they are not raw bytes; `int_val` for all other types.
_VALUE_FIELDS: Mapping[int, str] = {
    DataType.DT_FLOAT: "float_val",
    DataType.DT_DOUBLE: "double_val",
    DataType.DT_HALF: "half_val",
    DataType.DT_INT64: "int64_val",
    DataType.DT_BOOL: "bool_val",
}


def parse_graphdef(source: Source) -> GraphDef:
    """Reads a GraphDef.

    Args:
        source: the path of a .pb file, the bytes of a serialized GraphDef, or a GraphDef (tensorboard's or
            TensorFlow's own class).

    Raises:
        FileNotFoundError: the file does not exist.
        TypeError: the source has another type.
        GraphError: the file or the bytes are not a GraphDef.
    """
    data, name = _open(source, "The data")
    return _parse_bytes(data, name) if isinstance(data, bytes) else data


def read_file(path: str | os.PathLike[str]) -> bytes:
    """Reads the bytes of a graph's file.

    Raises:
        FileNotFoundError: the file does not exist.
        GraphError: the path is a folder, or cannot be read.
    """
    place = source_path(path)
    try:
        if place.is_dir():
            raise GraphError(
                f"{path} is a folder: give the file of a frozen graph (.pb), or read a saved model with "
                "converters.load."
            )
        return place.read_bytes()
    except (FileNotFoundError, GraphError):
        raise
    except (ValueError, OSError) as error:
        raise GraphError(f"{str(path)[:200]!r} cannot be read: {error}.") from error


def _open(source: Source, name: str) -> tuple[bytes | GraphDef, str]:
    """Returns the content of a source, as bytes or a GraphDef, and its name in errors."""
    if isinstance(source, bytes):
        return source, name
    if isinstance(source, (str, os.PathLike)):
        return read_file(source), os.fspath(source)
    if isinstance(source, GraphDef):
        return source, "The GraphDef"
    serialize = getattr(source, "SerializeToString", None)
    if serialize is None:
        raise TypeError(f"A graph is a path, bytes or a GraphDef, not {type(source).__name__}.")
    return serialize(), "The GraphDef"  # TensorFlow's own class of this message


def _parse_bytes(data: bytes, name: str) -> GraphDef:
    try:
        graph_def = GraphDef.FromString(data)
    except DecodeError as error:
        raise GraphError(
            f"{name} is not a frozen TensorFlow graph, or is cut short: its bytes do not parse as a GraphDef."
        ) from error
    if not graph_def.node:
        raise GraphError(f"{name} has no nodes: it is empty, or not a frozen TensorFlow graph.")
    return graph_def


def read_graph(source: Source, name: str = "The data") -> Graph:
    """Reads a frozen graph; large constants stay views of the file's bytes until they are decoded.

    Args:
        source: as for `parse_graphdef`.
        name: the name of `source` in errors if it is bytes, such as the file that they come from.

    Raises:
        FileNotFoundError, TypeError: as for `parse_graphdef`.
        GraphError: the source is not a GraphDef, has unfrozen variables, a constant that does not match its shape,
            duplicate names, or missing inputs.
    """
    graph_def, name = _open(source, name)
    contents: Mapping[str, Content] = {}
    if isinstance(graph_def, bytes):
        smaller, contents = detach_contents(graph_def)
        graph_def = _parse_bytes(smaller, name)
    variables = [node.name for node in graph_def.node if node.op in VARIABLE_OPS]
    if variables:
        raise GraphError(
            f"The graph has {len(variables)} unfrozen variables ({variables[0]!r} is one): its weights are in a "
            "checkpoint. Give the checkpoint's .meta file or the SavedModel's folder instead, which are frozen here, "
            "or freeze it with TensorFlow's graph_util.convert_variables_to_constants."
        )
    graph = Graph(_node(node_def, contents.get(node_def.name)) for node_def in graph_def.node)
    attached = (node_def for node_def in graph_def.node if node_def.name not in contents)
    splats = sum(_splat_bytes(node_def) for node_def in attached if node_def.op == "Const")
    if splats > MAX_SPLATS_BYTES:
        raise GraphError(
            f"The graph's constants claim {splats / 2**20:.0f} MiB more than the file holds; constants that repeat one "
            f"value may take {MAX_SPLATS_BYTES // 2**20} MiB together."
        )
    return graph


def _splat_bytes(node_def: NodeDef) -> int:
    """Returns the number of bytes by which a decoded constant exceeds its stored values."""
    proto = node_def.attr["value"].tensor
    if proto.tensor_content or proto.dtype not in DTYPES:
        return 0
    missing = math.prod(_constant_shape(node_def.name, proto)) - len(_stored_values(proto))
    return DTYPES[proto.dtype].itemsize * max(missing, 0)


def _node(node_def: NodeDef, content: Content | None) -> Node:
    inputs = tuple(Output.parse(text) for text in node_def.input if not text.startswith("^"))
    attrs = {key: _attr(value) for key, value in node_def.attr.items() if key != "value"}
    constant = _constant(node_def, content) if node_def.op == "Const" else None
    return Node(node_def.name, node_def.op, inputs, attrs, constant)


def _attr(value: AttrValue) -> Any:
    """Returns an attribute as a plain Python value, as `Node.attrs` describes it."""
    kind = value.WhichOneof("value")
    if kind == "list":
        for name in ("i", "f", "b", "s", "type", "shape"):
            items = getattr(value.list, name)
            if items:
                return tuple(_ATTR_KINDS[name](item) for item in items)
        return ()
    return _ATTR_KINDS[kind](getattr(value, kind)) if kind in _ATTR_KINDS else None


def _shape(shape: TensorShapeProto) -> tuple[int | None, ...] | None:
    if shape.unknown_rank:
        return None
    return tuple(dim.size if dim.size >= 0 else None for dim in shape.dim)


def _type_name(number: int) -> str:
    if number in DTYPES:
        return DTYPES[number].name
    return DataType.Name(number) if number in DataType.values() else str(number)


_ATTR_KINDS: Mapping[str, Callable[[Any], Any]] = {
    "i": int,
    "f": float,
    "b": bool,
    "s": lambda value: value.decode("utf-8", "replace"),
    "type": _type_name,
    "shape": _shape,
    "placeholder": str,
    "func": lambda value: value.name,
}


def _constant(node_def: NodeDef, content: Content | None) -> Callable[[], np.ndarray]:
    """Checks the tensor of a Const node, and returns a function that decodes it.

    Args:
        node_def: the node.
        content: the tensor's bytes, if they were detached from the node.
    """
    name, proto = node_def.name, node_def.attr["value"].tensor
    if proto.dtype == DataType.DT_STRING:
        return lambda: np.array(list(proto.string_val), dtype=object)
    if proto.dtype not in DTYPES:
        raise GraphError(f"Constant {name!r} is of type {_type_name(proto.dtype)}, which no image network uses.")
    shape = _constant_shape(name, proto)
    _check_constant_size(name, proto, shape, len(proto.tensor_content if content is None else content))
    return lambda: decode_tensor(proto, shape, content)


def _constant_shape(name: str, proto: TensorProto) -> tuple[int, ...]:
    shape = _shape(proto.tensor_shape)
    if shape is None or any(size is None for size in shape):
        raise GraphError(f"Constant {name!r} has no definite shape.")
    sizes = tuple(size for size in shape if size is not None)
    if len(sizes) > MAX_RANK or max(sizes, default=0) > MAX_SIZE:
        raise GraphError(f"Constant {name!r} has a shape that no image network has: {str(list(sizes))[:100]}.")
    return sizes


def _check_constant_size(name: str, proto: TensorProto, shape: tuple[int, ...], content_bytes: int) -> None:
    dtype, count = DTYPES[proto.dtype], math.prod(shape)
    needed = count * dtype.itemsize
    if content_bytes:
        if content_bytes != needed:
            raise GraphError(
                f"Constant {name!r} has {content_bytes} bytes where its shape {list(shape)} of {dtype.name} "
                f"takes {needed}: the file is damaged."
            )
        return
    values = len(_stored_values(proto))
    if values > count:
        raise GraphError(f"Constant {name!r} has {values} values where its shape {list(shape)} takes {count}.")
    if values < count and needed > MAX_SPLAT_BYTES:
        raise GraphError(
            f"Constant {name!r} claims {needed / 2**20:.0f} MiB but holds {values} values; "
            f"a constant that repeats one value may take {MAX_SPLAT_BYTES // 2**20} MiB."
        )


def _stored_values(proto: TensorProto) -> Any:
    """Returns the repeated field of a tensor that is not stored as raw bytes."""
    return getattr(proto, _VALUE_FIELDS.get(proto.dtype, "int_val"))


def decode_tensor(proto: TensorProto, shape: tuple[int, ...], content: Content | None = None) -> np.ndarray:
    """Decodes a TensorProto: raw bytes, or a list of values. The last value of the list fills the rest of the tensor.

    Args:
        proto: a tensor whose size was checked against `shape`.
        shape: the tensor's shape.
        content: the tensor's bytes, if they were detached from the proto.

    Returns:
        A read-only array of `shape`.
    """
    dtype = DTYPES[proto.dtype]
    content = content or proto.tensor_content
    if content:
        return np.frombuffer(content, dtype.newbyteorder("<")).reshape(shape).astype(dtype, copy=False)
    stored = np.array(_stored_values(proto))
    if proto.dtype == DataType.DT_HALF:  # stored as the bits of the half, in an integer
        stored = stored.astype(np.uint16).view(np.float16)
    values = np.zeros(math.prod(shape), dtype)
    values[: len(stored)] = stored
    if len(stored):
        values[len(stored) :] = stored[-1]
    values.flags.writeable = False
    return values.reshape(shape)
