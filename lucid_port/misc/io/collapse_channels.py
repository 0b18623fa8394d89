"""Conversion of any number of channels to RGB, with one hue per channel."""

from __future__ import annotations

import math

import numpy as np

from converters import checks
from lucid_port.misc.tensors import ArrayLike

__all__ = ["collapse_channels", "hue_to_rgb", "sparse_channels_to_rgb"]

_ANCHORS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 1], [1, 0, 1]], np.float64)
_HUES = _ANCHORS / np.linalg.norm(_ANCHORS, axis=1, keepdims=True)


def hue_to_rgb(ang: float, warp: bool = True) -> np.ndarray:
    """Converts a hue to an RGB vector of norm 1.

    Args:
        ang: hue in degrees: 0 is red, 120 green, 240 blue.
        warp: shift hues away from the primaries, so that equal steps look more alike.
    """
    sector, share = divmod((ang % 360) / 60.0, 1.0)
    index = int(sector) % 6
    if warp:
        share = math.sin(share * math.pi / 2) if index % 2 == 0 else 1 - math.sin((1 - share) * math.pi / 2)
    mixed = (1 - share) * _HUES[index] + share * _HUES[(index + 1) % 6]
    return mixed / np.linalg.norm(mixed)


def _channels(X: ArrayLike) -> np.ndarray:
    array = np.asarray(X)
    checks.finite_values(array, "The array of channels")
    if array.ndim == 0:
        raise ValueError("The array of channels is a single number: give it an axis of channels.")
    return array


def sparse_channels_to_rgb(X: ArrayLike) -> np.ndarray:
    """Converts non-negative channels [..., K] to RGB [..., 3]. Positions with several active channels turn white.

    Raises:
        ValueError: a value is negative, NaN or infinite.
    """
    X = _channels(X)
    if (X < 0).any():
        raise ValueError("sparse_channels_to_rgb needs non-negative values: use collapse_channels.")
    count = X.shape[-1]
    hues = np.stack([hue_to_rgb(360 * i / count) for i in range(count)])
    rgb = X @ hues + (X.sum(-1) - X.max(-1))[..., None]
    rgb = rgb / (1e-4 + np.linalg.norm(rgb, axis=-1, keepdims=True))
    return rgb * np.linalg.norm(X, axis=-1, keepdims=True)


def collapse_channels(X: ArrayLike) -> np.ndarray:
    """Converts channels [..., K] of any sign to RGB [..., 3]. Negative values get hues of their own."""
    X = _channels(X)
    if (X < 0).any():
        X = np.concatenate([np.maximum(0, X), np.maximum(0, -X)], axis=-1)
    return sparse_channels_to_rgb(X)
