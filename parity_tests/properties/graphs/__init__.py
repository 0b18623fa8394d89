"""Random small graphs of TensorFlow's ops: convolutions, pools, joins, slices, shapes, values one at a time.

A seed gives the same graph on every machine. Ops that jump (Floor, comparisons, ArgMax) read only values that every
library computes without rounding, such as parts of the input; others of them could differ in the last bit, and by
a whole step behind it. Ops that grow quickly or have poles read values that are bounded first.
"""

from parity_tests.properties.graphs import parts, shapes, values, windows  # noqa: F401  (importing registers the steps)
from parity_tests.properties.graphs.builder import INPUT, STEPS, RandomGraph, random_graph

__all__ = ["INPUT", "STEPS", "RandomGraph", "random_graph"]
