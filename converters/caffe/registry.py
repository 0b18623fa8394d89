"""What the function of a layer type is given, and what it returns."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from converters.caffe.net import Layer, Node, Shape
from converters.caffe.windows import Window, caffe_size, tensorflow_padding
from converters.errors import GraphError
from converters.frozen.writer import GraphWriter

Geometry: TypeAlias = Literal["tensorflow", "caffe"]


class CaffeWriter(GraphWriter):
    """Writes a graph whose weights may stay where they are, each as a function that gives it.

    Args:
        apart: whether they do; otherwise they are written into the graph.

    Attributes:
        weights: of the constants that are in the graph by their names alone.
    """

    def __init__(self, apart: bool) -> None:
        super().__init__()
        self.apart = apart
        self.weights: dict[str, Callable[[], np.ndarray]] = {}

    def weight(self, name: str, decode: Callable[[], np.ndarray]) -> str:
        """A constant of float32 numbers."""
        if not self.apart:
            return self.const(name, decode())
        self.weights[name] = decode
        return self.const(name, np.zeros(0, np.float32))


@dataclass(frozen=True)
class Value:
    """One value of the graph that is being written.

    Attributes:
        name: TensorFlow's name of it.
        shape: Caffe's shape without the batch: (channels, height, width) of images, which lie in the graph as NHWC, or
            (features,). None for sizes that are not known.
    """

    name: str
    shape: Shape

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3


@dataclass(frozen=True)
class Operation:
    """A layer to write.

    Attributes:
        node: the layer, and what it reads.
        name: its name in TensorFlow.
        values: what it reads.
        graph: what it is written to.
        geometry: whose windows it has.
    """

    node: Node
    name: str
    values: Sequence[Value]
    graph: CaffeWriter
    geometry: Geometry

    @property
    def layer(self) -> Layer:
        return self.node.layer

    def parameter(self, name: str) -> Any:
        """The settings of the layer's type, such as `convolution_param`; at their defaults where it has none.

        Raises:
            GraphError: the file's old form has no such layers.
        """
        if name not in self.layer.message.DESCRIPTOR.fields_by_name:
            raise self.error("is of a type that files of the old form do not have")
        return getattr(self.layer.message, name)

    def value(self) -> Value:
        """The only value that the layer reads.

        Raises:
            GraphError: it reads several.
        """
        if len(self.values) != 1:
            raise self.error(f"reads {len(self.values)} values where it should read one")
        return self.values[0]

    def image(self) -> tuple[str, int, tuple[int | None, int | None]]:
        """The name, the channels and the (height, width) of the only value that the layer reads, an image.

        Raises:
            GraphError: it reads several, or no image, or one of which the channels are not known.
        """
        value = self.value()
        if not value.is_image:
            raise self.error("needs an image, and reads rows")
        channels, height, width = value.shape
        if channels is None:
            raise self.error("stands before the number of channels is known: the definition does not say the input's")
        return value.name, channels, (height, width)

    def channels(self) -> int:
        """The channels or features of the only value that the layer reads.

        Raises:
            GraphError: it reads several, or their number is not known.
        """
        size = self.value().shape[0]
        if size is None:
            raise self.error("stands before the number of channels is known: the definition does not say the input's")
        return size

    def features(self) -> int:
        """How many numbers there are for one picture in the only value that the layer reads.

        Raises:
            GraphError: it reads several, or the number is not known.
        """
        sizes = [size for size in self.value().shape if size is not None]
        if len(sizes) != len(self.value().shape):
            raise self.error("needs the size of its input, and the definition does not say how large the pictures are")
        return math.prod(sizes)

    def blob(self, index: int, shape: tuple[int, ...], layer: Layer | None = None) -> np.ndarray:
        """The layer's weights of a number, or those of a layer whose work it does, in Caffe's order of axes.

        Raises:
            GraphError: they are missing or of another shape.
        """
        owner = layer or self.layer
        if index >= len(owner.blobs):
            raise GraphError(
                f"Layer {owner.name!r} ({owner.type}) has {len(owner.blobs)} blobs of weights where {index + 1} are "
                "needed: the .prototxt and the .caffemodel do not fit, or the file was saved without weights."
            )
        return owner.blobs[index].values(owner.name, shape)

    def const(self, name: str, values: Any, kind: Any = np.float32) -> str:
        """A constant beside the layer."""
        return self.graph.const(f"{self.name}/{name}", np.asarray(values, kind))

    def weight(self, name: str, decode: Callable[[], np.ndarray]) -> str:
        """A constant beside the layer, which may be large: only computed when it is wanted."""
        return self.graph.weight(f"{self.name}/{name}", decode)

    def op(self, name: str, kind: str, inputs: Sequence[str], **attrs: Any) -> str:
        """A node beside the layer; the layer's own where `name` is empty."""
        return self.graph.op(f"{self.name}/{name}" if name else self.name, kind, inputs, **attrs)

    def size(self, window: Window, round_up: bool) -> tuple[int | None, int | None]:
        """What a window makes of the only image that the layer reads.

        Raises:
            GraphError: it does not fit into the image.
        """
        _, _, size = self.image()
        made = caffe_size(size, window, round_up)
        if any(n is not None and n < 1 for n in made):
            raise self.error(f"has a window of {list(window.extent)}, which does not fit into an input of {list(size)}")
        return made

    def tensorflow_padding(self, window: Window, round_up: bool) -> str:
        """SAME or VALID.

        Raises:
            GraphError: neither makes of the input what Caffe makes of it, or the input's size is not known.
        """
        if window.keeps_size() or (window.extent == (1, 1) and window.pad == (0, 0)):
            return "SAME"
        _, _, size = self.image()
        found = tensorflow_padding(size, window, self.size(window, round_up))
        if found is None and None in size:
            raise self.error(
                "has a window whose padding depends on the pictures' size, which the definition does not say: give a "
                'deployed network\'s .prototxt, or take geometry="caffe"'
            )
        if found is None:
            raise self.error(
                f"pads by {list(window.pad)}, which for an input of {list(size)} is neither TensorFlow's SAME nor "
                'VALID: take geometry="caffe"'
            )
        return found

    def error(self, what: str) -> GraphError:
        return GraphError(f"Layer {self.layer.name!r} ({self.layer.type}) {what}.")


Function = Callable[[Operation], Sequence[Value]]
_REGISTRY: dict[str, Function] = {}


def register(*types: str) -> Callable[[Function], Function]:
    """Makes a function the writer of these types of layers."""

    def decorate(function: Function) -> Function:
        for kind in types:
            if kind in _REGISTRY:
                raise ValueError(f"Two functions write {kind}.")
            _REGISTRY[kind] = function
        return function

    return decorate


def lookup(kind: str) -> Function | None:
    """The function that writes a type of layers, or None."""
    return _REGISTRY.get(kind)


def supported_layers() -> list[str]:
    """Every type of layers that converts, sorted; data layers, dropout and losses go without saying."""
    return sorted(_REGISTRY)
