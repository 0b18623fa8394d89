"""Registries of functions by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

F = TypeVar("F", bound=Callable[..., object])


class Registry(dict[str, F]):
    """Functions by name; a decorator registers them.

    Args:
        verb: what the functions do, for the error if two functions have the same name.
    """

    def __init__(self, verb: str) -> None:
        super().__init__()
        self.verb = verb

    def register(self, *names: str) -> Callable[[F], F]:
        """Decorator that registers a function under each of the names.

        Raises:
            ValueError: a name is taken.
        """

        def decorate(function: F) -> F:
            for name in names:
                if name in self:
                    raise ValueError(f"Two functions {self.verb} {name}.")
                self[name] = function
            return function

        return decorate
