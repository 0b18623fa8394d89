"""The op converters: for each TensorFlow op type, a small function that returns the layer that computes it."""

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
from converters.lowering.ops.registry import CONVERTERS, Call, Operation, Read, Value

__all__ = ["CONVERTERS", "Call", "Operation", "Read", "Value"]
