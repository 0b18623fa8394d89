"""The registry of ONNX's ops: functions of tensors, and builders of torch's modules.

The keyword-only parameters of a function are the attributes that it computes. The reader passes these, and refuses a
node with any other attribute whose value is not the standard's default. So no attribute is ignored.
"""

from __future__ import annotations

import inspect
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from torch import Tensor, fx, nn

from converters.errors import UnsupportedNodeError
from converters.onnx.reading.validation import node_refusal

if TYPE_CHECKING:
    import onnx

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True)
class Node:
    """A node of the graph, as builders of modules see it.

    Attributes:
        proto: the node.
        opset: version of its op set.
        constants: name -> value of each constant.
        sizes: name -> shape of each value whose rank is known; None stands for sizes that are not known.
    """

    proto: onnx.NodeProto
    opset: int
    constants: Mapping[str, np.ndarray]
    sizes: Mapping[str, Sequence[int | None]]

    def has(self, index: int) -> bool:
        """Returns whether the node has an input."""
        return index < len(self.proto.input) and bool(self.proto.input[index])

    def constant(self, index: int) -> np.ndarray | None:
        """Returns the value of a constant input, or None if the input is missing or is computed."""
        return self.constants.get(self.proto.input[index]) if self.has(index) else None

    def tensor(self, index: int) -> Tensor:
        """Returns a constant input as a tensor.

        Raises:
            GraphError: the graph computes it.
        """
        value = self.constant(index)
        if value is None:
            raise self.error(f"has an input {self.proto.input[index]!r} that the graph computes, not a constant one")
        return as_tensor(value)

    def rank(self, index: int = 0) -> int | None:
        """Returns the number of axes of an input, or None if it is not known."""
        found = self.sizes.get(self.proto.input[index])
        return None if found is None else len(found)

    def error(self, problem: str) -> UnsupportedNodeError:
        """Returns an error about a node that cannot be converted; `problem` as for `node_error`."""
        return node_refusal(self.proto, problem)


def as_tensor(value: np.ndarray) -> Tensor:
    """Returns a constant as a tensor of its own memory."""
    return torch.from_numpy(np.array(value))


@dataclass(frozen=True)
class Built:
    """A module of torch that computes a node.

    Attributes:
        module: the module.
        inputs: indices of the node's inputs that it takes.
    """

    module: nn.Module
    inputs: tuple[int, ...] = (0,)


@dataclass(frozen=True)
class Operation:
    """How an op is computed.

    Attributes:
        op: op type.
        since: the first opset with this meaning of the op.
        function: takes the inputs and the attributes; a builder takes a `Node` and the attributes.
        builds: whether `function` is a builder. A builder returns None if the op's function has to compute the node.
        host: indices of the inputs that are numbers on the host (shapes, axes), not tensors.
        several: whether the function returns a tuple of outputs.
        is_stored: whether constant inputs are buffers of the network.
        attributes: names of the attributes that the function computes.
    """

    op: str
    since: int
    function: Callable[..., Any]
    builds: bool
    host: frozenset[int]
    several: bool
    is_stored: bool
    attributes: frozenset[str]


OPS: defaultdict[str, list[Operation]] = defaultdict(list)
"""op type -> its operations: builders first, later opsets first."""


def register(
    *ops: str, since: int = 1, host: str = "", several: bool = False, builds: bool = False, is_stored: bool = True
) -> Callable[[F], F]:
    """Registers a function as an operation of some ops.

    Args:
        *ops: op types. If there are several, the function gets the op type as the keyword argument `op`.
        since: first opset with this meaning.
        host: names of the parameters that are numbers on the host.
        several, builds, is_stored: as for `Operation`.
    """

    def add(function: F) -> F:
        parameters = inspect.signature(function).parameters.values()
        named = [p.name for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
        places = frozenset(named.index(name) for name in host.split())
        attributes = frozenset(p.name for p in parameters if p.kind is inspect.Parameter.KEYWORD_ONLY) - {"op"}
        for op in ops:
            OPS[op].append(Operation(op, since, function, builds, places, several, is_stored, attributes))
            OPS[op].sort(key=lambda entry: (-entry.builds, -entry.since))
        return function

    return add


ON_HOST = frozenset({"ConstantOfShape", "Range"})
"""Ops that are computed on the host only, from sizes."""


def find_operation(op: str, opset: int, builds: bool = False) -> Operation | None:
    """Returns the operation of an op in an opset; None if there is none.

    Args:
        op: op type.
        opset: version of the op set.
        builds: return a builder.
    """
    entries = OPS.get(op, ())
    return next((entry for entry in entries if entry.since <= opset and entry.builds == builds), None)


def call_operation(op: str, opset: int, inputs: Sequence[Any], settings: Mapping[str, Any]) -> Any:
    """Computes a node with the function of its op. torch.fx records the call and does not trace into it."""
    operation = find_operation(op, opset)
    assert operation is not None
    return operation.function(*inputs, **settings)


fx.wrap("call_operation")


class OnnxFunction(nn.Module):
    """Computes a node with the function of its op.

    Args:
        op: op type.
        opset: version of the op set.
        settings: the node's attributes.
    """

    def __init__(self, op: str, opset: int, settings: Mapping[str, Any]) -> None:
        super().__init__()
        self.op, self.opset, self.settings = op, opset, dict(settings)

    def forward(self, *inputs: Any) -> Any:
        return call_operation(self.op, self.opset, inputs, self.settings)

    def extra_repr(self) -> str:
        if type(self) is not OnnxFunction:  # recipes hold fingerprints of networks with these classes
            return ""
        shown = (f"{key}={value!r}" for key, value in sorted(self.settings.items()) if key != "op")
        return ", ".join((self.op, *shown))


def _class(name: str) -> type[OnnxFunction]:
    made = type(name, (OnnxFunction,), {"__module__": __name__, "__doc__": f"{OnnxFunction.__doc__}"})
    globals()[name] = made
    return made


# The names of the classes are part of the fingerprints that recipes hold.
_CLASSES: Mapping[str, type[OnnxFunction]] = {
    op: _class(name) if name not in globals() else globals()[name]
    for name, ops in {
        "OnnxBinaryMathOperation": "Add Sub Mul Div",
        "OnnxCast": "Cast",
        "OnnxCompare": "Equal Greater GreaterOrEqual Less LessOrEqual",
        "OnnxConcat": "Concat",
        "OnnxClip": "Clip",
        "OnnxDepthToSpace": "DepthToSpace",
        "OnnxErf": "Erf",
        "OnnxExpand": "Expand",
        "OnnxGather": "Gather",
        "OnnxGemm": "Gemm",
        "OnnxGlobalAveragePoolWithKnownInputShape": "GlobalAveragePool",
        "OnnxHardSigmoid": "HardSigmoid",
        "OnnxMatMul": "MatMul",
        "OnnxMean": "Mean",
        "OnnxMinMax": "Max Min",
        "OnnxNeg": "Neg",
        "OnnxPReLU": "PRelu",
        "OnnxPadDynamic": "Pad",
        "OnnxPow": "Pow",
        "OnnxReciprocal": "Reciprocal",
        "OnnxReduceStaticAxes": "ReduceMean ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare",
        "OnnxReduceSumStaticAxes": "ReduceSum",
        "OnnxReshape": "Reshape",
        "OnnxRound": "Ceil Floor Round",
        "OnnxSlice": "Slice",
        "OnnxSoftmaxV1V11": "Softmax LogSoftmax",
        "OnnxSplit": "Split",
        "OnnxSqrt": "Sqrt",
        "OnnxSqueezeDynamicAxes": "Squeeze",
        "OnnxSum": "Sum",
        "OnnxTile": "Tile",
        "OnnxTranspose": "Transpose",
        "OnnxUnsqueezeStaticAxes": "Unsqueeze",
        "OnnxWhere": "Where",
    }.items()
    for op in ops.split()
}


def function_module(op: str, opset: int, settings: Mapping[str, Any]) -> OnnxFunction:
    """Returns the module that computes a node with the function of its op."""
    return _CLASSES.get(op, OnnxFunction)(op, opset, settings)
