"""Some channels of a layer, without computing the others.

A convolution gives as many channels as it is asked for, and what joins towers reads one of them. So a layer's channel
costs less than the layer, as long as nobody reads more of it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from converters import functional
from converters.frozen.graph import Output
from converters.layers import Bias, Concat, Conv2d
from converters.network.fusion import Functions, Substitute, replacements
from converters.program.program import Program, Step

Channels = tuple[int, ...]
Selected = tuple[tuple[str, Channels], ...]  # name of a layer -> its channels that are wanted


class SelectedChannels(Substitute):
    """Some channels of a layer, from what the last layer before it that is computed as a whole gives.

    Args:
        replaced: the layers whose place it takes.
        source: what the first of them reads.
        compute: from that to the channels.
    """

    def __init__(self, replaced: tuple[nn.Module, ...], source: Output, compute: Callable[[Tensor], Tensor]) -> None:
        super().__init__(replaced, (source,))
        self._compute = compute

    def forward(self, x: Tensor) -> Tensor:
        return self._compute(x)


@dataclass(frozen=True)
class _Selection:
    """Looks for what computes some channels alone.

    Attributes:
        steps: those that the asked layers need, by name.
        readers: how often each is read, or asked for.
        model: where their layers are.
        functions: instead of some kinds of layers.
    """

    steps: Mapping[str, Step]
    readers: Counter[str]
    model: nn.Module
    functions: Mapping[type[nn.Module], Callable[[Tensor], Tensor]]

    def of(self, name: str, channels: Channels) -> SelectedChannels | None:
        """What computes some channels of a layer that nobody else reads; None where that is the whole layer."""
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

    def _of_convolution(self, name: str, channels: Channels, bias: Bias | None) -> SelectedChannels | None:
        step = self.steps.get(name)
        conv = None if step is None else self.model.get_submodule(step.module)
        if step is None or type(conv) is not Conv2d or conv.groups != 1 or self.readers[name] != 1:
            return None
        chosen = _index(channels)

        def compute(x: Tensor) -> Tensor:
            own_bias = None if bias is None else bias.bias[chosen]
            return functional.conv2d(x, conv.weight[chosen], conv.stride, conv.padding, conv.dilation, bias=own_bias)

        return SelectedChannels((conv,) if bias is None else (conv, bias), step.inputs[0], compute)

    def _of_function(self, step: Step, layer: nn.Module, channels: Channels) -> SelectedChannels | None:
        before = self.of(step.inputs[0].node, channels)
        function = self.functions[type(layer)]
        if before is None:
            return None
        return SelectedChannels((*before.replaced, layer), before.sources[0], lambda x: function(before(x)))

    def _of_towers(self, step: Step, layer: nn.Module, channels: Channels) -> SelectedChannels | None:
        """Of the one tower that has them all."""
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

    def _of_tower(self, tower: Output, layer: nn.Module, channels: Channels) -> SelectedChannels:
        found = self.of(tower.node, channels)
        if found is not None:
            return SelectedChannels((*found.replaced, layer), found.sources[0], found)
        chosen = _index(channels)
        return SelectedChannels((layer,), tower, lambda x: x[:, chosen])


def _index(channels: Channels) -> slice | list[int]:
    """An index that copies nothing where the channels follow each other."""
    consecutive = range(channels[0], channels[0] + len(channels))
    return slice(consecutive.start, consecutive.stop) if channels == tuple(consecutive) else list(channels)


def selected_channels(
    program: Program, names: Sequence[str], selected: Selected, model: nn.Module, functions: Functions
) -> dict[str, SelectedChannels]:
    """Name of a layer -> what computes the wanted channels of it alone.

    Args:
        program: of the model.
        names: all layers that are asked for.
        selected: the channels that are wanted of some of them.
        model: its layers.
        functions: in the place of every layer of some kinds.
    """
    steps = {step.name: step for step in program.needed(names, {})}
    readers = Counter(source.node for step in steps.values() for source in step.inputs)
    readers.update(names)
    selection = _Selection(steps, readers, model, replacements(functions))
    found = {name: selection.of(name, channels) for name, channels in selected}
    return {name: one for name, one in found.items() if one is not None}


def take(value: Tensor, channels: Channels) -> Tensor:
    """Some channels of a whole layer's value, (N, C, ...)."""
    index = _index(channels)
    return value[:, index] if isinstance(index, slice) else value[:, torch.tensor(index, device=value.device)]
