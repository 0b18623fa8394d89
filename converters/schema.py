"""Checks parsed JSON and TOML against type hints, strictly: nothing is converted, and unknown keys are refused.

Hints are `bool`, `int`, `float`, `str`, `None`, `Any`, `Literal`, unions, `Sequence`, `tuple` of a fixed length,
`Mapping`, and `TypedDict` for tables of known keys. `Annotated[int, Least(1)]` adds a bound.
"""

from __future__ import annotations

import dataclasses
import math
import reprlib
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints, is_typeddict

from converters.errors import nearest_names

__all__ = ["Least", "Natural", "Positive", "check", "check_fields", "check_table", "hints_of"]


@dataclass(frozen=True)
class Least:
    """Inclusive lower bound of a number."""

    bound: int


Natural = Annotated[int, Least(0)]
Positive = Annotated[int, Least(1)]

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 80
_SHORT.maxlevel = 3


def _is_finite(value: Real) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer with more than 308 digits
        return False


_PLAIN: Mapping[Any, tuple[str, Callable[[object], bool]]] = {
    bool: ("true or false", lambda value: isinstance(value, bool)),
    int: ("a whole number", lambda value: isinstance(value, Integral) and not isinstance(value, bool)),
    float: (
        "a finite number",
        lambda value: isinstance(value, Real) and not isinstance(value, bool) and _is_finite(value),
    ),
    str: ("a text", lambda value: isinstance(value, str)),
    type(None): ("nothing", lambda value: value is None),
    Any: ("any value", lambda value: True),
}


def check(value: object, hint: Any, what: str) -> None:
    """Checks a value.

    Args:
        value: the value.
        hint: its type hint.
        what: its name in the error.

    Raises:
        ValueError: the value, or a part of it, has another type or is out of bounds. The message is one sentence.

    Example:
        >>> check([1, 0], Sequence[Positive], "A recipe's seeds")
        Traceback (most recent call last):
        ValueError: A recipe's seeds has item 1, which is a whole number from 1 on, not 0.
    """
    problem = _problem(value, hint)
    if problem is not None:
        raise ValueError(f"{what} {problem}.")


def check_table(
    data: object, hints: Mapping[str, Any], what: str, required: Sequence[str] = (), hint: str = ""
) -> None:
    """Checks the keys and the values of a table.

    Args:
        data: the table.
        hints: type hint of each known key.
        what: name of the table in the error, such as "A recipe".
        required: keys that must be there.
        hint: a sentence to add for an unknown key.

    Raises:
        ValueError: it is no table, a key is unknown or missing, or a value is wrong.
    """
    if not isinstance(data, Mapping):
        raise ValueError(f"{what} is a table of keys and values, not {_shown(data)}.")
    unknown = [key for key in data if key not in hints]
    if unknown:
        offer = hint or nearest_names(str(unknown[0]), list(hints)) or f" The keys are {', '.join(hints)}."
        raise ValueError(f"{what} has no key {_shown(unknown[0])}.{offer}")
    lost = sorted(set(required) - set(data))
    if lost:
        raise ValueError(f"{what} is damaged: it lacks {', '.join(lost)}.")
    for key, value in data.items():
        check(value, hints[key], f"{what}'s {key}")


def check_fields(instance: Any, what: str) -> None:
    """Checks the fields of a dataclass's instance against their hints; errors as for `check`."""
    for name, hint in hints_of(type(instance)).items():
        check(getattr(instance, name), hint, f"{what}'s {name}")


def hints_of(kind: type) -> dict[str, Any]:
    """Returns the type hints of the fields of a dataclass, or of the keys of a `TypedDict`."""
    hints = get_type_hints(kind, include_extras=True)
    if dataclasses.is_dataclass(kind):
        return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    return hints


def _problem(value: object, hint: Any) -> str | None:
    """Returns why a value does not fit a hint, as the rest of a sentence; None if it does."""
    if hint in _PLAIN:  # first, as large files are mostly numbers
        return None if _PLAIN[hint][1](value) else f"is {_PLAIN[hint][0]}, not {_shown(value)}"
    origin, arguments = get_origin(hint), get_args(hint)
    if is_typeddict(hint):
        return _problem_of_table(value, hint)
    if origin in (Union, types.UnionType):
        nested = None
        for one in arguments:
            problem = _problem(value, one)
            if problem is None:
                return None
            nested = nested or (None if problem.startswith("is ") else problem)
        return nested or f"is {_words(hint)}, not {_shown(value)}"
    if origin is Annotated:
        bounds = [one.bound for one in arguments[1:] if isinstance(one, Least)]
        fits = _problem(value, arguments[0]) is None and all(value >= bound for bound in bounds)  # type: ignore[operator]
    elif origin is Literal:
        fits = any(type(value) is type(one) and value == one for one in arguments)
    elif origin is Sequence or (origin is tuple and arguments[-1] is not Ellipsis):
        return _problem_of_list(value, hint, arguments)
    elif origin is tuple:
        return _problem(value, Sequence[arguments[0]])  # type: ignore[valid-type]
    else:
        return _problem_of_mapping(value, hint, arguments)
    return None if fits else f"is {_words(hint)}, not {_shown(value)}"


def _problem_of_list(value: object, hint: Any, arguments: Sequence[Any]) -> str | None:
    if not isinstance(value, (list, tuple)):
        return f"is {_words(hint)}, not {_shown(value)}"
    hints = arguments if get_origin(hint) is tuple else [arguments[0]] * len(value)
    if len(hints) != len(value):
        return f"is {_words(hint)}, not {_shown(value)}"
    problems = (_problem(item, one) for item, one in zip(value, hints, strict=True))
    return next((f"has item {index}, which {one}" for index, one in enumerate(problems) if one is not None), None)


def _problem_of_mapping(value: object, hint: Any, arguments: Sequence[Any]) -> str | None:
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        return f"is {_words(hint)}, not {_shown(value)}"
    problems = ((key, _problem(item, arguments[1])) for key, item in value.items())
    return next((f"has {_shown(key)}, which {one}" for key, one in problems if one is not None), None)


def _problem_of_table(value: object, hint: Any) -> str | None:
    if not isinstance(value, Mapping):
        return f"is {_words(hint)}, not {_shown(value)}"
    hints = hints_of(hint)
    unknown = [key for key in value if key not in hints]
    if unknown:
        return f"has no key {_shown(unknown[0])}"
    lost = sorted(hint.__required_keys__ - set(value))
    if lost:
        return f"lacks {', '.join(lost)}"
    problems = ((key, _problem(item, hints[key])) for key, item in value.items())
    return next((f"has {_shown(key)}, which {one}" for key, one in problems if one is not None), None)


def _words(hint: Any) -> str:
    """Describes a hint."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in _PLAIN:
        return _PLAIN[hint][0]
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(_words(one) for one in arguments))
    if origin is Annotated:
        return " ".join([_words(arguments[0]), *(f"from {one.bound} on" for one in arguments[1:])])
    if origin is Literal:
        return " or ".join(map(repr, arguments))
    if origin is tuple and arguments[-1] is not Ellipsis:
        return f"a list of {len(arguments)} values"
    return "a list" if origin in (Sequence, tuple) else "a table of keys and values"


def _shown(value: object) -> str:
    """Formats a value in at most 80 characters, and does not descend into deep ones."""
    line = " ".join(_SHORT.repr(value).split())
    return line if len(line) <= 80 else f"{line[:77]}..."
