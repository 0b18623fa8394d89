"""The interface of callbacks of a render, and the only place that calls their optional methods."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np

from converters import checks

if TYPE_CHECKING:
    from lucid_port.optvis.engine.vis import VisT

__all__ = ["Callback", "FullCallback", "check_callbacks", "notify"]


class Callback(Protocol):
    """A function of the render (`VisT`) that is called after each update.

    An object with `__call__` may also have any of the methods of `FullCallback`.
    """

    def __call__(self, vis: VisT, /) -> object: ...


class FullCallback(Callback, Protocol):
    """A callback with all optional methods."""

    def begin(self, vis: VisT, total: int, /) -> object:
        """Called before the first update; `total` is the number of updates to make."""

    def snapshot(self, vis: VisT, picture: np.ndarray, /) -> object:
        """Called by `render_vis` at each threshold with its pictures, float32 [N, H, W, C] in [0, 1]."""

    def close(self) -> object:
        """Called at the end of the run, even if an error ends it."""


def notify(callbacks: Iterable[Callback], event: Literal["begin", "snapshot", "close"], *args: Any) -> None:
    """Calls an optional method of each callback that has it."""
    for callback in callbacks:
        method = getattr(callback, event, None)
        if method is not None:
            method(*args)


def check_callbacks(callbacks: object) -> list[Callback]:
    """Converts the argument `callbacks` to a list.

    Raises:
        TypeError: It is not a list, or an item is not a function of the render.
    """
    given = checks.items(callbacks, "callbacks", "a list of functions of the render")
    for one in given:
        if not callable(one) or isinstance(one, type):
            made = " (a class: call it first)" if isinstance(one, type) else ""
            raise TypeError(f"A callback is a function of the render (VisT), not {checks.shown(one)}{made}.")
    return given
