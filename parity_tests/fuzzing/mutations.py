"""Mutations of files: bytes flipped, fields dropped, sizes enlarged, names swapped, inputs rewired.

Every mutation draws from a `random.Random` with the case's seed, so a case is the same file on every machine.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

NUMBERS = (0, 1, -1, 2, 3, 7, 64, 255, 1000, 65536, 2**20, 2**31 - 1, 2**31, 2**40, 2**63 - 1, -(2**31), -(2**63))
REALS = (0.0, -0.0, 1.0, -1.0, 1e-30, 1e30, float("inf"), float("-inf"), float("nan"))
_TOKEN = re.compile(r'"[^"]*"|[-+.\w]+')
LARGE = 4096  # values; longer lists are changed as a whole, or at their end


# -- bytes ------------------------------------------------------------------------------------------------------------


def flip_bytes(data: bytes, random: Random) -> bytes:
    """Changes some bytes, more often near the start, where headers are."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 16))):
        if changed:
            place = random.randrange(random.choice((min(64, len(changed)), min(1024, len(changed)), len(changed))))
            changed[place] = random.choice((random.randrange(256), 0, 255, changed[place] ^ (1 << random.randrange(8))))
    return bytes(changed)


def truncate(data: bytes, random: Random) -> bytes:
    """The end is cut off."""
    return data[: random.randrange(len(data) + 1)]


def cut_out(data: bytes, random: Random) -> bytes:
    """A piece is taken out."""
    start = random.randrange(len(data) + 1)
    return data[:start] + data[start + random.choice((1, 2, 8, 100, 1000)) :]


def put_in(data: bytes, random: Random) -> bytes:
    """Inserts bytes: noise, or a part of the file itself."""
    start, other = random.randrange(len(data) + 1), random.randrange(len(data) + 1)
    size = random.choice((1, 2, 8, 100, 1000))
    return data[:start] + random.choice((random.randbytes(size), data[other : other + size])) + data[start:]


BYTES: tuple[Callable[[bytes, Random], bytes], ...] = (flip_bytes, truncate, cut_out, put_in)


def change_bytes(data: bytes, random: Random) -> bytes:
    """Changes bytes by a random one of `BYTES`."""
    return random.choice(BYTES)(data, random)


# -- messages ---------------------------------------------------------------------------------------------------------


def change_message(message: Message, random: Random) -> None:
    """Changes one field of a message or of a nested message, at any depth.

    All fields at all depths are equally likely, so names and attributes are chosen in proportion to their number.
    """
    places = list(_places(message))
    if not places:
        return
    owner, field = random.choice(places)
    if random.random() < 0.2:
        owner.ClearField(field.name)
    elif field.is_repeated:
        _change_list(owner, field, places, random)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        _replace(getattr(owner, field.name), field, places, random)
    else:
        _assign(owner, field, _value(getattr(owner, field.name), field, places, random))


def _places(message: Message) -> Iterator[tuple[Message, FieldDescriptor]]:
    """Yields every field that is set, with its message."""
    for field, value in message.ListFields():
        yield message, field
        if field.type != FieldDescriptor.TYPE_MESSAGE:
            continue
        for part in _parts(field, value):
            yield from _places(part)


def _parts(field: FieldDescriptor, value: Any) -> Iterator[Message]:
    """The messages in a field."""
    if _is_map(field):
        yield from (value[key] for key in sorted(value) if isinstance(value[key], Message))  # maps have no order
    elif field.is_repeated:
        yield from value
    else:
        yield value


def _is_map(field: FieldDescriptor) -> bool:
    return field.message_type is not None and field.message_type.GetOptions().map_entry


def _change_list(
    owner: Message, field: FieldDescriptor, places: list[tuple[Message, FieldDescriptor]], random: Random
) -> None:
    """Drops, repeats, swaps or changes an item of a list, or an entry of a map."""
    items = getattr(owner, field.name)
    if _is_map(field):
        key = random.choice(sorted(items))
        if random.random() < 0.5 or not isinstance(items[key], Message):
            del items[key]
        else:
            change_message(items[key], random)
        return
    index = len(items) - 1 if len(items) > LARGE else random.randrange(len(items))
    change = random.randrange(5)
    if change == 0:
        del items[index]
    elif change == 1:
        items.extend([items[index]] * random.choice((1, 1, 2, 8)))
    elif change == 2 and len(items) <= LARGE:
        other, kept = random.randrange(len(items)), list(items)
        kept[index], kept[other] = kept[other], kept[index]
        copies = [_copy(item) for item in kept]
        del items[:]
        items.extend(copies)
    elif field.type == FieldDescriptor.TYPE_MESSAGE:
        change_message(items[index], random)
    else:
        _assign_item(items, index, _value(items[index], field, places, random))


def _copy(item: Any) -> Any:
    if not isinstance(item, Message):
        return item
    twin = type(item)()
    twin.CopyFrom(item)
    return twin


def _replace(
    message: Message, field: FieldDescriptor, places: list[tuple[Message, FieldDescriptor]], random: Random
) -> None:
    """Replaces a message by another of its kind, or changes it."""
    others = [part for owner, other in places if other is field for part in _parts(other, getattr(owner, other.name))]
    if random.random() < 0.3 and others:
        message.CopyFrom(_copy(random.choice(others)))
    else:
        change_message(message, random)


def _value(old: Any, field: FieldDescriptor, places: list[tuple[Message, FieldDescriptor]], random: Random) -> Any:
    """Another value for a field that is no message."""
    if field.type == FieldDescriptor.TYPE_BOOL:
        return not old
    if field.type == FieldDescriptor.TYPE_ENUM:
        return random.choice([value.number for value in field.enum_type.values])
    if field.type in (FieldDescriptor.TYPE_FLOAT, FieldDescriptor.TYPE_DOUBLE):
        return random.choice((*REALS, old * 2, -old))
    if field.type == FieldDescriptor.TYPE_BYTES:
        return change_bytes(old, random)
    if field.type == FieldDescriptor.TYPE_STRING:
        return _text(old, places, random)
    return random.choice((*NUMBERS, old + 1, old - 1, old * 2, old << 20))


def _text(old: str, places: list[tuple[Message, FieldDescriptor]], random: Random) -> str:
    """Another text of the file, so that inputs are rewired and names swapped, or a change of the text itself."""
    texts = [
        text
        for owner, field in places
        if field.type == FieldDescriptor.TYPE_STRING
        for text in ([*getattr(owner, field.name)] if field.is_repeated else [getattr(owner, field.name)])
    ]
    return random.choice(
        (*[random.choice(texts)] * 4, old + ":1", "^" + old, old[:-1], "", old + "\n", old * 100, "\0")
    )


def _assign(owner: Message, field: FieldDescriptor, value: Any) -> None:
    try:
        setattr(owner, field.name, value)
    except (ValueError, TypeError):  # a number beyond the field's type
        owner.ClearField(field.name)


def _assign_item(items: Any, index: int, value: Any) -> None:
    try:
        items[index] = value
    except (ValueError, TypeError):
        del items[index]


def change_message_file(kind: type[Message], data: bytes, random: Random) -> bytes:
    """Changes one to three fields, or bytes of the file."""
    if random.random() < 0.3:
        return change_bytes(data, random)
    message = kind()
    try:
        message.ParseFromString(data)
    except DecodeError:
        return change_bytes(data, random)
    for _ in range(random.choice((1, 1, 2, 3))):
        change_message(message, random)
    return message.SerializePartialToString(deterministic=True)


# -- text --------------------------------------------------------------------------------------------------------------


def change_text(data: bytes, random: Random) -> bytes:
    """Changes numbers, names and lines of a text, or bytes of it."""
    if random.random() < 0.2:
        return change_bytes(data, random)
    lines, tokens = data.decode().splitlines(), _TOKEN.findall(data.decode())
    for _ in range(random.choice((1, 1, 2, 3))):
        here, there = random.randrange(len(lines)), random.randrange(len(lines))
        change = random.randrange(4)
        if change == 0:
            lines[here] = ""
        elif change == 1:
            lines[here], lines[there] = lines[there], lines[here]
        elif change == 2:
            lines.insert(there, lines[here])
        else:
            other = random.choice((str(random.choice((*NUMBERS, *REALS))), random.choice(tokens)))
            found = list(_TOKEN.finditer(lines[here]))
            if found:
                start, end = random.choice(found).span()
                lines[here] = lines[here][:start] + other + lines[here][end:]
    return "\n".join(lines).encode()
