"""Axes of reductions: converts TensorFlow's axes to the tensor's, and computes the remaining shape."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from converters.frozen.graph import NCHW
from converters.lowering.ops.registry import Operation, Read, Shape, Value


@dataclass(frozen=True)
class Reduced:
    """A value with some of its axes removed, or reduced to length 1.

    Attributes:
        shape: the remaining shape in TensorFlow.
        read: the form in which the layer reads the value.
        dims: the tensor's reduced axes, sorted.
        layout: layout of the result, if it has rank 4.
    """

    shape: Shape
    read: Read
    dims: tuple[int, ...]
    layout: str


def reduced(op: Operation, axes: Iterable[int], keep: bool = False, index: int = 0) -> Reduced:
    """Reduces an input of an op.

    Args:
        op: the op.
        axes: TensorFlow's axes, which may be negative.
        keep: keep the axes with length 1 instead of removing them.
        index: index of the input.

    Raises:
        GraphError: an axis is out of range for the input.
    """
    value = op.value(index)
    gone = {op.axis(axis, value.rank) for axis in axes}
    shape = tuple(1 if axis in gone else size for axis, size in enumerate(value.shape) if keep or axis not in gone)
    if not keep and gone and not _stays_in_order(value, gone):
        return Reduced(shape, Read(index, NCHW), tuple(sorted(gone)), NCHW)
    layout = value.layout if value.rank == len(shape) else NCHW
    return Reduced(shape, Read(index), tuple(sorted(value.dim(axis) for axis in gone)), layout)


def _stays_in_order(value: Value, gone: set[int]) -> bool:
    left = [value.dim(axis) for axis in range(value.rank) if axis not in gone]
    return left == sorted(left)
