"""A PyTorch network whose modules, and the functions between them, are layers with names."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from converters import LayerInfo, LayerNotFoundError, checks
from converters.errors import UnsupportedRequestError
from converters.network.fusion import are_watched
from converters.network.interventions import Given
from converters.network.request import LayeredNetwork, LayerRequest, ReluRule, unsupported
from converters.program.layer_info import check_layouts, module_of
from converters.tracing.axes import Run, find_axes
from converters.tracing.elements import splits_of, tensor_elements, tensor_of
from converters.tracing.fake import uncompiled
from converters.tracing.naming import output_name
from converters.tracing.recording import Call, Recorder, class_name, is_leaf
from converters.tracing.traced import same_objects
from lucid_port.misc.tensors import is_traced
from lucid_port.modelzoo.descriptions import (
    CalledLayers,
    described,
    run_hooked,
    run_traced,
    with_containers,
)
from lucid_port.modelzoo.hooks import read_by_hooks, read_by_recording
from lucid_port.modelzoo.state import NoGuard, RandomGuard, StateGuard, same_random_state
from lucid_port.modelzoo.torch_layers import Target, TorchLayers
from lucid_port.modelzoo.tracing import Trace, UntraceableError, VisitingInterpreter

Adapter = Callable[[Tensor], Tensor]
"""Maps images (N, C, H, W), in the network's own value range, to the network's input."""

_SIZE = 224  # of the image that lists the layers of a network for images of any size


class TorchNetwork(LayeredNetwork):
    """A PyTorch network with named layers.

    If `torch.fx` can trace the network, a pass computes only the requested layers and their inputs. If it cannot
    (because the code depends on values, as in many transformers, writes buffers, or computes values of the image under
    `torch.no_grad` or `torch.autocast`), or if a module that a trace passes over has a hook, the network itself runs,
    up to the last of the layers: modules are read by forward hooks, and functions are named as they are called.
    Afterwards its buffers and attributes are as before.

    Args:
        module: the network. It is switched to evaluation mode, and its weights are frozen.
        trace: whether functions between modules are layers. If not, the network is never traced.
        image_shape: (height, width, channels) of the image that lists the functions of a network that cannot be traced.
        adapter: maps images (N, C, H, W) to the network's input; None if it takes images.
        input_shape: the shape of the network's input without its batch axis; None for sizes that may vary.
        origins: path of a module -> full name of the class that it stands for, in exported networks.
        layouts: name of a layer -> one letter for each of its axes, which takes the place of the axes that are found.

    Attributes:
        layers: name -> `converters.LayerInfo`. Its op is the class of the module or the name of the function; its
            `module` is empty for functions. Called layers come first, in the order of execution, then other modules.
            `layer:0` and `layer:key` are elements of a layer that returns a tuple or a dict, and `output` is the value
            that the network returns (`output_1` if a module is called so). Both can be looked up, but are not listed.
        untraced: the reason why the network is not traced, as a clause; None if it is.
        unrecorded: the reason why only modules are layers, as a clause; None if functions are layers.
    """

    untraced: str | None

    def __init__(
        self,
        module: nn.Module,
        trace: bool = True,
        *,
        image_shape: Sequence[int | None] = (None, None, 3),
        adapter: Adapter | None = None,
        input_shape: Sequence[int | None] | None = None,
        origins: Mapping[str, str] | None = None,
        layouts: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.module = module.eval().requires_grad_(False)
        self.image_shape, self.adapter = tuple(image_shape), adapter
        self.input_shape = None if input_shape is None else tuple(input_shape)
        self._origins = dict(origins or {})
        self._layouts = check_layouts(layouts)
        self._traces = trace
        self._lock = threading.RLock()
        self._find_layers()
        if self._layouts:
            self._list_layers()  # checks their names

    def _find_layers(self) -> None:
        """Traces the network."""
        self._overwritten: dict[object, set[str]] = {}
        self._parts = list(self.module.modules())
        self._paths = {part: path for path, part in self.module.named_modules()}
        self._output = LayerInfo(output_name(set(self._paths.values())), type(self.module).__name__, None, "")
        self._holders = [part for part in self._parts if next(part.children(), None) is not None or not is_leaf(part)]
        self._guard, self._random = StateGuard(self.module), RandomGuard()
        self._layers: TorchLayers | None = None
        self._is_described = False
        self._seen: tuple[int, ...] | None = None  # the shape of the last image without its batch axis
        self._tried: set[tuple[int, ...] | None] = set()
        self._trace: Trace | None = None
        self._failure: str | None = None
        self._outputs: tuple[str, ...] | None = None
        self.untraced = "trace=False was given"
        if self._origins and self._traces:
            self.untraced = "it is an exported network"
        elif self._traces and are_watched(self._holders):
            self.untraced = "a module that is traced through has a hook or a replaced forward"
        elif self._traces:
            try:
                self._trace, self.untraced = Trace(self, self.module), None
            except UntraceableError as error:
                self.untraced = str(error)
            except Exception as error:  # the network's own code may raise anything
                self.untraced = f"torch.fx cannot trace the network ({_shown(error)})"

    def __getstate__(self) -> dict[str, Any]:
        hidden = (
            "_lock",
            "_trace",
            "_overwritten",
            "_parts",
            "_paths",
            "_holders",
            "_layers",
            "_guard",
            "_random",
            "untraced",
            "_outputs",
            "_is_described",
            "_seen",
            "_tried",
        )
        return {key: value for key, value in self.__dict__.items() if key not in hidden}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._lock = threading.RLock()
        self._find_layers()

    # Runs of the whole network -------------------------------------------------------------------

    def forward(self, x: Tensor) -> Any:
        """Returns the network's own output."""
        if torch.compiler.is_compiling() or is_traced(x):
            return self.run_network(self.adapted(x))
        with self._lock:  # passes of other threads would restore each other's state
            return self._random.run(lambda: self._guard.run(lambda: self.run_network(self.adapted(x))), x)

    def run_network(self, x: Tensor) -> Any:
        """Runs the network on its own input."""
        return self.module(x)

    def adapted(self, x: Tensor) -> Tensor:
        """Returns the network's input for images (N, C, H, W).

        Raises:
            ValueError: the adapter does not return a tensor of the input's shape.
        """
        if self.adapter is None:
            return x
        made = self.adapter(x)
        if is_traced(made):
            return made
        wanted = self.input_shape
        if not isinstance(made, Tensor):
            raise ValueError(f"The adapter returns the network's input, a tensor, not {checks.shown(made)}.")
        if wanted is not None and not _fits(made.shape[1:], wanted):
            shown = ", ".join("any size" if size is None else str(size) for size in wanted)
            raise ValueError(
                f"The adapter made an input of shape {tuple(made.shape)} of an image of shape {tuple(x.shape)}, "
                f"but input_shape says (N, {shown})."
            )
        return made

    def visit(self, x: Tensor, visit: Callable[[Call, Any], None]) -> None:
        """Runs the network once, and calls a function with each named value in the order of execution.

        Values may be overwritten in place later in the pass. Layers inside of torch's own modules are visited, too. The
        last value is what the network returns.

        Args:
            x: (N, C, H, W) in the network's own value range.
            visit: called with the description and the value.
        """

        def look(call: Call, value: Any) -> Any:
            visit(call, value)
            return value

        run = self._recorded if self._current_trace() is None else self._interpreted
        with self._lock, same_random_state(x.device):
            self._guard.run(lambda: run(look, self.adapted(x)))

    def _interpreted(self, visit: Callable[[Call, Any], Any], x: Tensor) -> None:
        if self._trace is None:
            return
        calls = {info.name: Call(info.name, info.op, info.module) for info in self._trace.layers}
        handles = []
        try:
            for path, part in self.module.named_modules():
                if path and path not in calls:
                    call = Call(path, type(part).__name__, path, True)
                    handles.append(part.register_forward_hook(functools.partial(_look_inside, visit, call)))
            run = VisitingInterpreter(self._trace, self, lambda name, value: visit(calls[name], value))
            visit(Call(self._output.name, self._output.op, ""), run.run(x))
        finally:
            for handle in handles:
                handle.remove()

    def _recorded(self, visit: Callable[[Call, Any], Any], x: Tensor) -> None:
        with uncompiled(), self._recorder(visit, ()):
            self.run_network(x)

    def _recorder(self, visit: Callable[[Call, Any], Any], rule: ReluRule) -> Recorder:
        return Recorder(self.module, visit, rule, self._origins)

    # Layers --------------------------------------------------------------------------------------

    @property
    def layers(self) -> TorchLayers:  # type: ignore[override]  # listed when it is first looked at
        """The layers by name."""
        self._current_trace()
        is_stale = not self._is_described and self._seen not in self._tried
        if self._layers is None or is_stale:
            with self._lock:
                self._tried.add(self._seen)
                self._layers = self._list_layers()
        return self._layers

    @property
    def traced(self) -> Trace | None:
        """The graph of the network; None if it is not traced, for the reason `untraced`."""
        return self._current_trace()

    @property
    def unrecorded(self) -> str | None:
        """The reason why only modules are layers, as a clause; None if functions are layers."""
        return self._failure if self._traces else self.untraced

    @property
    def outputs(self) -> tuple[str, ...]:
        """Layer names of the values that the network returns: `output`, or its elements, such as `output:logits`."""
        self._current_trace()
        if self._outputs is None:
            found: list[Any] = []
            name = self._output.name
            with torch.no_grad(), same_random_state(self._device()):
                self.visit(self._sample(), lambda call, value: found.append(value) if call.name == name else None)
            elements = tensor_elements(found[-1])
            self._outputs = tuple(f"{name}:{key}" for key in elements) if elements else (name,)
        return self._outputs

    def _list_layers(self) -> TorchLayers:
        """Lists the layers, with their axes: those of the trace or of a run, then other modules."""
        modules = {name: part for name, part in self.module.named_modules() if name}
        called = CalledLayers(self._output.name)
        for shape in self._shapes():
            found = find_axes(self.module, self._run_of_layers(modules, called), shape)
            self._is_described = not found.failure
            if self._is_described:
                break
        if self._trace is not None:
            found = with_containers(found, self._trace.containers)
        infos = list(called.infos.values()) if self._trace is None else self._trace.layers
        if found.failure and self._trace is None and self._traces:
            infos, self._failure = [], f"{found.failure}, and {self.untraced}"
        known = {info.name for info in infos}
        others = [self._module_info(name, part) for name, part in modules.items() if name not in known]
        result = described([*infos, *others], self._output, found, self.module, self._layouts)
        return TorchLayers(result.layers, result.further)

    def _run_of_layers(self, modules: Mapping[str, nn.Module], called: CalledLayers) -> Run:
        """Returns a function that runs the network, and reports its values."""
        trace, output = self._trace, self._output.name
        if trace is not None:
            hooks = {name: part for name, part in modules.items() if name not in trace.nodes}
            return lambda image, report: run_traced(self, trace, self.adapted(image), hooks, output, report)
        if self._traces:
            return lambda image, report: self._recorded(called.visitor(report), self.adapted(image))
        return lambda image, report: run_hooked(lambda: self.run_network(self.adapted(image)), modules, output, report)

    def _shapes(self) -> list[tuple[int, ...]]:
        """Returns the shapes of images at which the network may run: that of its description, and the last one seen."""
        height, width, channels = self.image_shape
        shape = (1, channels or 3, height or _SIZE, width or _SIZE)
        return [shape] if self._seen in (None, shape[1:]) else [shape, (1, *self._seen)]

    def _module_info(self, name: str, part: nn.Module) -> LayerInfo:
        return LayerInfo(name, class_name(part, self._origins.get(name)), None, name)

    def _device(self) -> torch.device:
        return next((tensor.device for tensor in self.module.parameters()), torch.device("cpu"))

    def _sample(self) -> Tensor:
        """Returns an image of the network's size, dtype and device. Its values are random."""
        height, width, channels = self.image_shape
        weight = next((tensor for tensor in self.module.parameters() if tensor.is_floating_point()), torch.zeros(0))
        made = torch.rand(1, channels or 3, height or _SIZE, width or _SIZE, generator=torch.Generator().manual_seed(0))
        return made.to(weight.device, weight.dtype)

    def layer_module(self, name: str) -> nn.Module:
        """Returns the module that computes a layer.

        Raises:
            converters.LayerNotFoundError: the network has no layer of this name.
            ValueError: the layer is a function.
        """
        self._current_trace()
        target = self._target(name)
        return self.module if target.is_output else module_of(self.module, target.info)

    def check_channels(self, channels: int | None) -> None:
        """Checks the number of image channels against the convolutions that read the image.

        Raises:
            ValueError: a convolution takes another number of channels.
        """
        for info in [] if self._trace is None or self.adapter is not None else self._trace.first:
            part = self.module.get_submodule(info.module)
            wanted = getattr(part, "in_channels", channels) if info.module else channels
            if channels is not None and wanted != channels:
                raise ValueError(
                    f"Layer {info.name!r} reads images of {wanted} channel{'s' * (wanted != 1)}, but image_shape has "
                    f"{channels}: give image_shape=(height, width, {wanted})."
                )

    def _target(self, name: str) -> Target:
        """Finds a layer, or an element of one. Names of modules need no list of layers.

        Raises:
            converters.LayerNotFoundError: there is none.
        """
        splits = splits_of(name) if isinstance(name, str) else []
        for known, key in splits:
            if known == self._output.name:
                return Target(name, self._output, key, True)
            part = self._module_at(known)
            if part is not None:
                return Target(name, self._module_info(self._paths.get(part, known), part), key, False)
        for known, key in splits:
            found = None if self._trace is None else self._trace.layer(known)
            if found is not None:  # needs no axes, so no pass that finds them
                return Target(name, found, key, False)
        try:
            return Target(name, *self.layers.find(name), False)
        except LayerNotFoundError as error:
            if self.unrecorded is not None:
                error.args = (f"{error} Only modules are layers here, because {self.unrecorded}.",)
            raise

    def _module_at(self, path: str) -> nn.Module | None:
        if not isinstance(path, str) or not path:
            return None
        try:
            return self.module.get_submodule(path)
        except AttributeError:
            return None

    def _current_trace(self) -> Trace | None:
        """Returns the trace, and renews it if modules of the network were replaced."""
        if not torch.compiler.is_compiling() and not same_objects(self.module.modules(), self._parts):
            self._find_layers()
        return self._trace

    def keep_written_state(self) -> None:
        """Lets passes write buffers and attributes of modules, as the hooks of some tools do. Meant for copies."""
        self._guard = NoGuard(self.module)

    # Requests ------------------------------------------------------------------------------------

    def supports(self, request: LayerRequest) -> bool:
        """Returns whether the request has no channels and, if it has a ReLU rule, all ReLUs can be replaced."""
        if request.channels or not request.relu_rule:
            return not request.channels
        trace = self._current_trace()
        if trace is None:
            return self._traces and not any(isinstance(part, torch.jit.ScriptModule) for part in self._parts)
        return trace.relus is not None and not are_watched([*self._holders, *trace.relus])

    def compute(self, x: Tensor, request: LayerRequest) -> dict[str, Tensor]:
        """Computes the values of the requested layers; see `activations`.

        Values are those before any later in-place operation. Gradients flow between them. The name of a module that
        runs several times in one pass refers to its first value.

        Raises:
            converters.LayerNotFoundError: a name is not that of a layer.
            ValueError: a layer does not run, its value is not a tensor, or it cannot be replaced; the network is in
                training mode, or does not support the request.
        """
        if self.module.training:
            raise ValueError("The network is in training mode, in which renders change it: call its eval() first.")
        if not self.supports(request):
            if self.untraced is not None and not request.channels:
                raise UnsupportedRequestError(f"The ReLUs of this network cannot be replaced, because {self.untraced}.")
            raise unsupported(request)
        if not torch.compiler.is_compiling() and self._seen != tuple(x.shape[1:]):
            self._seen = tuple(x.shape[1:])
        if torch.compiler.is_compiling():
            return self._computed(x, request)
        return self._random.run(lambda: self._computed(x, request), x)

    def _computed(self, x: Tensor, request: LayerRequest) -> dict[str, Tensor]:
        if self._current_trace() is None:
            # Not a decorator, because torch imports its compiler for it.
            run = torch.compiler.disable(self._compute_untraced) if torch.compiler.is_compiling() else None
            return (run or self._compute_untraced)(x, request)
        targets = {name: self._target(name) for name in request.names}
        given = {self._replaceable(name): value for name, value in request.interventions}
        return self._compute_traced(self.adapted(x), request, targets, given)

    def _replaceable(self, name: str) -> Target:
        target = self._target(name)
        if target.is_output or target.element not in ("", "0"):
            raise ValueError(f"The value of {name!r} cannot be replaced: name a layer whose value is a tensor.")
        return replace(target, element="")

    def _compute_untraced(self, x: Tensor, request: LayerRequest) -> dict[str, Tensor]:
        """Reads layers from the running network: modules by hooks, functions by a recorder."""
        targets = {name: self._target(name) for name in request.names}
        given = {self._replaceable(name): value for name, value in request.interventions}
        x, everything = self.adapted(x), (*targets.values(), *given)
        if not request.relu_rule and all(target.is_hookable for target in everything):
            modules = {target: self.layer_module(target.name) for target in _distinct(targets.values())}
            hooked = {self.layer_module(target.name): (target.name, value) for target, value in given.items()}
            found = self._read_by_hooks(lambda: self.run_network(x), modules, hooked)
        else:
            replaced = {target.info.name: value for target, value in given.items()}
            found = self._read_by_recording(x, _distinct(targets.values()), replaced, request.relu_rule)
        return {name: found[target.key] for name, target in targets.items()}

    def _compute_traced(
        self, x: Tensor, request: LayerRequest, targets: Mapping[str, Target], given: Mapping[Target, Tensor]
    ) -> dict[str, Tensor]:
        """Reads layers from the traced graph, and those that it lacks by hooks."""
        is_watched = are_watched(self._holders)
        nodes = self._nodes((*targets.values(), *given), is_watched, bool(given))
        traced = [target for target in targets.values() if target in nodes]
        read = {t: self.layer_module(t.name) for t in _distinct(t for t in targets.values() if t not in nodes)}
        hooked = {self.layer_module(t.name): (t.name, value) for t, value in given.items() if t not in nodes}
        inside = {nodes[target]: value for target, value in given.items() if target in nodes}
        places = [nodes[target] for target in targets.values() if target in nodes]
        run = functools.partial(self._run_trace, x, places, request.relu_rule, inside, traced)
        found: dict[str, Tensor] = {}
        if not (read or hooked):
            found = run()
        elif (
            nodes
            and not is_watched
            and not any(t.is_output or self._is_passed_over(t) for t in targets.values() if t not in nodes)
        ):
            # one pass for all layers, so that gradients flow between them
            found |= self._read_by_hooks(lambda: found.update(run(whole=True)), read, hooked, whole=True)
        else:
            found = self._read_by_hooks(lambda: self.run_network(x), read, hooked)
            found |= run() if traced else {}
        return {name: found[target.key] for name, target in targets.items()}

    def _nodes(self, targets: Sequence[Target], is_watched: bool, intervenes: bool) -> dict[Target, str]:
        """Returns the nodes of the layers that are read by the trace. Hooks read the others.

        Args:
            targets: the layers.
            is_watched: whether a module that a traced pass passes over has a hook, which that pass would skip.
            intervenes: whether the pass has interventions, which need a single pass.
        """
        if self._trace is None or (is_watched and intervenes):
            return {}
        if all(target.is_hookable for target in targets) and any(self._is_passed_over(target) for target in targets):
            return {}  # one pass of the network itself
        found = {}
        for target in targets:
            info = target.info
            outputs, nodes = self._trace.outputs, self._trace.nodes
            node = outputs.get(target.element, outputs.get("")) if target.is_output else nodes.get(info.name)
            if node is None and target.key not in self._trace.changed:
                node = self._trace.elements.get(target.key)
            if node is not None and not (is_watched and (target.is_output or info.module == info.name)):
                found[target] = node
        return found

    def _is_passed_over(self, target: Target) -> bool:
        """Returns whether a pass of the graph gives no value of a module, because it runs what is inside of it."""
        trace, path = self._trace, target.info.module
        if trace is None or target.is_output or not path or target.info.name in trace.nodes or trace.runs(path):
            return False
        return target.key not in trace.elements or target.key in trace.changed

    def _run_trace(
        self,
        x: Tensor,
        places: Sequence[str],
        rule: ReluRule,
        given: Mapping[str, Tensor],
        targets: Sequence[Target],
        whole: bool = False,
    ) -> dict[str, Tensor]:
        """Runs the traced graph: only the layers and their inputs, or the complete pass if `whole`."""
        if self._trace is None:
            return {}
        graph = self._trace.graph
        values = graph.run(self, x, [*places, *graph.outputs()] if whole else places, rule, given)
        found = {}
        for target, value in zip(targets, values[: len(targets)], strict=True):
            outputs, elements = self._trace.outputs, self._trace.elements
            is_element = target.element in outputs if target.is_output else target.key in elements  # a node's own value
            found[target.key] = tensor_of(value, target.info.name, "" if is_element else target.element)
        return found

    def _read_by_hooks(
        self, run: Callable[[], object], modules: Mapping[Target, nn.Module], given: Given, whole: bool = False
    ) -> dict[str, Tensor]:
        """Reads modules by hooks in a pass that stops at the last of them, or (`whole`) in a complete pass."""
        with self._lock:  # passes of other threads would also run the hooks
            separate = self._separate(*(t.key for t in modules), *(name for name, _ in given.values()))
            found = self._guard.run(lambda: read_by_hooks(run, modules, given, separate, whole))
        _check_found(found, modules)
        return found

    def _read_by_recording(
        self, x: Tensor, targets: Sequence[Target], given: Mapping[str, Tensor], rule: ReluRule
    ) -> dict[str, Tensor]:
        """Reads layers in a pass that stops at the last of them."""
        with self._lock:
            separate = self._separate(*(target.key for target in targets), *given)
            run = functools.partial(self.run_network, x)
            with uncompiled():  # parts of the network may be compiled
                found = self._guard.run(lambda: read_by_recording(run, self._recorder, targets, given, rule, separate))
        _check_found(found, targets)
        return found

    def _separate(self, *names: str) -> set[str]:
        return self._overwritten.setdefault(names, set())


def _look_inside(visit: Callable[[Call, Any], Any], call: Call, part: nn.Module, inputs: Any, output: Any) -> None:
    visit(call, output)


def _distinct(targets: Iterable[Target]) -> list[Target]:
    """Returns the targets, and of those with one value the first."""
    found: dict[str, Target] = {}
    for target in targets:
        found.setdefault(target.key, target)
    return list(found.values())


def _check_found(found: Mapping[str, Tensor], targets: Iterable[Target]) -> None:
    missing = [target.key for target in targets if target.key not in found]
    if missing:
        raise ValueError(f"Layer {missing[0]!r} did not run: the network's forward pass does not use it.")


def _fits(shape: Sequence[int], wanted: Sequence[int | None]) -> bool:
    return len(shape) == len(wanted) and all(size in (None, have) for have, size in zip(shape, wanted, strict=True))


def _shown(error: Exception) -> str:
    line = " ".join(str(error).split())
    shown = line if len(line) <= 120 else f"{line[:117]}..."
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__
