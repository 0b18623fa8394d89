"""Converters of reductions: Mean, Sum, Max, Min, Prod, ArgMax, ArgMin."""

from __future__ import annotations

from converters.lowering.ops.axes import reduced
from converters.lowering.ops.registry import Call, Operation, register

REDUCTIONS = {"Sum": "sum", "Max": "max", "Min": "min", "Prod": "prod"}


@register("Mean", *REDUCTIONS)
def reduction(op: Operation) -> Call:
    keep = op.flag("keep_dims", op.flag("keepdims"))
    axes = op.integers(1)
    if not axes:
        return Call("Identity", op.value(0).shape)
    left = reduced(op, axes, keep)
    function = {"function": REDUCTIONS[op.node.op]} if op.node.op in REDUCTIONS else {}
    arguments = {**function, "dims": left.dims, **({"keepdim": True} if keep else {})}
    layer = "Reduce" if function else "Mean"
    return Call(layer, left.shape, arguments, inputs=(left.read,), layout=left.layout)


@register("ArgMax", "ArgMin")
def arg_max(op: Operation) -> Call:
    axes = op.integers(1) if len(op.values) > 1 else (0,)
    if len(axes) != 1:
        raise op.error(f"works along axes {list(axes)}, not along one axis")
    left = reduced(op, axes)
    return Call(op.node.op, left.shape, {"dim": left.dims[0]}, inputs=(left.read,), layout=left.layout)
