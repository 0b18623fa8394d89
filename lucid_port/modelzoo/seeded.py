"""InceptionV1's exact graph with seeded random weights, and smooth twins of any graph.

The trained weights of Lucid's default model must be downloaded by the user. Its topology is public: tests and first
experiments use the same graph with random weights, which are reproducible bit for bit.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from tensorboard.compat.proto.graph_pb2 import GraphDef

from converters.frozen.writer import GraphWriter

INPUT_NAME = "input"
CLASSES = 1008


@dataclass(frozen=True)
class InceptionModule:
    """Output channels of one inception module's convolutions."""

    name: str
    conv1x1: int
    bottleneck3x3: int
    conv3x3: int
    bottleneck5x5: int
    conv5x5: int
    pool_reduce: int


MODULES: tuple[InceptionModule, ...] = (
    InceptionModule("mixed3a", 64, 96, 128, 16, 32, 32),
    InceptionModule("mixed3b", 128, 128, 192, 32, 96, 64),
    InceptionModule("mixed4a", 192, 96, 204, 16, 48, 64),
    InceptionModule("mixed4b", 160, 112, 224, 24, 64, 64),
    InceptionModule("mixed4c", 128, 128, 256, 24, 64, 64),
    InceptionModule("mixed4d", 112, 144, 288, 32, 64, 64),
    InceptionModule("mixed4e", 256, 160, 320, 32, 128, 128),
    InceptionModule("mixed5a", 256, 160, 320, 48, 128, 128),
    InceptionModule("mixed5b", 384, 192, 384, 48, 128, 128),
)
POOL_AFTER = {"mixed3b": "maxpool4", "mixed4e": "maxpool10"}
"""Module -> name of the max pool of stride 2 that follows it."""

HEAD_AFTER = {"mixed4a": 0, "mixed4d": 1}
"""Module -> number of the auxiliary head that reads it."""

# Scales of the random weights that give activations as large as in a trained network: tens to hundreds in the
# convolutions, and a few units in the logits, so that no softmax saturates.
_LOGIT_GAIN = 0.06
_BIAS_SCALE = 8.0


def seeded_inceptionv1(seed: int = 0, smooth: bool = False, width: float = 1.0) -> GraphDef:
    """Builds the graph of Lucid's InceptionV1 (names, attributes, all three heads) with seeded random weights.

    The input is `input`, NHWC RGB of any size, with values in (-117, 138). The weights come from uniform draws of
    `numpy.random.RandomState` and correctly rounded arithmetic only, so they are the same bits on every machine.

    Args:
        seed: seed of the weights.
        smooth: replace ReLUs and max pools; see `smooth_twin`.
        width: factor on the channels of every convolution; less than 1 gives faster networks.

    Returns:
        A frozen graph, 53.9 MB at width 1.

    Raises:
        ValueError: `width` is not positive.
    """
    if width <= 0:
        raise ValueError(f"The width of a network is positive, not {width}.")
    graph = InceptionBuilder(_SeededWeights(np.random.RandomState(seed)), width).build()
    return smooth_twin(graph) if smooth else graph


def smooth_twin(graph_def: GraphDef) -> GraphDef:
    """Copies a graph with Softplus instead of Relu and AvgPool instead of MaxPool.

    Rounding can change the sign of a ReLU's input or the position of a maximum, which changes single values of a
    gradient a lot. The twin is smooth, so its gradients differ by rounding only.
    """
    twin = GraphDef()
    twin.CopyFrom(graph_def)
    replaced = {"Relu": "Softplus", "MaxPool": "AvgPool"}
    for node in twin.node:
        node.op = replaced.get(node.op, node.op)
    return twin


class Weights(Protocol):
    """A source of weights, which is called once for each layer, in the order of the graph."""

    def convolution(self, name: str, shape: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Returns kernel (HWIO, of `shape`) and bias of a convolution, float32."""
        ...

    def dense(self, name: str, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        """Returns matrix (inputs, outputs) and bias of a fully connected layer, float32."""
        ...


class InceptionBuilder:
    """Builds the graph of InceptionV1.

    Args:
        weights: source of the weights.
        width: factor on the channels.
        classes: number of classes of each head.
        final_pool: window size of the last pool.
        head_map: height and width of the map that the hidden layer of an auxiliary head reads.
    """

    def __init__(
        self, weights: Weights, width: float, classes: int = CLASSES, final_pool: int = 7, head_map: int = 4
    ) -> None:
        self._weights = weights
        self._width = width
        self._classes = classes
        self._final_pool = final_pool
        self._head_map = head_map
        self._writer = GraphWriter()

    def build(self) -> GraphDef:
        writer = self._writer
        writer.placeholder(INPUT_NAME, [None, None, None, 3])
        x, channels = self._conv("conv2d0", INPUT_NAME, 3, 64, kernel=7, stride=2)
        x = writer.pool("maxpool0", "MaxPool", x, 3, 2, "SAME")
        x = self._lrn("localresponsenorm0", x)
        x, channels = self._conv("conv2d1", x, channels, 64, kernel=1, padding="VALID")
        x, channels = self._conv("conv2d2", x, channels, 192, kernel=3)
        x = self._lrn("localresponsenorm1", x)
        x = writer.pool("maxpool1", "MaxPool", x, 3, 2, "SAME")
        for module in MODULES:
            x, channels = self._module(module, x, channels)
            if module.name in HEAD_AFTER:
                self._auxiliary_head(HEAD_AFTER[module.name], x, channels)
            if module.name in POOL_AFTER:
                x = writer.pool(POOL_AFTER[module.name], "MaxPool", x, 3, 2, "SAME")
        x = writer.pool("avgpool0", "AvgPool", x, self._final_pool, 1, "VALID")
        x = writer.reshape("avgpool0/reshape", x, [-1, channels])
        self._softmax("softmax2", x, channels)
        for index, output in enumerate(("output", "output1", "output2")):
            writer.op(output, "Identity", [f"softmax{index}"])
        return writer.graph_def()

    def _module(self, module: InceptionModule, x: str, inputs: int) -> tuple[str, int]:
        writer, name = self._writer, module.name
        one, ones = self._conv(f"{name}_1x1", x, inputs, module.conv1x1, kernel=1)
        three, threes = self._conv(f"{name}_3x3_bottleneck", x, inputs, module.bottleneck3x3, kernel=1)
        three, threes = self._conv(f"{name}_3x3", three, threes, module.conv3x3, kernel=3)
        five, fives = self._conv(f"{name}_5x5_bottleneck", x, inputs, module.bottleneck5x5, kernel=1)
        five, fives = self._conv(f"{name}_5x5", five, fives, module.conv5x5, kernel=5)
        pool = writer.pool(f"{name}_pool", "MaxPool", x, 3, 1, "SAME")
        pool, pools = self._conv(f"{name}_pool_reduce", pool, inputs, module.pool_reduce, kernel=1)
        axis = writer.const(f"{name}/concat_dim", 3, np.int32)
        return writer.concat(name, axis, [one, three, five, pool]), ones + threes + fives + pools

    def _auxiliary_head(self, index: int, x: str, channels: int) -> None:
        writer = self._writer
        x = writer.pool(f"head{index}_pool", "AvgPool", x, 5, 3, "VALID")
        x, channels = self._conv(f"head{index}_bottleneck", x, channels, 128, kernel=1)
        inputs = self._head_map**2 * channels
        x = writer.reshape(f"head{index}_bottleneck/reshape", x, [-1, inputs])
        hidden = self._scaled(1024)
        x = self._dense(f"nn{index}", f"nn{index}_pre_relu", x, inputs, hidden)
        x = writer.op(f"nn{index}", "Relu", [x])
        x = writer.reshape(f"nn{index}/reshape", x, [-1, hidden])
        self._softmax(f"softmax{index}", x, hidden)

    def _softmax(self, name: str, x: str, inputs: int) -> None:
        logits = self._dense(name, f"{name}_pre_activation", x, inputs, self._classes)
        self._writer.op(name, "Softmax", [logits])

    def _conv(
        self, name: str, x: str, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: str = "SAME"
    ) -> tuple[str, int]:
        writer, outputs = self._writer, self._scaled(outputs)
        kernel_values, bias_values = self._weights.convolution(name, (kernel, kernel, inputs, outputs))
        weights, bias = writer.const(f"{name}_w", kernel_values), writer.const(f"{name}_b", bias_values)
        x = writer.conv2d(f"{name}_pre_relu/conv", x, weights, stride, padding)
        x = writer.bias_add(f"{name}_pre_relu", x, bias)
        return writer.op(name, "Relu", [x]), outputs

    def _dense(self, name: str, result: str, x: str, inputs: int, outputs: int) -> str:
        writer = self._writer
        matrix, bias_values = self._weights.dense(name, (inputs, outputs))
        weights, bias = writer.const(f"{name}_w", matrix), writer.const(f"{name}_b", bias_values)
        return writer.bias_add(result, writer.matmul(f"{result}/matmul", x, weights), bias)

    def _lrn(self, name: str, x: str) -> str:
        return self._writer.lrn(name, x, depth_radius=5, bias=2.0, alpha=1e-4, beta=0.5)

    def _scaled(self, channels: int) -> int:
        return max(1, math.ceil(channels * self._width))


class _SeededWeights:
    """Random weights, drawn in the order of the calls."""

    def __init__(self, random: np.random.RandomState) -> None:
        self._random = random

    def convolution(self, name: str, shape: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        return self._draw(shape), self._uniform(shape[-1:], _BIAS_SCALE)

    def dense(self, name: str, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        gain = _LOGIT_GAIN if name.startswith("softmax") else 1.0
        return self._draw(shape, gain), self._uniform(shape[-1:], _BIAS_SCALE * gain)

    def _draw(self, shape: Sequence[int], gain: float = 1.0) -> np.ndarray:
        """Draws weights with He's variance (2 / fan in), which preserves the scale of activations through ReLUs."""
        fan_in = math.prod(shape[:-1])
        return self._uniform(shape, gain * math.sqrt(2.0 / fan_in))

    def _uniform(self, shape: Sequence[int], scale: float) -> np.ndarray:
        """Draws float32 values, uniform around zero with standard deviation `scale`."""
        draws = self._random.random_sample(tuple(shape))
        draws -= 0.5
        draws *= scale * math.sqrt(12.0)
        return draws.astype(np.float32)
