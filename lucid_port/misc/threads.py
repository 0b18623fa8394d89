"""The numbers of CPU threads that torch computes on, and of processes that share the work."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from converters import checks

__all__ = ["most_workers", "torch_threads", "worker_count"]


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Context in which torch computes on this number of CPU threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def most_workers() -> int:
    """Returns the most processes that may share the work of this machine: four for each core, and at least 32."""
    return max(32, 4 * (os.cpu_count() or 1))


def worker_count(workers: object, least: int = 0) -> int:
    """Converts a number of processes on this machine to int.

    Args:
        workers: The number.
        least: The smallest number.

    Raises:
        TypeError: It is not a number.
        ValueError: It is not whole, below `least`, or above `most_workers()`.
    """
    return checks.whole(workers, "workers", least, most_workers())
