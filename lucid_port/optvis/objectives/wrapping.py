"""Decorators for functions of `T`: Lucid's `wrap_objective` and `handle_batch`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, ParamSpec, overload

from converters import checks
from converters.signatures import checked
from lucid_port.optvis import serialization
from lucid_port.optvis.objectives.base import Objective, ObjectiveFunction, as_objective, in_nhwc
from lucid_port.optvis.objectives.readers import Images

__all__ = ["handle_batch", "nhwc", "wrap_objective"]

P = ParamSpec("P")

_PACKAGE = Path(__file__).parents[2]
"""The folder of this package's own objectives."""


def _describe(name: str, arguments: Iterable[Any]) -> str:
    texts = map(str, arguments)
    return f"{name.title()} [{', '.join('...' if len(t) > 15 or chr(10) in t else t for t in texts)}]"


def _objective_factory(function: Callable[P, ObjectiveFunction], nhwc: bool) -> Callable[P, Objective]:
    name = function.__name__
    parameters = inspect.signature(function).parameters.values()
    # Keyword-only arguments came later: without a value, descriptions and recipes stay as they were before.
    later = {one.name for one in parameters if one.kind is one.KEYWORD_ONLY and one.default is None}

    @functools.wraps(function)
    def make(*args: P.args, **kwargs: P.kwargs) -> Objective:
        arguments = serialization.bind(function, args, kwargs)
        arguments = {key: value for key, value in arguments.items() if value is not None or key not in later}
        inner = function(*args, **kwargs)
        return Objective(
            in_nhwc(inner) if nhwc else inner,
            name,
            _describe(name, arguments.values()),
            lambda: {"objective": name, "args": serialization.to_data(arguments)},
        )

    make.__signature__ = inspect.signature(function).replace(return_annotation="Objective")  # type: ignore[attr-defined]
    make.makes_objectives = True  # type: ignore[attr-defined]
    serialization.register("objective", name, make)
    return make


@overload
def wrap_objective(
    require_format: Callable[P, ObjectiveFunction], handle_batch: bool = False
) -> Callable[P, Objective]: ...


@overload
def wrap_objective(
    require_format: str | None = None, handle_batch: bool = False
) -> Callable[[Callable[P, ObjectiveFunction]], Callable[P, Objective]]: ...


@checked
def wrap_objective(require_format: Any = None, handle_batch: bool = False) -> Any:
    """Decorator that turns a function returning a function of `T` into a factory of objectives.

    It works bare (`@wrap_objective`, as in older notebooks) and called
    (`@wrap_objective(require_format="NHWC")`). The factory is registered under the function's name,
    so that recipes can contain its objectives.

    Args:
        require_format: With `"NHWC"`, `T` returns activations in Lucid's axis order, [N, H, W, C], those of dense
            layers as [N, 1, 1, C], and tokens as [N, 1, L, C], or as [N, rows, columns, C] if they are the patches of
            the image and no others. By default, `T` returns NCHW, [N, C], and tokens as (N, C, L).
        handle_batch: Ignored, as in Lucid; use the function `handle_batch`.

    Raises:
        ValueError: `require_format` is unknown.

    Example:
        >>> @wrap_objective(require_format="NHWC")
        ... def brightest(layer):
        ...     return lambda T: T(layer).amax()
        >>> brightest("mixed4a")
        Objective('Brightest [mixed4a]')
    """
    if callable(require_format):
        return _objective_factory(require_format, False)
    if require_format is not None:
        checks.choice(require_format, "require_format, if there is one,", ("NHWC", "NCHW"))
    return lambda function: _objective_factory(function, require_format == "NHWC")


@checked
def handle_batch(batch: int | None = None) -> Callable[[ObjectiveFunction], ObjectiveFunction]:
    """Decorator that restricts a function of `T` to one image of the batch.

    Args:
        batch: Index of the image; None keeps all. The batch axis stays, with size 1, or the number of rows of an image
            in a layer that flattens positions or windows into rows.

    Raises:
        TypeError, ValueError: `batch` is not an index.
        IndexError: (from the decorated function) The batch does not have this image.

    Example:
        >>> import torch
        >>> second = handle_batch(1)(lambda T: T("mixed4a").mean())
        >>> second({"mixed4a": torch.arange(3.0).reshape(3, 1, 1, 1)}.get)
        tensor(1.)
    """
    index = None if batch is None else checks.whole(batch, "batch, the index of an image,", 0)

    def decorate(function: ObjectiveFunction) -> ObjectiveFunction:
        if index is None:
            return function
        return functools.wraps(function)(lambda T: function(Images(T, index)))

    return decorate


@checked
def nhwc(objective: Objective | ObjectiveFunction) -> Objective:
    """Runs an objective of a Lucid notebook on a `T` in Lucid's axis order, channels last.

    `T(layer)` is [N, H, W, C], and so is `T("input")`, so that indices such as `T("input")[..., 3:4]` keep their
    meaning. Dense layers are [N, 1, 1, C]. For functions decorated with `wrap_objective`, `require_format="NHWC"` does
    the same, and its objectives can be stored in recipes.

    Args:
        objective: A function of `T`, or an objective that a user's own `wrap_objective` made.

    Raises:
        ValueError: The objective is one of this package, or a sum, and reads layers in its own order.
        TypeError: `objective` has another type.

    Example:
        >>> import torch
        >>> alpha = nhwc(lambda T: T("input")[..., 3:4].mean())
        >>> alpha({"input": torch.arange(4.0).reshape(1, 4, 1, 1).expand(2, 4, 5, 6)}.get)
        tensor(3.)
    """
    made = as_objective(objective)
    function = made.objective_func
    code = getattr(inspect.unwrap(function), "__code__", None)
    if code is not None and Path(code.co_filename).is_relative_to(_PACKAGE):
        raise ValueError(
            f"{made!r} reads layers in its own axis order: use it as it is, and wrap your own functions of T only, "
            "each before they are added."
        )
    return Objective(in_nhwc(function), made.name, made.description)
