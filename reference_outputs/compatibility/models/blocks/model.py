"""A frozen TensorFlow graph as plain PyTorch, written by lucid_port's converter.

    model = load()                                  # weights.safetensors beside this file
    found = model(x, ["ResizeNearestNeighbor-half-pixel-up/y"])  # TensorFlow name -> value

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

INPUT_NAME = 'x'
IMAGE_SHAPE = None
IMAGE_VALUE_RANGE = None
IS_BGR = False
OUTPUTS = ('SpaceToDepth-2/y', 'SpaceToDepth-3/y', 'ResizeNearestNeighbor-half-pixel-up/y')
SOURCE_SHA256 = 'a559f5fe745ba2f22af2acaad180073947d5a8028e2b10fab0bd80ed5338a642'


class InputSizeError(ValueError):
    """A layer cannot be computed at this input size."""


def float32(number: float) -> float:
    """A number rounded to float32, in which TensorFlow computes scaled sizes."""
    if not math.isfinite(number):
        return number
    mantissa, exponent = math.frexp(number)
    return math.ldexp(round(mantissa * 2**24), exponent - 24)


SIZE_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "add": operator.add,
    "sub": operator.sub,
    "mul": operator.mul,
    "div": operator.truediv,
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "max": max,
    "min": min,
    "floor": math.floor,
    "ceil": math.ceil,
    "round": round,
    "int": int,
    "float": float,
    "float32": float32,
}


def evaluate_size(expression: Any, tensors: Sequence[Tensor]) -> Any:
    """The number that an expression stands for.

    Args:
        expression: see above.
        tensors: the layer's inputs.
    """
    if not isinstance(expression, tuple):
        return expression
    name, *operands = expression
    if name == "size":
        return tensors[operands[0]].shape[operands[1]]
    return SIZE_FUNCTIONS[name](*(evaluate_size(operand, tensors) for operand in operands))


def evaluate_sizes(expressions: Sequence[Any], tensors: Sequence[Tensor]) -> tuple[int, ...]:
    """The whole numbers that some expressions stand for."""
    return tuple(int(evaluate_size(expression, tensors)) for expression in expressions)


def resize_scale(source: int, target: int, convention: str) -> Tensor:
    """Input pixels to an output pixel, float32."""
    if convention == "corners" and target > 1:
        source, target = source - 1, target - 1
    return torch.tensor(float(source)) / float(target)


def bilinear_table(source: int, target: int, convention: str) -> tuple[Tensor, Tensor, Tensor]:
    """For each output pixel along one axis: the input pixels on both sides, and the weight of the upper one."""
    index = torch.arange(target, dtype=torch.float32)
    scale = resize_scale(source, target, convention)
    at = (index + 0.5) * scale - 0.5 if convention == "half_pixel" else index * scale
    below = at.floor()
    low = below.long().clamp(min=0)
    return low, (below.long() + 1).clamp(0, source - 1), at - below


def nearest_table(source: int, target: int, convention: str) -> Tensor:
    """For each output pixel along one axis: the input pixel that it is."""
    index = torch.arange(target, dtype=torch.float32)
    at = (index + 0.5 if convention == "half_pixel" else index) * resize_scale(source, target, convention)
    at = (at + 0.5).floor() if convention == "corners" else at.floor()
    return at.long().clamp(0, source - 1)


def _lerp_axis(x: Tensor, dim: int, target: int, convention: str) -> Tensor:
    low, high, weight = (table.to(x.device) for table in bilinear_table(x.shape[dim], target, convention))
    below = x.index_select(dim, low)
    weight = weight.to(x.dtype)
    return below + (x.index_select(dim, high) - below) * (weight[:, None] if dim == 2 else weight)


def resize(x: Tensor, size: Sequence[int], method: str, convention: str) -> Tensor:
    """TensorFlow's ResizeBilinear and ResizeNearestNeighbor of (N, C, H, W).

    Args:
        x: the images.
        size: (height, width) to resize to.
        method: `bilinear` or `nearest`.
        convention: `legacy`, `half_pixel` (half_pixel_centers) or `corners` (align_corners).

    Raises:
        InputSizeError: the size is none.
    """
    height, width = size
    if min(height, width, *x.shape[-2:]) < 1:
        raise InputSizeError(f"it resizes images of {list(x.shape[-2:])} to {list(size)}")
    if method == "bilinear":
        return _lerp_axis(_lerp_axis(x, 3, width, convention), 2, height, convention)
    rows, columns = (nearest_table(x.shape[dim], n, convention).to(x.device) for dim, n in ((2, height), (3, width)))
    return x.index_select(2, rows).index_select(3, columns)


def space_to_depth(x: Tensor, block: int) -> Tensor:
    """SpaceToDepth of (N, C, H, W).

    Raises:
        InputSizeError: the image does not consist of whole blocks.
    """
    count, channels, height, width = x.shape
    if height % block or width % block:
        raise InputSizeError(f"it cuts an image of {height}x{width} into blocks of {block}")
    x = x.reshape(count, channels, height // block, block, width // block, block)
    return x.permute(0, 3, 5, 1, 2, 4).reshape(count, -1, height // block, width // block)


class Tanh(nn.Module):
    """Tanh."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(x)


class Resize(nn.Module):
    """ResizeBilinear and ResizeNearestNeighbor; `size` may be expressions of sizes."""

    def __init__(self, size: Sequence[Any], method: str, convention: str) -> None:
        super().__init__()
        self.size, self.method, self.convention = tuple(size), method, convention

    def forward(self, *inputs: Tensor) -> Tensor:
        return resize(inputs[0], evaluate_sizes(self.size, inputs), self.method, self.convention)


class SpaceToDepth(nn.Module):
    """SpaceToDepth."""

    def __init__(self, block: int) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Tensor) -> Tensor:
        return space_to_depth(x, self.block)


class Model(nn.Module):
    """The graph, one attribute a layer."""

    def __init__(self) -> None:
        super().__init__()

        self.SpaceToDepth_2__moved = SpaceToDepth(2)
        self.SpaceToDepth_2__y = Tanh()

        self.SpaceToDepth_3__moved = SpaceToDepth(3)
        self.SpaceToDepth_3__y = Tanh()

        self.ResizeNearestNeighbor_half_pixel_up__y = Resize((12, 11), 'nearest', 'half_pixel')

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

        yield 'SpaceToDepth-2/moved', (SpaceToDepth_2__moved := self.SpaceToDepth_2__moved(x))
        yield 'SpaceToDepth-2/y', (SpaceToDepth_2__y := self.SpaceToDepth_2__y(SpaceToDepth_2__moved))

        yield 'SpaceToDepth-3/moved', (SpaceToDepth_3__moved := self.SpaceToDepth_3__moved(x))
        yield 'SpaceToDepth-3/y', (SpaceToDepth_3__y := self.SpaceToDepth_3__y(SpaceToDepth_3__moved))

        yield 'ResizeNearestNeighbor-half-pixel-up/y', (ResizeNearestNeighbor_half_pixel_up__y := self.ResizeNearestNeighbor_half_pixel_up__y(x))


def load(folder: str | Path = Path(__file__).parent) -> Model:
    """The model with its weights, in evaluation mode and frozen."""
    model = Model()
    model.load_state_dict(load_file(Path(folder) / "weights.safetensors"))
    return model.requires_grad_(False).eval().to(memory_format=torch.channels_last)
