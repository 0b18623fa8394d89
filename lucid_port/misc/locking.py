"""Folders that one process at a time writes to."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["FolderLock"]

LOCK = ".lock"


class FolderLock:
    """Lock a folder against other runs until it is released or this process ends.

    The lock is a lock of the operating system on the file `.lock` in the folder, so it is free as soon as the process
    that holds it ends, however that happens. Only a killed process leaves the file behind, which locks nothing.

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
        from filelock import FileLock, Timeout  # here, as importing it takes as long as much of `optvis`

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
                # The holder removed the file between the opening and the locking of it.

    def release(self) -> None:
        """Unlock the folder and remove the lock file.

        On Windows an open file cannot be removed: filelock removes it after unlocking, and it stays if another process
        has opened it meanwhile.
        """
        if self._lock.is_locked:
            if os.name != "nt":
                self._path.unlink(missing_ok=True)  # while it is locked: afterwards it may be another run's
            self._lock.release()
