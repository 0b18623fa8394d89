"""Synthetic stimuli: anti-aliased images of implicit functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from converters import checks
from converters.signatures import checked
from lucid_port.optvis.sampling import RandomSource

__all__ = ["rmin", "rounded_corner", "sample_binary_image"]

Energy = Callable[[np.ndarray, np.ndarray], np.ndarray]


@checked
def sample_binary_image(
    size: int,
    alias_factor: int = 10,
    color_a: Sequence[float] = (1, 1, 1),
    color_b: Sequence[float] = (0, 0, 0),
    boundary_line: bool = False,
    boundary_width: float = 1,
    blur_beyond_radius: float | None = None,
    fade_beyond_radius: float | None = None,
    fade_over_distance: float = 10,
    fade_color: Sequence[float] = (0.5, 0.5, 0.5),
    *,
    source: RandomSource | None = None,
) -> Callable[[Energy], np.ndarray]:
    """Returns a renderer of implicit functions as images with two regions. It also serves as a decorator.

    Args:
        size: width and height in pixels.
        alias_factor: number of samples per pixel, at random offsets within the pixel.
        color_a: RGB color in [0, 1] of the exterior (function >= 0).
        color_b: RGB color of the interior (function < 0), or of the boundary line.
        boundary_line: draw the boundary line instead of the regions.
        boundary_width: width of the line in pixels.
        blur_beyond_radius: distance in pixels from the center beyond which the image is blurred increasingly.
        fade_beyond_radius: distance in pixels from the center beyond which the image fades to `fade_color`.
        fade_over_distance: length of the fade in pixels.
        fade_color: RGB color at the end of the fade.
        source: random source of the offsets, which are drawn once, in this call.

    Returns:
        A function from an implicit function to its image, float64 [size, size, 3]. The implicit function takes
        coordinate arrays x (along columns) and y (along rows), 0 at pixel `size // 2`.

    Raises:
        TypeError, ValueError: a size is not a whole number from 1 on, or a color is not three finite numbers.

    Example:
        >>> @sample_binary_image(16, alias_factor=2)
        ... def disc(x, y):
        ...     return x**2 + y**2 - 25
        >>> disc.shape, disc[8, 8].tolist(), disc[0, 0].tolist()
        ((16, 16, 3), [0.0, 0.0, 0.0], [1.0, 1.0, 1.0])
    """
    size, alias_factor = checks.whole(size, "size", 1), checks.whole(alias_factor, "alias_factor", 1)
    checks.fits((size, size, 3), "The stimulus")
    checks.fits((alias_factor, 2), "alias_factor")
    for name, colour in (("color_a", color_a), ("color_b", color_b), ("fade_color", fade_color)):
        checks.finite_values(colour, name)
        if np.shape(colour) != (3,):
            raise ValueError(f"{name} is three numbers, red, green and blue, not {checks.shown(colour)}.")
    a, b, faded = (np.asarray(c, np.float64).reshape(1, 1, 3) for c in (color_a, color_b, fade_color))
    line = np.arange(size) - size // 2
    x, y = line[None, :], line[:, None]
    source = RandomSource() if source is None else source
    offsets = source.uniform("stimuli/offset", (alias_factor, 2)) - 0.5
    turns = 2 * np.pi * np.arange(16) / 16.0
    ring = boundary_width * np.stack([np.cos(turns), np.sin(turns)], 1)
    radius = np.sqrt(x**2 + y**2)
    spread: Any = 1.0
    if blur_beyond_radius is not None:
        spread = spread + np.maximum(0, radius - blur_beyond_radius)
    fade: Any = 0.0
    if fade_beyond_radius is not None:
        fade = np.clip((radius - fade_beyond_radius) / float(fade_over_distance), 0, 1)[..., None]

    def sampler(energy: Energy) -> np.ndarray:
        def outside(offset: np.ndarray) -> np.ndarray:
            values = energy(x + spread * offset[0], y + spread * offset[1])
            return np.broadcast_to(np.greater_equal(values, 0), radius.shape).astype(np.float64)

        def away_from_boundary(offset: np.ndarray) -> np.ndarray:
            share = np.mean([outside(offset + step) for step in ring], axis=0)
            return (2 * np.abs(share - 0.5) >= 0.99).astype(np.float64)

        sample = away_from_boundary if boundary_line else outside
        share = np.mean([sample(offset) for offset in offsets], axis=0)[..., None]
        picture = share * a + (1 - share) * b
        return (1 - fade) * picture + fade * faded

    return sampler


@checked
def rmin(X: np.ndarray, Y: np.ndarray, r: float) -> np.ndarray:
    """Elementwise minimum with a crease rounded by radius `r`, for smooth intersections of shapes.

    Example:
        >>> rmin(np.array([0.0, 3.0]), np.array([2.0, 0.0]), 1.0).tolist()
        [0.0, 0.0]
    """
    if not (checks.broadcasts(X.shape, Y.shape) or checks.broadcasts(Y.shape, X.shape)):
        raise ValueError(f"rmin's X and Y have one shape, not {X.shape} and {Y.shape}.")
    difference = np.asarray(X) - np.asarray(Y)
    arc = np.arcsin(np.clip(difference / np.maximum(r, 1e-6) / np.sqrt(2), -1, 1))
    rounded = Y + r * np.sin(np.pi / 4 + arc) - r
    return np.where(np.abs(difference) <= r, rounded, np.minimum(X, Y))


@checked
def rounded_corner(orientation: float, r: float, angular_width: float = 90, size: int = 224, **kwds: Any) -> np.ndarray:
    """Draws a corner rounded with radius `r`: a curve stimulus.

    Args:
        orientation: orientation of the curve in degrees.
        r: radius in pixels.
        angular_width: angle of the corner in degrees.
        size: width and height in pixels.
        **kwds: passed to `sample_binary_image`.

    Returns:
        float64 [size, size, 3].

    Example:
        >>> rounded_corner(0, 4, size=16, alias_factor=2).shape
        (16, 16, 3)
    """
    axis = np.deg2rad(orientation) + np.pi / 2
    half = np.deg2rad(angular_width) / 2
    shift = r * (1 - 1 / np.sqrt(2))

    def energy(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        first, second = (np.cos(angle) * x + np.sin(angle) * y + shift for angle in (axis - half, axis + half + np.pi))
        return 10 * rmin(first, second, r)

    return sample_binary_image(size, **kwds)(energy)
