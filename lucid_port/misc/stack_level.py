"""Warnings that point at the code of the user."""

from __future__ import annotations

import sys

__all__ = ["stack_level"]

_OWN = ("lucid_port", "converters")


def stack_level() -> int:
    """The `stacklevel` with which `warnings.warn`, called by the caller, names the line outside of this project."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _OWN:
        level, frame = level + 1, frame.f_back
    return level
