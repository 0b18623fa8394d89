"""Computes some channels of a layer without the others.

A convolution can compute any subset of its channels, and one input of a concatenation may contain all requested
channels. This saves time if no other layer reads the layer; `benchmarks/selection.py` shows how much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from converters.frozen.graph import Output
from converters.layers import Bias, Concat, Conv2d
from converters.network.fusion import (
    REPLACEABLE,
    ChannelsOfTower,
    FunctionLayer,
    FusedConvolution,
    FusedLayer,
    relu_functions,
)
from converters.network.request import Channels, Function, LayerRequest
from converters.program.program import Program, Step


@dataclass(frozen=True)
class _Selection:
    """Finds calls that compute only some channels.

    Attributes:
        steps: the steps that the requested layers need, by name.
        readers: how often each step is read or requested.
        model: the module that has the layers.
        functions: class of a ReLU -> the function that computes it.
    """

    steps: Mapping[str, Step]
    readers: Counter[str]
    model: nn.Module
    functions: Mapping[type[nn.Module], Function]

    def of(self, name: str, channels: Channels) -> FusedLayer | None:
        """Returns the call that computes some channels of a layer; None if the whole layer has to be computed."""
        step = self.steps.get(name)
        if step is None or step.outputs != 1 or self.readers[name] != 1:
            return None
        layer = self.model.get_submodule(step.module)
        if type(layer) is Concat and layer.dim == 1:
            return self._of_towers(step, layer, channels)
        if type(layer) is Bias and step.inputs:
            return self._of_convolution(step.inputs[0].node, channels, layer)
        if type(layer) is Conv2d:
            return self._of_convolution(name, channels, None)
        if type(layer) in self.functions:
            return self._of_function(step, layer, channels)
        return None

    def _of_convolution(self, name: str, channels: Channels, bias: Bias | None) -> FusedLayer | None:
        step = self.steps.get(name)
        conv = None if step is None else self.model.get_submodule(step.module)
        if step is None or type(conv) is not Conv2d or conv.groups != 1 or self.readers[name] != 1:
            return None
        return FusedConvolution(conv, bias, step.inputs[:1], _index(channels))

    def _of_function(self, step: Step, layer: nn.Module, channels: Channels) -> FusedLayer | None:
        before = self.of(step.inputs[0].node, channels)
        if before is None:
            return None
        return FunctionLayer((*before.replaced, layer), before.sources, self.functions[type(layer)], before)

    def _of_towers(self, step: Step, layer: nn.Module, channels: Channels) -> FusedLayer | None:
        """Returns the call for some channels of a concatenation; None unless one of its inputs contains all of them."""
        first = 0
        for tower in step.inputs:
            width = self.steps[tower.node].channels if tower.node in self.steps and not tower.index else None
            if width is None:
                return None
            own = tuple(channel - first for channel in channels)
            if all(0 <= channel < width for channel in own):
                return self._of_tower(tower, layer, own)
            first += width
        return None

    def _of_tower(self, tower: Output, layer: nn.Module, channels: Channels) -> FusedLayer:
        found = self.of(tower.node, channels)
        if found is None:
            return ChannelsOfTower((layer,), (tower,), _index(channels))
        found.replaced = (*found.replaced, layer)
        return found


def _index(channels: Channels) -> slice | list[int]:
    """Returns an index for some channels: a slice if they are consecutive (so that no data is copied), else a list."""
    consecutive = range(channels[0], channels[0] + len(channels))
    return slice(consecutive.start, consecutive.stop) if channels == tuple(consecutive) else list(channels)


def selected_channels(program: Program, request: LayerRequest, model: nn.Module) -> dict[str, FusedLayer]:
    """Returns the calls that compute only the requested channels, by layer name.

    Args:
        program: program of the model.
        request: the layers, by the names of the program.
        model: the module that has the layers.
    """
    steps = {step.name: step for step in program.needed(request.names)}
    readers = Counter(source.node for step in steps.values() for source in step.inputs)
    readers.update(request.names)
    functions = dict(REPLACEABLE.values()) | relu_functions(request.relu_rule)
    selection = _Selection(steps, readers, model, functions)
    found = {name: selection.of(name, channels) for name, channels in request.channels}
    return {name: one for name, one in found.items() if one is not None}


def take(value: Tensor, channels: Channels, axis: int) -> Tensor:
    """Returns some channels of a whole layer's value, whose channel axis is `axis`."""
    index = _index(channels)
    if isinstance(index, slice):
        return value.narrow(axis, index.start, len(channels))
    return value.index_select(axis, torch.tensor(index, device=value.device))
