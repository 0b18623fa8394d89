"""Validates the constructor arguments of layers, whether they come from a graph or from a saved model.

Both are untrusted files. After validation, arguments have the right types, and no size can exhaust the memory.
"""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from converters.errors import GraphError
from converters.frozen.graph import LAYOUTS
from converters.functional.sizes import SIZE_FUNCTIONS
from converters.layers import BINARY_FUNCTIONS, LAYERS, REDUCTIONS, UNARY_FUNCTIONS

# Limits far beyond any image network, and small enough to bound the memory of every layer.
MAX_WINDOW = 4096  # rows or columns of a window, a stride or a padding
MAX_FEATURES = 2**22  # channels, or features of a fully connected layer
MAX_BAND = 8192  # channels of LRN, whose kernel has channels² values
MAX_VALUES = 2**31  # values of a row or a constant
MAX_NUMBER = 1e30  # greatest absolute value of a constant in a formula
MAX_AXIS = 7
MAX_OUTPUTS = 4096  # outputs of one op
MAX_INPUTS = 2**16
MAX_DEPTH = 200  # nesting depth of an expression of sizes

Check = Callable[[object], bool]
Arguments = Mapping[str, Any]  # plain data: numbers, strings, and tuples of them


def _integer(low: int, high: int) -> Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _integers(low: int, high: int, lengths: range = range(1, 9)) -> Check:
    one = _integer(low, high)
    return lambda value: isinstance(value, tuple) and len(value) in lengths and all(map(one, value))


def _number(low: float = -MAX_NUMBER) -> Check:
    return lambda value: isinstance(value, (int, float)) and not isinstance(value, bool) and low <= value <= MAX_NUMBER


def _flag(value: object) -> bool:
    return isinstance(value, bool)


def _sizes(low: int, lengths: range = range(9), high: int = MAX_VALUES) -> Check:
    """Returns a check for tuples of integers and expressions of sizes."""
    number = _integer(low, high)
    return lambda value: (
        isinstance(value, tuple)
        and len(value) in lengths
        and all(_is_expression(item) if isinstance(item, tuple) else number(item) for item in value)
    )


def _is_expression(value: object, depth: int = 0) -> bool:
    """Returns whether a value is an expression of sizes (`functional.sizes`)."""
    if not isinstance(value, tuple):
        return _number()(value)
    if not value or depth > MAX_DEPTH:
        return False
    name, *operands = value
    if name == "size":
        return len(operands) == 2 and _integer(0, MAX_INPUTS)(operands[0]) and _integer(0, MAX_AXIS)(operands[1])
    count = 1 if name in ("floor", "ceil", "round", "int", "float", "float32") else 2
    known = isinstance(name, str) and name in SIZE_FUNCTIONS and len(operands) == count
    return known and all(_is_expression(operand, depth + 1) for operand in operands)


def _mentioned(value: object) -> int:
    """Returns how many inputs a layer needs so that its size expressions can be evaluated."""
    if not isinstance(value, tuple):
        return 0
    if len(value) == 3 and value[0] == "size":
        return int(value[1]) + 1
    return max((_mentioned(item) for item in value), default=0)


def _with_one_open(check: Check) -> Check:
    """Returns a check for sizes that may contain a single -1, which stands for the remaining size."""
    return lambda value: isinstance(value, tuple) and check(value) and value.count(-1) <= 1


def _items(value: object) -> bool:
    """Returns whether a value is a valid tuple of slices, indices and new axes for `functional.index_axes`."""
    return isinstance(value, tuple) and len(value) <= 2 * MAX_AXIS and all(map(_item, value))


def _item(value: object) -> bool:
    if not isinstance(value, tuple) or not value:
        return False
    kind, *bounds = value
    if kind == "slice" and len(bounds) == 3:
        step = bounds.pop()
        return _integer(-MAX_VALUES, MAX_VALUES)(step) and step != 0 and all(b is None or _bound(b) for b in bounds)
    return (kind == "at" and len(bounds) == 1 and _bound(bounds[0])) or (kind == "new" and not bounds)


def _bound(value: object) -> bool:
    return _is_expression(value) if isinstance(value, tuple) else _integer(-MAX_VALUES, MAX_VALUES)(value)


def _one_of(*values: str) -> Check:
    return lambda value: isinstance(value, str) and value in values


def _or_none(check: Check) -> Check:
    return lambda value: value is None or check(value)


def _order(value: object) -> bool:
    return isinstance(value, tuple) and sorted(map(repr, value)) == sorted(map(repr, range(len(value))))


def _axes(value: object) -> bool:
    return isinstance(value, tuple) and _integers(0, MAX_AXIS)(value) and len(set(value)) == len(value)


is_count = _integer(1, MAX_FEATURES)
is_outputs = _integer(1, MAX_OUTPUTS)
_sides = _integers(0, MAX_WINDOW, range(4, 5))
_axis = _integer(0, MAX_AXIS)

# Layers with several outputs.
PARTS = frozenset({"Chunk", "Split", "Unbind"})

# (names of arguments, check, the valid values in words). A name is `layer.argument` if layers use it differently.
_RULES: Sequence[tuple[str, Check, str]] = (
    ("in_channels out_channels channels", is_count, "a number of channels"),
    ("LocalResponseNorm.channels", _integer(1, MAX_BAND), f"a number of channels up to {MAX_BAND}"),
    ("depth_radius", _integer(0, MAX_BAND), "a number of channels"),
    ("in_features out_features", is_count, "a number of features"),
    ("groups", is_count, "a number of groups"),
    ("kernel_size stride dilation", _integers(1, MAX_WINDOW, range(2, 3)), f"two sizes up to {MAX_WINDOW}"),
    ("padding", lambda value: value in ("SAME", "VALID") or _sides(value), "SAME, VALID or four sizes"),
    (
        "Pad.padding MirrorPad.padding SpaceToBatch.padding crops",
        _sizes(0, range(2, 2 * MAX_AXIS + 3, 2), MAX_WINDOW),
        f"pairs of sizes up to {MAX_WINDOW}",
    ),
    ("block", _integers(1, MAX_WINDOW, range(1, MAX_AXIS)), f"sizes up to {MAX_WINDOW}"),
    ("SpaceToDepth.block DepthToSpace.block", _integer(1, MAX_WINDOW), f"a size up to {MAX_WINDOW}"),
    ("repeats_border transpose_a transpose_b keepdim constant_first", _flag, "true or false"),
    ("size", _sizes(1, range(2, 4), 2**15), "sizes"),
    ("Resize.size", _sizes(1, range(2, 3), 2**15), "a height and a width"),
    ("ConvTranspose2d.size", _sizes(-1, range(3, 4), 2**22), "sizes"),
    ("method", _one_of("bilinear", "nearest"), "a known method"),
    ("convention", _one_of("legacy", "half_pixel", "corners"), "a known convention"),
    ("times", _sizes(0, range(9), 2**16), "how often axes are repeated"),
    ("items", _items, "slices and indices of axes"),
    ("positions", _integers(0, MAX_VALUES, range(MAX_INPUTS + 1)), "positions"),
    ("order", _or_none(_order), "an order of axes"),
    ("Arrange.dims", _order, "an order of axes"),
    ("rank", _integer(0, MAX_AXIS + 1), "a number of axes"),
    ("lead", _axis, "a number of axes"),
    ("dim", _axis, "an axis"),
    ("Softmax.dim LogSoftmax.dim", _or_none(_axis), "an axis"),
    ("dims", _axes, "different axes"),
    ("kind", _one_of("float", "int", "bool"), "a kind of numbers"),
    ("function", _one_of(*BINARY_FUNCTIONS), "a known function"),
    ("Unary.function", _one_of(*UNARY_FUNCTIONS), "a known function"),
    ("Reduce.function", _one_of(*REDUCTIONS), "a known function"),
    ("Fill.value bias alpha beta", _number(), "a finite number"),
    ("epsilon", _number(0), "a finite number from 0 on"),
    ("value", lambda value: isinstance(value, float) and not math.isnan(value), "a number"),
    ("numbers", lambda value: isinstance(value, tuple) and all(map(_is_expression, value)), "numbers"),
    ("sizes", _with_one_open(_integers(-1, MAX_VALUES, range(1, MAX_OUTPUTS))), "sizes of parts"),
    ("count", is_outputs, "a number of parts"),
    ("source target", _one_of(*LAYOUTS), "a layout"),
    ("shape", _with_one_open(_sizes(-1)), "a shape"),
    ("Fill.shape", _sizes(0), "a shape"),
    ("Constant.shape Numbers.shape", _integers(0, MAX_VALUES, range(9)), "a shape"),
    ("constant_shape", _integers(1, MAX_VALUES, range(9)), "a shape"),
)
CHECKS: Mapping[str, tuple[Check, str]] = {
    name: (check, words) for names, check, words in _RULES for name in names.split()
}


# Number of inputs of each layer that does not have exactly one. Layers may have more inputs: values that they read
# only for their sizes, because an argument refers to them.
INPUTS: Mapping[str, int | range] = {
    "Binary": 2,
    "Concat": range(1, MAX_INPUTS),
    "Constant": 0,
    "Fill": range(1, MAX_INPUTS),
    "MatMul": 2,
    "Select": 3,
    "Stack": range(1, MAX_INPUTS),
    "Sum": range(1, MAX_INPUTS),
    "Numbers": range(1, MAX_INPUTS),
}


def check_outputs(name: str, layer: str, arguments: Arguments, outputs: int) -> None:
    """Checks the number of outputs of a layer.

    Raises:
        GraphError: the number is wrong. A layer of `PARTS` must have as many outputs as its arguments state, and at
            least 2. All other layers must have one.
    """
    parts = arguments.get("count", len(arguments.get("sizes", ()))) if layer in PARTS else 1
    if outputs != parts or (layer in PARTS and parts < 2):
        raise GraphError(f"Layer {name!r} ({layer}) has {outputs} outputs where its arguments make {parts}.")


@functools.cache  # a network has many layers of few classes
def _signature(layer: str) -> inspect.Signature:
    return inspect.signature(LAYERS[layer])


def check_arguments(name: str, layer: str, arguments: Arguments, inputs: int) -> None:
    """Checks the class, the arguments and the number of inputs of a layer.

    Args:
        name: TensorFlow's name of the layer, for the error.
        layer: class name in `LAYERS`.
        arguments: its constructor arguments.
        inputs: number of values that it reads.

    Raises:
        GraphError: the class is unknown, or an argument or the number of inputs is invalid.
    """
    if layer not in LAYERS:
        raise GraphError(f"Layer {name!r} is of the unknown kind {layer!r}.")
    try:
        _signature(layer).bind(**arguments)
    except TypeError as error:
        raise GraphError(f"Layer {name!r} ({layer}) cannot be made: {error}.") from error
    for key, value in arguments.items():
        check, words = CHECKS.get(f"{layer}.{key}") or CHECKS[key]
        if not check(value):
            raise GraphError(f"Layer {name!r} ({layer}) has {key} {value!r}, which has to be {words}.")
    own = 1 if layer == "Binary" and "constant_shape" in arguments else INPUTS.get(layer, 1)
    mentioned = max((_mentioned(value) for value in arguments.values()), default=0)
    if mentioned > inputs or inputs not in (own if isinstance(own, range) else (own, max(own, mentioned))):
        raise GraphError(f"Layer {name!r} ({layer}) reads {inputs} values.")
