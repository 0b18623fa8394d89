"""Folders that one process at a time writes to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TextIO

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["FolderLock"]

LOCK = ".lock"


class FolderLock:
    """Keeps other processes out of a folder until it is released, or this process is gone.

    Does nothing where the system has no such locks (Windows).

    Args:
        folder: which has to be there.

    Raises:
        BlockingIOError: another process has it.
        OSError: the folder cannot be written to.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._file: TextIO | None = None
        while fcntl is not None and self._file is None:
            file = self._path.open("a")
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                file.close()
                raise BlockingIOError(
                    f"{folder} is being written by another run: wait for it, or choose another folder."
                ) from error
            if self._is_there(file):
                self._file = file
            else:  # released, and removed, between the two calls
                file.close()

    def _is_there(self, file: TextIO) -> bool:
        try:
            return os.path.samestat(os.fstat(file.fileno()), self._path.stat())
        except FileNotFoundError:
            return False

    def release(self) -> None:
        """Lets others in, and leaves no file behind."""
        if self._file is not None:
            self._path.unlink(missing_ok=True)  # while it is held, so that it is nobody else's
            self._file.close()
            self._file = None
