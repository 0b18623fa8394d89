"""Checks that loading and saving share."""

from __future__ import annotations

import inspect
import io
import os
from collections.abc import Callable, Mapping
from typing import Any

from lucid_port.misc import checks
from lucid_port.misc.io.scoping import scope_url

__all__ = ["check_options", "file_name", "path_name"]


def path_name(path: Any) -> str:
    """A path within the scopes in force.

    Raises:
        TypeError: it is no path.
    """
    if not isinstance(path, (str, bytes, os.PathLike)):
        raise TypeError(f"A path, an address or an open file is needed, not {checks.shown(path)}.")
    return scope_url(os.fsdecode(path))


def file_name(handle: Any) -> str:
    """The name of an open file, whose extension says the format.

    Raises:
        TypeError: it is open for text.
        ValueError: it has no name.
    """
    if isinstance(handle, io.TextIOBase):
        raise TypeError(f"{checks.shown(handle)} is open for text: open it in a binary mode, 'rb' or 'wb'.")
    name = getattr(handle, "name", None)
    if not isinstance(name, (str, bytes, os.PathLike)):
        raise ValueError(
            f"{type(handle).__name__} has no name whose extension says the format: give it one, as in "
            "handle.name = 'a.png', or use a path."
        )
    return os.fsdecode(name)


def check_options(function: Callable[..., Any], options: Mapping[str, Any], extension: str) -> None:
    """Refuses options that a format does not have.

    Raises:
        TypeError: one is not among the parameters of `function` that have a default.
    """
    known = [name for name, p in inspect.signature(function).parameters.items() if p.default is not p.empty]
    for option in options:
        if option not in known:
            raise TypeError(f"{extension} has no option {option!r}; it has {', '.join(known) or 'none'}.")
