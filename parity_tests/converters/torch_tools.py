"""Networks for the tests of torch's tools: a small converted graph, and networks rebuilt from torch's own layers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

import converters
from converters import functional
from converters.frozen.graph import Output
from converters.frozen.writer import GraphWriter
from converters.network.model import ConvertedModel
from converters.program.program import Step


def images(count: int = 2, height: int = 21, width: int = 18, channels: int = 3, seed: int = 0) -> Tensor:
    """Uniform draws in [-1, 1], (count, channels, height, width)."""
    return torch.rand(count, channels, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def small_graph() -> ConvertedModel:
    """A chain of one layer of each common kind; its padding is asymmetric at 21x18, and no windows of its pool overlap.

    The dense layer takes the mean over the image, so the network accepts every size.
    """
    random = np.random.RandomState(3)

    def draws(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) / math.sqrt(np.prod(shape[:-1]))).astype(np.float32)

    w = GraphWriter()
    x = w.placeholder("input", [None, None, None, 3])
    conv = w.conv2d("conv", x, w.const("weights", draws(3, 3, 3, 8)), 2, "SAME")
    norm = w.op(
        "norm", "FusedBatchNorm",
        [conv, w.const("gamma", 1 + draws(8)), w.const("beta", draws(8)), w.const("average", draws(8)),
         w.const("variance", 1 + draws(8) ** 2)],
        is_training=False, epsilon=1e-3, data_format="NHWC",
    )  # fmt: skip
    relu = w.op("relu", "Relu", [norm])
    pool = w.pool("pool", "MaxPool", relu, 2, 2, "SAME")
    conv2 = w.conv2d("conv2", pool, w.const("weights2", draws(3, 3, 8, 6)), 1, "SAME")
    relu6 = w.op("relu6", "Relu6", [w.bias_add("biased", conv2, w.const("bias", draws(6)))])
    mean = w.op("mean", "Mean", [relu6, w.const("axes", np.array([1, 2], np.int32))], Tidx=np.int32, keep_dims=False)
    hidden = w.op("hidden", "Relu", [w.bias_add("dense", w.matmul("product", mean, w.const("matrix", draws(6, 7))),
                                                w.const("bias2", draws(7)))])  # fmt: skip
    logits = w.matmul("logits", hidden, w.const("matrix2", draws(7, 5)))
    w.op("softmax", "Softmax", [logits])
    return converters.convert(w.graph_def())


class Layer(nn.Module):
    """One layer of a network, as a module that returns its value."""

    def __init__(self, network: nn.Module, name: str) -> None:
        super().__init__()
        self.network, self.name = network, name

    def forward(self, x: Tensor) -> Tensor:
        return self.network.activations(x, self.name)[self.name]


class Rebuilt(nn.Module):
    """A converted network of images of one size, rebuilt from torch's own layers; padding is a layer of its own.

    Args:
        model: the converted network, which gives the weights.
        size: (height, width).
        others: name of a class of converted layers -> function that makes the layer that replaces it, given the step.
    """

    def __init__(
        self,
        model: ConvertedModel,
        size: tuple[int, int],
        others: Mapping[str, Callable[[Step], nn.Module]] | None = None,
    ) -> None:
        super().__init__()
        self.program, self.parts = model.program, nn.ModuleDict()
        others = others or {}
        sizes = {model.metadata.input_name: size}
        values = model.activations(torch.zeros(1, 3, *size), [step.name for step in model.program.steps])
        sizes.update({name: tuple(value.shape[-2:]) for name, value in values.items()})
        for step in model.program.steps:
            part = others[step.layer](step) if step.layer in others else _torch_layer(step, model)
            if "kernel_size" in step.arguments:
                part = nn.Sequential(_padding(step, sizes[step.inputs[0].node]), part)
            self.parts[step.module] = part

    def activations(self, x: Tensor, name: str) -> dict[str, Tensor]:
        values = {Output(self.program.metadata.input_name): x}
        for step in self.program.needed([name]):
            values[Output(step.name)] = self.parts[step.module](*[values[source] for source in step.inputs])
        return {name: values[Output(name)]}


def _padding(step: Step, size: tuple[int, int]) -> nn.Module:
    arguments = step.arguments
    top, bottom, left, right = functional.spatial_padding(
        size,
        arguments["kernel_size"],
        arguments.get("stride", (1, 1)),
        arguments.get("dilation", (1, 1)),
        arguments.get("padding", "SAME"),
    )
    return nn.ConstantPad2d((left, right, top, bottom), -math.inf if step.layer == "MaxPool2d" else 0.0)


def _torch_layer(step: Step, model: ConvertedModel) -> nn.Module:
    """Returns torch's own layer; layers without weights or a rule, such as concatenations, stay as they are."""
    arguments, layer = dict(step.arguments), model.get_submodule(step.module)
    made: nn.Module
    if step.layer == "Conv2d":
        sizes = arguments["in_channels"], arguments["out_channels"], arguments["kernel_size"]
        assert arguments.get("groups", 1) == 1
        made = nn.Conv2d(*sizes, arguments.get("stride", (1, 1)), bias=False)
        made.weight = layer.weight
    elif step.layer == "Linear":
        made = nn.Linear(arguments["in_features"], arguments["out_features"], bias=False)
        made.weight = layer.weight
    elif step.layer in ("MaxPool2d", "AvgPool2d"):
        made = getattr(nn, step.layer)(arguments["kernel_size"], arguments["stride"])
    else:
        simple = {"Relu": nn.ReLU, "Relu6": nn.ReLU6, "Softmax": lambda: nn.Softmax(1)}
        made = simple[step.layer]() if step.layer in simple else layer
    return made
