"""How many images fit into memory together, and sharing batches among devices."""

from __future__ import annotations

import copy
import gc
import os
import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from typing import Any, Generic, TypeVar

import torch

from lucid_port.misc import checks
from lucid_port.optvis.engine.acceleration import find_device

__all__ = [
    "Shared",
    "choose_devices",
    "cuda_batch_size",
    "host_batch_size",
    "is_out_of_memory",
    "on_device",
    "run_on_devices",
    "split_evenly",
]

MOST_ON_CPU = 16
"""Images of a batch on a CPU: more are no faster, and what is finished is kept batch by batch."""
MOST_ON_CUDA = 128
"""Images of a batch on a GPU; the same holds there."""
SHARE_OF_HOST = 0.5
"""Share of the free memory of the machine that a batch may take: other programs live there, too."""
SHARE_OF_CUDA = 0.7
"""Share of a GPU's free memory: images grow by a quarter under Lucid's transforms, and memory fragments."""
BYTES_PER_SAVED = 3
"""Peak memory of a step as a multiple of what is kept for its gradients."""

_OUT_OF_MEMORY = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "MPS backend out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUFFT_ALLOC_FAILED",
)

T = TypeVar("T")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory was too small, on whatever device."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(text in str(error) for text in _OUT_OF_MEMORY)


def split_evenly(items: Sequence[T], most: int) -> list[list[T]]:
    """Batches of nearly one size, none larger than `most`, in order."""
    count = -(-len(items) // most)
    limits = [len(items) * k // count for k in range(count + 1)] if count else [0]
    return [list(items[a:b]) for a, b in pairwise(limits)]


# Memory ---------------------------------------------------------------------------------------


def free_host_memory() -> int | None:
    """Bytes of memory that are free on this machine; None where it does not say."""
    try:
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError, OSError):  # no such function (Windows), no such name (macOS)
        return None


def saved_bytes(forward: Callable[[], Any]) -> int:
    """Bytes of the distinct tensors that a forward pass keeps for its gradients."""
    sizes: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        forward()
    return sum(sizes.values())


def host_batch_size(forward: Callable[[], Any]) -> int:
    """Images that a batch may have on a CPU (or a device that does not tell its free memory).

    Args:
        forward: computes the objective of one image.
    """
    free = free_host_memory()
    if free is None:
        return MOST_ON_CPU
    needed = BYTES_PER_SAVED * saved_bytes(forward)
    return max(1, min(MOST_ON_CPU, int(SHARE_OF_HOST * free) // max(needed, 1)))


def cuda_batch_size(step: Callable[[int], Any], device: torch.device, most: int) -> int:
    """Images that fit into what is free on a GPU, by the memory that two steps take.

    Args:
        step: makes one step of a batch of so many images.
        device: the GPU.
        most: images that there are, at least 2.
    """
    few, more = 1, min(4, most)
    peaks: list[int] = []
    for count in (few, more):
        if _failure(lambda images: peaks.append(_peak(step, device, images)), count) is not None:
            _release(device)
            return 1
    peak_few, peak_more = peaks
    each = max((peak_more - peak_few) / (more - few), 1.0)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    free = torch.cuda.mem_get_info(device)[0] + unused
    fitting = (SHARE_OF_CUDA * free - max(peak_few - each, 0.0)) / each
    return max(1, min(MOST_ON_CUDA, int(fitting)))


def _peak(step: Callable[[int], Any], device: torch.device, count: int) -> int:
    torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device)
    step(count)
    torch.cuda.synchronize(device)
    return torch.cuda.max_memory_allocated(device) - before


# Devices --------------------------------------------------------------------------------------


def choose_devices(devices: Any, own: torch.device) -> list[torch.device]:
    """The devices that share the work.

    Args:
        devices: devices or their names, one for each copy of the model; None for all CUDA devices if the model is on
            one, else for the model's own.
        own: where the model is.

    Raises:
        TypeError, ValueError: something else was given, or nothing.
    """
    if devices is None:
        count = torch.cuda.device_count() if own.type == "cuda" else 0
        others = [torch.device("cuda", index) for index in range(count)]
        return [own, *(device for device in others if device != _indexed(own))] if count else [own]
    if isinstance(devices, (str, torch.device)):
        devices = [devices]
    chosen = [find_device(device) for device in checks.items(devices, "devices", "a list of devices, as in ['cuda:0']")]
    if not chosen:
        raise ValueError("devices is empty: name at least one, as in ['cuda:0'], or leave it out.")
    return chosen


def _indexed(device: torch.device) -> torch.device:
    """`cuda` as `cuda:N`."""
    if device.type == "cuda" and device.index is None:
        return torch.device("cuda", torch.cuda.current_device())
    return device


def on_device(model: Any, device: torch.device) -> Any:
    """A copy of a model on a device."""
    twin = copy.deepcopy(model)
    mover = twin if hasattr(twin, "to") else twin.network
    mover.to(device)
    return twin


# Work -----------------------------------------------------------------------------------------


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
            stacklevel=2,
        )

    def work(self, device: torch.device, render: Callable[[list[T]], Any]) -> None:
        """Work off batches until there are no more.

        Args:
            device: where this worker's images are.
            render: does a batch, whole or not at all.
        """
        while (batch := self.take()) is not None:
            message = _failure(render, batch)
            if message is not None:
                _release(device)  # by now the error is gone, and with it the tensors that its traceback held
                self.too_large(batch, device, message)


def _release(device: torch.device) -> None:
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()


def _failure(function: Callable[[T], Any], argument: T) -> str | None:
    """Calls a function; what is said if there is not enough memory for it, else None."""
    try:
        function(argument)
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        return str(error).splitlines()[0] if str(error) else type(error).__name__
    return None


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
