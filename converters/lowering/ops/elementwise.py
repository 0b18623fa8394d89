"""Converters of activations, arithmetic and other elementwise ops."""

from __future__ import annotations

import numpy as np

from converters.frozen.graph import NCHW, NHWC
from converters.lowering.ops.registry import Call, Operation, Read, Shape, Value, register

ACTIVATIONS = {
    "Relu": "Relu",
    "Relu6": "Relu6",
    "Elu": "Elu",
    "Selu": "Selu",
    "Softplus": "Softplus",
    "Sigmoid": "Sigmoid",
    "Tanh": "Tanh",
    "Identity": "Identity",
    "CheckNumerics": "Identity",
    "Print": "Identity",
    "Snapshot": "Identity",
    "StopGradient": "StopGradient",
    "PreventGradient": "StopGradient",
}
UNARY = {
    "Abs": "abs",
    "Ceil": "ceil",
    "Cos": "cos",
    "Erf": "erf",
    "Exp": "exp",
    "Expm1": "expm1",
    "Floor": "floor",
    "Inv": "reciprocal",
    "Log": "log",
    "Log1p": "log1p",
    "LogicalNot": "not",
    "Neg": "neg",
    "OnesLike": "ones_like",
    "Reciprocal": "reciprocal",
    "Rint": "round",
    "Round": "round",
    "Rsqrt": "rsqrt",
    "Sign": "sign",
    "Sin": "sin",
    "Softsign": "softsign",
    "Sqrt": "sqrt",
    "Square": "square",
    "ZerosLike": "zeros_like",
}
ARITHMETIC = {
    "Add": "add",
    "AddV2": "add",
    "Sub": "sub",
    "Mul": "mul",
    "RealDiv": "div",
    "Div": "div",
    "DivNoNan": "div_no_nan",
    "FloorDiv": "floordiv",
    "FloorMod": "mod",
    "Maximum": "maximum",
    "Minimum": "minimum",
    "Pow": "pow",
    "SquaredDifference": "squared_difference",
    "Greater": "greater",
    "GreaterEqual": "greater_equal",
    "Less": "less",
    "LessEqual": "less_equal",
    "Equal": "equal",
    "NotEqual": "not_equal",
    "LogicalAnd": "and",
    "LogicalOr": "or",
}


@register(*ACTIVATIONS)
def activation(op: Operation) -> Call:
    return Call(ACTIVATIONS[op.node.op], op.value(0).shape)


@register(*UNARY)
def unary(op: Operation) -> Call:
    return Call("Unary", op.value(0).shape, {"function": UNARY[op.node.op]})


@register("LeakyRelu")
def leaky_relu(op: Operation) -> Call:
    return Call("LeakyRelu", op.value(0).shape, {"alpha": op.attr("alpha", 0.2)})


@register("Softmax", "LogSoftmax")
def softmax(op: Operation) -> Call:
    value = op.value(0)
    if not value.rank:
        raise op.error("normalizes a scalar")
    usual = value.rank != 4 or value.layout == NHWC
    return Call(op.node.op, value.shape, {} if usual else {"dim": value.dim(-1)})


@register("Cast")
def cast(op: Operation) -> Call:
    wanted, given = str(op.attr("DstT")), str(op.attr("SrcT"))
    kind = next((kind for kind in ("float", "int", "bool") if wanted.removeprefix("u").startswith(kind)), None)
    if kind is None:
        raise op.unsupported(f"casts to type {wanted}; float, int and bool types convert")
    if kind == "float" and given.startswith("float"):
        return Call("Identity", op.value(0).shape)
    return Call("Cast", op.value(0).shape, {"kind": kind})


@register(*ARITHMETIC)
def arithmetic(op: Operation) -> Call:
    first, second = op.value(0), op.value(1)
    shape = broadcast(op, first, second)
    function = ARITHMETIC[op.node.op]
    for index, other in ((0, second), (1, first)):
        constant = op.value(index).constant
        if constant is not None and op.value(index).rank <= other.rank:
            return _with_constant(op, function, index, other, shape)
    reads, layout = together(op, range(2))
    return Call("Binary", shape, {"function": function}, inputs=reads, layout=layout)


def _with_constant(op: Operation, function: str, index: int, other: Value, shape: Shape) -> Call:
    constant = op.constant(index)
    if other.rank == 4:
        constant = constant.reshape((1,) * (4 - constant.ndim) + constant.shape)
        constant = constant if other.layout == NCHW else constant.transpose(0, 3, 1, 2)
    arguments: dict[str, object] = {"function": function, "constant_shape": constant.shape}
    if index == 0:
        arguments["constant_first"] = True
    tensors = {"constant": np.ascontiguousarray(constant)}
    return Call("Binary", shape, arguments, tensors, inputs=(1 - index,))


@register("AddN")
def add_n(op: Operation) -> Call:
    shape = op.value(0).shape
    for index in range(1, len(op.values)):
        shape = broadcast(op, Value(shape), op.value(index))
    reads, layout = together(op, range(len(op.values)))
    return Call("Sum", shape, inputs=reads, layout=layout)


@register("Select", "SelectV2")
def select(op: Operation) -> Call:
    condition, first, second = op.value(0), op.value(1), op.value(2)
    if condition.constant is not None and condition.rank == 0:
        return Call("Identity", (first if op.constant(0) else second).shape, inputs=(1 if op.constant(0) else 2,))
    if op.node.op == "Select" and condition.rank != first.rank:
        raise op.error(f"selects from values of rank {first.rank} by a condition of rank {condition.rank}")
    shape = broadcast(op, Value(broadcast(op, condition, first)), second)
    reads, layout = together(op, range(3))
    return Call("Select", shape, inputs=reads, layout=layout)


def together(op: Operation, indices: range) -> tuple[tuple[Read, ...], str | None]:
    """Returns the inputs converted to a common layout, and this layout."""
    values = [op.value(index) for index in indices]
    computed = [value for value in values if value.rank == 4 and value.constant is None and value.numbers is None]
    layout = computed[0].layout if computed else None
    if any(value.rank > 4 for value in values):  # images are broadcast in TensorFlow's order of axes
        layout = NCHW
    rank = 4 if layout == NHWC else None  # torch broadcasts leading axes, but an NHWC image is (N, C, H, W)
    reads = tuple(Read(index, layout, rank if op.value(index).rank else None) for index in indices)
    return reads, layout


def broadcast(op: Operation, first: Value, second: Value) -> Shape:
    """Returns the shape that two values broadcast to.

    Raises:
        GraphError: the shapes do not broadcast.
    """
    rank = max(first.rank, second.rank)
    sides = [(1,) * (rank - value.rank) + value.shape for value in (first, second)]
    sizes: list[int | None] = []
    for a, b in zip(*sides, strict=True):
        if a is not None and b is not None and a != b and 1 not in (a, b):
            raise op.error(f"combines shapes {list(first.shape)} and {list(second.shape)}, which do not fit")
        sizes.append(b if a == 1 else a if b == 1 or b is None else b)
    return tuple(sizes)
