"""Parses JSON and TOML of files whose authors are not known: every error is a `ValueError` of one sentence."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from converters.paths import naming_file

__all__ = ["check_depth", "parse_json", "parse_toml", "read_json", "read_toml"]

MOST_LEVELS = 350
"""Lists and tables inside each other. A difference of 100 objectives has 301; functions that walk through the values
call themselves twice for each level, and Python ends them at 1000 calls."""


TOO_DEEP = "it nests too deeply"


def parse_json(data: str | bytes) -> Any:
    r"""Parses JSON; text in bytes is UTF-8, with or without a byte order mark.

    Raises:
        ValueError: the text is not JSON, or nests too deeply. The message is a clause without a full stop.

    Example:
        >>> parse_json(b'\xef\xbb\xbf{"a": 1}')
        {'a': 1}
    """
    return _parsed(json.loads, data)


def parse_toml(data: str | bytes) -> Any:
    """Parses TOML, as `parse_json` parses JSON."""
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib
    return _parsed(tomllib.loads, data)


def read_json(path: str | os.PathLike[str]) -> Any:
    """Parses a JSON file.

    Raises:
        ValueError: the file is not JSON; the message names the file.
        OSError: the file cannot be read.
    """
    return _read(path, parse_json, "JSON")


def read_toml(path: str | os.PathLike[str]) -> Any:
    """Parses a TOML file; errors as for `read_json`."""
    return _read(path, parse_toml, "TOML")


def check_depth(data: object) -> None:
    """Checks that lists and tables are not inside more than `MOST_LEVELS` others.

    Raises:
        ValueError: they are. The message is a clause without a full stop.

    Example:
        >>> check_depth({"a": [[1]]})
    """
    level = [data] if isinstance(data, (dict, list)) else []
    for _ in range(MOST_LEVELS):
        level = [item for one in level for item in _items(one) if isinstance(item, (dict, list))]
        if not level:
            return
    raise ValueError(TOO_DEEP)


def _items(one: dict[Any, Any] | list[Any]) -> Iterable[Any]:
    return one.values() if isinstance(one, dict) else one


def _parsed(parse: Callable[[str], Any], data: str | bytes) -> Any:
    text = data.decode("utf-8-sig") if isinstance(data, bytes) else data.removeprefix("\ufeff")
    try:
        found = parse(text)
    except RecursionError:
        raise ValueError(TOO_DEEP) from None
    check_depth(found)
    return found


def _read(path: str | os.PathLike[str], parse: Callable[[bytes], Any], language: str) -> Any:
    try:
        with naming_file(path):
            data = Path(path).read_bytes()
        return parse(data)
    except ValueError as error:
        raise ValueError(f"{path} is not valid {language}: {' '.join(str(error).split())}.") from error
