"""Attributes of sliding windows: sizes over height and width, and padding."""

from __future__ import annotations

from typing import Any, TypeGuard

from converters.frozen.graph import NCHW
from converters.lowering.ops.registry import Operation


def spatial(op: Operation, name: str, default: tuple[int, ...] | None = None) -> tuple[int, int]:
    """Returns the (height, width) of an attribute that has four sizes, one for each axis.

    Raises:
        GraphError: the attribute is missing and has no default, or is not four positive sizes.
    """
    sizes = op.attr(name, default)
    fits = _are_integers(sizes) and len(sizes) == 4 and min(sizes) >= 1
    rows, columns = _image_axes(op)
    if not fits or any(size != 1 for axis, size in enumerate(sizes) if axis not in (rows, columns)):
        raise op.error(f"has {name} {sizes!r}; it takes four sizes, and only height and width may differ from 1")
    return sizes[rows], sizes[columns]


def _image_axes(op: Operation) -> tuple[int, int]:
    return (2, 3) if op.layout() == NCHW else (1, 2)


def _are_integers(value: Any) -> TypeGuard[tuple[int, ...]]:
    return isinstance(value, tuple) and all(isinstance(n, int) and not isinstance(n, bool) for n in value)


def padding(op: Operation) -> str | tuple[int, ...]:
    """SAME, VALID, or (top, bottom, left, right).

    Raises:
        GraphError: the attribute is missing or invalid.
    """
    kind = op.attr("padding")
    if kind in ("SAME", "VALID"):
        return str(kind)
    if kind == "EXPLICIT":
        amounts = op.attr("explicit_paddings", ())
        if _are_integers(amounts) and len(amounts) == 8 and min(amounts) >= 0:
            first = 2 * _image_axes(op)[0]
            if not any(amounts[:first] + amounts[first + 4 :]):
                return amounts[first : first + 4]
    raise op.error(f"has padding {kind!r}, which is not SAME, VALID, or EXPLICIT over height and width")
