"""Orientation tuning of units, and the orientation of the stripes in an image.

An orientation is the direction along the stripes, counterclockwise from the horizontal, in radians modulo pi.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

WAVELENGTHS = (5.0, 7.0, 10.0, 14.0, 20.0)
ORIENTATIONS = 16
PHASES = 4


class Activations(Protocol):
    """A model whose layers can be read."""

    def activations(self, image: Tensor, names: Sequence[str]) -> dict[str, Tensor]: ...


def gratings(orientations: Tensor, wavelength: float, size: int = 64, phases: int = PHASES) -> Tensor:
    """Draws gray sine gratings.

    Args:
        orientations: (K,) in radians.
        wavelength: in pixels.
        size: height and width in pixels.
        phases: number of evenly spaced shifts of each grating.

    Returns:
        (K * phases, 3, size, size) in [0, 1], with the shifts of a grating next to each other.
    """
    axis = torch.arange(size) - (size - 1) / 2
    y, x = -axis[:, None], axis[None, :]
    angle = orientations.reshape(-1, 1, 1, 1)
    across = y * torch.cos(angle) - x * torch.sin(angle)
    shift = (torch.arange(phases) / phases).reshape(1, -1, 1, 1)
    waves = 0.5 + 0.4 * torch.cos(2 * math.pi * (across / wavelength + shift))
    return waves.reshape(-1, 1, size, size).expand(-1, 3, -1, -1)


def tuning_curves(model: Activations, layer: str, count: int = ORIENTATIONS) -> tuple[Tensor, Tensor]:
    """Measures the mean activation of each channel for gratings of all orientations, at its preferred wavelength.

    Returns:
        Orientations (count,), and mean activations (channels, count).
    """
    orientations = torch.arange(count) * (math.pi / count)
    curves = []
    for wavelength in WAVELENGTHS:
        with torch.no_grad():
            values = model.activations(gratings(orientations, wavelength), [layer])[layer].clamp(min=0)
        curves.append(values.mean((2, 3)).reshape(count, PHASES, -1).mean(1).T)
    stacked = torch.stack(curves)  # (wavelengths, channels, count)
    best = stacked.amax(2).argmax(0)
    return orientations, stacked[best, torch.arange(stacked.shape[1])]


def preferred(orientations: Tensor, curves: Tensor) -> tuple[Tensor, Tensor]:
    """Computes preferred orientation and selectivity from the vector sum of tuning curves.

    Args:
        orientations: (K,) in radians.
        curves: (..., K), not negative.

    Returns:
        Orientations (...) in [0, pi), and selectivities (...) from 0 (constant curve) to 1 (one orientation only).
    """
    # Angles are doubled because orientations are equal modulo pi.
    total = curves.sum(-1).clamp(min=1e-12)
    x = (curves * torch.cos(2 * orientations)).sum(-1) / total
    y = (curves * torch.sin(2 * orientations)).sum(-1) / total
    return torch.remainder(torch.atan2(y, x) / 2, math.pi), torch.hypot(x, y)


def spectrum_orientation(images: Tensor, least_cycles: float = 2.5) -> tuple[Tensor, Tensor]:
    """Estimates the orientation of the stripes in images from their power spectrum.

    Args:
        images: (N, 3, H, W), square.
        least_cycles: lowest frequency in cycles per image; lower ones are shading, not stripes.

    Returns:
        Orientations (N,) in [0, pi), and selectivities (N,) in [0, 1]; see `preferred`.
    """
    size = images.shape[-1]
    window = torch.hann_window(size, periodic=False)
    grey = images.mean(1)
    grey = (grey - grey.mean((1, 2), keepdim=True)) * window[:, None] * window[None, :]
    power = torch.fft.fft2(grey).abs().square()
    frequency = torch.fft.fftfreq(size) * size
    down, right = frequency[:, None].expand(size, size), frequency[None, :].expand(size, size)
    power = power * (torch.hypot(down, right) >= least_cycles)
    along = torch.atan2(-down, right) + math.pi / 2  # stripes are perpendicular to the wave vector
    return preferred(along.flatten(), power.flatten(1))


def orientation_distance(one: Tensor, other: Tensor) -> Tensor:
    """Returns the angle between orientations, from 0 to pi / 2."""
    turned = torch.remainder(one - other, math.pi)
    return torch.minimum(turned, math.pi - turned)
