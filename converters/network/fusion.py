"""Fusions that apply only if no hook observes the layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.overrides import TorchFunctionMode

from converters import functional
from converters.frozen.graph import Output
from converters.layers import Bias, Conv2d, Relu, Relu6
from converters.network.request import Function, ReluRule
from converters.program.program import Program

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_GLOBAL_HOOKS = tuple(f"_global{hooks}" for hooks in _HOOKS)


class FusedLayer(nn.Module):
    """One call that computes several layers.

    Args:
        replaced: the layers. They stay the model's: their tensors are read in each call.
        sources: the inputs of the first of them.
    """

    def __init__(self, replaced: tuple[nn.Module, ...], sources: tuple[Output, ...]) -> None:
        super().__init__()
        self.replaced, self.sources = replaced, sources  # in a tuple, they are not registered as this module's own


class BiasedConvolution(FusedLayer):
    """A convolution and the bias behind it in one call."""

    replaced: tuple[Conv2d, Bias]

    def forward(self, x: Tensor) -> Tensor:
        conv, bias = self.replaced
        return functional.conv2d(x, conv.weight, conv.stride, conv.padding, conv.dilation, conv.groups, bias=bias.bias)


class FunctionLayer(FusedLayer):
    """A function that computes a layer, behind the fused layers before it, if there are any."""

    def __init__(
        self,
        replaced: tuple[nn.Module, ...],
        sources: tuple[Output, ...],
        function: Function,
        before: FusedLayer | None = None,
    ) -> None:
        super().__init__(replaced, sources)
        self.function, self.before = function, before

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x if self.before is None else self.before(x))


class ChannelsOfConvolution(FusedLayer):
    """Some channels of a convolution, and of the bias behind it, if there is one."""

    def __init__(self, conv: Conv2d, bias: Bias | None, sources: tuple[Output, ...], chosen: slice | list[int]) -> None:
        super().__init__((conv,) if bias is None else (conv, bias), sources)
        self._layers = conv, bias  # in a tuple, they are not registered as this module's own
        self.chosen = chosen

    def forward(self, x: Tensor) -> Tensor:
        conv, bias = self._layers
        own_bias = None if bias is None else bias.bias[self.chosen]
        return functional.conv2d(x, conv.weight[self.chosen], conv.stride, conv.padding, conv.dilation, bias=own_bias)


class ChannelsOfTower(FusedLayer):
    """Some channels of one of the towers that a layer joins."""

    def __init__(self, replaced: tuple[nn.Module, ...], sources: tuple[Output, ...], chosen: slice | list[int]) -> None:
        super().__init__(replaced, sources)
        self.chosen = chosen

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.chosen]


REPLACEABLE: Mapping[str, tuple[type[nn.Module], Function]] = {"Relu": (Relu, F.relu), "Relu6": (Relu6, F.relu6)}


def relu_functions(rule: ReluRule) -> dict[type[nn.Module], Function]:
    """Class of a layer -> the function that computes it under a rule."""
    return {REPLACEABLE[op][0]: function for op, function in rule}


def relus_by_rule(program: Program, names: Sequence[str], model: nn.Module, rule: ReluRule) -> dict[str, FunctionLayer]:
    """Name of each ReLU that some layers need -> the function that computes it."""
    functions = relu_functions(rule)
    found = {}
    for step in program.needed(names) if functions else ():
        layer = model.get_submodule(step.module)
        if type(layer) in functions:
            found[step.name] = FunctionLayer((layer,), step.inputs, functions[type(layer)])
    return found


class ReluRuleMode(TorchFunctionMode):
    """Context manager in which ReLUs, hooks and all, are computed by a rule.

    It slows down every call of a function, so it serves observed layers only.
    """

    def __init__(self, rule: ReluRule) -> None:
        super().__init__()
        self.functions = {REPLACEABLE[op][1]: function for op, function in rule}

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        other = self.functions.get(func)
        return func(*args, **(kwargs or {})) if other is None else other(*args)


def biased_convolutions(program: Program, names: Sequence[str], model: nn.Module) -> dict[str, BiasedConvolution]:
    """Name of a bias -> the call that computes it together with the convolution before it.

    A convolution stays by itself if it is asked for, if other layers read it, or if it or its bias was replaced by a
    module of another type.
    """
    steps = {step.name: step for step in program.needed(names)}
    readers = Counter(source.node for step in steps.values() for source in step.inputs)
    found = {}
    for step in steps.values():
        before = steps.get(step.inputs[0].node) if step.inputs else None
        if before is None or before.name in names or readers[before.name] != 1:
            continue
        convolution, bias = model.get_submodule(before.module), model.get_submodule(step.module)
        if type(convolution) is Conv2d and type(bias) is Bias:
            found[step.name] = BiasedConvolution((convolution, bias), before.inputs)
    return found


def are_watched(layers: Iterable[nn.Module]) -> bool:
    """Whether a hook observes one of some layers, or its `forward` was replaced."""
    if any(getattr(torch_module, hooks, None) for hooks in _GLOBAL_HOOKS):
        return True
    for layer in layers:
        state = layer.__dict__
        if "forward" in state:
            return True
        for hooks in _HOOKS:
            if state[hooks]:
                return True
    return False
