"""The registry: TensorFlow op type -> one small function that says which layer computes it."""

from converters.evaluate import EVALUATORS
from converters.ops import (  # noqa: F401  (importing registers the ops)
    batch_space,
    control,
    elementwise,
    indexing,
    joining,
    linear,
    padding,
    pool,
    reduce,
    resize,
    shape,
)
from converters.ops.registry import Call, Operation, Read, Value, lookup, registered_ops


def supported_ops() -> list[str]:
    """Every op that converts, sorted: those that a layer computes, and those of constants and sizes."""
    return sorted({*registered_ops(), *EVALUATORS, "Shape", "ShapeN", "Size", "Rank"})


__all__ = ["Call", "Operation", "Read", "Value", "lookup", "registered_ops", "supported_ops"]
