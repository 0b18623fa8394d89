"""Serialization of objectives, parameterizations and transforms as JSON-compatible dictionaries.

The plain-data form of an object is a dictionary with its kind, the name of its factory and the
arguments. `to_data` writes it, `from_data` makes the object again. A user's own callable does not
have a plain-data form: `to_data` raises `NotSerialisable`.
"""

from __future__ import annotations

import base64
import binascii
import contextlib
import importlib
import inspect
import io
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from converters import checks
from converters.documents import check_depth
from converters.errors import reason
from converters.memory import is_out_of_memory
from converters.signatures import unknown_argument
from converters.stack_level import stack_level
from lucid_port.misc.io.arrays import load_array

__all__ = ["NotSerialisable", "bind", "factory", "from_data", "one_sentence", "register", "to_data"]

_KINDS = ("objective", "param", "transform")
_MODULES = (
    "lucid_port.optvis.objectives",
    "lucid_port.optvis.param",
    "lucid_port.optvis.transform",
    "lucid_port.optvis.mesh_view",
    "lucid_port.optvis.many.setup",
    "lucid_port.recipes.caricature",
)
"""Modules that register factories."""

_REGISTRY: dict[tuple[str, str], Callable[..., Any]] = {}


_RAW = (
    ArithmeticError, AssertionError, AttributeError, IndexError, KeyError, OverflowError, RuntimeError, TypeError,
    UnicodeError, UnicodeEncodeError, ValueError, ZeroDivisionError,
)  # fmt: skip
"""Errors of operations on values that do not fit them."""
_STARTS = ("The args of ", "The recipe ")
_LONGEST = 500


class NotSerialisable(TypeError):
    """An object does not have a plain-data form, such as a user's own callable or an open file."""


def register(kind: str, name: str, factory: Callable[..., Any]) -> None:
    """Registers the factory for `{kind: name, "args": {...}}`.

    Args:
        kind: `"objective"`, `"param"` or `"transform"`.
        name: Name within the kind. A second registration replaces the first, so that a notebook cell
            can run again. Factories of this package are not replaced, so that old recipes keep their
            meaning; a warning says so.
        factory: Function that is called with the arguments as keywords.

    Raises:
        ValueError: `kind` is unknown.
    """
    if kind not in _KINDS:
        raise ValueError(f"Unknown kind {checks.shown(kind)}: use one of {', '.join(_KINDS)}.")
    known = _REGISTRY.get((kind, name))
    if known is not None and _is_ours(known) and not _is_ours(factory):
        warnings.warn(
            f"The {kind} {name!r} of {factory.__module__} has the name of a built-in one: recipes that "
            "name it mean that one. Choose another name to have yours in recipes.",
            stacklevel=stack_level(),
        )
        return
    _REGISTRY[kind, name] = factory


def _is_ours(factory: Callable[..., Any]) -> bool:
    return str(getattr(factory, "__module__", "")).split(".")[0] == "lucid_port"


def factory(kind: str, name: str) -> Callable[..., Any]:
    """Returns the registered factory of a name.

    Raises:
        ValueError: The name is not registered.
    """
    for module in _MODULES:  # a recipe may be read before these modules are imported
        importlib.import_module(module)
    if (kind, name) not in _REGISTRY:
        known = ", ".join(sorted(n for k, n in _REGISTRY if k == kind))
        raise ValueError(f"Unknown {kind} {checks.shown(name)} in the recipe. Known: {known}.")
    return _REGISTRY[kind, name]


def bind(function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments of a call by name, defaults included, in the order of the signature.

    Raises:
        TypeError: The function does not accept these arguments.
    """
    try:
        bound = inspect.signature(function).bind(*args, **kwargs)
    except TypeError as error:
        raise TypeError(unknown_argument(function, kwargs) or f"{function.__name__}: {error}.") from None
    bound.apply_defaults()
    arguments: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            arguments.update(value)
        elif kind is inspect.Parameter.VAR_POSITIONAL:
            arguments[name] = list(value)
        else:
            arguments[name] = value
    return arguments


def _array_to_data(array: np.ndarray) -> dict[str, Any]:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array), allow_pickle=False)
    return {"array": base64.b64encode(buffer.getvalue()).decode("ascii")}


def to_data(value: Any) -> Any:
    """Converts a value to plain data: dict, list, str, int, float, bool and None.

    Args:
        value: An objective, parameterization, transform, number, string, None, array or tensor, or a
            list, tuple or dict of these. Scalars of NumPy become plain numbers, arrays and tensors
            `{"array": <base64 of .npy>}`.

    Raises:
        NotSerialisable: A part of `value` does not have a plain-data form; the message names it.

    Example:
        >>> from lucid_port.optvis import objectives
        >>> data = to_data(objectives.channel("mixed4a", 3))
        >>> data
        {'objective': 'channel', 'args': {'layer': 'mixed4a', 'n_channel': 3, 'batch': None}}
        >>> from_data(data)
        Objective('Channel [mixed4a, 3, None]')
    """
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if hasattr(value, "to_data"):
        return _known(value.to_data(), value)
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        return _array_to_data((value.float() if value.dtype == torch.bfloat16 else value).numpy())
    if isinstance(value, np.ndarray):
        return _array_to_data(value)
    if isinstance(value, (list, tuple)):
        return [to_data(item) for item in value]
    if isinstance(value, Mapping):
        return {str(key): to_data(item) for key, item in value.items()}
    name = getattr(value, "__qualname__", None) or type(value).__name__
    raise NotSerialisable(
        f"{name!r} has no plain-data form: a recipe can only hold this package's own objectives, "
        "parameterizations and transforms, numbers, strings and arrays."
    )


def _known(data: Any, value: Any) -> Any:
    """Returns the plain data of `value`, after a check that its factory is registered."""
    for kind in _KINDS:
        if isinstance(data, Mapping) and kind in data and (kind, data[kind]) not in _REGISTRY:
            raise NotSerialisable(
                f"The {kind} {data[kind]!r} ({type(value).__name__}) is a user's own and not registered, so that no "
                "recipe can make it again."
            )
    return data


def from_data(data: Any) -> Any:
    """Makes the object that `to_data` described.

    Raises:
        ValueError: A name is unknown to this version, or the data does not have the form of `to_data`.
        TypeError: A factory does not accept an argument in the data.
    """
    try:
        check_depth(data)
    except ValueError as error:
        raise ValueError(f"The recipe cannot be read: {error}.") from None
    return _from_data(data)


def _from_data(data: Any) -> Any:
    if isinstance(data, list):
        return [_from_data(item) for item in data]
    if not isinstance(data, Mapping):
        return data
    if set(data) == {"array"}:
        return _array_from_data(data["array"])
    for kind in _KINDS:
        if kind in data:
            return _make(kind, data[kind], data.get("args", {}))
    return {key: _from_data(item) for key, item in data.items()}


def _array_from_data(encoded: Any) -> np.ndarray:
    try:
        return load_array(io.BytesIO(base64.b64decode(encoded, validate=True)), allow_pickle=False)
    except (binascii.Error, TypeError, ValueError, EOFError) as error:
        raise ValueError(f"An array in the recipe cannot be read: {error}.") from error


def _make(kind: str, name: Any, arguments: Any) -> Any:
    if not isinstance(name, str):
        raise ValueError(f"A recipe names its {kind} by a string, not by {checks.shown(name)}.")
    if not isinstance(arguments, Mapping) or not all(isinstance(key, str) for key in arguments):
        raise ValueError(
            f"The args of {kind} {checks.shown(name)} in the recipe are a mapping from names to values, not "
            f"{checks.shown(arguments)}."
        )
    make = factory(kind, name)
    try:
        inspect.signature(make).bind(**arguments)
    except TypeError as error:
        raise ValueError(f"The args of {kind} {name!r} in the recipe do not fit it: {reason(error)}.") from None
    made = {key: _from_data(item) for key, item in arguments.items()}
    with one_sentence(f"The args of {kind} {name!r} in the recipe do not fit it"):
        return make(**made)


@contextlib.contextmanager
def one_sentence(what: str) -> Iterator[None]:
    """Context for a recipe's parts: an operation that fails on their values raises one sentence.

    Errors that this package raises for a reason of its own (subclasses of ValueError) are kept, and lack of memory.

    Args:
        what: start of the sentence, without a colon.

    Raises:
        TypeError: an operation raised a TypeError.
        ValueError: an operation raised another error.
    """
    try:
        yield
    except _RAW as error:
        if type(error) not in _RAW or is_out_of_memory(error) or str(error).startswith(_STARTS):
            raise
        why = " ".join(str(error).split())[:_LONGEST].rstrip(".") or type(error).__name__
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"{what}: {why}.") from error
