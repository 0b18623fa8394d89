"""Checks of arguments: each failure is one sentence that says which argument it is and what it should be.

`what` names the argument in the message, as in "jitter's d". Nothing here belongs into a loop that runs on a device,
except `broadcasts`, which looks at shapes only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import Any

import numpy as np
import torch

__all__ = ["broadcasts", "choice", "finite_values", "items", "number", "shown", "sizes", "text", "whole"]


def shown(value: Any) -> str:
    """A value in a message: arrays by their shape, everything else shortened to one line."""
    if isinstance(value, (np.ndarray, torch.Tensor)) and value.ndim > 0:
        kind = "a tensor" if isinstance(value, torch.Tensor) else "an array"
        return f"{kind} of shape {tuple(value.shape)}"
    line = " ".join(repr(value).split())
    return line if len(line) <= 80 else f"{line[:77]}..."


def whole(value: Any, what: str, least: int | None = None) -> int:
    """A whole number as an int; 3.0 and arrays without axes count as numbers.

    Raises:
        TypeError: it is no number.
        ValueError: it is not whole, or below `least`.
    """
    wanted = "a whole number" if least is None else f"a whole number from {least} on"
    plain = _scalar(value, what, wanted)
    if not (isinstance(plain, int) or float(plain).is_integer()) or (least is not None and plain < least):
        raise ValueError(f"{what} is {wanted}, not {shown(value)}.")
    return int(plain)


def number(
    value: Any, what: str, least: float | None = None, above: float | None = None, most: float | None = None
) -> int | float:
    """A finite number as Python's own.

    Args:
        value: what was given.
        what: its name in the message.
        least: smallest number that is allowed.
        above: largest number that is too small.
        most: largest number that is allowed; with `least` only.

    Raises:
        TypeError: it is no number.
        ValueError: it is NaN, infinite, too small or too large.
    """
    wanted = "a finite number"
    wanted += "" if least is None else f" from {least} {'on' if most is None else f'to {most}'}"
    wanted += "" if above is None else f" above {above}"
    plain = _scalar(value, what, wanted)
    too_small = (least is not None and plain < least) or (above is not None and plain <= above)
    if not math.isfinite(plain) or too_small or (most is not None and plain > most):
        raise ValueError(f"{what} is {wanted}, not {shown(value)}.")
    return plain


def _scalar(value: Any, what: str, wanted: str) -> Any:
    plain = value.item() if isinstance(value, (np.generic, np.ndarray, torch.Tensor)) and value.ndim == 0 else value
    if isinstance(plain, bool) or not isinstance(plain, Real):
        raise TypeError(f"{what} is {wanted}, not {shown(value)}.")
    return plain


def text(value: Any, what: str, wanted: str) -> str:
    """A string.

    Raises:
        TypeError: it is none.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} is {wanted}, not {shown(value)}.")
    return value


def choice(value: Any, what: str, known: Iterable[str]) -> str:
    """One of some names.

    Raises:
        ValueError: `value` is not one of them.
    """
    names = list(known)
    if value not in names:
        raise ValueError(f"{what} is one of {', '.join(map(repr, names))}, not {shown(value)}.")
    return value


def items(values: Any, what: str, wanted: str) -> list[Any]:
    """The items of a list, tuple, array or generator; a string is not taken for its letters.

    Raises:
        TypeError: it is nothing of these.
    """
    without_axes = isinstance(values, (np.ndarray, torch.Tensor)) and values.ndim == 0
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable) or without_axes:
        raise TypeError(f"{what} is {wanted}, not {shown(values)}.")
    return list(values)


def sizes(shape: Any, what: str, rank: int | None = None) -> tuple[int, ...]:
    """A shape as a tuple of ints.

    Args:
        shape: what was given.
        what: its name in the message.
        rank: number of sizes; 4 are those of an image batch.

    Raises:
        TypeError: it is no list of numbers.
        ValueError: a size is not a whole number from 1 on, or the rank is another.
    """
    wanted = "a shape of sizes" if rank is None else f"a shape of {rank} sizes"
    wanted = "a shape of [batch, height, width, channels]" if rank == 4 else wanted
    given = items(shape, what, wanted)
    if rank is not None and len(given) != rank:
        raise ValueError(f"{what} is {wanted}, not {shown(tuple(given))}.")
    return tuple(whole(size, f"Every size of {what}", 1) for size in given)


def finite_values(values: Any, what: str) -> None:
    """Refuses what is no number, array, tensor or nested list of finite numbers.

    Raises:
        TypeError: it holds something else than numbers.
        ValueError: it is ragged, empty, or holds NaN or infinities.
    """
    if isinstance(values, torch.Tensor):
        numeric, finite, count = not values.is_complex(), bool(torch.isfinite(values).all()), values.numel()
    else:
        try:
            array = np.asarray(values)
        except ValueError:
            raise ValueError(f"{what} is an array of numbers, but its rows differ in length.") from None
        numeric, count = array.dtype.kind in "biuf", array.size
        finite = not numeric or bool(np.isfinite(array).all())
    if not numeric:
        raise TypeError(f"{what} is an array of real numbers, not {shown(values)}.")
    if not finite or count == 0:
        raise ValueError(f"{what} {'contains NaN or infinity' if not finite else 'is empty'}.")


def broadcasts(shape: Sequence[int], to: Sequence[int]) -> bool:
    """Whether a tensor of `shape` can be repeated along its axes of size 1 to get that of `to`."""
    return len(shape) <= len(to) and all(
        size in (1, wanted) for size, wanted in zip(reversed(shape), reversed(to), strict=False)
    )
