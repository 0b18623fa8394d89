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
from converters.layers import BINARY_FUNCTIONS, LAYERS

# Far beyond any image network, and small enough that no layer's own memory gets out of hand.
MAX_WINDOW = 4096  # rows or columns of a window, a stride or a padding
MAX_FEATURES = 2**22  # channels, or features of a fully connected layer
MAX_BAND = 8192  # channels of LRN, whose kernel is channels squared
MAX_VALUES = 2**31  # values of a row, or of a constant
MAX_NUMBER = 1e30  # of a constant in a formula; NaN is no number at all
MAX_AXIS = 3  # images have four axes, and nothing has more

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


def _target(value: Any) -> bool:
    """A shape to reshape to: one size at the most is left open."""
    return _integers(-1, MAX_VALUES)(value) and list(value).count(-1) <= 1


is_count = _integer(1, MAX_FEATURES)
_pair = _integers(1, MAX_WINDOW, range(2, 3))
_sides = _integers(0, MAX_WINDOW, range(4, 5))

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
    "Pad.padding": (_integers(0, MAX_WINDOW, range(2, 9, 2)), f"pairs of sizes up to {MAX_WINDOW}"),
    "value": (lambda value: isinstance(value, float) and not math.isnan(value), "a number"),
    "depth_radius": (_integer(0, MAX_BAND), "a number of channels"),
    "bias": (_number, "a finite number"),
    "alpha": (_number, "a finite number"),
    "beta": (_number, "a finite number"),
    "epsilon": (lambda value: _number(value) and value >= 0, "a finite number from 0 on"),
    "dim": (_integer(0, MAX_AXIS), "an axis"),
    "dims": (_integers(0, MAX_AXIS), "axes"),
    "keepdim": (_flag, "true or false"),
    "shape": (_target, "a shape"),
    "constant_shape": (_integers(1, MAX_VALUES, range(9)), "a shape"),
    "constant_first": (_flag, "true or false"),
    "function": (lambda value: isinstance(value, str) and value in BINARY_FUNCTIONS, "a known function"),
}


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
    wanted = {"Concat": range(1, 2**16), "Binary": range(1, 2) if "constant_shape" in arguments else range(2, 3)}
    if inputs not in wanted.get(layer, range(1, 2)):
        raise GraphError(f"Layer {name!r} ({layer}) reads {inputs} values.")
