"""Resizing, rotating and padding of NCHW tensors as in TensorFlow 1.

`torch.nn.functional` has no equivalents: `interpolate` differs from TensorFlow's legacy bilinear
resize with either value of `align_corners`, there is no symmetric padding, and `grid_sample` rounds
nearest neighbors differently.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import lru_cache
from threading import Lock
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

__all__ = [
    "legacy_bilinear_matrix",
    "pad_image",
    "resize_axis_legacy",
    "resize_bilinear_legacy",
    "rotate_nearest",
    "scaled_size",
]


# Resizing -------------------------------------------------------------------------------------


def scaled_size(size: int, scale: float) -> int:
    """Returns the size after scaling: the float32 product, truncated."""
    return int(np.float32(scale) * np.float32(size))


@lru_cache(maxsize=512)
def _bilinear_table(source: int, target: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the lower and upper neighbor of each output position, and the weight of the upper one."""
    ratio = np.float32(source) / np.float32(target)
    position = np.arange(target, dtype=np.float32) * ratio
    low = np.minimum(np.floor(position).astype(np.int64), source - 1)
    high = np.minimum(low + 1, source - 1)
    return low, high, position - low.astype(np.float32)


@lru_cache(maxsize=512)
def _bilinear_tensors(
    source: int, target: int, device: torch.device, dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    low, high, share = _bilinear_table(source, target)
    return (
        torch.from_numpy(low).to(device),
        torch.from_numpy(high).to(device),
        torch.from_numpy(share).to(device, dtype),
    )


@lru_cache(maxsize=64)
def legacy_bilinear_matrix(source: int, target: int, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Returns the matrix [target, source] of TensorFlow's legacy bilinear resize of one axis."""
    low, high, share = _bilinear_table(source, target)
    weights = np.zeros((target, source), np.float32)
    rows = np.arange(target)
    np.add.at(weights, (rows, low), np.float32(1) - share)
    np.add.at(weights, (rows, high), share)
    return torch.from_numpy(weights).to(device, dtype)


class _ResizeAxis(torch.autograd.Function):
    """Resizes one axis.

    The forward pass uses TensorFlow's formula, `low + (high - low) * share`. Unlike a weighted sum,
    it keeps constant regions exactly constant: a max pool compares equal numbers there, and rounding
    errors would decide which cell gets the gradient. The backward pass multiplies by the transposed
    matrix, which is deterministic on all devices.
    """

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, axis: int, target: int) -> torch.Tensor:
        ctx.axis, ctx.sizes = axis, (tensor.shape[axis], target)
        if axis == tensor.ndim - 1 > 0:  # selecting rows is ten times as fast as selecting columns
            turned = tensor.transpose(-1, -2).contiguous()
            return _ResizeAxis.interpolate(turned, axis - 1, ctx.sizes).transpose(-1, -2)
        return _ResizeAxis.interpolate(tensor, axis, ctx.sizes)

    @staticmethod
    def interpolate(tensor: torch.Tensor, axis: int, sizes: tuple[int, int]) -> torch.Tensor:
        low, high, share = _bilinear_tensors(*sizes, tensor.device, tensor.dtype)
        share = share.reshape(-1, *[1] * (tensor.ndim - 1 - axis))
        lower = tensor.index_select(axis, low)
        return lower.addcmul_(tensor.index_select(axis, high).sub_(lower), share)

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (gradient,) = grads
        matrix = legacy_bilinear_matrix(*ctx.sizes, gradient.device, gradient.dtype)
        if ctx.axis == gradient.ndim - 2:
            return matrix.T @ gradient, None, None
        return (gradient.movedim(ctx.axis, -1) @ matrix).movedim(-1, ctx.axis), None, None


def resize_axis_legacy(tensor: torch.Tensor, axis: int, target: int) -> torch.Tensor:
    """Resizes one axis of a tensor of any rank by TensorFlow's legacy bilinear rule.

    The gradient is the exact adjoint, as in TensorFlow.

    Args:
        tensor: Floating-point tensor.
        axis: Axis to resize, not empty.
        target: New size of the axis, at least 1.

    Returns:
        The tensor with `shape[axis] == target`.
    """
    if tensor.shape[axis] == target:
        return tensor
    return _ResizeAxis.apply(tensor, axis % tensor.ndim, target)


def resize_bilinear_legacy(image: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """TensorFlow's `resize_bilinear(align_corners=False)`, without half-pixel centers.

    The source position of output row i is `i * (in / out)`. Rows after the last are copies of it,
    and downscaling does not smooth.

    Args:
        image: [N, C, H, W].
        size: (height, width) of the result.

    Returns:
        [N, C, *size].

    Raises:
        ValueError: The new size is smaller than 1 x 1.
    """
    height, width = size
    if height < 1 or width < 1:
        raise ValueError(f"Cannot resize an image to {height} x {width}: choose larger scales.")
    # Columns first, as in TensorFlow.
    return resize_axis_legacy(resize_axis_legacy(image, 3, width), 2, height)


# Rotation -------------------------------------------------------------------------------------

TABLE_BYTES = 256 * 2**20
"""Memory for rotation tables: enough for the standard transforms with images of 224 pixels."""


class _TableCache:
    """An LRU cache for a function that returns tensors, limited by their total size.

    The latest result is kept even if it exceeds the limit.

    Args:
        function: The function.
        limit: Limit in bytes.
    """

    def __init__(self, function: Callable[..., torch.Tensor], limit: int) -> None:
        self._function, self._limit = function, limit
        self._kept: OrderedDict[tuple[Any, ...], torch.Tensor] = OrderedDict()
        self._lock = Lock()
        self.bytes = 0

    def __call__(self, *key: Any) -> torch.Tensor:
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        table = self._function(*key)  # not locked: threads may compute the same table twice
        with self._lock:
            if key not in self._kept:
                self._kept[key] = table
                self.bytes += table.nbytes
            while self.bytes > self._limit and len(self._kept) > 1:
                self.bytes -= self._kept.popitem(last=False)[1].nbytes
        return table


def _rotation_matrix(angle: float, height: int, width: int) -> np.ndarray:
    """Returns the output-to-input map, [2, 3] float32, of a rotation by `angle` radians about the center."""
    theta = np.float32(angle)
    cos, sin = np.cos(theta), np.sin(theta)
    right, bottom = np.float32(width - 1), np.float32(height - 1)
    half = np.float32(2)
    x_offset = (right - (cos * right - sin * bottom)) / half
    y_offset = (bottom - (sin * right + cos * bottom)) / half
    return np.array([[cos, -sin, x_offset], [sin, cos, y_offset]], np.float32)


def _inverse_map(matrix: np.ndarray) -> np.ndarray:
    """Inverts an output-to-input map, [2, 3], with the same rounding errors as TensorFlow.

    TensorFlow inverts the 3 x 3 matrix by an LU decomposition in float32 with partial pivoting. The
    same steps give the same inverse bit for bit. Other rounding errors move whole rows of pixels if
    coordinates are ties (quarter turns of images whose height and width differ by an odd number).
    """
    lower_upper = np.concatenate([matrix, np.array([[0, 0, 1]], np.float32)])
    inverse = np.eye(3, dtype=np.float32)
    for k in range(3):
        pivot = k + int(np.argmax(np.abs(lower_upper[k:, k])))
        lower_upper[[k, pivot]] = lower_upper[[pivot, k]]
        inverse[[k, pivot]] = inverse[[pivot, k]]
        lower_upper[k + 1 :, k] /= lower_upper[k, k]
        lower_upper[k + 1 :, k + 1 :] -= np.outer(lower_upper[k + 1 :, k], lower_upper[k, k + 1 :])
    for k in range(3):
        inverse[k + 1 :] -= np.outer(lower_upper[k + 1 :, k], inverse[k])
    for k in (2, 1, 0):
        inverse[k] *= np.float32(1) / lower_upper[k, k]
        inverse[:k] -= np.outer(lower_upper[:k, k], inverse[k])
    return inverse[:2]


def _nearest_table(matrix: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns the flat source index of each output pixel; `height * width` if it is outside of the image."""
    x = np.arange(width, dtype=np.float32)[None, :]
    y = np.arange(height, dtype=np.float32)[:, None]
    column, outside_columns = _nearest(matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2], width)
    row, outside_rows = _nearest(matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2], height)
    index = row * np.int32(width) + column
    index[outside_columns | outside_rows] = height * width
    return index.reshape(-1)


def _nearest(position: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Rounds coordinates, halves away from zero; also returns a mask of those outside, whose values are arbitrary."""
    outside = (position <= -0.5) | (position >= size - 0.5)
    # float64, because 0.49999997 + 0.5 is 1 in float32. Positions inside are above -0.5, where truncation is floor.
    return (position.astype(np.float64) + 0.5).astype(np.int32), outside


def _make_rotation_table(angle: float, height: int, width: int, inverse: bool, device: torch.device) -> torch.Tensor:
    matrix = _rotation_matrix(angle, height, width)
    if inverse:
        matrix = _inverse_map(matrix)
    return torch.from_numpy(_nearest_table(matrix, height, width)).to(device)


_rotation_table = _TableCache(_make_rotation_table, TABLE_BYTES)


def _gather_pixels(image: torch.Tensor, index: torch.Tensor) -> torch.Tensor:
    flat = F.pad(image.reshape(image.shape[0] * image.shape[1], -1), (0, 1))  # a zero, for positions outside
    return flat.index_select(1, index).reshape(image.shape)


class _RotateNearest(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: torch.Tensor, angle: float) -> torch.Tensor:
        ctx.angle = angle
        height, width = image.shape[2:]
        return _gather_pixels(image, _rotation_table(angle, height, width, False, image.device))

    @staticmethod
    def backward(ctx: Any, *grads: torch.Tensor) -> tuple[torch.Tensor, None]:
        (gradient,) = grads
        height, width = gradient.shape[2:]
        table = _rotation_table(ctx.angle, height, width, True, gradient.device)
        return _gather_pixels(gradient, table), None


def rotate_nearest(image: torch.Tensor, angle: float) -> torch.Tensor:
    """`tf.contrib.image.rotate` with its default nearest-neighbor interpolation.

    Positive angles turn counterclockwise on the screen, about `(size - 1) / 2`. Coordinates are
    float32, halves round away from zero, and pixels from outside of the image are 0. As in
    TensorFlow, the gradient is not the adjoint: it is rotated back by nearest neighbor.

    Args:
        image: [N, C, H, W].
        angle: Angle in radians.

    Returns:
        [N, C, H, W].
    """
    if angle == 0:
        return image
    return _RotateNearest.apply(image, float(np.float32(angle)))


# Padding --------------------------------------------------------------------------------------


@lru_cache(maxsize=256)
def _symmetric_index(size: int, width: int, device: torch.device) -> torch.Tensor:
    index = np.concatenate([np.arange(width)[::-1], np.arange(size), np.arange(size - width, size)[::-1]])
    return torch.from_numpy(index.copy()).to(device)


def pad_image(image: torch.Tensor, width: int, mode: str, value: float = 0.0) -> torch.Tensor:
    """Pads height and width on each side as `tf.pad` does.

    Args:
        image: [N, C, H, W].
        width: Number of pixels on each side.
        mode: "constant", "reflect" (without the edge) or "symmetric" (with the edge).
        value: Constant for "constant".

    Raises:
        ValueError: The image is too small to be mirrored.
    """
    if mode == "constant":
        return F.pad(image, (width,) * 4, value=value)
    smallest = min(image.shape[2:])
    if width > smallest - (mode == "reflect"):
        raise ValueError(
            f"Cannot pad {width} pixels by mode {mode!r} around an image of "
            f"{image.shape[2]} x {image.shape[3]}: use mode='constant' or a smaller width."
        )
    if mode == "reflect":
        return F.pad(image, (width,) * 4, mode="reflect")
    rows = _symmetric_index(image.shape[2], width, image.device)
    columns = _symmetric_index(image.shape[3], width, image.device)
    return image.index_select(2, rows).index_select(3, columns)
