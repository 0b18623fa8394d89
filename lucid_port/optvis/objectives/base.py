"""The `Objective` class and arithmetic with objectives."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeAlias, TypeGuard

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.optvis import serialization
from lucid_port.optvis.objectives.readers import Activations, Nhwc, Reader, as_reader

__all__ = ["Activations", "Objective", "ObjectiveFunction", "ObjectiveLike", "Value", "as_objective", "parse_unit"]


Value: TypeAlias = torch.Tensor
"""The value of an objective: a tensor, usually a scalar."""

ObjectiveFunction: TypeAlias = Callable[[Activations], Value]


def in_nhwc(function: Callable[[Nhwc], Value]) -> ObjectiveFunction:
    """Wraps a function that reads layers in NHWC order into a function of `T`, which has NCHW order."""
    return lambda T: function(Nhwc(T))


# Objectives -----------------------------------------------------------------------------------

_NUMBERS = (int, float, np.number)


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, _NUMBERS) and not isinstance(value, bool)


class Objective:
    """A quantity to maximize: a function of `T` with a name and a description.

    Objectives support `+`, `-`, `*` and `/` with numbers and with each other.

    Args:
        objective_func: Function from `T` to a tensor.
        name: Short name.
        description: Longer text, which includes the arguments.
        recipe: Function that returns the plain-data form. It is called by `to_data` only, so that
            an objective that cannot be serialized can still be rendered.

    Attributes:
        text: What names the objective in the grammar (`lucid_port.optvis.grammar`); empty for other objectives.

    Raises:
        TypeError: `objective_func` is not a function.

    Example:
        >>> objective = Objective(lambda T: (T("mixed4a") ** 2).mean(), "energy")
        >>> layers = {"mixed4a": torch.full((1, 8, 5, 5), 3.0)}
        >>> objective(layers.get), (2 * objective - 1)(layers.get)
        (tensor(9.), tensor(17.))
    """

    __array_priority__ = 100  # numpy_number * objective calls Objective.__rmul__

    @checked
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
        self.text = ""
        self._recipe = recipe

    def __call__(self, T: Activations) -> Value:
        return self.objective_func(T if isinstance(T, Reader) else as_reader(T))

    def __repr__(self) -> str:
        return f"Objective({self.description or self.name!r})"

    def to_data(self) -> dict[str, Any]:
        """Returns the plain-data form, `{"objective": name, "args": {...}}`.

        Raises:
            NotSerialisable: The objective or one of its arguments is a user's own callable.
        """
        if self._recipe is None:
            raise serialization.NotSerialisable(
                f"The objective {self.name or self.objective_func!r} is a user's own callable and "
                "has no plain-data form: make it with a registered factory (wrap_objective)."
            )
        return self._recipe()

    def __add__(self, other: Objective | float) -> Objective:
        if _is_number(other):
            return _shift(self, other)
        return Objective.sum([self, other]) if isinstance(other, Objective) else NotImplemented

    __radd__ = __add__

    def __sub__(self, other: Objective | float) -> Objective:
        return self + (-1 * other) if isinstance(other, Objective) or _is_number(other) else NotImplemented

    def __rsub__(self, other: float) -> Objective:
        return (-1 * self) + other

    def __neg__(self) -> Objective:
        return -1 * self

    def __mul__(self, other: Objective | float) -> Objective:
        if _is_number(other):
            return _scale(self, other)
        return _product(self, other) if isinstance(other, Objective) else NotImplemented

    __rmul__ = __mul__

    def __truediv__(self, other: Objective | float) -> Objective:
        return _quotient(self, other) if isinstance(other, Objective) or _is_number(other) else NotImplemented

    def __rtruediv__(self, other: float) -> Objective:
        return _quotient(other, self) if _is_number(other) else NotImplemented

    @staticmethod
    def sum(objs: Iterable[ObjectiveLike]) -> Objective:
        """Returns the sum of several objectives.

        Args:
            objs: Iterable of objectives, or of values that `as_objective` accepts.

        Raises:
            TypeError: `objs` is a single objective or a string.
        """
        terms = [as_objective(o) for o in checks.items(objs, "Objective.sum's objs", "a list of objectives")]
        return Objective(
            lambda T: sum(term(T) for term in terms),  # type: ignore[arg-type, return-value]
            ", ".join(term.name for term in terms),
            "Sum(" + " +\n".join(term.description for term in terms) + ")",
            lambda: {"objective": "sum", "args": {"objs": [t.to_data() for t in terms]}},
        )


ObjectiveLike: TypeAlias = Objective | str | ObjectiveFunction
"""An objective, a text such as `"layer:channel"`, or a function of `T`."""


_text_readers: list[Callable[[str, Any], Objective]] = []


def reads_texts(function: Callable[[str, Any], Objective]) -> Callable[[str, Any], Objective]:
    """Decorator of the function that makes objectives of texts; its module imports this one."""
    _text_readers[:] = [function]
    return function


@checked
def as_objective(obj: ObjectiveLike, model: Any = None) -> Objective:
    """Converts a text or a function of `T` to an objective; returns an objective unchanged.

    Args:
        obj: An objective, a function of `T`, or a text such as `"mixed4a:3"` or `"mixed4a:3 - 0.5*mixed4b:8"`; see
            `lucid_port.optvis.grammar`.
        model: The model, which a text such as `"class:goldfish"` needs.

    Raises:
        ValueError: A string does not have a form of the grammar, or names several pictures.
        TypeError: `obj` has another type.

    Example:
        >>> as_objective("mixed4a:3")
        Objective('Channel [mixed4a, 3, None]')
    """
    if isinstance(obj, Objective):
        return obj
    if isinstance(obj, str):
        return _text_readers[0](obj, model)
    if getattr(obj, "makes_objectives", False):
        raise TypeError(f"{obj.__name__} makes objectives: call it with its arguments.")
    if callable(obj):
        name = getattr(obj, "__name__", type(obj).__name__)
        return Objective(obj, name, name)
    raise TypeError(f"An objective is an Objective, a string or a function of T, not {checks.shown(obj)}.")


def parse_unit(text: str) -> tuple[str, int]:
    """Splits `"layer:channel"` into layer and channel.

    Raises:
        ValueError: The text does not have that form.
    """
    layer, _, number = text.rpartition(":")
    if not layer.strip() or not number.strip().isdecimal():
        raise ValueError(f"{text!r} names no unit: write 'layer:channel', as in 'mixed4a_pre_relu:476'.")
    return layer.strip(), int(number)


def _evaluate(operand: Objective | float, T: Activations) -> Any:
    if isinstance(operand, Objective):
        return operand(T)
    return operand.item() if isinstance(operand, np.generic) else operand


_OPERANDS = {"shift": "summand", "scale": "factor", "product": "factor", "quotient": "divisor or dividend"}


def _algebra(name: str, of: Objective, func: ObjectiveFunction, **operands: Objective | float) -> Objective:
    """Returns an objective with the name and description of `of`.

    Raises:
        TypeError: An operand is neither an objective nor a number.
        ValueError: A number is NaN or infinite.
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


def _shift(objective: Objective, by: float) -> Objective:
    return _algebra("shift", objective, lambda T: objective(T) + _evaluate(by, T), objective=objective, by=by)


def _scale(objective: Objective, by: float) -> Objective:
    return _algebra("scale", objective, lambda T: _evaluate(by, T) * objective(T), objective=objective, by=by)


def _product(a: Objective, b: Objective) -> Objective:
    return _algebra("product", a, lambda T: a(T) * b(T), a=a, b=b)


def _quotient(a: Objective | float, b: Objective | float) -> Objective:
    if _is_number(b) and b == 0:
        raise ZeroDivisionError("An objective cannot be divided by 0.")
    named = a if isinstance(a, Objective) else b
    if not isinstance(named, Objective):
        raise TypeError(f"A quotient has at least one objective, not only {checks.shown(a)} and {checks.shown(b)}.")
    return _algebra("quotient", named, lambda T: _evaluate(a, T) / _evaluate(b, T), a=a, b=b)


serialization.register("objective", "sum", Objective.sum)
serialization.register("objective", "shift", _shift)
serialization.register("objective", "scale", _scale)
serialization.register("objective", "product", _product)
serialization.register("objective", "quotient", _quotient)
