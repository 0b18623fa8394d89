"""Attributes that every sliding window has: sizes over height and width, and padding."""

from __future__ import annotations

from converters.ops.registry import Operation


def spatial(op: Operation, name: str) -> tuple[int, int]:
    """The (rows, columns) of an attribute that TensorFlow gives for all four axes."""
    sizes = tuple(op.attr(name, (1, 1, 1, 1)))
    if len(sizes) != 4 or sizes[0] != 1 or sizes[3] != 1 or min(sizes) < 1:
        raise op.error(f"has {name} {list(sizes)}; only height and width may differ from 1")
    return int(sizes[1]), int(sizes[2])


def padding(op: Operation) -> str | tuple[int, ...]:
    """SAME, VALID, or (top, bottom, left, right)."""
    kind = op.attr("padding")
    if kind in ("SAME", "VALID"):
        return str(kind)
    if kind == "EXPLICIT":
        amounts = tuple(int(n) for n in op.attr("explicit_paddings", ()))
        if len(amounts) == 8 and min(amounts) >= 0 and not any(amounts[:2] + amounts[6:]):
            return amounts[2:6]
    raise op.error(f"has padding {kind!r}, which is none of SAME, VALID and EXPLICIT over height and width")
