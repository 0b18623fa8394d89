"""Atomic file writes: a file is either complete or absent."""

from __future__ import annotations

import errno
import os
import tempfile
import uuid
from collections.abc import Iterable
from pathlib import Path

__all__ = ["check_writable", "partial_prefix", "write_bytes", "write_chunks"]

LONGEST_IN_PARTIAL = 128
"""Bytes of a file's name that its temporary file repeats; with the rest, a name fits into 255 bytes."""


def check_writable(path: str | os.PathLike[str]) -> None:
    """Checks that a file or folder can be created; nothing stays behind. Call it before a long computation.

    Raises:
        NotADirectoryError: a folder of the path is a file, or is not writable.
        OSError: a name in the path is too long, or contains characters that the file system does not take.
    """
    target = Path(os.path.abspath(path))
    folder = target if target.is_dir() else target.parent
    missing = [] if folder == target else [target.name]
    while not os.path.lexists(folder):
        missing.append(folder.name)
        folder = folder.parent
    reason = _obstacle(folder)
    if reason is not None:
        raise NotADirectoryError(f"{path} cannot be written: {folder} {reason}.")
    for name in missing:
        try:
            os.lstat(folder / name)
        except FileNotFoundError:
            pass
        except OSError as error:
            if error.errno != errno.ENAMETOOLONG:
                raise
            raise OSError(
                f"{path} cannot be written: the name {name[:40]!r}... has {len(os.fsencode(name))} bytes, more than "
                f"the file system takes."
            ) from None


def partial_prefix(path: Path) -> str:
    """Returns the start of the name of a temporary file or folder beside a path."""
    return f".{os.fsencode(path.name)[:LONGEST_IN_PARTIAL].decode(errors='ignore')}."


def _obstacle(folder: Path) -> str | None:
    """Returns why no file can be created in a folder, or None."""
    if not folder.is_dir():
        return "is a file" if folder.exists() else "is a broken link"
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"is not a writable folder ({error.strerror})"


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    """Writes a file atomically: to a temporary file in the same folder, which is then renamed.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written; the temporary file is removed.
    """
    return write_chunks(path, [data])


def write_chunks(path: str | os.PathLike[str], chunks: Iterable[bytes]) -> Path:
    """Writes chunks of bytes to a file atomically, like `write_bytes`.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written; the temporary file is removed.
    """
    path = Path(path)
    partial = path.with_name(f"{partial_prefix(path)}{uuid.uuid4().hex[:8]}.partial")
    try:
        with partial.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
        os.replace(partial, path)
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # the caller does not know the temporary name
        raise
    finally:
        partial.unlink(missing_ok=True)
    return path
