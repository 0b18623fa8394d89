"""Workers that share batches of work, each with a model on a device of its own."""

from __future__ import annotations

import copy
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, Generic, TypeVar

import torch

from lucid_port.misc.stack_level import stack_level
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.many.memory import out_of_memory, release

__all__ = ["Shared", "on_device", "run_on_devices", "split_evenly"]

T = TypeVar("T")


def split_evenly(items: Sequence[T], most: int) -> list[list[T]]:
    """Batches of nearly one size, none larger than `most`, in order."""
    count = -(-len(items) // most)
    limits = [len(items) * k // count for k in range(count + 1)] if count else [0]
    return [list(items[a:b]) for a, b in pairwise(limits)]


def on_device(model: Model, device: torch.device) -> Model:
    """A copy of a model on a device."""
    twin: Any = copy.deepcopy(model)
    mover = twin if hasattr(twin, "to") else twin.network
    mover.to(device)
    return twin


class Shared(Generic[T]):
    """Batches that several threads work off. A batch that was too large comes back and is split.

    Args:
        batches: what is to be done, in order.
        limit: largest size of a batch.
    """

    def __init__(self, batches: Iterable[list[T]], limit: int) -> None:
        self._batches = deque(batches)
        self.limit = limit
        self._lock = threading.Lock()
        self.stopped = threading.Event()

    def take(self) -> list[T] | None:
        """The next batch; None when there is no more, or work was stopped."""
        with self._lock:
            if self.stopped.is_set() or not self._batches:
                return None
            batch = self._batches.popleft()
            if len(batch) > self.limit:
                batch, *rest = split_evenly(batch, self.limit)
                self._batches.extendleft(reversed(rest))
            return batch

    def too_large(self, batch: list[T], device: torch.device, message: str) -> None:
        """Give a batch back that did not fit; from now on batches are at most half as large.

        Raises:
            MemoryError: it was a single image.
        """
        if len(batch) == 1:
            raise MemoryError(
                f"A single image does not fit into the memory of {device}: make it smaller, or free memory ({message})."
            )
        with self._lock:
            self.limit = max(1, min(self.limit, len(batch) // 2))
            self._batches.appendleft(batch)
        warnings.warn(
            f"{len(batch)} images do not fit into the memory of {device} together: going on with at most {self.limit}.",
            RuntimeWarning,
            stacklevel=stack_level(),
        )

    def work(self, device: torch.device, render: Callable[[list[T]], Any]) -> None:
        """Work off batches until there are no more.

        Args:
            device: where this worker's images are.
            render: does a batch, whole or not at all.
        """
        while (batch := self.take()) is not None:
            message = out_of_memory(render, batch)
            if message is not None:
                release(device)  # by now the error is gone, and with it the tensors that its traceback held
                self.too_large(batch, device, message)


def run_on_devices(workers: Sequence[Callable[[], None]], stopped: threading.Event) -> None:
    """Run workers, each in its own thread if there are several; the first error stops all and is raised.

    Raises:
        KeyboardInterrupt: Ctrl-C, after the workers have ended.
    """
    if len(workers) == 1:
        return workers[0]()
    errors: list[BaseException] = []

    def guarded(worker: Callable[[], None]) -> None:
        try:
            worker()
        except BaseException as error:  # handed to the thread that waits, which raises it
            errors.append(error)
            stopped.set()

    threads = [threading.Thread(target=guarded, args=(worker,), daemon=True) for worker in workers]
    try:
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            for thread in threads:
                thread.join(0.1)  # with a limit, so that Ctrl-C comes through
    finally:
        stopped.set()
        for thread in threads:
            thread.join()
    if errors:
        raise errors[0]
    return None
