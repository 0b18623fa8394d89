"""Detaches large tensors from a serialized GraphDef before protobuf parses it, so that they are not copied.

Protobuf copies every byte when it parses a GraphDef, and once more when a tensor's content is read: a gigabyte of
copies for a network of half a gigabyte. This module walks the messages around large contents in the wire format
(protobuf.dev/programming-guides/encoding) and cuts the contents out. A small GraphDef remains.

Messages of an unexpected form stay as they are; protobuf then reports the error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

# Field numbers of TensorFlow's protos (graph.proto, node_def.proto, attr_value.proto, tensor.proto).
NODE, NODE_NAME, NODE_ATTR = 1, 1, 5
ATTR_KEY, ATTR_VALUE, VALUE_TENSOR, TENSOR_CONTENT = 1, 2, 8, 4
CONTENT_PATH = (NODE_ATTR, ATTR_VALUE, VALUE_TENSOR, TENSOR_CONTENT)

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types; the other two (groups) do not occur in these protos

LEAST = 2**16  # bytes; smaller contents are cheap to parse


@dataclass(frozen=True)
class Field:
    """One field of a message.

    Attributes:
        number: the field's number in the proto.
        wire_type: the encoding of the value.
        start: position of the field's tag in the message.
        end: position after the value.
        content: the value of a length-delimited field; empty for other wire types.
    """

    number: int
    wire_type: int
    start: int
    end: int
    content: memoryview


class Unexpected(Exception):
    """The bytes are not a message of the expected form."""


def detach_contents(data: bytes, least: int = LEAST) -> tuple[bytes, Mapping[str, memoryview]]:
    """Cuts the contents of large constants out of a serialized GraphDef.

    Args:
        data: the GraphDef's bytes.
        least: nodes of fewer bytes keep their contents.

    Returns:
        The bytes of the GraphDef without these contents, and the contents by node name. The contents are views of
        `data` and keep it alive. Bytes that are not a GraphDef are returned unchanged.
    """
    contents: dict[str, memoryview] = {}

    def without_content(node: Field) -> bytes | None:
        if node.number != NODE or len(node.content) < least:
            return None
        name, cut = _text(node.content, NODE_NAME), _cut(node.content, CONTENT_PATH)
        if cut is None or name is None or name in contents:
            return None
        smaller, contents[name] = cut
        return smaller

    try:
        return replace_fields(memoryview(data), without_content), contents
    except Unexpected:
        return data, {}


def replace_fields(message: memoryview, replacement: Callable[[Field], bytes | None]) -> bytes:
    """Replaces the values of length-delimited fields.

    Args:
        message: a serialized message.
        replacement: returns the new value of a field, or None to keep the field unchanged.

    Raises:
        Unexpected: the bytes are not a message.
    """
    pieces: list[bytes | memoryview] = []
    kept = 0  # everything before this position is in `pieces`
    for field in read_fields(message):
        value = replacement(field) if field.wire_type == BYTES else None
        if value is not None:
            pieces += [message[kept : field.start], _encoded(field.number, value)]
            kept = field.end
    return b"".join([*pieces, message[kept:]])


def _cut(message: memoryview, path: tuple[int, ...]) -> tuple[bytes, memoryview] | None:
    """Cuts the field at the end of a path of field numbers out of a message.

    Returns:
        The message without the field, and the field's value; None unless each field of the path occurs exactly once.
    """
    number, *deeper = path
    fields = list(read_fields(message))
    found = [field for field in fields if field.number == number]
    if (
        number == VALUE_TENSOR and len(fields) != 1
    ):  # an attribute is a oneof: if it has two values, the last one counts
        return None
    if number == NODE_ATTR:
        found = [field for field in found if _text(field.content, ATTR_KEY) == "value"]
    if len(found) != 1 or found[0].wire_type != BYTES:
        return None
    field = found[0]
    before, after = message[: field.start], message[field.end :]
    if not deeper:
        return b"".join([before, after]), field.content
    inner = _cut(field.content, tuple(deeper))
    if inner is None:
        return None
    smaller, content = inner
    return b"".join([before, _encoded(number, smaller), after]), content


def _text(message: memoryview, number: int) -> str | None:
    """Returns the value of a text field; None unless it occurs exactly once."""
    found = [field for field in read_fields(message) if field.number == number and field.wire_type == BYTES]
    try:
        return str(found[0].content, "utf-8") if len(found) == 1 else None
    except UnicodeDecodeError:
        return None


def read_fields(message: memoryview) -> Iterator[Field]:
    """Yields the fields of a message in order.

    Raises:
        Unexpected: the bytes are not a message.
    """
    position = 0
    while position < len(message):
        start = position
        tag, position = _varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        content = message[:0]
        if wire_type == VARINT:
            _, position = _varint(message, position)
        elif wire_type == BYTES:
            length, value = _varint(message, position)
            position = value + length
            content = message[value:position]
        elif wire_type in (FIXED64, FIXED32):
            position += 8 if wire_type == FIXED64 else 4
        else:
            raise Unexpected
        if number == 0 or position > len(message):
            raise Unexpected
        yield Field(number, wire_type, start, position, content)


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Decodes a varint (base 128, least significant group first); returns it and the position after it."""
    number = 0
    for index in range(10):
        if position + index >= len(message):
            break
        byte = message[position + index]
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, position + index + 1
    raise Unexpected


def _encoded(number: int, value: bytes) -> bytes:
    """Returns a length-delimited field: tag, length, value."""
    return _as_varint(number << 3 | BYTES) + _as_varint(len(value)) + value


def _as_varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
