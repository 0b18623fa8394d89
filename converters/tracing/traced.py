"""A torch.fx graph as a network whose layers, functional ones among them, answer to names."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from converters.network.fusion import are_watched
from converters.network.request import Function, LayeredNetwork, LayerRequest, ReluRule, unsupported
from converters.program.layer_info import LayerInfo, Layers, module_of
from converters.program.program import Metadata
from converters.tracing.aliasing import call_name, called_module, channels, find_changes, is_opaque, relu_kind

Forward = Callable[..., tuple[Any, ...]]


class LayerGraph:
    """Runs the part of a torch.fx graph that some of its nodes need.

    It holds no module: a part runs on the root that it is given, so that a layer put in the place of another takes
    part, and moving or copying the root needs nothing more.

    Args:
        graph: its first placeholder is the image; others need a default.
        root: the module whose parts the graph calls.

    Raises:
        ValueError: the graph takes no image, or needs more than one value.
    """

    def __init__(self, graph: fx.Graph, root: nn.Module) -> None:
        self.graph = graph
        self._nodes = {node.name: node for node in graph.nodes}
        inputs = [node for node in graph.nodes if node.op == "placeholder"]
        needed = [node.name for node in inputs if not node.args]
        if not inputs or len(needed) > 1:
            raise ValueError(f"The network takes {len(needed)} values ({', '.join(needed)}); a model takes one image.")
        self._changes = find_changes(graph.nodes, root)
        self._is_opaque = any(is_opaque(node, root) for node in graph.nodes)
        self._relus = {node: kind for node in graph.nodes if (kind := relu_kind(node, root)) is not None}
        self._forwards: dict[tuple[tuple[str, ...], ReluRule, tuple[str, ...]], Forward] = {}

    def relus(self, root: nn.Module) -> list[nn.Module] | None:
        """The ReLUs that are modules; None where there may be others inside of something that the graph calls."""
        if self._is_opaque:
            return None
        modules = (called_module(node, root) for node in self._relus)
        return [module for module in modules if module is not None]

    def run(
        self,
        root: nn.Module,
        x: Tensor,
        nodes: Sequence[str],
        functions: ReluRule = (),
        given: Mapping[str, Tensor] | None = None,
    ) -> tuple[Any, ...]:
        """The values that some nodes gave, whatever was changed in place behind them.

        Args:
            root: the module whose parts the graph calls.
            x: the image.
            nodes: names of nodes.
            functions: functions in the place of every "Relu" or "Relu6".
            given: name of a node -> what it gives instead of its own value.
        """
        values = given or {}
        key = tuple(nodes), functions, tuple(values)
        forward = self._forwards.get(key)
        if forward is None:
            piece = self.cut(root, nodes, functions, tuple(values))
            # The module is only needed for the function that it writes.
            forward = self._forwards[key] = type(fx.GraphModule(root, piece, "LayersOf")).forward
        return forward(root, x, **{_given_name(number): value for number, value in enumerate(values.values())})

    def outputs(self) -> list[str]:
        """The nodes whose values are the graph's own output."""
        last = next(node for node in reversed(self.graph.nodes) if node.op == "output")
        return [node.name for node in last.all_input_nodes]

    def cut(
        self, root: nn.Module, names: Sequence[str], functions: ReluRule = (), given: Sequence[str] = ()
    ) -> fx.Graph:
        """The part of the graph that some nodes need, which returns a tuple of their values.

        Where something behind a node may work on its value in place, that reads a copy: what is handed out stays as it
        was, and all that depends on the node is computed from it, gradients among them.

        Raises:
            ValueError: a node of `given` shares its memory with others, of which the graph reads it, too.
        """
        inputs = {self._nodes[name]: _given_name(number) for number, name in enumerate(given)}
        wanted = {self._nodes[name] for name in names}
        image = next(node for node in self.graph.nodes if node.op == "placeholder")
        needed = self._needed(wanted, inputs)
        order = [node for node in self.graph.nodes if node in needed or node in inputs or node is image]
        other = dict(functions)
        elsewhere = {node for node in order if self._relus.get(node) in other and node not in self._changes.seen}
        piece = fx.Graph()
        values: dict[fx.Node, fx.Node] = {}
        kept: dict[fx.Node, fx.Node] = {}
        for position, node in enumerate(order):
            function = other.get(self._relus.get(node, ""))
            if node is image or (function is None and node not in inputs):
                values[node] = piece.node_copy(node, values.__getitem__)
            if node in inputs:
                values[node] = piece.placeholder(inputs[node], default_value=None)
            elif function is not None:
                source = node.args[0] if node.args else node.kwargs["input"]
                call = _alone(function) if node in elsewhere else _in_place(function)
                values[node] = piece.call_function(call, (values[source],))
            if node in wanted or node in inputs:
                later = order[position + 1 :]
                writers = [one for one in later if one not in elsewhere]
                kept[node], values[node] = self._handed_out(piece, values[node], node, later, writers, node in inputs)
        piece.output(tuple(kept[self._nodes[name]] for name in names))
        return piece

    def _handed_out(
        self,
        piece: fx.Graph,
        value: fx.Node,
        node: fx.Node,
        later: Sequence[fx.Node],
        writers: Sequence[fx.Node],
        is_given: bool,
    ) -> tuple[fx.Node, fx.Node]:
        """What is handed out for a node's value, which nothing changes, and what the nodes behind it read."""
        memory = self._changes.memory[node]
        if not any(memory & self._changes.exposed[one] for one in writers):
            return value, value
        copied = piece.call_function(_copied, (value,))
        known = {node, *later}
        others = {source for one in later for source in one.all_input_nodes if source not in known}
        is_shared = any(memory & self._changes.memory[source] for source in others)
        if not is_shared or not any(memory & self._changes.written[one] for one in writers):
            return value, copied
        if is_given:
            raise ValueError(
                f"What {node.name!r} gives is overwritten under another name, too: no value can be given in its place."
            )
        return piece.call_function(_written_back, (value, copied)), value

    def _needed(self, wanted: Iterable[fx.Node], given: Container[fx.Node] = ()) -> set[fx.Node]:
        found: set[fx.Node] = set()
        pending = list(wanted)
        while pending:
            node = pending.pop()
            if node not in found:
                found.add(node)
                pending += () if node in given else [*node.all_input_nodes, *self._changes.before[node]]
        return found

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_forwards": {}}  # rebuilt when asked for

    def __deepcopy__(self, memo: dict[int, Any]) -> LayerGraph:
        """The same: graphs are not changed, and hold nothing of the module."""
        return self


def tensors(layers: Iterable[str], values: Iterable[Any]) -> dict[str, Tensor]:
    """Layers' values by name.

    Raises:
        ValueError: one is no tensor.
    """
    found = dict(zip(layers, values, strict=True))
    for name, value in found.items():
        if not isinstance(value, Tensor):
            raise ValueError(f"Layer {name!r} gives a {type(value).__name__}, not a tensor; ask for a layer behind it.")
    return found


class TracedNetwork(LayeredNetwork):
    """A torch.fx graph whose nodes are layers with names.

    Args:
        graph_module: the graph. Modules put in the place of its parts take part from then on.
        names: public name of a layer -> name of its fx node, in the order in which layers are listed.
        metadata: what the network wants to be fed.
        ops: public name of a layer -> what its `LayerInfo` calls its op; otherwise the name of the module's class or
            of the function.

    Attributes:
        layers: public name -> `LayerInfo`. `module` is empty where a layer is a function.
        metadata: as above.

    Raises:
        ValueError: a name stands for no node, or the graph does not take one image.
    """

    def __init__(
        self,
        graph_module: fx.GraphModule,
        names: Mapping[str, str],
        metadata: Metadata | None = None,
        ops: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.module = graph_module.eval().requires_grad_(False)
        self.metadata = Metadata("") if metadata is None else metadata
        self._names = dict(names)
        self._look()
        self.layers = Layers(layer_infos(graph_module.graph, graph_module, names, ops or {}))

    def _look(self) -> None:
        """Finds what the graph calls."""
        self._parts = list(self.module.modules())
        self._graph = LayerGraph(self.module.graph, self.module)
        self._relus = self._graph.relus(self.module)

    def forward(self, x: Tensor) -> Any:
        """What the graph itself gives."""
        return self.module(x)

    def supports(self, request: LayerRequest) -> bool:
        """Whether the request selects no channels, and has no ReLU rule if a ReLU hides in a module or has a hook."""
        self._look_again()
        return not request.channels and (
            not request.relu_rule or (self._relus is not None and not are_watched(self._relus))
        )

    def compute(self, x: Tensor, request: LayerRequest) -> dict[str, Tensor]:
        """The values of the requested layers; see `activations`.

        Each is the value that its layer gave, even if the network changes it in place afterwards, and has gradients
        with respect to those before it.
        """
        if not self.supports(request):
            raise unsupported(request)
        nodes = [self._names[self.layers[name].name] for name in request.names]
        given = {self._names[self.layers[name].name]: value for name, value in request.interventions}
        return tensors(request.names, self._graph.run(self.module, x, nodes, request.relu_rule, given))

    def layer_module(self, name: str) -> nn.Module:
        """The module that computes a layer.

        Raises:
            LayerNotFoundError: there is no such layer.
            ValueError: the layer is a function, or the input.
        """
        return module_of(self.module, self.layers[name])

    def _look_again(self) -> None:
        """Takes note of modules that were put in the place of others."""
        if not torch.compiler.is_compiling() and not same_objects(self.module.modules(), self._parts):
            self._look()

    def __getstate__(self) -> dict[str, Any]:
        # fx writes a graph as code, from which it comes back with other names in the same order.
        order = {node.name: position for position, node in enumerate(self.module.graph.nodes)}
        positions = {name: order[node] for name, node in self._names.items()}
        hidden = ("_graph", "_parts", "_relus", "_names")
        return {**{key: value for key, value in self.__dict__.items() if key not in hidden}, "_positions": positions}

    def __setstate__(self, state: dict[str, Any]) -> None:
        positions = state.pop("_positions")
        super().__setstate__(state)
        nodes = list(self.module.graph.nodes)
        self._names = {name: nodes[position].name for name, position in positions.items()}
        self._look()

    def __deepcopy__(self, memo: dict[int, Any]) -> TracedNetwork:
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        return twin


def layer_infos(
    graph: fx.Graph, root: nn.Module, names: Mapping[str, str], ops: Mapping[str, str] | None = None
) -> list[LayerInfo]:
    """What the layers of a graph are.

    Args:
        graph: the graph.
        root: the module whose parts it calls.
        names: public name -> name of the node.
        ops: public name -> op, where it is not the name of the module's class or of the function.

    Raises:
        ValueError: a name stands for no node.
    """
    nodes = {node.name: node for node in graph.nodes}
    missing = [f"{name} ({node})" for name, node in names.items() if node not in nodes]
    if missing:
        raise ValueError(f"The graph has no node for layer {missing[0]}.")
    sizes = channels(graph.nodes, root)
    found = []
    for name, node_name in names.items():
        node = nodes[node_name]
        module = called_module(node, root)
        op = "Placeholder" if node.op == "placeholder" else type(module).__name__ if module is not None else None
        path = str(node.target) if module is not None else ""
        found.append(LayerInfo(name, (ops or {}).get(name) or op or call_name(node), sizes[node], path))
    return found


def same_objects(first: Iterable[Any], second: Iterable[Any]) -> bool:
    """Whether two series hold the very same objects."""
    return all(a is b for a, b in itertools.zip_longest(first, second))


def _given_name(number: int) -> str:
    """The argument of a piece of a graph that is a node's value."""
    return f"_given_{number}"


def _copied(value: Any) -> Any:
    return value.clone() if isinstance(value, Tensor) else value


def _written_back(value: Any, copied: Any) -> Any:
    """A copy on which what lies in the memory of the first depends from now on, under whatever name it is read."""
    if isinstance(value, Tensor):
        value.copy_(copied)
    return copied


def _alone(function: Function) -> Function:
    """A function under a name, which fx asks of what a graph calls."""

    def instead(x: Tensor) -> Tensor:
        return function(x)

    return instead


def _in_place(function: Function) -> Function:
    def instead_in_place(x: Tensor) -> Tensor:
        return x.copy_(function(x.clone()))  # gradients need what went in

    return instead_in_place
