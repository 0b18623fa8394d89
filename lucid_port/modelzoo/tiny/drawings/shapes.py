"""Drawings of shapes: a few at random positions, or a lattice of small ones."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lucid_port.modelzoo.tiny.drawings.canvas import Canvas, Field
from lucid_port.modelzoo.tiny.drawings.registry import ink

UPRIGHT = math.radians(15)


def filled_or_outlined(canvas: Canvas, field: Field, distance: Tensor) -> Tensor:
    """Returns ink inside a shape or along its edge, at random."""
    many = len(field.owner)
    outline = field.line(distance, canvas.uniform(0.16, 0.32, many))
    return torch.where(canvas.chance(0.4, many), outline, field.inside(distance))


@ink("curves")
def curves(canvas: Canvas) -> Tensor:
    """Arcs of at most a third of a circle, single or in parallel pairs."""
    field = canvas.shapes(0.5, 1.1, tiled=0.25)
    many = len(field.owner)
    x = field.x + 1.0  # moves the arc to the center of the shape
    radius = torch.hypot(x, field.y)
    end = field.inside((torch.atan2(field.y, x).abs() - canvas.uniform(0.6, 1.1, many)) * radius)
    width = canvas.uniform(0.14, 0.3, many)
    arc = field.line(radius - 1, width)
    inner = field.line(radius - 1 + 2.2 * width, width)
    return canvas.gather(field, end * torch.where(canvas.chance(0.5, many), torch.maximum(arc, inner), arc))


@ink("circles")
def circles(canvas: Canvas) -> Tensor:
    field = canvas.shapes()
    return canvas.gather(field, field.line(field.radius - 0.9, canvas.uniform(0.16, 0.34, len(field.owner))))


@ink("spiral")
def spiral(canvas: Canvas) -> Tensor:
    field = canvas.shapes(0.6, 1.2, most=2, tiled=0.2)
    many = len(field.owner)
    hand = torch.where(canvas.chance(0.5, many), 1.0, -1.0)
    phase = 2 * math.pi * canvas.uniform(1.7, 3.2, many) * field.radius + hand * field.angle
    arm = (torch.cos(phase) * canvas.uniform(1.2, 3.0, many) + 0.5).clamp(0, 1)
    return canvas.gather(field, arm * field.inside(field.radius - 1))


@ink("rays")
def rays(canvas: Canvas) -> Tensor:
    """Beams from a point to the border of the image or of a disc."""
    field = canvas.shapes(0.6, 1.2, most=1, tiled=0.2)
    many = len(field.owner)
    beams = torch.cos(field.angle * canvas.integer(6, 12, many))
    fade = field.radius / field.rim / 3  # beams are narrower than a pixel near the center
    beams = (beams * torch.minimum(fade, torch.full_like(fade, 3.0)) + 0.5).clamp(0, 1)
    reach = torch.where(canvas.chance(0.5, many), 1.0, 9.0)
    return canvas.gather(field, beams * field.inside(field.radius - reach))


@ink("star")
def star(canvas: Canvas) -> Tensor:
    """A filled star with five points."""
    field = canvas.shapes()
    sector = 2 * math.pi / 5
    angle = torch.remainder(field.angle + math.pi / 2, sector) - sector / 2
    x, y = field.radius * torch.cos(angle), field.radius * torch.sin(angle).abs()
    inner = canvas.uniform(0.36, 0.46, len(field.owner))
    tip_x, tip_y = math.cos(sector / 2), math.sin(sector / 2)
    # An edge connects the notch (inner, 0) with the tip.
    length = torch.hypot(tip_x - inner, torch.full_like(inner, tip_y))
    return canvas.gather(field, field.inside(((x - inner) * tip_y - y * (tip_x - inner)) / length))


@ink("flower")
def flower(canvas: Canvas) -> Tensor:
    """Five to seven round petals around a hole."""
    field = canvas.shapes()
    many = len(field.owner)
    petals = torch.cos(field.angle * canvas.integer(5, 7, many)).abs()
    edge = field.radius - (0.35 + 0.65 * petals.sqrt())
    hole = canvas.uniform(0.16, 0.28, many) - field.radius
    return canvas.gather(field, field.inside(torch.maximum(edge * 0.6, hole)))


@ink("cross")
def cross(canvas: Canvas) -> Tensor:
    field = canvas.shapes()
    x, y = field.x.abs(), field.y.abs()
    bar = torch.minimum(x, y) - canvas.uniform(0.16, 0.3, len(field.owner))
    return canvas.gather(field, field.inside(torch.maximum(bar, torch.maximum(x, y) - 1)))


@ink("triangle")
def triangle(canvas: Canvas) -> Tensor:
    field = canvas.shapes()
    slope = math.sqrt(3.0) / 2
    distance = torch.maximum(field.x.abs() * slope + field.y * 0.5, -field.y) - 0.55
    return canvas.gather(field, filled_or_outlined(canvas, field, distance))


@ink("square")
def square(canvas: Canvas) -> Tensor:
    field = canvas.shapes()
    distance = torch.maximum(field.x.abs(), field.y.abs()) - 0.8
    return canvas.gather(field, filled_or_outlined(canvas, field, distance))


@ink("heart")
def heart(canvas: Canvas) -> Tensor:
    field = canvas.shapes(turn=UPRIGHT)
    x, y = field.x.abs() * 1.15, field.y * 1.15 - 0.1
    # Two discs, and a corner below them whose sides touch both.
    lobe = torch.hypot(x - 0.5, y - 0.35) - 0.58
    side = torch.maximum(x - y - 0.97, x + y - 0.85) * math.sqrt(0.5)
    return canvas.gather(field, field.inside(torch.minimum(lobe, torch.maximum(side, y - 0.5))))


@ink("face")
def face(canvas: Canvas) -> Tensor:
    """Two eyes and a smiling mouth in a disc or a ring."""
    field = canvas.shapes(0.45, 0.95, turn=UPRIGHT, most=2, tiled=0.25)
    many = len(field.owner)
    eyes = torch.hypot(field.x.abs() - 0.36, field.y - 0.28) - canvas.uniform(0.12, 0.18, many)
    mouth_radius = torch.hypot(field.x, field.y - 0.1)
    mouth = torch.maximum((mouth_radius - 0.6).abs() - canvas.uniform(0.07, 0.12, many), field.y + 0.2)
    features = field.inside(torch.minimum(eyes, mouth))
    ring = field.line(field.radius - 0.92, canvas.uniform(0.12, 0.2, many))
    disc = field.inside(field.radius - 1) - features
    outlined = torch.maximum(ring, features)
    return canvas.gather(field, torch.where(canvas.chance(0.5, many), outlined, disc).clamp(0, 1))
