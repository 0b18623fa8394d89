"""Convolutions and pools, padded as TensorFlow pads at every size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from converters.onnx.nodes import NodeWriter
from converters.onnx.writing.exporters.base import Call, Value, exports
from converters.onnx.writing.exporters.sizes import Expression, bounds, whole_numbers


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
        """Rows and columns that a window covers, with its dilation."""
        return tuple((kernel - 1) * dilation + 1 for kernel, dilation in zip(self.kernel, self.dilation, strict=True))

    def attributes(self) -> dict[str, Any]:
        """Returns the attributes that all of ONNX's window ops have."""
        return {"kernel_shape": self.kernel, "strides": self.stride}

    def pads(self) -> tuple[int, ...] | None:
        """Returns (top, left, bottom, right), or None if they depend on the size of the input."""
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
        """Returns whether `auto_pad` can express SAME padding.

        The standard defines `auto_pad` without dilation. If the stride is longer than the window, its padding is
        negative, which onnxruntime refuses.
        """
        steps = zip(self.kernel, self.stride, strict=True)
        return self.padding == "SAME" and max(self.dilation) == 1 and all(stride <= kernel for kernel, stride in steps)


def _same_pads(call: Call, w: NodeWriter, window: Window) -> str:
    """Writes nodes that compute SAME padding from the input's size, and returns the name of `Pad`'s amounts."""
    size = w.part("Shape", [call.x.name], "size", start=2, end=4)
    stride = w.integers("stride", window.stride)
    windows = w.part("Sub", [size, w.integers("one", [1])], "size_less_one")
    steps = w.part("Mul", [w.part("Div", [windows, stride], "steps"), stride], "last_window")
    end = w.part("Add", [steps, w.integers("extent", window.extent)], "end")
    missing = w.part("Sub", [end, size], "missing")
    total = w.part("Max", [missing, w.integers("zero", [0])], "padding")
    before = w.part("Div", [total, w.integers("two", [2])], "before")
    after = w.part("Sub", [total, before], "after")
    none = w.integers("none", [0, 0])
    return w.part("Concat", [none, before, none, after], "pads", axis=0)


def _padding(call: Call, w: NodeWriter, window: Window) -> tuple[dict[str, Any], str | None]:
    """Writes the padding of a window.

    Returns:
        The attributes of the window's op, and the input `pads` of the `Pad` that precedes it, or None if the attributes
        suffice.
    """
    if window.has_automatic_padding():
        return {"auto_pad": "SAME_UPPER"}, None
    pads = window.pads()
    if pads is None:
        return {}, _same_pads(call, w, window)
    if all(pad < extent for pad, extent in zip(pads, window.extent * 2, strict=True)):
        return ({"pads": pads} if any(pads) else {}), None
    # Pools refuse a `pads` attribute that is not smaller than the window.
    return {}, w.integers("pads", [0, 0, *pads[:2], 0, 0, *pads[2:]])


def _pad(call: Call, w: NodeWriter, amounts: str | None, fill: float) -> str:
    """Returns the name of the layer's input, which is padded unless `amounts` is None."""
    x = call.x.name
    return w.part("Pad", [x, amounts, w.number("fill", fill)], "padded") if amounts else x


@exports("Conv2d")
def conv2d(call: Call, w: NodeWriter) -> list[Value]:
    window = Window.of(call.arguments)
    padding, amounts = _padding(call, w, window)
    inputs = [_pad(call, w, amounts, 0.0), w.constant("weight", call.tensors["weight"])]
    more = {"dilations": window.dilation, "group": call.arguments["groups"]}
    return call.result(w, "Conv", inputs, **window.attributes(), **more, **padding)


@exports("MaxPool2d")
def max_pool(call: Call, w: NodeWriter) -> list[Value]:
    window = Window.of(call.arguments)
    padding, amounts = _padding(call, w, window)
    return call.result(w, "MaxPool", [_pad(call, w, amounts, -np.inf)], **window.attributes(), **padding)


@exports("AvgPool2d")
def avg_pool(call: Call, w: NodeWriter) -> list[Value]:
    window = Window.of(call.arguments)
    padding, amounts = _padding(call, w, window)
    if amounts is None:
        return call.result(w, "AveragePool", [call.x.name], **window.attributes(), **padding, count_include_pad=0)
    # After a Pad, the pool averages over the padding as well. The same pool over ones yields the fraction of each
    # window that lies inside the image; the average is divided by it.
    size = w.part("Shape", [call.x.name], "map_size", start=2, end=4)
    shape = w.part("Concat", [w.integers("one_map", [1, 1]), size], "map_shape", axis=0)
    zeros = w.part("ConstantOfShape", [shape], "zeros")
    ones = w.part("Add", [zeros, w.number("value", 1.0)], "ones")
    inside = w.part("AveragePool", [w.part("Pad", [ones, amounts], "inside")], "share",
                    **window.attributes())  # fmt: skip
    mean = w.part("AveragePool", [_pad(call, w, amounts, 0.0)], "mean", **window.attributes())
    return call.result(w, "Div", [mean, inside])


def _same_padding(size: Expression, extent: int, stride: int) -> Expression:
    """Returns the number of rows or columns that SAME padding adds at the start of an axis."""
    last = ("mul", ("floordiv", ("sub", size, 1), stride), stride)
    return ("floordiv", ("max", ("sub", ("add", last, extent), size), 0), 2)


@exports("ConvTranspose2d")
def conv_transpose(call: Call, w: NodeWriter) -> list[Value]:
    """Writes the full transposed convolution, and a Slice that crops it to the size and the padding."""
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
    missing: list[Expression] = [("max", ("sub", last, length), 0) for last, length in zip(end, lengths, strict=True)]
    weight = w.constant("weight", call.tensors["weight"])
    more = {**window.attributes(), "dilations": window.dilation}
    full = w.part("ConvTranspose", [call.x.name, weight], "full", **more)
    # The output may be larger than the full result: rows and columns that no window reaches are zero.
    amounts = whole_numbers(call, w, [*[0] * 6, *missing], "missing")
    grown = w.part("Pad", [full, amounts, w.number("fill", 0.0)], "grown")
    return call.result(w, "Slice", [grown, *bounds(call, w, begin, end), w.integers("axes", [2, 3])])
