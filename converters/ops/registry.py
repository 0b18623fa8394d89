"""What an op's function is given and what it returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from converters.errors import GraphError
from converters.graph import Node

Shape = tuple[int | None, ...]


@dataclass(frozen=True)
class Value:
    """What is known of one value before anything runs.

    Attributes:
        shape: TensorFlow's shape (NHWC for images), None for sizes known only when the model runs. Height and width
            are never known: a converted model takes any size.
        constant: decodes the value where it is a constant.
    """

    shape: Shape
    constant: Callable[[], np.ndarray] | None = None

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def channels(self) -> int | None:
        return self.shape[-1] if self.shape else None


@dataclass(frozen=True)
class Call:
    """The layer that computes an op.

    Attributes:
        layer: class name in `layers.LAYERS`.
        shape: shape of the result, in TensorFlow's order.
        arguments: constructor arguments, plain data.
        tensors: values of the layer's parameters and buffers, in torch's order.
        inputs: which of the op's inputs the layer reads when it runs.
    """

    layer: str
    shape: Shape
    arguments: Mapping[str, Any] = field(default_factory=dict)
    tensors: Mapping[str, np.ndarray] = field(default_factory=dict)
    inputs: Sequence[int] = (0,)


@dataclass(frozen=True)
class Operation:
    """A node to convert, with what is known of its inputs."""

    node: Node
    values: Sequence[Value]

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

    def value(self, index: int) -> Value:
        """What is known of an input.

        Raises:
            GraphError: the node has no such input.
        """
        try:
            return self.values[index]
        except IndexError:
            raise self.error(f"has {len(self.values)} inputs where {index + 1} are needed") from None

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
        if value.dtype.kind not in "iu":
            raise self.error(f"needs integers as input {index} ({self.node.inputs[index]}), not {value.dtype.name}")
        return tuple(int(number) for number in value.ravel())

    def image_channels(self, index: int = 0) -> int | None:
        """The channels of an input that has to be an image (rank 4).

        Raises:
            GraphError: the input has another rank, or the op's layout is not NHWC.
        """
        if self.attr("data_format", "NHWC") != "NHWC":
            raise self.error(f"has layout {self.attr('data_format')}; only NHWC graphs convert")
        value = self.value(index)
        if value.rank != 4:
            raise self.error(f"needs an image (rank 4) as input {index}, not rank {value.rank}")
        return value.channels

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


def supported_ops() -> list[str]:
    """Every op that converts, sorted."""
    return sorted(_REGISTRY)


def axis_of_torch(axis: int, rank: int) -> int:
    """torch's axis for TensorFlow's: images are NHWC there and NCHW here; other ranks are alike."""
    axis = axis % rank if rank else axis
    return (0, 2, 3, 1)[axis] if rank == 4 else axis
