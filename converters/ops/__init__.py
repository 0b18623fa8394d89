"""The registry: TensorFlow op type -> one small function that says which layer computes it."""

from converters.ops import elementwise, linear, pool, shape  # noqa: F401  (importing registers the ops)
from converters.ops.registry import Call, Operation, Value, lookup, supported_ops

__all__ = ["Call", "Operation", "Value", "lookup", "supported_ops"]
