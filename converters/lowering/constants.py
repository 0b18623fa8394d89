"""The constants of a graph: stored constants, and values that the graph computes from them."""

from __future__ import annotations

import numpy as np

from converters.dependencies import with_dependencies
from converters.errors import GraphError, UndecidedError, UnsupportedNodeError
from converters.frozen.graph import Graph, Node, Output
from converters.frozen.placeholders import PLACEHOLDER, how_to_set, is_fed_by_image, is_text, placeholders_behind
from converters.lowering.evaluate import EVALUATORS, NotKnownError, evaluate

# Limit on the total size of all computed constants; enough for the weights of the largest networks.
MAX_COMPUTED_BYTES = 2**30


class Constants:
    """Values that do not depend on any input; each is computed on first access and cached.

    Args:
        graph: a frozen graph.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._outputs_of: dict[str, tuple[np.ndarray, ...]] = {}
        self._computed_bytes = 0

    def array(self, source: Output) -> np.ndarray:
        """Returns the value of a node's output.

        Raises:
            GraphError: the value depends on an input or contains NaN, or a node that computes it is invalid.
        """
        waiting = [source.node]
        while waiting:
            node = self._graph[waiting[-1]]
            missing = [read.node for read in node.inputs if read.node not in self._outputs_of]
            if node.name in self._outputs_of:
                waiting.pop()
            elif node.constant is None and missing and node.op in EVALUATORS:
                waiting += missing
            else:
                self._outputs_of[node.name] = self._outputs(node)
                waiting.pop()
        return self._output(source)

    def _output(self, source: Output) -> np.ndarray:
        outputs = self._outputs_of[source.node]
        if source.index >= len(outputs):
            raise GraphError(f"A node reads output {source.index} of node {source.node!r}, which has {len(outputs)}.")
        return outputs[source.index]

    def _outputs(self, node: Node) -> tuple[np.ndarray, ...]:
        if node.constant is not None:
            return (_without_nan(node, node.constant()),)
        if node.op == PLACEHOLDER:
            raise _unset(node)
        if node.op not in EVALUATORS or not node.inputs:
            for behind in map(self._graph.__getitem__, placeholders_behind(self._graph, node.name)):
                if behind.op == PLACEHOLDER:
                    raise _unset(behind)
            if self._reads_constants_only(node):
                raise UnsupportedNodeError(
                    f"Node {node.name!r} ({node.op}) reads constants only, and the op is converted only for images."
                )
            raise UnsupportedNodeError(
                f"Node {node.name!r} ({node.op}) is neither reached by the input nor a constant: "
                "the graph has another input, or was not frozen."
            )
        try:
            outputs = evaluate(node, [self._output(read) for read in node.inputs])
        except NotKnownError:
            problem = f"Node {node.name!r} ({node.op}) cannot be computed as a constant."
            raise UnsupportedNodeError(problem) from None
        self._computed_bytes += sum(array.nbytes for array in outputs if array.flags.owndata)
        if self._computed_bytes > MAX_COMPUTED_BYTES:
            raise GraphError(f"The graph computes constants of more than {MAX_COMPUTED_BYTES // 2**20} MiB.")
        return tuple(_without_nan(node, array) for array in outputs)

    def _reads_constants_only(self, node: Node) -> bool:
        nodes = self._graph.nodes
        behind = with_dependencies([node.name], lambda name: [read.node for read in nodes[name].inputs])
        return bool(node.inputs) and all(nodes[name].inputs or nodes[name].constant is not None for name in behind)


def _unset(node: Node) -> GraphError:
    """Returns the error of a placeholder that has no value."""
    problem = f"Placeholder {node.name!r} ({node.attrs.get('dtype')}) is a second input of the graph"
    if is_text(node):
        return UnsupportedNodeError(f"{problem}, and a model takes one image.")
    error = UnsupportedNodeError if is_fed_by_image(node) else UndecidedError
    return error(f"{problem}, and a model takes one image: {how_to_set([node.name])}.")


def _without_nan(node: Node, value: np.ndarray) -> np.ndarray:
    if value.dtype.kind == "f" and np.isnan(value).any():
        raise GraphError(f"Constant {node.name!r} holds NaN: the weights are damaged, or training diverged.")
    return value
