"""Atomic file writes: a file is either complete or absent.

Temporary files and folders are locked while their process runs. On systems without such locks (Windows), those of a
killed process stay; elsewhere the next process that writes into the folder removes them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = [
    "check_writable",
    "is_abandoned",
    "partial_folder",
    "partial_prefix",
    "scratch_folder",
    "write_bytes",
    "write_chunks",
]

PARTIAL = ".partial"
_PARTIAL_NAME = re.compile(r"\..+\.[0-9a-f]{8}\.partial", re.DOTALL)

_cleaned: set[str] = set()
"""Folders in which this process has removed abandoned files; once is enough, as listing a large folder is slow."""

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
    try:
        partial, handle = _create(path, lambda name: os.open(name, _NEW_FILE, 0o666))
        try:
            with os.fdopen(handle, "wb") as file:
                for chunk in chunks:
                    file.write(chunk)
                file.flush()
                if fcntl is not None:  # the lock lasts until the file has its name
                    os.replace(partial, path)
            if fcntl is None:  # Windows does not rename open files
                os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # the caller does not know the temporary name
        raise
    return path


# Temporary files and folders ---------------------------------------------------------------------

_NEW_FILE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0)
_EXISTING = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)


@contextlib.contextmanager
def partial_folder(target: str | os.PathLike[str]) -> Iterator[Path]:
    """Context of a temporary folder beside a path, which no other user can read.

    The folder is removed at the end. If the process is killed, the next process that writes beside it removes it.

    Args:
        target: the path, which need not exist; its folder does.

    Raises:
        OSError: the folder cannot be created.
    """
    partial, handle = _create(Path(target), _new_folder)
    try:
        yield partial
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        if handle is not None:
            os.close(handle)


@contextlib.contextmanager
def scratch_folder() -> Iterator[Path]:
    """Context of a temporary folder in the system's folder for temporary files; see `partial_folder`."""
    with partial_folder(Path(tempfile.gettempdir()) / "lucid_port") as folder:
        yield folder


def is_abandoned(partial: Path) -> bool:
    """Returns whether no process holds a temporary file or folder; False if that cannot be found out."""
    if fcntl is None:
        return False
    try:
        handle = os.open(partial, _EXISTING)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    try:
        return _lock(handle, fcntl.LOCK_NB)
    finally:
        os.close(handle)


def _new_folder(name: Path) -> int | None:
    name.mkdir(mode=0o700)
    return None if fcntl is None else os.open(name, _EXISTING)


def _create(path: Path, make: Callable[[Path], int | None]) -> tuple[Path, Any]:
    """Creates a locked temporary file or folder beside a path, after removing abandoned ones.

    Returns:
        Its path, and the open handle that holds the lock.
    """
    _remove_abandoned(path.parent)
    while True:
        partial = path.with_name(f"{partial_prefix(path)}{uuid.uuid4().hex[:8]}{PARTIAL}")
        handle = make(partial)
        if handle is None or fcntl is None:
            return partial, handle
        _lock(handle)
        if os.path.lexists(partial):
            return partial, handle
        os.close(handle)  # another process took it for abandoned before it was locked


def _lock(handle: int, flags: int = 0) -> bool:
    """Locks an open file or folder; False if another process holds it, or the file system has no locks."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | flags)
    except OSError:
        return False
    return True


def _remove_abandoned(folder: Path) -> None:
    """Removes the temporary files and folders of killed processes, once in the life of this process."""
    place = os.path.abspath(folder)
    if fcntl is None or place in _cleaned:
        return
    _cleaned.add(place)
    with contextlib.suppress(OSError):
        names = [name for name in os.listdir(place) if _PARTIAL_NAME.fullmatch(name)]
        for partial in (Path(place, name) for name in names):
            with contextlib.suppress(OSError):  # it is another user's, or another process has removed it
                _remove_if_abandoned(partial)


def _remove_if_abandoned(partial: Path) -> None:
    handle = os.open(partial, _EXISTING)
    try:
        if _lock(handle, fcntl.LOCK_NB):
            if stat.S_ISDIR(os.fstat(handle).st_mode):
                shutil.rmtree(partial)
            else:
                partial.unlink(missing_ok=True)
    finally:
        os.close(handle)
