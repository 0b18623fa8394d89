"""Reads untrusted ONNX files: weights only from the model's folder, and no more data than the files contain."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from converters.errors import GraphError
from converters.onnx.packages import import_onnx
from converters.paths import user_path

if TYPE_CHECKING:
    import onnx

MAX_BYTES = 2**31 - 1  # protobuf's limit for messages
_PACKED = {"UINT4": 2, "INT4": 2, "FLOAT4E2M1": 2, "UINT2": 4, "INT2": 4}  # dtype -> tensor elements in one int32


def read_model(path: str | os.PathLike[str]) -> onnx.ModelProto:
    """Reads a model and its external weights.

    External weights are read only from the model's folder and its subfolders; links must not lead out of it.

    Raises:
        MissingPackageError: the package `onnx` is not installed.
        FileNotFoundError: the file does not exist.
        GraphError: the file is no ONNX model, is damaged or too large, or the files of its weights are missing,
            truncated, or outside the folder.
    """
    onnx = import_onnx()
    file = user_path(path)
    if not file.is_file():
        raise FileNotFoundError(f"There is no file {file}.")
    if file.stat().st_size > MAX_BYTES:
        raise GraphError(f"{file} has {file.stat().st_size} bytes; an ONNX file has fewer than 2 GiB.")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(file.read_bytes())
    except import_decode_error() as error:
        raise GraphError(f"{file} is no ONNX model, or is cut short: {error}.") from error
    if not model.HasField("graph") or not model.graph.node or not model.opset_import:
        raise GraphError(f"{file} is no ONNX model, or is cut short: it has no graph.")
    _check_names(model)
    fill_tensors(model, file.parent)
    return model


def _check_names(model: onnx.ModelProto) -> None:
    """Checks that names are text. Protobuf returns invalid UTF-8 as bytes, or raises an error when it is read."""
    graph = model.graph
    for node in graph.node:
        own = (node.name, node.op_type, node.domain, *(attribute.name for attribute in node.attribute))
        _check_text(own, node.input, node.output)
    _check_text((tensor.name for tensor in graph.initializer), (value.name for value in graph.value_info))
    _check_text((value.name for value in graph.input), (value.name for value in graph.output))
    _check_text((model.producer_name,), (entry.domain for entry in model.opset_import))
    _check_text(text for entry in model.metadata_props for text in (entry.key, entry.value))


def _check_text(*texts: Iterable[str | bytes]) -> None:
    for text in itertools.chain(*texts):
        if isinstance(text, bytes):
            raise GraphError(f"The file is damaged: it has a name that is no text, {text[:40]!r}.")


def import_decode_error() -> type[Exception]:
    """Returns the error that protobuf raises for invalid messages."""
    from google.protobuf.message import DecodeError

    return DecodeError


def fill_tensors(model: onnx.ModelProto, folder: Path) -> None:
    """Loads external data into a model, and checks that all tensors have the data that their shapes need.

    Args:
        model: modified in place.
        folder: folder of the model's file.

    Raises:
        GraphError: a tensor's data have the wrong size, or are outside the folder.
    """
    external = import_onnx().TensorProto.EXTERNAL
    total = model.ByteSize()
    for tensor in tensors(model.graph):
        needed = stated_bytes(tensor)
        if tensor.data_location == external:
            total += needed
            if total > MAX_BYTES:
                raise GraphError("The model's weights have 2 GiB or more, which is not supported.")
            tensor.raw_data = _external_bytes(tensor, folder, needed)
            tensor.ClearField("external_data")
            tensor.ClearField("data_location")
        elif tensor.HasField("raw_data"):
            _check_count(tensor, len(tensor.raw_data), needed, "bytes")
        else:
            values = getattr(tensor, import_onnx().helper.tensor_dtype_to_field(tensor.data_type))
            _check_count(tensor, len(values), _stated_values(tensor), "values")


def _check_count(tensor: onnx.TensorProto, count: int, needed: int, what: str) -> None:
    if count != needed:
        raise GraphError(
            f"Constant {tensor.name!r} of shape {list(tensor.dims)} has {count} {what} where it needs {needed}: the "
            "file is damaged."
        )


def _stated_values(tensor: onnx.TensorProto) -> int:
    """Returns the number of values that a tensor's own field has, which holds no raw bytes."""
    kind = import_onnx().TensorProto.DataType.Name(tensor.data_type)
    count = math.prod(tensor.dims)
    if kind.startswith("COMPLEX"):
        return 2 * count
    return -(-count // _PACKED.get(kind, 1))


def tensors(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    """Yields all constants of a graph and of the graphs inside its nodes."""
    onnx = import_onnx()
    if graph.sparse_initializer:
        raise GraphError(
            f"Constant {graph.sparse_initializer[0].values.name!r} is sparse; sparse constants are not supported."
        )
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS):
                for inner in (attribute.g, *attribute.graphs):
                    yield from tensors(inner)
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors


def stated_bytes(tensor: onnx.TensorProto) -> int:
    """Returns the number of bytes for a tensor's dtype and shape.

    Raises:
        GraphError: the dtype is unknown, or a size is negative.
    """
    onnx = import_onnx()
    numbers = [key for key in onnx.TensorProto.DataType.values() if key != onnx.TensorProto.UNDEFINED]
    if tensor.data_type not in numbers or any(size < 0 for size in tensor.dims):
        raise GraphError(f"Constant {tensor.name!r} has type {tensor.data_type} and shape {list(tensor.dims)}.")
    if tensor.data_type == onnx.TensorProto.STRING:
        return 0
    return math.prod(tensor.dims) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def _external_bytes(tensor: onnx.TensorProto, folder: Path, needed: int) -> bytes:
    """Reads a tensor's data from a file in the model's folder."""
    stated = {entry.key: entry.value for entry in tensor.external_data}
    location = stated.get("location", "")
    where = f"The data of constant {tensor.name!r} are said to lie in {location!r}"
    file = _inside(folder, location, where)
    offset, length = (_count(stated.get(key), default, where) for key, default in (("offset", 0), ("length", needed)))
    if length != needed or offset + length > file.stat().st_size:
        raise GraphError(
            f"{where}, {length} bytes from {offset} on; its shape {list(tensor.dims)} needs {needed}, and the file has "
            f"{file.stat().st_size}."
        )
    with file.open("rb") as data:
        data.seek(offset)
        return data.read(length)


def _inside(folder: Path, location: str, where: str) -> Path:
    """Returns the file of a location with links resolved, and checks that it is in the folder."""
    if not location or "\0" in location:
        raise GraphError(f"{where}, which names no file.")
    root = folder.resolve()
    try:
        file = (root / location).resolve()
    except (OSError, RuntimeError) as error:  # a cycle of links
        raise GraphError(f"{where}, which leads nowhere.") from error
    if Path(location).is_absolute() or not file.is_relative_to(root):
        raise GraphError(f"{where}, outside the model's folder; only files in that folder are read.")
    if not file.is_file():
        raise GraphError(f"{where}, a file that is not in {folder}: put it there.")
    return file


def _count(text: str | None, default: int, where: str) -> int:
    if text is None:
        return default
    if not (text.isascii() and text.isdigit() and len(text) < 16):
        raise GraphError(f"{where} at {text!r}, which is no number of bytes.")
    return int(text)
