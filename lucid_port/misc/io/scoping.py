"""A folder, or base address, that paths are relative to."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["current_scopes", "io_scope", "scope_url", "set_scopes"]

_scopes: ContextVar[tuple[str, ...]] = ContextVar("lucid_port_io_scopes", default=())


def current_scopes() -> tuple[str, ...]:
    """The scopes in force, outermost first."""
    return _scopes.get()


def set_scopes(scopes: tuple[str, ...]) -> None:
    """Set the scopes of this thread or task (to hand them on to workers)."""
    _scopes.set(scopes)


@contextmanager
def io_scope(path: str | os.PathLike[str], replace_current_scopes: bool = False) -> Iterator[None]:
    """Within it, relative paths of `load` and `save` are relative to `path`.

    Args:
        path: folder or address; joined to the scopes around it.
        replace_current_scopes: ignore these instead.

    Raises:
        TypeError: it is no path.
    """
    folder = os.fspath(path)
    outer = () if replace_current_scopes else _scopes.get()
    token = _scopes.set((*outer, folder))
    try:
        yield
    finally:
        _scopes.reset(token)


def scope_url(url: str) -> str:
    """`url` joined to the scopes; absolute paths and addresses (with `//`) stay."""
    url = str(url)
    if not _scopes.get() or "//" in url or posixpath.isabs(url):
        return url
    joined = posixpath.join(*_scopes.get(), url)
    scheme, separator, rest = joined.partition("://")
    return scheme + separator + posixpath.normpath(rest) if separator else posixpath.normpath(joined)
