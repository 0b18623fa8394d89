"""Argument checks that loading and saving share."""

from __future__ import annotations

import inspect
import io
import os
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, TypeAlias, cast

from converters import checks
from converters.paths import user_path
from lucid_port.misc.io.scoping import scope_url

__all__ = ["PathOrFile", "binary_file", "check_options", "file_name", "path_name"]

PathOrFile: TypeAlias = str | bytes | os.PathLike[str] | BinaryIO
"""A path or URL, or an open file that has a `name`."""


def path_name(path: object) -> str:
    """Joins a path to the current scopes; see `io_scope`.

    Raises:
        TypeError: the value is not a path.
        ValueError: the path is empty, or has characters that no file's name can have.
        OSError: the path is too long for a file.
    """
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(f"A path, an address or an open file is needed, not {checks.shown(path)}.")
    text = os.fsdecode(path)
    if not text:
        raise ValueError("The path is empty: name a file or a folder.")
    local = None if "://" in text else user_path(text)
    return os.path.expanduser(scope_url(str(local) if text.startswith("~") else text))


def file_name(handle: object) -> str:
    """Returns the name of an open file. Its extension determines the format.

    Raises:
        TypeError: the file is text in memory.
        ValueError: the file has no name.
    """
    if isinstance(handle, io.TextIOBase) and not isinstance(handle, io.TextIOWrapper):
        raise TypeError(f"{checks.shown(handle)} is open for text: use io.BytesIO, or a file.")
    name = getattr(handle, "name", None)
    if not isinstance(name, (str, bytes, os.PathLike)):
        raise ValueError(
            f"{type(handle).__name__} has no name with an extension that states the format: set it, as in "
            "handle.name = 'a.png', or use a path."
        )
    return os.fsdecode(name)


def binary_file(handle: object) -> BinaryIO:
    """Returns a file for bytes: that below a file that is open for text.

    Raises:
        ValueError: text was read from the file or written to it, so that its bytes do not begin here.
    """
    if not isinstance(handle, io.TextIOWrapper):
        return cast(BinaryIO, handle)
    if handle.seekable() and handle.tell():
        raise ValueError(f"{handle.name} is open for text, and not at its start: open it in a binary mode.")
    return cast(BinaryIO, handle.buffer)


def check_options(function: Callable[..., Any], options: Mapping[str, Any], extension: str) -> None:
    """Checks the options of a format against the parameters of its function that have a default.

    Raises:
        TypeError: the format lacks an option.
    """
    known = [name for name, p in inspect.signature(function).parameters.items() if p.default is not p.empty]
    for option in options:
        if option not in known:
            raise TypeError(f"{extension} has no option {option!r}; it has {', '.join(known) or 'none'}.")
