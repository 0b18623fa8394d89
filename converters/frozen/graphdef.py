"""Reads frozen GraphDefs without TensorFlow; the compiled protos come with tensorboard."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from google.protobuf.message import DecodeError
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.types_pb2 import DataType

from converters.errors import GraphError
from converters.frozen.graph import Graph, Node, Output
from converters.frozen.wire import detach_contents

Source: TypeAlias = str | os.PathLike[str] | bytes | GraphDef
Content: TypeAlias = bytes | memoryview

# A Const may state one value for a whole tensor. Such a tensor may be no larger than this many bytes, so that a few
# bytes of file cannot ask for gigabytes of memory.
MAX_SPLAT_BYTES = 64 * 2**20
MAX_SPLATS_BYTES = 256 * 2**20  # of all such constants of a graph together
MAX_RANK, MAX_SIZE = 8, 2**31

# Ops that hold a variable rather than a value: the graph was saved before it was frozen.
VARIABLE_OPS = frozenset({"Variable", "VariableV2", "VarHandleOp", "ReadVariableOp", "AutoReloadVariable"})

_DTYPES: dict[int, np.dtype] = {
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
_VALUE_FIELDS: dict[int, str] = {
    DataType.DT_FLOAT: "float_val",
    DataType.DT_DOUBLE: "double_val",
    DataType.DT_HALF: "half_val",
    DataType.DT_INT8: "int_val",
    DataType.DT_INT16: "int_val",
    DataType.DT_INT32: "int_val",
    DataType.DT_INT64: "int64_val",
    DataType.DT_UINT8: "int_val",
    DataType.DT_UINT16: "int_val",
    DataType.DT_BOOL: "bool_val",
}


def parse_graphdef(source: Source) -> GraphDef:
    """The GraphDef in a file, in bytes, or as given.

    Args:
        source: a path, the bytes of a serialised GraphDef, or a GraphDef (tensorboard's or TensorFlow's own).

    Raises:
        FileNotFoundError: there is no such file.
        GraphError: the file or the bytes are not a GraphDef.
    """
    if isinstance(source, GraphDef):
        return source
    if isinstance(source, bytes):
        return _parse_bytes(source, "The data")
    serialise = getattr(source, "SerializeToString", None)
    if serialise is not None:  # TensorFlow's own class of the same message
        return _parse_bytes(serialise(), "The GraphDef")
    if not isinstance(source, (str, os.PathLike)):
        raise TypeError(f"A graph is a path, bytes or a GraphDef, not {type(source).__name__}.")
    return _parse_bytes(read_file(source), os.fspath(source))


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The bytes of a graph's file.

    Raises:
        FileNotFoundError: there is no such file.
        GraphError: the path is that of a folder, or of nothing that there could be.
    """
    try:
        if Path(path).is_dir():
            raise GraphError(f"{path} is a folder; give the frozen graph's file (.pb) in it.")
        return Path(path).read_bytes()
    except FileNotFoundError:
        raise
    except (ValueError, OSError) as error:
        if isinstance(error, GraphError):
            raise
        raise GraphError(f"{str(path)[:200]!r} cannot be read: {error}.") from error


def _parse_bytes(data: bytes, what: str) -> GraphDef:
    try:
        graph_def = GraphDef.FromString(data)
    except DecodeError as error:
        raise GraphError(
            f"{what} is not a frozen TensorFlow graph, or is cut short: its bytes do not parse as a GraphDef."
        ) from error
    if not graph_def.node:
        raise GraphError(f"{what} has no nodes: it is empty, or not a frozen TensorFlow graph.")
    return graph_def


def read_graph(source: Source, name: str = "The data") -> Graph:
    """A frozen graph as a `Graph`; constants stay in the file's bytes until they are asked for.

    Args:
        source: as for `parse_graphdef`.
        name: what bytes are called in an error, such as the file that they come from.

    Raises:
        GraphError: not a GraphDef, unfrozen variables, a constant that does not fit its shape, duplicate names,
            missing inputs, or a cycle.
    """
    graph_def, contents = _parse_apart(source, name)
    variables = [node.name for node in graph_def.node if node.op in VARIABLE_OPS]
    if variables:
        raise GraphError(
            f"The graph has {len(variables)} unfrozen variables ({variables[0]!r} is one): its weights are in a "
            "checkpoint. Give the checkpoint's .meta file or the SavedModel's folder instead, which are frozen here, "
            "or freeze it with TensorFlow's graph_util.convert_variables_to_constants."
        )
    graph = Graph(_node(node_def, contents.get(node_def.name)) for node_def in graph_def.node)
    apart = (node_def for node_def in graph_def.node if node_def.name not in contents)
    splats = sum(_splat_bytes(node_def) for node_def in apart if node_def.op == "Const")
    if splats > MAX_SPLATS_BYTES:
        raise GraphError(
            f"The graph's constants claim {splats / 2**20:.0f} MiB more than the file holds; those that repeat one "
            f"value may take {MAX_SPLATS_BYTES // 2**20} MiB together."
        )
    return graph


def _parse_apart(source: Source, name: str) -> tuple[GraphDef, Mapping[str, Content]]:
    """A GraphDef without the contents of large constants, and these by the node's name."""
    if isinstance(source, (str, os.PathLike)):
        data, name = read_file(source), os.fspath(source)
    elif isinstance(source, bytes):
        data = source
    else:
        return parse_graphdef(source), {}
    smaller, contents = detach_contents(data)
    return _parse_bytes(smaller, name), contents


def _splat_bytes(node_def: NodeDef) -> int:
    """The memory of a constant that states fewer values than it has."""
    proto = node_def.attr["value"].tensor
    if proto.tensor_content or proto.dtype not in _DTYPES:
        return 0
    count = _product(_constant_shape(node_def.name, proto))
    stated = len(getattr(proto, _VALUE_FIELDS[proto.dtype]))
    return _DTYPES[proto.dtype].itemsize * max(count - stated, 0)


def _node(node_def: NodeDef, content: Content | None) -> Node:
    inputs = tuple(Output.parse(text) for text in node_def.input if not text.startswith("^"))
    attrs = {key: _attr(value) for key, value in node_def.attr.items() if key != "value"}
    constant = _constant(node_def, content) if node_def.op == "Const" else None
    return Node(node_def.name, node_def.op, inputs, attrs, constant)


def _attr(value: Any) -> Any:
    """A plain Python value for an AttrValue (one of the proto's kinds, or a list of one)."""
    kind = value.WhichOneof("value")
    if kind == "list":
        lists = value.list
        for name in ("i", "f", "b", "s", "type", "shape"):
            items = getattr(lists, name)
            if items:
                return tuple(_ATTR_KINDS[name](item) for item in items)
        return ()
    return _ATTR_KINDS[kind](getattr(value, kind)) if kind in _ATTR_KINDS else None


def _shape(shape: Any) -> tuple[int | None, ...] | None:
    if shape.unknown_rank:
        return None
    return tuple(dim.size if dim.size >= 0 else None for dim in shape.dim)


def _type_name(number: int) -> str:
    return DataType.Name(number) if number in DataType.values() else str(number)


_ATTR_KINDS: Mapping[str, Callable[[Any], Any]] = {
    "i": int,
    "f": float,
    "b": bool,
    "s": lambda value: value.decode("utf-8", "replace"),
    "type": lambda value: _DTYPES[value].name if value in _DTYPES else _type_name(value),
    "shape": _shape,
    "placeholder": str,
    "func": lambda value: value.name,
}


def _constant(node_def: NodeDef, content: Content | None) -> Callable[[], np.ndarray]:
    """A function that decodes a Const node's tensor, whose form is checked now.

    Args:
        node_def: the node.
        content: its tensor's bytes, where they are not in the node.
    """
    name, proto = node_def.name, node_def.attr["value"].tensor
    if proto.dtype == DataType.DT_STRING:
        return lambda: np.array(list(proto.string_val), dtype=object)
    if proto.dtype not in _DTYPES:
        raise GraphError(f"Constant {name!r} is of type {_type_name(proto.dtype)}, which no image network uses.")
    shape = _constant_shape(name, proto)
    _check_constant_size(name, proto, shape, len(proto.tensor_content if content is None else content))
    return lambda: decode_tensor(proto, shape, content)


def _constant_shape(name: str, proto: TensorProto) -> tuple[int, ...]:
    shape = _shape(proto.tensor_shape)
    if shape is None or any(size is None for size in shape):
        raise GraphError(f"Constant {name!r} has no definite shape.")
    if len(shape) > MAX_RANK or any(size > MAX_SIZE for size in shape if size is not None):
        raise GraphError(f"Constant {name!r} has a shape that no image network has: {str(list(shape))[:100]}.")
    return tuple(size for size in shape if size is not None)


def _check_constant_size(name: str, proto: TensorProto, shape: tuple[int, ...], stated: int) -> None:
    dtype, count = _DTYPES[proto.dtype], _product(shape)
    if stated:
        if stated != count * dtype.itemsize:
            raise GraphError(
                f"Constant {name!r} has {stated} bytes where its shape {list(shape)} of {dtype.name} "
                f"takes {count * dtype.itemsize}: the file is damaged."
            )
        return
    values = len(getattr(proto, _VALUE_FIELDS[proto.dtype]))
    if values > count:
        raise GraphError(f"Constant {name!r} has {values} values where its shape {list(shape)} takes {count}.")
    if values < count and count * dtype.itemsize > MAX_SPLAT_BYTES:
        raise GraphError(
            f"Constant {name!r} claims {count * dtype.itemsize / 2**20:.0f} MiB but holds {values} values; "
            f"a constant that repeats one value may take {MAX_SPLAT_BYTES // 2**20} MiB."
        )


def decode_tensor(proto: TensorProto, shape: tuple[int, ...], content: Content | None = None) -> np.ndarray:
    """A TensorProto's values: from its bytes, or from a value list whose last entry fills the rest.

    Args:
        proto: a tensor whose size was checked against `shape`.
        shape: its dimensions.
        content: its bytes, where they are not in the proto.

    Returns:
        A read-only array of `shape`.
    """
    dtype = _DTYPES[proto.dtype]
    content = content or proto.tensor_content
    if content:
        return np.frombuffer(content, dtype.newbyteorder("<")).reshape(shape).astype(dtype, copy=False)
    stated = np.array(getattr(proto, _VALUE_FIELDS[proto.dtype]))
    if proto.dtype == DataType.DT_HALF:  # stored as the bits of the half, one to an integer
        stated = stated.astype(np.uint16).view(np.float16)
    values = np.zeros(_product(shape), dtype)
    values[: len(stated)] = stated
    if len(stated):
        values[len(stated) :] = stated[-1]
    values.flags.writeable = False
    return values.reshape(shape)


def _product(shape: tuple[int, ...]) -> int:
    count = 1
    for size in shape:
        count *= size
    return count
