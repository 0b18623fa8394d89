"""The registry of the layer writers, and the types of their arguments and results."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from converters.caffe.messages import CaffeMessage
from converters.caffe.net import Layer, Node, Shape
from converters.caffe.windows import Window, caffe_size, tensorflow_padding
from converters.errors import GraphError, UnsupportedNodeError
from converters.frozen.writer import GraphWriter
from converters.registry import Registry

Geometry: TypeAlias = Literal["tensorflow", "caffe"]


class CaffeWriter(GraphWriter):
    """Writes a graph, optionally without its weights.

    Args:
        apart: write empty constants in place of weights, and put the functions that decode them into `weights`.

    Attributes:
        weights: name of an empty constant -> function that decodes its value.
    """

    def __init__(self, apart: bool) -> None:
        super().__init__()
        self.apart = apart
        self.weights: dict[str, Callable[[], np.ndarray]] = {}

    def weight(self, name: str, decode: Callable[[], np.ndarray]) -> str:
        """Adds a float32 constant."""
        if not self.apart:
            return self.const(name, decode())
        self.weights[name] = decode
        return self.const(name, np.zeros(0, np.float32))


@dataclass(frozen=True)
class Value:
    """One value of the graph.

    Attributes:
        name: the name in TensorFlow.
        shape: the shape in Caffe without the batch axis: (channels, height, width) for images, which are NHWC in the
            graph, or (features,). None for unknown sizes.
        permuted: whether an image has Caffe's axes in the graph, too, as after a Permute.
    """

    name: str
    shape: Shape
    permuted: bool = False

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3 and not self.permuted

    def renamed(self, name: str) -> Value:
        """Returns another value of the same shape."""
        return replace(self, name=name)


@dataclass(frozen=True)
class Operation:
    """A layer to write.

    Attributes:
        node: the layer in the network.
        name: the layer's name in TensorFlow.
        values: the layer's inputs.
        graph: the graph to write to.
        geometry: the framework whose window positions the layer uses.
    """

    node: Node
    name: str
    values: Sequence[Value]
    graph: CaffeWriter
    geometry: Geometry

    @property
    def layer(self) -> Layer:
        return self.node.layer

    def parameter(self, name: str) -> CaffeMessage:
        """Returns a parameter message of the layer, such as `convolution_param`; unset fields have their defaults.

        Raises:
            GraphError: the old file format has no layers of this type.
        """
        if name not in self.layer.message.DESCRIPTOR.fields_by_name:
            raise self.error("is of a type that the old file format does not have")
        return getattr(self.layer.message, name)

    def value(self) -> Value:
        """Returns the layer's only input.

        Raises:
            GraphError: the layer has several inputs.
        """
        if len(self.values) != 1:
            raise self.error(f"has {len(self.values)} inputs instead of one")
        return self.values[0]

    def image(self) -> tuple[str, int, tuple[int | None, int | None]]:
        """Returns the name, the channels and the (height, width) of the layer's only input, which has to be an image.

        Raises:
            GraphError: the layer has several inputs, or its input is not an image or has an unknown number of channels.
        """
        value = self.value()
        if not value.is_image:
            raise self.unsupported("needs an image as input, not a vector or a permuted image")
        _, height, width = value.shape
        return value.name, self.channels(), (height, width)

    def channels(self) -> int:
        """Returns the number of channels or features of the layer's only input.

        Raises:
            GraphError: the layer has several inputs, or the number is unknown.
        """
        value = self.value()
        if not value.is_image and len(value.shape) != 1:
            raise self.unsupported("needs an image or a vector as input, not a permuted image or a matrix")
        size = value.shape[0]
        if size is None:
            raise self.error("reads an unknown number of channels: the definition does not state that of the input")
        return size

    def features(self) -> int:
        """Returns the number of values for one image in the layer's only input.

        Raises:
            GraphError: the layer has several inputs, or the number is unknown.
        """
        sizes = [size for size in self.value().shape if size is not None]
        if len(sizes) != len(self.value().shape):
            raise self.error("needs the size of its input, but the definition does not state the images' size")
        return math.prod(sizes)

    def blob(self, index: int, shape: tuple[int, ...], layer: Layer | None = None) -> np.ndarray:
        """Weights of the layer, in Caffe's axis order.

        Args:
            index: index of the blob.
            shape: the expected shape.
            layer: a layer that is fused into this one, to get its weights instead.

        Raises:
            GraphError: the weights are missing or have another shape.
        """
        owner = layer or self.layer
        if index >= len(owner.blobs):
            raise GraphError(
                f"Layer {owner.name!r} ({owner.type}) has {len(owner.blobs)} blobs of weights where {index + 1} are "
                "needed: the .prototxt and the .caffemodel do not fit, or the file was saved without weights."
            )
        return owner.blobs[index].values(owner.name, shape)

    def const(self, name: str, values: ArrayLike, dtype: DTypeLike = np.float32) -> str:
        """Adds the constant `<layer>/<name>`."""
        return self.graph.const(f"{self.name}/{name}", np.asarray(values, dtype))

    def weight(self, name: str, decode: Callable[[], np.ndarray]) -> str:
        """Adds the constant `<layer>/<name>`, which is decoded on access."""
        return self.graph.weight(f"{self.name}/{name}", decode)

    def op(self, name: str, kind: str, inputs: Sequence[str], **attrs: Any) -> str:
        """Adds the node `<layer>/<name>`, or `<layer>` if `name` is empty."""
        return self.graph.op(f"{self.name}/{name}" if name else self.name, kind, inputs, **attrs)

    def size(self, window: Window, round_up: bool) -> tuple[int | None, int | None]:
        """Returns the (height, width) of the output of a window on the layer's only input.

        Raises:
            GraphError: the window does not fit into the image.
        """
        _, _, size = self.image()
        made = caffe_size(size, window, round_up)
        if any(n is not None and n < 1 for n in made):
            raise self.error(f"has a window of {list(window.extent)}, which does not fit into an input of {list(size)}")
        return made

    def tensorflow_padding(self, window: Window, round_up: bool) -> str:
        """Returns the padding, SAME or VALID, that gives an output of Caffe's size.

        Raises:
            GraphError: neither padding gives this size, or the input's size is unknown.
        """
        if window.keeps_size() or (window.extent == (1, 1) and window.pad == (0, 0)):
            return "SAME"
        _, _, size = self.image()
        found = tensorflow_padding(size, window, self.size(window, round_up))
        if found is None and None in size:
            raise self.error(
                "has a window whose padding depends on the pictures' size, which the definition does not state: give a "
                'deployed network\'s .prototxt, or use geometry="caffe"'
            )
        if found is None:
            raise self.error(
                f"pads by {list(window.pad)}, which for an input of {list(size)} is neither TensorFlow's SAME nor "
                'VALID: use geometry="caffe"'
            )
        return found

    def error(self, problem: str) -> GraphError:
        """Returns an error whose message is "Layer ... `problem`."."""
        return GraphError(f"Layer {self.layer.name!r} ({self.layer.type}) {problem}.")

    def unsupported(self, problem: str) -> UnsupportedNodeError:
        """Returns an error as `error` does, for a valid layer without which the network converts."""
        return UnsupportedNodeError(str(self.error(problem)))


WRITERS: Registry[Callable[[Operation], Sequence[Value]]] = Registry("write")
"""The function that writes each type of layer."""

register = WRITERS.register


def supported_layers() -> list[str]:
    """Returns the supported layer types, sorted. Data layers, dropout and losses are removed and not listed."""
    return sorted(WRITERS)
