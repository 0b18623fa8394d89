"""Work of several renders that goes on where it was stopped.

    with checkpoints.kept("atlas.unfinished", key={"model": "...", "steps": 512}):
        ...  # renders, in an order that is always the same

While the block runs, the state of its renders is kept in the folder; when it ends without an error, the folder is
removed. When it was interrupted, or the process killed, the next run of the same block takes up what is there, and
gives the same pictures as one that was never stopped. Outside of such a block nothing is kept.
"""

from __future__ import annotations

import contextlib
import contextvars
import io
import json
import os
import pickle
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from converters.atomic import write_bytes

if TYPE_CHECKING:
    from lucid_port.optvis.vis import VisT

__all__ = ["kept"]

EVERY = 15.0
"""Seconds of work that are lost at most when a process is killed."""

LEAST = 1.0
"""Seconds that a finished render took at least, for its end to be kept; others are made again."""

KEY = "key.json"

_active: contextvars.ContextVar[Folder | None] = contextvars.ContextVar("checkpoints", default=None)


class Folder:
    """Where the states of renders are.

    Args:
        path: of the folder.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()
        self._begun: dict[str, int] = {}

    @property
    def holds_something(self) -> bool:
        """Whether a state is there."""
        return any(self._states())

    def _states(self) -> Iterator[Path]:
        return self.path.glob("*.pt")

    def open(self, key: bytes) -> None:
        """Makes the folder ready for a key, which its states are of.

        Raises:
            ValueError: the folder holds files of something else.
            OSError: it cannot be written to.
        """
        file = self.path / KEY
        self.path.mkdir(parents=True, exist_ok=True)
        if not file.is_file() and any(self.path.iterdir()):
            raise ValueError(f"{self.path} holds other files, and no renders that were stopped: name another folder.")
        if not file.is_file() or file.read_bytes() != key:
            for state in self._states():
                state.unlink()
            write_bytes(file, key)

    def remove(self) -> None:
        """Removes what belongs to the renders, and the folder if nothing else is in it."""
        for file in [*self._states(), self.path / KEY]:
            file.unlink(missing_ok=True)
        if not any(self.path.iterdir()):
            self.path.rmdir()

    def file(self, name: str) -> Path:
        """That of the next render of a name: the n-th one is always the same one."""
        with self._lock:
            number = self._begun[name] = self._begun.get(name, 0) + 1
        return self.path / f"{name}-{number:04d}.pt"


@contextlib.contextmanager
def kept(path: str | os.PathLike[str], key: Mapping[str, Any]) -> Iterator[Folder]:
    """Keeps the states of the renders within in a folder, until all of them are finished.

    Args:
        path: the folder; states of a run with another key are removed from it.
        key: plain data of everything that decides what the renders give.

    Raises:
        ValueError: the folder holds files of something else.
        OSError: the folder cannot be written to.
    """
    folder = Folder(Path(path))
    folder.open(json.dumps(key, sort_keys=True).encode())
    token = _active.set(folder)
    try:
        yield folder
    except BaseException:
        if not folder.holds_something:
            folder.remove()
        raise
    else:
        folder.remove()
    finally:
        _active.reset(token)


def active() -> Folder | None:
    """The folder of the block that this code runs in."""
    return _active.get()


def begin(vis: VisT, folder: Folder | None, name: str = "render") -> Checkpoint:
    """Takes up a render that is about to be stepped, where there is something of it.

    Args:
        vis: the render, as it was made.
        folder: `active()`, asked for in the thread that entered the block; None keeps nothing.
        name: tells renders apart that run at the same time.
    """
    return Checkpoint(vis, None if folder is None else folder.file(name))


class Checkpoint:
    """The state of one render.

    Attributes:
        values: the objective's values before each update made so far, on the device; add to it.
    """

    def __init__(self, vis: VisT, path: Path | None) -> None:
        self.values: list[torch.Tensor] = []
        self._vis, self._path = vis, path
        self._looks: list[dict[str, Any]] = []
        self._saved = time.monotonic()
        self._of = _description(vis)
        state = None if path is None else _read(path, self._of)
        if state is not None:
            self._looks = state["looks"]
            self._restore(state)

    def looks(self) -> Iterator[None]:
        """Shows the image as it was at each of the `looked` of an earlier run, one after the other."""
        now = self._vis.param.state_dict() if self._looks else {}
        now = {name: value.clone() for name, value in now.items()}
        for state in self._looks:
            self._vis.param.load_state_dict(state)
            yield
        if now:
            self._vis.param.load_state_dict(now)

    def looked(self) -> None:
        """Notes that the image was looked at, which has to be done again when this render is taken up."""
        if self._path is not None:
            self._looks.append({name: value.clone() for name, value in self._vis.param.state_dict().items()})

    def save(self, finished: bool = False, stopped: bool = False) -> None:
        """Writes the state, if it is time to; to be called between two updates.

        Args:
            finished: whether this was the last update.
            stopped: whether there will be no other for now.
        """
        if self._path is None or not self.values:
            return
        took = time.monotonic() - self._saved
        if took >= EVERY or stopped or (finished and took >= LEAST):
            self._write()
            self._saved = time.monotonic()

    def _write(self) -> None:
        assert self._path is not None
        vis = self._vis
        state = {
            "of": self._of,
            "steps": vis.steps,
            "values": torch.stack(self.values).cpu(),
            "losses": torch.stack(vis.watch.losses).cpu(),
            "param": vis.param.state_dict(),
            "optimizer": vis.optimizer.state_dict(),
            "draws": vis.source.state(),
            "looks": self._looks,
        }
        data = io.BytesIO()
        torch.save(state, data)
        write_bytes(self._path, data.getvalue())

    def _restore(self, state: Mapping[str, Any]) -> None:
        vis = self._vis
        self.values = list(state["values"].to(vis.device))
        vis.param.load_state_dict(state["param"])
        vis.optimizer.load_state_dict(state["optimizer"])
        vis.source.restore(state["draws"])
        vis.watch.restore(list(state["losses"].to(vis.device)))
        vis.steps, vis.loss = state["steps"], self.values[-1]


def _description(vis: VisT) -> dict[str, Any]:
    """What tells a render from another that the same block might make in its place."""
    return {
        "objective": vis.objective.description or vis.objective.name,
        "steps": vis.steps,
        "shapes": [list(parameter.shape) for parameter in vis.parameters],
        "optimizer": type(vis.optimizer).__name__,
    }


def _read(path: Path, of: Mapping[str, Any]) -> dict[str, Any] | None:
    """A state; None where there is none of this render, or none that is whole."""
    try:
        state = torch.load(path, weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError):
        return None
    return state if isinstance(state, dict) and state.get("of") == of else None
