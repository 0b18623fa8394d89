"""Resizing and compositing of pictures as arrays ([H, W, C] or [N, H, W, C])."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lucid_port.misc import checks

__all__ = ["composite", "resize", "soft_alpha_blend"]


def resize(
    image: np.ndarray,
    target_size: int | Sequence[int] | None = None,
    ratios: float | Sequence[float] | None = None,
    **kwargs: Any,
) -> np.ndarray:
    """Resize by spline interpolation (order 3, so values may overshoot [0, 1]).

    Args:
        image: [H, W, C] or [N, H, W, C].
        target_size: height and width, or one number for both.
        ratios: factors for height and width instead, or one number for both.
        **kwargs: for `scipy.ndimage.zoom`, such as `order=1`.

    Raises:
        ValueError: neither or both sizes were given, or the image has another rank.
        ImportError: SciPy is not installed.
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


def composite(
    background_image: np.ndarray,
    foreground_image: np.ndarray,
    foreground_width_ratio: float = 0.25,
    foreground_position: Sequence[float] = (0.0, 0.0),
) -> np.ndarray:
    """Put a picture, resized to a square, on another.

    Args:
        background_image: [H, W, C].
        foreground_image: [h, w, C].
        foreground_width_ratio: its side as a share of the background's width; 0 changes nothing.
        foreground_position: (y, x), shares of the free space above and to the left.

    Raises:
        ValueError: the pictures have different channels, or the foreground does not lie within the background.
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
            f"A foreground of {side} x {side} pixels does not go on a background of {height} x {width}: change "
            "foreground_width_ratio."
        )
    small = resize(foreground_image, side)
    top = int(foreground_position[0] * (height - side))
    left = int(foreground_position[1] * (width - side))
    result = background_image.copy()
    result[top : top + side, left : left + side] = small
    return result


def soft_alpha_blend(image_with_alpha: np.ndarray, amount_background: float = 0.333, gamma: float = 2.2) -> np.ndarray:
    """Blend RGBA over a faint version of itself on white, in linear light.

    Args:
        image_with_alpha: [..., 4] in [0, 1].
        amount_background: how much of the picture the background keeps.
        gamma: of the display.

    Returns:
        [..., 3].

    Raises:
        ValueError: there are not four channels.
    """
    if image_with_alpha.shape[-1] != 4:
        raise ValueError(f"soft_alpha_blend needs RGBA, not {image_with_alpha.shape[-1]} channels.")
    rgb, alpha = image_with_alpha[..., :3], image_with_alpha[..., 3:]
    background = amount_background * rgb + (1 - amount_background)
    linear = alpha * rgb**gamma + (1 - alpha) * background**gamma
    return linear ** (1 / gamma)
