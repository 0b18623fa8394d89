"""Control flow that no constant decides."""

from __future__ import annotations

from converters.ops.registry import Call, Operation, register


@register("Switch", "Merge")
def undecided(op: Operation) -> Call:
    raise op.error(
        f"depends on {op.node.inputs[-1]}, which is no constant: only branches that a constant decides convert, so "
        "freeze the graph with it set (such as is_training to false)"
    )
