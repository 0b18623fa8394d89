"""Arithmetic, comparisons, logic and casts."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from converters.onnx.reading.ops.registry import Node, register


def _divided(x: Tensor, y: Tensor) -> Tensor:
    if x.is_floating_point() or y.is_floating_point():
        return x / y
    return torch.div(x, y, rounding_mode="trunc")


def _power(x: Tensor, y: Tensor) -> Tensor:
    return (x**y).to(x.dtype)


_UNARY: Mapping[str, Callable[[Tensor], Tensor]] = {
    "Abs": torch.abs,
    "Acos": torch.acos,
    "Acosh": torch.acosh,
    "Asin": torch.asin,
    "Asinh": torch.asinh,
    "Atan": torch.atan,
    "Atanh": torch.atanh,
    "Ceil": torch.ceil,
    "Cos": torch.cos,
    "Cosh": torch.cosh,
    "Erf": torch.erf,
    "Exp": torch.exp,
    "Floor": torch.floor,
    "IsNaN": torch.isnan,
    "Log": torch.log,
    "Neg": torch.neg,
    "Not": torch.logical_not,
    "Reciprocal": torch.reciprocal,
    "Round": torch.round,  # half to even
    "Sign": torch.sign,
    "Sin": torch.sin,
    "Sinh": torch.sinh,
    "Sqrt": torch.sqrt,
    "Tan": torch.tan,
}
_BINARY: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Add": torch.add,
    "And": torch.logical_and,
    "Div": _divided,
    "Equal": torch.eq,
    "Greater": torch.gt,
    "GreaterOrEqual": torch.ge,
    "Less": torch.lt,
    "LessOrEqual": torch.le,
    "Mul": torch.mul,
    "Or": torch.logical_or,
    "Pow": _power,
    "Sub": torch.sub,
    "Xor": torch.logical_xor,
}
_VARIADIC: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "Max": torch.maximum,
    "Mean": operator.add,
    "Min": torch.minimum,
    "Sum": operator.add,
}


@register(*_UNARY)
def unary(x: Tensor, *, op: str) -> Tensor:
    return _UNARY[op](x)


@register(*_BINARY)
def binary(x: Tensor, y: Tensor, *, op: str) -> Tensor:
    return _BINARY[op](x, y)


@register(*_VARIADIC)
def variadic(*values: Tensor, op: str) -> Tensor:
    joined = functools.reduce(_VARIADIC[op], values)
    return joined / len(values) if op == "Mean" else joined


@register("IsInf")
def is_inf(x: Tensor, *, detect_negative: int = 1, detect_positive: int = 1) -> Tensor:
    return (torch.isposinf(x) & bool(detect_positive)) | (torch.isneginf(x) & bool(detect_negative))


@register("Mod")
def modulo(x: Tensor, y: Tensor, *, fmod: int = 0) -> Tensor:
    return torch.fmod(x, y) if fmod else torch.remainder(x, y)


@register("Where")
def where(condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return torch.where(condition.bool(), x, y)


@register("CumSum", host="axis")
def cumulative_sum(x: Tensor, axis: Any, *, exclusive: int = 0, reverse: int = 0) -> Tensor:
    dim = int(axis)
    x = x.flip(dim) if reverse else x
    total = x.cumsum(dim)
    total = total - x if exclusive else total
    return total.flip(dim) if reverse else total


@register("Identity")
def identity(x: Tensor) -> Tensor:
    return x


# ONNX's number of an integer type -> torch's dtype. Types of 8 and 16 bits are held as whole floating-point numbers.
_INTEGERS = {6: torch.int32, 7: torch.int64, 12: torch.int64, 13: torch.int64}
_SMALL = frozenset({2, 3, 4, 5})
_FLOATS = frozenset({1, 10, 11, 16})
_BOOL = 9


@register("Cast", builds=True)
def check_cast(node: Node, *, to: int, saturate: int = 1, round_mode: str = "up") -> None:
    """`saturate` and `round_mode` concern types of 8 bits of floating point, which are refused."""
    if to not in _FLOATS | _SMALL | _INTEGERS.keys() | {_BOOL}:
        raise node.error(f"casts to type {to}; floating point from 16 bits and integers from 8 bits on are supported")


@register("Cast")
def cast(x: Tensor, *, to: int, saturate: int = 1, round_mode: str = "up") -> Tensor:
    """Converts to another type: floating-point types to float32, small integers to whole numbers in float32."""
    if to in _FLOATS:
        return x if x.is_floating_point() else x.to(torch.get_default_dtype())
    if to in _SMALL:
        return x.trunc() if x.is_floating_point() else x.to(torch.get_default_dtype())
    if to == _BOOL:
        return x != 0
    return x.to(_INTEGERS[to])


@register("CastLike", since=15)
def cast_like(x: Tensor, target: Tensor, *, saturate: int = 1, round_mode: str = "up") -> Tensor:
    """As `cast`; the type of `target` is that of its tensor."""
    return x.to(target.dtype)
