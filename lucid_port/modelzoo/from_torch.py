"""Wraps any PyTorch network as a model for objectives, overrides and renders.

Layers are the network's modules by their dotted names (`layer4.2.conv1`). If `torch.fx` can trace the network, the
functions between modules (`layer4.2.add`) and repeated calls of a module (`layer4.2.relu_1`) are layers, too.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.parameter import is_lazy

from converters import ConvertedModel, LayerInfo, LayerNotFoundError
from converters.errors import UnsupportedRequestError
from converters.network.fusion import are_watched
from converters.network.interventions import Given
from converters.network.request import LayeredNetwork, LayerRequest, ReluRule, unsupported
from converters.program.layer_info import Layers, module_of
from converters.tracing.aliasing import call_name, channels, no_tensors, stated_channels
from converters.tracing.traced import LayerGraph, TracedNetwork, same_objects, tensors
from lucid_port.misc import checks
from lucid_port.modelzoo.catalogue import ValueRange
from lucid_port.modelzoo.hooks import read_by_hooks
from lucid_port.modelzoo.vision_base import Model, check_value_range

_ROOT = "module"  # name of the attribute of `TorchNetwork` that holds the network


class TorchNetwork(LayeredNetwork):
    """A PyTorch network with named layers.

    If `torch.fx` can trace the network, a pass computes only the requested layers and their inputs. If it cannot
    (because the code depends on values, as in many transformers), or if a module with submodules has a hook, layers
    are read by forward hooks, and the network runs up to the last of them.

    Args:
        module: the network. It is switched to evaluation mode, and its weights are frozen.
        trace: whether to trace the network.

    Attributes:
        layers: name -> `converters.LayerInfo`. Its op is the class of the module or the name of the function; its
            `module` is empty for functions. Traced layers come first, in the order of execution, then other modules.
        untraced: the reason why only modules are layers, as a clause; None if the network was traced.
    """

    layers: Layers
    untraced: str | None

    def __init__(self, module: nn.Module, trace: bool = True) -> None:
        super().__init__()
        if isinstance(module, torch.jit.ScriptModule):
            raise TypeError(
                "A scripted or traced (TorchScript) network hides its layers: give from_torch the network that it was "
                "made from."
            )
        _check_takes_an_image(module)
        self.module = module.eval().requires_grad_(False)
        self._traces = trace
        self._lock = threading.Lock()
        self._find_layers()

    def _find_layers(self) -> None:
        """Traces the network and lists its layers."""
        self._overwritten: dict[tuple[str, ...], set[str]] = {}
        self._parts = list(self.module.modules())
        self._holders = [part for part in self._parts if next(part.children(), None) is not None]
        self._trace: Trace | None = None
        self.untraced = "trace=False was given"
        if self._traces and are_watched(self._holders):
            self.untraced = "a module with submodules has a hook or a replaced forward"
        elif self._traces:
            try:
                self._trace, self.untraced = Trace(self), None
            except Exception as error:  # the network's own code may raise anything
                self.untraced = f"torch.fx cannot trace the network ({_one_line(error)})"
        self.layers = _layers(self.module, self._trace)

    def __getstate__(self) -> dict[str, Any]:
        hidden = ("_lock", "_trace", "_overwritten", "_parts", "_holders", "layers", "untraced")
        return {key: value for key, value in self.__dict__.items() if key not in hidden}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._lock = threading.Lock()
        self._find_layers()

    def forward(self, x: Tensor) -> Any:
        """Returns the network's own output."""
        return self.module(x)

    def supports(self, request: LayerRequest) -> bool:
        """Returns whether the request has no channels and, if it has a ReLU rule, all ReLUs can be replaced."""
        if request.channels or not request.relu_rule:
            return not request.channels
        trace = self._current_trace()
        return trace is not None and trace.relus is not None and not are_watched([*self._holders, *trace.relus])

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
        names, given = request.names, dict(request.interventions)
        self._current_trace()
        infos = {name: self._find(name) for name in (*names, *given)}
        is_watched = are_watched(self._holders)
        nodes = self._nodes(infos, is_watched, bool(given))
        traced = [name for name in names if name in nodes]
        read = {name: module_of(self.module, infos[name]) for name in names if name not in nodes}
        hooked = {module_of(self.module, infos[n]): (n, value) for n, value in given.items() if n not in nodes}
        inside = {nodes[name]: value for name, value in given.items() if name in nodes}
        run = functools.partial(self._run_trace, x, nodes, request.relu_rule, inside, traced)
        found: dict[str, Tensor] = {}
        if not (read or hooked):
            found = run()
        elif nodes and not is_watched:  # one pass for all layers, so that gradients flow between them
            found |= self._read_by_hooks(lambda: found.update(run(whole=True)), read, hooked, whole=True)
        else:
            found = self._read_by_hooks(lambda: self.module(x), read, hooked)
            found |= run() if traced else {}
        return {name: found[name] for name in names}

    def _nodes(self, infos: Mapping[str, LayerInfo], is_watched: bool, intervenes: bool) -> dict[str, str]:
        """Returns layer name -> node for the layers that are read by the trace. Hooks read the others.

        Args:
            infos: name -> layer.
            is_watched: whether a module with submodules has a hook. A traced pass would skip the hook, because it runs
                the submodules directly.
            intervenes: whether the pass has interventions, which need a single pass.
        """
        if self._trace is None or (is_watched and intervenes):
            return {}
        known = self._trace.nodes
        names = [n for n, info in infos.items() if info.name in known and not (is_watched and info.module == info.name)]
        return {name: known[infos[name].name] for name in names}

    def _run_trace(
        self,
        x: Tensor,
        nodes: Mapping[str, str],
        rule: ReluRule,
        given: Mapping[str, Tensor],
        names: Sequence[str],
        whole: bool = False,
    ) -> dict[str, Tensor]:
        """Runs the traced graph: only the layers and their inputs, or the complete pass if `whole`."""
        if self._trace is None:
            return {}
        graph = self._trace.graph
        places = [nodes[name] for name in names]
        values = graph.run(self, x, places + graph.outputs() if whole else places, rule, given)
        return tensors(names, values[: len(names)])

    def layer_module(self, name: str) -> nn.Module:
        """Returns the module that computes a layer.

        Raises:
            converters.LayerNotFoundError: the network has no layer of this name.
            ValueError: the layer is a function.
        """
        self._current_trace()
        return module_of(self.module, self._find(name))

    def check_channels(self, channels: int | None) -> None:
        """Checks the number of image channels against the convolutions that read the image.

        Raises:
            ValueError: a convolution takes another number of channels.
        """
        for info in [] if self._trace is None else self._trace.first:
            part = self.module.get_submodule(info.module)
            wanted = getattr(part, "in_channels", channels) if info.module else channels
            if channels is not None and wanted != channels:
                raise ValueError(
                    f"Layer {info.name!r} reads images of {wanted} channel{'s' * (wanted != 1)}, but image_shape has "
                    f"{channels}: give image_shape=(height, width, {wanted})."
                )

    def _find(self, name: str) -> LayerInfo:
        try:
            return self.layers[name]
        except LayerNotFoundError as error:
            if self.untraced is not None:
                error.args = (f"{error} Only modules are layers here, because {self.untraced}.",)
            raise

    def _current_trace(self) -> Trace | None:
        """Returns the trace, and renews it if modules of the network were replaced."""
        if not torch.compiler.is_compiling() and not same_objects(self.module.modules(), self._parts):
            self._find_layers()
        return self._trace

    def _read_by_hooks(
        self, run: Callable[[], object], modules: Mapping[str, nn.Module], given: Given, whole: bool = False
    ) -> dict[str, Tensor]:
        """Reads modules by hooks in a pass that stops at the last of them, or (`whole`) in a complete pass."""
        with self._lock:  # passes of other threads would also run the hooks
            separate = self._overwritten.setdefault((*modules, *(name for name, _ in given.values())), set())
            found = read_by_hooks(run, modules, given, separate, whole)
        missing = [name for name in modules if name not in found]
        if missing:
            raise ValueError(f"Layer {missing[0]!r} did not run: the network's forward pass does not use it.")
        return found


def _one_line(error: Exception) -> str:
    line = " ".join(str(error).split())
    shown = line if len(line) <= 120 else f"{line[:117]}..."
    return f"{type(error).__name__}: {shown}" if shown else type(error).__name__


# Tracing --------------------------------------------------------------------------------------


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


class _Tracer(fx.Tracer):
    """A tracer that records the module of each function call, and the result of each module call.

    Attributes:
        values: the values of function and module calls, in the order of execution.
    """

    def __init__(self) -> None:
        super().__init__()
        self.values: list[_Value] = []
        self._path = ""

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        outer, self._path = self._path, self.path_of_module(m)
        result = super().call_module(m, forward, args, kwargs)
        if isinstance(result, fx.Proxy) and self._path != _ROOT:
            path = self._path.removeprefix(f"{_ROOT}.")
            self.values.append(_Value(result.node, path, path))
        self._path = outer
        return result

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        node = super().create_node(*args, **kwargs)
        if node.op in ("call_function", "call_method"):
            self.values.append(_Value(node, f"{self._path}.{call_name(node)}".removeprefix(f"{_ROOT}."), ""))
        return node


class Trace:
    """The graph of a network, traced by `torch.fx`.

    Args:
        network: the network.

    Attributes:
        graph: the graph.
        relus: the ReLU modules; None if the network may contain ReLUs that are not modules.
        nodes: layer name -> node name, in the order of execution.
        layers: the layers, in the same order.
        first: the layers that read the image.
    """

    def __init__(self, network: TorchNetwork) -> None:
        tracer = _Tracer()
        with _untouched(network.module):
            graph = tracer.trace(network)
        self.graph = LayerGraph(graph, network)
        self.relus = self.graph.relus(network)
        values = _numbered(tracer.values, {name for name, _ in network.module.named_modules()})
        sizes, sizeless = channels(graph.nodes, network), no_tensors(graph.nodes)
        image = next(node for node in graph.nodes if node.op == "placeholder")
        self.nodes: dict[str, str] = {}
        self.layers: list[LayerInfo] = []
        self.first: list[LayerInfo] = []
        for name, value in values.items():
            if value.node in sizeless:
                continue
            self.nodes[name] = value.node.name
            part = network.module.get_submodule(value.path)
            op = type(part).__name__ if value.path else call_name(value.node)
            self.layers.append(LayerInfo(name, op, sizes[value.node], value.path))
            if image in value.node.all_input_nodes:
                self.first.append(self.layers[-1])


def _numbered(values: Iterable[_Value], modules: set[str]) -> dict[str, _Value]:
    """Gives each value a unique name: the path of its module for the first call, with `_1`, `_2` for further calls."""
    found: dict[str, _Value] = {}
    runs: Counter[str] = Counter()
    for value in values:
        name = value.base
        while name in found or (name in modules and name != value.path):
            runs[value.base] += 1
            name = f"{value.base}_{runs[value.base]}"
        found[name] = value
    return found


@contextlib.contextmanager
def _untouched(module: nn.Module) -> Iterator[None]:
    """A context that restores the attributes of all modules at its end. A traced pass may set some."""
    before = [(part, dict(part.__dict__)) for part in module.modules()]
    try:
        yield
    finally:
        for part, attributes in before:
            for key in set(part.__dict__) - set(attributes):
                del part.__dict__[key]
            part.__dict__.update(attributes)


def _layers(module: nn.Module, trace: Trace | None) -> Layers:
    """Returns the layers of a network: those of the trace, then its other modules."""
    traced = [] if trace is None else trace.layers
    known = {info.name for info in traced}
    modules = [(name, part) for name, part in module.named_modules() if name and name not in known]
    others = [LayerInfo(name, type(part).__name__, stated_channels(part), name) for name, part in modules]
    return Layers([*traced, *others])


def from_torch(
    module: nn.Module,
    image_value_range: ValueRange | None = None,
    *,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    is_BGR: bool = False,
    image_shape: Sequence[int] = (224, 224, 3),
    labels: Sequence[str] | None = None,
    trace: bool = True,
) -> Model:
    """Wraps a PyTorch network as a model to render.

    The network is switched to evaluation mode, and its weights are frozen (`requires_grad_(False)`). To continue its
    training, wrap a copy (`copy.deepcopy`). The names of the layers are `list(model.network.layers)`.

    Args:
        module: the network, which takes one image batch (N, C, H, W). A `converters.ConvertedModel` or `TracedNetwork`
            keeps its layers.
        image_value_range: (lo, hi), the network's values for black and white: numbers, or one number per channel.
        mean, std: alternative to `image_value_range`: the arguments of torchvision's `Normalize`, one number per
            channel.
        is_BGR: whether the channel order of the network is blue, green, red.
        image_shape: (height, width, channels) of the training images.
        labels: names of the classes.
        trace: whether to trace the network with `torch.fx`, so that functions between modules are layers, too. Pass
            False if tracing changes the network's behavior, for example because of `isinstance(x, Tensor)`.

    Returns:
        A model that takes RGB images (N, 3, H, W) in [0, 1].

    Raises:
        TypeError: `module` is not a network, or an argument has another type.
        ValueError: neither or both of `image_value_range` and `mean` with `std` are given, their lengths do not match
            the channels, the network takes another number of channels or more than one image, or its weights are lazy.

    Example:
        >>> network = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
        >>> model = from_torch(network, image_value_range=(-1, 1), image_shape=(16, 16, 3))
        >>> list(model.network.layers)
        ['0', '1', '2']
        >>> model.activations(torch.rand(1, 3, 16, 16), "1")["1"].shape
        torch.Size([1, 8, 14, 14])
    """
    if not isinstance(module, nn.Module):
        made = " (a class: call it first)" if isinstance(module, type) else ""
        raise TypeError(f"from_torch takes a torch.nn.Module, not {checks.shown(module)}{made}.")
    if isinstance(module, Model):
        raise TypeError(f"This {type(module).__name__} is a model already: use it as it is.")
    shape = _image_shape(image_shape)
    if (image_value_range is None) == (mean is None and std is None) or (mean is None) != (std is None):
        raise ValueError("The network's value range is missing: give either image_value_range, or mean and std.")
    if image_value_range is None:
        image_value_range = range_of_normalized(mean, std)
    value_range = check_value_range(image_value_range, shape[-1])
    _check_shapes_are_known(module)
    network = module if isinstance(module, _NETWORKS) else TorchNetwork(module, trace)
    if isinstance(network, TorchNetwork):
        network.check_channels(shape[-1])
    return Model(
        network=network,
        image_value_range=value_range,
        is_BGR=is_BGR,
        image_shape=shape,
        labels=None if labels is None else checks.items(labels, "labels", "a list of names"),
    )


_NETWORKS = (ConvertedModel, TracedNetwork, TorchNetwork)


def _check_shapes_are_known(module: nn.Module) -> None:
    """Checks that a network has no lazy weights, which get their shape in the first pass.

    Raises:
        ValueError: a module has lazy weights.
    """
    for name, part in module.named_modules():
        if any(is_lazy(tensor) for tensor in (*part._parameters.values(), *part._buffers.values())):
            place = f"Module {name!r}" if name else "The network"
            raise ValueError(
                f"{place} ({type(part).__name__}) has lazy weights without a shape: run the network once on an image "
                "of its size before it becomes a model."
            )


def _check_takes_an_image(module: nn.Module) -> None:
    """Checks that a network can be called with one argument.

    Raises:
        ValueError: the network's `forward` takes no argument, or requires more than one.
    """
    parameters = inspect.signature(module.forward).parameters.values()
    places = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD, p.VAR_POSITIONAL)]
    optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in optional]
    others = [name for name in needed if name != places[0]] if places else needed
    if others or not places:
        takes = f"takes {', '.join(needed)}" if needed else "takes no value"
        raise ValueError(
            f"{type(module).__name__}.forward {takes}, and a model takes one image: wrap the network in a module whose "
            "forward(self, image) passes the other arguments, and give that module to from_torch."
        )


def _image_shape(shape: object) -> tuple[Any, ...]:
    wanted = "(height, width, channels)"
    given = checks.items(shape, "image_shape", wanted)
    if len(given) != 3:
        raise ValueError(f"image_shape is {wanted}, not {checks.shown(shape)}.")
    return tuple(None if size is None else checks.whole(size, "Every size of image_shape", 1) for size in given)


def _channel_values(values: object, what: str) -> list[int | float]:
    """Checks that the values are finite numbers, one per channel."""
    given = checks.items(values, what, "a list of one number for each channel, as in (0.485, 0.456, 0.406)")
    return [checks.number(value, f"Each number of {what}") for value in given]


def range_of_normalized(mean: object, std: object) -> ValueRange:
    """Returns the values for black and white of a network whose input is (x - mean) / std of images x in [0, 1].

    Args:
        mean, std: one number for each channel.

    Raises:
        TypeError: they are not lists of numbers.
        ValueError: their lengths differ, or a standard deviation is not above 0.

    Example:
        >>> range_of_normalized([0.5], [0.5])
        ((-1.0,), (1.0,))
    """
    return _range_of_normalised(_channel_values(mean, "mean"), _channel_values(std, "std"))


def _range_of_normalised(mean: list[int | float], std: list[int | float]) -> ValueRange:
    if len(mean) != len(std):
        raise ValueError(f"mean has {len(mean)} numbers and std {len(std)}: give both one for each channel.")
    if min(std, default=1) <= 0:
        raise ValueError(f"std has numbers above 0 only, because the image is divided by them; it is {tuple(std)}.")
    pairs = list(zip(mean, std, strict=True))
    return tuple(-m / s for m, s in pairs), tuple((1 - m) / s for m, s in pairs)
