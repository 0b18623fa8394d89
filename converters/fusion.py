"""What a graph's evaluation may leave out where nobody looks at it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from torch import Tensor, nn
from torch.nn.modules import module as torch_module

from converters import functional
from converters.graph import Output
from converters.layers import Bias, Conv2d
from converters.program import Program

_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
_GLOBAL_HOOKS = tuple(f"_global{hooks}" for hooks in _HOOKS)


class BiasedConvolution(nn.Module):
    """A convolution and the bias behind it in one call; their tensors stay in the two layers, and are read from there.

    Args:
        convolution, bias: the layers.
        sources: what the convolution reads.
    """

    def __init__(self, convolution: Conv2d, bias: Bias, sources: tuple[Output, ...]) -> None:
        super().__init__()
        self.layers = (convolution, bias)  # a tuple: they are the model's layers, not this one's
        self.sources = sources

    def forward(self, x: Tensor) -> Tensor:
        conv, bias = self.layers
        return functional.conv2d(x, conv.weight, conv.stride, conv.padding, conv.dilation, conv.groups, bias=bias.bias)


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
            found[step.name] = BiasedConvolution(convolution, bias, before.inputs)
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
