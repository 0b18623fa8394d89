"""The training data of TinyInceptionV1: drawings of patterns, shapes, letters and colors.

Each class is a small function, registered by name. `draw` draws images of given classes with random colors, sizes,
positions, backgrounds and noise. The same generator state gives the same images.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lucid_port.modelzoo.tiny.drawings import colours, letters, patterns, shapes
from lucid_port.modelzoo.tiny.drawings.canvas import Canvas
from lucid_port.modelzoo.tiny.drawings.registry import INKS, PAINTS

__all__ = ["CLASSES", "INKS", "PAINTS", "draw", "draw_block"]

# Importing these modules registers their drawings.
_MODULES = (colours, letters, patterns, shapes)

CLASSES: tuple[str, ...] = tuple(sorted((*INKS, *PAINTS)))
"""Names of the classes in alphabetical order: the order of the network's outputs."""

# Least Euclidean distance of ink and background in RGB. It makes drawings visible at a glance.
LEAST_CONTRAST = 0.45
MOST_NOISE = 0.12


def draw(labels: Tensor, size: tuple[int, int], random: torch.Generator, noise: float = MOST_NOISE) -> Tensor:
    """Draws one image for each label.

    Args:
        labels: (N,) int64, indices into `CLASSES`.
        size: (height, width) in pixels.
        random: generator on the CPU.
        noise: largest standard deviation of the pixel noise.

    Returns:
        (N, 3, H, W) float32 in [0, 1], RGB.
    """
    pictures = torch.empty(len(labels), 3, *size)
    for label in labels.unique().tolist():
        chosen = labels == label
        pictures[chosen] = _draw_class(CLASSES[label], Canvas(int(chosen.sum()), size, random))
    return _add_noise(pictures, random, noise)


def draw_block(count: int, size: tuple[int, int], seed: int, noise: float = MOST_NOISE) -> tuple[Tensor, Tensor]:
    """Draws `count` images with balanced classes, in random order.

    Returns:
        Images (count, 3, H, W) in [0, 1], and labels (count,).
    """
    random = torch.Generator().manual_seed(seed)
    labels = (torch.arange(count) % len(CLASSES))[torch.randperm(count, generator=random)]
    return draw(labels, size, random, noise), labels


def _draw_class(name: str, canvas: Canvas) -> Tensor:
    if name in PAINTS:
        return PAINTS[name](canvas)
    return _colour(INKS[name](canvas), canvas)


def _colour(drawn: Tensor, canvas: Canvas) -> Tensor:
    """Colors ink and background with two random, slightly uneven colors."""
    ink, ground = _two_colours(canvas)
    drawn = drawn[:, None]
    return (ink + _unevenness(canvas)) * drawn + (ground + _unevenness(canvas)) * (1 - drawn)


def _two_colours(canvas: Canvas) -> tuple[Tensor, Tensor]:
    """Draws pairs of colors (N, 3, 1, 1): of eight pairs, the first that has `LEAST_CONTRAST`, or else the first."""
    pairs = torch.rand(8, 2, canvas.count, 3, generator=canvas.random)
    apart = (pairs[:, 0] - pairs[:, 1]).norm(dim=-1)
    first = (apart >= LEAST_CONTRAST).float().argmax(0)
    chosen = pairs[first, :, torch.arange(canvas.count)]
    return chosen[:, 0, :, None, None], chosen[:, 1, :, None, None]


def _unevenness(canvas: Canvas) -> Tensor:
    """Draws smooth variations of brightness and color: random 4 x 4 images, enlarged."""
    coarse = torch.randn(canvas.count, 3, 4, 4, generator=canvas.random)
    amount = canvas.uniform(0, 0.09)[:, None]
    return F.interpolate(coarse * amount, size=canvas.size, mode="bilinear", align_corners=False)


def _add_noise(pictures: Tensor, random: torch.Generator, most: float) -> Tensor:
    """Adds independent noise to all pixels and channels, with a random strength per image."""
    strength = torch.rand(len(pictures), 1, 1, 1, generator=random) * most
    return pictures.add_(torch.randn(pictures.shape, generator=random).mul_(strength)).clamp_(0, 1)
