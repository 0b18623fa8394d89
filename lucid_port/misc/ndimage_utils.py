"""Resizing and compositing of images as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from converters import checks
from converters.signatures import checked

__all__ = ["composite", "resize", "soft_alpha_blend"]


@checked
def resize(
    image: np.ndarray,
    target_size: int | Sequence[int] | None = None,
    ratios: float | Sequence[float] | None = None,
    **kwargs: Any,
) -> np.ndarray:
    """Resizes images by spline interpolation of order 3. Values may overshoot the range of the input.

    Args:
        image: [H, W, C] or [N, H, W, C].
        target_size: (height, width) in pixels, or one number for both.
        ratios: scale factors of (height, width), or one number for both. Pass either this or `target_size`.
        **kwargs: passed to `scipy.ndimage.zoom`, for example `order=1`.

    Returns:
        The resized images, in the dtype of `image`.

    Raises:
        ValueError: neither or both of `target_size` and `ratios` are given, or the image has another rank.
        ImportError: SciPy is not installed.

    Example:
        >>> resize(np.zeros((8, 6, 3)), (4, 3)).shape
        (4, 3, 3)
        >>> resize(np.zeros((8, 6, 3)), ratios=2).shape
        (16, 12, 3)
    """
    from scipy import ndimage

    if (target_size is None) == (ratios is None):
        raise ValueError("resize needs either target_size or ratios.")
    image = np.asarray(image)
    if image.ndim not in (3, 4):
        raise ValueError(f"resize needs [H, W, C] or [N, H, W, C], not rank {image.ndim}.")
    size = image.shape[-3:-1]
    target: tuple[int, ...] | None = None
    if target_size is not None:
        target = tuple(checks.whole(size, "resize's target_size", 1) for size in _pair(target_size, "target_size"))
        factors = tuple(t / s for t, s in zip(target, size, strict=True))
    else:
        factors = tuple(checks.number(ratio, "resize's ratios", above=0) for ratio in _pair(ratios, "ratios"))
    if all(factor == 1 for factor in factors):
        return image
    zoom = (1,) * (image.ndim - 3) + (*factors, 1)
    resized = ndimage.zoom(image, zoom, **kwargs)
    return resized if target is None else resized[..., : target[0], : target[1], :]


def _pair(value: Any, what: str) -> tuple[Any, Any]:
    entries = (value, value) if np.ndim(value) == 0 else tuple(value)
    if len(entries) != 2:
        raise ValueError(f"resize's {what} is one number or (height, width), not {checks.shown(value)}.")
    return entries


@checked
def composite(
    background_image: np.ndarray,
    foreground_image: np.ndarray,
    foreground_width_ratio: float = 0.25,
    foreground_position: Sequence[float] = (0.0, 0.0),
) -> np.ndarray:
    """Pastes an image, resized to a square, onto another.

    Args:
        background_image: [H, W, C].
        foreground_image: [h, w, C].
        foreground_width_ratio: the side of the square, as a fraction of the background's width. 0 returns the
            background.
        foreground_position: (y, x) in [0, 1]: (0, 0) is the top left corner, (1, 1) the bottom right corner.

    Returns:
        [H, W, C], a copy of the background with the square.

    Raises:
        ValueError: the images have different numbers of channels, or the square is larger than the background.

    Example:
        >>> blended = composite(np.zeros((8, 8, 3)), np.ones((4, 4, 3)), 0.5, (1, 1))
        >>> float(blended[..., 0].sum()), float(blended[-1, -1, 0])
        (16.0, 1.0)
    """
    if background_image.ndim != 3 or foreground_image.ndim != 3:
        raise ValueError("composite takes two pictures [H, W, C].")
    if background_image.shape[-1] != foreground_image.shape[-1]:
        counts = f"{background_image.shape[-1]} and {foreground_image.shape[-1]}"
        raise ValueError(f"composite takes pictures of the same channels, not of {counts}.")
    if len(foreground_position) != 2 or not all(0 <= share <= 1 for share in foreground_position):
        raise ValueError(f"foreground_position is (y, x), each from 0 to 1, not {foreground_position}.")
    if foreground_width_ratio <= 0:
        return background_image
    height, width = background_image.shape[:2]
    side = int(foreground_width_ratio * width)
    if not 1 <= side <= height or side > width:
        raise ValueError(
            f"A foreground of {side} x {side} pixels does not fit on a background of {height} x {width}: change "
            "foreground_width_ratio."
        )
    small = resize(foreground_image, side)
    top = int(foreground_position[0] * (height - side))
    left = int(foreground_position[1] * (width - side))
    result = background_image.copy()
    result[top : top + side, left : left + side] = small
    return result


@checked
def soft_alpha_blend(image_with_alpha: np.ndarray, amount_background: float = 0.333, gamma: float = 2.2) -> np.ndarray:
    """Blends an RGBA image over a faint version of itself on white, in linear light.

    Args:
        image_with_alpha: [..., 4] in [0, 1].
        amount_background: opacity in [0, 1] of the faint version on white.
        gamma: exponent that converts the values to linear light.

    Returns:
        [..., 3] in [0, 1].

    Raises:
        ValueError: the last axis does not have four channels, or gamma is not positive.

    Example:
        >>> soft_alpha_blend(np.array([0.0, 0.0, 0.0, 1.0])).tolist()
        [0.0, 0.0, 0.0]
    """
    if image_with_alpha.shape[-1] != 4:
        raise ValueError(f"soft_alpha_blend needs RGBA, not {image_with_alpha.shape[-1]} channels.")
    if gamma <= 0:
        raise ValueError(f"gamma is a positive number, not {gamma}.")
    rgb, alpha = image_with_alpha[..., :3], image_with_alpha[..., 3:]
    background = amount_background * rgb + (1 - amount_background)
    linear = alpha * rgb**gamma + (1 - alpha) * background**gamma
    return linear ** (1 / gamma)
