"""Inputs of the stand-in networks, and the units whose gradients are compared."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from tensorboard.compat.proto.graph_pb2 import GraphDef

from converters.reference.inputs import InputSpec
from converters.reference.samples import Amounts
from lucid_port.modelzoo.catalogue import entry
from parity_tests.zoo.structures import names, stand_in, structure

# Enough of each of thousands of layers that a defect anywhere shows in the layers behind it, too.
AMOUNTS = Amounts(layer=24, gradient=256, channels=16)
GRADIENT_DRAWS = 4
# For graphs that take images of any size: odd, not square, and not the size that they were built for.
FREE_SIZE = (99, 131)
BATCH = {
    "MobilenetV1_025_slim": 2,
    "MobilenetV2_10_slim": 2,
    "ResnetV1_50_slim": 2,
    "ResnetV2_50_slim": 2,
    "InceptionV1_caffe_Places365": 2,
}
# At least one of each family: a layer in the middle, and a channel that is active at about half of the positions.
GRADIENTS: Mapping[str, tuple[str, int]] = {
    "AlexNet": ("Conv2D_7", 0),
    "AlexNet_caffe_Places365": ("conv5/concat", 3),
    "CaffeNet_caffe": ("conv5/conv5", 109),
    "Clip_ResNet50_4x": ("attnpool/output", 0),
    "InceptionResnetV2_slim": ("InceptionResnetV2/InceptionResnetV2/Repeat_1/block17_5/Relu", 101),
    "InceptionV1_caffe_Places365": ("inception_4c_output", 172),
    "InceptionV1_slim": ("InceptionV1/InceptionV1/Mixed_4d/concat", 265),
    "InceptionV3_slim": ("InceptionV3/InceptionV3/Mixed_6c/concat", 235),
    "InceptionV4_slim": ("InceptionV4/InceptionV4/Mixed_6c/concat", 38),
    "MobilenetV1_slim": ("MobilenetV1/MobilenetV1/Conv2d_9_pointwise/Relu6", 22),
    "MobilenetV2_10_slim": ("MobilenetV2/expanded_conv_9/add", 5),
    "NasnetMobile_slim": ("cell_6/cell_output/concat", 24),
    "PnasnetMobile_slim": ("cell_4/cell_output/concat", 97),
    "ResnetV1_50_slim": ("resnet_v1_50/block3/unit_3/bottleneck_v1/Relu", 221),
    "ResnetV2_50_slim": ("resnet_v2_50/block3/unit_3/bottleneck_v2/add", 51),
    "VGG16_caffe": ("conv4_2/conv4_2", 47),
}


@dataclass(frozen=True)
class Zoo:
    """One stand-in network.

    Attributes:
        name: Lucid's.
        input_name: its placeholder.
        spec: its input.
        gradients: (layer, channel) of the gradients to take.
    """

    name: str
    input_name: str
    spec: InputSpec
    gradients: tuple[tuple[str, int], ...]

    def graph_def(self) -> GraphDef:
        """The graph with its constants."""
        return stand_in(self.name)


def value_range(name: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The values that a network's placeholder takes, of each of its channels or of all."""
    low, high = (tuple(float(value) for value in np.ravel(bound)) for bound in entry(name).image_value_range)
    return low, high


@functools.cache
def network(name: str) -> Zoo:
    """One stand-in network by Lucid's name.

    Raises:
        FileNotFoundError: there is no stand-in of that name.
    """
    placeholder = next(node for node in structure(name).node if node.op == "Placeholder")
    height, width = (dim.size for dim in placeholder.attr["shape"].shape.dim[1:3])
    size = (height, width) if height > 0 else FREE_SIZE
    low, high = value_range(name)
    spec = InputSpec("texture", (BATCH.get(name, 1), *size, 3), low, high, seed=names().index(name))
    gradients = (GRADIENTS[name],) if name in GRADIENTS else ()
    return Zoo(name, placeholder.name, spec, gradients)


def input_label(zoo: Zoo) -> str:
    """The input's name in the references: its size."""
    return "{1}x{2}".format(*zoo.spec.shape)
