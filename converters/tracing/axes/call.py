"""Calls of aten operators, as the rules of axes read them, and the registry of the rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from converters.registry import Registry
from converters.tracing.axes.factors import Axes, Axis, Description, RuleError, Unknown


@dataclass(frozen=True)
class Call:
    """A call of an operator.

    Attributes:
        op: name of the operator without namespace and overload.
        arguments: its arguments by name, without those that have their default.
        output: its result.
        describe: returns the description of a tensor; None for a value that does not depend on the image.
        name_of: returns the name of the parameter that a constant is computed from, or "".
        images: number of images in the batch.
    """

    op: str
    arguments: dict[str, Any]
    output: Any
    describe: Callable[[Tensor], Description | None]
    name_of: Callable[[Tensor], str]
    images: int

    __iter__: ClassVar[None] = None  # indexed by name only

    def axes(self, value: object) -> Axes | None:
        """Returns the axes of an argument; None for a value that does not depend on the image.

        Raises:
            RuleError: the axes are not known.
        """
        found = self.describe(value) if isinstance(value, Tensor) else None
        if isinstance(found, Unknown):
            raise RuleError(found.reason)
        return found

    def __getitem__(self, name: str) -> Any:
        return self.arguments.get(name)

    @property
    def first(self) -> Tensor:
        """The first argument."""
        return next(iter(self.arguments.values()))

    def first_axes(self) -> Axes:
        """Returns the axes of the first argument.

        Raises:
            RuleError: they are not known, or it does not depend on the image.
        """
        found = self.axes(self.first)
        if found is None:
            raise RuleError(f"{self.op} combines a constant with a value that depends on the image")
        return found

    def axis(self, name: str, default: int | None = None) -> int:
        """Returns an argument that names an axis of the first argument, as an index from 0 on."""
        value = self.arguments.get(name, default)
        if not isinstance(value, int):
            raise RuleError(f"{self.op} does not name its axis")
        return value % max(self.first.ndim, 1)

    def dims(self, name: str = "dim") -> list[int]:
        """Returns the axes of a reduction, as indices from 0 on; all axes if none is named."""
        value = self.arguments.get(name)
        if isinstance(value, int):
            value = [value]
        rank = self.first.ndim
        return [index % rank for index in value] if value else list(range(rank))


Rule = Callable[[Call], "Axes | list[Axes | None]"]

RULES: Registry[Rule] = Registry("give the axes of")


def without(axes: Axes, index: int) -> Axes:
    """Returns the axes without one of them."""
    return axes[:index] + axes[index + 1 :]


def changed(axes: Axes, index: int, axis: Axis) -> Axes:
    """Returns the axes with one of them replaced."""
    return (*axes[:index], axis, *axes[index + 1 :])
