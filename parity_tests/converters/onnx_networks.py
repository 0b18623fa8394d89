"""Three small networks, and their ONNX files by tf2onnx.

    python -m parity_tests.converters.onnx_networks --python <a Python with tensorflow and tf2onnx>

writes the ONNX files beside this module's `onnx/`. They were made by tf2onnx 1.17.0 with TensorFlow 2.21.0. Their
height, width and batch are open, so that windows with SAME padding stay `auto_pad=SAME_UPPER`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tensorboard.compat.proto.graph_pb2 import GraphDef

from converters.frozen.writer import GraphWriter, write_graph_def
from lucid_port.modelzoo.seeded import seeded_inceptionv1

FOLDER = Path(__file__).with_name("onnx")


class NetworkWriter(GraphWriter):
    """A writer with seeded weights and the blocks that Slim's networks are made of."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.random = np.random.RandomState(seed)
        self.x = self.placeholder("input", [None, None, None, 3])

    def seeded(self, name: str, shape: Sequence[int], low: float, high: float) -> str:
        draws = self.random.random_sample(tuple(shape)) * (high - low) + low
        return self.const(name, draws.astype(np.float32))

    def weights(self, name: str, shape: Sequence[int]) -> str:
        """Weights that preserve the scale of activations."""
        scale = (6.0 / np.prod(shape[:-1])) ** 0.5
        return self.seeded(f"{name}/weights", shape, -scale, scale)

    def batch_norm(self, scope: str, x: str, channels: int) -> str:
        vectors = [
            self.seeded(f"{scope}/gamma", (channels,), 0.5, 1.5),
            self.seeded(f"{scope}/beta", (channels,), -0.5, 0.5),
            self.seeded(f"{scope}/moving_mean", (channels,), -0.5, 0.5),
            self.seeded(f"{scope}/moving_variance", (channels,), 0.5, 1.5),
        ]
        return self.op(
            f"{scope}/FusedBatchNormV3", "FusedBatchNormV3", [x, *vectors],
            U=np.float32, epsilon=0.001, is_training=False, data_format="NHWC",
        )  # fmt: skip

    def conv(self, scope: str, x: str, inputs: int, outputs: int, kernel: int, stride: int = 1) -> str:
        return self.conv2d(f"{scope}/Conv2D", x, self.weights(scope, (kernel, kernel, inputs, outputs)), stride)

    def biased_conv(self, scope: str, x: str, inputs: int, outputs: int) -> str:
        y = self.conv(scope, x, inputs, outputs, 1)
        return self.bias_add(f"{scope}/BiasAdd", y, self.seeded(f"{scope}/biases", (outputs,), -0.5, 0.5))

    def strided_conv(self, scope: str, x: str, inputs: int, outputs: int, kernel: int) -> str:
        """Slim's convolution of stride 2: zeros all around, then VALID."""
        rows = [(kernel - 1) // 2, kernel // 2]
        amounts = self.const(f"{scope}/paddings", np.array([[0, 0], rows, rows, [0, 0]], np.int32))
        x = self.op(f"{scope}/Pad", "Pad", [x, amounts], Tpaddings=np.int32)
        kernel_name = self.weights(scope, (kernel, kernel, inputs, outputs))
        return self.conv2d(f"{scope}/Conv2D", x, kernel_name, 2, "VALID")

    def mean(self, name: str, x: str, keep: bool) -> str:
        axes = self.const(f"{name}/reduction_indices", np.array([1, 2], np.int32))
        return self.op(name, "Mean", [x, axes], keep_dims=keep, Tidx=np.int32)


def inception() -> GraphDef:
    """InceptionV1 with a twentieth of its channels: SAME windows, LRN, Concat, fully connected heads."""
    return seeded_inceptionv1(width=0.05)


def resnet() -> GraphDef:
    """Two units of a ResNet V2 as Slim builds it: explicit padding, batch norm before activations, sums."""
    w = NetworkWriter(1)
    x = w.strided_conv("resnet/conv1", w.x, 3, 8, 7)
    x = w.pool("resnet/pool1/MaxPool", "MaxPool", x, 3, 2, "SAME")
    for unit, (inputs, outputs, stride) in enumerate(((8, 16, 1), (16, 24, 2)), start=1):
        scope = f"resnet/block1/unit_{unit}/bottleneck_v2"
        y = w.op(f"{scope}/preact/Relu", "Relu", [w.batch_norm(f"{scope}/preact", x, inputs)])
        shortcut = w.biased_conv(f"{scope}/shortcut", y, inputs, outputs)
        if stride != 1:
            shortcut = w.pool(f"{scope}/shortcut/MaxPool", "MaxPool", shortcut, 1, stride, "SAME")
        y = w.conv(f"{scope}/conv1", y, inputs, 6, 1)
        y = w.op(f"{scope}/conv1/Relu", "Relu", [w.batch_norm(f"{scope}/conv1/BatchNorm", y, 6)])
        y = w.conv(f"{scope}/conv2", y, 6, 6, 3) if stride == 1 else w.strided_conv(f"{scope}/conv2", y, 6, 6, 3)
        y = w.op(f"{scope}/conv2/Relu", "Relu", [w.batch_norm(f"{scope}/conv2/BatchNorm", y, 6)])
        x = w.op(f"{scope}/add", "AddV2", [shortcut, w.biased_conv(f"{scope}/conv3", y, 6, outputs)])
    x = w.op("resnet/postnorm/Relu", "Relu", [w.batch_norm("resnet/postnorm", x, 24)])
    x = w.biased_conv("resnet/logits", w.mean("resnet/pool5", x, keep=True), 24, 10)
    x = w.op("resnet/SpatialSqueeze", "Squeeze", [x], squeeze_dims=[1, 2])
    w.op("resnet/predictions/Softmax", "Softmax", [x])
    return w.graph_def()


def mobilenet() -> GraphDef:
    """A MobileNet of three depthwise blocks: SAME windows of stride 2, Relu6, an average pool that pads."""
    w = NetworkWriter(2)
    x, channels = w.conv("mobilenet/Conv2d_0", w.x, 3, 8, 3, 2), 8
    x = w.op("mobilenet/Conv2d_0/Relu6", "Relu6", [w.batch_norm("mobilenet/Conv2d_0/BatchNorm", x, 8)])
    for block, (outputs, stride) in enumerate(((12, 1), (16, 2), (24, 2)), start=1):
        scope = f"mobilenet/Conv2d_{block}_depthwise"
        kernel = w.seeded(f"{scope}/depthwise_weights", (3, 3, channels, 1), -0.8, 0.8)
        x = w.op(
            f"{scope}/depthwise", "DepthwiseConv2dNative", [x, kernel], strides=[1, stride, stride, 1],
            padding="SAME", data_format="NHWC", dilations=[1, 1, 1, 1],
        )  # fmt: skip
        x = w.op(f"{scope}/Relu6", "Relu6", [w.batch_norm(f"{scope}/BatchNorm", x, channels)])
        scope = f"mobilenet/Conv2d_{block}_pointwise"
        x = w.conv(scope, x, channels, outputs, 1)
        x = w.op(f"{scope}/Relu6", "Relu6", [w.batch_norm(f"{scope}/BatchNorm", x, outputs)])
        channels = outputs
    x = w.pool("mobilenet/AvgPool", "AvgPool", x, 3, 2, "SAME")
    x = w.mean("mobilenet/global_pool", x, keep=False)
    x = w.matmul("mobilenet/logits/MatMul", x, w.weights("mobilenet/logits", (channels, 10)))
    w.op("mobilenet/predictions/Softmax", "Softmax", [x])
    return w.graph_def()


@dataclass(frozen=True)
class Network:
    """A network and the outputs to write."""

    graph_def: Callable[[], GraphDef]
    outputs: Sequence[str]

    def write(self, python: str, path: Path) -> None:
        """Writes the network as ONNX with tf2onnx, in a separate process."""
        with tempfile.TemporaryDirectory() as folder:
            graph = write_graph_def(self.graph_def(), Path(folder) / "graph.pb")
            command = [python, "-m", "tf2onnx.convert", "--graphdef", str(graph), "--inputs", "input:0",
                       "--outputs", ",".join(f"{name}:0" for name in self.outputs), "--output", str(path)]  # fmt: skip
            subprocess.run(command, check=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})


# The classes of InceptionV1's heads are left out: their weights are most of a narrow network's.
NETWORKS = {
    "inception": Network(inception, ("nn0/reshape", "nn1/reshape", "avgpool0/reshape")),
    "resnet": Network(resnet, ("resnet/predictions/Softmax",)),
    "mobilenet": Network(mobilenet, ("mobilenet/predictions/Softmax",)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--python", required=True, help="a Python that has tensorflow and tf2onnx")
    python = parser.parse_args().python
    FOLDER.mkdir(exist_ok=True)
    for name, network in NETWORKS.items():
        network.write(python, FOLDER / f"{name}.onnx")


if __name__ == "__main__":
    main()
