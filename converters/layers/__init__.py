"""Layers of converted graphs: thin `nn.Module`s over `functional`.

The constructor arguments of a layer are plain data (numbers, strings, tuples), so that a model can be saved as JSON and
as a Python module. Its tensors are in `state_dict()`. `LAYERS` lists all classes that a saved model may name.
"""

from __future__ import annotations

import inspect

from torch import nn

from converters.layers import channels, elementwise, shapes, windows
from converters.layers.channels import BatchNorm as BatchNorm
from converters.layers.channels import Bias as Bias
from converters.layers.channels import LocalResponseNorm as LocalResponseNorm
from converters.layers.elementwise import BINARY_FUNCTIONS as BINARY_FUNCTIONS
from converters.layers.elementwise import UNARY_FUNCTIONS as UNARY_FUNCTIONS
from converters.layers.elementwise import Binary as Binary
from converters.layers.elementwise import Cast as Cast
from converters.layers.elementwise import Elu as Elu
from converters.layers.elementwise import Identity as Identity
from converters.layers.elementwise import LeakyRelu as LeakyRelu
from converters.layers.elementwise import LogSoftmax as LogSoftmax
from converters.layers.elementwise import Relu as Relu
from converters.layers.elementwise import Relu6 as Relu6
from converters.layers.elementwise import Select as Select
from converters.layers.elementwise import Selu as Selu
from converters.layers.elementwise import Sigmoid as Sigmoid
from converters.layers.elementwise import Softmax as Softmax
from converters.layers.elementwise import Softplus as Softplus
from converters.layers.elementwise import StopGradient as StopGradient
from converters.layers.elementwise import Sum as Sum
from converters.layers.elementwise import Tanh as Tanh
from converters.layers.elementwise import Unary as Unary
from converters.layers.shapes import REDUCTIONS as REDUCTIONS
from converters.layers.shapes import ArgMax as ArgMax
from converters.layers.shapes import ArgMin as ArgMin
from converters.layers.shapes import Arrange as Arrange
from converters.layers.shapes import BatchToSpace as BatchToSpace
from converters.layers.shapes import Chunk as Chunk
from converters.layers.shapes import Concat as Concat
from converters.layers.shapes import Constant as Constant
from converters.layers.shapes import DepthToSpace as DepthToSpace
from converters.layers.shapes import Fill as Fill
from converters.layers.shapes import Index as Index
from converters.layers.shapes import Linear as Linear
from converters.layers.shapes import MatMul as MatMul
from converters.layers.shapes import Mean as Mean
from converters.layers.shapes import MirrorPad as MirrorPad
from converters.layers.shapes import Numbers as Numbers
from converters.layers.shapes import Pad as Pad
from converters.layers.shapes import Reduce as Reduce
from converters.layers.shapes import Reshape as Reshape
from converters.layers.shapes import Resize as Resize
from converters.layers.shapes import SpaceToBatch as SpaceToBatch
from converters.layers.shapes import SpaceToDepth as SpaceToDepth
from converters.layers.shapes import Split as Split
from converters.layers.shapes import Squeeze as Squeeze
from converters.layers.shapes import SqueezeAll as SqueezeAll
from converters.layers.shapes import Stack as Stack
from converters.layers.shapes import Take as Take
from converters.layers.shapes import Tile as Tile
from converters.layers.shapes import Unbind as Unbind
from converters.layers.shapes import Unsqueeze as Unsqueeze
from converters.layers.windows import AvgPool2d as AvgPool2d
from converters.layers.windows import Conv2d as Conv2d
from converters.layers.windows import ConvTranspose2d as ConvTranspose2d
from converters.layers.windows import MaxPool2d as MaxPool2d

# The order of their code in standalone modules.
MODULES = (windows, channels, elementwise, shapes)

LAYERS: dict[str, type[nn.Module]] = {
    name: layer
    for module in MODULES
    for name, layer in vars(module).items()
    if inspect.isclass(layer) and issubclass(layer, nn.Module) and layer.__module__ == module.__name__
}
