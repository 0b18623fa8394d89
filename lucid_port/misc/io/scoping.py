"""Scopes: folders or base URLs that relative paths are joined to."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

from converters import checks
from converters.signatures import checked

__all__ = ["current_io_scopes", "io_scope", "scope_url", "set_io_scopes"]

_scopes: ContextVar[tuple[str, ...]] = ContextVar("lucid_port_io_scopes", default=())


def current_io_scopes() -> list[str]:
    """Returns the folders and base URLs that relative paths are joined to, the outermost first.

    Example:
        >>> with io_scope("runs"), io_scope("first"):
        ...     current_io_scopes()
        ['runs', 'first']
    """
    return list(_scopes.get())


@checked
def set_io_scopes(scopes: Sequence[str | os.PathLike[str]]) -> None:
    """Replaces the folders and base URLs that relative paths are joined to, until the enclosing `io_scope` ends.

    Args:
        scopes: the folders, the outermost first; an empty list for none.

    Raises:
        TypeError: `scopes` is not a list of paths.

    Example:
        >>> set_io_scopes(["runs", "first"])
        >>> scope_url("picture.png")
        'runs/first/picture.png'
        >>> set_io_scopes([])
    """
    _scopes.set(tuple(os.fspath(scope) for scope in checks.items(scopes, "scopes", "a list of folders")))


@contextmanager
@checked
def io_scope(path: str | os.PathLike[str], replace_current_scopes: bool = False) -> Iterator[None]:
    """A context in which `load` and `save` join relative paths to `path`.

    Args:
        path: folder or base URL, joined to those of the enclosing contexts.
        replace_current_scopes: ignore the enclosing contexts.

    Raises:
        TypeError: `path` is not a path.

    Example:
        >>> with io_scope("runs"), io_scope("first"):
        ...     scope_url("picture.png")
        'runs/first/picture.png'
    """
    folder = os.fspath(path)
    outer = () if replace_current_scopes else _scopes.get()
    token = _scopes.set((*outer, folder))
    try:
        yield
    finally:
        _scopes.reset(token)


@checked
def scope_url(url: str) -> str:
    """Joins a relative path to the current scopes. Absolute paths and URLs are returned unchanged.

    Example:
        >>> with io_scope("https://example.org/data"):
        ...     scope_url("picture.png"), scope_url("/tmp/picture.png")
        ('https://example.org/data/picture.png', '/tmp/picture.png')
    """
    url = str(url)
    if not _scopes.get() or "//" in url or posixpath.isabs(url):
        return url
    joined = posixpath.join(*_scopes.get(), url)
    scheme, separator, rest = joined.partition("://")
    return scheme + separator + posixpath.normpath(rest) if separator else posixpath.normpath(joined)
