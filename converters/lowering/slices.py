"""StridedSlice's five masks as a list of items, one for each axis."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeAlias

from converters.program.sizes import Number

# A slice of an axis, one position on an axis (which removes the axis), or a new axis of length 1.
Item: TypeAlias = (
    tuple[Literal["slice"], Number | None, Number | None, int] | tuple[Literal["at"], Number] | tuple[Literal["new"]]
)


def strided_items(
    attrs: Mapping[str, Any], rank: int, begin: Sequence[Number], end: Sequence[Number], strides: Sequence[Number]
) -> list[Item]:
    """Converts the inputs and masks of a StridedSlice to items.

    Args:
        attrs: the node's attributes.
        rank: the value's rank.
        begin, end, strides: the node's inputs, numbers or `Size`s.

    Returns:
        The items in the order of the result's axes. Each "slice" and each "at" applies to the value's next axis.

    Raises:
        ValueError: the inputs, the masks and the rank do not fit together.
    """
    masks = {name: _mask(attrs, name) for name in ("begin", "end", "ellipsis", "new_axis", "shrink_axis")}
    if not len(begin) == len(end) == len(strides):
        raise ValueError("its begin, end and strides differ in length")
    given = len(begin)
    spent = sum(1 for i in range(given) if not any(masks[name] >> i & 1 for name in ("ellipsis", "new_axis")))
    items: list[Item] = []
    for i in range(given):
        if masks["ellipsis"] >> i & 1:
            items += [("slice", None, None, 1)] * (rank - spent)
            spent = rank
        elif masks["new_axis"] >> i & 1:
            items.append(("new",))
        elif masks["shrink_axis"] >> i & 1:
            items.append(("at", begin[i]))
        else:
            step = strides[i]
            if not isinstance(step, int) or step == 0:
                raise ValueError(f"its stride is {step!r}")
            first = None if masks["begin"] >> i & 1 else begin[i]
            items.append(("slice", first, None if masks["end"] >> i & 1 else end[i], step))
    used = sum(item[0] != "new" for item in items)
    if used > rank:
        raise ValueError(f"it slices {used} axes of a value of rank {rank}")
    return items + [("slice", None, None, 1)] * (rank - used)


def _mask(attrs: Mapping[str, Any], name: str) -> int:
    value = attrs.get(f"{name}_mask", 0)
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"its {name}_mask is {value!r}")
    return value
