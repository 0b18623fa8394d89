"""Builds the torch.fx graph of an ONNX graph."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, fx, nn

from converters.errors import GraphError, UnsupportedNodeError, reason
from converters.onnx.packages import import_onnx
from converters.onnx.reading.folding import MAX_FOLDED, REFUSALS, HostFunction
from converters.onnx.reading.ops import Built, Node, Operation, find_operation
from converters.onnx.reading.ops.registry import function_module
from converters.onnx.reading.validation import attributes, first_output, node_error, node_refusal

if TYPE_CHECKING:
    import onnx

Value: TypeAlias = "np.ndarray | fx.Node"

MAX_HOST = 16
"""Greatest number of floating-point values of a constant that is computed on the host, with sizes."""

_SIZES = frozenset({"Shape", "Size"})  # read a tensor, give numbers on the host


@dataclass
class Network:
    """A graph of torch.fx.

    Attributes:
        module: the graph.
        names: name of a value -> name of its fx node; only values that are tensors.
        outputs: names of the values that the graph returns.
        refused: first output of a node that cannot be converted -> the error. Nodes that read it are left out, too.
    """

    module: fx.GraphModule
    names: dict[str, str]
    outputs: list[str]
    refused: dict[str, GraphError]

    def give(self, outputs: Mapping[str, str]) -> None:
        """Makes the graph return one value, or a dictionary of several.

        Args:
            outputs: key of the dictionary -> name of a value.
        """
        nodes = {node.name: node for node in self.module.graph.nodes}
        found = {key: nodes[self.names[name]] for key, name in outputs.items()}
        last = next(node for node in reversed(self.module.graph.nodes) if node.op == "output")
        last.args = (found if len(found) > 1 else next(iter(found.values())),)
        self.module.recompile()


@dataclass
class _Builder:
    """Adds the nodes of an ONNX graph to a graph of torch.fx.

    Attributes:
        opset: version of the op set.
        constants: name -> value of each constant.
        sizes: name -> shape of each value whose rank is known.
        paths: name of a node's first output -> name of its module.
        values: name -> value: a constant, or a node of the graph.
        host: the nodes of the graph whose values are numpy arrays.
        root: the modules; constants that tensors meet are buffers of `root.initializers`.
    """

    opset: int
    constants: Mapping[str, np.ndarray]
    sizes: Mapping[str, Sequence[int | None]]
    paths: Mapping[str, str]
    graph: fx.Graph = field(default_factory=fx.Graph)
    values: dict[str, Value] = field(default_factory=dict)
    host: set[fx.Node] = field(default_factory=set)
    root: nn.Module = field(default_factory=nn.Module)
    stored: int = 0

    def add_all(self, nodes: Iterable[onnx.NodeProto]) -> dict[str, GraphError]:
        """Adds nodes without those that cannot be converted and those that read them; returns their errors."""
        refused: dict[str, GraphError] = {}
        for node in nodes:
            if all(name in self.values for name in node.input if name):
                try:
                    self.add(node)
                except UnsupportedNodeError as error:
                    refused[first_output(node)] = error
        return refused

    def add(self, node: onnx.NodeProto) -> None:
        """Adds a node.

        Raises:
            UnsupportedNodeError: the node cannot be converted; nothing was added.
        """
        inputs = [self.values[name] if name else None for name in node.input]
        text = next((one for one in inputs if isinstance(one, np.ndarray) and one.dtype.kind in "OSU"), None)
        if text is not None:
            raise node_refusal(node, "reads text, which is not supported")
        if self._is_of_sizes(inputs):
            self._add_on_host(node, inputs)
            return
        module, operation, places = self._module(node)
        arguments = [self._argument(operation, index, inputs) for index in places]
        path = self.paths[node.output[0]]
        self.root.add_module(path, module)
        made = self.graph.call_module(path, tuple(arguments))
        outputs = [name for name in node.output if name]
        if node.op_type in _SIZES:
            self.host.add(made)
        self._name_outputs(node, made, operation is not None and operation.several, outputs)

    def ends(self) -> list[str]:
        """Returns the names of the tensors that no node reads."""
        return [
            name
            for name, value in self.values.items()
            if isinstance(value, fx.Node) and value not in self.host and not value.users
        ]

    def _name_outputs(self, node: onnx.NodeProto, made: fx.Node, several: bool, outputs: Sequence[str]) -> None:
        if not several:
            self.values[outputs[0]] = made
            return
        for index, name in enumerate(node.output):
            if name:
                self.values[name] = self.graph.call_function(operator.getitem, (made, index))
                if made in self.host:
                    self.host.add(self.values[name])  # type: ignore[arg-type]

    def _is_of_sizes(self, inputs: Sequence[Value | None]) -> bool:
        """Returns whether a node's inputs are numbers on the host, at least one of which depends on the image."""
        given = [value for value in inputs if value is not None]
        if not any(isinstance(value, fx.Node) for value in given):
            return False
        return all(
            value in self.host if isinstance(value, fx.Node) else value.dtype.kind != "f" or value.size <= MAX_HOST
            for value in given
        )

    def _add_on_host(self, node: onnx.NodeProto, inputs: Sequence[Value | None]) -> None:
        named = dict(zip(node.input, inputs, strict=True))
        constants = {name: value for name, value in named.items() if isinstance(value, np.ndarray)}
        module = HostFunction(node, self.opset, constants)
        path = self.paths[node.output[0]]
        self.root.add_module(path, module)
        arguments = [value for name in module.names if isinstance(value := named[name], fx.Node)]
        made = self.graph.call_module(path, tuple(arguments))
        self.host.add(made)
        outputs = [name for name in node.output if name]
        self._name_outputs(node, made, len(outputs) > 1, outputs)

    def _module(self, node: onnx.NodeProto) -> tuple[nn.Module, Operation | None, Sequence[int]]:
        """Returns the module of a node, the operation that takes its inputs (None for a builder's), and their places.

        Raises:
            GraphError: an attribute has a value that is not computed.
        """
        builder = find_operation(node.op_type, self.opset, builds=True)
        if builder is not None:
            settings = settings_of(node, builder, self.opset)
            view = Node(node, self.opset, self.constants, self.sizes)
            try:
                built: Built | None = builder.function(view, **settings)
            except GraphError:
                raise
            except REFUSALS as error:  # errors of torch's modules
                raise node_refusal(node, f"cannot be converted: {reason(error)}") from error
            if built is not None:
                return built.module, None, built.inputs
        operation = find_operation(node.op_type, self.opset)
        if operation is None and all(name in self.constants for name in node.input if name):
            raise node_refusal(node, f"computes a constant of more than {MAX_FOLDED} values")
        if operation is None:
            raise node_refusal(node, "has inputs that depend on the image; only constants and sizes are supported")
        settings = settings_of(node, operation, self.opset)
        if "parts" in operation.attributes:
            settings["parts"] = len(node.output)
        return function_module(node.op_type, self.opset, settings), operation, range(len(node.input))

    def _argument(self, operation: Operation | None, index: int, inputs: Sequence[Value | None]) -> Any:
        value = inputs[index]
        if value is None:
            return None
        on_host = operation is not None and index in operation.host
        if isinstance(value, fx.Node):
            if on_host == (value in self.host):
                return value
            if on_host:
                return self.graph.call_function(to_host, (value,))
            tensors = (one for one in inputs if isinstance(one, fx.Node) and one not in self.host)
            like = next(tensors, None) or next(iter(self.graph.nodes))  # the image, if sizes meet a large constant
            return self.graph.call_function(to_tensor, (value, like))
        stored = self._buffer(value) if operation is None or operation.is_stored else None
        return _plain(value) if on_host else stored

    def _buffer(self, value: np.ndarray) -> fx.Node:
        if not hasattr(self.root, "initializers"):
            self.root.add_module("initializers", nn.Module())
        name = f"onnx_initializer_{self.stored}"
        self.stored += 1
        self.root.get_submodule("initializers").register_buffer(name, torch_constant(value))
        return self.graph.get_attr(f"initializers.{name}")


def settings_of(node: onnx.NodeProto, operation: Operation, opset: int) -> dict[str, Any]:
    """Returns the attributes of a node that an operation computes, with the standard's defaults.

    Raises:
        GraphError: another attribute has a value that is not the standard's default.
    """
    onnx = import_onnx()
    stated = attributes(node)
    schema = onnx.defs.get_schema(node.op_type, opset, "")
    defaults = {
        name: attribute.default_value for name, attribute in schema.attributes.items() if attribute.default_value.name
    }
    usual = attributes(onnx.NodeProto(attribute=defaults.values()))
    for name, value in stated.items():
        if name not in operation.attributes and value != usual.get(name):
            raise node_refusal(node, f"has {name} {value!r}, which is not supported")
    settings = {name: value for name, value in {**usual, **stated}.items() if name in operation.attributes}
    missing = [name for name, attribute in schema.attributes.items() if attribute.required and name not in stated]
    if missing:
        raise node_error(node, f"lacks the attribute {missing[0]!r}")
    return {**settings, **({"op": node.op_type} if takes_op(operation) else {})}


def takes_op(operation: Operation) -> bool:
    """Returns whether the function of an operation takes the op type as an argument."""
    code = operation.function.__code__
    return "op" in code.co_varnames[code.co_argcount : code.co_argcount + code.co_kwonlyargcount]


def to_host(value: Tensor) -> np.ndarray:
    """Returns a tensor's numbers on the host."""
    found: np.ndarray = value.detach().cpu().numpy()
    return found


def to_tensor(value: np.ndarray, like: Tensor) -> Tensor:
    """Returns numbers on the host as a tensor on the device of another one; its type, if both are floating-point."""
    found = torch_constant(value)
    return found.to(like) if found.is_floating_point() and like.is_floating_point() else found.to(like.device)


# torch.fx records their calls and does not trace into them.
fx.wrap("to_host")
fx.wrap("to_tensor")


def torch_constant(value: np.ndarray) -> Tensor:
    """Returns a constant as a tensor: integers of up to 16 bits as float32, unsigned ones of more bits as int64."""
    if value.dtype.kind in "iu" and value.dtype not in (np.int32, np.int64):
        value = value.astype(np.int64 if value.dtype.itemsize > 2 else np.float32)
    if value.dtype.kind not in "fiub":  # such as integers of 4 bits
        value = value.astype(np.float32)
    return torch.from_numpy(np.array(value))


def _plain(value: np.ndarray) -> Any:
    """Returns a constant as plain numbers, which torch.fx writes into its code."""
    return tuple(value.ravel().tolist()) if value.ndim else value.item()


def build(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[str],
    outputs: Sequence[str],
    opset: int,
    constants: Mapping[str, np.ndarray],
    sizes: Mapping[str, Sequence[int | None]],
    paths: Mapping[str, str],
) -> Network:
    """Builds the graph of torch.fx.

    Args:
        nodes: in topological order.
        inputs: names of the inputs.
        outputs: names of the outputs. If none of them can be computed, the values that no node reads are the outputs.
        opset: version of the op set.
        constants: name -> value of each constant.
        sizes: name -> shape of each value whose rank is known.
        paths: name of a node's first output -> name of its module.

    Raises:
        GraphError: a node is invalid.
    """
    builder = _Builder(opset, constants, sizes, paths)
    builder.values.update(constants)
    for number, name in enumerate(inputs, 1):
        builder.values[name] = builder.graph.placeholder(f"input_{number}")
    refused = builder.add_all(nodes)
    returned = [name for name in outputs if name in builder.values] or builder.ends()
    made = [builder.values[name] for name in returned]
    ends = [value for value in made if isinstance(value, fx.Node)]
    builder.graph.output(ends[0] if len(ends) == 1 else ends)
    module = fx.GraphModule(builder.root, builder.graph)
    names = {
        name: value.name
        for name, value in builder.values.items()
        if isinstance(value, fx.Node) and value not in builder.host
    }
    return Network(module, names, returned, refused)
