"""Converted graphs as PyTorch modules whose layers have TensorFlow's names."""

from __future__ import annotations

import contextlib
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx, nn

from converters.errors import ConverterError, GraphError, InputSizeError, SaveError, reason
from converters.frozen.graph import Output
from converters.functional import check_rows
from converters.layers import LAYERS, Linear, LocalResponseNorm
from converters.memory import is_out_of_memory
from converters.network.captum_rules import enter_rules
from converters.network.folding import folded_convolutions
from converters.network.fusion import FusedLayer, ReluRuleMode, are_watched, biased_convolutions, relus_by_rule
from converters.network.interventions import giving
from converters.network.request import Channels, LayeredNetwork, LayerRequest, unsupported
from converters.network.selection import selected_channels, take
from converters.network.tracers import call_layers, fixed_size, is_exporting, value_of
from converters.onnx.writing.export import to_onnx
from converters.program.layer_info import layers_of, module_of
from converters.program.program import Metadata, Program, State, Step
from converters.program.storage import write_program
from converters.progress import Progress, silent
from converters.signatures import checked


@dataclass(frozen=True)
class Pass:
    """The subgraph that computes a request.

    Attributes:
        graph: the subgraph, with fused layers.
        replaced: the layers that are fused or computed by a rule. If a hook observes one, the plain subgraph runs.
        selected: the layers that compute only their requested channels.
        joining: name of a layer that would join the images of a batch; empty if there is none.
    """

    graph: fx.GraphModule
    replaced: tuple[nn.Module, ...]
    selected: frozenset[str]
    joining: str


_OF_SIZES = frozenset({"Fill", "Numbers"})
"""Layers whose values depend on the sizes of the image only, which all images of a batch share."""


def joining_layer(program: Program, names: Sequence[str]) -> str:
    """Returns the first Reshape to a single row ([1, -1]) of the image's values; empty if there is none.

    Args:
        program: the program.
        names: the layers that are computed.
    """
    images = {program.metadata.input_name}
    for step in program.needed(names):
        if step.layer in _OF_SIZES or not any(source.node in images for source in step.inputs):
            continue
        images.add(step.name)
        shape = step.arguments.get("shape", ()) if step.layer == "Reshape" else ()
        if step.inputs[0].node in images and shape and shape[0] == 1 and -1 in shape:
            return step.name
    return ""


class ConvertedModel(LayeredNetwork):
    """A frozen TensorFlow graph in PyTorch.

    Every op that depends on the input is a submodule (`model.get_submodule(model.layers[name].module)`, usually
    `model.<name>`), so forward hooks and all tools for modules work. The model is in evaluation mode and its weights
    are frozen; `model.requires_grad_()` makes them trainable.

    Args:
        program: the layers.
        state: their tensors, by the keys of `state_dict()`.

    Attributes:
        layers: TensorFlow name -> `LayerInfo`.
        metadata: input name, value range, channel order and image shape, as far as they are known.
        outputs: TensorFlow's names of the graph's outputs.

    Example:
        >>> import converters
        >>> from converters.frozen.writer import GraphWriter
        >>> graph = GraphWriter()
        >>> _ = graph.op("relu", "Relu", [graph.placeholder("input", [None, None, None, 3])])
        >>> model = converters.convert(graph.graph_def())
        >>> model.layers["relu"].module
        'relu'
        >>> model(torch.full((1, 3, 4, 4), -1.0)).abs().max()
        tensor(0.)
    """

    @checked
    def __init__(self, program: Program, state: State) -> None:
        super().__init__()
        self.program = program
        for step in program.steps:
            # Weights come with the state. Only buffers that a layer computes from its arguments are allocated here.
            with torch.device("cpu" if step.layer == LocalResponseNorm.__name__ else "meta"):
                self.add_module(step.module, _layer_of(step))
        self.load_state_dict(dict(state), strict=True, assign=True)
        self.requires_grad_(False).eval()
        for parameter in self.parameters():
            if parameter.dim() == 4:
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        self.layers = layers_of(program)
        self.outputs = program.outputs
        self._may_be_hooked = False
        self._cached_modules = dict(self._modules)
        self._graphs: dict[tuple[str, ...], fx.GraphModule] = {}
        self._passes: dict[LayerRequest, Pass] = {}

    @property
    def metadata(self) -> Metadata:
        return self.program.metadata

    def forward(self, x: Tensor) -> Tensor | dict[str, Tensor]:
        """Computes the graph's outputs.

        Args:
            x: (N, C, H, W) in the input's own value range and channel order (`metadata`).

        Returns:
            The output, or a dictionary of outputs by TensorFlow name if the graph has several.

        Raises:
            InputSizeError: an output cannot be computed at this input size.
        """
        found = self.activations(x, self.outputs)
        return found if len(found) > 1 else next(iter(found.values()))

    def supports(self, request: LayerRequest) -> bool:
        """Always true."""
        return True

    def compute(self, x: Tensor, request: LayerRequest) -> dict[str, Tensor]:
        """Computes the requested layers; see `activations`."""
        if request.interventions:
            given = {self.layer_module(name): (name, value) for name, value in request.interventions}
            with giving(given):
                return self.compute(x, replace(request, interventions=()))
        records = isinstance(x, fx.Proxy) or torch.jit.is_tracing() or is_exporting()
        if records or (self._may_be_hooked and self._is_hooked(request)):
            return self._compute_one_by_one(x, request)
        check_images(x, self.program.input_channels)
        if not torch.compiler.is_compiling() and self._modules != self._cached_modules:
            self._forget()
        run = self._passes.get(request) or self._prepared(request)
        if run.joining and len(x) > 1:
            raise InputSizeError(
                f"Layer {run.joining!r} would join the {len(x)} images of the batch: the graph computes one image at a "
                "time."
            )
        observed = are_watched(run.replaced)
        graph = self.subgraph(request.names) if observed else run.graph
        try:
            with ReluRuleMode(request.relu_rule) if observed and request.relu_rule else contextlib.nullcontext():
                # Not __call__: an outer tracer sees the layers as this module's own.
                values = graph.forward(x)
        except MISFITS as error:
            if not (isinstance(error, InputSizeError) or self._is_misfit(x, error)):
                raise
            plain = self.subgraph(request.names)
            raise_located(plain, plain.graph, x, MISFITS, lambda node: node.meta["layer"])
            raise
        found = dict(zip(request.names, values, strict=True))
        for name, channels in request.channels:
            if observed or name not in run.selected:
                found[name] = take(found[name], channels, self.layers[name].channel_axis(found[name].ndim))
        return found

    def _is_misfit(self, x: Tensor, error: Exception) -> bool:
        """Returns whether a layer raised an error because a saved program is damaged, or the image has a wrong size.

        Hooks and replaced layers raise errors of their own, and torch's sentences about dtypes and devices are clear.
        """
        layers, own = tuple(self.children()), next(self.parameters(), x)
        is_plain = all(type(layer) in _PLAIN for layer in layers) and not are_watched(layers)
        fits = (x.dtype, x.device) == (own.dtype, own.device)
        return is_plain and fits and type(error) in _RAW and not is_out_of_memory(error)

    def _is_hooked(self, request: LayerRequest) -> bool:
        """Returns whether layers have hooks that may read gradients of their inputs, as those of captum do."""
        self._may_be_hooked = any(layer._forward_pre_hooks for layer in self.children())
        return self._may_be_hooked and not (request.channels or request.relu_rule)

    def _compute_one_by_one(self, x: Tensor | fx.Proxy, request: LayerRequest) -> dict[str, Any]:
        if request.channels or request.relu_rule:
            raise unsupported(request)
        names = self._key(request.names)
        with fixed_size(x) if isinstance(x, Tensor) and torch.jit.is_tracing() else contextlib.nullcontext(x) as images:
            if not isinstance(images, fx.Proxy):
                check_images(images, self.program.input_channels)
            values = call_layers(self.program, self, images, names)
        return dict(zip(request.names, values, strict=True))

    def _check_channels(self, name: str, numbers: Channels, request: LayerRequest) -> None:
        if name not in request.names:
            raise ValueError(f"channels names layer {name!r}, which is not among the requested layers.")
        count = self.layers[name].channels
        if not numbers:
            raise ValueError(f"channels names no channel of layer {name!r}: give at least one, or leave the layer out.")
        for number in numbers:
            if isinstance(number, bool) or not isinstance(number, int) or number < 0:
                raise ValueError(f"A channel of layer {name!r} is a whole number from 0 on, not {number!r}.")
            if count is not None and number >= count:
                raise IndexError(f"Layer {name!r} has no channel {number}: its channels are 0 to {count - 1}.")

    def _prepared(self, request: LayerRequest) -> Pass:
        """Builds and caches the pass for a request.

        A convolution is fused with its bias or, if the program folds, with all per-channel layers after it. The
        functions of the ReLU rule compute the ReLUs. If possible, layers with requested channels compute only these
        channels.
        """
        names = self._key(request.names)
        for name, numbers in request.channels:
            self._check_channels(name, numbers, request)
        own = {name: self.layers[name].name for name, _ in request.channels}
        chosen = replace(request, names=names, channels=tuple((own[name], c) for name, c in request.channels))
        alone = {} if self.program.fold else selected_channels(self.program, chosen, self)
        together = folded_convolutions if self.program.fold else biased_convolutions
        fused: dict[str, FusedLayer] = {
            **together(self.program, names, self),
            **relus_by_rule(self.program, names, self, request.relu_rule),
            **alone,
        }
        replaced = tuple(layer for one in fused.values() for layer in one.replaced)
        selected = frozenset(name for name, layer in own.items() if layer in alone)
        joining = joining_layer(self.program, names)
        self._passes[request] = Pass(self._build_graph(names, fused), replaced, selected, joining)
        return self._passes[request]

    @checked
    def layer_module(self, name: str) -> nn.Module:
        """Returns the module that computes a layer.

        Raises:
            LayerNotFoundError: the network has no layer of this name.
            ValueError: the layer is the input.
        """
        return module_of(self, self.layers[name])

    @checked
    def subgraph(self, names: Sequence[str]) -> fx.GraphModule:
        """Returns the subgraph that computes some layers, as a module that returns a tuple of their values.

        It shares this model's layers, and is cached.

        Raises:
            LayerNotFoundError: a name is not that of a layer.
        """
        key = self._key(names)
        if not torch.compiler.is_compiling() and self._modules != self._cached_modules:
            self._forget()
        if key not in self._graphs:
            self._graphs[key] = self._build_graph(key, {})
        return self._graphs[key]

    def _key(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(self.layers[name].name for name in ([names] if isinstance(names, str) else names))

    def _build_graph(self, names: Sequence[str], fused: Mapping[str, FusedLayer]) -> fx.GraphModule:
        """Builds the subgraph that computes some layers.

        Args:
            names: names of the layers to return.
            fused: name of a layer -> the call that computes it and the layers fused with it.
        """
        modules: dict[str, nn.Module] = {}
        graph = fx.Graph()
        values = {Output(self.metadata.input_name): graph.placeholder("x")}
        sources = {name: layer.sources for name, layer in fused.items()}
        for step in self.program.needed(names, sources):
            layer: nn.Module | None = fused.get(step.name)
            inputs = tuple(values[source] for source in sources.get(step.name, step.inputs))
            modules[step.module] = self.get_submodule(step.module) if layer is None else layer
            module = modules[step.module]
            if isinstance(module, nn.Linear):  # torch's own error would not name the layer
                graph.call_function(check_rows, (inputs[0], module.in_features)).meta["layer"] = step.name
            made = graph.call_module(step.module, inputs)
            made.meta["layer"] = step.name
            values[Output(step.name)] = made
            if step.outputs > 1:
                parts = [graph.call_function(operator.getitem, (made, index)) for index in range(step.outputs)]
                values.update((Output(step.name, index), part) for index, part in enumerate(parts))
        graph.output(tuple(value_of(values, name) for name in names))
        return fx.GraphModule(modules, graph, "ConvertedGraph")

    @checked
    def save(
        self,
        folder: str | os.PathLike[str],
        *,
        overwrite: bool = False,
        standalone: bool = False,
        progress: Progress = silent,
    ) -> None:
        """Writes the model into a new folder, as safetensors and JSON; see `converters.save`."""
        for step in self.program.steps:
            self._check_layer(step, SaveError, "saved")
        write_program(
            self.program, self.state_dict(), folder, overwrite=overwrite, standalone=standalone, progress=progress
        )

    @checked
    def to_onnx(
        self,
        path: str | os.PathLike[str],
        layers: Sequence[str] | None = None,
        *,
        properties: Mapping[str, str] | None = None,
        external_data: bool | None = None,
        overwrite: bool = False,
    ) -> Path:
        """Writes some layers as an ONNX file; see `converters.onnx.writing.export.to_onnx`."""
        for step in self.program.needed(self._key(self.outputs if layers is None else layers)):
            self._check_layer(step, GraphError, "written")
        return to_onnx(
            self.program,
            self.state_dict(),
            path,
            layers,
            properties=properties,
            external_data=external_data,
            overwrite=overwrite,
        )

    def _check_layer(self, step: Step, error: type[ConverterError], done: str) -> None:
        """Raises an error if a layer was replaced or has other tensors: files hold only converted layers."""
        with torch.device("meta"):
            made = _layer_of(step)
        layer = self.get_submodule(step.module)
        if type(layer) is not type(made):
            found = type(layer).__name__
            found = f"{type(layer).__module__}.{found}" if found == step.layer else found
            raise error(f"Layer {step.name!r} was replaced by a {found}; only converted layers are {done}.")
        tensors = list(layer.state_dict())
        if tensors != list(made.state_dict()):
            raise error(
                f"Layer {step.name!r} has the tensors {tensors}, which a converted layer does not have; only converted "
                f"layers are {done}. If torch.nn.utils.prune changed it, call prune.remove first."
            )

    def apply(self, fn: Callable[[nn.Module], None]) -> ConvertedModel:
        """Applies a function to all modules, as torch's own does."""
        enter_rules()  # captum's DeepLift finds the layers by this method
        self._may_be_hooked = True
        return super().apply(fn)

    def _forget(self) -> None:
        """Drops the cached subgraphs, because layers were replaced."""
        self._graphs.clear()
        self._passes.clear()
        self._cached_modules = dict(self._modules)

    def __setattr__(self, name: str, value: Any) -> None:
        # A replaced layer takes effect in all subgraphs. Tools that write to `_modules` are noticed by the next pass.
        if isinstance(value, nn.Module) and "_graphs" in self.__dict__:
            self._forget()
        super().__setattr__(name, value)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_graphs": {}, "_passes": {}, "_cached_modules": {}}  # rebuilt on demand

    def extra_repr(self) -> str:
        return f"input={self.metadata.input_name!r}, outputs={list(self.outputs)}"


def _layer_of(step: Step) -> nn.Module:
    """Returns the layer of a step; its tensors are not yet loaded.

    A fully connected layer is torch's own class: tools such as `torch.ao.quantization.quantize_dynamic` compare types
    exactly, and it computes the same.
    """
    layer = step.build()
    if not isinstance(layer, Linear):
        return layer
    made = nn.Linear(layer.in_features, layer.out_features, bias=False, device="meta")
    made.__dict__["extra_repr"] = _no_settings
    return made


def _no_settings() -> str:
    """The `extra_repr` of fully connected layers, which is part of saved fingerprints."""
    return ""


MISFITS = (RuntimeError, IndexError, TypeError, ValueError, ArithmeticError)
"""Errors that torch raises for wrong sizes and damaged arguments; the layers do not check all of them themselves."""

_RAW = frozenset({*MISFITS[:4], NotImplementedError, OverflowError, ZeroDivisionError})
"""Their own types: subclasses are errors of a device, of a compiler, or of a run without numbers."""

_PLAIN = frozenset({*LAYERS.values(), nn.Linear})
"""Classes of converted layers."""


class _Locator(fx.Interpreter):
    """Runs a graph node by node.

    Attributes:
        node: the node that ran last.
    """

    node: fx.Node

    def run_node(self, n: fx.Node) -> Any:
        self.node = n
        return super().run_node(n)


def raise_located(
    module: nn.Module,
    graph: fx.Graph,
    x: Tensor,
    errors: type[Exception] | tuple[type[Exception], ...],
    layer_of: Callable[[fx.Node], str],
) -> None:
    """Runs a graph node by node, and names the first layer that fails.

    Args:
        module: the module whose submodules the graph calls.
        graph: the graph.
        x: its input, (N, C, H, W).
        errors: the errors that a wrong size of the input raises.
        layer_of: function that returns the name of a node's layer.

    Raises:
        InputSizeError: a layer fails; the error names it.
    """
    locator = _Locator(module, graph=graph)
    locator.extra_traceback = False  # keeps the message of the error
    try:
        with torch.no_grad():
            locator.run(x)
    except errors as error:
        size = "x".join(str(int(length)) for length in x.shape[-2:])
        layer = layer_of(locator.node)
        raise InputSizeError(f"Layer {layer!r} cannot be computed for images of {size}: {reason(error)}.") from error


def check_images(x: Tensor, channels: int | None) -> None:
    """Checks the input of a network.

    Args:
        x: the input.
        channels: number of channels of the network's input; None accepts any number.

    Raises:
        ValueError: `x` is not a floating point tensor, or its shape is not (N, channels, H, W).
    """
    if not isinstance(x, Tensor) or not x.is_floating_point():
        kind = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(f"The input is {kind}; the network reads a tensor of floating point numbers.")
    if x.dim() != 4 or (channels is not None and x.shape[1] != channels):
        wanted = channels if channels is not None else "channels"
        raise ValueError(
            f"The input has shape {list(x.shape)}; the network reads a batch of images, (N, {wanted}, H, W)."
        )
