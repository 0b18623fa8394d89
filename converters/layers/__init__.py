"""Thin modules over `functional`: one class for each kind of layer that a converted graph is made of.

A layer's constructor arguments are plain data (numbers, strings, tuples), so a model can be written as JSON and
as a Python module; its tensors live in `state_dict()`. `LAYERS` lists every class that a saved model may name.
"""

from __future__ import annotations

import inspect

from torch import nn

from converters.layers import channels, elementwise, shapes, windows
from converters.layers.channels import BatchNorm, Bias, LocalResponseNorm
from converters.layers.elementwise import (
    BINARY_FUNCTIONS,
    Binary,
    Elu,
    Identity,
    LeakyRelu,
    Relu,
    Relu6,
    Selu,
    Sigmoid,
    Softmax,
    Softplus,
    StopGradient,
    Tanh,
)
from converters.layers.shapes import Concat, Linear, Mean, Pad, Reshape, Squeeze
from converters.layers.windows import AvgPool2d, Conv2d, MaxPool2d

# In this order a standalone module holds their code.
MODULES = (windows, channels, elementwise, shapes)

LAYERS: dict[str, type[nn.Module]] = {
    name: layer
    for module in MODULES
    for name, layer in vars(module).items()
    if inspect.isclass(layer) and issubclass(layer, nn.Module) and layer.__module__ == module.__name__
}

__all__ = [
    "BINARY_FUNCTIONS",
    "LAYERS",
    "MODULES",
    "AvgPool2d",
    "BatchNorm",
    "Bias",
    "Binary",
    "Concat",
    "Conv2d",
    "Elu",
    "Identity",
    "LeakyRelu",
    "Linear",
    "LocalResponseNorm",
    "MaxPool2d",
    "Mean",
    "Pad",
    "Relu",
    "Relu6",
    "Reshape",
    "Selu",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "Squeeze",
    "StopGradient",
    "Tanh",
]
