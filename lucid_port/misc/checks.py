"""The checks of `converters.checks`, for the rest of the package."""

from __future__ import annotations

from converters.checks import (
    broadcasts,
    choice,
    finite_values,
    fits,
    flag,
    flags,
    items,
    number,
    shown,
    sizes,
    text,
    whole,
)

__all__ = [
    "broadcasts",
    "choice",
    "finite_values",
    "fits",
    "flag",
    "flags",
    "items",
    "number",
    "shown",
    "sizes",
    "text",
    "whole",
]
