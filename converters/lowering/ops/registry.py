"""What an op's function is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converters.errors import GraphError
from converters.frozen.graph import LAYOUTS, NCHW, NHWC, Node
from converters.lowering.intervals import Interval
from converters.program.sizes import Number, Size

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Value:
    """What is known of one value before anything runs.

    Attributes:
        shape: TensorFlow's shape (NHWC for images), None for sizes known only when the model runs. Height and width
            are never known: a converted model takes any size.
        constant: decodes the value where it is a constant.
        layout: how a rank-4 value lies in its tensor.
        numbers: what the graph computes from sizes, where the value is that: an array of numbers, `Size`s and
            `Interval`s.
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

    @property
    def is_plain(self) -> bool:
        """Whether the tensor's axes are TensorFlow's."""
        return self.rank != 4 or self.layout == NCHW

    def dim(self, axis: int) -> int:
        """torch's axis for one of TensorFlow's, which may count from the end."""
        return axis_of_torch(axis, self.rank, self.layout)


@dataclass(frozen=True)
class Read:
    """One of an op's inputs as its layer wants it.

    Attributes:
        index: which input.
        layout: how it has to lie in its tensor, if it has rank 4; None for as it is.
        rank: axes of length 1 are put in front up to this rank; None for as it is.
    """

    index: int
    layout: str | None = None
    rank: int | None = None


@dataclass(frozen=True)
class Call:
    """The layer that computes an op.

    Attributes:
        layer: class name in `layers.LAYERS`.
        shape: shape of the result, in TensorFlow's order.
        arguments: constructor arguments, plain data; sizes in them may be `Size`s.
        tensors: values of the layer's parameters and buffers, in torch's order.
        inputs: which of the op's inputs the layer reads when it runs, and how they have to lie.
        layout: how the result lies, if it has rank 4; None for as the first input that has rank 4.
        more: shapes of the outputs behind the first.
    """

    layer: str
    shape: Shape
    arguments: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, np.ndarray] = field(default_factory=dict)
    inputs: Sequence[int | Read] = (0,)
    layout: str | None = None
    more: Sequence[Shape] = ()


@dataclass(frozen=True)
class Operation:
    """A node to convert, with what is known of its inputs.

    Attributes:
        node: the node.
        values: its inputs.
        graph_layout: the layout of the graph's images, for values of rank 4 that are made of others.
    """

    node: Node
    values: Sequence[Value]
    graph_layout: str = NHWC

    def attr(self, name: str, default: Any = None) -> Any:
        """An attribute, or `default` where the graph leaves it out (graphs omit attributes at their defaults)."""
        value = self.node.attrs.get(name)
        return default if value is None else value

    def flag(self, name: str, default: bool = False) -> bool:
        """A true-or-false attribute.

        Raises:
            GraphError: the attribute is something else.
        """
        value = self.attr(name, default)
        if not isinstance(value, bool):
            raise self.error(f"has {name} {value!r}, which has to be true or false")
        return value

    def integer(self, name: str, default: int) -> int:
        """A whole-number attribute.

        Raises:
            GraphError: the attribute is something else.
        """
        value = self.attr(name, default)
        if not isinstance(value, int) or isinstance(value, bool):
            raise self.error(f"has {name} {value!r}, which has to be a whole number")
        return value

    def axes(self, name: str) -> tuple[int, ...]:
        """An attribute that is a list of axes; empty where it is left out.

        Raises:
            GraphError: the attribute is something else.
        """
        value = self.attr(name, ())
        if not isinstance(value, tuple) or not all(isinstance(axis, int) for axis in value):
            raise self.error(f"has {name} {value!r}, which have to be axes")
        return value

    def value(self, index: int) -> Value:
        """What is known of an input.

        Raises:
            GraphError: the node has no such input.
        """
        try:
            return self.values[index]
        except IndexError:
            raise self.error(f"has {len(self.values)} inputs where {index + 1} are needed") from None

    def axis(self, axis: int, rank: int) -> int:
        """An axis counted from the front.

        Raises:
            GraphError: there is no such axis.
        """
        if not -rank <= axis < rank:
            raise self.error(f"works along axis {axis} of a value of rank {rank}")
        return axis % rank

    def constant(self, index: int, rank: int | None = None) -> np.ndarray:
        """The numbers of an input that has to be a constant.

        Args:
            index: which input.
            rank: the rank it has to have.

        Raises:
            GraphError: the input is computed when the graph runs, or has another rank.
        """
        decode = self.value(index).constant
        if decode is None:
            raise self.error(f"needs a constant as input {index} ({self.node.inputs[index]}), which the graph computes")
        value = decode()
        if value.dtype.kind not in "fiub":
            raise self.error(f"needs numbers as input {index} ({self.node.inputs[index]})")
        if rank is not None and value.ndim != rank:
            raise self.error(f"needs input {index} ({self.node.inputs[index]}) of rank {rank}, not {value.ndim}")
        return value

    def integers(self, index: int) -> tuple[int, ...]:
        """A constant input of integers.

        Raises:
            GraphError: the input is no constant, or holds other numbers.
        """
        value = self.constant(index)
        if value.dtype.kind not in "iu" and value.size:
            raise self.error(f"needs integers as input {index} ({self.node.inputs[index]}), not {value.dtype.name}")
        return tuple(int(number) for number in value.ravel())

    def sizes(self, index: int) -> tuple[Number, ...]:
        """An input of whole numbers that may depend on the image's size.

        Raises:
            GraphError: the input depends on more than that.
        """
        numbers = self.value(index).numbers
        if numbers is None:
            return self.integers(index)
        if any(isinstance(number, Interval) for number in numbers.ravel()):
            raise self.error(f"needs numbers as input {index} ({self.node.inputs[index]}), which is random")
        return tuple(number if isinstance(number, Size) else int(number) for number in numbers.ravel())

    def layout(self) -> str:
        """The op's `data_format`.

        Raises:
            GraphError: it is none that images have.
        """
        layout = self.attr("data_format", NHWC)
        if layout not in LAYOUTS:
            raise self.error(f"has layout {layout}; NHWC and NCHW convert")
        return str(layout)

    def image_channels(self, index: int = 0, layout: str | None = None) -> int | None:
        """The channels of an input that has to be an image (rank 4).

        Args:
            index: which input.
            layout: whose channels; None for the op's own layout.

        Raises:
            GraphError: the input has another rank, or the op's layout is none.
        """
        layout, value = layout or self.layout(), self.value(index)
        if value.rank != 4:
            raise self.error(f"needs an image (rank 4) as input {index}, not rank {value.rank}")
        return value.shape[1 if layout == NCHW else 3]

    def error(self, what: str) -> GraphError:
        return GraphError(f"Node {self.node.name!r} ({self.node.op}) {what}.")


Function = Callable[[Operation], Call]
_REGISTRY: dict[str, Function] = {}


def register(*ops: str) -> Callable[[Function], Function]:
    """Makes a function the converter of these TensorFlow ops."""

    def decorate(function: Function) -> Function:
        for op in ops:
            if op in _REGISTRY:
                raise ValueError(f"Two functions convert {op}.")
            _REGISTRY[op] = function
        return function

    return decorate


def lookup(op: str) -> Function | None:
    """The function that converts an op, or None."""
    return _REGISTRY.get(op)


def registered_ops() -> list[str]:
    """Every op that a layer computes, sorted."""
    return sorted(_REGISTRY)


def axis_of_torch(axis: int, rank: int, layout: str = NHWC) -> int:
    """torch's axis for TensorFlow's: turned images are NHWC there and NCHW here; all else is alike."""
    axis = axis % rank if rank else axis
    return (0, 2, 3, 1)[axis] if rank == 4 and layout == NHWC else axis


def image(channels: int | None, layout: str = NHWC) -> Shape:
    """An image's shape, of which only the channels are known."""
    return (None, channels, None, None) if layout == NCHW else (None, None, None, channels)
