"""Work of several renders that goes on where it was stopped.

    with checkpoints.kept("atlas.unfinished", key={"model": "...", "steps": 512}):
        ...  # renders, in an order that is always the same

While the block runs, the state of its renders is kept in the folder; when it ends without an error, the folder is
removed. When it was interrupted, or the process killed, the next run of the same block takes up what is there, and
gives the same pictures as one that was never stopped. Outside of such a block nothing is kept.

A state is known by its place in the order of the block's renders. So whatever the order depends on is kept, too: how
many images fitted into memory (`Folder.decided`).
"""

from __future__ import annotations

import contextlib
import contextvars
import hashlib
import io
import json
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from converters.atomic import write_bytes
from lucid_port.misc.locking import FolderLock

if TYPE_CHECKING:
    from lucid_port.optvis.engine.vis import VisT

__all__ = ["kept"]

EVERY = 15.0
"""Seconds of a render that are lost at most when a process is killed. What is finished is kept at once."""

KEY = "key.json"
DECISIONS = "decisions.json"

_active: contextvars.ContextVar[Folder | None] = contextvars.ContextVar("checkpoints", default=None)


class Folder:
    """Where the states of renders are. No other process takes part until it is closed.

    Args:
        path: of the folder, made if it is not there; states of another key are removed from it.
        key: what the renders depend on.

    Raises:
        ValueError: the folder holds files of something else.
        OSError: it cannot be written to, or another process works with it.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self.path = path
        self._counting = threading.Lock()
        self._begun: dict[str, int] = {}
        path.mkdir(parents=True, exist_ok=True)
        file = path / KEY
        if not file.is_file() and any(not one.name.startswith(".") for one in path.iterdir()):
            raise ValueError(f"{path} holds other files, and no renders that were stopped: name another folder.")
        self._held = FolderLock(path)
        if not file.is_file() or file.read_bytes() != key:
            self._forget()
            write_bytes(file, key)
        decisions = path / DECISIONS
        self._decisions: dict[str, Any] = json.loads(decisions.read_bytes()) if decisions.is_file() else {}
        self.key = hashlib.sha256(key).hexdigest()

    @property
    def holds_something(self) -> bool:
        """Whether a state is there."""
        return any(self.path.glob("*.pt"))

    def numbered(self, name: str) -> str:
        """The name with a number: how often it was asked for in this run."""
        with self._counting:
            number = self._begun[name] = self._begun.get(name, 0) + 1
        return f"{name}-{number:04d}"

    def decided(self, name: str, decide: Callable[[], Any]) -> Any:
        """What was decided, the first time that the block came here: plain data."""
        place = self.numbered(name)
        if place not in self._decisions:
            self._decisions[place] = decide()
            write_bytes(self.path / DECISIONS, json.dumps(self._decisions).encode())
        return self._decisions[place]

    def close(self, finished: bool) -> None:
        """Lets others in; removes the folder if it is of no more use and nothing of others is in it."""
        if finished or not self.holds_something:
            self._forget()
            (self.path / KEY).unlink(missing_ok=True)
        self._held.release()
        with contextlib.suppress(OSError):  # something else is in it, or another process has begun
            self.path.rmdir()

    def _forget(self) -> None:
        for pattern in ("*.pt", DECISIONS, ".*.partial"):
            for file in self.path.glob(pattern):
                file.unlink(missing_ok=True)


@contextlib.contextmanager
def kept(path: str | os.PathLike[str], key: Mapping[str, Any]) -> Iterator[Folder]:
    """Keeps the states of the renders within in a folder, until all of them are finished.

    What is kept is image, optimiser and streams of draws. An objective or transform of your own that remembers
    something between updates begins anew.

    Args:
        path: the folder; states of a run with another key are removed from it.
        key: plain data of everything that decides what the renders give.

    Raises:
        ValueError: the folder holds files of something else.
        OSError: the folder cannot be written to, or another process works with it.
    """
    folder = Folder(Path(path), json.dumps(key, sort_keys=True).encode())
    token = _active.set(folder)
    finished = False
    try:
        yield folder
        finished = True
    finally:
        _active.reset(token)
        folder.close(finished)


def active() -> Folder | None:
    """The folder of the block that this code runs in."""
    return _active.get()


def decided(name: str, decide: Callable[[], Any]) -> Any:
    """What is decided here, or was when the block that this code runs in was stopped: plain data."""
    folder = active()
    return decide() if folder is None else folder.decided(name, decide)


def begin(vis: VisT, folder: Folder | None, name: str = "render") -> Checkpoint:
    """Takes up a render that is about to be stepped, where there is something of it.

    Args:
        vis: the render, as it was made.
        folder: `active()`, asked for in the thread that entered the block; None keeps nothing.
        name: tells renders apart that run at the same time.
    """
    return Checkpoint(vis, folder, name)


class Checkpoint:
    """The state of one render.

    Attributes:
        values: the objective's values before each update made so far, on the device; add to it.
    """

    def __init__(self, vis: VisT, folder: Folder | None, name: str) -> None:
        self.values: list[torch.Tensor] = []
        self._vis = vis
        self._looks: list[dict[str, Any]] = []
        self._saved = time.monotonic()
        self._path = None if folder is None else folder.path / f"{folder.numbered(name)}.pt"
        self._of = {} if folder is None else {"key": folder.key, **_description(vis)}
        state = None if self._path is None else _read(self._path, self._of)
        if state is not None:
            self._looks = state["looks"]
            self._restore(state)

    def looks(self) -> Iterator[None]:
        """Shows the image as it was at each of the `looked` of an earlier run, one after the other."""
        if not self._looks:
            return
        now = _copied(self._vis.param.state_dict())
        for state in self._looks:
            self._vis.param.load_state_dict(state)
            yield
        self._vis.param.load_state_dict(now)

    def looked(self) -> None:
        """Notes that the image was looked at, which has to be done again when this render is taken up."""
        if self._path is not None:
            self._looks.append(_copied(self._vis.param.state_dict()))

    def save(self, stopped: bool = False) -> None:
        """Writes the state, if it is time to; to be called between two updates.

        Args:
            stopped: whether there will be no other update for now.
        """
        if self._path is not None and self.values and (stopped or time.monotonic() - self._saved >= EVERY):
            self._write(self._path)
            self._saved = time.monotonic()

    def _write(self, path: Path) -> None:
        vis = self._vis
        state = {
            "of": self._of,
            "steps": vis.steps,
            "values": torch.stack(self.values).cpu(),
            "losses": torch.stack(vis.watch.losses).cpu(),
            "watch": vis.watch.state(),
            "param": vis.param.state_dict(),
            "optimizer": vis.optimizer.state_dict(),
            "draws": vis.source.state(),
            "looks": self._looks,
        }
        data = io.BytesIO()
        torch.save(state, data)
        write_bytes(path, data.getvalue())

    def _restore(self, state: Mapping[str, Any]) -> None:
        vis = self._vis
        self.values = list(state["values"].to(vis.device))
        vis.param.load_state_dict(state["param"])
        vis.optimizer.load_state_dict(state["optimizer"])
        vis.source.restore(state["draws"])
        vis.watch.restore(list(state["losses"].to(vis.device)), state["watch"])
        vis.steps, vis.loss = state["steps"], self.values[-1]


def _copied(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in state.items()}


def _description(vis: VisT) -> dict[str, Any]:
    """What a render looks like from outside: a last guard against taking up another's state."""
    group = vis.optimizer.param_groups[0]
    return {
        "objective": vis.objective.description or vis.objective.name,
        "steps": vis.steps,
        "seeds": [vis.source.seed, *(vis.source.seeds or ())],
        "shapes": [list(parameter.shape) for parameter in vis.parameters],
        "optimizer": [type(vis.optimizer).__name__, str({key: group[key] for key in group if key != "params"})],
    }


def _read(path: Path, of: Mapping[str, Any]) -> dict[str, Any] | None:
    """A state; None where there is none of this render, or none that is whole."""
    try:
        state = torch.load(path, weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError):
        return None
    return state if isinstance(state, dict) and state.get("of") == of else None
