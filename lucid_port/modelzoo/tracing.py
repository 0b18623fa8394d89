"""Traces networks with `torch.fx`, and names the values of the graph."""

from __future__ import annotations

import operator
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from converters import LayerInfo
from converters.tracing.aliasing import call_name, no_tensors
from converters.tracing.elements import nested_elements
from converters.tracing.naming import Numbering
from converters.tracing.recording import is_leaf
from converters.tracing.traced import LayerGraph
from lucid_port.modelzoo.state import StateGuard

ROOT = "module"  # name of the attribute of a `TorchNetwork` that holds the user's network
ENTRY = "run_network"  # name of its method that runs the user's network


class UntraceableError(Exception):
    """A trace of the network would compute other values than the network; the message is a clause."""


@dataclass(frozen=True)
class _Value:
    """A value in a traced pass.

    Attributes:
        node: the node that computes the value.
        base: path of the module that returned it, or `path.function` for a function called by the module at `path`.
        path: path of the module that returned it; empty for functions.
    """

    node: fx.Node
    base: str
    path: str


@dataclass(frozen=True)
class _Container:
    """The first value of a module that was traced through, if it is a list, a dict or another container.

    Attributes:
        path: path of the module.
        value: the container of proxies.
        last: the last node before the module returned it.
    """

    path: str
    value: object
    last: fx.Node


class _Proxy(fx.Proxy):
    """A proxy that keeps `x += y` in place, so that aliases of x see the change."""


def _augmented(function: Callable[..., Any]) -> Callable[[_Proxy, object], fx.Proxy]:
    def assign(self: _Proxy, other: object) -> fx.Proxy:
        return self.tracer.create_proxy("call_function", function, (self, other), {})

    return assign


for _name in ("iadd", "isub", "imul", "itruediv", "ifloordiv", "imod", "ipow", "iand", "ior", "ixor"):
    setattr(_Proxy, f"__{_name}__", _augmented(getattr(operator, _name)))


class _Tracer(fx.Tracer):
    """A tracer that records the module of each function call, and the result of each module call.

    Args:
        leaves: further classes of modules that are not traced through.
        functions: functions that are not traced through.

    Attributes:
        values: the values of function and module calls, in the order of execution.
        containers: the values that are containers.
        unlike: node that is computed with other settings than the network as a whole -> the settings, as a clause.
    """

    traced_func_name = ENTRY

    def __init__(self, leaves: tuple[type[nn.Module], ...] = (), functions: Sequence[Callable[..., Any]] = ()) -> None:
        super().__init__(autowrap_functions=tuple(functions))
        self.values: list[_Value] = []
        self.containers: list[_Container] = []
        self._more_leaves = leaves
        self.unlike: dict[fx.Node, str] = {}
        with torch.enable_grad():
            self._settings = _settings()
        self._path = ""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_leaf(m) or isinstance(m, self._more_leaves)

    def proxy(self, node: fx.Node) -> fx.Proxy:
        return _Proxy(node, self)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        outer, self._path = self._path, self.path_of_module(m)
        result = super().call_module(m, forward, args, kwargs)
        if isinstance(result, fx.Proxy) and self._path != ROOT:
            path = self._path.removeprefix(f"{ROOT}.")
            self.values.append(_Value(result.node, path, path))
        elif not isinstance(result, fx.Proxy) and self._path != ROOT:
            path = self._path.removeprefix(f"{ROOT}.")
            self.containers.append(_Container(path, result, next(iter(reversed(self.graph.nodes)))))
        self._path = outer
        return result

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        for what, value in _settings().items():
            if value != self._settings[what]:
                self.unlike[node] = what
        if node.op in ("call_function", "call_method"):
            self.values.append(_Value(node, f"{self._path}.{call_name(node)}".removeprefix(f"{ROOT}."), ""))
        return node


class Trace:
    """The graph of a network, traced by `torch.fx`.

    If it cannot be traced as it is, and timm is imported, the modules and functions that timm registers for this
    purpose are not traced through.

    Args:
        network: the wrapper of the network; its method `run_network` is traced.
        module: the network.

    Attributes:
        graph: the graph.
        relus: the ReLU modules; None if the network may contain ReLUs that are not modules.
        nodes: layer name -> node name, in the order of execution.
        layers: the layers, in the same order, without their axes.
        first: the layers that read the image.
        outputs: element of the returned value -> node name; the element is empty for a tensor.
        containers: path of a module that was traced through, and returns no tensor -> name of the value's class.
        elements: `layer:element` of such a module -> node name.
        changed: those of the elements that are changed in place between their node and the end of the module.
        called: paths of the modules that the graph calls.

    Raises:
        UntraceableError: the network writes its buffers.
    """

    def __init__(self, network: nn.Module, module: nn.Module) -> None:
        tracer = _traced(network, module)
        graph = tracer.graph
        self.graph = LayerGraph(graph, network)
        _check_changes_nothing(self.graph, network)
        _check_settings(graph, tracer.unlike)
        self.relus = self.graph.relus(network)
        numbering = Numbering({name for name, _ in module.named_modules()})
        values = {numbering.name(value.base, value.path): value for value in tracer.values}
        sizeless = no_tensors(graph.nodes)
        image = next(node for node in graph.nodes if node.op == "placeholder")
        self.nodes: dict[str, str] = {}
        self.layers: list[LayerInfo] = []
        self.first: list[LayerInfo] = []
        for name, value in values.items():
            if value.node in sizeless:
                continue
            self.nodes[name] = value.node.name
            part = module.get_submodule(value.path)
            op = type(part).__name__ if value.path else call_name(value.node)
            self.layers.append(LayerInfo(name, op, None, value.path))
            if image in value.node.all_input_nodes:
                self.first.append(self.layers[-1])
        self.outputs = _outputs(graph)
        self.called = {str(node.target).removeprefix(f"{ROOT}.") for node in graph.nodes if node.op == "call_module"}
        self.containers: dict[str, str] = {}
        self.elements: dict[str, str] = {}
        self.changed: set[str] = set()
        for one in tracer.containers:
            if one.path not in self.nodes and one.path not in self.containers:
                self.containers[one.path] = type(one.value).__name__
                self.elements |= {f"{one.path}:{key}": node for key, node in self._elements(one).items()}

    def _elements(self, container: _Container) -> dict[str, str]:
        """Returns element -> node name, and keeps the names of those that the module changes before it returns."""
        found = {}
        inside = [node for node in self.graph.graph.nodes if not container.last < node]
        for key, item in nested_elements(container.value).items():
            if isinstance(item, fx.Proxy):
                found[key] = item.node.name
                memory, later = self.graph.changes.memory[item.node], (node for node in inside if item.node < node)
                if any(memory & self.graph.changes.exposed[node] for node in later):
                    self.changed.add(f"{container.path}:{key}")
        return found

    def runs(self, path: str) -> bool:
        """Returns whether a pass of the graph calls a module, or a module that it is in."""
        parts = path.split(".")
        return any(".".join(parts[:count]) in self.called for count in range(1, len(parts) + 1))

    def layer(self, name: str) -> LayerInfo | None:
        """Returns the layer of a name, without its axes; None if there is none."""
        return next((info for info in self.layers if info.name == name), None) if name in self.nodes else None


class VisitingInterpreter(fx.Interpreter):
    """Runs a traced graph, and calls a function with the name and the value of each layer.

    Args:
        trace: the trace.
        network: the wrapper of the network.
        visit: called in the order of execution.
    """

    def __init__(self, trace: Trace, network: nn.Module, visit: Callable[[str, Any], None]) -> None:
        super().__init__(fx.GraphModule(network, trace.graph.graph))
        self._visit = visit
        self._names: dict[str, list[str]] = {}
        for name, node in trace.nodes.items():
            self._names.setdefault(node, []).append(name)

    def run_node(self, n: fx.Node) -> Any:
        value = super().run_node(n)
        for name in self._names.get(n.name, ()):
            self._visit(name, value)
        return value


def _traced(network: nn.Module, module: nn.Module) -> _Tracer:
    """Traces the network, a second time with timm's registered modules and functions.

    Raises:
        Exception: the network cannot be traced; its own code may raise anything.
    """
    try:
        return _trace_with(_Tracer(), network, module)
    except UntraceableError:
        raise
    except Exception:
        timm = sys.modules.get("timm.layers")
        if timm is None or not any(type(part).__module__.startswith("timm.") for part in module.modules()):
            raise
        leaves, functions = tuple(timm.get_notrace_modules()), timm.get_notrace_functions()
        return _trace_with(_Tracer(leaves, functions), network, module)


def _settings() -> dict[str, bool]:
    """Returns the settings that code can change for some of its values: a clause -> whether it holds.

    A graph computes all its values with the settings of its caller.
    """
    kinds = ("cpu", "cuda")
    return {
        "with autocast switched on or off": any(map(torch.is_autocast_enabled, kinds)),
        "without gradients (torch.no_grad)": torch.is_grad_enabled(),
    }


def _check_settings(graph: fx.Graph, unlike: Mapping[fx.Node, str]) -> None:
    """Checks that what depends on the image is computed with the settings of the caller.

    Raises:
        UntraceableError: a value is computed with other ones, which the graph would drop.
    """
    if not unlike:
        return
    sizes = no_tensors(graph.nodes)
    depending: set[fx.Node] = set()
    for node in graph.nodes:
        reads = node.op == "placeholder" or not depending.isdisjoint(node.all_input_nodes)
        if not reads or node in sizes:
            continue
        depending.add(node)
        if node in unlike:
            raise UntraceableError(f"it computes values {unlike[node]}")


def _trace_with(tracer: _Tracer, network: nn.Module, module: nn.Module) -> _Tracer:
    guard = StateGuard(module)
    with torch.enable_grad():  # so that torch.no_grad in the network's code shows
        guard.run(lambda: tracer.trace(network))
    if guard.written:
        raise UntraceableError(f"its forward pass writes the buffer {guard.written[0]!r}")
    return tracer


def _check_changes_nothing(graph: LayerGraph, root: nn.Module) -> None:
    """Checks that a traced network does not write its own tensors; the graph would drop the write.

    Raises:
        UntraceableError: it writes a buffer, or a module of torch's own is in training mode.
    """
    for node in graph.graph.nodes:
        written = [place for place in graph.changes.written[node] if place.op == "get_attr"]
        if written:
            raise UntraceableError(
                f"its forward pass writes the buffer {str(written[0].target).removeprefix(ROOT + '.')!r}"
            )
        if node.op == "call_module":
            part = root.get_submodule(str(node.target))
            if part.training and next(part.buffers(), None) is not None:
                raise UntraceableError(f"module {str(node.target).removeprefix(ROOT + '.')!r} stays in training mode")


def _outputs(graph: fx.Graph) -> dict[str, str]:
    """Returns element -> node name of the value that the graph returns."""
    returned = next(node for node in reversed(graph.nodes) if node.op == "output").args[0]
    if isinstance(returned, fx.Node):
        return {"": returned.name}
    return {key: item.name for key, item in nested_elements(returned).items() if isinstance(item, fx.Node)}
