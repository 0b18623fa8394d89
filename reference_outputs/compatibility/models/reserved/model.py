"""A frozen TensorFlow graph as plain PyTorch, written by lucid_port's converter.

    model = load()                                  # weights.safetensors beside this file
    found = model(x, ["outputs"])  # TensorFlow name -> value

x is (N, C, H, W) with 3 channels, any height and width, in the value range and channel order of the original input.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

INPUT_NAME = 'input'
IMAGE_SHAPE = None
IMAGE_VALUE_RANGE = None
IS_BGR = False
OUTPUTS = ('outputs',)
SOURCE_SHA256 = '07f61a738920c596b10531e661b89ff4fe5c66e5dff728fd1e8fced5dcad20fe'


class InputSizeError(ValueError):
    """A layer cannot be computed at this input size."""


class Relu(nn.Module):
    """Relu."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x)


class Softplus(nn.Module):
    """Softplus."""

    def forward(self, x: Tensor) -> Tensor:
        return F.softplus(x)


class Sigmoid(nn.Module):
    """Sigmoid."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(x)


class Model(nn.Module):
    """The graph, one attribute a layer."""

    def __init__(self) -> None:
        super().__init__()

        self.run_2 = Relu()

        self.layers_2 = Sigmoid()

        self.save_2 = Softplus()

        self.self_2 = Relu()

        self.metadata_2 = Sigmoid()

        self.forward_2 = Softplus()

        self.layer_class = Relu()

        self.layer_2nd = Sigmoid()

        self.a__b = Softplus()
        self.a__b_2 = Relu()

        self.c_d = Sigmoid()

        self.outputs_2 = Softplus()

    def forward(self, x: Tensor, names: Sequence[str] = OUTPUTS) -> dict[str, Tensor]:
        """TensorFlow name -> value for some layers; runs the layers in order until all of them are found."""
        if x.dim() != 4:
            raise ValueError(f"The input has shape {list(x.shape)}; the model reads a batch of images, (N, C, H, W).")
        wanted = [names] if isinstance(names, str) else list(names)
        found: dict[str, Tensor] = {}
        last = INPUT_NAME
        try:
            for last, value in self.run(x):
                if last in wanted:
                    found[last] = value
                if len(found) == len(set(wanted)):
                    return found
        except InputSizeError as error:
            raise InputSizeError(f"The layer after {last!r} cannot be computed at this size: {error}.") from None
        raise KeyError(f"There are no layers {sorted(set(wanted) - set(found))}.")

    def run(self, x: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Each layer's TensorFlow name and value, in order."""

        yield 'run', (run_2 := self.run_2(x))

        yield 'layers', (layers_2 := self.layers_2(run_2))

        yield 'save', (save_2 := self.save_2(layers_2))

        yield 'self', (self_2 := self.self_2(save_2))

        yield 'metadata', (metadata_2 := self.metadata_2(self_2))

        yield 'forward', (forward_2 := self.forward_2(metadata_2))

        yield 'class', (layer_class := self.layer_class(forward_2))

        yield '2nd', (layer_2nd := self.layer_2nd(layer_class))

        yield 'a/b', (a__b := self.a__b(layer_2nd))
        yield 'a__b', (a__b_2 := self.a__b_2(a__b))

        yield 'c-d', (c_d := self.c_d(a__b_2))

        yield 'outputs', (outputs_2 := self.outputs_2(c_d))


def load(folder: str | Path = Path(__file__).parent) -> Model:
    """The model with its weights, in evaluation mode and frozen."""
    model = Model()
    model.load_state_dict(load_file(Path(folder) / "weights.safetensors"))
    return model.requires_grad_(False).eval().to(memory_format=torch.channels_last)
