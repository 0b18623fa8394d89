"""Warnings that point to the user's code."""

from __future__ import annotations

import sys

__all__ = ["stack_level"]

_OWN = ("lucid_port", "converters")


def stack_level() -> int:
    """Returns the `stacklevel` for the caller's `warnings.warn`, so that the warning names the user's line."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _OWN:
        level, frame = level + 1, frame.f_back
    return level
