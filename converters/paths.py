"""Paths as users write them."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["MODEL_FILE", "user_path"]

MODEL_FILE = "model.json"
"""File in the folder of a saved network that describes it."""


def user_path(path: str | bytes | os.PathLike[str] | os.PathLike[bytes]) -> Path:
    """Returns a path with the user's home folder in the place of a leading `~`.

    Shells expand `~` only where it starts a word, and not between quotes.

    Raises:
        ValueError: the path is empty, or has characters that no file's name can have.

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
    return Path(os.path.expanduser(text))


def _can_be_a_name(text: str) -> bool:
    """Returns whether the system can look for a path: it cannot for nulls and for halves of surrogate pairs."""
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False
