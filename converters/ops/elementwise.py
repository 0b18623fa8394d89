"""Activations and arithmetic, one value at a time."""

from __future__ import annotations

import numpy as np

from converters.ops.registry import Call, Operation, Shape, Value, register

ACTIVATIONS = {
    "Relu": "Relu",
    "Relu6": "Relu6",
    "Elu": "Elu",
    "Selu": "Selu",
    "Softplus": "Softplus",
    "Sigmoid": "Sigmoid",
    "Tanh": "Tanh",
    "Softmax": "Softmax",
    "Identity": "Identity",
    "CheckNumerics": "Identity",
    "Snapshot": "Identity",
    "StopGradient": "StopGradient",
    "PreventGradient": "StopGradient",
}
ARITHMETIC = {
    "Add": "add",
    "AddV2": "add",
    "Sub": "sub",
    "Mul": "mul",
    "RealDiv": "div",
    "Maximum": "maximum",
    "Minimum": "minimum",
}


@register(*ACTIVATIONS)
def activation(op: Operation) -> Call:
    return Call(ACTIVATIONS[op.node.op], op.value(0).shape)


@register("LeakyRelu")
def leaky_relu(op: Operation) -> Call:
    return Call("LeakyRelu", op.value(0).shape, {"alpha": op.attr("alpha", 0.2)})


@register(*ARITHMETIC)
def arithmetic(op: Operation) -> Call:
    first, second = op.value(0), op.value(1)
    shape = _broadcast(op, first, second)
    function = ARITHMETIC[op.node.op]
    for index, other in ((0, second), (1, first)):
        if op.value(index).constant is not None:
            return _with_constant(op, function, index, other, shape)
    if first.rank != second.rank:
        raise op.error(f"combines values of rank {first.rank} and {second.rank}, which only constants may do")
    return Call("Binary", shape, {"function": function}, inputs=(0, 1))


def _with_constant(op: Operation, function: str, index: int, other: Value, shape: Shape) -> Call:
    constant = op.constant(index)
    if constant.ndim > other.rank:
        raise op.error(f"combines a value of rank {other.rank} with a constant of rank {constant.ndim}")
    if other.rank == 4:
        constant = constant.reshape((1,) * (4 - constant.ndim) + constant.shape).transpose(0, 3, 1, 2)
    arguments: dict[str, object] = {"function": function, "constant_shape": constant.shape}
    if index == 0:
        arguments["constant_first"] = True
    tensors = {"constant": np.ascontiguousarray(constant)}
    return Call("Binary", shape, arguments, tensors, inputs=(1 - index,))


def _broadcast(op: Operation, first: Value, second: Value) -> Shape:
    """The shape two values broadcast to."""
    rank = max(first.rank, second.rank)
    sides = [(1,) * (rank - value.rank) + value.shape for value in (first, second)]
    sizes: list[int | None] = []
    for a, b in zip(*sides, strict=True):
        if a is not None and b is not None and a != b and 1 not in (a, b):
            raise op.error(f"combines shapes {list(first.shape)} and {list(second.shape)}, which do not fit")
        sizes.append(b if a == 1 else a if b == 1 or b is None else b)
    return tuple(sizes)
