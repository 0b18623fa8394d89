"""Resizing in TensorFlow's three conventions.

ONNX has an op for each of them, but does not define how positions are rounded, and runtimes differ. So the positions
are computed in float32, as in TensorFlow, and Gather ops read the pixels at these positions.
"""

from __future__ import annotations

from converters.onnx.nodes import NodeWriter
from converters.onnx.writing.exporters.base import Call, Value, exports
from converters.onnx.writing.exporters.sizes import FLOAT, INT64, Expression, numbers, whole_numbers


class _Axis:
    """The input positions of the output pixels along one axis."""

    def __init__(self, call: Call, w: NodeWriter, dim: int, target: Expression) -> None:
        self.call, self.w, self.dim = call, w, dim
        self.convention = call.arguments["convention"]
        source: Expression = ("size", 0, dim)
        self.last = whole_numbers(call, w, [("sub", source, 1)], "last")
        lengths = [source, target]
        if self.convention == "corners":  # if there is only one output pixel, it is the first input pixel
            lengths = [("sub", source, ("min", ("sub", target, 1), 1)), ("max", ("sub", target, 1), 1)]
        ends = [numbers(call, w, [length], "length") for length in lengths]
        self.scale = self.part("Div", ends[0], ends[1])
        count = whole_numbers(call, w, [target], "target")
        one = w.integers("one", [1])
        none = w.integers("none", [0])
        squeezed = [w.part("Squeeze", [name], "scalar") for name in (none, count, one)]
        index = w.part("Range", squeezed, "range")
        self.index = w.part("Cast", [index], "index", to=FLOAT)

    def part(self, op: str, *names: str) -> str:
        return self.w.part(op, names, op.lower())

    def number(self, value: float) -> str:
        return self.w.number("number", value)

    def positions(self, floor: str) -> str:
        """Clamps whole numbers to the positions of the axis, 0 to its length - 1."""
        at = self.w.part("Cast", [floor], "at", to=INT64)
        none = self.w.integers("first", [0])
        return self.part("Min", self.part("Max", at, none), self.last)

    def taken(self, x: str, positions: str) -> str:
        return self.w.part("Gather", [x, positions], "taken", axis=self.dim)

    def nearest(self, x: str) -> str:
        centre = self.part("Add", self.index, self.number(0.5)) if self.convention == "half_pixel" else self.index
        at = self.part("Mul", centre, self.scale)
        if self.convention == "corners":
            at = self.part("Add", at, self.number(0.5))
        return self.taken(x, self.positions(self.part("Floor", at)))

    def bilinear(self, x: str) -> str:
        if self.convention == "half_pixel":
            scaled = self.part("Mul", self.part("Add", self.index, self.number(0.5)), self.scale)
            at = self.part("Sub", scaled, self.number(0.5))
        else:
            at = self.part("Mul", self.index, self.scale)
        below = self.part("Floor", at)
        weight = self.part("Sub", at, below)
        if self.dim == 2:
            column = self.w.integers("column", [1])
            weight = self.part("Unsqueeze", weight, column)
        low = self.taken(x, self.positions(below))
        high = self.taken(x, self.positions(self.part("Add", below, self.number(1.0))))
        return self.part("Add", low, self.part("Mul", self.part("Sub", high, low), weight))


@exports("Resize")
def resize(call: Call, w: NodeWriter) -> list[Value]:
    height, width = call.arguments["size"]
    x = call.x.name
    for dim, target in ((3, width), (2, height)):
        axis = _Axis(call, w, dim, target)
        x = axis.bilinear(x) if call.arguments["method"] == "bilinear" else axis.nearest(x)
    return call.result(w, "Identity", [x])
