"""Checkpoints: a block of several renders that continues after an interruption.

    with checkpoints.kept("atlas.unfinished", key={"model": "...", "steps": 512}):
        ...  # renders, always in the same order

While the block runs, the folder holds the states of its renders; when it ends without an error, the folder is removed.
After an interruption, the next run of the same block continues from these states and makes the same pictures as an
uninterrupted run. Outside of a block, nothing is saved.

A state is identified by its position in the order of the block's renders. Results that affect this order, such as the
number of images that fit into memory, are therefore saved, too (`Decision`).
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
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import torch

from converters.atomic import write_bytes
from converters.documents import read_json
from converters.paths import user_path
from converters.signatures import checked
from lucid_port.misc.locking import FolderLock

if TYPE_CHECKING:
    from lucid_port.optvis.engine.vis import VisT

__all__ = ["kept"]

T = TypeVar("T")

EVERY = 15.0
"""Seconds between two saved states of a render; the final state is saved at once."""

KEY = "key.json"
DECISIONS = "decisions.json"

_active: contextvars.ContextVar[Folder | None] = contextvars.ContextVar("checkpoints", default=None)


class Folder:
    """A folder of states, locked against other processes until it is closed.

    Args:
        path: The folder, which is created if it is missing. States with another key are removed.
        key: Everything that determines the renders.

    Raises:
        ValueError: The folder holds other files.
        OSError: The folder is not writable, or another process uses it.
    """

    def __init__(self, path: Path, key: bytes) -> None:
        self.path = path
        self._counting = threading.Lock()
        self._begun: dict[str, int] = {}
        path.mkdir(parents=True, exist_ok=True)
        file = path / KEY
        if not file.is_file() and any(not one.name.startswith(".") for one in path.iterdir()):
            raise ValueError(f"{path} holds other files and no interrupted renders: choose another folder.")
        self._held = FolderLock(path)
        decided = _read_decisions(path / DECISIONS)
        if not file.is_file() or file.read_bytes() != key or decided is None:
            self._forget()
            write_bytes(file, key)
            decided = {}
        self._decisions = decided
        self.key = hashlib.sha256(key).hexdigest()

    @property
    def holds_something(self) -> bool:
        """Whether the folder has a state."""
        return any(self.path.glob("*.pt"))

    def numbered(self, name: str) -> str:
        """Returns `name-0001` for the first use of a name in this run, `name-0002` for the second, and so on."""
        with self._counting:
            number = self._begun[name] = self._begun.get(name, 0) + 1
        return f"{name}-{number:04d}"

    @property
    def numbers(self) -> dict[str, int]:
        """Name -> number of its uses in this run so far."""
        with self._counting:
            return dict(self._begun)

    def begin_anew(self, numbers: Mapping[str, int]) -> None:
        """Removes the states of renders that began after `numbers` were read, and counts from there again."""
        with self._counting:
            for name, last in self._begun.items():
                for number in range(numbers.get(name, 0) + 1, last + 1):
                    (self.path / f"{name}-{number:04d}.pt").unlink(missing_ok=True)
            self._begun = dict(numbers)

    def decision(self, place: str) -> Any:
        """Returns a saved result, or None."""
        return self._decisions.get(place)

    def decide(self, place: str, result: object) -> None:
        """Saves a result, plain data."""
        with self._counting:
            self._decisions[place] = result
            write_bytes(self.path / DECISIONS, json.dumps(self._decisions).encode())

    def close(self, finished: bool) -> None:
        """Releases the lock; removes the folder if no state is needed and it has no other files."""
        if finished or not self.holds_something:
            self._forget()
            (self.path / KEY).unlink(missing_ok=True)
        self._held.release()
        with contextlib.suppress(OSError):  # the folder has other files, or another process uses it
            self.path.rmdir()

    def _forget(self) -> None:
        for pattern in ("*.pt", DECISIONS, ".*.partial"):
            for file in self.path.glob(pattern):
                file.unlink(missing_ok=True)


@contextlib.contextmanager
@checked
def kept(path: str | os.PathLike[str], key: Mapping[str, Any]) -> Iterator[Folder]:
    """Context manager that saves the states of the renders in its block until all are finished.

    A state has the image, the optimizer and the random streams. It does not have the state of a user's own objective or
    transform, which starts anew.

    Args:
        path: The folder. States with another key are removed.
        key: Plain data of everything that determines the renders.

    Raises:
        ValueError: The folder holds other files.
        OSError: The folder is not writable, or another process uses it.

    Example:
        >>> from lucid_port.modelzoo.nets_factory import get_model
        >>> from lucid_port.recipes import feature_visualization
        >>> with kept("pictures.unfinished", key={"size": 32, "steps": 2}):
        ...     made = feature_visualization.visualize(get_model("TinyInceptionV1"), ["mixed4a:8"], size=32, steps=2)
    """
    folder = Folder(user_path(path), json.dumps(key, sort_keys=True).encode())
    token = _active.set(folder)
    finished = False
    try:
        yield folder
        finished = True
    finally:
        _active.reset(token)
        folder.close(finished)


def active() -> Folder | None:
    """Returns the folder of the enclosing block, or None."""
    return _active.get()


class Decision(Generic[T]):
    """A result that affects the renders after it, such as the size of their batches.

    In a continued block it is the result that the interrupted run saved.

    Args:
        name: Name of the decision, which may be made several times.
        decide: Returns the result, plain data other than None.

    Attributes:
        result: The result.

    Example:
        >>> size = Decision("size", lambda: 8)
        >>> size.change(4)
        >>> size.result
        4
    """

    def __init__(self, name: str, decide: Callable[[], T]) -> None:
        self._folder = active()
        self._place = "" if self._folder is None else self._folder.numbered(name)
        self._numbers = {} if self._folder is None else self._folder.numbers
        saved = None if self._folder is None else self._folder.decision(self._place)
        self.result: T = decide() if saved is None else saved
        if saved is None:
            self.change(self.result)

    def change(self, result: T) -> None:
        """Replaces the result, for continued blocks, too."""
        self.result = result
        if self._folder is not None:
            self._folder.decide(self._place, result)

    def begin_anew(self) -> None:
        """Lets the caller repeat all renders after this decision, as if they had not begun."""
        if self._folder is not None:
            self._folder.begin_anew(self._numbers)


class Checkpoint:
    """Restores the saved state of a render that was interrupted, and saves its new states.

    Args:
        vis: The render, before its first step.
        folder: `active()` of the thread that entered the block; None saves nothing.
        name: Distinguishes renders that run at the same time.

    Attributes:
        values: The objective's value before each update so far, on the device. The loop appends to it.
    """

    def __init__(self, vis: VisT, folder: Folder | None, name: str = "render") -> None:
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
        """Iterates over the saved looks: sets the image to each in turn, then to its latest state."""
        if not self._looks:
            return
        now = _copied(self._vis.param.state_dict())
        for state in self._looks:
            self._vis.param.load_state_dict(state)
            yield
        self._vis.param.load_state_dict(now)

    def looked(self) -> None:
        """Saves the current image, so that a continued run can repeat this look."""
        if self._path is not None:
            self._looks.append(_copied(self._vis.param.state_dict()))

    def save(self, stopped: bool = False) -> None:
        """Writes the state if `EVERY` seconds have passed; called between two updates.

        Args:
            stopped: Whether this was the last update, after which the state is always written.
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
            "reads": [list(vis.reads.layers), [list(one) for one in vis.reads.channels], sorted(vis.reads.plain)],
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
        # A step that does not know the reads yet computes whole layers, which rounds single channels differently.
        layers, channels, plain = state.get("reads", ([], [], []))
        pairs = tuple((layer, channel) for layer, channel in channels)
        vis.reads = replace(vis.reads, layers=tuple(layers), channels=pairs, plain=frozenset(plain))


def _read_decisions(path: Path) -> dict[str, Any] | None:
    """Returns the saved results of an interrupted run; None if they are damaged, so that no state can be found."""
    if not path.is_file():
        return {}
    try:
        found = read_json(path)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _copied(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in state.items()}


def _description(vis: VisT) -> dict[str, Any]:
    """Returns properties of a render, which guard against restoring the state of another render."""
    group = vis.optimizer.param_groups[0]
    return {
        "objective": vis.objective.description or vis.objective.name,
        "steps": vis.steps,
        "seeds": [vis.source.seed, *(vis.source.seeds or ())],
        "shapes": [list(parameter.shape) for parameter in vis.parameters],
        "optimizer": [type(vis.optimizer).__name__, str({key: group[key] for key in group if key != "params"})],
    }


def _read(path: Path, of: Mapping[str, Any]) -> dict[str, Any] | None:
    """Returns the saved state, or None if it is missing, corrupt or of another render."""
    try:
        state = torch.load(path, weights_only=True)
    except (OSError, EOFError, RuntimeError, pickle.UnpicklingError):
        return None
    return state if isinstance(state, dict) and state.get("of") == of else None
