"""An objective, and arithmetic with objectives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

import numpy as np

from lucid_port.misc import checks
from lucid_port.optvis import serialization

__all__ = ["Activations", "Objective", "ObjectiveFunction", "Value", "as_objective", "parse_unit"]


class Activations(Protocol):
    """`T`: gives a layer's activation by name, and "input" and "labels"."""

    def __call__(self, name: str, /) -> Any: ...


Value = Any
ObjectiveFunction = Callable[[Activations], Value]
_NUMBERS = (int, float, np.number)


def _is_number(value: Any) -> bool:
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


class Objective:
    """Something to maximise: a function of `T` with a name and a description.

    Args:
        objective_func: from `T` to a number tensor.
        name: short name.
        description: longer text, with the arguments.
        recipe: plain-data form, a function that makes it (so that a failure to serialise is
            reported when it is asked for, not when the objective is made).

    Raises:
        TypeError: `objective_func` is no function.
    """

    __array_priority__ = 100  # so that numpy_number * objective comes here

    def __init__(
        self,
        objective_func: ObjectiveFunction,
        name: str = "",
        description: str = "",
        recipe: Callable[[], dict[str, Any]] | None = None,
    ) -> None:
        if not callable(objective_func):
            raise TypeError(
                f"An Objective is made from a function of T, not {checks.shown(objective_func)}: use as_objective for "
                "'layer:channel'."
            )
        self.objective_func = objective_func
        self.name = name
        self.description = description
        self._recipe = recipe

    def __call__(self, T: Activations) -> Value:
        return self.objective_func(T)

    def __repr__(self) -> str:
        return f"Objective({self.description or self.name!r})"

    def to_data(self) -> dict[str, Any]:
        """Plain-data form: `{"objective": name, "args": {...}}`.

        Raises:
            NotSerialisable: the objective, or an argument of it, is a user's own callable.
        """
        if self._recipe is None:
            raise serialization.NotSerialisable(
                f"The objective {self.name or self.objective_func!r} is a user's own callable and "
                "has no plain-data form: make it with a registered factory (wrap_objective)."
            )
        return self._recipe()

    def __add__(self, other: Any) -> Objective:
        if _is_number(other):
            return _shift(self, other)
        if isinstance(other, Objective):
            return Objective.sum([self, other])
        return NotImplemented

    def __radd__(self, other: Any) -> Objective:
        return self + other

    def __sub__(self, other: Any) -> Objective:
        if isinstance(other, Objective) or _is_number(other):
            return self + (-1 * other)
        return NotImplemented

    def __rsub__(self, other: Any) -> Objective:
        return (-1 * self) + other

    def __neg__(self) -> Objective:
        return -1 * self

    def __mul__(self, other: Any) -> Objective:
        if _is_number(other):
            return _scale(self, other)
        if isinstance(other, Objective):
            return _product(self, other)
        return NotImplemented

    def __rmul__(self, other: Any) -> Objective:
        return self * other

    def __truediv__(self, other: Any) -> Objective:
        if _is_number(other):
            return _quotient(self, other)
        if isinstance(other, Objective):
            return _quotient(self, other)
        return NotImplemented

    def __rtruediv__(self, other: Any) -> Objective:
        if _is_number(other):
            return _quotient(other, self)
        return NotImplemented

    @staticmethod
    def sum(objs: Iterable[Any]) -> Objective:
        """Sum of objectives (or of what `as_objective` takes); generators work, too.

        Raises:
            TypeError: something else than several objectives was given.
        """
        terms = [as_objective(o) for o in checks.items(objs, "What Objective.sum adds", "a list of objectives")]
        return Objective(
            lambda T: sum(term(T) for term in terms),
            ", ".join(term.name for term in terms),
            "Sum(" + " +\n".join(term.description for term in terms) + ")",
            lambda: {"objective": "sum", "args": {"objs": [t.to_data() for t in terms]}},
        )


def as_objective(obj: Any) -> Objective:
    """An objective from itself, from `"layer:channel"` or from a function of `T`.

    Raises:
        ValueError: a string is not of that form.
        TypeError: something else was given.
    """
    if isinstance(obj, Objective):
        return obj
    if isinstance(obj, str):
        return serialization.factory("objective", "channel")(*parse_unit(obj))
    if getattr(obj, "makes_objectives", False):
        raise TypeError(f"{obj.__name__} makes objectives, it is none itself: call it with its arguments.")
    if callable(obj):
        name = getattr(obj, "__name__", type(obj).__name__)
        return Objective(obj, name, name)
    raise TypeError(f"An objective is an Objective, a string or a function of T, not {checks.shown(obj)}.")


def parse_unit(text: str) -> tuple[str, int]:
    """Layer and channel of `"layer:channel"`.

    Raises:
        ValueError: the text is not of that form.
    """
    layer, _, number = text.rpartition(":")
    if not layer.strip() or not number.strip().isdecimal():
        raise ValueError(f"{text!r} names no unit: write 'layer:channel', as in 'mixed4a_pre_relu:476'.")
    return layer.strip(), int(number)


def _evaluate(operand: Any, T: Activations) -> Any:
    return operand(T) if isinstance(operand, Objective) else _plain_number(operand)


def _plain_number(number: Any) -> int | float:
    return number.item() if isinstance(number, np.generic) else number


_OPERANDS = {"shift": "summand", "scale": "factor", "product": "factor", "quotient": "divisor or dividend"}


def _algebra(name: str, of: Objective, func: ObjectiveFunction, **operands: Any) -> Objective:
    """An objective with the name and description of `of`.

    Raises:
        TypeError: an operand is neither an objective nor a number.
        ValueError: a number is NaN or infinite.
    """
    for operand in operands.values():
        if not isinstance(operand, Objective):
            checks.number(operand, f"An objective's {_OPERANDS[name]}")
    return Objective(
        func,
        of.name,
        of.description,
        lambda: {"objective": name, "args": serialization.to_data(operands)},
    )


def _shift(objective: Objective, by: Any) -> Objective:
    return _algebra("shift", objective, lambda T: objective(T) + _plain_number(by), objective=objective, by=by)


def _scale(objective: Objective, by: Any) -> Objective:
    return _algebra("scale", objective, lambda T: _plain_number(by) * objective(T), objective=objective, by=by)


def _product(a: Objective, b: Objective) -> Objective:
    return _algebra("product", a, lambda T: a(T) * b(T), a=a, b=b)


def _quotient(a: Any, b: Any) -> Objective:
    if _is_number(b) and b == 0:
        raise ZeroDivisionError("An objective cannot be divided by 0.")
    named = a if isinstance(a, Objective) else b
    return _algebra("quotient", named, lambda T: _evaluate(a, T) / _evaluate(b, T), a=a, b=b)


_ALGEBRA: dict[str, Callable[..., Objective]] = {
    "sum": Objective.sum,
    "shift": _shift,
    "scale": _scale,
    "product": _product,
    "quotient": _quotient,
}
for _name, _factory in _ALGEBRA.items():
    serialization.register("objective", _name, _factory)
