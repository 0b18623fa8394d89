"""Contexts without network: a recipe of another author opens models that are on this machine only."""

from __future__ import annotations

import contextlib
import contextvars
import functools
import sys
from collections.abc import Iterator
from typing import Any

__all__ = ["NetworkRefusedError", "check_online", "is_offline", "offline"]

_EVENTS = ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname")

_attempts: contextvars.ContextVar[list[str] | None] = contextvars.ContextVar("attempts", default=None)


class NetworkRefusedError(ConnectionError):
    """A context without network refused a connection."""


@contextlib.contextmanager
def offline(what: str) -> Iterator[None]:
    """Context in which this thread's Python code opens no connection to another machine.

    Libraries that find a file in their cache go on without the network.

    Args:
        what: the sentence to raise instead of the error of a library that needed the network, without a full stop.

    Raises:
        NetworkRefusedError: the block failed after a connection was refused.

    Example:
        >>> import urllib.request
        >>> with offline("Recipes fetch nothing"):
        ...     urllib.request.urlopen("http://localhost:9", timeout=1)
        Traceback (most recent call last):
        lucid_port.misc.offline.NetworkRefusedError: Recipes fetch nothing.
    """
    _watch()
    attempts: list[str] = []
    token = _attempts.set(attempts)
    try:
        yield
    except Exception as error:
        if not attempts and not isinstance(error, ConnectionError):  # libraries find out by themselves, too
            raise
        raise NetworkRefusedError(f"{what}.") from error
    finally:
        _attempts.reset(token)


def is_offline() -> bool:
    """Returns whether this code runs in a block of `offline`."""
    return _attempts.get() is not None


def check_online(address: str) -> None:
    """Checks that an address may be asked. Call it before a folder is created for the answer.

    Raises:
        NetworkRefusedError: This code runs in a block of `offline`.
    """
    attempts = _attempts.get()
    if attempts is not None:
        attempts.append(address)
        raise NetworkRefusedError("the network is not used here")


@functools.cache
def _watch() -> None:
    """Adds the hook, which Python cannot remove. Outside of a block it only reads a variable."""
    sys.addaudithook(_refuse)


def _refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in _EVENTS:
        return
    attempts = _attempts.get()
    address = arguments[-1] if event == "socket.connect" else arguments[0]
    if attempts is None or (event == "socket.connect" and isinstance(address, (str, bytes))):
        return  # a socket of this machine has a path for an address
    check_online(str(address))
