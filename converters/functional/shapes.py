"""Functions that join, move and count values in TensorFlow's order."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from converters.errors import InputSizeError


def concat(towers: Sequence[Tensor], dim: int) -> Tensor:
    """Joins values along torch's axis `dim`.

    Raises:
        InputSizeError: their other sizes differ.
    """
    shapes = [tuple(tower.shape) for tower in towers]
    axis = dim % len(shapes[0])
    if len({shape[:axis] + shape[axis + 1 :] for shape in shapes}) != 1:
        raise InputSizeError(f"it joins values of sizes {[list(shape) for shape in shapes]}")
    return torch.cat(list(towers), dim)


def linear(x: Tensor, weight: Tensor) -> Tensor:
    """MatMul of rows with the transpose of `weight`.

    Raises:
        InputSizeError: the rows have another length.
    """
    if x.shape[-1] != weight.shape[1]:
        raise InputSizeError(f"it multiplies rows of {x.shape[-1]} values by a matrix of {weight.shape[1]}")
    return F.linear(x, weight)


def to_tensorflow_order(x: Tensor) -> Tensor:
    """NCHW to NHWC; tensors of another rank are in TensorFlow's order already."""
    return x.permute(0, 2, 3, 1) if x.dim() == 4 else x


def from_tensorflow_order(x: Tensor) -> Tensor:
    """NHWC to NCHW; tensors of another rank stay as they are."""
    return x.permute(0, 3, 1, 2) if x.dim() == 4 else x


def reshape(x: Tensor, shape: Sequence[int]) -> Tensor:
    """TensorFlow's Reshape: values are read and laid out in NHWC order.

    A leading -1 folds spatial positions into the batch where they do not fit into the row, as TensorFlow does.

    Raises:
        InputSizeError: the number of values does not fit the shape.
    """
    values, fixed = x.numel(), math.prod(size for size in shape if size >= 0)
    fits = values % fixed == 0 if -1 in shape and fixed else values == fixed
    if not fits:
        sizes = list(to_tensorflow_order(x).shape)
        raise InputSizeError(f"{values} values of shape {sizes} do not fill rows of shape {list(shape)}")
    return from_tensorflow_order(to_tensorflow_order(x).reshape(tuple(shape)))
