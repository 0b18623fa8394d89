"""Nested iterables and arrays."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from converters import checks

__all__ = ["batch_iter", "dict_to_ndarray", "recursive_enumerate_nd"]

Item = TypeVar("Item")


def recursive_enumerate_nd(
    it: Any, stop_iter: Callable[[Any], bool] | None = None, prefix: tuple[int, ...] = ()
) -> Iterator[tuple[tuple[int, ...], Any]]:
    """Yields (index tuple, value) for all values of nested iterables.

    Args:
        it: nested iterables. Strings, bytes and arrays without axes are values.
        stop_iter: returns True for further iterables that are treated as values.
        prefix: the start of each index tuple.

    Example:
        >>> list(recursive_enumerate_nd([["a", "b"], "c"]))
        [((0, 0), 'a'), ((0, 1), 'b'), ((1,), 'c')]
    """
    scalar = isinstance(it, np.ndarray) and it.ndim == 0
    is_value = scalar or isinstance(it, (str, bytes)) or not isinstance(it, Iterable)
    if is_value or (stop_iter is not None and stop_iter(it)):
        yield prefix, it
        return
    for index, item in enumerate(it):
        yield from recursive_enumerate_nd(item, stop_iter, (*prefix, index))


def dict_to_ndarray(d: Mapping[tuple[int, ...], ArrayLike]) -> np.ndarray:
    """Builds an array from a mapping of index tuples to values.

    Args:
        d: index tuple -> number, or array. All arrays have the same shape.

    Returns:
        An array just large enough for all indices, zero where no value is given. Numbers give float32; arrays keep
        the dtype of the first one.

    Raises:
        ValueError: the mapping is empty, or its index tuples have different lengths.

    Example:
        >>> dict_to_ndarray({(0, 0): 1, (1, 1): 2}).tolist()
        [[1.0, 0.0], [0.0, 2.0]]
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


def batch_iter(iterator: Iterable[Item], batch_size: int = 64) -> Iterator[list[Item]]:
    """Splits an iterable into lists of `batch_size` items; the last list may be shorter.

    Raises:
        TypeError, ValueError: the size is not a whole number from 1 on.

    Example:
        >>> list(batch_iter(range(5), 2))
        [[0, 1], [2, 3], [4]]
    """
    size = checks.whole(batch_size, "batch_iter's batch_size", 1)
    items = iter(iterator)
    return iter(lambda: list(islice(items, size)), [])
