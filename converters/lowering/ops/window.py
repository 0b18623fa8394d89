"""Attributes that every sliding window has: sizes over height and width, and padding."""

from __future__ import annotations

from typing import Any

from converters.frozen.graph import NCHW
from converters.lowering.ops.registry import Operation


def spatial(op: Operation, name: str, default: tuple[int, ...] | None = None) -> tuple[int, int]:
    """The (rows, columns) of an attribute that TensorFlow gives for all four axes.

    Raises:
        GraphError: the attribute is missing and has no default, or is something else.
    """
    sizes = op.attr(name, default)
    fits = _are_integers(sizes) and len(sizes) == 4 and min(sizes) >= 1
    rows, columns = _image_axes(op)
    if not fits or any(size != 1 for axis, size in enumerate(sizes) if axis not in (rows, columns)):
        raise op.error(f"has {name} {sizes!r}; it takes four sizes, of which only height and width may differ from 1")
    return sizes[rows], sizes[columns]


def _image_axes(op: Operation) -> tuple[int, int]:
    return (2, 3) if op.layout() == NCHW else (1, 2)


def _are_integers(value: Any) -> bool:
    return isinstance(value, tuple) and all(isinstance(n, int) and not isinstance(n, bool) for n in value)


def padding(op: Operation) -> str | tuple[int, ...]:
    """SAME, VALID, or (top, bottom, left, right)."""
    kind = op.attr("padding")
    if kind in ("SAME", "VALID"):
        return str(kind)
    if kind == "EXPLICIT":
        amounts = op.attr("explicit_paddings", ())
        if _are_integers(amounts) and len(amounts) == 8 and min(amounts) >= 0:
            first = 2 * _image_axes(op)[0]
            if not any(amounts[:first] + amounts[first + 4 :]):
                return amounts[first : first + 4]
    raise op.error(f"has padding {kind!r}, which is none of SAME, VALID and EXPLICIT over height and width")
