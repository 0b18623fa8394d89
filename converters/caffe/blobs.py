"""Caffe's blobs: a layer's weights, which stay in the file's bytes until they are wanted."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.errors import GraphError
from converters.frozen.wire import BYTES, Unexpected, read_fields, tagged

MAX_AXES = 32  # Caffe's own limit

# Field numbers of caffe.proto: the layers of both forms, their blobs, and a blob's numbers.
LAYERS = {100: ("layer", 7), 2: ("layers", 6)}
DATA, DOUBLE_DATA = 5, 8


@dataclass(frozen=True)
class Blob:
    """A layer's weights of one kind.

    Attributes:
        shape: as the file states it.
        content: the numbers' bytes: a view of the file's.
        kind: numpy's type of them.
    """

    shape: tuple[int, ...]
    content: memoryview
    kind: str = "<f4"

    def values(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """The numbers.

        Args:
            name: of the layer that has them, for errors.
            shape: what they have to be; ones in front count for nothing, as old versions fill up to four axes.

        Returns:
            A read-only float32 array of `shape`; a view of the file's bytes, unless they are doubles.

        Raises:
            GraphError: the blob has another shape, or does not hold as many numbers.
        """
        if len(self.shape) > MAX_AXES or _without_leading_ones(self.shape) != _without_leading_ones(shape):
            raise GraphError(
                f"Layer {name!r} has weights of shape {list(self.shape)[:8]} where its definition wants {list(shape)}: "
                "the definition and the weights do not fit, or the file is damaged."
            )
        size = math.prod(shape) * np.dtype(self.kind).itemsize
        if len(self.content) != size:
            raise GraphError(
                f"Layer {name!r} has weights of {len(self.content)} bytes where their shape {list(shape)} takes "
                f"{size}: the file is damaged."
            )
        return np.frombuffer(self.content, self.kind).astype(np.float32, copy=False).reshape(shape)


# Of every blob of a file, by the name of the field of its layer, the number of the layer, and its own.
Contents = dict[tuple[str, int, int], tuple[memoryview, str]]


def detach_blobs(data: bytes) -> tuple[bytes, Contents]:
    """Cuts the numbers of all blobs out of a serialised NetParameter.

    Parsing would copy them, and decode them one by one.

    Args:
        data: the NetParameter's bytes.

    Returns:
        A NetParameter's bytes without the numbers, and the numbers: views of `data`, which keep it alive. Bytes of
        another form come back as they are: protobuf says what is wrong with them.
    """
    contents: Contents = {}
    counts = dict.fromkeys(LAYERS, 0)
    pieces: list[bytes | memoryview] = []
    view, kept = memoryview(data), 0
    try:
        for field in read_fields(view):
            if field.number not in LAYERS or field.wire_type != BYTES:
                continue
            name, blobs = LAYERS[field.number]
            layer = _without_blobs(view[field.value : field.end], blobs, (name, counts[field.number]), contents)
            pieces += [view[kept : field.start], tagged(field.number, layer)]
            counts[field.number] += 1
            kept = field.end
    except Unexpected:
        return data, {}
    return b"".join([*pieces, view[kept:]]), contents


def read_blobs(messages: Any, place: tuple[str, int], contents: Contents) -> Iterator[Blob]:
    """A layer's blobs.

    Args:
        messages: its BlobProtos, without their numbers.
        place: the name of the field of its layer, and the number of the layer.
        contents: the numbers.
    """
    name, layer = place
    nothing = (memoryview(b""), "<f4")
    for number, blob in enumerate(messages):
        shape = tuple(blob.shape.dim) if blob.HasField("shape") else (blob.num, blob.channels, blob.height, blob.width)
        content, kind = contents.get((name, layer, number), nothing)
        yield Blob(shape, content, kind)


def _without_blobs(layer: memoryview, blobs: int, place: tuple[str, int], contents: Contents) -> bytes:
    name, number = place
    pieces: list[bytes | memoryview] = []
    kept = count = 0
    for field in read_fields(layer):
        if field.number != blobs or field.wire_type != BYTES:
            continue
        blob, numbers = _without_numbers(layer[field.value : field.end])
        if numbers is not None:
            contents[name, number, count] = numbers
        pieces += [layer[kept : field.start], tagged(field.number, blob)]
        count += 1
        kept = field.end
    return b"".join([*pieces, layer[kept:]])


def _without_numbers(blob: memoryview) -> tuple[bytes, tuple[memoryview, str] | None]:
    """A blob without its numbers, and these; a writer may have written them in several parts."""
    fields = list(read_fields(blob))
    parts = {
        number: [
            blob[field.value : field.end] for field in fields if field.number == number and field.wire_type == BYTES
        ]
        for number in (DATA, DOUBLE_DATA)
    }
    rest = b"".join(blob[field.start : field.end] for field in fields if field.number not in parts)
    for number, kind in ((DOUBLE_DATA, "<f8"), (DATA, "<f4")):
        if parts[number]:
            content = parts[number][0] if len(parts[number]) == 1 else memoryview(b"".join(parts[number]))
            return rest, (content, kind)
    return rest, None


def _without_leading_ones(shape: tuple[int, ...]) -> tuple[int, ...]:
    first = next((axis for axis, size in enumerate(shape) if size != 1), len(shape))
    return shape[first:]
