"""Random small models of ONNX: ops that the reader supports, in every opset from 7, with random attributes.

Initializers are shared, nodes are in any order, and models have up to three outputs. Ops that jump (Floor, comparisons,
ArgMax) read only values that every library computes without rounding.
"""

from parity_tests.properties.onnx_graphs import images, shapes, values  # noqa: F401  (importing registers the steps)
from parity_tests.properties.onnx_graphs.builder import INPUT, OPSETS, SINCE, STEPS, RandomModel, random_model

__all__ = ["INPUT", "OPSETS", "SINCE", "STEPS", "RandomModel", "random_model"]
