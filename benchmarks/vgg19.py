"""VGG19 as a frozen graph with seeded weights: 144 million parameters, 575 MB, to measure large graphs.

The layers are those of Simonyan and Zisserman's configuration E (arXiv 1409.1556, table 1), under the names that
caffe-tensorflow gives them. Weights are uniform, with the variance that keeps the variance of activations constant over
the layers (He et al., arXiv 1502.01852), so that activations neither overflow nor vanish.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from converters.frozen.writer import GraphWriter

BLOCKS = ((64, 2), (128, 2), (256, 4), (512, 4), (512, 4))  # (channels, convolutions); a max pool follows each block
DENSE = (("fc6", 4096), ("fc7", 4096), ("fc8", 1000))
IMAGE = 224


def write(path: Path, seed: int = 0) -> Path:
    """Writes the graph.

    Args:
        path: file to write, 575 MB.
        seed: seed of the weights.

    Returns:
        The path.
    """
    graph, random = GraphWriter(), np.random.default_rng(seed)

    def weights(name: str, *shape: int) -> str:
        bound = np.float32(np.sqrt(6 / np.prod(shape[:-1])))
        return graph.const(name, (random.random(shape, np.float32) * 2 - 1) * bound)

    def biased(name: str, product: str, channels: int) -> str:
        sums = graph.bias_add(f"{name}/BiasAdd", product, graph.const(f"{name}/biases", np.zeros(channels, np.float32)))
        return sums if name == "fc8" else graph.op(f"{name}/{name}", "Relu", [sums])

    x, channels = graph.placeholder("input", [None, IMAGE, IMAGE, 3]), 3
    for block, (width, convolutions) in enumerate(BLOCKS, start=1):
        for number in range(1, convolutions + 1):
            name = f"conv{block}_{number}"
            kernel = weights(f"{name}/weights", 3, 3, channels, width)
            x, channels = biased(name, graph.conv2d(f"{name}/Conv2D", x, kernel), width), width
        x = graph.pool(f"pool{block}", "MaxPool", x, 2, 2, "SAME")
    features = channels * (IMAGE // 2 ** len(BLOCKS)) ** 2
    x = graph.reshape("flatten", x, [-1, features])
    for name, width in DENSE:
        x = biased(name, graph.matmul(f"{name}/MatMul", x, weights(f"{name}/weights", features, width)), width)
        features = width
    graph.op("prob", "Softmax", [x])
    return graph.write(path)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
