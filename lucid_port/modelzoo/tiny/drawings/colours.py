"""Classes that are defined by their colors."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lucid_port.modelzoo.tiny.drawings.canvas import Canvas
from lucid_port.modelzoo.tiny.drawings.registry import paint


def hue_colours(hue: Tensor, saturation: Tensor, grey: Tensor) -> Tensor:
    """Converts hues in turns, (N, H, W), to RGB, (N, 3, H, W) in [0, 1]."""
    shifts = torch.tensor([0.0, 1 / 3, 2 / 3]).reshape(1, 3, 1, 1)
    wheel = torch.cos(2 * math.pi * (hue[:, None] - shifts))
    return (grey[:, None] + saturation[:, None] * wheel).clamp(0, 1)


@paint("colour contrast")
def colour_contrast(canvas: Canvas) -> Tensor:
    """A disc of one color on the opposite color. Both are equally bright."""
    field = canvas.shapes(0.35, 0.9, most=1, tiled=0.0)
    blurred = field.radius - 0.8 + canvas.uniform(0.0, 0.08) * torch.sin(3 * field.angle)
    disc = (0.5 - blurred / canvas.uniform(0.05, 0.4)).clamp(0, 1)
    edge = (0.5 + field.x / canvas.uniform(0.05, 0.4)).clamp(0, 1)
    mask = torch.where(canvas.chance(0.5), disc, edge)
    saturation = canvas.uniform(0.3, 0.5) * (1 - 2 * mask)  # negative saturation gives the opposite color
    return hue_colours(canvas.uniform(0, 1).expand_as(mask), saturation, canvas.uniform(0.4, 0.6).expand_as(mask))


@paint("rainbow")
def rainbow(canvas: Canvas) -> Tensor:
    """A gradient through all hues, along a line or around a point."""
    field = canvas.whole()
    hand = torch.where(canvas.chance(0.5), 1.0, -1.0)
    straight = field.x * canvas.uniform(0.5, 1.3)
    around = field.angle / (2 * math.pi)
    rings = field.radius * canvas.uniform(0.6, 1.3)
    kind = canvas.uniform(0, 1)
    turns = torch.where(kind < 0.5, straight, torch.where(kind < 0.75, around, rings))
    flat = torch.zeros_like(turns)
    return hue_colours(
        hand * turns + canvas.uniform(0, 1), canvas.uniform(0.3, 0.5) + flat, canvas.uniform(0.4, 0.6) + flat
    )
