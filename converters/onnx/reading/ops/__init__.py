"""The ops of ONNX: for each op, a function of tensors or a builder of a module of torch."""

from converters.onnx.reading.ops import (  # noqa: F401  (importing registers the ops)
    activations,
    elementwise,
    indexing,
    linear,
    norms,
    pools,
    quantization,
    reductions,
    resizing,
    shapes,
)
from converters.onnx.reading.ops.registry import OPS, Built, Node, Operation, find_operation

__all__ = ["OPS", "Built", "Node", "Operation", "find_operation"]
