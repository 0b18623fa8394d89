"""Exports a trained TinyInceptionV1 as a frozen TensorFlow graph.

The graph has InceptionV1's nodes and names. Batch normalization is folded into the convolutions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from tensorboard.compat.proto.graph_pb2 import GraphDef

from lucid_port.modelzoo.seeded import InceptionBuilder
from lucid_port.modelzoo.tiny.network import FINAL_POOL, WIDTH, TinyInception

HEAD_MAP = 1
"""Height and width of the map after the pool of an auxiliary head, for a 96 pixel image."""


def export(network: TinyInception) -> GraphDef:
    """Builds the graph that is equivalent to a trained network in evaluation mode."""
    classes = network.softmax2.bias.shape[0]
    return InceptionBuilder(_TrainedWeights(network), WIDTH, classes, FINAL_POOL, HEAD_MAP).build()


class _TrainedWeights:
    """The weights of a trained network in TensorFlow's layout; see `seeded.Weights`."""

    def __init__(self, network: TinyInception) -> None:
        self._layers = {layer.name: layer for layer in network.layers()}

    def convolution(self, name: str, shape: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
        kernel, bias = self._folded(name)
        return _checked(name, kernel.permute(2, 3, 1, 0), shape), bias.numpy()

    def dense(self, name: str, shape: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
        matrix, bias = self._folded(name)
        return _checked(name, matrix.T, shape), bias.numpy()

    def _folded(self, name: str) -> tuple[torch.Tensor, torch.Tensor]:
        kernel, bias = self._layers[name].folded()
        return kernel.detach(), bias.detach()


def _checked(name: str, weights: torch.Tensor, shape: Sequence[int]) -> np.ndarray:
    if tuple(weights.shape) != tuple(shape):
        raise ValueError(f"The weights of {name} are {tuple(weights.shape)}; the graph needs {tuple(shape)}.")
    return np.ascontiguousarray(weights.numpy())
