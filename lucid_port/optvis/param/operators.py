"""Operators and methods of parameterizations, in Lucid's axis order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypeAlias

from converters.signatures import checked
from lucid_port.misc.tensors import ArrayLike

if TYPE_CHECKING:
    from lucid_port.optvis.param.base import Parameterization

__all__ = ["Axes", "Index", "Operand", "Operators", "makes"]

Index: TypeAlias = int | slice | EllipsisType | None
"""One item of an index expression."""

Axes: TypeAlias = int | Sequence[int] | None
"""Axes to reduce, in Lucid's axis order; None for all."""

Operand: TypeAlias = "Parameterization | float | ArrayLike"
"""A parameterization, or a number or array in Lucid's axis order."""

_makers: dict[str, Callable[..., Any]] = {}


def makes(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorator of the functions that make the results; their module imports the base class, which has `Operators`."""
    _makers[function.__name__] = function
    return function


class Operators:
    """Operators, elementwise functions and reductions; each returns a new parameterization with shared parameters."""

    __array_priority__ = 100  # numpy_number * parameterization calls Parameterization.__rmul__

    def __add__(self, other: Operand) -> Parameterization:
        return _binary("add", self, other)

    def __radd__(self, other: Operand) -> Parameterization:
        return _binary("add", other, self)

    def __sub__(self, other: Operand) -> Parameterization:
        return _binary("sub", self, other)

    def __rsub__(self, other: Operand) -> Parameterization:
        return _binary("sub", other, self)

    def __mul__(self, other: Operand) -> Parameterization:
        return _binary("mul", self, other)

    def __rmul__(self, other: Operand) -> Parameterization:
        return _binary("mul", other, self)

    def __truediv__(self, other: Operand) -> Parameterization:
        return _binary("truediv", self, other)

    def __rtruediv__(self, other: Operand) -> Parameterization:
        return _binary("truediv", other, self)

    def __floordiv__(self, other: Operand) -> Parameterization:
        return _binary("floordiv", self, other)

    def __rfloordiv__(self, other: Operand) -> Parameterization:
        return _binary("floordiv", other, self)

    def __mod__(self, other: Operand) -> Parameterization:
        return _binary("mod", self, other)

    def __rmod__(self, other: Operand) -> Parameterization:
        return _binary("mod", other, self)

    def __pow__(self, other: Operand) -> Parameterization:
        return _binary("pow", self, other)

    def __rpow__(self, other: Operand) -> Parameterization:
        return _binary("pow", other, self)

    def __lt__(self, other: Operand) -> Parameterization:
        return _binary("lt", self, other)

    def __le__(self, other: Operand) -> Parameterization:
        return _binary("le", self, other)

    def __gt__(self, other: Operand) -> Parameterization:
        return _binary("gt", self, other)

    def __ge__(self, other: Operand) -> Parameterization:
        return _binary("ge", self, other)

    def __neg__(self) -> Parameterization:
        return _binary("mul", -1.0, self)

    def __pos__(self) -> Parameterization:
        return self  # type: ignore[return-value]

    def __abs__(self) -> Parameterization:
        return self.abs()

    def __getitem__(self, index: Index | tuple[Index, ...]) -> Parameterization:
        return _made("indexed", self, index)

    def reshape(self, *shape: int | Sequence[int]) -> Parameterization:
        """Reshapes in Lucid's axis order."""
        return _made("reshape", self, shape[0] if isinstance(shape[0], (list, tuple)) else shape)

    def abs(self) -> Parameterization:
        """Returns the absolute values."""
        return _made("elementwise", self, "abs")

    def sqrt(self) -> Parameterization:
        """Returns the square roots."""
        return _made("elementwise", self, "sqrt")

    def exp(self) -> Parameterization:
        """Returns the exponentials."""
        return _made("elementwise", self, "exp")

    def log(self) -> Parameterization:
        """Returns the natural logarithms."""
        return _made("elementwise", self, "log")

    def sigmoid(self) -> Parameterization:
        """Returns the logistic function of the values."""
        return _made("elementwise", self, "sigmoid")

    def tanh(self) -> Parameterization:
        """Returns the hyperbolic tangents."""
        return _made("elementwise", self, "tanh")

    def relu(self) -> Parameterization:
        """Returns the values with negative ones set to 0."""
        return _made("elementwise", self, "relu")

    @checked
    def clamp(self, min: float | None = None, max: float | None = None) -> Parameterization:
        """Returns the values limited to [min, max], as `tf.clip_by_value` does.

        Args:
            min: Lower limit; None for none.
            max: Upper limit; None for none.

        Raises:
            TypeError, ValueError: A limit is not a number, or both are None.
        """
        return _made("clamp", self, min, max)

    @checked
    def sum(self, axis: Axes = None, keepdims: bool = False) -> Parameterization:
        """Returns sums along axes in Lucid's order, as `tf.reduce_sum` does.

        Args:
            axis: An axis or several, in Lucid's order: 1 and 2 are height and width of [N, H, W, C]; None for all.
            keepdims: Whether the axes stay, with size 1.

        Raises:
            TypeError, ValueError: `axis` is not an axis, or occurs twice.
        """
        return _made("reduction", self, "sum", axis, keepdims)

    @checked
    def mean(self, axis: Axes = None, keepdims: bool = False) -> Parameterization:
        """Returns means along axes in Lucid's order; arguments as for `sum`.

        Example:
            >>> from lucid_port.optvis import param
            >>> p = param.image(8, 6)
            >>> (p - p.mean([1, 2], keepdims=True)).shape, p.mean(-1).shape
            ((1, 6, 8, 3), (1, 6, 8))
        """
        return _made("reduction", self, "mean", axis, keepdims)

    @checked
    def max(self, axis: Axes = None, keepdims: bool = False) -> Parameterization:
        """Returns maxima along axes in Lucid's order; arguments as for `sum`."""
        return _made("reduction", self, "max", axis, keepdims)

    @checked
    def min(self, axis: Axes = None, keepdims: bool = False) -> Parameterization:
        """Returns minima along axes in Lucid's order; arguments as for `sum`."""
        return _made("reduction", self, "min", axis, keepdims)

    @classmethod
    def __torch_function__(
        cls, func: Callable[..., Any], types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        """Applies a function of torch to the NCHW tensors."""
        return _made("of_torch", func, args, {} if kwargs is None else kwargs)


def _binary(operation: str, left: Any, right: Any) -> Any:
    return _made("binary", operation, left, right)


def _made(name: str, *arguments: Any) -> Any:
    return _makers[name](*arguments)
