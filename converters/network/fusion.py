"""What a graph's evaluation may leave out where nobody looks at it."""

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
from converters.program.program import Program

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_GLOBAL_HOOKS = tuple(f"_global{hooks}" for hooks in _HOOKS)


Function = Callable[[Tensor], Tensor]


class Substitute(nn.Module):
    """What takes the place of some layers.

    Args:
        replaced: the layers. They stay the model's: their tensors are read from them each time.
        sources: what the first of them reads.
    """

    def __init__(self, replaced: tuple[nn.Module, ...], sources: tuple[Output, ...]) -> None:
        super().__init__()
        self.replaced, self.sources = replaced, sources  # in a tuple, they are not registered as this module's own


class BiasedConvolution(Substitute):
    """A convolution and the bias behind it in one call."""

    replaced: tuple[Conv2d, Bias]

    def forward(self, x: Tensor) -> Tensor:
        conv, bias = self.replaced
        return functional.conv2d(x, conv.weight, conv.stride, conv.padding, conv.dilation, conv.groups, bias=bias.bias)


class OtherFunction(Substitute):
    """A function in the place of a layer."""

    def __init__(self, replaced: tuple[nn.Module, ...], sources: tuple[Output, ...], function: Function) -> None:
        super().__init__(replaced, sources)
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


Functions = tuple[tuple[str, Function], ...]  # by name of an op of `REPLACEABLE`
REPLACEABLE: Mapping[str, tuple[type[nn.Module], Function]] = {"Relu": (Relu, F.relu), "Relu6": (Relu6, F.relu6)}


def replacements(functions: Functions) -> dict[type[nn.Module], Function]:
    """Kind of layer -> what computes it: the functions given, and the layers' own."""
    own = dict(REPLACEABLE.values())
    return own | {REPLACEABLE[op][0]: function for op, function in functions}


def other_functions(
    program: Program, names: Sequence[str], model: nn.Module, functions: Functions
) -> dict[str, OtherFunction]:
    """Name of each layer of some kinds that some values need -> the function in its place."""
    wanted = {REPLACEABLE[op][0]: function for op, function in functions}
    found = {}
    for step in program.needed(names, {}) if wanted else ():
        layer = model.get_submodule(step.module)
        if type(layer) in wanted:
            found[step.name] = OtherFunction((layer,), step.inputs, wanted[type(layer)])
    return found


class Instead(TorchFunctionMode):
    """Context manager in which layers of some kinds, hooks and all, compute by other functions.

    It slows every call down, so it is for layers that are watched.
    """

    def __init__(self, functions: Functions) -> None:
        super().__init__()
        self.functions = {REPLACEABLE[op][1]: function for op, function in functions}

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        other = self.functions.get(func)
        return func(*args, **(kwargs or {})) if other is None else other(*args)


def biased_convolutions(program: Program, names: Sequence[str], model: nn.Module) -> dict[str, BiasedConvolution]:
    """Name of a bias -> what computes it together with the convolution before it.

    Left as they are: convolutions that are asked for themselves or that others read, too, and layers that somebody
    replaced by modules of another type.
    """
    steps = {step.name: step for step in program.needed(names, {})}
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
    """Whether somebody wants to be told when one of some layers runs, or has changed how it does."""
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
