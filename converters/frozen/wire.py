"""Takes the large tensors out of a serialised GraphDef, so that they are neither parsed nor copied.

Parsing a GraphDef with protobuf copies every byte of it, and reading a tensor's content copies it once more. For a
network of half a gigabyte that is a gigabyte for nothing. Here the messages around a large content are walked in the
wire format (protobuf.dev/programming-guides/encoding), the content is cut out, and what remains is a small GraphDef.

A message that is not plainly of the expected form stays as it is: protobuf itself says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

# Field numbers of TensorFlow's protos (graph.proto, node_def.proto, attr_value.proto, tensor.proto).
NODE, NODE_NAME, NODE_ATTR = 1, 1, 5
ATTR_KEY, ATTR_VALUE, VALUE_TENSOR, TENSOR_CONTENT = 1, 2, 8, 4
CONTENT_PATH = (NODE_ATTR, ATTR_VALUE, VALUE_TENSOR, TENSOR_CONTENT)

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5  # wire types; the other two are groups, which these protos do not have

LEAST = 2**16  # bytes; smaller contents are cheap to parse


@dataclass(frozen=True)
class Field:
    """One field of a message: its number, where it starts with its tag, and where its value lies.

    Attributes:
        number: of the field in its proto.
        wire_type: how the value is written.
        start: position of the tag.
        value: position of the value; behind the length, for one that has a length.
        end: position behind the value.
    """

    number: int
    wire_type: int
    start: int
    value: int
    end: int


class Unexpected(Exception):
    """The bytes are not of the form that is known here."""


def detach_contents(data: bytes, least: int = LEAST) -> tuple[bytes, Mapping[str, memoryview]]:
    """Cuts the contents of large constants out of a serialised GraphDef.

    Args:
        data: the GraphDef's bytes.
        least: contents of nodes of fewer bytes stay.

    Returns:
        A GraphDef's bytes without these contents, and the contents by the node's name: views of `data`, which keep it
        alive. Bytes that are no GraphDef come back as they are.
    """
    view = memoryview(data)
    contents: dict[str, memoryview] = {}
    pieces: list[bytes | memoryview] = []
    kept = 0  # where the bytes begin that are not yet among the pieces
    try:
        for node in read_fields(view):
            if node.number != NODE or node.wire_type != BYTES or node.end - node.value < least:
                continue
            message = view[node.value : node.end]
            name, cut = _text(message, NODE_NAME), _without(message, CONTENT_PATH)
            if cut is None or name is None or name in contents:
                continue
            smaller, contents[name] = cut
            pieces += [view[kept : node.start], tagged(NODE, smaller)]
            kept = node.end
    except Unexpected:
        return data, {}
    return (b"".join([*pieces, view[kept:]]), contents) if contents else (data, {})


def _without(message: memoryview, path: tuple[int, ...]) -> tuple[bytes, memoryview] | None:
    """A message without the field at the end of a path of fields, and that field; None where it is not there once."""
    number, *deeper = path
    fields = list(read_fields(message))
    found = [field for field in fields if field.number == number]
    if number == VALUE_TENSOR and len(fields) != 1:  # an attribute has one value; where it has two, the last counts
        return None
    if number == NODE_ATTR:
        found = [field for field in found if _text(message[field.value : field.end], ATTR_KEY) == "value"]
    if len(found) != 1 or found[0].wire_type != BYTES:
        return None
    field = found[0]
    value = message[field.value : field.end]
    if not deeper:
        return b"".join([message[: field.start], message[field.end :]]), value
    inner = _without(value, tuple(deeper))
    if inner is None:
        return None
    smaller, content = inner
    return b"".join([message[: field.start], tagged(number, smaller), message[field.end :]]), content


def _text(message: memoryview, number: int) -> str | None:
    """A text field that stands once in a message."""
    found = [field for field in read_fields(message) if field.number == number and field.wire_type == BYTES]
    try:
        return str(message[found[0].value : found[0].end], "utf-8") if len(found) == 1 else None
    except UnicodeDecodeError:
        return None


def read_fields(message: memoryview) -> Iterator[Field]:
    """The fields of a message, in order."""
    position = 0
    while position < len(message):
        start = position
        tag, position = _varint(message, position)
        number, wire_type = tag >> 3, tag & 7
        value = position
        if wire_type == VARINT:
            _, position = _varint(message, position)
        elif wire_type == BYTES:
            length, value = _varint(message, position)
            position = value + length
        elif wire_type in (FIXED64, FIXED32):
            position += 8 if wire_type == FIXED64 else 4
        else:
            raise Unexpected
        if number == 0 or position > len(message):
            raise Unexpected
        yield Field(number, wire_type, start, value, position)


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """A number in base 128, the least first, and the position behind it."""
    number = 0
    for index in range(10):
        if position + index >= len(message):
            break
        byte = message[position + index]
        number |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return number, position + index + 1
    raise Unexpected


def tagged(number: int, value: bytes) -> bytes:
    """A field with a length."""
    return _as_varint(number << 3 | BYTES) + _as_varint(len(value)) + value


def _as_varint(number: int) -> bytes:
    encoded = bytearray()
    while number >= 0x80:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
