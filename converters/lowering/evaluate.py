"""TensorFlow's ops on values that are known before anything runs: constants, sizes, and numbers with known bounds.

Every function takes the node and its inputs as numpy arrays and returns its outputs. Arrays of objects hold numbers,
`Size`s and `Interval`s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from converters.errors import GraphError
from converters.frozen.graph import Node
from converters.lowering.intervals import Interval
from converters.lowering.slices import strided_items
from converters.program.sizes import Size, combine, elementwise

Arrays = Sequence[np.ndarray]
Evaluator = Callable[[Node, Arrays], Any]  # gives an array, or a tuple of several

MAX_VALUES = 2**24  # of what an op makes of less
MAX_PRODUCT = 2**28  # multiplications of a matrix product

EVALUATORS: dict[str, Evaluator] = {}


class NotKnownError(Exception):
    """The op's value depends on the image in a way that is no plain number."""


# What numpy raises where arrays, axes and numbers do not fit together.
MISFITS = (ValueError, TypeError, IndexError, KeyError, ZeroDivisionError, OverflowError, AttributeError, MemoryError)


def evaluate(node: Node, arrays: Arrays) -> tuple[np.ndarray, ...]:
    """A node's outputs.

    Raises:
        NotKnownError: they are not known before something runs.
        GraphError: the op makes no sense of its inputs, or of its attributes.
    """
    try:
        with np.errstate(all="ignore"):
            outputs = EVALUATORS[node.op](node, arrays)
            return tuple(_settled(np.asarray(o)) for o in (outputs if isinstance(outputs, tuple) else (outputs,)))
    except MISFITS as error:
        if isinstance(error, GraphError):
            raise
        reason = " ".join(str(error).split())[:200]
        raise GraphError(f"Node {node.name!r} ({node.op}) computes a constant that cannot be: {reason}.") from error


def _settled(array: np.ndarray) -> np.ndarray:
    """Objects as numbers where all of them are."""
    if array.dtype != object or any(isinstance(item, (Size, Interval, str, bytes)) for item in array.ravel()):
        return array
    kinds = {type(item) for item in array.ravel()}
    dtype = np.bool_ if kinds == {bool} else np.float32 if float in kinds else np.int64
    return array.astype(dtype)


def evaluates(*ops: str) -> Callable[[Evaluator], Evaluator]:
    """Makes a function the evaluator of these ops."""

    def decorate(function: Evaluator) -> Evaluator:
        for op in ops:
            if op in EVALUATORS:
                raise ValueError(f"Two functions evaluate {op}.")
            EVALUATORS[op] = function
        return function

    return decorate


def _limit(values: int) -> None:
    if values > MAX_VALUES:
        raise ValueError(f"it would have {values} values, where {MAX_VALUES} are allowed")


def _ints(array: np.ndarray) -> list[int]:
    """Whole numbers that have to be known."""
    if any(isinstance(item, (Size, Interval)) for item in array.ravel()):
        raise NotKnownError
    if array.dtype.kind not in "iu" and array.size:
        raise ValueError(f"it takes whole numbers, not {array.dtype.name}")
    return [int(item) for item in array.ravel()]


def _int(array: np.ndarray) -> int:
    (number,) = _ints(array)
    return number


# -- one value at a time ----------------------------------------------------------------------------------------------


def _of_objects(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *arrays: np.frompyfunc(function, len(arrays), 1)(*arrays)


def _object_floor(item: Any) -> Any:
    return item.floor() if isinstance(item, Interval) else combine("floor", item)


def _object_at_least(item: Any, other: Any) -> Any:
    if isinstance(item, Interval) and isinstance(other, (int, float)):
        return item.at_least(other)
    raise NotKnownError


_ARITHMETIC: dict[str, tuple[Callable[..., Any], Callable[..., Any] | None]] = {
    # of numbers, of objects
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


@evaluates(*_ARITHMETIC)
def _arithmetic(node: Node, arrays: Arrays) -> Any:
    of_numbers, of_objects = _ARITHMETIC[node.op]
    _limit(math.prod(np.broadcast_shapes(*(array.shape for array in arrays))) if len(arrays) > 1 else 0)
    if not any(array.dtype == object for array in arrays):
        return of_numbers(*arrays)
    if of_objects is None:
        raise NotKnownError
    found = np.asarray(of_objects(*(array.astype(object) for array in arrays)), object)
    return elementwise("float32")(found) if node.attrs.get("T") == "float32" and _has_sizes(found) else found


def _has_sizes(array: np.ndarray) -> bool:
    return any(isinstance(item, Size) for item in array.ravel())


@evaluates("AddN")
def _add_n(node: Node, arrays: Arrays) -> Any:
    return sum(arrays[1:], start=arrays[0])


@evaluates("Identity", "StopGradient", "PreventGradient", "Snapshot", "CheckNumerics", "PlaceholderWithDefault")
def _identity(node: Node, arrays: Arrays) -> Any:
    return arrays[0]


@evaluates("Cast")
def _cast(node: Node, arrays: Arrays) -> Any:
    dtype = str(node.attrs.get("DstT"))
    if arrays[0].dtype == object:
        function = "float" if dtype.startswith("float") else "int"
        return np.frompyfunc(lambda item: item if isinstance(item, Interval) else combine(function, item), 1, 1)(
            arrays[0]
        )
    return arrays[0].astype(dtype)


@evaluates("Select", "SelectV2")
def _select(node: Node, arrays: Arrays) -> Any:
    condition, first, second = arrays
    if condition.dtype != bool:
        raise NotKnownError
    if condition.ndim == 0:
        return first if condition else second
    _limit(math.prod(np.broadcast_shapes(*(array.shape for array in arrays))))
    return np.where(condition, first, second)


@evaluates("RandomUniform")
def _random(node: Node, arrays: Arrays) -> Any:
    found = np.empty((), object)  # one number stands for all
    found[()] = Interval(0.0, 1.0)
    return found


# -- shapes -----------------------------------------------------------------------------------------------------------


@evaluates("Shape")
def _shape(node: Node, arrays: Arrays) -> Any:
    return np.array(arrays[0].shape, np.int32)


@evaluates("Rank")
def _rank(node: Node, arrays: Arrays) -> Any:
    return np.int32(arrays[0].ndim)


@evaluates("Size")
def _size(node: Node, arrays: Arrays) -> Any:
    return np.int32(arrays[0].size)


@evaluates("Reshape")
def _reshape(node: Node, arrays: Arrays) -> Any:
    return arrays[0].reshape(_ints(arrays[1]))


@evaluates("ExpandDims")
def _expand_dims(node: Node, arrays: Arrays) -> Any:
    return np.expand_dims(arrays[0], _int(arrays[1]))


@evaluates("Squeeze")
def _squeeze(node: Node, arrays: Arrays) -> Any:
    return np.squeeze(arrays[0], tuple(node.attrs.get("squeeze_dims") or ()) or None)


@evaluates("Transpose")
def _transpose(node: Node, arrays: Arrays) -> Any:
    return arrays[0].transpose(_ints(arrays[1]))


@evaluates("InvertPermutation")
def _invert_permutation(node: Node, arrays: Arrays) -> Any:
    return np.argsort(_ints(arrays[0])).astype(np.int32)


@evaluates("Pack")
def _pack(node: Node, arrays: Arrays) -> Any:
    _limit(sum(array.size for array in arrays))
    return np.stack(arrays, node.attrs.get("axis", 0))


@evaluates("Unpack")
def _unpack(node: Node, arrays: Arrays) -> Any:
    return tuple(np.moveaxis(arrays[0], node.attrs.get("axis", 0), 0))


@evaluates("Concat")
def _concat(node: Node, arrays: Arrays) -> Any:
    _limit(sum(array.size for array in arrays))
    return np.concatenate(arrays[1:], _int(arrays[0]))


@evaluates("ConcatV2")
def _concat_v2(node: Node, arrays: Arrays) -> Any:
    _limit(sum(array.size for array in arrays))
    return np.concatenate(arrays[:-1], _int(arrays[-1]))


@evaluates("Split")
def _split(node: Node, arrays: Arrays) -> Any:
    return tuple(np.split(arrays[1], int(node.attrs["num_split"]), _int(arrays[0])))


@evaluates("SplitV")
def _split_v(node: Node, arrays: Arrays) -> Any:
    return tuple(np.split(arrays[0], np.cumsum(_ints(arrays[1]))[:-1], _int(arrays[2])))


@evaluates("Slice")
def _slice(node: Node, arrays: Arrays) -> Any:
    begin, size = _ints(arrays[1]), _ints(arrays[2])
    return arrays[0][tuple(slice(b, None if s == -1 else b + s) for b, s in zip(begin, size, strict=True))]


@evaluates("StridedSlice")
def _strided_slice(node: Node, arrays: Arrays) -> Any:
    items = strided_items(node.attrs, arrays[0].ndim, *(_ints(array) for array in arrays[1:4]))
    keys = {"slice": lambda item: slice(*item[1:]), "at": lambda item: item[1], "new": lambda item: None}
    return arrays[0][tuple(keys[item[0]](item) for item in items)]


@evaluates("Gather", "GatherV2")
def _gather(node: Node, arrays: Arrays) -> Any:
    axis = _int(arrays[2]) if len(arrays) > 2 else 0
    _ints(arrays[1])
    _limit(arrays[1].size * (arrays[0].size // max(arrays[0].shape[axis], 1)))
    return np.take(arrays[0], arrays[1].astype(np.int64), axis)


@evaluates("Fill")
def _fill(node: Node, arrays: Arrays) -> Any:
    shape = _ints(arrays[0])
    _limit(math.prod(shape))
    return np.full(shape, arrays[1][()])


@evaluates("Tile")
def _tile(node: Node, arrays: Arrays) -> Any:
    times = _ints(arrays[1])
    _limit(arrays[0].size * math.prod(times))
    return np.tile(arrays[0], times)


@evaluates("BroadcastTo")
def _broadcast_to(node: Node, arrays: Arrays) -> Any:
    shape = _ints(arrays[1])
    _limit(math.prod(shape))
    return np.broadcast_to(arrays[0], shape)


@evaluates("Range")
def _range(node: Node, arrays: Arrays) -> Any:
    if any(array.dtype == object for array in arrays):
        raise NotKnownError
    start, limit, delta = (array.reshape(-1)[0].item() for array in arrays)
    _limit(int(abs((limit - start) / delta)))
    return np.arange(start, limit, delta).astype(arrays[0].dtype)


@evaluates("ZerosLike")
def _zeros_like(node: Node, arrays: Arrays) -> Any:
    return np.zeros(arrays[0].shape, arrays[0].dtype)


@evaluates("OnesLike")
def _ones_like(node: Node, arrays: Arrays) -> Any:
    return np.ones(arrays[0].shape, arrays[0].dtype)


@evaluates("Pad", "PadV2")
def _pad(node: Node, arrays: Arrays) -> Any:
    pairs = np.reshape(_ints(arrays[1]), (-1, 2))
    _limit(math.prod(int(size + sum(pair)) for size, pair in zip(arrays[0].shape, pairs.tolist(), strict=True)))
    fill = arrays[2][()] if node.op == "PadV2" else 0
    return np.pad(arrays[0], [tuple(pair) for pair in pairs.tolist()], constant_values=fill)


@evaluates("ReverseV2")
def _reverse(node: Node, arrays: Arrays) -> Any:
    return np.flip(arrays[0], tuple(_ints(arrays[1])))


@evaluates("MatMul")
def _matmul(node: Node, arrays: Arrays) -> Any:
    x, y = arrays
    x = x.T if node.attrs.get("transpose_a") else x
    y = y.T if node.attrs.get("transpose_b") else y
    if x.shape[0] * y.size > MAX_PRODUCT:
        raise ValueError("it is a product of large matrices")
    return x @ y


# -- reductions -------------------------------------------------------------------------------------------------------


_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "Prod": np.prod,
    "Sum": np.sum,
    "Max": np.max,
    "Min": np.min,
    "Mean": np.mean,
}


@evaluates(*_REDUCTIONS)
def _reduce(node: Node, arrays: Arrays) -> Any:
    if arrays[0].dtype == object and node.op not in ("Prod", "Sum"):
        raise NotKnownError
    keep = bool(node.attrs.get("keep_dims", node.attrs.get("keepdims", False)))
    axes = tuple(_ints(arrays[1]))
    found = _REDUCTIONS[node.op](arrays[0], axis=axes, keepdims=keep) if axes else arrays[0]
    return np.asarray(found, arrays[0].dtype)
