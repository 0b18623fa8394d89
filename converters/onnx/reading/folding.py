"""Computes nodes on the host: those of constants when the file is read, those of sizes when the network runs."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import fx, nn

from converters.errors import GraphError, UnsupportedNodeError, reason
from converters.onnx.packages import import_onnx
from converters.onnx.reading.validation import attributes, first_output, is_standard, node_refusal

if TYPE_CHECKING:
    import onnx

MAX_FOLDED = 2**26
"""Greatest number of values of a constant that is computed."""

# Ops whose results are random, or that contain graphs.
_NOT_FOLDED = frozenset({
    "Bernoulli", "If", "Loop", "Multinomial", "Optional", "RandomNormal", "RandomNormalLike", "RandomUniform",
    "RandomUniformLike", "Scan", "SequenceMap", "Dropout", "BatchNormalization",
})  # fmt: skip

# Errors that onnx and numpy raise for invalid attributes and constants.
REFUSALS = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)


class HostFunction(nn.Module):
    """Computes a node of sizes with onnx's reference evaluator.

    Args:
        node: the node.
        opset: version of its op set.
        constants: input -> value of each constant input.
    """

    def __init__(self, node: onnx.NodeProto, opset: int, constants: Mapping[str, np.ndarray]) -> None:
        super().__init__()
        self.node, self.opset = node.SerializeToString(), opset
        self.constants = dict(constants)
        self.op = node.op_type
        self.names = [name for name in dict.fromkeys(node.input) if name and name not in constants]
        self._run: Any = None

    def forward(self, *values: np.ndarray) -> Any:
        if any(isinstance(value, fx.Proxy) for value in values):
            raise TypeError(
                "torch.fx.symbolic_trace cannot record sizes that an ONNX file computes: use torch.export.export, or "
                "the graph that the network has (network.module)."
            )
        if self._run is None:
            self._run = evaluator(import_onnx().NodeProto.FromString(self.node), self.opset)
        found = self._run.run(None, {**self.constants, **dict(zip(self.names, values, strict=True))}, {})
        return np.asarray(found[0]) if len(found) == 1 else tuple(np.asarray(value) for value in found)

    def extra_repr(self) -> str:
        shown = {name: value.tolist() if value.size < 20 else value.shape for name, value in self.constants.items()}
        return f"{self.op}, constants={shown}"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_run": None}


_EVALUATED_AS = {"DequantizeLinear": 19}
"""The first opset that onnx's evaluator has of an op. For integers, the meaning of the op is that of earlier opsets."""


def evaluator(node: onnx.NodeProto, opset: int) -> Any:
    """Returns onnx's reference evaluator of one node."""
    onnx = import_onnx()
    inputs = [name for name in dict.fromkeys(node.input) if name]
    outputs = [name for name in node.output if name]
    version = max(opset, _EVALUATED_AS.get(node.op_type, 0))
    function = onnx.helper.make_function(
        "folding", "node", inputs, outputs, [node], [onnx.helper.make_opsetid("", version)]
    )
    return onnx.reference.ReferenceEvaluator(function)


def fold(graph: onnx.GraphProto, opset: int, constants: dict[str, np.ndarray]) -> dict[str, GraphError]:
    """Computes the nodes whose inputs are constants, and turns them into initializers.

    Args:
        graph: its nodes are in topological order; modified in place.
        opset: version of the op set.
        constants: name -> value of each constant; the computed ones are added.

    Returns:
        First output of a node that cannot be computed, or whose result is too large -> the error.
    """
    onnx = import_onnx()
    kept = []
    refused: dict[str, GraphError] = {}
    for node in graph.node:
        inputs = [name for name in node.input if name]
        is_constant = bool(inputs) and all(name in constants for name in inputs)
        if not is_constant or not is_standard(node) or node.op_type in _NOT_FOLDED:
            kept.append(node)
            continue
        values = {name: constants[name] for name in inputs}
        if _size(node, values) > MAX_FOLDED:
            kept.append(node)
            continue
        try:
            found = _computed(node, opset, values)
        except UnsupportedNodeError as error:
            refused[first_output(node)] = error
            kept.append(node)
            continue
        for name, value in zip([name for name in node.output if name], found, strict=True):
            constants[name] = value
            graph.initializer.append(onnx.numpy_helper.from_array(value, name))
    replace_nodes(graph, kept)
    return refused


def _computed(node: onnx.NodeProto, opset: int, values: Mapping[str, np.ndarray]) -> list[np.ndarray]:
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            found = evaluator(node, opset).run(None, dict(values), {})
        arrays = [np.asarray(value) for value in found]
    except (*REFUSALS, NotImplementedError) as error:
        raise node_refusal(node, f"cannot be computed from its constants ({reason(error)})") from error
    except Exception as error:  # errors of onnx's evaluator derive from Exception alone
        if not type(error).__module__.startswith("onnx"):
            raise
        raise node_refusal(node, f"cannot be computed from its constants ({reason(error)})") from error
    if any(value.dtype == object or value.size > MAX_FOLDED for value in arrays):
        raise node_refusal(node, "gives a constant that is too large, or is no tensor")
    return [value.astype(np.float32) if value.dtype == np.float64 else value for value in arrays]


def _size(node: onnx.NodeProto, values: Mapping[str, np.ndarray]) -> int:
    """Returns an upper bound of the number of values that a node of constants computes."""
    inputs = [values[name] if name else np.zeros(0) for name in node.input]
    largest = max((value.size for value in inputs), default=0)
    sizes = _SIZES.get(node.op_type)
    try:
        if sizes is not None:
            return max(largest, int(sizes(node, inputs)))
        if len(inputs) <= 1:
            return largest * attributes(node).get("count", 1)
        try:
            return max(largest, math.prod(np.broadcast_shapes(*(value.shape for value in inputs))))
        except ValueError:
            return math.prod(max(value.size, 1) for value in inputs)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return MAX_FOLDED + 1


def _product(value: np.ndarray) -> int:
    return math.prod(abs(int(size)) for size in value.ravel())


def _range_size(node: onnx.NodeProto, inputs: Sequence[np.ndarray]) -> int:
    start, limit, delta = (float(value.item()) for value in inputs)
    return max(0, math.ceil((limit - start) / delta))


def _padded_size(node: onnx.NodeProto, inputs: Sequence[np.ndarray]) -> int:
    pads = attributes(node).get("pads", inputs[1].ravel() if len(inputs) > 1 else ())
    more = sum(abs(int(pad)) for pad in pads)
    return math.prod(size + more for size in inputs[0].shape)


def _resized_size(node: onnx.NodeProto, inputs: Sequence[np.ndarray]) -> int:
    factors = [abs(float(scale)) for value in inputs[1:] for scale in value.ravel()]
    return int(inputs[0].size * math.prod(max(factor, 1.0) for factor in factors))


_SIZES: Mapping[str, Any] = {
    "Concat": lambda node, inputs: sum(value.size for value in inputs),
    "ConstantOfShape": lambda node, inputs: _product(inputs[0]),
    "Expand": lambda node, inputs: inputs[0].size * _product(inputs[1]),
    "Gather": lambda node, inputs: inputs[1].size * max(inputs[0].size, 1),
    "OneHot": lambda node, inputs: inputs[0].size * _product(inputs[1]),
    "Pad": _padded_size,
    "Range": _range_size,
    "Reshape": lambda node, inputs: inputs[0].size,
    "Resize": _resized_size,
    "Slice": lambda node, inputs: inputs[0].size,
    "Split": lambda node, inputs: inputs[0].size,
    "Squeeze": lambda node, inputs: inputs[0].size,
    "Tile": lambda node, inputs: inputs[0].size * _product(inputs[1]),
    "Transpose": lambda node, inputs: inputs[0].size,
    "Unsqueeze": lambda node, inputs: inputs[0].size,
    "Upsample": _resized_size,
    **dict.fromkeys(
        ("DequantizeLinear", "QuantizeLinear", "GatherElements", "ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin",
         "ReduceProd", "ReduceL2", "CumSum", "Trilu", "ScatterND", "ScatterElements", "GatherND", "TopK", "Clip"),
        lambda node, inputs: max(value.size for value in inputs),
    ),
}  # fmt: skip


def replace_nodes(graph: onnx.GraphProto, nodes: Sequence[onnx.NodeProto]) -> None:
    """Replaces the nodes of a graph."""
    copies = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del graph.node[:]
    graph.node.extend(copies)
