"""Checks the arguments of public functions against their annotations.

`@checked` reads the annotations once, at the first call. Each type has one rule, which returns the argument, or raises
an error of one sentence. The rules convert only whole floats where an int is wanted, and numbers that NumPy or torch
wraps. Rules of numbers, booleans, arrays, models and other objects apply before the call. Texts, paths, lists, tables,
functions and unions mostly have checks of their own in the function, whose sentences say more: their rules apply when
the function fails without a sentence, or returns although an argument has another type. Functions of a render loop are
not checked: the functions that start the loop are.
"""

from __future__ import annotations

import dis
import functools
import inspect
import os
import sys
import types
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    BinaryIO,
    Literal,
    TextIO,
    TypeVar,
    Union,
    get_args,
    get_origin,
    is_typeddict,
    overload,
)

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from converters import checks
from converters.errors import nearest_names
from converters.schema import Least

if TYPE_CHECKING:
    import torch

__all__ = ["Rule", "checked", "register", "rules_of", "unknown_argument"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Rule:
    """The rule of a type.

    Attributes:
        words: the values that fit, such as "a whole number".
        take: maps a value and its name to the value to use; raises TypeError or ValueError.
        first: whether the rule applies before the call.
    """

    words: str
    take: Callable[[Any, str], Any]
    first: bool = True


@overload
def checked(function: F, /) -> F: ...


@overload
def checked(*, instead: Mapping[str, str]) -> Callable[[F], F]: ...


def checked(function: Any = None, /, *, instead: Mapping[str, str] = types.MappingProxyType({})) -> Any:
    """Decorator that checks the arguments of a function, method or class against its annotations.

    Args:
        function: The function, method or class.
        instead: Keywords of other libraries that the function does not have -> what to write in their place.

    Raises:
        TypeError, ValueError: (from the decorated function) an argument has another type, is not finite, or is unknown.

    Example:
        >>> @checked(instead={"percent": "factor=0.5 is 50 percent"})
        ... def shrink(size: int, factor: float = 0.5) -> float:
        ...     return size * factor
        >>> shrink(np.int64(8))
        4.0
        >>> shrink(8, float("nan"))
        Traceback (most recent call last):
        ValueError: shrink's factor is a finite number, not nan.
        >>> shrink(8, percent=50)
        Traceback (most recent call last):
        TypeError: shrink has no argument 'percent': factor=0.5 is 50 percent.
    """
    if function is None:
        return functools.partial(checked, instead=instead)
    if isinstance(function, type):
        function.__init__ = checked(function.__init__, instead=instead)  # type: ignore[misc, call-overload]
        return function
    signature = inspect.signature(function)
    name = _name(function)
    rules = functools.cache(lambda: rules_of(function))

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError:
            unknown = unknown_argument(call, kwargs)
            if unknown:
                raise TypeError(unknown) from None
            return function(*args, **kwargs)  # raises Python's sentence about missing arguments
        later: list[tuple[Rule, Any, str]] = []
        for parameter, rule in rules().items():
            if parameter in bound.arguments:
                given = bound.arguments[parameter]
                if rule.first:
                    bound.arguments[parameter] = rule.take(given, f"{name}'s {parameter}")
                else:
                    later.append((rule, given, f"{name}'s {parameter}"))
        try:
            result = function(*bound.args, **bound.kwargs)
        except Exception as error:
            if not _is_sentence(error):
                _explain(error, later)
            raise
        if later:
            _refuse_ignored(later)
        return result

    call.checks_arguments = True  # type: ignore[attr-defined]
    call.instead = instead  # type: ignore[attr-defined]
    for method in ("cache_clear", "cache_info"):  # of functools.lru_cache
        if hasattr(function, method):
            setattr(call, method, getattr(function, method))
    return call


def _name(function: Callable[..., Any]) -> str:
    """Returns the name of a function, or of the class that an `__init__` belongs to."""
    owner = function.__qualname__.rpartition(".")[0].rpartition(".")[2]
    return owner if function.__name__ == "__init__" else function.__name__


def unknown_argument(function: Callable[..., Any], keywords: Iterable[str]) -> str:
    """Returns the sentence about the first keyword that a function does not take; "" if it takes all."""
    parameters = list(inspect.signature(function).parameters.values())
    known = [one.name for one in parameters if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    unknown = next((keyword for keyword in keywords if keyword not in known), None)
    if unknown is None or any(one.kind is one.VAR_KEYWORD for one in parameters):
        return ""
    start = f"{_name(function)} has no argument {unknown!r}"
    instead = getattr(function, "instead", {})
    if unknown in instead:
        return f"{start}: {instead[unknown]}."
    known = [name for name in known if name != "self"]
    every = f" Its arguments are {', '.join(known)}." if known else ""
    return f"{start}.{nearest_names(unknown, known, 3) or every}"


def register(hint: Any, words: str, take: Callable[[Any, str], Any]) -> None:
    """Sets the rule of a type, such as a protocol, whose instances cannot be told by their class."""
    _RULES[_key(hint)] = Rule(words, take)


def _is_sentence(error: Exception) -> bool:
    """Returns whether a `raise` statement made the error, with a sentence on one line, or the system names a file.

    Operations of NumPy, torch and Python raise errors without such a statement.
    """
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    stated = last is not None and last.tb_frame.f_code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    is_line = str(error).rstrip("'\"").endswith((".", "?")) and "\n" not in str(error)
    return (stated and is_line) or isinstance(error, OSError)


def _explain(error: Exception, later: Iterable[tuple[Rule, Any, str]]) -> None:
    """Checks the arguments of a call that failed, and raises a sentence in place of the error."""
    for rule, given, what in later:
        try:
            rule.take(given, what)
        except (TypeError, ValueError) as wrong:
            raise wrong from error


def _refuse_ignored(later: Iterable[tuple[Rule, Any, str]]) -> None:
    """Checks the arguments of a call that ended well: it did not need one of another type, which is still an error.

    Values of the right type, such as arrays with NaN, are the function's.
    """
    for rule, given, what in later:
        if isinstance(given, Iterator):  # the function has consumed an iterator
            continue
        try:
            rule.take(given, what)
        except TypeError:
            raise
        except ValueError:
            if isinstance(given, str):
                raise


def rules_of(function: Callable[..., Any]) -> dict[str, Rule]:
    """Returns the rule of each parameter; parameters that take all values are left out."""
    found = {one.name: _of_parameter(one, function) for one in inspect.signature(function).parameters.values()}
    return {parameter: rule for parameter, rule in found.items() if rule is not None}


def _of_parameter(parameter: inspect.Parameter, function: Callable[..., Any]) -> Rule | None:
    hint = parameter.annotation
    if isinstance(hint, str):
        scope = {**vars(sys.modules[function.__module__]), **getattr(function, "__globals__", {})}
        try:
            hint = eval(hint, scope)
        except NameError:  # a name that only type checkers import
            return None
    if hint is inspect.Parameter.empty or parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
        return None
    rule = rule_of(hint)
    if rule is None or parameter.default is not None:
        return rule
    return _either((rule, _RULES[None]))


# Rules -------------------------------------------------------------------------------------------


def rule_of(hint: Any) -> Rule | None:
    """Returns the rule of a type; None if it takes all values."""
    with_rule = _RULES.get(_key(hint)) if _is_hashable(hint) else None
    if with_rule is not None:
        return with_rule
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return _union(arguments)
    if origin is Annotated:
        return _bounded(arguments)
    if origin is Literal:
        return Rule(" or ".join(map(repr, arguments)), functools.partial(_literal, arguments), False)
    if origin is not None:
        return _generic(origin, arguments)
    if is_typeddict(hint):
        return _generic(Mapping, (str, Any))
    if not isinstance(hint, type) or hint in (Any, object):
        return None
    return _interface(hint) if getattr(hint, "_is_protocol", False) else _instance(hint)


def _key(hint: Any) -> Any:
    """Returns the key of a type in the table: torch's types have their names, so that torch is not imported here."""
    return f"torch.{hint.__name__}" if isinstance(hint, type) and hint.__module__ == "torch" else hint


def _is_hashable(hint: Any) -> bool:
    try:
        hash(hint)
    except TypeError:  # metadata of `Annotated`
        return False
    return True


def _union(arguments: Sequence[Any]) -> Rule | None:
    for known in (ArrayLike, DTypeLike):  # unions of unions are flat
        others = [one for one in arguments if one not in get_args(known)]
        if set(get_args(known)) <= set(arguments) and set(others) <= {type(None)}:
            return _either((_RULES[known], *(_NONE for _ in others)))
    names_files = any(one is os.PathLike or get_origin(one) is os.PathLike for one in arguments)
    special = names_files or DEVICE in map(_key, arguments)  # their rules check texts
    found = [rule_of(one) for one in arguments if not (special and one is str)]
    rules = tuple(one for one in found if one is not None)
    return _either(rules) if len(rules) == len(found) else None


def _either(rules: tuple[Rule, ...]) -> Rule:
    shown = [one.words for one in rules if one is not _RULES[None]]
    words = " or ".join(dict.fromkeys(shown)) or "None"

    def take(value: Any, what: str) -> Any:
        errors: list[Exception] = []
        for rule in rules:
            try:
                return rule.take(value, what)
            except (TypeError, ValueError) as error:
                errors.append(error)
        wrong = next((one for one in errors if isinstance(one, ValueError)), None)
        if wrong is not None or len(shown) == 1:
            raise wrong or errors[[one.words for one in rules].index(shown[0])]
        raise TypeError(f"{what} is {words}, not {checks.shown(value)}.")

    return Rule(words, take, all(rule.first for rule in rules))


def _bounded(arguments: Sequence[Any]) -> Rule | None:
    bounds = [one.bound for one in arguments[1:] if isinstance(one, Least)]
    if arguments[0] is int and bounds:
        return Rule(f"a whole number from {bounds[0]} on", lambda value, what: _whole(value, what, bounds[0]))
    if arguments[0] is float and bounds:
        return Rule(f"a finite number from {bounds[0]} on", lambda value, what: checks.number(value, what, bounds[0]))
    return rule_of(arguments[0])


def _generic(origin: Any, arguments: Sequence[Any]) -> Rule | None:
    if origin is Callable:
        return Rule("a function", _callable, False)
    if origin is os.PathLike:
        return _RULES[os.PathLike]
    if origin is type:
        return _instance(type)
    if issubclass(origin, Mapping):
        rules = [rule_of(one) for one in arguments]
        return Rule("a table of keys and values", functools.partial(_mapping, rules), False)
    if origin is tuple and arguments and arguments[-1] is not Ellipsis:
        fixed = [rule_of(one) for one in arguments]
        return Rule(f"{len(fixed)} values", functools.partial(_tuple, fixed), False)
    if issubclass(origin, (Iterator, Generator)):
        return _instance(origin)
    if issubclass(origin, Collection) or origin is Iterable:
        rule = rule_of(arguments[0])
        words = "a list" if rule is None else f"a list, each {rule.words}"
        return Rule(words, functools.partial(_list, rule, words), False)
    return _instance(origin)


def _instance(kind: type) -> Rule:
    name = kind.__name__
    words = f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"

    def take(value: Any, what: str) -> Any:
        if not isinstance(value, kind):
            raise TypeError(f"{what} is {words}, not {checks.shown(value)}.")
        return value

    return Rule(words, take)


def _interface(protocol: type) -> Rule:
    """Returns the rule of a protocol. It looks names up without computing properties, which may read files."""
    names = [name for name in vars(protocol) if not name.startswith("_")]
    if not names and "__call__" in vars(protocol):
        return _RULES[Callable]
    names = names or [name for name in ("__len__", "__getitem__", "__iter__") if name in vars(protocol)]
    words = f"an object with {' and '.join(names)}"

    def take(value: Any, what: str) -> Any:
        if isinstance(value, type) or not set(names) <= set(dir(value)):
            raise TypeError(f"{what} is {words}, not {checks.shown(value)}.")
        return value

    return Rule(words, take)


def _whole(value: Any, what: str, least: int | None = None) -> int:
    number = checks.whole(value, what, least)
    if abs(number) >= 2**63:
        raise ValueError(f"{what} is a whole number of at most 64 bits, not {checks.shown(value)}.")
    return number


def _text(value: Any, what: str) -> str:
    return checks.text(value, what, "a text")


def _flag(value: Any, what: str) -> bool:
    return checks.flag(value, what)


def _none(value: Any, what: str) -> None:
    if value is not None:
        raise TypeError(f"{what} is None, not {checks.shown(value)}.")


def _callable(value: Any, what: str) -> Any:
    if not callable(value):
        raise TypeError(f"{what} is a function, not {checks.shown(value)}.")
    return value


def _path(value: Any, what: str) -> Any:
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(f"{what} is a path, not {checks.shown(value)}.")
    name = os.fspath(value)
    if not name or (isinstance(name, str) and ("\0" in name or not _is_encodable(name))):
        raise ValueError(f"{what} is a path, not {checks.shown(value)}.")
    if "://" not in str(name) and any(len(os.fsencode(part)) > LONGEST_NAME for part in Path(name).parts):
        raise ValueError(f"{what} has a name of over {LONGEST_NAME} bytes: {checks.shown(value)}.")
    return value


LONGEST_NAME = 255
"""Bytes of the longest file name that usual file systems take."""


def _is_encodable(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True


def _file(value: Any, what: str) -> Any:
    if not hasattr(value, "read") and not hasattr(value, "write"):
        raise TypeError(f"{what} is an open file, not {checks.shown(value)}.")
    return value


def _numbers(value: Any, what: str) -> Any:
    if checks.is_tensor(value):
        return _tensor(value, what)
    checks.finite_values(value, what)
    return value


def _dtype(value: Any, what: str) -> Any:
    try:
        np.dtype(value)
    except (TypeError, ValueError, RecursionError):
        raise TypeError(f"{what} is a dtype of NumPy, as in 'float32', not {checks.shown(value)}.") from None
    return value


def _literal(known: Sequence[Any], value: Any, what: str) -> Any:
    if not any(type(value) is type(one) and value == one for one in known):
        raise ValueError(f"{what} is one of {', '.join(map(repr, known))}, not {checks.shown(value)}.")
    return value


def _array(value: Any, what: str) -> Any:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{what} is an array, not {checks.shown(value)}.")
    if value.dtype.kind not in "biuf":
        raise TypeError(f"{what} is an array of real numbers, not of {value.dtype}.")
    return value


def _tensor(value: Any, what: str) -> Any:
    import torch

    if not isinstance(value, torch.Tensor):
        raise TypeError(f"{what} is a tensor, not {checks.shown(value)}.")
    if value.is_complex() or value.is_meta or value.layout is not torch.strided:
        raise TypeError(f"{what} is a dense tensor of real numbers, not {checks.shown(value)} of {value.dtype}.")
    return value


def _list(rule: Rule | None, words: str, value: Any, what: str) -> Any:
    given = checks.items(value, what, words)
    if rule is None:
        return given if isinstance(value, Iterator) else value
    taken = [rule.take(one, f"Each of {what}") for one in given]
    unchanged = isinstance(value, Collection) and all(map(lambda a, b: a is b, taken, given))
    return value if unchanged else taken


def _tuple(rules: Sequence[Rule | None], value: Any, what: str) -> Any:
    given = checks.items(value, what, f"{len(rules)} values")
    if len(given) != len(rules):
        raise ValueError(f"{what} has {len(rules)} values, not {len(given)}.")
    taken = tuple(
        one if rule is None else rule.take(one, f"Value {place} of {what}")
        for place, (rule, one) in enumerate(zip(rules, given, strict=True))
    )
    return value if all(map(lambda a, b: a is b, taken, given)) else taken


def _mapping(rules: Sequence[Rule | None], value: Any, what: str) -> Any:
    if not isinstance(value, Mapping):
        raise TypeError(f"{what} is a table of keys and values, not {checks.shown(value)}.")
    of_key, of_value = rules if len(rules) == 2 else (None, None)
    taken = {
        key if of_key is None else of_key.take(key, f"Each key of {what}"): one
        if of_value is None
        else of_value.take(one, f"{what}[{checks.shown(key)}]")
        for key, one in value.items()
    }
    return value if all(taken.get(key) is one for key, one in value.items()) else taken


def _device(value: Any, what: str) -> torch.device:
    import torch

    if not isinstance(value, (str, torch.device)):
        raise TypeError(f"{what} is a device, as in 'cuda:0', not {checks.shown(value)}.")
    try:
        return torch.device(value)
    except RuntimeError:
        raise ValueError(f"{what} is a device, as in 'cuda:0', not {checks.shown(value)}.") from None


DEVICE, TENSOR = "torch.device", "torch.Tensor"
"""Keys of torch's types; see `_key`."""

_NONE = Rule("None", _none)
_RULES: dict[Any, Rule] = {
    DEVICE: Rule("a device", _device),
    bool: Rule("True or False", _flag),
    np.bool_: Rule("True or False", _flag),
    int: Rule("a whole number", _whole),
    float: Rule("a finite number", checks.number),
    str: Rule("a text", _text, False),
    None: _NONE,
    type(None): _NONE,
    np.ndarray: Rule("an array", _array),
    TENSOR: Rule("a tensor", _tensor),
    os.PathLike: Rule("a path", _path, False),
    BinaryIO: Rule("a file that is open in binary mode", _file),
    TextIO: Rule("a file that is open for text", _file),
    ArrayLike: Rule("an array", _numbers, False),
    DTypeLike: Rule("a dtype", _dtype),
    Callable: Rule("a function", _callable, False),
}
