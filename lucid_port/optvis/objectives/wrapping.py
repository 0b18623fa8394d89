"""Making objectives of functions: Lucid's `wrap_objective` and `handle_batch`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import torch

from lucid_port.misc import checks
from lucid_port.optvis import serialization
from lucid_port.optvis.objectives.base import Activations, Objective, ObjectiveFunction

__all__ = ["handle_batch", "to_nhwc", "wrap_objective"]


def to_nhwc(tensor: Any) -> Any:
    if not isinstance(tensor, torch.Tensor):
        return tensor
    if tensor.ndim == 2:
        return tensor[:, None, None, :]
    if tensor.ndim == 4:
        return tensor.permute(0, 2, 3, 1)
    return tensor


class _Nhwc:
    """`T` in Lucid's axis order."""

    def __init__(self, T: Activations) -> None:
        self._T = T

    def __call__(self, name: str, /) -> Any:
        return to_nhwc(self._T(name))

    @property
    def channel(self) -> Any:
        return getattr(self._T, "channel", None)


def _in_format(T: Activations, require_format: str | None) -> Activations:
    return T if require_format is None else _Nhwc(T)


def _check_format(require_format: Any) -> None:
    if require_format not in (None, "NHWC", "NCHW"):
        raise ValueError(f"require_format is None, 'NHWC' or 'NCHW', not {require_format!r}.")


def _describe(name: str, arguments: Iterable[Any]) -> str:
    def short(argument: Any) -> str:
        text = str(argument)
        return "..." if len(text) > 15 or "\n" in text else text

    return f"{name.title()} [{', '.join(short(a) for a in arguments)}]"


def _objective_factory(
    function: Callable[..., ObjectiveFunction], require_format: str | None
) -> Callable[..., Objective]:
    name = function.__name__
    format_ = None if require_format == "NCHW" else require_format

    @functools.wraps(function)
    def make(*args: Any, **kwargs: Any) -> Objective:
        arguments = serialization.bind(function, args, kwargs)
        inner = function(*args, **kwargs)
        return Objective(
            lambda T: inner(_in_format(T, format_)),
            name,
            _describe(name, arguments.values()),
            lambda: {"objective": name, "args": serialization.to_data(arguments)},
        )

    make.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    make.makes_objectives = True  # type: ignore[attr-defined]
    serialization.register("objective", name, make)
    return make


def wrap_objective(require_format: Any = None, handle_batch: bool = False) -> Any:
    """Decorator that turns `f(*args)` returning a function of `T` into objectives' maker.

    Works bare (`@wrap_objective`, as older notebooks have it) and called
    (`@wrap_objective(require_format="NHWC")`).

    Args:
        require_format: `"NHWC"` gives `T` Lucid's axis order, and dense layers the shape
            [N, 1, 1, C]. By default `T` gives NCHW and [N, C].
        handle_batch: accepted and without effect, as in Lucid; see the function
            `handle_batch`.
    """
    if callable(require_format):
        return _objective_factory(require_format, None)
    _check_format(require_format)
    return lambda function: _objective_factory(function, require_format)


def handle_batch(batch: int | None = None) -> Callable[[ObjectiveFunction], ObjectiveFunction]:
    """Decorator for a function of `T` that lets it see one image of the batch only.

    Args:
        batch: index of the image; None leaves all. The batch axis stays, with size 1.

    Raises:
        TypeError, ValueError: `batch` is no index.
        IndexError: (from the decorated function) the batch has no such image.
    """
    index = None if batch is None else checks.whole(batch, "batch, the index of an image,", 0)

    def decorate(function: ObjectiveFunction) -> ObjectiveFunction:
        if index is None:
            return function
        return lambda T: function(lambda name: _one_image(T(name), index))

    return decorate


def _one_image(tensor: Any, index: int) -> Any:
    if not isinstance(tensor, torch.Tensor):
        return tensor
    if not 0 <= index < tensor.shape[0]:
        raise IndexError(f"batch={index} is outside the batch of {tensor.shape[0]} images.")
    return tensor[index : index + 1]
