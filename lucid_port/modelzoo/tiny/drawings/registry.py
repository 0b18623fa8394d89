"""The registries of drawings by class name."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from lucid_port.modelzoo.tiny.drawings.canvas import Canvas

Ink = Callable[[Canvas], Tensor]

INKS: dict[str, Ink] = {}
"""Classes that are defined by their shape. The functions return ink (pictures, height, width), to be colored."""

PAINTS: dict[str, Ink] = {}
"""Classes that are defined by their colors. The functions return RGB (pictures, 3, height, width)."""


def ink(name: str) -> Callable[[Ink], Ink]:
    """Returns a decorator that registers a drawing of ink by class name."""
    return _register(INKS, name)


def paint(name: str) -> Callable[[Ink], Ink]:
    """Returns a decorator that registers a drawing in colors by class name."""
    return _register(PAINTS, name)


def _register(where: dict[str, Ink], name: str) -> Callable[[Ink], Ink]:
    def add(function: Ink) -> Ink:
        if name in INKS or name in PAINTS:
            raise ValueError(f"Two drawings are called {name!r}.")
        where[name] = function
        return function

    return add
