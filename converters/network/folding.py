"""Folds per-channel layers after a convolution, such as batch norm, into its weights."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

from converters import functional
from converters.frozen.graph import Output
from converters.layers import BatchNorm, Bias, Binary, Conv2d
from converters.network.fusion import FusedLayer
from converters.program.program import Program, Step

Affine = tuple[Tensor, Tensor]  # factor and summand, each (channels,), or () if equal for all channels


def _bias(layer: Bias) -> Affine:
    return torch.ones_like(layer.bias), layer.bias


def _batch_norm(layer: BatchNorm) -> Affine:
    factor = layer.weight * torch.rsqrt(layer.variance + layer.epsilon)
    return factor, layer.bias - layer.mean * factor


def _arithmetic(layer: Binary) -> Affine:
    constant = layer.constant
    if constant is None:
        raise ValueError(f"{layer.function} has no constant to fold.")
    number = constant.reshape(-1) if constant.numel() > 1 else constant.reshape(())
    one, zero = torch.ones_like(number), torch.zeros_like(number)
    if layer.function == "add":
        return one, number
    if layer.function == "sub":
        return (-one, number) if layer.constant_first else (one, -number)
    return (number, zero) if layer.function == "mul" else (1 / number, zero)


AFFINE: Mapping[type[nn.Module], Callable[..., Affine]] = {Bias: _bias, BatchNorm: _batch_norm, Binary: _arithmetic}


def is_affine(layer: nn.Module) -> bool:
    """Returns whether a layer computes factor * x + summand with one factor and summand per channel."""
    if type(layer) is not Binary:
        return type(layer) in AFFINE
    constant = layer.constant
    by_channel = constant is not None and (
        constant.numel() == 1 or (constant.dim() == 4 and constant.numel() == constant.shape[1])
    )
    keeps = layer.function in ("add", "sub", "mul") or (layer.function == "div" and not layer.constant_first)
    return by_channel and keeps


class FoldedConvolution(FusedLayer):
    """A convolution and the per-channel layers after it in one call.

    The folded weights are cached until a tensor of the layers changes.
    """

    def __init__(self, replaced: tuple[nn.Module, ...], sources: tuple[Output, ...]) -> None:
        super().__init__(replaced, sources)
        self._cache: tuple[tuple[object, ...], Affine] | None = None

    def forward(self, x: Tensor) -> Tensor:
        conv = self.replaced[0]
        if not isinstance(conv, Conv2d):
            raise TypeError(f"A {type(conv).__name__} is not a Conv2d.")
        weight, bias = self._weights(conv)
        return functional.conv2d(x, weight, conv.stride, conv.tensorflow_padding, conv.dilation, conv.groups, bias=bias)

    def _weights(self, conv: Conv2d) -> Affine:
        tensors = [tensor for layer in self.replaced for tensor in (*layer.parameters(), *layer.buffers())]
        thawed = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in tensors)
        if thawed or torch.compiler.is_compiling():
            return self._folded(conv)
        state = tuple(_state(tensor) for tensor in tensors)
        if self._cache is None or self._cache[0] != state:
            with torch.no_grad():
                folded = self._folded(conv)
            if isinstance(folded[0], FakeTensor):  # of a run that finds sizes only
                return folded
            self._cache = state, folded
        return self._cache[1]

    def _folded(self, conv: Conv2d) -> Affine:
        factor = torch.ones_like(conv.weight[:, 0, 0, 0])
        summand = torch.zeros_like(factor) if conv.bias is None else conv.bias
        for layer in self.replaced[1:]:
            by, plus = AFFINE[type(layer)](layer)
            factor, summand = factor * by, summand * by + plus
        return conv.weight * factor[:, None, None, None], summand


def _state(tensor: Tensor) -> tuple[object, ...]:
    """Returns a cache key that changes when the tensor does."""
    version = 0 if tensor.is_inference() else tensor._version
    return id(tensor), tensor.data_ptr(), version, tensor.dtype


def folded_convolutions(program: Program, names: Sequence[str], model: nn.Module) -> dict[str, FoldedConvolution]:
    """Returns the folded convolutions for some layers, by the name of the last layer of each.

    A layer is not folded if it is requested, if several layers read it, or if a module of another type replaced it.
    """
    steps = program.needed(names)
    readers = Counter(source.node for step in steps for source in step.inputs)
    runs: dict[str, tuple[Step, ...]] = {}
    for step in steps:
        layer = model.get_submodule(step.module)
        before = step.inputs[0].node if step.inputs else ""
        if type(layer) is Conv2d:
            runs[step.name] = (step,)
        elif is_affine(layer) and before in runs and before not in names and readers[before] == 1:
            runs[step.name] = (*runs.pop(before), step)
    return {
        name: FoldedConvolution(tuple(model.get_submodule(step.module) for step in run), run[0].inputs)
        for name, run in runs.items()
        if len(run) > 1
    }
