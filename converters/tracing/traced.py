"""torch.fx graphs as networks whose layers, functions included, have names."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from converters.dependencies import with_dependencies
from converters.network.fusion import are_watched
from converters.network.request import Function, LayeredNetwork, LayerRequest, ReluRule, unsupported
from converters.program.layer_info import LayerInfo, Layers, module_of
from converters.program.program import Metadata
from converters.tracing.aliasing import call_name, called_module, channels, find_changes, is_opaque, relu_kind

Forward = Callable[..., tuple[Any, ...]]


class LayerGraph:
    """Runs the subgraph of a torch.fx graph that some of its nodes need.

    It stores no module: each run gets the root module as an argument. So replaced layers take effect, and the root
    can be moved and copied.

    Args:
        graph: its first placeholder is the image; others need a default.
        root: the module whose submodules the graph calls.

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
        self.changes = find_changes(graph.nodes, root)
        self._is_opaque = any(is_opaque(node, root) for node in graph.nodes)
        self._relus = {node: kind for node in graph.nodes if (kind := relu_kind(node, root)) is not None}
        self._forwards: dict[tuple[tuple[str, ...], ReluRule, tuple[str, ...]], Forward] = {}

    def relus(self, root: nn.Module) -> list[nn.Module] | None:
        """Returns the ReLUs that are modules; None if unknown code in the graph may contain others."""
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
        """Computes some nodes. Later in-place changes do not affect the values.

        Args:
            root: the module whose submodules the graph calls.
            x: the image.
            nodes: names of nodes.
            functions: functions that replace every "Relu" or "Relu6".
            given: name of a node -> value that replaces its own.
        """
        values = given or {}
        key = tuple(nodes), functions, tuple(values)
        forward = self._forwards.get(key)
        if forward is None:
            piece = self.cut(root, nodes, functions, tuple(values))
            # Only the generated forward function of the module is used.
            forward = self._forwards[key] = type(fx.GraphModule(root, piece, "LayersOf")).forward
        return forward(root, x, **{_given_name(number): value for number, value in enumerate(values.values())})

    def outputs(self) -> list[str]:
        """Returns the names of the nodes that the graph outputs."""
        last = next(node for node in reversed(self.graph.nodes) if node.op == "output")
        return [node.name for node in last.all_input_nodes]

    def cut(
        self, root: nn.Module, names: Sequence[str], functions: ReluRule = (), given: Sequence[str] = ()
    ) -> fx.Graph:
        """Returns the subgraph that computes some nodes, as a graph that returns a tuple of their values.

        If a later node may change a returned value in place, that node reads a copy. So the returned value
        stays unchanged, and all later nodes and their gradients depend on the returned value.

        A node of `given` runs nevertheless if it works in place and later nodes read its input. Later nodes that read
        its own value read a copy of the given one, which shares no memory with other values.
        """
        inputs = {self._nodes[name]: _given_name(number) for number, name in enumerate(given)}
        wanted = {self._nodes[name] for name in names}
        image = next(node for node in self.graph.nodes if node.op == "placeholder")
        before = self.changes.before
        changing = {node for node in inputs if node in self.changes.seen}  # runs, because others read its input later
        replaced = inputs.keys() - changing
        needed = with_dependencies(
            wanted, lambda node: () if node in replaced else {*node.all_input_nodes, *before[node]}
        )
        order = [node for node in self.graph.nodes if node in needed or node in inputs or node is image]
        other = dict(functions)
        elsewhere = {node for node in order if self._relus.get(node) in other and node not in self.changes.seen}
        piece = fx.Graph()
        values: dict[fx.Node, fx.Node] = {image: piece.node_copy(image)}
        places = {node: piece.placeholder(name, default_value=None) for node, name in inputs.items()}
        kept: dict[fx.Node, fx.Node] = {}
        for position, node in enumerate(order):
            function = other.get(self._relus.get(node, ""))
            if node is not image and (node not in inputs or node in changing):
                if function is None:
                    values[node] = piece.node_copy(node, values.__getitem__)
                else:
                    source = node.args[0] if node.args else node.kwargs["input"]
                    call = _alone(function) if node in elsewhere else _in_place(function)
                    values[node] = piece.call_function(call, (values[source],))
            if node in inputs:
                values[node] = places[node]
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
        """Returns the value to return for a node, which no later node changes, and the value that later nodes read."""
        memory = self.changes.memory[node]
        if not any(memory & self.changes.exposed[one] for one in writers):
            return value, value
        copied = piece.call_function(_copied, (value,))
        if is_given:
            return value, copied
        known = {node, *later}
        others = {source for one in later for source in one.all_input_nodes if source not in known}
        is_shared = any(memory & self.changes.memory[source] for source in others)
        if not is_shared or not any(memory & self.changes.written[one] for one in writers):
            return value, copied
        return piece.call_function(_written_back, (value, copied)), value

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_forwards": {}}  # rebuilt on demand

    def __deepcopy__(self, memo: dict[int, Any]) -> LayerGraph:
        """Returns self: the object is immutable and holds no module."""
        return self


def tensors(layers: Iterable[str], values: Iterable[Any]) -> dict[str, Tensor]:
    """Returns the values of layers by name.

    Raises:
        ValueError: a value is not a tensor.
    """
    found = dict(zip(layers, values, strict=True))
    for name, value in found.items():
        if not isinstance(value, Tensor):
            raise ValueError(
                f"Layer {name!r} returns a {type(value).__name__}, not a tensor; request a layer after it."
            )
    return found


class TracedNetwork(LayeredNetwork):
    """A torch.fx graph whose nodes are layers with names.

    Args:
        graph_module: the graph. Replaced submodules take effect.
        names: public name of a layer -> name of its fx node, in the order of `layers`.
        metadata: input name, value range and image shape.
        ops: public name of a layer -> `LayerInfo.op`; by default the name of the module's class or of the function.

    Attributes:
        layers: public name -> `LayerInfo`. `module` is empty if a layer is a function.
        metadata: the argument; empty if it was None.

    Raises:
        ValueError: there is no node for a name, or the graph does not take one image.
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
        self._analyze()
        self.layers = Layers(layer_infos(graph_module.graph, graph_module, names, ops or {}))

    def _analyze(self) -> None:
        """Analyzes the graph with its current submodules."""
        self._parts = list(self.module.modules())
        self._graph = LayerGraph(self.module.graph, self.module)
        self._relus = self._graph.relus(self.module)

    def forward(self, x: Tensor) -> Any:
        """Returns the graph's own output."""
        return self.module(x)

    def supports(self, request: LayerRequest) -> bool:
        """Returns whether the request has no channels, and has a ReLU rule only if all ReLUs can be replaced."""
        if not torch.compiler.is_compiling() and not same_objects(self.module.modules(), self._parts):
            self._analyze()  # a submodule was replaced
        return not request.channels and (
            not request.relu_rule or (self._relus is not None and not are_watched(self._relus))
        )

    def compute(self, x: Tensor, request: LayerRequest) -> dict[str, Tensor]:
        """Computes the requested layers; see `activations`.

        Each value is the output of its layer, even if the network changes it in place afterwards. Later values have
        gradients with respect to it.
        """
        if not self.supports(request):
            raise unsupported(request)
        nodes = [self._names[self.layers[name].name] for name in request.names]
        given = {self._names[self.layers[name].name]: value for name, value in request.interventions}
        return tensors(request.names, self._graph.run(self.module, x, nodes, request.relu_rule, given))

    def layer_module(self, name: str) -> nn.Module:
        """Returns the module that computes a layer.

        Raises:
            LayerNotFoundError: the network has no layer of this name.
            ValueError: the layer is a function, or the input.
        """
        return module_of(self.module, self.layers[name])

    def __getstate__(self) -> dict[str, Any]:
        # fx pickles a graph as code. Tracing it again may rename nodes, but keeps their order.
        order = {node.name: position for position, node in enumerate(self.module.graph.nodes)}
        positions = {name: order[node] for name, node in self._names.items()}
        hidden = ("_graph", "_parts", "_relus", "_names")
        return {**{key: value for key, value in self.__dict__.items() if key not in hidden}, "_positions": positions}

    def __setstate__(self, state: dict[str, Any]) -> None:
        positions = state.pop("_positions")
        super().__setstate__(state)
        nodes = list(self.module.graph.nodes)
        self._names = {name: nodes[position].name for name, position in positions.items()}
        self._analyze()


def layer_infos(
    graph: fx.Graph, root: nn.Module, names: Mapping[str, str], ops: Mapping[str, str] | None = None
) -> list[LayerInfo]:
    """Returns the descriptions of a graph's layers.

    Args:
        graph: the graph.
        root: the module whose submodules it calls.
        names: public name -> name of the node.
        ops: public name -> op; by default the name of the module's class or of the function.

    Raises:
        ValueError: there is no node for a name.
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


def same_objects(first: Iterable[object], second: Iterable[object]) -> bool:
    """Returns whether two iterables yield the same objects in the same order."""
    return all(a is b for a, b in itertools.zip_longest(first, second))


def _given_name(number: int) -> str:
    """Returns the name of the subgraph's argument for the replaced value at index `number` of `given`."""
    return f"_given_{number}"


def _copied(value: Any) -> Any:
    """Returns a copy of a tensor, or of a tuple, list or dict of tensors."""
    return tree_map_only(Tensor, torch.clone, value)


def _written_back(value: Any, copied: Any) -> Any:
    """Copies `copied` back into `value`, so that all aliases of `value` depend on `copied`; returns `copied`."""
    for old, new in zip(tree_leaves(value), tree_leaves(copied), strict=True):
        if isinstance(old, Tensor):
            old.copy_(new)
    return copied


def _alone(function: Function) -> Function:
    """Wraps a callable in a function, because fx needs a `__name__`."""

    def instead(x: Tensor) -> Tensor:
        return function(x)

    return instead


def _in_place(function: Function) -> Function:
    def instead_in_place(x: Tensor) -> Tensor:
        return x.copy_(function(x.clone()))  # the gradient needs the original input

    return instead_in_place
