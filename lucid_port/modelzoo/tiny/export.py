"""Writes a trained TinyInceptionV1 as a frozen TensorFlow graph.

    python -m lucid_port.modelzoo.tiny.export runs/tiny -o TinyInceptionV1.pb

The graph has InceptionV1's nodes and names; batch normalisation is folded into the convolutions.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from tensorboard.compat.proto.graph_pb2 import GraphDef

from converters.frozen.writer import write_graph_def
from lucid_port.modelzoo.seeded import InceptionBuilder
from lucid_port.modelzoo.tiny.network import FINAL_POOL, WIDTH, TinyInception
from lucid_port.modelzoo.tiny.train import WEIGHTS

HEAD_MAP = 1
"""The map of a 96 pixel picture has one position after the pool of an auxiliary head."""


def read_trained(folder: Path) -> TinyInception:
    """The network of a finished run, in evaluation mode.

    Raises:
        FileNotFoundError: the run is not finished.
    """
    if not (folder / WEIGHTS).is_file():
        raise FileNotFoundError(f"{folder} holds no {WEIGHTS}: the training has not finished.")
    state = torch.load(folder / WEIGHTS, weights_only=True)
    network = TinyInception(len(state["classes"]))
    network.load_state_dict(state["network"])
    return network.eval()


def export(network: TinyInception) -> GraphDef:
    """The graph that computes what a trained network computes in evaluation."""
    classes = network.softmax2.bias.shape[0]
    return InceptionBuilder(_TrainedWeights(network), WIDTH, classes, FINAL_POOL, HEAD_MAP).build()


class _TrainedWeights:
    """Weights of a trained network, in TensorFlow's layout."""

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
        raise ValueError(f"The weights of {name} are {tuple(weights.shape)}; the graph wants {tuple(shape)}.")
    return np.ascontiguousarray(weights.numpy())


def main(arguments: Sequence[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of the finished training")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the .pb to write")
    options = parser.parse_args(arguments)
    path = write_graph_def(export(read_trained(options.run)), options.output)
    print(f"Wrote {path}: {path.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
