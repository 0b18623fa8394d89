"""Mutations of JSON and TOML: of the tree of values, of its text, and of the table of a safetensors file."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

from parity_tests.fuzzing.mutations import NUMBERS, REALS, change_bytes

# Texts that json cannot write, or that Python cannot nest; `_written` puts the real text in their places.
_DEEP, _DIGITS, _TWICE = "@deep{}@", "@digits{}@", "\x01twice"

TEXTS = (
    "", "x", "0", "1.0", "nan", "true", "SAME", "relu:1", "mixed3a", "mixed3a:1", "mixed3a:*", "mixed3a:-1", "a:b:c",
    "mixed3a:0-99999999999999999999", "mixed3a:1,1,1", "/", "..", ".", "~", "../outside", "../../outside.png",
    "/outside.png", "/etc/passwd", "/dev/zero", "/dev/stdin", "/proc/self/mem", "pipe", "pipe.png", "folder.png",
    "http://localhost:9/a.png", "https://localhost:9/a", "file:///etc/passwd", "planted:network", "timm:resnet18",
    "torchvision:resnet18", "huggingface:a/b", "\0", "a\0b.png", "\ud800", "\udc80.png", "e\u0301\u202e\U0001f600",
    "a\nb", "%s{0}{x}", "a" * 300, "a" * 100_000, _DEEP.format(60), _DEEP.format(900), _DEEP.format(100_000),
    _DIGITS.format(400), _DIGITS.format(5000),
)  # fmt: skip
PLAIN = (None, True, False, [], {}, [[]], [None], {"": 0}, [0] * 5000)
MORE_NUMBERS = (*NUMBERS, *REALS, 2**53 + 1, 2**64, 10**30, 1e308, 5e-324, 0.5, 100_000)


# -- trees ------------------------------------------------------------------------------------------------------------


def change_tree(tree: Any, random: Random) -> None:
    """Changes one to three values of a tree of lists and dictionaries, or their keys."""
    for _ in range(random.choice((1, 1, 2, 3))):
        places = list(_places(tree))
        if not places:
            return
        random.choice(_CHANGES)(*random.choice(places), places, random)


Place = tuple[Any, Any]


def _places(tree: Any) -> Iterator[Place]:
    """Every (dictionary or list, key)."""
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else ()
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def _remove(holder: Any, key: Any, places: list[Place], random: Random) -> None:
    del holder[key]


def _repeat(holder: Any, key: Any, places: list[Place], random: Random) -> None:
    """Repeats an item, or writes a key twice."""
    if isinstance(holder, list):
        holder.extend([holder[key]] * random.choice((1, 1, 2, 100)))
    else:
        holder[f"{key}{_TWICE}"] = _another(holder[key], random)


def _copy(holder: Any, key: Any, places: list[Place], random: Random) -> None:
    other, other_key = random.choice(places)
    if other_key in other if isinstance(other, dict) else other_key < len(other):
        holder[key] = copy.deepcopy(other[other_key])  # a tree stays a tree


def _replace(holder: Any, key: Any, places: list[Place], random: Random) -> None:
    holder[key] = _another(holder[key], random)


def _rename(holder: Any, key: Any, places: list[Place], random: Random) -> None:
    """Renames a key, or adds an unknown one."""
    if isinstance(holder, list):
        holder.insert(key, _another(holder[key], random))
        return
    known = [other for _, other in places if isinstance(other, str)]
    name = random.choice((*known, *TEXTS, key[:-1], f"{key}s", key.upper(), f"{key} "))
    holder[name] = holder[key] if random.random() < 0.5 else holder.pop(key)


_CHANGES: tuple[Callable[[Any, Any, list[Place], Random], None], ...] = (
    _remove, _repeat, _copy, _replace, _replace, _replace, _rename,
)  # fmt: skip


def _another(old: Any, random: Random) -> Any:
    """Another value: one near the old, one of another type, or an extreme one."""
    choices: list[Any] = [random.choice(TEXTS), random.choice(MORE_NUMBERS)]
    # A copy: later changes of the tree would change the constant, and so the files of later seeds.
    choices += [copy.deepcopy(random.choice(PLAIN)), str(old), [old]]
    if isinstance(old, str):
        choices += [f"{old}x", old[:-1], old.upper(), f"/{old}", f"../{old}", f"http://localhost:9/{old}", old * 100]
    elif isinstance(old, bool):
        choices += [not old, int(old)]
    elif isinstance(old, (int, float)) and math.isfinite(old):
        choices += [old + 1, -old, old * 2, float(old), old + 0.5]
    elif isinstance(old, list):
        choices += [old[:-1], old * 2, old[::-1], dict.fromkeys(map(str, old), 1)]
    elif isinstance(old, dict):
        choices += [list(old), list(old.values()), {**old, "more": 1}]
    return random.choice(choices)


# -- their texts ------------------------------------------------------------------------------------------------------


def _written(text: str) -> str:
    """Puts deep, long and repeated parts into a text."""
    text = re.sub(r'"@deep(\d+)@"', lambda found: "[" * int(found[1]) + "]" * int(found[1]), text)
    text = re.sub(r'"@digits(\d+)@"', lambda found: "9" * int(found[1]), text)
    return text.replace("\\u0001twice", "")


def json_text(tree: Any) -> str:
    """JSON with NaN, infinities, repeated keys and deep lists."""
    return _written(json.dumps(tree))


def toml_text(tree: Mapping[str, Any]) -> str:
    """TOML with one line for each key; TOML has no null, so keys with it are left out."""
    lines = [f"{json.dumps(key)} = {_toml(value)}" for key, value in tree.items() if value is not None]
    return _written("\n".join(lines) + "\n")


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        items = (f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items() if item is not None)
        return "{" + ", ".join(items) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value if item is not None) + "]"
    if isinstance(value, float):
        return str(value)
    return json.dumps(value)


def change_json(data: bytes, random: Random) -> bytes:
    """Changes the values of a JSON file, its encoding, or bytes of it."""
    return _change_document(data, json.loads, json_text, random)


def change_toml(data: bytes, random: Random) -> bytes:
    """Changes the values of a TOML file, its encoding, or bytes of it."""
    from converters.documents import parse_toml

    return _change_document(data, parse_toml, toml_text, random)


def _change_document(data: bytes, parse: Callable[[bytes], Any], write: Callable[[Any], str], random: Random) -> bytes:
    share = random.random()
    if share < 0.15:
        return change_bytes(data, random)
    if share < 0.18:
        encoding = random.choice(("utf-8-sig", "utf-16", "utf-32", "cp037"))
        return data.decode().encode(encoding)
    tree = parse(data)
    change_tree(tree, random)
    return write(tree).encode(errors="surrogatepass")


# -- weights ----------------------------------------------------------------------------------------------------------

TYPES = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2", "F4", "C64", "I64", "I8", "U64", "U16", "U8", "BOOL", "f32")
SIZES = (0, 1, -1, 2, 7, 2**20, 2**31, 2**32, 2**40, 2**62, 2**63 - 1, 2**64, 1.5, "1", None)


def change_weights(data: bytes, random: Random) -> bytes:
    """Changes the table of a safetensors file (types, shapes, offsets), any value in it, its length, or bytes."""
    share = random.random()
    if share < 0.2:
        return change_bytes(data, random)
    size = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + size]
    if share < 0.4:
        header = change_json(header, random)
    elif share < 0.9:
        table = json.loads(header)
        for _ in range(random.choice((1, 1, 2))):
            _change_entry(table, random)
        header = json_text(table).encode()
    length = random.choice(NUMBERS) % 2**64 if share >= 0.9 else len(header)
    return length.to_bytes(8, "little") + header + data[8 + size :]


def _change_entry(table: dict[str, Any], random: Random) -> None:
    """Changes the type, shape or offsets of one tensor."""
    names = [name for name in table if name != "__metadata__"]
    entry = table[random.choice(names)] if names else table.setdefault("x", {})
    key = random.choice(("dtype", "shape", "data_offsets"))
    if key == "dtype":
        entry[key] = random.choice(TYPES)
        return
    numbers = entry.get(key) or [0, 0]
    place, change = random.randrange(len(numbers)), random.randrange(6)
    if change == 0:
        entry[key] = numbers[::-1]
    elif change == 1:
        entry[key] = [*numbers, random.choice(SIZES)]
    elif change == 2:
        entry[key] = numbers[:-1]
    elif change == 3:
        entry[key] = copy.deepcopy(table[random.choice(names)].get(key)) if names else []
    else:
        near = (0, 1, -1, 4, -4) if change == 4 and isinstance(numbers[place], int) else None
        value = numbers[place] + random.choice(near) if near else random.choice(SIZES)
        entry[key] = [*numbers[:place], value, *numbers[place + 1 :]]
