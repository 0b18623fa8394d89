"""Caffe's blobs: the weights of a layer, which stay views of the file's bytes until they are read."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.errors import GraphError
from converters.frozen.wire import BYTES, Field, Unexpected, read_fields, replace_fields

MAX_AXES = 32  # Caffe's own limit

# Field numbers of caffe.proto, for the new and the old format: layers -> (name of that field, field of their blobs).
LAYERS = {100: ("layer", 7), 2: ("layers", 6)}
# Field number of a blob's values -> dtype. If a blob has both, Caffe reads the doubles.
VALUES = {8: "<f8", 5: "<f4"}


@dataclass(frozen=True)
class Blob:
    """One weight tensor of a layer.

    Attributes:
        shape: the shape that the file states.
        content: the bytes of the values: a view of the file's bytes.
        kind: numpy dtype of the values.
    """

    shape: tuple[int, ...]
    content: memoryview
    kind: str = "<f4"

    def values(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Decodes the values.

        Args:
            name: the layer's name, for errors.
            shape: the expected shape. Leading ones are ignored, because old versions of Caffe padded shapes to four
                axes.

        Returns:
            A read-only float32 array of `shape`: a view of the file's bytes, or a copy if the file stores doubles.

        Raises:
            GraphError: the blob has another shape, or its number of bytes does not match the shape.
        """
        if len(self.shape) > MAX_AXES or _without_leading_ones(self.shape) != _without_leading_ones(shape):
            raise GraphError(
                f"Layer {name!r} has weights of shape {list(self.shape)[:8]} where its definition needs {list(shape)}: "
                "the definition and the weights do not fit, or the file is damaged."
            )
        size = math.prod(shape) * np.dtype(self.kind).itemsize
        if len(self.content) != size:
            raise GraphError(
                f"Layer {name!r} has weights of {len(self.content)} bytes where their shape {list(shape)} takes "
                f"{size}: the file is damaged."
            )
        return np.frombuffer(self.content, self.kind).astype(np.float32, copy=False).reshape(shape)


# (field name of the layer, number of the layer, number of the blob) -> the bytes of the values, and their dtype.
Contents = dict[tuple[str, int, int], tuple[memoryview, str]]


def detach_blobs(data: bytes) -> tuple[bytes, Contents]:
    """Cuts the values of all blobs out of a serialized NetParameter, because parsing would copy and decode them.

    Args:
        data: the NetParameter's bytes.

    Returns:
        The bytes of the NetParameter without the values, and the values: views of `data`, which keep it alive. Bytes
        that are not a message are returned unchanged; protobuf then reports the error.
    """
    contents: Contents = {}
    counts = dict.fromkeys(LAYERS, 0)

    def without_blobs(layer: Field) -> bytes | None:
        if layer.number not in LAYERS:
            return None
        name, blobs = LAYERS[layer.number]
        number, counts[layer.number] = counts[layer.number], counts[layer.number] + 1
        count = 0

        def without_values(blob: Field) -> bytes | None:
            nonlocal count
            if blob.number != blobs:
                return None
            rest, values = _cut_values(blob.content)
            if values is not None:
                contents[name, number, count] = values
            count += 1
            return rest

        return replace_fields(layer.content, without_values)

    try:
        return replace_fields(memoryview(data), without_blobs), contents
    except Unexpected:
        return data, {}


def read_blobs(messages: Any, place: tuple[str, int], contents: Contents) -> Iterator[Blob]:
    """Yields the blobs of a layer.

    Args:
        messages: the layer's BlobProtos, without their values.
        place: the field name and the number of the layer, as in `Contents`.
        contents: the values.
    """
    for number, blob in enumerate(messages):
        shape = tuple(blob.shape.dim) if blob.HasField("shape") else (blob.num, blob.channels, blob.height, blob.width)
        yield Blob(shape, *contents.get((*place, number), (memoryview(b""), "<f4")))


def _cut_values(blob: memoryview) -> tuple[bytes, tuple[memoryview, str] | None]:
    """Returns a blob without its values, and the values, which may be stored in several parts."""
    fields = list(read_fields(blob))
    rest = b"".join(blob[field.start : field.end] for field in fields if field.number not in VALUES)
    for number, kind in VALUES.items():
        parts = [field.content for field in fields if field.number == number and field.wire_type == BYTES]
        if parts:
            return rest, (parts[0] if len(parts) == 1 else memoryview(b"".join(parts)), kind)
    return rest, None


def _without_leading_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    first = next((axis for axis, size in enumerate(shape) if size != 1), len(shape))
    return shape[first:]
