"""Resize and Upsample in all modes of the standard.

Positions are computed in float32, as in ONNX Runtime. The modes that TensorFlow has round as TensorFlow does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from converters import functional
from converters.errors import InputSizeError
from converters.onnx.reading.ops.registry import register
from converters.onnx.reading.ops.shapes import numbers

# (mode, coordinate_transformation_mode, nearest_mode) -> arguments of `functional.resize`. Linear modes have
# no nearest_mode.
_TENSORFLOW: Mapping[tuple[str, str, str], tuple[str, str]] = {
    ("linear", "asymmetric", ""): ("bilinear", "legacy"),
    ("linear", "half_pixel", ""): ("bilinear", "half_pixel"),
    ("linear", "align_corners", ""): ("bilinear", "corners"),
    ("nearest", "asymmetric", "floor"): ("nearest", "legacy"),
    ("nearest", "half_pixel", "round_prefer_ceil"): ("nearest", "half_pixel"),
    ("nearest", "align_corners", "round_prefer_ceil"): ("nearest", "corners"),
}
_ROUNDINGS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "round_prefer_floor": lambda at: np.ceil(at - np.float32(0.5)),
    "round_prefer_ceil": lambda at: np.floor(at + np.float32(0.5)),
    "floor": np.floor,
    "ceil": np.ceil,
}


@register("Resize", since=11, host="roi scales sizes")
def resize(
    x: Tensor, roi: Any = None, scales: Any = None, sizes: Any = None, *, antialias: int = 0,
    axes: Sequence[int] | None = None, coordinate_transformation_mode: str = "half_pixel",
    cubic_coeff_a: float = -0.75, exclude_outside: int = 0, extrapolation_value: float = 0.0,
    keep_aspect_ratio_policy: str = "stretch", mode: str = "nearest", nearest_mode: str = "round_prefer_floor",
) -> Tensor:  # fmt: skip
    dims = list(range(x.ndim)) if axes is None else [axis % x.ndim for axis in axes]
    factors, targets = _targets(x, dims, scales, sizes, keep_aspect_ratio_policy)
    nearest = nearest_mode if mode == "nearest" else ""
    known = _TENSORFLOW.get((mode, coordinate_transformation_mode, nearest))
    changed = [dim for dim in dims if targets[dim] != x.shape[dim] or factors[dim] != 1]
    is_by_sizes = _has(sizes) and keep_aspect_ratio_policy == "stretch"
    is_whole = is_by_sizes or all(targets[dim] == x.shape[dim] * factors[dim] for dim in changed)
    if known and is_whole and x.ndim == 4 and set(changed) <= {2, 3} and not (antialias or exclude_outside):
        return functional.resize(x, [targets.get(2, x.shape[2]), targets.get(3, x.shape[3])], *known)
    regions = [] if roi is None else [float(end) for end in np.asarray(roi).ravel()]
    crops = coordinate_transformation_mode == "tf_crop_and_resize"
    result = x
    for index, dim in enumerate(dims):
        if dim not in changed and not crops:
            continue
        region = (regions[index], regions[len(dims) + index]) if regions else (0.0, 1.0)
        at = _positions(coordinate_transformation_mode, x.shape[dim], targets[dim], factors[dim], region)
        places, weights = _taps(
            at, x.shape[dim], factors[dim], mode, nearest, cubic_coeff_a, exclude_outside, antialias
        )
        result = _gathered(result, dim, places, weights)
        if crops:
            outside = torch.from_numpy((at < 0) | (at > x.shape[dim] - 1)).to(x.device)
            result = result.movedim(dim, -1).masked_fill(outside, extrapolation_value).movedim(-1, dim)
    return result


@register("Upsample", since=9, host="scales")
@register("Resize", since=10, host="scales")
def upsample(x: Tensor, scales: Any, *, mode: str = "nearest") -> Tensor:
    """Up to opset 10, output pixel i is at input position i / scale."""
    factors = np.asarray(scales, np.float32).ravel()
    if mode == "nearest" and any(factor < 1 and (1 / factor) % 1 for factor in factors):
        raise InputSizeError(
            f"it shrinks by {factors.tolist()}; up to opset 10, the standard does not state which pixels remain"
        )
    return resize(
        x, None, scales, mode=mode, coordinate_transformation_mode="asymmetric", nearest_mode="floor"
    )  # fmt: skip


@register("Upsample", since=7)
def upsample_7(x: Tensor, *, scales: Sequence[float], mode: str = "nearest") -> Tensor:
    return upsample(x, scales, mode=mode)


def _has(value: Any) -> bool:
    return value is not None and np.size(value) > 0


def _targets(
    x: Tensor, dims: Sequence[int], scales: Any, sizes: Any, policy: str
) -> tuple[dict[int, np.float32], dict[int, int]]:
    """Returns the scale and the target size of each axis.

    Raises:
        InputSizeError: the batch would change.
    """
    lengths = [x.shape[dim] for dim in dims]
    if _has(sizes):
        wanted = numbers(sizes)
        ratios = [np.float32(size) / np.float32(length) for size, length in zip(wanted, lengths, strict=True)]
        if policy != "stretch":
            ratio = min(ratios) if policy == "not_larger" else max(ratios)
            ratios = [ratio] * len(ratios)
            wanted = [math.floor(float(ratio * np.float32(length)) + 0.5) for length in lengths]
    else:
        ratios = list(np.asarray(scales, np.float32).ravel())
        wanted = [int(np.float32(length) * ratio) for length, ratio in zip(lengths, ratios, strict=True)]
    targets = dict(zip(dims, wanted, strict=True))
    if targets.get(0, x.shape[0]) != x.shape[0]:
        raise InputSizeError(f"it resizes {list(x.shape)} to {wanted}; the number of images has to stay")
    if min(wanted) < 1:
        raise InputSizeError(f"it resizes {list(x.shape)} to {wanted}")
    return dict(zip(dims, ratios, strict=True)), targets


def _positions(
    convention: str, source: int, target: int, scale: np.float32, region: tuple[float, float]
) -> np.ndarray:  # fmt: skip
    """Returns the position in the input of each output pixel, float32."""
    index = np.arange(target, dtype=np.float32)
    half = np.float32(0.5)
    if convention == "align_corners":
        return index * np.float32(source - 1) / np.float32(max(target - 1, 1))
    if convention == "asymmetric":
        return index / scale
    if convention == "tf_half_pixel_for_nn":
        return (index + half) / scale
    if convention == "pytorch_half_pixel":
        return (index + half) / scale - half if target > 1 else np.zeros_like(index)
    if convention == "half_pixel_symmetric":
        adjustment = np.float32(target) / (scale * np.float32(source))
        offset = np.float32(source) / 2 * (1 - adjustment)
        return np.float32(offset) + (index + half) / scale - half
    if convention == "tf_crop_and_resize":
        start, end = (np.float32(side) for side in region)
        if target == 1:
            return np.array([0.5 * (start + end) * (source - 1)], np.float32)
        return start * np.float32(source - 1) + index * (end - start) * np.float32(source - 1) / np.float32(target - 1)
    return (index + half) / scale - half


def _cubic(distance: np.ndarray, a: float) -> np.ndarray:
    d = np.abs(distance)
    near = ((a + 2) * d - (a + 3)) * d * d + 1
    far = ((a * d - 5 * a) * d + 8 * a) * d - 4 * a
    return np.where(d <= 1, near, np.where(d < 2, far, 0))


def _taps(
    at: np.ndarray, source: int, scale: np.float32, mode: str, nearest: str, a: float, excludes: int, antialias: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Returns the input pixels that each output pixel reads, (target, taps), and their weights; None for nearest."""
    if mode == "nearest":
        return _ROUNDINGS[nearest](at).clip(0, source - 1).astype(np.int64)[:, None], None
    shrink = min(float(scale), 1.0) if antialias else 1.0
    reach = 1 if mode == "linear" else 2
    if antialias:
        low, high = math.floor(-reach / shrink) + 1, math.ceil(reach / shrink)
    else:
        low, high = 1 - reach, reach
    places = np.floor(at)[:, None].astype(np.int64) + np.arange(low, high + 1)
    distance = (places - at[:, None].astype(np.float64)) * shrink
    weights = np.maximum(1 - np.abs(distance), 0) if mode == "linear" else _cubic(distance, a)
    if excludes:
        weights = np.where((places < 0) | (places >= source), 0, weights)
    if excludes or antialias:
        weights = weights / weights.sum(1, keepdims=True)
    return places.clip(0, source - 1), weights


def _gathered(x: Tensor, dim: int, places: np.ndarray, weights: np.ndarray | None) -> Tensor:
    """Computes the weighted sum of the pixels that each output pixel reads along one axis."""
    taken = x.index_select(dim, torch.from_numpy(places.ravel()).to(x.device))
    if weights is None:
        return taken
    spread = taken.unflatten(dim, places.shape).movedim((dim, dim + 1), (-2, -1))
    return (spread * torch.from_numpy(weights).to(x)).sum(-1).movedim(-1, dim)
