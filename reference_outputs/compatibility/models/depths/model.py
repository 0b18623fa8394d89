"""A frozen TensorFlow graph as plain PyTorch, written by lucid_port's converter.

    model = load()                                  # weights.safetensors beside this file
    found = model(x, ["DepthToSpace-2/y"])  # TensorFlow name -> value

x is (N, C, H, W) with 12 channels, any height and width, in the value range and channel order of the original input.
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

INPUT_NAME = 'x'
IMAGE_SHAPE = None
IMAGE_VALUE_RANGE = None
IS_BGR = False
OUTPUTS = ('DepthToSpace-2/y',)
SOURCE_SHA256 = '8234b5bf9079eddfebd39bf0a39c1bf1351a6837d996980b18e238f57859de47'


class InputSizeError(ValueError):
    """A layer cannot be computed at this input size."""


def depth_to_space(x: Tensor, block: int) -> Tensor:
    """DepthToSpace of (N, C, H, W).

    Raises:
        InputSizeError: the channels are no multiple of block * block.
    """
    count, channels, height, width = x.shape
    if channels % (block * block):
        raise InputSizeError(f"it makes blocks of {block}x{block} of {channels} channels")
    x = x.reshape(count, block, block, channels // (block * block), height, width)
    return x.permute(0, 3, 4, 1, 5, 2).reshape(count, -1, height * block, width * block)


class Tanh(nn.Module):
    """Tanh."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x)


class DepthToSpace(nn.Module):
    """DepthToSpace."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return depth_to_space(x, self.block)


class Model(nn.Module):
    """The graph, one attribute a layer."""

    def __init__(self) -> None:
        super().__init__()

        self.DepthToSpace_2__moved = DepthToSpace(2)
        self.DepthToSpace_2__y = Tanh()

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

        yield 'DepthToSpace-2/moved', (DepthToSpace_2__moved := self.DepthToSpace_2__moved(x))
        yield 'DepthToSpace-2/y', (DepthToSpace_2__y := self.DepthToSpace_2__y(DepthToSpace_2__moved))


def load(folder: str | Path = Path(__file__).parent) -> Model:
    """The model with its weights, in evaluation mode and frozen."""
    model = Model()
    model.load_state_dict(load_file(Path(folder) / "weights.safetensors"))
    return model.requires_grad_(False).eval().to(memory_format=torch.channels_last)
