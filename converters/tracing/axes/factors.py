"""Factors: descriptions of the axes of a tensor by their roles, and how reshapes split and merge them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

PLACES = frozenset("HWT")


@dataclass(frozen=True)
class Segment:
    """Consecutive tokens of an axis.

    Attributes:
        size: number of tokens.
        name: name of the token, if it is one and no patch.
        grid: (rows, columns) of the patches of the complete image; None for other tokens.
    """

    size: int
    name: str = ""
    grid: tuple[int, int] | None = None


@dataclass(frozen=True)
class Factor:
    """A part of an axis. An axis is the product of its factors, the outermost first.

    Attributes:
        role: N images, C channels, H rows, W columns, T times, L tokens, G others.
        size: number of indices.
        stride: distance of consecutive indices along the axis that was split.
        outer: whether the factor includes the outermost part of the axis that was split.
        generation: for channels, the number of layers that made new channels beside them.
        segments: for tokens, the parts of the axis; empty if they are not known.
    """

    role: str
    size: int
    stride: int = 1
    outer: bool = True
    generation: int = 0
    segments: tuple[Segment, ...] = ()


Axis = tuple[Factor, ...]
Axes = tuple[Axis, ...]


@dataclass(frozen=True)
class Unknown:
    """A value whose axes are not known, for a reason (a clause)."""

    reason: str


Description = Axes | Unknown


class RuleError(Exception):
    """A rule cannot tell the axes of an output. The message is the reason, as a clause."""


def length(axis: Axis) -> int:
    """Returns the number of indices of an axis; 1 for an axis without factors."""
    return math.prod(factor.size for factor in axis)


def roles(axis: Axis) -> str:
    """Returns the roles of the factors that have more than one index."""
    return "".join(factor.role for factor in axis if factor.size > 1)


def channels_in(axes: Iterable[Axis]) -> list[Factor]:
    """Returns the factors that count channels."""
    return [factor for axis in axes for factor in axis if factor.role == "C"]


def new_channels(size: int, others: Iterable[Axis]) -> Axis:
    """Returns an axis of channels that a layer makes; the channels of other axes are older."""
    generation = max((factor.generation + 1 for factor in channels_in(others)), default=0)
    return (Factor("C", size, generation=generation),)


def tokens_axis(segments: Sequence[Segment]) -> Axis:
    """Returns an axis of tokens. If it consists of the patches alone, it is one of rows and columns."""
    if len(segments) == 1 and segments[0].grid is not None:
        rows, columns = segments[0].grid
        return (Factor("H", rows), Factor("W", columns))
    return (Factor("L", sum(segment.size for segment in segments), segments=tuple(segments)),)


def segments_of(axis: Axis) -> tuple[Segment, ...]:
    """Returns the parts of an axis of tokens or places."""
    if len(axis) == 1 and axis[0].segments:
        return axis[0].segments
    if [factor.role for factor in axis] == ["H", "W"] and all(factor.outer for factor in axis):
        return (Segment(length(axis), grid=(axis[0].size, axis[1].size)),)
    return (Segment(length(axis), name="" if roles(axis) else "pooled"),)


def resized(axis: Axis, size: int) -> Axis:
    """Returns an axis with another number of indices, as a pool, a slice or a crop gives it.

    Raises:
        RuleError: the axis has factors of several roles.
    """
    if length(axis) == size:
        return axis
    axis = tuple(factor for factor in axis if factor.size > 1) or axis
    kinds = set(roles(axis)) or {factor.role for factor in axis}
    if not kinds:
        return (Factor("G", size),)
    if len(kinds) == 1 and len(axis) == 1:
        return (replace(axis[0], size=size, segments=()),)
    if kinds == {"C"}:
        generation = max(factor.generation for factor in axis)
        return (Factor("C", size, min(factor.stride for factor in axis), generation=generation),)
    if axis[0].role == "N" and len(kinds) > 1:
        raise RuleError("an axis that joins images with other axes changes its size")
    if kinds <= {"H", "W", "L", "T"}:
        return (Factor("L", size),)
    if kinds == {"G"}:
        return (Factor("G", size),)
    raise RuleError("an axis that joins axes of several kinds changes its size")


def kept(axis: Axis) -> Axis:
    """Returns an axis of size 1 that remains of a reduced axis."""
    return tuple(replace(factor, size=1, segments=()) for factor in axis[:1] if factor.role in "CHWT")


def simplified(axis: Sequence[Factor]) -> Axis:
    """Merges neighbouring factors that were split before, and drops factors of size 1 beside others."""
    factors = [factor for factor in axis if factor.size > 1] or list(axis[:1])
    merged: list[Factor] = []
    for factor in factors:
        last = merged[-1] if merged else None
        same = last is not None and (last.role, last.generation) == (factor.role, factor.generation)
        if last is not None and same and not factor.outer and last.stride == factor.stride * factor.size:
            merged[-1] = replace(last, size=last.size * factor.size, stride=factor.stride, segments=())
        else:
            merged.append(factor)
    if len(merged) > 1 and {factor.role for factor in merged} == {"C"}:
        newest = max(factor.generation for factor in merged)
        stride = min(factor.stride for factor in merged)
        outer = any(factor.outer for factor in merged)
        return (Factor("C", math.prod(factor.size for factor in merged), stride, outer, newest),)
    return tuple(merged)


def reshaped(axes: Axes, shape: Sequence[int]) -> Axes:
    """Returns the axes of a tensor that has the same indices in another shape.

    Raises:
        RuleError: an axis of the new shape has a part of an axis that cannot be split in this way.
    """
    queue = [factor for axis in axes for factor in axis]
    found: list[Axis] = []
    for position, size in enumerate(shape):
        if size == 1:
            takes = bool(queue) and queue[0].size == 1 and _leaves_room(queue, shape[position + 1 :])
            found.append((queue.pop(0),) if takes else _one_head(queue[0]) if queue else ())
            continue
        axis: list[Factor] = []
        needed = size
        while needed > 1:
            while queue and queue[0].size == 1:
                one = queue.pop(0)
                if one.role == "C" and found and not axis:  # one head of attention, which a later reshape may give back
                    found[-1] += (one,)
            if not queue:
                raise RuleError("a reshape has other sizes than its input")
            factor = queue.pop(0)
            if needed % factor.size == 0:
                needed //= factor.size
                axis.append(factor)
            elif factor.size % needed == 0:
                outer, inner = split(factor, needed)
                axis.append(outer)
                queue.insert(0, inner)
                needed = 1
            else:
                raise RuleError("a reshape joins parts of axes that it cannot split evenly")
        found.append(simplified(axis))
    return tuple(found)


def _one_head(factor: Factor) -> Axis:
    """Returns the axis of size 1 that a reshape puts before a factor: for channels, it is a group of all of them."""
    if factor.role != "C" or factor.size == 1:
        return ()
    return (replace(factor, size=1, stride=factor.stride * factor.size),)


def _leaves_room(queue: Sequence[Factor], shape: Sequence[int]) -> bool:
    """Returns whether the first factor, of size 1, belongs to this axis of size 1 and not to a later one."""
    waiting = len(list(itertools.takewhile(lambda factor: factor.size == 1, queue)))
    free = len(list(itertools.takewhile(lambda size: size == 1, shape))) + 1
    return waiting >= free or queue[0].role != "C" or not shape


def split(factor: Factor, outer: int) -> tuple[Factor, Factor]:
    """Splits a factor into an outer one of the given size and an inner one."""
    inner = factor.size // outer
    first = replace(factor, size=outer, stride=factor.stride * inner, segments=())
    return first, replace(factor, size=inner, outer=False, segments=())


def combined(first: Axes, second: Axes) -> Axes:
    """Returns the axes of an elementwise result of two tensors of the same rank.

    Raises:
        RuleError: two axes of the same size count different things.
    """
    return tuple(_one(a, b, first, second) for a, b in zip(first, second, strict=True))


def _one(a: Axis, b: Axis, first: Axes, second: Axes) -> Axis:
    """Returns the axis of a result that has both axes."""
    if length(a) != length(b):
        return a if length(a) > length(b) else b
    if a == b or length(a) == 1:
        return a or b
    one, other = roles(a), roles(b)
    if one == other:
        return b if _segments(b) and not _segments(a) else a
    plain, others = one.replace("G", ""), other.replace("G", "")
    if not plain or not others:
        return a if plain else b
    if plain == others:
        return a if plain == one else b
    if set(one + other) <= {"H", "W", "L", "T"}:
        return a if _segments(a) or len(one) > len(other) else b
    if one == "C" and "C" not in other and _is_newer(a, first, second):
        return b  # a layer that mixes tokens gives them back
    if other == "C" and "C" not in one and _is_newer(b, second, first):
        return a
    if len(a) > 1 and len(b) > 1:
        return simplified([_one(c, d, first, second)[0] for c, d in _aligned(a, b)])
    raise RuleError(f"an elementwise function joins an axis of {_word(one)} with one of {_word(other)}")


def _aligned(a: Axis, b: Axis) -> Iterable[tuple[Axis, Axis]]:
    """Splits two axes of the same size into factors of the same sizes."""
    one, other = list(a), list(b)
    while one and other:
        c, d = one.pop(0), other.pop(0)
        small = min(c.size, d.size)
        if c.size % small or d.size % small:
            raise RuleError("an elementwise function joins axes of different parts")
        if c.size > small:
            c, rest = split(c, small)
            one.insert(0, rest)
        elif d.size > small:
            d, rest = split(d, small)
            other.insert(0, rest)
        yield (c,), (d,)


def _segments(axis: Axis) -> bool:
    return bool(axis and axis[0].segments) or roles(axis) == "HW"


def _is_newer(axis: Axis, own: Axes, other: Axes) -> bool:
    """Returns whether the channels of an axis are newer than those of the other tensor, which `own` also has."""
    newest = max((factor.generation for factor in channels_in(other)), default=None)
    if newest is None or axis[0].generation <= newest:
        return False
    return len(channels_in(own)) > len(channels_in([axis]))


_WORDS = {"N": "images", "C": "channels", "H": "rows", "W": "columns", "T": "times", "L": "tokens", "G": "groups"}


def _word(kinds: str) -> str:
    return " and ".join(dict.fromkeys(_WORDS[kind] for kind in kinds))
