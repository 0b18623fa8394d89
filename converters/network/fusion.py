"""Fusions that apply only if no hook observes the layers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
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
        replaced: the layers, which stay submodules of the model. Their tensors are read in each call.
        sources: the inputs of the first layer.
    """

    def __init__(self, replaced: tuple[nn.Module, ...], sources: tuple[Output, ...]) -> None:
        super().__init__()
        self.replaced, self.sources = replaced, sources  # modules in a tuple are not registered as submodules


class FusedConvolution(FusedLayer):
    """A convolution and the bias after it, if there is one, in one call.

    Args:
        conv: the convolution.
        bias: the bias.
        sources: the inputs of the convolution.
        chosen: index of the channels to compute; None for all channels. Requires a convolution without groups.
    """

    def __init__(
        self, conv: Conv2d, bias: Bias | None, sources: tuple[Output, ...], chosen: slice | list[int] | None = None
    ) -> None:
        super().__init__((conv,) if bias is None else (conv, bias), sources)
        self._layers, self.chosen = (conv, bias), chosen

    def forward(self, x: Tensor) -> Tensor:
        conv, layer = self._layers
        weight: Tensor = conv.weight
        bias: Tensor | None = None if layer is None else layer.bias
        if conv.bias is not None:  # only tools set one
            bias = conv.bias if bias is None else conv.bias + bias
        if self.chosen is not None:
            weight, bias = weight[self.chosen], None if bias is None else bias[self.chosen]
        padding = conv.tensorflow_padding
        return functional.conv2d(x, weight, conv.stride, padding, conv.dilation, conv.groups, bias=bias)


class FunctionLayer(FusedLayer):
    """A layer computed by a function. If there is a fused layer `before`, it runs first."""

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


class ChannelsOfTower(FusedLayer):
    """Some channels of one input of a concatenation."""

    def __init__(self, replaced: tuple[nn.Module, ...], sources: tuple[Output, ...], chosen: slice | list[int]) -> None:
        super().__init__(replaced, sources)
        self.chosen = chosen

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.chosen]


REPLACEABLE: Mapping[str, tuple[type[nn.Module], Function]] = {"Relu": (Relu, F.relu), "Relu6": (Relu6, F.relu6)}


def relu_functions(rule: ReluRule) -> dict[type[nn.Module], Function]:
    """Returns the functions of a rule by the class of ReLU that they replace."""
    return {REPLACEABLE[op][0]: function for op, function in rule}


def relus_by_rule(program: Program, names: Sequence[str], model: nn.Module, rule: ReluRule) -> dict[str, FunctionLayer]:
    """Returns, for each ReLU that some layers need, a layer that computes it by a rule; keys are the ReLUs' names."""
    functions = relu_functions(rule)
    found = {}
    for step in program.needed(names) if functions else ():
        layer = model.get_submodule(step.module)
        if type(layer) in functions:
            found[step.name] = FunctionLayer((layer,), step.inputs, functions[type(layer)])
    return found


class ReluRuleMode(TorchFunctionMode):
    """Context manager in which a rule computes the ReLUs, while their modules and hooks run as usual.

    It slows down every function call, so it is used only if hooks observe layers.
    """

    def __init__(self, rule: ReluRule) -> None:
        super().__init__()
        self.functions = {REPLACEABLE[op][1]: function for op, function in rule}

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        other = self.functions.get(func)
        return func(*args, **(kwargs or {})) if other is None else other(*args)


def biased_convolutions(program: Program, names: Sequence[str], model: nn.Module) -> dict[str, FusedConvolution]:
    """Returns a mapping from the name of a bias to the convolution before it, for all pairs that are fused.

    A convolution is not fused if it is requested, if other layers read it, or if a module of another type replaced it
    or its bias.
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
            found[step.name] = FusedConvolution(convolution, bias, before.inputs)
    return found


def are_watched(layers: Iterable[nn.Module]) -> bool:
    """Returns whether any of the layers has a hook or a replaced `forward`, or global hooks exist."""
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
