"""Paths as users write them."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterator
from pathlib import Path

from converters.errors import GraphError

__all__ = ["MODEL_FILE", "naming_file", "source_path", "user_path"]

MODEL_FILE = "model.json"
"""File in the folder of a saved network that describes it."""

LONGEST = 4096
"""Bytes of the longest path that Linux opens; the limits of other systems are similar."""


def user_path(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> Path:
    """Returns a path with the user's home folder in the place of a leading `~`.

    Shells expand `~` only where it starts a word, and not between quotes.

    Raises:
        ValueError: the path is empty, or has characters that no file's name can have.
        OSError: the path is too long for a file; the message shows its start.

    Example:
        >>> user_path("pictures/eyes~1.png").as_posix()
        'pictures/eyes~1.png'
        >>> user_path("~/eyes.png") == Path.home() / "eyes.png"
        True
    """
    text = os.fsdecode(path)
    if not text:
        raise ValueError("The path is empty: name a file or a folder.")
    if not _can_be_a_name(text):
        raise ValueError(f"The path {text!r:.200} has characters that no file's name can have: name another one.")
    if len(os.fsencode(text)) > LONGEST:
        raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), f"{text[:80]}...")
    return Path(os.path.expanduser(text))


def source_path(path: str | os.PathLike[str]) -> Path:
    """Returns the path of a network as its user wrote it.

    Raises:
        GraphError: the path is too long.
        ValueError: it is empty, or has characters that no file's name can have.
    """
    try:
        return user_path(path)
    except OSError as error:
        raise GraphError(f"{str(path)[:200]!r} cannot be read: {error}.") from error


@contextlib.contextmanager
def naming_file(path: str | os.PathLike[str]) -> Iterator[None]:
    """Context in which the system's errors name a file: those of reads do not, unlike those of opening.

    Example:
        >>> with naming_file("a.json"):
        ...     raise OSError(5, "Input/output error")
        Traceback (most recent call last):
        OSError: [Errno 5] Input/output error: 'a.json'
    """
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename is None:
            error.filename = os.fspath(path)
        raise


def _can_be_a_name(text: str) -> bool:
    """Returns whether the system can look for a path: it cannot for nulls and for halves of surrogate pairs."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False
