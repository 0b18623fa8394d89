"""The list of drawings: every class registers itself with its name."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from lucid_port.modelzoo.tiny.drawings.canvas import Canvas

Ink = Callable[[Canvas], Tensor]

INKS: dict[str, Ink] = {}
"""Classes that are known by their shape: functions to ink (pictures, height, width); any colours will do."""

PAINTS: dict[str, Ink] = {}
"""Classes that are known by their colours: functions to pictures (pictures, 3, height, width)."""


def ink(name: str) -> Callable[[Ink], Ink]:
    """Registers a drawing of ink under the name of its class."""
    return _register(INKS, name)


def paint(name: str) -> Callable[[Ink], Ink]:
    """Registers a drawing in colours under the name of its class."""
    return _register(PAINTS, name)


def _register(where: dict[str, Ink], name: str) -> Callable[[Ink], Ink]:
    def add(function: Ink) -> Ink:
        if name in INKS or name in PAINTS:
            raise ValueError(f"Two drawings are called {name!r}.")
        where[name] = function
        return function

    return add
