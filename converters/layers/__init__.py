"""Thin modules over `functional`: one class for each kind of layer that a converted graph is made of.

A layer's constructor arguments are plain data (numbers, strings, tuples), so a model can be written as JSON and
as a Python module; its tensors live in `state_dict()`. `LAYERS` lists every class that a saved model may name.
"""

from __future__ import annotations

import inspect

from torch import nn

from converters.layers import channels, elementwise, shapes, windows
from converters.layers.channels import (
    BatchNorm,
    Bias,
    LocalResponseNorm,
)
from converters.layers.elementwise import (
    BINARY_FUNCTIONS,
    UNARY_FUNCTIONS,
    Binary,
    Cast,
    Elu,
    Identity,
    LeakyRelu,
    LogSoftmax,
    Relu,
    Relu6,
    Select,
    Selu,
    Sigmoid,
    Softmax,
    Softplus,
    StopGradient,
    Sum,
    Tanh,
    Unary,
)
from converters.layers.shapes import (
    REDUCTIONS,
    ArgMax,
    ArgMin,
    Arrange,
    BatchToSpace,
    Chunk,
    Concat,
    Constant,
    DepthToSpace,
    Fill,
    Index,
    Linear,
    MatMul,
    Mean,
    MirrorPad,
    Numbers,
    Pad,
    Reduce,
    Reshape,
    Resize,
    SpaceToBatch,
    SpaceToDepth,
    Split,
    Squeeze,
    SqueezeAll,
    Stack,
    Take,
    Tile,
    Unbind,
    Unsqueeze,
)
from converters.layers.windows import (
    AvgPool2d,
    Conv2d,
    ConvTranspose2d,
    MaxPool2d,
)

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
    "REDUCTIONS",
    "UNARY_FUNCTIONS",
    "ArgMax",
    "ArgMin",
    "Arrange",
    "AvgPool2d",
    "BatchNorm",
    "BatchToSpace",
    "Bias",
    "Binary",
    "Cast",
    "Chunk",
    "Concat",
    "Constant",
    "Conv2d",
    "ConvTranspose2d",
    "DepthToSpace",
    "Elu",
    "Fill",
    "Identity",
    "Index",
    "LeakyRelu",
    "Linear",
    "LocalResponseNorm",
    "LogSoftmax",
    "MatMul",
    "MaxPool2d",
    "Mean",
    "MirrorPad",
    "Numbers",
    "Pad",
    "Reduce",
    "Relu",
    "Relu6",
    "Reshape",
    "Resize",
    "Select",
    "Selu",
    "Sigmoid",
    "Softmax",
    "Softplus",
    "SpaceToBatch",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "SqueezeAll",
    "Stack",
    "StopGradient",
    "Sum",
    "Take",
    "Tanh",
    "Tile",
    "Unary",
    "Unbind",
    "Unsqueeze",
]
