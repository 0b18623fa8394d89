"""Writes frozen TensorFlow 1 graphs without TensorFlow; the compiled protos come with tensorboard."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike
from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.types_pb2 import DataType

from converters.atomic import write_bytes
from converters.frozen.graphdef import DTYPES
from converters.paths import user_path

Size = int | tuple[int, int]

# The version that TensorFlow 1.15 writes into its graphs. Later releases read it, and none of the ops used here is
# deprecated in it.
PRODUCER = 134

_NODE_NAME = re.compile(r"[A-Za-z0-9.][A-Za-z0-9_.\\/>-]*\Z")
_DATA_TYPES = {dtype: number for number, dtype in DTYPES.items()}


class GraphWriter:
    """Builds a GraphDef node by node.

    Every method that adds a node returns the node's name, by which later nodes refer to it (`name:1` is the node's
    second output). Nodes keep the order in which they were added.

    Example:
        >>> graph = GraphWriter()
        >>> x = graph.placeholder("input", [None, None, None, 3])
        >>> _ = graph.op("relu", "Relu", [x])
        >>> [node.name for node in graph.graph_def().node]
        ['input', 'relu']
    """

    def __init__(self) -> None:
        self._graph = GraphDef()
        self._graph.versions.producer = PRODUCER
        self._names: set[str] = set()

    def graph_def(self) -> GraphDef:
        """Returns a copy of the graph written so far."""
        copy = GraphDef()
        copy.CopyFrom(self._graph)
        return copy

    def write(self, path: str | os.PathLike[str]) -> Path:
        """Writes the graph to a file atomically; see `write_graph_def`."""
        return write_graph_def(self._graph, path)

    # -- nodes ----------------------------------------------------------------------------------------------------

    def placeholder(self, name: str, shape: Sequence[int | None], dtype: DTypeLike = np.float32) -> str:
        """Adds an input; None in `shape` is an unknown size."""
        return self._placeholder(self._node(name, "Placeholder", ()), shape, dtype)

    def placeholder_with_default(
        self, name: str, default: str, shape: Sequence[int | None], dtype: DTypeLike = np.float32
    ) -> str:
        """Adds an input whose value is the node `default` unless it is fed."""
        return self._placeholder(self._node(name, "PlaceholderWithDefault", [default]), shape, dtype)

    def const(self, name: str, value: ArrayLike, dtype: DTypeLike | None = None) -> str:
        """Adds a constant, stored as raw bytes as TensorFlow stores large ones.

        Args:
            name: the node's name.
            value: the values.
            dtype: the dtype to store. By default Python floats are stored as float32, Python integers as int32, and
                arrays with their own dtype.
        """
        array = _as_array(value, dtype)
        tensor = self._const(name, _data_type(array.dtype), array.shape)
        tensor.tensor_content = array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
        return name

    def splat(self, name: str, value: float, shape: Sequence[int]) -> str:
        """Adds a float32 constant that stores one value for all elements, as TensorFlow stores uniform tensors."""
        self._const(name, DataType.DT_FLOAT, shape).float_val.append(value)
        return name

    def op(self, name: str, op_type: str, inputs: Sequence[str], T: DTypeLike | None = np.float32, **attrs: Any) -> str:
        """Adds a node of any op type.

        Args:
            name: the node's name.
            op_type: TensorFlow's op type, such as `Conv2D`.
            inputs: names of the nodes to read, as `name` or `name:index`; `^name` is a control input.
            T: the op's dtype attribute `T`, or a list of dtypes; None leaves the attribute out.
            **attrs: the op's other attributes: bool, int, float, str, a numpy dtype, or a list of one of these. The
                Python type determines the proto's type, so a float attribute has to be a float.

        Raises:
            ValueError: the name is taken or invalid in TensorFlow, or an input does not exist.
            TypeError: a GraphDef has no type for an attribute.
        """
        node = self._node(name, op_type, inputs)
        if isinstance(T, (list, tuple)):
            node.attr["T"].CopyFrom(_attr_value("T", T))
        elif T is not None:
            node.attr["T"].type = _data_type(T)
        for key, value in attrs.items():
            node.attr[key].CopyFrom(_attr_value(key, value))
        return name

    # -- ops of image networks, always NHWC ----------------------------------------------------------

    def conv2d(
        self, name: str, x: str, kernel: str, stride: Size = 1, padding: str = "SAME", dilation: Size = 1
    ) -> str:
        """Adds a convolution of `x` with the constant `kernel` (height, width, in, out)."""
        return self.op(
            name, "Conv2D", [x, kernel], strides=_spatial(stride), padding=padding, data_format="NHWC",
            dilations=_spatial(dilation), use_cudnn_on_gpu=True,
        )  # fmt: skip

    def bias_add(self, name: str, x: str, bias: str) -> str:
        """Adds a BiasAdd, which adds a vector along the last axis."""
        return self.op(name, "BiasAdd", [x, bias], data_format="NHWC")

    def pool(self, name: str, kind: str, x: str, size: Size, stride: Size, padding: str) -> str:
        """Adds a pool; `kind` is `MaxPool` or `AvgPool`."""
        return self.op(
            name, kind, [x], ksize=_spatial(size), strides=_spatial(stride), padding=padding, data_format="NHWC"
        )

    def lrn(self, name: str, x: str, depth_radius: int, bias: float, alpha: float, beta: float) -> str:
        """Adds a local response normalization over neighboring channels."""
        return self.op(
            name, "LRN", [x], depth_radius=depth_radius, bias=float(bias), alpha=float(alpha), beta=float(beta)
        )

    def concat(self, name: str, axis: str, towers: Sequence[str]) -> str:
        """Adds a `Concat`, whose first input is the axis (an int32 constant)."""
        return self.op(name, "Concat", [axis, *towers], N=len(towers))

    def concat_v2(self, name: str, towers: Sequence[str], axis: str) -> str:
        """Adds a `ConcatV2`, whose last input is the axis (an int32 constant)."""
        return self.op(name, "ConcatV2", [*towers, axis], N=len(towers), Tidx=np.int32)

    def reshape(self, name: str, x: str, shape: Sequence[int]) -> str:
        """Adds a Reshape to the constant `<name>/shape`."""
        target = self.const(f"{name}/shape", shape, np.int32)
        return self.op(name, "Reshape", [x, target], Tshape=np.int32)

    def matmul(self, name: str, x: str, matrix: str, transpose_b: bool = False) -> str:
        """Adds a matrix product of two rank-2 tensors."""
        return self.op(name, "MatMul", [x, matrix], transpose_a=False, transpose_b=transpose_b)

    # -- helpers --------------------------------------------------------------------------------------------------

    def _node(self, name: str, op_type: str, inputs: Sequence[str]) -> NodeDef:
        if not _NODE_NAME.match(name):
            raise ValueError(f"TensorFlow accepts no node called {name!r}.")
        if name in self._names:
            raise ValueError(f"The graph already has a node called {name!r}.")
        for source in inputs:
            if _node_of(source) not in self._names:
                raise ValueError(f"Node {name!r} reads {source!r}, which was not added before it.")
        self._names.add(name)
        node = self._graph.node.add(name=name, op=op_type)
        node.input.extend(inputs)
        return node

    def _placeholder(self, node: NodeDef, shape: Sequence[int | None], dtype: DTypeLike) -> str:
        node.attr["dtype"].type = _data_type(dtype)
        node.attr["shape"].shape.CopyFrom(_shape_proto(shape))
        return node.name

    def _const(self, name: str, data_type: int, shape: Sequence[int]) -> TensorProto:
        """Adds a constant; returns its tensor, without values."""
        node = self._node(name, "Const", ())
        node.attr["dtype"].type = data_type
        tensor = node.attr["value"].tensor
        tensor.dtype = data_type
        tensor.tensor_shape.CopyFrom(_shape_proto(shape))
        return tensor


def write_graph_def(graph_def: GraphDef, path: str | os.PathLike[str]) -> Path:
    """Serializes a graph to a file atomically. Equal graphs give equal bytes.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written; no partial file remains.
    """
    return write_bytes(user_path(path), graph_def.SerializeToString(deterministic=True))


def _node_of(source: str) -> str:
    source = source.removeprefix("^")
    name, colon, index = source.rpartition(":")
    return name if colon and index.isdigit() else source


def _spatial(size: Size) -> list[int]:
    height, width = (size, size) if isinstance(size, int) else size
    return [1, height, width, 1]


def _as_array(value: ArrayLike, dtype: DTypeLike | None) -> np.ndarray:
    array = np.asarray(value, dtype)
    if dtype is None and not isinstance(value, (np.ndarray, np.generic)):
        narrower = {"f": np.float32, "i": np.int32}.get(array.dtype.kind)
        array = array.astype(narrower) if narrower else array
    return np.ascontiguousarray(array).reshape(array.shape)  # ascontiguousarray alone turns a scalar into a vector


def _data_type(dtype: DTypeLike) -> Any:
    try:
        return _DATA_TYPES[np.dtype(dtype)]
    except KeyError:
        raise TypeError(f"A graph cannot hold values of dtype {np.dtype(dtype)}.") from None


def _shape_proto(shape: Sequence[int | None]) -> TensorShapeProto:
    dims = [TensorShapeProto.Dim(size=-1 if size is None else size) for size in shape]
    return TensorShapeProto(dim=dims)


def _attr_value(key: str, value: Any) -> AttrValue:
    if not isinstance(value, (list, tuple)):
        field, converted = _attr_field(key, value)
        return AttrValue(**{field: converted})
    attr = AttrValue()
    attr.list.SetInParent()
    for item in value:
        field, converted = _attr_field(key, item)
        getattr(attr.list, field).append(converted)
    return attr


def _attr_field(key: str, value: Any) -> tuple[str, Any]:
    """Returns the field of an AttrValue for a value, and the value converted to its type."""
    if isinstance(value, (type, np.dtype)):
        return "type", _data_type(value)
    for types, field, convert in _ATTR_FIELDS:
        if isinstance(value, types):
            return field, convert(value)
    raise TypeError(f"Attribute {key!r} is a {type(value).__name__}, which a GraphDef cannot hold.")


_ATTR_FIELDS: tuple[tuple[tuple[type, ...], str, Callable[[Any], Any]], ...] = (
    ((bool, np.bool_), "b", bool),  # before int, because bool is a subclass of it
    ((int, np.integer), "i", int),
    ((float, np.floating), "f", float),
    ((str,), "s", str.encode),
)
