"""Evaluates TensorFlow's ops on values known at conversion: constants, sizes, and random numbers with known bounds.

Every evaluator takes the node and its inputs as numpy arrays, and returns its outputs. Object arrays hold numbers,
`Size`s and `Interval`s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from converters import functional
from converters.errors import GraphError
from converters.frozen.graph import Node
from converters.layers.elementwise import UNARY_FUNCTIONS
from converters.lowering.intervals import Interval
from converters.lowering.slices import strided_items
from converters.program.sizes import Number, Size, combine, elementwise
from converters.registry import Registry

Arrays: TypeAlias = Sequence[np.ndarray]
Result: TypeAlias = np.ndarray | np.generic | tuple[np.ndarray, ...]
Evaluator: TypeAlias = Callable[[Node, Arrays], Result]

MAX_VALUES = 2**24  # greatest number of elements of an output that is larger than the op's inputs
MAX_PRODUCT = 2**28  # greatest number of multiplications in a matrix product

EVALUATORS: Registry[Evaluator] = Registry("evaluate")


class NotKnownError(Exception):
    """The op's output depends on the image's values, not only on its size."""


# Errors that numpy and torch raise if arrays, axes and numbers do not fit together.
MISFITS = (
    ValueError, TypeError, IndexError, KeyError, ZeroDivisionError, OverflowError, AttributeError, MemoryError,
    RuntimeError,
)  # fmt: skip


def evaluate(node: Node, arrays: Arrays) -> tuple[np.ndarray, ...]:
    """Evaluates a node.

    Args:
        node: a node whose op is in `EVALUATORS`.
        arrays: its inputs.

    Returns:
        Its outputs.

    Raises:
        NotKnownError: the outputs depend on the image.
        GraphError: the inputs or attributes are invalid for the op.
    """
    try:
        with np.errstate(all="ignore"):
            outputs = EVALUATORS[node.op](node, arrays)
            return tuple(_as_numeric(np.asarray(o)) for o in (outputs if isinstance(outputs, tuple) else (outputs,)))
    except GraphError:
        raise
    except MISFITS as error:
        reason = " ".join(str(error).split())[:200]
        raise GraphError(f"Node {node.name!r} ({node.op}) computes an invalid constant: {reason}.") from error


def _as_numeric(array: np.ndarray) -> np.ndarray:
    """Converts an object array to a numeric dtype if all its items are numbers."""
    if array.dtype != object or any(isinstance(item, (Size, Interval, str, bytes)) for item in array.ravel()):
        return array
    kinds = {type(item) for item in array.ravel()}
    dtype = np.bool_ if kinds == {bool} else np.float32 if float in kinds else np.int64
    return array.astype(dtype)


def _limit(values: int) -> None:
    if values > MAX_VALUES:
        raise ValueError(f"it would have {values} values; at most {MAX_VALUES} are allowed")


def _limit_broadcast(arrays: Arrays) -> None:
    if len(arrays) > 1:
        _limit(math.prod(np.broadcast_shapes(*(array.shape for array in arrays))))


def _limited(arrays: Arrays) -> Arrays:
    """Checks the total number of elements of the arrays."""
    _limit(sum(array.size for array in arrays))
    return arrays


def _ints(array: np.ndarray) -> list[int]:
    """Returns the items of an array, which must be known integers."""
    if any(isinstance(item, (Size, Interval)) for item in array.ravel()):
        raise NotKnownError
    if array.dtype.kind not in "iu" and array.size:
        raise ValueError(f"it takes whole numbers, not {array.dtype.name}")
    return [int(item) for item in array.ravel()]


def _shape(array: np.ndarray) -> list[int]:
    """Returns the items of an array as the shape of an output, whose size is checked."""
    shape = _ints(array)
    _limit(math.prod(shape))
    return shape


def _int(array: np.ndarray) -> int:
    (number,) = _ints(array)
    return number


# -- elementwise ------------------------------------------------------------------------------------------------------


def _of_objects(function: Callable[..., object]) -> Callable[..., Any]:
    return lambda *arrays: np.frompyfunc(function, len(arrays), 1)(*arrays)


def _object_floor(item: Number | Interval) -> Number | Interval:
    return item.floor() if isinstance(item, Interval) else combine("floor", item)


def _object_at_least(item: Number | Interval, other: Number | Interval) -> bool | Interval:
    if isinstance(item, Interval) and isinstance(other, (int, float)):
        return item.at_least(other)
    raise NotKnownError


# Op -> (function of numeric arrays, function of object arrays).
_ARITHMETIC: dict[str, tuple[Callable[..., Any], Callable[..., Any] | None]] = {
    "Add": (np.add, np.add),
    "AddV2": (np.add, np.add),
    "Sub": (np.subtract, np.subtract),
    "Mul": (np.multiply, np.multiply),
    "RealDiv": (np.true_divide, np.true_divide),
    "Div": (lambda x, y: x / y if x.dtype.kind == "f" else np.trunc(x / y).astype(x.dtype), np.floor_divide),
    "FloorDiv": (np.floor_divide, np.floor_divide),
    "FloorMod": (np.mod, np.mod),
    "Maximum": (np.maximum, elementwise("max")),
    "Minimum": (np.minimum, elementwise("min")),
    "Pow": (np.power, None),
    "SquaredDifference": (lambda x, y: np.square(x - y), None),
    "Neg": (np.negative, np.negative),
    "Abs": (np.abs, None),
    "Square": (np.square, lambda x: x * x),
    "Sqrt": (np.sqrt, None),
    "Rsqrt": (lambda x: (1 / np.sqrt(x)).astype(x.dtype), None),
    "Exp": (np.exp, None),
    "Log": (np.log, None),
    "Reciprocal": (lambda x: (1 / x).astype(x.dtype), None),
    "Inv": (lambda x: (1 / x).astype(x.dtype), None),
    "Floor": (np.floor, _of_objects(_object_floor)),
    "Ceil": (np.ceil, elementwise("ceil")),
    "Round": (np.rint, elementwise("round")),
    "Rint": (np.rint, elementwise("round")),
    "Sign": (np.sign, None),
    "LogicalNot": (np.logical_not, None),
    "LogicalAnd": (np.logical_and, None),
    "LogicalOr": (np.logical_or, None),
    "Greater": (np.greater, None),
    "GreaterEqual": (np.greater_equal, _of_objects(_object_at_least)),
    "Less": (np.less, None),
    "LessEqual": (np.less_equal, None),
    "Equal": (np.equal, None),
    "NotEqual": (np.not_equal, None),
}


@EVALUATORS.register(*_ARITHMETIC)
def _arithmetic(node: Node, arrays: Arrays) -> Result:
    of_numbers, of_objects = _ARITHMETIC[node.op]
    _limit_broadcast(arrays)
    if not any(array.dtype == object for array in arrays):
        return of_numbers(*arrays)
    if of_objects is None:
        raise NotKnownError
    found = np.asarray(of_objects(*(array.astype(object) for array in arrays)), object)
    has_sizes = any(isinstance(item, Size) for item in found.ravel())
    return elementwise("float32")(found) if node.attrs.get("T") == "float32" and has_sizes else found


# Op -> function of the node and of tensors of numbers, as the op's layer computes it.
_ACTIVATIONS: dict[str, Callable[..., Tensor]] = {
    "Cos": lambda node, x: UNARY_FUNCTIONS["cos"](x),
    "DivNoNan": lambda node, x, y: functional.div_no_nan(x, y),
    "Elu": lambda node, x: F.elu(x),
    "Erf": lambda node, x: UNARY_FUNCTIONS["erf"](x),
    "Expm1": lambda node, x: UNARY_FUNCTIONS["expm1"](x),
    "LeakyRelu": lambda node, x: F.leaky_relu(x, node.attrs.get("alpha", 0.2)),
    "Log1p": lambda node, x: UNARY_FUNCTIONS["log1p"](x),
    "LogSoftmax": lambda node, x: torch.log_softmax(x, -1),
    "Relu": lambda node, x: F.relu(x),
    "Relu6": lambda node, x: F.relu6(x),
    "Selu": lambda node, x: functional.selu(x),
    "Sigmoid": lambda node, x: torch.sigmoid(x),
    "Sin": lambda node, x: UNARY_FUNCTIONS["sin"](x),
    "Softmax": lambda node, x: torch.softmax(x, -1),
    "Softplus": lambda node, x: F.softplus(x),
    "Softsign": lambda node, x: UNARY_FUNCTIONS["softsign"](x),
    "Tanh": lambda node, x: torch.tanh(x),
}


@EVALUATORS.register(*_ACTIVATIONS)
def _activation(node: Node, arrays: Arrays) -> Result:
    _limit_broadcast(arrays)
    if any(array.dtype == object for array in arrays):
        raise NotKnownError
    tensors = [torch.from_numpy(np.array(array)) for array in arrays]
    return _ACTIVATIONS[node.op](node, *tensors).numpy()


@EVALUATORS.register(
    "Identity", "StopGradient", "PreventGradient", "Snapshot", "CheckNumerics", "PlaceholderWithDefault"
)
def _identity(node: Node, arrays: Arrays) -> Result:
    return arrays[0]


@EVALUATORS.register("Cast")
def _cast(node: Node, arrays: Arrays) -> Result:
    dtype = str(node.attrs.get("DstT"))
    if arrays[0].dtype != object:
        return arrays[0].astype(dtype)
    function = "float" if dtype.startswith("float") else "int"
    return _of_objects(lambda item: item if isinstance(item, Interval) else combine(function, item))(arrays[0])


@EVALUATORS.register("Select", "SelectV2")
def _select(node: Node, arrays: Arrays) -> Result:
    condition, first, second = arrays
    if condition.dtype != bool:
        raise NotKnownError
    if condition.ndim == 0:
        return first if condition else second
    _limit_broadcast(arrays)
    return np.where(condition, first, second)


@EVALUATORS.register("RandomUniform")
def _random(node: Node, arrays: Arrays) -> Result:
    found = np.empty((), object)  # a scalar, which broadcasts to any shape
    found[()] = Interval(0.0, 1.0)
    return found


# -- shapes -----------------------------------------------------------------------------------------------------------

_SHAPE_EVALUATORS: dict[str, Evaluator] = {
    "AddN": lambda node, x: sum(x[1:], start=x[0]),
    "Shape": lambda node, x: np.array(x[0].shape, np.int32),
    "Rank": lambda node, x: np.int32(x[0].ndim),
    "Size": lambda node, x: np.int32(x[0].size),
    "ZerosLike": lambda node, x: np.zeros(x[0].shape, x[0].dtype),
    "OnesLike": lambda node, x: np.ones(x[0].shape, x[0].dtype),
    "Fill": lambda node, x: np.full(_shape(x[0]), x[1][()]),
    "BroadcastTo": lambda node, x: np.broadcast_to(x[0], _shape(x[1])),
    "Reshape": lambda node, x: x[0].reshape(_ints(x[1])),
    "ExpandDims": lambda node, x: np.expand_dims(x[0], _int(x[1])),
    "Squeeze": lambda node, x: np.squeeze(x[0], tuple(node.attrs.get("squeeze_dims") or ()) or None),
    "Transpose": lambda node, x: x[0].transpose(_ints(x[1])),
    "InvertPermutation": lambda node, x: np.argsort(_ints(x[0])).astype(np.int32),
    "ReverseV2": lambda node, x: np.flip(x[0], tuple(_ints(x[1]))),
    "Pack": lambda node, x: np.stack(_limited(x), node.attrs.get("axis", 0)),
    "Unpack": lambda node, x: tuple(np.moveaxis(x[0], node.attrs.get("axis", 0), 0)),
    "Concat": lambda node, x: np.concatenate(_limited(x)[1:], _int(x[0])),
    "ConcatV2": lambda node, x: np.concatenate(_limited(x)[:-1], _int(x[-1])),
    "Split": lambda node, x: tuple(np.split(x[1], int(node.attrs["num_split"]), _int(x[0]))),
    "SplitV": lambda node, x: tuple(np.split(x[0], np.cumsum(_ints(x[1]))[:-1], _int(x[2]))),
}
EVALUATORS.update(_SHAPE_EVALUATORS)


@EVALUATORS.register("Slice")
def _slice(node: Node, arrays: Arrays) -> Result:
    begin, size = _ints(arrays[1]), _ints(arrays[2])
    return arrays[0][tuple(slice(b, None if s == -1 else b + s) for b, s in zip(begin, size, strict=True))]


@EVALUATORS.register("StridedSlice")
def _strided_slice(node: Node, arrays: Arrays) -> Result:
    items = strided_items(node.attrs, arrays[0].ndim, *(_ints(array) for array in arrays[1:4]))
    keys = {"slice": lambda item: slice(*item[1:]), "at": lambda item: item[1], "new": lambda item: None}
    return arrays[0][tuple(keys[item[0]](item) for item in items)]


@EVALUATORS.register("Gather", "GatherV2")
def _gather(node: Node, arrays: Arrays) -> Result:
    axis = _int(arrays[2]) if len(arrays) > 2 else 0
    _ints(arrays[1])
    _limit(arrays[1].size * (arrays[0].size // max(arrays[0].shape[axis], 1)))
    return np.take(arrays[0], arrays[1].astype(np.int64), axis)


@EVALUATORS.register("Tile")
def _tile(node: Node, arrays: Arrays) -> Result:
    times = _ints(arrays[1])
    _limit(arrays[0].size * math.prod(times))
    return np.tile(arrays[0], times)


@EVALUATORS.register("Range")
def _range(node: Node, arrays: Arrays) -> Result:
    if any(array.dtype == object for array in arrays):
        raise NotKnownError
    start, limit, delta = (array.reshape(-1)[0].item() for array in arrays)
    _limit(int(abs((limit - start) / delta)))
    return np.arange(start, limit, delta).astype(arrays[0].dtype)


@EVALUATORS.register("Pad", "PadV2")
def _pad(node: Node, arrays: Arrays) -> Result:
    pairs = [tuple(pair) for pair in np.reshape(_ints(arrays[1]), (-1, 2)).tolist()]
    _limit(math.prod(size + sum(pair) for size, pair in zip(arrays[0].shape, pairs, strict=True)))
    return np.pad(arrays[0], pairs, constant_values=arrays[2][()] if node.op == "PadV2" else 0)


@EVALUATORS.register("MatMul")
def _matmul(node: Node, arrays: Arrays) -> Result:
    x, y = arrays
    x = x.T if node.attrs.get("transpose_a") else x
    y = y.T if node.attrs.get("transpose_b") else y
    if x.shape[0] * y.size > MAX_PRODUCT:
        raise ValueError("it is a product of large matrices")
    return x @ y


_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "Prod": np.prod,
    "Sum": np.sum,
    "Max": np.max,
    "Min": np.min,
    "Mean": np.mean,
}


@EVALUATORS.register(*_REDUCTIONS)
def _reduce(node: Node, arrays: Arrays) -> Result:
    if arrays[0].dtype == object and node.op not in ("Prod", "Sum"):
        raise NotKnownError
    keep = bool(node.attrs.get("keep_dims", node.attrs.get("keepdims", False)))
    axes = tuple(_ints(arrays[1]))
    found = _REDUCTIONS[node.op](arrays[0], axis=axes, keepdims=keep) if axes else arrays[0]
    return np.asarray(found, arrays[0].dtype)
