"""Runs of a torch network that report its named values, and descriptions of its layers by the axes that they find."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, fx, nn
from torch.utils.hooks import RemovableHandle

from converters.program.layer_info import LayerInfo
from converters.tracing.axes import Findings, FoundAxes, Report, axes_of_class
from converters.tracing.elements import splits_of, tensor_elements
from converters.tracing.recording import Call
from lucid_port.modelzoo.tracing import Trace

NAMES_OF_T = {"input": "the image", "labels": "the list of class names"}
"""Names that mean something else in objectives. A module of this name is listed as `name:0`."""


# Runs -----------------------------------------------------------------------------------------


def run_traced(
    root: nn.Module, trace: Trace, image: Tensor, hooks: Mapping[str, nn.Module], output: str, report: Report
) -> None:
    """Runs a traced graph, and reports its nodes by the names of their layers.

    Args:
        root: the module whose submodules the graph calls.
        trace: the graph.
        image: the input of the graph.
        hooks: name -> module, for layers that are not in the graph.
        output: name of the value that the network returns.
        report: called with each name and value.
    """
    names: dict[str, list[str]] = {}
    for name, node in (*trace.nodes.items(), *trace.elements.items()):
        names.setdefault(node, []).append(name)
    with _Hooks(hooks, report):
        result = _Interpreter(root, trace.graph.graph, names, report).run(image)
    report_value(report, output, result)


def run_hooked(run: Callable[[], object], hooks: Mapping[str, nn.Module], output: str, report: Report) -> None:
    """Runs a network, and reports the values of its modules.

    Args:
        run: runs the network.
        hooks: name -> module.
        output: name of the value that the network returns.
        report: called with each name and value.
    """
    with _Hooks(hooks, report):
        result = run()
    report_value(report, output, result)


def report_value(report: Report, name: str, value: object) -> None:
    """Reports a value, and its elements that are tensors as `name:element`."""
    report(name, value)
    for key, item in tensor_elements(value).items():
        report(f"{name}:{key}", item)


class CalledLayers:
    """The layers that a run calls, in the order of execution.

    Args:
        output: name of the value that the network returns, which is no layer.

    Attributes:
        infos: name -> description without its axes.
    """

    def __init__(self, output: str) -> None:
        self.infos: dict[str, LayerInfo] = {}
        self._output = output

    def visitor(self, report: Report) -> Callable[[Call, Any], Any]:
        """Starts again, and returns a function that reports a value, and returns it."""
        self.infos.clear()

        def visit(call: Call, value: Any) -> Any:
            report_value(report, call.name, value)
            if call.name != self._output and not call.is_inside:
                self.infos[call.name] = LayerInfo(call.name, call.op, None, call.module)
            return value

        return visit


class _Interpreter(fx.Interpreter):
    """Runs a graph, and reports the values of its named nodes."""

    def __init__(self, root: nn.Module, graph: fx.Graph, names: Mapping[str, Sequence[str]], report: Report) -> None:
        super().__init__(root, graph=graph)
        self._names = names
        self._report = report

    def run_node(self, n: fx.Node) -> Any:
        result = super().run_node(n)
        for name in self._names.get(n.name, ()):
            report_value(self._report, name, result)
        return result


class _Hooks:
    """A context in which the values of modules are reported."""

    def __init__(self, modules: Mapping[str, nn.Module], report: Report) -> None:
        self._modules, self._report = modules, report
        self._handles: list[RemovableHandle] = []

    def __enter__(self) -> None:
        for name, module in self._modules.items():
            self._handles.append(module.register_forward_hook(self._hook(name)))

    def __exit__(self, *error: object) -> None:
        for handle in self._handles:
            handle.remove()

    def _hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def read(module: nn.Module, inputs: Any, output: Any) -> None:
            report_value(self._report, name, output)

        return read


def with_containers(found: Findings, containers: Mapping[str, str]) -> Findings:
    """Adds modules of a trace that return containers, which no node computes.

    Args:
        found: the axes.
        containers: path of a module -> name of the class of its value.
    """
    values = {name: FoundAxes(unknown=_no_tensor(kind), is_tensor=False) for name, kind in containers.items()}
    return replace(found, values={**values, **found.values})


def _no_tensor(kind: str) -> str:
    return f"its value is a {kind}, not a tensor"


# Descriptions ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Described:
    """The layers of a network.

    Attributes:
        layers: the layers whose values depend on the image.
        further: the value that the network returns, modules and functions that return tuples, other elements, modules
            that do not run, and values that do not depend on the image.
    """

    layers: Sequence[LayerInfo]
    further: Sequence[LayerInfo]


def described(
    infos: Sequence[LayerInfo],
    output: LayerInfo,
    found: Findings,
    module: nn.Module,
    layouts: Mapping[str, str],
) -> Described:
    """Describes layers by their axes.

    Each listed layer is a tensor that depends on the image. A module that returns another value is listed by the
    tensors in it, as `layer:element`. Modules that do not run are not listed. A module whose name means something else
    in objectives is listed as `name:0`.

    Args:
        infos: the layers, without their axes.
        output: the value that the network returns.
        found: the axes.
        module: the network.
        layouts: name -> axes that the user states.

    Raises:
        ValueError: the axes that are stated for a layer are not those of its value, or there is no such layer.
    """
    known = {info.name: info for info in (*infos, output)}
    elements: dict[str, list[str]] = {}
    for name in found.values:
        layer, element = next(((layer, element) for layer, element in splits_of(name) if layer in known), (name, ""))
        if element:
            elements.setdefault(layer, []).append(name)
    known |= {name: replace(known[layer], name=name) for layer, names in elements.items() for name in names}
    for name in layouts:
        if name not in known and name.removesuffix(":0") not in known:
            raise ValueError(f"layouts has axes for {name!r}, and the network has no layer of this name.")
    layouts = {name if name in known else name.removesuffix(":0"): stated for name, stated in layouts.items()}
    axes = {name: _axes(info, found, module, layouts) for name, info in known.items()}
    full = {
        name: replace(info, channels=one.channels, layout="", axes=one.axes, tokens=one.tokens, unknown=one.unknown)
        for name, info in known.items()
        for one in [axes[name]]
    }
    layers = [name for info in infos for name in _listed(info, axes, elements.get(info.name, ()), found)]
    full |= {f"{name}:0": replace(full[name], name=f"{name}:0") for name in layers if name in NAMES_OF_T}
    layers = [f"{name}:0" if name in NAMES_OF_T else name for name in layers]
    chosen = set(layers)
    return Described([full[name] for name in layers], [info for name, info in full.items() if name not in chosen])


def _listed(info: LayerInfo, axes: Mapping[str, FoundAxes], elements: Sequence[str], found: Findings) -> Sequence[str]:
    """Returns the names under which a layer is listed."""
    one = axes[info.name]
    if info.module and info.name not in found.values and not found.failure:
        return ()  # does not run
    if one.is_tensor:
        return (info.name,) if one.depends else ()
    return [name for name in elements if axes[name].depends] if info.module else ()


def _axes(info: LayerInfo, found: Findings, module: nn.Module, layouts: Mapping[str, str]) -> FoundAxes:
    """Returns the axes of a layer: those that are stated or found, or those that its module's class states."""
    one = found.values.get(info.name)
    stated = layouts.get(info.name)
    if stated is not None:
        if one is not None and one.shape and len(one.shape) != len(stated):
            raise ValueError(
                f"layouts has the axes {stated!r} for layer {info.name!r}, and its value has {len(one.shape)} axes: "
                f"its shape is {one.shape}."
            )
        channels = one.shape[stated.index("C")] if one is not None and one.shape else None
        tokens = None if one is None or "L" not in stated or one.axes != stated else one.tokens
        return FoundAxes(stated, channels, tokens)
    if one is not None:
        return one
    by_class = axes_of_class(module.get_submodule(info.module)) if info.module else None
    return by_class or FoundAxes(unknown=found.failure or "the network's forward pass does not use it")
