"""Walks graphs from values to their inputs."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from typing import TypeVar

T = TypeVar("T", bound=Hashable)


def with_dependencies(values: Iterable[T], inputs: Callable[[T], Iterable[T]]) -> set[T]:
    """Returns some values of a graph and all values that they depend on.

    Args:
        values: the values to start from.
        inputs: returns the values that a value reads directly.

    Example:
        >>> reads = {"sum": ["a", "b"], "b": ["a"]}
        >>> sorted(with_dependencies(["b"], lambda name: reads.get(name, [])))
        ['a', 'b']
    """
    found: set[T] = set()
    waiting = list(values)
    while waiting:
        value = waiting.pop()
        if value not in found:
            found.add(value)
            waiting.extend(inputs(value))
    return found
