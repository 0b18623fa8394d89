"""Converters of Pad, PadV2 and MirrorPad."""

from __future__ import annotations

from converters.lowering.ops.registry import Call, Operation, register


def _padded(op: Operation, layer: str, arguments: dict[str, object]) -> Call:
    value, amounts = op.value(0), op.sizes(1)
    negative = any(isinstance(amount, int) and amount < 0 for amount in amounts)
    if op.value(1).shape != (value.rank, 2) or negative:
        raise op.error(f"pads a value of rank {value.rank} by {list(amounts)}")
    pairs = list(zip(amounts[::2], amounts[1::2], strict=True))
    shape = tuple(
        size + before + after if isinstance(size, int) and isinstance(before, int) and isinstance(after, int) else None
        for size, (before, after) in zip(value.shape, pairs, strict=True)
    )
    by_dim = {value.dim(axis): pair for axis, pair in enumerate(pairs)}
    padding = tuple(amount for dim in sorted(by_dim, reverse=True) for amount in by_dim[dim])
    return Call(layer, shape, {"padding": padding, **arguments})


@register("Pad", "PadV2")
def pad(op: Operation) -> Call:
    return _padded(op, "Pad", {"value": float(op.constant(2, rank=0))} if op.node.op == "PadV2" else {})


@register("MirrorPad")
def mirror_pad(op: Operation) -> Call:
    mode = op.attr("mode")
    if mode not in ("REFLECT", "SYMMETRIC"):
        raise op.error(f"has mode {mode!r}, which is neither REFLECT nor SYMMETRIC")
    return _padded(op, "MirrorPad", {"repeats_border": mode == "SYMMETRIC"})
