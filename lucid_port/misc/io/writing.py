"""Writing of bytes to paths, as in Lucid's `misc.io.writing`; `save` writes files by their extension."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import IO, Any

from converters import checks
from converters.signatures import checked
from lucid_port.misc.io.arguments import path_name

__all__ = ["write", "write_handle"]


@checked
def write(data: bytes | str, url: str | os.PathLike[str], mode: str = "wb") -> None:
    """Writes bytes or text to a file.

    Args:
        data: bytes, or text, which is written in UTF-8.
        url: path, relative to the current scopes. Missing folders are created.
        mode: "wb" or "w" to replace a file, "ab" or "a" to append to it.

    Raises:
        OSError: the file cannot be written.
        ValueError: `url` is a URL, `mode` is not for writing, or the text has characters that UTF-8 cannot hold.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write("mixed4a", f"{folder}/layers/names.txt")
        ...     os.listdir(f"{folder}/layers")
        ['names.txt']
    """
    binary = checks.choice(mode, "mode", _MODES).rstrip("b") + "b"
    content = _encoded(data) if isinstance(data, str) else data  # before the file is opened
    with write_handle(url, binary) as handle:
        handle.write(content)


def _encoded(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"data has half of a surrogate pair at position {error.start}: UTF-8 cannot hold it."
        ) from error


@contextlib.contextmanager
@checked
def write_handle(path: str | os.PathLike[str], mode: str | None = None) -> Iterator[IO[Any]]:
    """A context with a file that is open for writing. Missing folders are created.

    Args:
        path: path, relative to the current scopes.
        mode: "wb" by default; "w" for text in UTF-8, "ab" and "a" to append.

    Raises:
        OSError: the file cannot be written.
        ValueError: `path` is a URL, or `mode` is not for writing.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder, write_handle(f"{folder}/names.txt", "w") as handle:
        ...     handle.write("mixed4a")
        7
    """
    chosen = "wb" if mode is None else checks.choice(mode, "mode", _MODES)
    name = path_name(path)
    if "://" in name:
        raise ValueError(f"{name} is a URL, and files cannot be saved to URLs: give the path of a file.")
    os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
    with open(name, chosen, encoding=None if "b" in chosen else "utf-8") as file:
        yield file


_MODES = ("wb", "w", "ab", "a")
