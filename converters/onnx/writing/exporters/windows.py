"""Convolutions and pools, padded as TensorFlow pads at every size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.onnx.nodes import NodeWriter
from converters.onnx.writing.exporters.base import Call, Value, exports
from converters.onnx.writing.exporters.sizes import Expression, whole_numbers


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
    size = w.part("Shape", [call.x.name], call.part("size"), start=2, end=4)
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
    x = call.x.name
    return w.part("Pad", [x, amounts, w.number(call.part("fill"), fill)], call.part("padded")) if amounts else x


@exports("Conv2d")
def conv2d(call: Call, w: NodeWriter) -> list[Value]:
    window = Window.of(call.arguments)
    padding, amounts = _padding(call, w, window)
    inputs = [_pad(call, w, amounts, 0.0), w.constant(call.part("weight"), call.tensors["weight"])]
    more = {"dilations": window.dilation, "group": call.arguments["groups"]}
    w.result("Conv", inputs, [call.name], **window.attributes(), **more, **padding)
    return call.same()


@exports("MaxPool2d")
def max_pool(call: Call, w: NodeWriter) -> list[Value]:
    window = Window.of(call.arguments)
    padding, amounts = _padding(call, w, window)
    w.result("MaxPool", [_pad(call, w, amounts, -np.inf)], [call.name], **window.attributes(), **padding)
    return call.same()


@exports("AvgPool2d")
def avg_pool(call: Call, w: NodeWriter) -> list[Value]:
    window = Window.of(call.arguments)
    padding, amounts = _padding(call, w, window)
    if amounts is None:
        w.result("AveragePool", [call.x.name], [call.name], **window.attributes(), **padding, count_include_pad=0)
        return call.same()
    # Padded before it, a pool cannot tell padding from values; the same pool of ones says how much of each window
    # is values.
    size = w.part("Shape", [call.x.name], call.part("map_size"), start=2, end=4)
    shape = w.part("Concat", [w.integers(call.part("one_map"), [1, 1]), size], call.part("map_shape"), axis=0)
    zeros = w.part("ConstantOfShape", [shape], call.part("zeros"))
    ones = w.part("Add", [zeros, w.number(call.part("value"), 1.0)], call.part("ones"))
    inside = w.part("AveragePool", [w.part("Pad", [ones, amounts], call.part("inside"))], call.part("share"),
                    **window.attributes())  # fmt: skip
    mean = w.part("AveragePool", [_pad(call, w, amounts, 0.0)], call.part("mean"), **window.attributes())
    w.result("Div", [mean, inside], [call.name])
    return call.same()


def _same_padding(size: Expression, extent: int, stride: int) -> Expression:
    """Rows that SAME padding adds before an axis of some length."""
    last = ("mul", ("floordiv", ("sub", size, 1), stride), stride)
    return ("floordiv", ("max", ("sub", ("add", last, extent), size), 0), 2)


@exports("ConvTranspose2d")
def conv_transpose(call: Call, w: NodeWriter) -> list[Value]:
    """The whole transposed convolution, from which the part is cut that the size and the padding say."""
    window = Window.of(call.arguments)
    size = tuple(call.arguments["size"][1:])
    axes = list(zip(size, window.extent, window.stride, strict=True))
    if window.padding == "SAME":
        begin = [_same_padding(*axis) for axis in axes]
    else:
        begin = [0, 0] if window.padding == "VALID" else [window.padding[0], window.padding[2]]
    end = [("add", first, length) for first, length in zip(begin, size, strict=True)]
    lengths = [("add", ("mul", ("sub", ("size", 0, 2 + index), 1), stride), extent)
               for index, (_, extent, stride) in enumerate(axes)]  # fmt: skip
    missing = [("max", ("sub", last, length), 0) for last, length in zip(end, lengths, strict=True)]
    weight = w.constant(call.part("weight"), call.tensors["weight"])
    more = {**window.attributes(), "dilations": window.dilation}
    full = w.part("ConvTranspose", [call.x.name, weight], call.part("full"), **more)
    # Rows that no window of the convolution reaches are zero.
    amounts = whole_numbers(call, w, [0] * 6 + missing, "missing")
    grown = w.part("Pad", [full, amounts, w.number(call.part("fill"), 0.0)], call.part("grown"))
    bounds = [whole_numbers(call, w, side, what) for side, what in ((begin, "begin"), (end, "end"))]
    w.result("Slice", [grown, *bounds, w.integers(call.part("axes"), [2, 3])], [call.name])
    return call.same()
