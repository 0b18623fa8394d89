"""The registry of the op converters, and the types of their arguments and results."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converters.errors import GraphError, UnsupportedNodeError
from converters.frozen.graph import LAYOUTS, NCHW, NHWC, Node
from converters.lowering.intervals import Interval
from converters.program.sizes import Number, Size
from converters.registry import Registry

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Value:
    """Properties of an op's input or output that are known at conversion.

    Attributes:
        shape: the shape in TensorFlow, with None for sizes that are known only when the model runs. The image's height
            and width are never known, because a converted model accepts any size.
        constant: decodes the value of a constant; None for other values.
        layout: the layout of a rank-4 value (see `converters.frozen.graph.LAYOUTS`).
        numbers: an object array of numbers, `Size`s and `Interval`s, for values that the graph computes from sizes.
    """

    shape: Shape
    constant: Callable[[], np.ndarray] | None = None
    layout: str = NHWC
    numbers: np.ndarray | None = None

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def channels(self) -> int | None:
        if self.rank == 4 and self.layout == NCHW:
            return self.shape[1]
        return self.shape[-1] if self.shape else None

    def dim(self, axis: int) -> int:
        """Returns the tensor's axis for TensorFlow's axis, which may be negative."""
        return axis_of_torch(axis, self.rank, self.layout)


@dataclass(frozen=True)
class Read:
    """One of an op's inputs, in the form in which the layer reads it.

    Attributes:
        index: index of the input.
        layout: the required layout, if the value has rank 4; None for the value's own.
        rank: the required rank, for which leading axes of length 1 are added; None for the value's own.
    """

    index: int
    layout: str | None = None
    rank: int | None = None


@dataclass(frozen=True)
class Call:
    """The layer that computes an op.

    Attributes:
        layer: class name in `layers.LAYERS`.
        shape: shape of the first output in TensorFlow.
        arguments: constructor arguments, plain data that may contain `Size`s.
        tensors: values of the layer's parameters and buffers, in torch's axis order.
        inputs: the op's inputs that the layer reads when it runs, as indices or `Read`s.
        layout: layout of the outputs, if they have rank 4; None for the layout of the first input of rank 4.
        more: shapes of the other outputs in TensorFlow.
        constants: index of an output that is constant -> its value.
    """

    layer: str
    shape: Shape
    arguments: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, np.ndarray] = field(default_factory=dict)
    inputs: Sequence[int | Read] = (0,)
    layout: str | None = None
    more: Sequence[Shape] = ()
    constants: Mapping[int, np.ndarray] = field(default_factory=dict)


@dataclass(frozen=True)
class Operation:
    """A node to convert.

    Attributes:
        node: the node.
        values: its inputs.
        graph_layout: layout of the graph's images. Rank-4 values computed from values of other ranks get it.
    """

    node: Node
    values: Sequence[Value]
    graph_layout: str = NHWC

    def attr(self, name: str, default: Any = None) -> Any:
        """Returns an attribute, or `default` if the graph omits it, as graphs do for default values."""
        value = self.node.attrs.get(name)
        return default if value is None else value

    def flag(self, name: str, default: bool = False) -> bool:
        """Returns a boolean attribute.

        Raises:
            GraphError: the attribute is not a bool.
        """
        value = self.attr(name, default)
        return bool(self._checked(name, value, isinstance(value, bool), "true or false"))

    def integer(self, name: str, default: int) -> int:
        """Returns an integer attribute.

        Raises:
            GraphError: the attribute is not an integer.
        """
        value = self.attr(name, default)
        return int(self._checked(name, value, type(value) is int, "an integer"))

    def axes(self, name: str) -> tuple[int, ...]:
        """Returns an attribute that is a list of axes; empty if the graph omits it.

        Raises:
            GraphError: the attribute is not a list of integers.
        """
        value = self.attr(name, ())
        valid = isinstance(value, tuple) and all(isinstance(axis, int) for axis in value)
        return tuple(self._checked(name, value, valid, "a list of axes"))

    def _checked(self, name: str, value: Any, valid: bool, expected: str) -> Any:
        if not valid:
            raise self.error(f"has {name} {value!r}, which has to be {expected}")
        return value

    def value(self, index: int) -> Value:
        """Returns an input.

        Raises:
            GraphError: the node has no input of this index.
        """
        try:
            return self.values[index]
        except IndexError:
            raise self.error(f"has {len(self.values)} inputs where {index + 1} are needed") from None

    def axis(self, axis: int, rank: int) -> int:
        """Converts an axis that may be negative to a non-negative one.

        Raises:
            GraphError: a value of this rank has no axis of this index.
        """
        if not -rank <= axis < rank:
            raise self.error(f"works along axis {axis} of a value of rank {rank}")
        return axis % rank

    def constant(self, index: int, rank: int | None = None) -> np.ndarray:
        """Returns an input that has to be a numeric constant.

        Args:
            index: index of the input.
            rank: the required rank.

        Raises:
            GraphError: the input depends on the image, is not numeric, or has another rank.
        """
        decode = self.value(index).constant
        if decode is None:
            raise self.unsupported(
                f"needs a constant as input {index} ({self.node.inputs[index]}), which depends on the image"
            )
        value = decode()
        if value.dtype.kind not in "fiub":
            raise self.error(f"needs numbers as input {index} ({self.node.inputs[index]})")
        if rank is not None and value.ndim != rank:
            raise self.error(f"needs input {index} ({self.node.inputs[index]}) of rank {rank}, not {value.ndim}")
        return value

    def integers(self, index: int) -> tuple[int, ...]:
        """Returns an input that has to be a constant of integers, flattened.

        Raises:
            GraphError: the input depends on the image, or is not of integers.
        """
        value = self.constant(index)
        if value.dtype.kind not in "iu" and value.size:
            raise self.error(f"needs integers as input {index} ({self.node.inputs[index]}), not {value.dtype.name}")
        return tuple(int(number) for number in value.ravel())

    def sizes(self, index: int) -> tuple[Number, ...]:
        """Returns an integer input, flattened. Its items may depend on the image's size.

        Raises:
            GraphError: the input depends on the image's values, is random, or is not of integers.
        """
        numbers = self.value(index).numbers
        if numbers is None:
            return self.integers(index)
        if any(isinstance(number, Interval) for number in numbers.ravel()):
            raise self.error(f"has random numbers as input {index} ({self.node.inputs[index]}); they must be known")
        return tuple(number if isinstance(number, Size) else int(number) for number in numbers.ravel())

    def layout(self) -> str:
        """Returns the op's `data_format`: NHWC or NCHW.

        Raises:
            GraphError: the layout is neither NHWC nor NCHW.
        """
        layout = self.attr("data_format", NHWC)
        if layout not in LAYOUTS:
            raise self.unsupported(f"has layout {layout}; NHWC and NCHW convert")
        return str(layout)

    def image_channels(self, index: int = 0, layout: str | None = None) -> int | None:
        """Returns the number of channels of an input that has to be an image (rank 4); None if it is unknown.

        Args:
            index: index of the input.
            layout: the image's layout; None for the op's `data_format`.

        Raises:
            GraphError: the input has another rank, or the op's layout is neither NHWC nor NCHW.
        """
        layout, value = layout or self.layout(), self.value(index)
        if value.rank != 4:
            raise self.error(f"needs an image (rank 4) as input {index}, not rank {value.rank}")
        return value.shape[1 if layout == NCHW else 3]

    def error(self, problem: str) -> GraphError:
        """Returns an error whose message is "Node ... `problem`."."""
        return GraphError(f"Node {self.node.name!r} ({self.node.op}) {problem}.")

    def unsupported(self, problem: str) -> UnsupportedNodeError:
        """Returns an error as `error` does, for a valid node that has no layer: the graph converts without it."""
        return UnsupportedNodeError(str(self.error(problem)))


CONVERTERS: Registry[Callable[[Operation], Call]] = Registry("convert")
"""The converter of each TensorFlow op that becomes a layer."""

register = CONVERTERS.register


def axis_of_torch(axis: int, rank: int, layout: str = NHWC) -> int:
    """Returns torch's axis for TensorFlow's axis. They differ only for NHWC images, which are (N, C, H, W) in torch."""
    axis = axis % rank if rank else axis
    return (0, 2, 3, 1)[axis] if rank == 4 and layout == NHWC else axis


def image(channels: int | None, layout: str = NHWC) -> Shape:
    """Returns the TensorFlow shape of an image of unknown size with a known number of channels."""
    return (None, channels, None, None) if layout == NCHW else (None, None, None, channels)
