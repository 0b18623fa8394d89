"""Nested iterables and arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

import numpy as np

from lucid_port.misc import checks

__all__ = ["batch_iter", "dict_to_ndarray", "recursive_enumerate_nd"]


def recursive_enumerate_nd(
    it: Any, stop_iter: Callable[[Any], bool] | None = None, prefix: tuple[int, ...] = ()
) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Index tuples and values of nested iterables; strings and what `stop_iter` says are values."""
    is_value = isinstance(it, (str, bytes)) or not _iterable(it)
    if is_value or (stop_iter is not None and stop_iter(it)):
        yield prefix, it
        return
    for index, item in enumerate(it):
        yield from recursive_enumerate_nd(item, stop_iter, (*prefix, index))


def _iterable(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim > 0
    return isinstance(value, Iterable)


def dict_to_ndarray(d: Mapping[tuple[int, ...], Any]) -> np.ndarray:
    """An array from values (numbers or equally shaped arrays) by index tuple; zero elsewhere.

    Raises:
        ValueError: there are none, or their indices have different lengths.
    """
    if not d or len({np.size(index) for index in d}) > 1:
        raise ValueError("dict_to_ndarray takes at least one value, each by an index tuple of the same length.")
    indices = np.asarray(list(d))
    first = np.asarray(next(iter(d.values())))
    dtype = np.float32 if first.ndim == 0 else first.dtype
    result = np.zeros((*(indices.max(0) + 1), *first.shape), dtype)
    for index, value in d.items():
        result[index] = value
    return result


def batch_iter(iterator: Iterable[Any], batch_size: int = 64) -> Iterator[list[Any]]:
    """Lists of up to `batch_size` successive items.

    Raises:
        TypeError, ValueError: the size is not a whole number from 1 on.
    """
    return _batches(iter(iterator), checks.whole(batch_size, "batch_iter's batch_size", 1))


def _batches(iterator: Iterator[Any], size: int) -> Iterator[list[Any]]:
    while batch := list(islice(iterator, size)):
        yield batch
