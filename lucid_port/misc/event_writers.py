"""Logs for TensorBoard: a folder of event files, or a writer of the user's own.

A folder gets a subfolder for each run, which TensorBoard lists by its name. A writer gets all runs: their names stand
before the tags.
"""

from __future__ import annotations

import os
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np

from converters import checks, signatures
from converters.atomic import check_writable
from converters.paths import user_path

__all__ = ["Log", "LogDir", "RenderWriter", "check_log_dir", "is_folder", "open_writer", "register_writer"]

FLUSH_SECONDS = 10
"""Seconds after which an event is in the file at the latest, so that a render can be watched."""


class RenderWriter(Protocol):
    """The methods that the log of a render calls, as of `torch.utils.tensorboard.SummaryWriter` and tensorboardX."""

    def add_scalar(self, tag: str, value: float, step: int, /) -> object:
        """Writes a number."""

    def add_image(self, tag: str, picture: np.ndarray, step: int, /, *, dataformats: str) -> object:
        """Writes a picture, uint8 [H, W, C]; `dataformats` is "HWC"."""

    def add_text(self, tag: str, text: str, step: int, /) -> object:
        """Writes a text in Markdown."""


RENDER = ("add_scalar", "add_image", "add_text")
"""Methods of `RenderWriter`."""

LogDir: TypeAlias = str | os.PathLike[str] | RenderWriter
"""A folder, or a writer, which stays open."""


def is_folder(log_dir: object) -> bool:
    """Returns whether a log is a folder, and no writer."""
    return isinstance(log_dir, (str, os.PathLike))


def check_log_dir(log_dir: Any, methods: Sequence[str] = RENDER) -> None:
    """Checks that a log can be written, before the work; nothing is created.

    Args:
        log_dir: A folder or a writer; None for no log.
        methods: Methods that a writer needs.

    Raises:
        TypeError: It is neither a path nor a writer.
        ValueError: The writer lacks a method.
        OSError: The folder is a file, or cannot be written to.
        ImportError: The package tensorboard is missing, which writes folders.
    """
    if log_dir is None:
        return
    if not is_folder(log_dir):
        _check_methods(log_dir, "log_dir", methods)
        return
    folder = user_path(log_dir)
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"The log_dir {folder} is a file: name a folder.")
    check_writable(folder)
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError as error:
        raise ImportError(
            "Logs need the package tensorboard: pip install tensorboard, or pass a writer of another package as "
            f"log_dir ({checks.shown(error)})."
        ) from error


def _check_methods(writer: object, what: str, methods: Sequence[str]) -> None:
    missing = [name for name in methods if not callable(getattr(writer, name, None))]
    if isinstance(writer, type) or len(missing) == len(methods):
        made = " (a class: call it first)" if isinstance(writer, type) else ""
        wanted = ", ".join(methods)
        raise TypeError(f"{what} is a folder, or a writer with {wanted}, not {checks.shown(writer)}{made}.")
    if missing:
        lacks = f"{what} is a {type(writer).__name__} without {', '.join(missing)}"
        raise ValueError(f"{lacks}: a log calls a writer's {', '.join(methods)}.")


def register_writer(kind: type, methods: Sequence[str]) -> None:
    """Lets checked functions take writers of a Protocol.

    Args:
        kind: The Protocol.
        methods: The methods that a writer needs.
    """

    def take(value: Any, what: str) -> Any:
        _check_methods(value, what, methods)
        return value

    signatures.register(kind, f"a writer with {', '.join(methods)}", take)


register_writer(RenderWriter, RENDER)


# Writers -----------------------------------------------------------------------------------------


class _Open:
    """A user's writer, which is not closed: its owner does that."""

    def __init__(self, writer: RenderWriter) -> None:
        self._writer = writer

    def __getattr__(self, name: str) -> Any:
        if name == "_writer":  # of a copy that is not ready
            raise AttributeError(name)
        return getattr(self._writer, name)

    def close(self) -> None:
        """Leaves the writer open."""


class _Run:
    """A run in a user's writer: its name stands before the tags.

    Args:
        writer: The writer.
        name: Name of the run.
    """

    def __init__(self, writer: RenderWriter, name: str) -> None:
        self._writer, self._name = writer, name

    def add_scalar(self, tag: str, value: float, step: int) -> object:
        return self._writer.add_scalar(f"{self._name}/{tag}", value, step)

    def add_image(self, tag: str, picture: np.ndarray, step: int, *, dataformats: str) -> object:
        return self._writer.add_image(f"{self._name}/{tag}", picture, step, dataformats=dataformats)

    def add_text(self, tag: str, text: str, step: int) -> object:
        return self._writer.add_text(f"{self._name}/{tag}", text, step)


def open_writer(log_dir: Any) -> Any:
    """Returns a writer with all methods of the log, and `close`: for a folder a new event file in it.

    Args:
        log_dir: A folder or a writer.
    """
    if not isinstance(log_dir, (str, os.PathLike)):
        return _Open(log_dir)
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(user_path(log_dir)), flush_secs=FLUSH_SECONDS)


class Log:
    """A log of several runs. Its methods are thread-safe.

    Args:
        log_dir: A folder, which gets a subfolder for each run, or a writer, whose tags begin with the run's name.

    Raises:
        TypeError, ValueError, OSError, ImportError: As for `check_log_dir`.

    Example:
        >>> log = Log("runs")
        >>> log.run("mixed4a").as_posix(), log.run("mixed4a").as_posix(), log.inside("a").run("mixed4a").as_posix()
        ('runs/mixed4a', 'runs/mixed4a_2', 'runs/a/mixed4a')
    """

    def __init__(self, log_dir: LogDir) -> None:
        check_log_dir(log_dir)
        self.log_dir = log_dir
        self._begun: Counter[str] = Counter()
        self._lock = threading.Lock()

    def run(self, name: str) -> Any:
        """Returns the folder or writer of a run; the second run of a name is `NAME_2`.

        Args:
            name: A relative path, as from `file_stem`.
        """
        with self._lock:
            self._begun[name] += 1
            number = self._begun[name]
        return self._at(name if number == 1 else f"{name}_{number}")

    def inside(self, name: str) -> Log:
        """Returns the log of the runs of a part; it begins to count anew."""
        return Log(self._at(name))

    def _at(self, name: str) -> Any:
        if isinstance(self.log_dir, (str, os.PathLike)):
            return Path(user_path(self.log_dir)) / name
        return _Run(self.log_dir, name)
