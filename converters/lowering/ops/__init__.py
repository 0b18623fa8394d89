"""The registry: TensorFlow op type -> one small function that says which layer computes it."""

from converters.lowering.ops import (  # noqa: F401  (importing registers the ops)
    batch_space,
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
from converters.lowering.ops.registry import Call, Operation, Read, Value, lookup, registered_ops

__all__ = ["Call", "Operation", "Read", "Value", "lookup", "registered_ops"]
