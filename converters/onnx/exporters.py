"""One function for each kind of layer: the ONNX nodes (opset 17) that compute what the layer computes.

Values lie in ONNX as they lie in torch: images are (N, C, H, W).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.errors import GraphError
from converters.onnx.nodes import NodeWriter

OPSET = 17


@dataclass(frozen=True)
class Call:
    """A layer to write.

    Attributes:
        name: TensorFlow's name, which its value gets in ONNX, too.
        arguments: all of its constructor's arguments.
        inputs: names of the values it reads.
        ranks: of those values.
        tensors: its parameters and buffers.
    """

    name: str
    arguments: Mapping[str, Any]
    inputs: Sequence[str]
    ranks: Sequence[int]
    tensors: Mapping[str, np.ndarray]

    def part(self, what: str) -> str:
        """A name for something that helps to compute the layer."""
        return f"{self.name}/{what}"

    def error(self, what: str) -> GraphError:
        return GraphError(f"Layer {self.name!r} {what}, which is not written to ONNX.")


Exporter = Callable[[Call, NodeWriter], int]  # returns the rank of the layer's value
EXPORTERS: dict[str, Exporter] = {}


def exports(*kinds: str) -> Callable[[Exporter], Exporter]:
    """Makes a function the exporter of these classes of `converters.layers`."""

    def decorate(function: Exporter) -> Exporter:
        for kind in kinds:
            if kind in EXPORTERS:
                raise ValueError(f"Two functions write {kind}.")
            EXPORTERS[kind] = function
        return function

    return decorate


# -- windows ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Window:
    """A sliding window over rows and columns, padded as TensorFlow pads."""

    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: Any
    dilation: tuple[int, ...] = (1, 1)

    @classmethod
    def of(cls, arguments: Mapping[str, Any]) -> Window:
        kernel, stride = tuple(arguments["kernel_size"]), tuple(arguments["stride"])
        return cls(kernel, stride, arguments["padding"], tuple(arguments.get("dilation", (1, 1))))

    @property
    def extent(self) -> tuple[int, ...]:
        """Rows and columns from a window's first cell to its last."""
        return tuple((kernel - 1) * dilation + 1 for kernel, dilation in zip(self.kernel, self.dilation, strict=True))

    def attributes(self) -> dict[str, Any]:
        """Sizes and steps, as all of ONNX's windows have them."""
        return {"kernel_shape": self.kernel, "strides": self.stride}

    def pads(self) -> tuple[int, ...] | None:
        """(top, left, bottom, right), where they are the same at every size of the input; otherwise None."""
        if self.padding == "VALID" or (self.padding == "SAME" and max(self.extent) == 1):
            return (0, 0, 0, 0)
        if self.padding != "SAME":
            top, bottom, left, right = self.padding
            return (top, left, bottom, right)
        if max(self.stride) == 1:
            before = [(extent - 1) // 2 for extent in self.extent]
            return (*before, *(extent - 1 - rows for extent, rows in zip(self.extent, before, strict=True)))
        return None

    def has_automatic_padding(self) -> bool:
        """Whether `auto_pad` says what SAME means.

        The standard defines it without dilation, and onnxruntime refuses the negative padding that it comes to where
        a step is longer than the window.
        """
        steps = zip(self.kernel, self.stride, strict=True)
        return self.padding == "SAME" and max(self.dilation) == 1 and all(stride <= kernel for kernel, stride in steps)


def _same_pads(call: Call, w: NodeWriter, window: Window) -> str:
    """Nodes that compute SAME padding from the size of the layer's input: `Pad`'s amounts, all before and all after."""
    size = w.part("Shape", [call.inputs[0]], call.part("size"), start=2, end=4)
    stride = w.integers(call.part("stride"), window.stride)
    windows = w.part("Sub", [size, w.integers(call.part("one"), [1])], call.part("size_less_one"))
    steps = w.part("Mul", [w.part("Div", [windows, stride], call.part("steps")), stride], call.part("last_window"))
    end = w.part("Add", [steps, w.integers(call.part("extent"), window.extent)], call.part("end"))
    missing = w.part("Sub", [end, size], call.part("missing"))
    total = w.part("Max", [missing, w.integers(call.part("zero"), [0])], call.part("padding"))
    before = w.part("Div", [total, w.integers(call.part("two"), [2])], call.part("before"))
    after = w.part("Sub", [total, before], call.part("after"))
    none = w.integers(call.part("none"), [0, 0])
    return w.part("Concat", [none, before, none, after], call.part("pads"), axis=0)


def _padding(call: Call, w: NodeWriter, window: Window) -> tuple[dict[str, Any], str | None]:
    """How to pad as TensorFlow does.

    Returns:
        Attributes of the window's own op; and, where that has none that say it, the amounts for a `Pad` before it.
    """
    if window.has_automatic_padding():
        return {"auto_pad": "SAME_UPPER"}, None
    pads = window.pads()
    if pads is None:
        return {}, _same_pads(call, w, window)
    if all(pad < extent for pad, extent in zip(pads, window.extent * 2, strict=True)):
        return ({"pads": pads} if any(pads) else {}), None
    # More than a window, which pools do not take as an attribute.
    return {}, w.integers(call.part("pads"), [0, 0, *pads[:2], 0, 0, *pads[2:]])


def _pad(call: Call, w: NodeWriter, amounts: str | None, fill: float) -> str:
    """The layer's input, padded if there are amounts for it."""
    x = call.inputs[0]
    return w.part("Pad", [x, amounts, w.number(call.part("fill"), fill)], call.part("padded")) if amounts else x


@exports("Conv2d")
def conv2d(call: Call, w: NodeWriter) -> int:
    window = Window.of(call.arguments)
    padding, amounts = _padding(call, w, window)
    inputs = [_pad(call, w, amounts, 0.0), w.constant(call.part("weight"), call.tensors["weight"])]
    more = {"dilations": window.dilation, "group": call.arguments["groups"]}
    w.result("Conv", inputs, [call.name], **window.attributes(), **more, **padding)
    return 4


@exports("MaxPool2d")
def max_pool(call: Call, w: NodeWriter) -> int:
    window = Window.of(call.arguments)
    padding, amounts = _padding(call, w, window)
    w.result("MaxPool", [_pad(call, w, amounts, -np.inf)], [call.name], **window.attributes(), **padding)
    return 4


@exports("AvgPool2d")
def avg_pool(call: Call, w: NodeWriter) -> int:
    window = Window.of(call.arguments)
    padding, amounts = _padding(call, w, window)
    if amounts is None:
        w.result("AveragePool", call.inputs, [call.name], **window.attributes(), **padding, count_include_pad=0)
        return 4
    # Padded before it, a pool cannot tell padding from values; the same pool of ones says how much of each window
    # is values.
    size = w.part("Shape", call.inputs, call.part("map_size"), start=2, end=4)
    shape = w.part("Concat", [w.integers(call.part("one_map"), [1, 1]), size], call.part("map_shape"), axis=0)
    zeros = w.part("ConstantOfShape", [shape], call.part("zeros"))
    ones = w.part("Add", [zeros, w.number(call.part("value"), 1.0)], call.part("ones"))
    inside = w.part("AveragePool", [w.part("Pad", [ones, amounts], call.part("inside"))], call.part("share"),
                    **window.attributes())  # fmt: skip
    mean = w.part("AveragePool", [_pad(call, w, amounts, 0.0)], call.part("mean"), **window.attributes())
    w.result("Div", [mean, inside], [call.name])
    return 4


# -- weights and norms ------------------------------------------------------------------------------------------------


def per_channel(vector: np.ndarray, rank: int) -> np.ndarray:
    """A vector of one number a channel in a shape that broadcasts over values of a rank."""
    return vector.reshape(-1, 1, 1) if rank == 4 else vector


@exports("Bias")
def bias(call: Call, w: NodeWriter) -> int:
    vector = w.constant(call.part("bias"), per_channel(call.tensors["bias"], call.ranks[0]))
    w.result("Add", [*call.inputs, vector], [call.name])
    return call.ranks[0]


@exports("Linear")
def linear(call: Call, w: NodeWriter) -> int:
    matrix = w.constant(call.part("weight"), call.tensors["weight"].T)
    w.result("MatMul", [*call.inputs, matrix], [call.name])
    return call.ranks[0]


@exports("BatchNorm")
def batch_norm(call: Call, w: NodeWriter) -> int:
    vectors = [w.constant(call.part(key), call.tensors[key]) for key in ("weight", "bias", "mean", "variance")]
    w.result("BatchNormalization", [*call.inputs, *vectors], [call.name], epsilon=float(call.arguments["epsilon"]))
    return call.ranks[0]


@exports("LocalResponseNorm")
def local_response_norm(call: Call, w: NodeWriter) -> int:
    size = 2 * call.arguments["depth_radius"] + 1
    numbers = {key: float(call.arguments[key]) for key in ("bias", "beta")}
    # ONNX, like Caffe, divides alpha by the window's length.
    w.result("LRN", call.inputs, [call.name], size=size, alpha=float(call.arguments["alpha"]) * size, **numbers)
    return 4


# -- values one at a time ---------------------------------------------------------------------------------------------

PLAIN = {
    "Elu": "Elu",
    "Identity": "Identity",
    "Relu": "Relu",
    "Selu": "Selu",  # ONNX's own constants are TensorFlow's
    "Sigmoid": "Sigmoid",
    "Softplus": "Softplus",
    "StopGradient": "Identity",
    "Tanh": "Tanh",
}
BINARY = {"add": "Add", "sub": "Sub", "mul": "Mul", "div": "Div", "maximum": "Max", "minimum": "Min"}


def _plain(op: str) -> Exporter:
    def write(call: Call, w: NodeWriter) -> int:
        w.result(op, call.inputs, [call.name])
        return call.ranks[0]

    return write


for _kind, _op in PLAIN.items():
    exports(_kind)(_plain(_op))


@exports("Relu6")
def relu6(call: Call, w: NodeWriter) -> int:
    ends = [w.number(call.part("low"), 0.0), w.number(call.part("high"), 6.0)]
    w.result("Clip", [*call.inputs, *ends], [call.name])
    return call.ranks[0]


@exports("LeakyRelu")
def leaky_relu(call: Call, w: NodeWriter) -> int:
    w.result("LeakyRelu", call.inputs, [call.name], alpha=float(call.arguments["alpha"]))
    return call.ranks[0]


@exports("Softmax")
def softmax(call: Call, w: NodeWriter) -> int:
    w.result("Softmax", call.inputs, [call.name], axis=1 if call.ranks[0] == 4 else -1)
    return call.ranks[0]


@exports("Binary")
def binary(call: Call, w: NodeWriter) -> int:
    sides, ranks = list(call.inputs), list(call.ranks)
    if "constant" in call.tensors:
        sides.append(w.constant(call.part("constant"), call.tensors["constant"]))
        ranks.append(call.tensors["constant"].ndim)
    w.result(BINARY[call.arguments["function"]], sides[:: -1 if call.arguments["constant_first"] else 1], [call.name])
    return max(ranks)


# -- shapes -----------------------------------------------------------------------------------------------------------

TO_NHWC, TO_NCHW = (0, 2, 3, 1), (0, 3, 1, 2)


@exports("Concat")
def concat(call: Call, w: NodeWriter) -> int:
    w.result("Concat", call.inputs, [call.name], axis=call.arguments["dim"])
    return call.ranks[0]


@exports("Reshape")
def reshape(call: Call, w: NodeWriter) -> int:
    shape = call.arguments["shape"]
    if 0 in shape:  # for ONNX, a zero is a size to keep
        raise call.error(f"reshapes to {list(shape)}")
    x = call.inputs[0]
    if call.ranks[0] == 4:
        x = w.part("Transpose", [x], call.part("nhwc"), perm=TO_NHWC)
    inputs = [x, w.integers(call.part("shape"), shape)]
    if len(shape) == 4:
        w.result("Transpose", [w.part("Reshape", inputs, call.part("reshaped"))], [call.name], perm=TO_NCHW)
    else:
        w.result("Reshape", inputs, [call.name])
    return len(shape)


@exports("Squeeze")
def squeeze(call: Call, w: NodeWriter) -> int:
    dims = call.arguments["dims"]
    w.result("Squeeze", [*call.inputs, w.integers(call.part("axes"), dims)], [call.name])
    return call.ranks[0] - len(dims)


@exports("Mean")
def mean(call: Call, w: NodeWriter) -> int:
    dims, keep = call.arguments["dims"], call.arguments["keepdim"]
    w.result("ReduceMean", call.inputs, [call.name], axes=dims, keepdims=int(keep))
    return call.ranks[0] - (0 if keep else len(dims))


@exports("Pad")
def pad(call: Call, w: NodeWriter) -> int:
    rank, padding = call.ranks[0], call.arguments["padding"]
    sides = [(0, 0)] * (rank - len(padding) // 2) + list(zip(padding[::2], padding[1::2], strict=True))[::-1]
    amounts = w.integers(call.part("pads"), [before for before, _ in sides] + [after for _, after in sides])
    w.result("Pad", [*call.inputs, amounts, w.number(call.part("value"), call.arguments["value"])], [call.name])
    return rank


# Layers that ONNX (opset 17) has nothing like, each with the reason.
NOT_EXPORTED: dict[str, str] = {}
