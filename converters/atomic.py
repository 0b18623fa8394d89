"""Files that appear whole or not at all."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterable
from pathlib import Path


def write_bytes(path: str | os.PathLike[str], data: bytes) -> Path:
    """Writes a file under another name first, so that no reader and no interruption sees half of it.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written; nothing of it is left behind.
    """
    return write_chunks(path, [data])


def write_chunks(path: str | os.PathLike[str], chunks: Iterable[bytes]) -> Path:
    """As `write_bytes`, for what comes in pieces.

    Returns:
        The path.

    Raises:
        OSError: the file cannot be written; nothing of it is left behind.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.partial")
    try:
        with partial.open("wb") as file:
            for chunk in chunks:
                file.write(chunk)
        os.replace(partial, path)
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # the other name says nothing to anyone
        raise
    finally:
        partial.unlink(missing_ok=True)
    return path
