"""Locks folders, so that only one process at a time writes to them."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["FolderLock"]

LOCK = ".lock"


class FolderLock:
    """Locks a folder against other runs until it is released or this process ends.

    The operating system locks the file `.lock` in the folder, and releases the lock when the process ends or is killed.
    A killed process leaves the file behind, but the folder is not locked any more.

    Args:
        folder: created if it is missing.

    Raises:
        BlockingIOError: another run holds the lock.
        OSError: the folder cannot be created or written to.

    Example:
        >>> lock = FolderLock(Path("renders"))
        >>> lock.release()
    """

    def __init__(self, folder: Path) -> None:
        from filelock import FileLock, Timeout  # on use, because importing it is slow

        self._path = folder / LOCK
        self._lock = FileLock(self._path, thread_local=False)  # any thread may release it
        while not self._lock.is_locked:
            try:
                self._lock.acquire(timeout=0)
            except Timeout as error:
                if self._path.exists():
                    raise BlockingIOError(
                        f"{folder} is being written by another run: wait for it, or choose another folder."
                    ) from error
                # Another process removed the file after this one opened it and before it locked it.

    @property
    def is_in_place(self) -> bool:
        """Whether the lock file exists; it does not if the folder was deleted or replaced."""
        return self._path.exists()

    def release(self) -> None:
        """Unlocks the folder and removes the lock file.

        On Windows, an open file cannot be removed. There, filelock removes the file after unlocking; the file stays if
        another process has opened it in the meantime.
        """
        if self._lock.is_locked:
            if os.name != "nt":
                self._path.unlink(missing_ok=True)  # before unlocking: afterwards another run may hold the file
            self._lock.release()
