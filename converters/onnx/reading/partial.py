"""Leaves out the nodes of an ONNX graph that cannot be converted, and the nodes behind them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from converters import checks
from converters.dependencies import with_dependencies
from converters.errors import GraphError, UnsupportedOpsError, clause, nearest_names, not_needed, op_reason
from converters.onnx.packages import import_onnx
from converters.onnx.reading.ops.registry import ON_HOST, find_operation
from converters.onnx.reading.ordering import reads
from converters.onnx.reading.rewriting import ends, replace_messages
from converters.onnx.reading.validation import first_output, holds_graphs, is_standard, node_label, opset_of

if TYPE_CHECKING:
    import onnx


_FORWARDS = frozenset({"Cast", "Identity", "Transpose"})  # ops that only pass the image on
_CONVOLUTIONS = frozenset({"Conv", "ConvInteger", "ConvTranspose", "DeformConv", "QLinearConv"})


def public_name(name: str) -> str:
    """Returns the name of a value without TensorFlow's `:0`."""
    return name.removesuffix(":0")


def of_other_inputs(graph: onnx.GraphProto, entry: str) -> dict[str, str]:
    """Returns the values that depend on the image and on another input -> the reason, as a clause.

    Args:
        graph: the graph, with all of its inputs.
        entry: name of the image.
    """
    constants = {tensor.name for tensor in graph.initializer}
    others = [value.name for value in graph.input if value.name not in constants | {entry}]
    behind_entry = _behind(graph, {entry})
    found: dict[str, str] = {}
    for other in others:
        why = f"it depends on the input {other!r}, and a network takes one image: {set_advice(other)}"
        found |= dict.fromkeys((_behind(graph, {other}, stop=entry) & behind_entry) - set(found), why)
    return found


def check_chosen(graph: onnx.GraphProto, entry: str) -> None:
    """Checks that the outputs that the user chose depend on the image and on no other input.

    Args:
        graph: the graph, with all of its inputs; its outputs are the chosen ones.
        entry: name of the image.

    Raises:
        GraphError: an output depends on another input, or not on the image.
    """
    constants = {tensor.name for tensor in graph.initializer}
    others = [value.name for value in graph.input if value.name not in constants | {entry}]
    of_image = _behind(graph, {entry})
    of_others = {other: _behind(graph, {other}, stop=entry) for other in others}
    for value in graph.output:
        name = public_name(value.name)
        if value.name not in of_image:
            raise GraphError(f"The output {name!r} does not depend on the image {public_name(entry)!r}.")
        other = next((other for other, found in of_others.items() if value.name in found), None)
        if other is not None:
            why = f"depends on the input {other!r}, and a network takes one image: {set_advice(other)}"
            raise GraphError(f"The output {name!r} {why}.")


def set_advice(name: str) -> str:
    """Returns how to give an input other than the image a value, as a clause."""
    return f"set its value with constants={{{name!r}: ...}} (--set {name}=VALUE)"


def keep_outputs(graph: onnx.GraphProto, outputs: Sequence[str]) -> dict[str, str]:
    """Restricts a graph to some outputs and the nodes that they need.

    Args:
        graph: modified in place.
        outputs: names of values, with or without `:0`, or of nodes.

    Returns:
        Value that was removed -> the reason, as a clause.

    Raises:
        TypeError: the names are not a list of names.
        GraphError: the list is empty, or a name is that of no value.
    """
    if isinstance(outputs, str) or not all(isinstance(name, str) for name in outputs):
        raise TypeError(f"The outputs are a list of names, not {checks.shown(outputs)}.")
    if not outputs:
        raise GraphError("The outputs are an empty list: name at least one value, or leave them out.")
    made = {name: node for node in graph.node for name in node.output if name}
    of_nodes = {node.name: node.output[0] for node in graph.node if node.name and node.output}
    wanted = []
    for name in outputs:
        spelled = (name, f"{name}:0", name.removesuffix(":0"), of_nodes.get(name))
        value = next((each for each in spelled if each in made), None)
        if value is None:
            raise GraphError(f"The graph computes no value called {name!r}.{nearest_names(name, made)}")
        wanted.append(value)
    needed = with_dependencies(wanted, lambda name: reads(made[name]) if name in made else ())
    kept = [node for node in graph.node if needed & set(node.output)]
    why = not_needed(list(outputs))
    gone = {name: why for node in graph.node if node not in kept for name in node.output if name}
    replace_messages(graph.node, kept)
    _set_outputs(graph, wanted)
    return gone


def leave_out(graph: onnx.GraphProto, reached: set[str], reasons: Mapping[str, str]) -> dict[str, str] | None:
    """Removes the nodes that cannot be converted, and the nodes behind them.

    Args:
        graph: its nodes are in topological order; modified in place if it returns a mapping.
        reached: the values that depend on the image.
        reasons: first output of a node that cannot be converted -> the reason, as a clause.

    Returns:
        Value that was removed -> the reason, as a clause. None if no node would be left that computes anything from
        the image, or none of the convolutions.
    """
    gone: dict[str, str] = {}
    kept = []
    for node in graph.node:
        why = reasons.get(first_output(node)) or next((gone[name] for name in reads(node) if name in gone), None)
        if why is None:
            kept.append(node)
        else:
            gone |= {name: why for name in node.output if name}
    if not gone:
        return gone
    computed = [node for node in kept if node.op_type not in _FORWARDS and reached & set(node.output)]
    had_windows = any(node.op_type in _CONVOLUTIONS and reached & set(node.output) for node in graph.node)
    if not computed or (had_windows and not any(node.op_type in _CONVOLUTIONS for node in computed)):
        return None
    left = [value.name for value in graph.output if value.name not in gone]
    replace_messages(graph.node, kept)
    if left:
        _set_outputs(graph, left)
    else:
        replace_messages(graph.output, ends(graph, reached - set(gone)))
    return gone


def unsupported_ops(nodes: Iterable[onnx.NodeProto], opset: int) -> dict[str, str]:
    """Returns first output of a node whose op is not supported, or that contains graphs -> the reason, as a clause."""
    found = {}
    for node in nodes:
        op = f"{node.op_type}, which has graphs of its own," if holds_graphs(node) else unsupported_op(node, opset)
        if op is not None:
            found[first_output(node)] = op_reason(op, node_label(node))
    return found


def check_ops(model: onnx.ModelProto) -> None:
    """Checks that all ops are supported.

    Raises:
        UnsupportedOpsError: names all unsupported ops and their nodes.
    """
    opset = opset_of(model)
    missing: defaultdict[str, list[str]] = defaultdict(list)
    for node in model.graph.node:
        op = unsupported_op(node, opset)
        if op is not None:
            missing[op].append(node_label(node))
    if missing:
        raise UnsupportedOpsError(dict(missing), image_advice(model.graph.node, opset))


def image_advice(nodes: Sequence[onnx.NodeProto], opset: int) -> str:
    """Returns a sentence that names the value behind the unsupported ops that may be the image; empty if none may be.

    This is the first value of such an op that a supported node reads.
    """
    made = {name for node in nodes if unsupported_op(node, opset) is not None for name in node.output if name}
    readers = (node for node in nodes if unsupported_op(node, opset) is None)
    image = next((name for node in readers for name in node.input if name in made), None)
    if image is None:
        return ""
    return f" If {image!r} is the image, name it with input_name={image!r} (--input-name {image})."


def unsupported_op(node: onnx.NodeProto, opset: int) -> str | None:
    """Returns the name of a node's op, with its domain, if the op is not supported; None if it is."""
    if not is_standard(node):
        return f"{node.domain}.{node.op_type}"
    known = node.op_type in ON_HOST or any(find_operation(node.op_type, opset, builds) for builds in (False, True))
    return None if known else node.op_type


def reasons_of(errors: Mapping[str, GraphError]) -> dict[str, str]:
    """Returns the reasons, as clauses, for which nodes were refused."""
    return {name: _reason(error) for name, error in errors.items()}


def _reason(error: GraphError) -> str:
    if isinstance(error, UnsupportedOpsError):
        op, (node, *_) = next(iter(error.ops.items()))
        return op_reason(op, node)
    return clause(error)


def raise_refused(errors: Mapping[str, GraphError]) -> NoReturn:
    """Raises the first of several errors, or one error for all unsupported ops.

    Raises:
        UnsupportedOpsError: the first error is one; names the ops of all.
        GraphError: the first error.
    """
    first = next(iter(errors.values()))
    if not isinstance(first, UnsupportedOpsError):
        raise first
    ops: defaultdict[str, list[str]] = defaultdict(list)
    for error in errors.values():
        for op, nodes in error.ops.items() if isinstance(error, UnsupportedOpsError) else ():
            ops[op] += nodes
    raise UnsupportedOpsError(dict(ops))


def layers_left_out(nodes: Sequence[onnx.NodeProto], gone: Mapping[str, str]) -> dict[str, str]:
    """Returns the names of layers -> the reason for which they were left out: names of values, then names of nodes.

    Args:
        nodes: all nodes of the file.
        gone: name of a value that was removed -> the reason.
    """
    found = {public_name(name): why for name, why in gone.items()}
    for node in nodes:
        if node.name and node.output and node.output[0] in gone:
            found.setdefault(node.name, gone[node.output[0]])
    return found


def _behind(graph: onnx.GraphProto, names: set[str], stop: str = "") -> set[str]:
    """Returns the values that depend on some values, without a value `stop` and what depends only through it."""
    found = set(names)
    for node in graph.node:
        if found & reads(node):
            found |= {name for name in node.output if name and name != stop}
    return found - names


def _set_outputs(graph: onnx.GraphProto, names: Sequence[str]) -> None:
    known = {value.name: value for value in (*graph.value_info, *graph.output)}
    onnx = import_onnx()
    values = [known.get(name) or onnx.ValueInfoProto(name=name) for name in names]  # unknown types are inferred later
    replace_messages(graph.output, values)
