"""Atomic file writes: a file is either complete or absent."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from pathlib import Path


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
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
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
