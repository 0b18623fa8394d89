"""What a layer's constructor arguments may be, whether they come from a graph or from a saved model.

Both are files that somebody else wrote. Checked here, no argument can be of a wrong kind, or ask for memory that the
file does not have.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

from converters.errors import GraphError
from converters.frozen.graph import LAYOUTS
from converters.functional.sizes import SIZE_FUNCTIONS
from converters.layers import BINARY_FUNCTIONS, LAYERS, REDUCTIONS, UNARY_FUNCTIONS

# Far beyond any image network, and small enough that no layer's own memory gets out of hand.
MAX_WINDOW = 4096  # rows or columns of a window, a stride or a padding
MAX_FEATURES = 2**22  # channels, or features of a fully connected layer
MAX_BAND = 8192  # channels of LRN, whose kernel is channels squared
MAX_VALUES = 2**31  # values of a row, or of a constant
MAX_NUMBER = 1e30  # of a constant in a formula; NaN is no number at all
MAX_AXIS = 7
MAX_OUTPUTS = 4096  # of one op
MAX_INPUTS = 2**16
MAX_DEPTH = 200  # of an expression of sizes

Check = Callable[[Any], bool]


def _integer(low: int, high: int) -> Check:
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _integers(low: int, high: int, lengths: range = range(1, 9)) -> Check:
    one = _integer(low, high)
    return lambda value: isinstance(value, tuple) and len(value) in lengths and all(map(one, value))


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= MAX_NUMBER


def _flag(value: Any) -> bool:
    return isinstance(value, bool)


def _sizes(low: int, lengths: range = range(9), high: int = MAX_VALUES) -> Check:
    """Whole numbers, or expressions that give some."""
    number = _integer(low, high)
    return lambda value: (
        isinstance(value, tuple)
        and len(value) in lengths
        and all(_is_expression(item) if isinstance(item, tuple) else number(item) for item in value)
    )


def _is_expression(value: Any, depth: int = 0) -> bool:
    """Whether a value is an expression of sizes (`functional.sizes`)."""
    if not isinstance(value, tuple):
        return _number(value)
    if not value or depth > MAX_DEPTH:
        return False
    name, *operands = value
    if name == "size":
        return len(operands) == 2 and _integer(0, MAX_INPUTS)(operands[0]) and _integer(0, MAX_AXIS)(operands[1])
    count = 1 if name in ("floor", "ceil", "round", "int", "float", "float32") else 2
    known = isinstance(name, str) and name in SIZE_FUNCTIONS and len(operands) == count
    return known and all(_is_expression(operand, depth + 1) for operand in operands)


def _mentioned(value: Any) -> int:
    """How many inputs a layer has to have for its expressions."""
    if not isinstance(value, tuple):
        return 0
    if len(value) == 3 and value[0] == "size":
        return int(value[1]) + 1
    return max((_mentioned(item) for item in value), default=0)


def _target(value: Any) -> bool:
    """A shape to reshape to: one size at the most is left open."""
    return _sizes(-1)(value) and list(value).count(-1) <= 1


def _parts(value: Any) -> bool:
    """Sizes of an axis's parts: one at the most is what the others leave."""
    return _integers(-1, MAX_VALUES, range(1, MAX_OUTPUTS))(value) and list(value).count(-1) <= 1


def _items(value: Any) -> bool:
    """Pieces of axes, positions on them, and new axes (`functional.index_axes`)."""
    return isinstance(value, tuple) and len(value) <= 2 * MAX_AXIS and all(map(_item, value))


def _item(value: Any) -> bool:
    if not isinstance(value, tuple) or not value:
        return False
    kind, *bounds = value
    if kind == "slice" and len(bounds) == 3:
        step = bounds.pop()
        return _integer(-MAX_VALUES, MAX_VALUES)(step) and step != 0 and all(b is None or _bound(b) for b in bounds)
    return (kind == "at" and len(bounds) == 1 and _bound(bounds[0])) or (kind == "new" and not bounds)


def _bound(value: Any) -> bool:
    return _is_expression(value) if isinstance(value, tuple) else _integer(-MAX_VALUES, MAX_VALUES)(value)


def _one_of(*values: Any) -> Check:
    return lambda value: isinstance(value, str) and value in values


def _order(value: Any) -> bool:
    return isinstance(value, tuple) and sorted(map(repr, value)) == sorted(map(repr, range(len(value))))


def _axes(value: Any) -> bool:
    return _integers(0, MAX_AXIS)(value) and len(set(value)) == len(value)


def _axis_or_none(value: Any) -> bool:
    return value is None or _integer(0, MAX_AXIS)(value)


_pads = _sizes(0, range(2, 2 * MAX_AXIS + 3, 2), MAX_WINDOW)
is_count = _integer(1, MAX_FEATURES)
is_outputs = _integer(1, MAX_OUTPUTS)
_pair = _integers(1, MAX_WINDOW, range(2, 3))
_sides = _integers(0, MAX_WINDOW, range(4, 5))

# Layers that take a value apart.
PARTS = frozenset({"Chunk", "Split", "Unbind"})

# By argument, or by layer and argument where one name stands for different things.
CHECKS: Mapping[str, tuple[Check, str]] = {
    "in_channels": (is_count, "a number of channels"),
    "out_channels": (is_count, "a number of channels"),
    "channels": (is_count, "a number of channels"),
    "LocalResponseNorm.channels": (_integer(1, MAX_BAND), f"a number of channels up to {MAX_BAND}"),
    "in_features": (is_count, "a number of features"),
    "out_features": (is_count, "a number of features"),
    "groups": (is_count, "a number of groups"),
    "kernel_size": (_pair, f"two sizes up to {MAX_WINDOW}"),
    "stride": (_pair, f"two sizes up to {MAX_WINDOW}"),
    "dilation": (_pair, f"two sizes up to {MAX_WINDOW}"),
    "padding": (lambda value: value in ("SAME", "VALID") or _sides(value), "SAME, VALID or four sizes"),
    "Pad.padding": (_pads, f"pairs of sizes up to {MAX_WINDOW}"),
    "MirrorPad.padding": (_pads, f"pairs of sizes up to {MAX_WINDOW}"),
    "SpaceToBatch.padding": (_pads, f"pairs of sizes up to {MAX_WINDOW}"),
    "crops": (_pads, f"pairs of sizes up to {MAX_WINDOW}"),
    "block": (_integers(1, MAX_WINDOW, range(1, MAX_AXIS)), f"sizes up to {MAX_WINDOW}"),
    "SpaceToDepth.block": (_integer(1, MAX_WINDOW), f"a size up to {MAX_WINDOW}"),
    "DepthToSpace.block": (_integer(1, MAX_WINDOW), f"a size up to {MAX_WINDOW}"),
    "repeats_border": (_flag, "true or false"),
    "size": (_sizes(1, range(2, 4), 2**15), "sizes"),
    "ConvTranspose2d.size": (_sizes(-1, range(3, 4), 2**22), "sizes"),
    "method": (_one_of("bilinear", "nearest"), "a known method"),
    "convention": (_one_of("legacy", "half_pixel", "corners"), "a known convention"),
    "times": (_sizes(0, range(9), 2**16), "how often axes are repeated"),
    "items": (_items, "pieces of axes"),
    "positions": (_integers(0, MAX_VALUES, range(MAX_INPUTS + 1)), "positions"),
    "order": (lambda value: value is None or _order(value), "an order of axes"),
    "rank": (_integer(0, MAX_AXIS + 1), "a number of axes"),
    "transpose_a": (_flag, "true or false"),
    "transpose_b": (_flag, "true or false"),
    "kind": (_one_of("float", "int", "bool"), "a kind of numbers"),
    "Softmax.dim": (_axis_or_none, "an axis"),
    "LogSoftmax.dim": (_axis_or_none, "an axis"),
    "Unary.function": (_one_of(*UNARY_FUNCTIONS), "a known function"),
    "Reduce.function": (_one_of(*REDUCTIONS), "a known function"),
    "Fill.shape": (_sizes(0), "a shape"),
    "Fill.value": (_number, "a finite number"),
    "value": (lambda value: isinstance(value, float) and not math.isnan(value), "a number"),
    "depth_radius": (_integer(0, MAX_BAND), "a number of channels"),
    "bias": (_number, "a finite number"),
    "alpha": (_number, "a finite number"),
    "beta": (_number, "a finite number"),
    "epsilon": (lambda value: _number(value) and value >= 0, "a finite number from 0 on"),
    "dim": (_integer(0, MAX_AXIS), "an axis"),
    "dims": (_axes, "different axes"),
    "Arrange.dims": (_order, "an order of axes"),
    "lead": (_integer(0, MAX_AXIS), "a number of axes"),
    "sizes": (_parts, "sizes of parts"),
    "count": (is_outputs, "a number of parts"),
    "source": (lambda value: value in LAYOUTS, "a layout"),
    "target": (lambda value: value in LAYOUTS, "a layout"),
    "Constant.shape": (_integers(0, MAX_VALUES, range(9)), "a shape"),
    "Numbers.shape": (_integers(0, MAX_VALUES, range(9)), "a shape"),
    "numbers": (lambda value: isinstance(value, tuple) and all(map(_is_expression, value)), "numbers"),
    "keepdim": (_flag, "true or false"),
    "shape": (_target, "a shape"),
    "constant_shape": (_integers(1, MAX_VALUES, range(9)), "a shape"),
    "constant_first": (_flag, "true or false"),
    "function": (_one_of(*BINARY_FUNCTIONS), "a known function"),
}


# How many values a layer reads, where it is not one. Behind them it reads those whose sizes its arguments mention.
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


def check_outputs(name: str, layer: str, arguments: Mapping[str, Any], outputs: int) -> None:
    """Refuses a number of outputs that a layer does not give.

    Raises:
        GraphError: layers that take a value apart give as many values as their arguments say, and more than one; all
            others give one.
    """
    parts = arguments.get("count", len(arguments.get("sizes", ()))) if layer in PARTS else 1
    if outputs != parts or (layer in PARTS and parts < 2):
        raise GraphError(f"Layer {name!r} ({layer}) has {outputs} outputs where its arguments make {parts}.")


def check_arguments(name: str, layer: str, arguments: Mapping[str, Any], inputs: int) -> None:
    """Refuses arguments that a layer cannot have.

    Args:
        name: TensorFlow's name of the layer, for the error.
        layer: class name in `LAYERS`.
        arguments: its constructor arguments.
        inputs: how many values it reads.

    Raises:
        GraphError: a class, an argument or the number of inputs that there cannot be.
    """
    if layer not in LAYERS:
        raise GraphError(f"Layer {name!r} is of the unknown kind {layer!r}.")
    try:
        inspect.signature(LAYERS[layer]).bind(**arguments)
    except TypeError as error:
        raise GraphError(f"Layer {name!r} ({layer}) cannot be made: {error}.") from error
    for key, value in arguments.items():
        check, what = CHECKS.get(f"{layer}.{key}") or CHECKS[key]
        if not check(value):
            raise GraphError(f"Layer {name!r} ({layer}) has {key} {value!r}, which has to be {what}.")
    own = 1 if layer == "Binary" and "constant_shape" in arguments else INPUTS.get(layer, 1)
    mentioned = max((_mentioned(value) for value in arguments.values()), default=0)
    if mentioned > inputs or inputs not in (own if isinstance(own, range) else (own, max(own, mentioned))):
        raise GraphError(f"Layer {name!r} ({layer}) reads {inputs} values.")
