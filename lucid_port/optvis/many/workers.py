"""Workers that share batches, each with a model on its own device."""

from __future__ import annotations

import copy
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from itertools import pairwise
from typing import Any, Generic, TypeVar

import torch

from converters.stack_level import stack_level
from lucid_port.optvis.engine.coerce import Model
from lucid_port.optvis.many.memory import out_of_memory, release

__all__ = ["Shared", "half_of", "on_device", "run_on_devices", "split_evenly"]

T = TypeVar("T")


def split_evenly(items: Sequence[T], most: int) -> list[list[T]]:
    """Splits items into batches of nearly equal size, at most `most`, in order."""
    count = -(-len(items) // most)
    limits = [len(items) * k // count for k in range(count + 1)] if count else [0]
    return [list(items[a:b]) for a, b in pairwise(limits)]


def half_of(count: int, device: torch.device, message: str) -> int:
    """Returns the batch size after a batch did not fit into memory, and warns.

    Args:
        count: Number of images in the batch.
        device: The device whose memory ran out.
        message: The error's message.

    Raises:
        MemoryError: The batch was a single image.
    """
    if count == 1:
        raise MemoryError(
            f"A single image does not fit into the memory of {device}: make it smaller, or free memory ({message})."
        )
    warnings.warn(
        f"{count} images do not fit into the memory of {device} together: going on with at most {count // 2}.",
        RuntimeWarning,
        stacklevel=stack_level(),
    )
    return count // 2


def on_device(model: Model, device: torch.device) -> Model:
    """Returns a copy of a model on a device."""
    twin: Any = copy.deepcopy(model)
    mover = twin if hasattr(twin, "to") else twin.network
    mover.to(device)
    return twin


class Shared(Generic[T]):
    """A thread-safe queue of batches. A batch that does not fit into memory is put back and split.

    Args:
        batches: The batches, in order.
        limit: Maximum size of a batch.
        kind: Returns a key that is equal for items that may share a batch.
        split: Splits items of one kind into batches of at most a number of items, in order.
        halved: Called with the new batches of each kind that was split again, and the new limit.

    Attributes:
        stopped: Event that ends the work.
    """

    def __init__(
        self,
        batches: Iterable[list[T]],
        limit: int,
        kind: Callable[[T], object] = lambda item: None,
        split: Callable[[list[T], int], list[list[T]]] = split_evenly,
        halved: Callable[[list[list[T]], int], object] = lambda batches, limit: None,
    ) -> None:
        self._batches = deque(batches)
        self.limit = limit
        self._kind, self._split, self._halved = kind, split, halved
        self._lock = threading.Lock()
        self.stopped = threading.Event()

    def take(self) -> list[T] | None:
        """Returns the next batch, or None if there is none or the work was stopped."""
        with self._lock:
            if self.stopped.is_set() or not self._batches:
                return None
            return self._batches.popleft()

    def too_large(self, batch: list[T], device: torch.device, message: str) -> None:
        """Puts back a batch that did not fit, and halves the limit.

        The remaining items of each kind are split again, so that a run that resumes can split them in the same way.

        Raises:
            MemoryError: The batch was a single image.
        """
        half = half_of(len(batch), device, message)
        with self._lock:
            self.limit = min(self.limit, half)
            kinds: dict[object, list[list[T]]] = {}
            for left in (batch, *self._batches):
                kinds.setdefault(self._kind(left[0]), []).append(left)
            self._batches = deque(one for batches in kinds.values() for one in self._within_limit(batches))

    def _within_limit(self, batches: list[list[T]]) -> list[list[T]]:
        if max(map(len, batches)) <= self.limit:
            return batches
        found = self._split([item for batch in batches for item in batch], self.limit)
        self._halved(found, self.limit)
        return found

    def work(self, device: torch.device, render: Callable[[list[T]], object]) -> None:
        """Processes batches until there are none.

        Args:
            device: Device of this worker.
            render: Processes a batch; has no effect if it raises.
        """
        while (batch := self.take()) is not None:
            message = out_of_memory(render, batch)
            if message is not None:
                release(device)  # the error and its traceback, which held tensors, are freed by now
                self.too_large(batch, device, message)


def run_on_devices(workers: Sequence[Callable[[], None]], stopped: threading.Event) -> None:
    """Runs workers, each in its own thread if there are several. The first error stops all and is raised.

    Raises:
        KeyboardInterrupt: Ctrl-C, once the workers have ended.
    """
    if len(workers) == 1:
        return workers[0]()
    with ThreadPoolExecutor(len(workers)) as pool:
        running = [pool.submit(worker) for worker in workers]
        done: set[Future[None]] = set()
        try:
            while len(done) < len(running):
                done, _ = wait(running, 0.1, FIRST_EXCEPTION)  # with a timeout, so that Ctrl-C is noticed
                for ended in done:
                    ended.result()
        finally:
            stopped.set()
    return None
