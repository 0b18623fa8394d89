"""Which of torch's axes an op works along, and what is left of a value where some of its axes go."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from converters.frozen.graph import NCHW
from converters.lowering.ops.registry import Operation, Read, Shape, Value


@dataclass(frozen=True)
class Reduced:
    """A value some of whose axes go, or become 1.

    Attributes:
        shape: what is left, in TensorFlow's order.
        read: how the layer has to read the value.
        dims: torch's axes, sorted.
        layout: of what is left, if it has rank 4.
    """

    shape: Shape
    read: Read
    dims: tuple[int, ...]
    layout: str


def reduced(op: Operation, axes: Iterable[int], keep: bool = False, index: int = 0) -> Reduced:
    """What an op leaves of an input.

    Args:
        op: the op.
        axes: TensorFlow's axes.
        keep: whether they become 1 instead of going.
        index: which input.

    Raises:
        GraphError: there are no such axes.
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
