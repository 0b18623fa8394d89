"""Argument checks. Each error is one sentence that names the argument and its expected value.

`what` is the name of the argument in the message, for example "jitter's d". The checks may wait for the device, so do
not call them in a render loop; `broadcasts`, which compares shapes only, is the exception.
"""

from __future__ import annotations

import math
import reprlib
import sys
from collections.abc import Iterable, Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, TypeGuard

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

__all__ = [
    "broadcasts",
    "choice",
    "finite_values",
    "fits",
    "flag",
    "flags",
    "is_tensor",
    "items",
    "number",
    "shown",
    "sizes",
    "text",
    "whole",
]


def shown(value: object) -> str:
    """Formats a value for an error message: arrays and tensors by shape, other values as one line of 80 characters.

    Messages are also made where another check accepts the value, so that no text of a whole graph, network or long list
    is made.
    """
    line = " ".join(_SHORT.repr(value).split())
    return line if len(line) <= 80 else f"{line[:77]}..."


class _Short(reprlib.Repr):
    """The start of what `repr` returns, at most the 80 characters that are shown."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlist = self.maxtuple = self.maxdict = self.maxset = self.maxfrozenset = self.maxdeque = 40
        self.maxstring = self.maxother = self.maxlong = 200

    def repr1(self, x: object, level: int) -> str:
        if (isinstance(x, np.ndarray) or is_tensor(x)) and x.ndim > 0:
            return f"{'an array' if isinstance(x, np.ndarray) else 'a tensor'} of shape {tuple(x.shape)}"
        if hasattr(type(x), "DESCRIPTOR") or isinstance(x, getattr(sys.modules.get("torch.nn"), "Module", ())):
            return f"a {type(x).__name__}"  # messages of protobuf, and modules: their texts are long
        try:
            return super().repr1(x, level)
        except (RecursionError, ValueError):  # a list nests too deeply, or an int has too many digits
            return f"a {type(x).__name__}"


_SHORT = _Short()


def is_tensor(value: object) -> TypeGuard[Tensor]:
    """Returns whether a value is a tensor of torch, without importing torch: there are no tensors before its import."""
    return isinstance(value, getattr(sys.modules.get("torch"), "Tensor", ()))


def whole(value: object, what: str, least: int | None = None, most: int | None = None) -> int:
    """Converts a whole number to int. Accepts 3.0, and arrays and tensors without axes.

    Args:
        value: the argument.
        what: its name in the message.
        least: inclusive lower bound.
        most: inclusive upper bound; requires `least`.

    Raises:
        TypeError: the value is not a number.
        ValueError: the value is not whole, or out of bounds.
    """
    wanted = "a whole number"
    wanted += "" if least is None else f" from {least} {'on' if most is None else f'to {most}'}"
    plain = _scalar(value, what, wanted)
    out = (least is not None and plain < least) or (most is not None and plain > most)
    if out or not (isinstance(plain, int) or float(plain).is_integer()):
        raise ValueError(f"{what} is {wanted}, not {shown(value)}.")
    return int(plain)


def number(
    value: object, what: str, least: float | None = None, above: float | None = None, most: float | None = None
) -> int | float:
    """Converts a finite number to int or float.

    Args:
        value: the argument.
        what: its name in the message.
        least: inclusive lower bound.
        above: exclusive lower bound.
        most: inclusive upper bound; requires `least`.

    Raises:
        TypeError: the value is not a number.
        ValueError: the value is NaN, infinite or out of bounds.
    """
    wanted = "a finite number"
    wanted += "" if least is None else f" from {least} {'on' if most is None else f'to {most}'}"
    wanted += "" if above is None else f" above {above}"
    plain = _scalar(value, what, wanted)
    if isinstance(plain, int) and abs(plain) >= 2**1023:
        raise ValueError(f"{what} is {wanted}, not {shown(value)}.")
    too_small = (least is not None and plain < least) or (above is not None and plain <= above)
    if not math.isfinite(plain) or too_small or (most is not None and plain > most):
        raise ValueError(f"{what} is {wanted}, not {shown(value)}.")
    return plain


def _scalar(value: object, what: str, wanted: str) -> Any:
    plain: Any = value
    if (isinstance(value, (np.generic, np.ndarray)) or is_tensor(value)) and value.ndim == 0:
        plain = value if getattr(value, "is_meta", False) else value.item()
    if isinstance(plain, bool) or not isinstance(plain, Real):
        raise TypeError(f"{what} is {wanted}, not {shown(value)}.")
    return plain


def flag(value: object, what: str) -> bool:
    """Converts Python's and NumPy's True and False to bool.

    Raises:
        TypeError: It is anything else, such as 1, or the text "False".
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{what} is True or False, not {shown(value)}.")
    return bool(value)


def flags(**values: object) -> None:
    """Checks arguments, by their names, that are True or False.

    Raises:
        TypeError: One is neither.
    """
    for name, value in values.items():
        flag(value, name)


def text(value: object, what: str, wanted: str) -> str:
    """Returns the value if it is a string.

    Raises:
        TypeError: the value is not a string; the message says that `wanted` is expected.
    """
    if not isinstance(value, str):
        raise TypeError(f"{what} is {wanted}, not {shown(value)}.")
    return value


def choice(value: object, what: str, known: Iterable[str]) -> str:
    """Checks that a value is one of some names.

    Raises:
        ValueError: the value is none of them.
    """
    names = list(known)
    if not isinstance(value, str) or value not in names:
        raise ValueError(f"{what} is one of {', '.join(map(repr, names))}, not {shown(value)}.")
    return value


def items(values: object, what: str, wanted: str) -> list[Any]:
    """Converts a list, tuple, array or generator to a list. Strings and mappings are refused.

    Raises:
        TypeError: the value has another type; the message says that `wanted` is expected.
    """
    without_axes = (isinstance(values, np.ndarray) or is_tensor(values)) and values.ndim == 0
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable) or without_axes:
        raise TypeError(f"{what} is {wanted}, not {shown(values)}.")
    return list(values)


def sizes(shape: object, what: str, rank: int | None = None) -> tuple[int, ...]:
    """Converts a shape to a tuple of ints.

    Args:
        shape: the argument.
        what: its name in the message.
        rank: expected number of sizes; 4 means an image batch, NHWC.

    Raises:
        TypeError: the value is not a list of numbers.
        ValueError: a size is not a whole number from 1 on, the shape is empty, or its rank is not `rank`.
    """
    wanted = "a shape of sizes" if rank is None else f"a shape of {rank} sizes"
    wanted = "a shape of [batch, height, width, channels]" if rank == 4 else wanted
    given = items(shape, what, wanted)
    if not given or (rank is not None and len(given) != rank):
        raise ValueError(f"{what} is {wanted}, not {shown(tuple(given))}.")
    return fits(tuple(whole(size, f"Every size of {what}", 1) for size in given), what)


def fits(shape: Sequence[int], what: str) -> tuple[int, ...]:
    """Returns a shape if 32 bits can count its values, before anything of this shape is allocated.

    Raises:
        ValueError: it has more values, which torch's and cuDNN's convolutions and resampling do not take.
    """
    if math.prod(shape) > LARGEST:
        raise ValueError(
            f"{what} has the shape {shown(tuple(shape))}, more than the {LARGEST} values that torch takes."
        )
    return tuple(shape)


LARGEST = 2**31 - 1
"""Number of values of the largest tensor."""


def finite_values(values: object, what: str) -> None:
    """Checks that a number, array, tensor or nested list holds finite real numbers only.

    Raises:
        TypeError: a value is not a real number.
        ValueError: the value is ragged or empty, or contains NaN or infinity.
    """
    if is_tensor(values):
        import torch

        if values.is_meta or values.layout is not torch.strided:
            raise TypeError(f"{what} is a dense tensor with values, not {shown(values)} ({values.layout}).")
        numeric, finite, count = not values.is_complex(), bool(torch.isfinite(values).all()), values.numel()
    else:
        try:
            array = np.asarray(values)
        except (ValueError, RuntimeError):
            raise ValueError(f"{what} is an array of numbers, but its rows differ in length.") from None
        numeric, count = array.dtype.kind in "biuf", array.size
        finite = not numeric or bool(np.isfinite(array).all())
    if not numeric:
        raise TypeError(f"{what} is an array of real numbers, not {shown(values)}.")
    if not finite or count == 0:
        raise ValueError(f"{what} {'contains NaN or infinity' if not finite else 'is empty'}.")


def broadcasts(shape: Sequence[int], to: Sequence[int]) -> bool:
    """Returns whether a tensor of `shape` broadcasts to the shape `to`."""
    return len(shape) <= len(to) and all(
        size in (1, wanted) for size, wanted in zip(reversed(shape), reversed(to), strict=False)
    )
