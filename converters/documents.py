"""Parses JSON and TOML of files whose authors are not known: every error is a `ValueError` of one sentence."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["parse_json", "parse_toml", "read_json", "read_toml"]


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


def _parsed(parse: Callable[[str], Any], data: str | bytes) -> Any:
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data.removeprefix("\ufeff")
        return parse(text)
    except RecursionError:
        raise ValueError("it nests too deeply") from None


def _read(path: str | os.PathLike[str], parse: Callable[[bytes], Any], language: str) -> Any:
    try:
        return parse(Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f"{path} is not valid {language}: {' '.join(str(error).split())}.") from error
