"""Drawings of patterns that fill the image: stripes, grids and lattices."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lucid_port.modelzoo.tiny.drawings.canvas import Canvas, Field
from lucid_port.modelzoo.tiny.drawings.registry import ink

# Largest deviation of stripes from the orientation of their class, in radians. Classes are 45 degrees apart.
LEANING = math.radians(10)


def wave(canvas: Canvas, phase: Tensor) -> Tensor:
    """Returns a periodic profile in [0, 1], from a sine to hard stripes of unequal width."""
    sharpness = canvas.log_uniform(0.6, 4.0)
    threshold = canvas.uniform(-0.35, 0.35)
    return ((torch.cos(phase) - threshold) * sharpness * 0.5 + 0.5).clamp(0, 1)


def stripes(canvas: Canvas, direction: float) -> Tensor:
    """Draws parallel stripes, over the whole image or in a round window.

    Args:
        canvas: the images.
        direction: direction along the stripes, counterclockwise from the horizontal, in radians.
    """
    angle = direction + canvas.uniform(-LEANING, LEANING)
    across = canvas.y * torch.cos(angle) - canvas.x * torch.sin(angle)
    cycles = canvas.log_uniform(1.5, 7.0)
    pattern = wave(canvas, 2 * math.pi * (cycles * across + canvas.uniform(0, 1)))
    centre_x, centre_y = canvas.uniform(-0.4, 0.4), canvas.uniform(-0.4, 0.4)
    window = torch.hypot(canvas.x - centre_x, canvas.y - centre_y) - canvas.uniform(0.5, 1.0)
    window = (0.5 - window / canvas.uniform(0.03, 0.4)).clamp(0, 1)
    return torch.where(canvas.chance(0.35), pattern * window, pattern)


@ink("horizontal stripes")
def horizontal(canvas: Canvas) -> Tensor:
    return stripes(canvas, 0.0)


@ink("rising stripes")
def rising(canvas: Canvas) -> Tensor:
    return stripes(canvas, math.pi / 4)


@ink("vertical stripes")
def vertical(canvas: Canvas) -> Tensor:
    return stripes(canvas, math.pi / 2)


@ink("falling stripes")
def falling(canvas: Canvas) -> Tensor:
    return stripes(canvas, -math.pi / 4)


@ink("plaid")
def plaid(canvas: Canvas) -> Tensor:
    """Two crossing sets of stripes, with double ink at the crossings."""
    field = canvas.whole(1 / canvas.log_uniform(1.5, 4.5))
    one = wave(canvas, 2 * math.pi * field.x)
    other = wave(canvas, 2 * math.pi * field.y * canvas.uniform(0.75, 1.3))
    return (one + other) / 2


@ink("checks")
def checks(canvas: Canvas) -> Tensor:
    field = canvas.whole(1 / canvas.log_uniform(1.5, 5.0))
    product = torch.sin(math.pi * field.x) * torch.sin(math.pi * field.y)
    return (product / (field.rim * 2.5) + 0.5).clamp(0, 1)


@ink("bricks")
def bricks(canvas: Canvas) -> Tensor:
    """Rows of bricks, each shifted by half a brick. The joints are ink."""
    field = canvas.whole(1 / canvas.log_uniform(1.8, 4.5), turn=math.radians(15))
    length, joint = canvas.uniform(1.7, 2.6), canvas.uniform(0.14, 0.3)
    row = torch.floor(field.y)
    bed = _from_line(field.y, torch.ones(()))
    head = _from_line(field.x + length / 2 * torch.remainder(row, 2), length)
    return field.line(torch.minimum(bed, head), joint)


def _from_line(x: Tensor, period: Tensor) -> Tensor:
    """Returns the distance from the nearest multiple of a period."""
    rest = torch.remainder(x, period)
    return torch.minimum(rest, period - rest)


@ink("honeycomb")
def honeycomb(canvas: Canvas) -> Tensor:
    """The edges of a hexagonal grid."""
    field = canvas.whole(1 / canvas.log_uniform(1.6, 4.5))
    rows, columns = math.sqrt(3.0), 1.0
    near = torch.stack([_cell_distance(field, 0.0, columns, rows), _cell_distance(field, 0.5, columns, rows)]).amin(0)
    return field.line(near, canvas.uniform(0.12, 0.26))


def _cell_distance(field: Field, shift: float, columns: float, rows: float) -> Tensor:
    """Returns the distance from the edge of hexagons on a rectangular lattice: 9 outside of all hexagons.

    The honeycomb consists of two of these lattices, shifted against each other.
    """
    x = torch.remainder(field.x + shift * columns, columns) - columns / 2
    y = torch.remainder(field.y + shift * rows, rows) - rows / 2
    inside = columns / 2 - torch.maximum(x.abs(), x.abs() * 0.5 + y.abs() * (math.sqrt(3.0) / 2))
    return torch.where(inside >= 0, inside, torch.full_like(inside, 9.0))


@ink("dots")
def dots(canvas: Canvas) -> Tensor:
    """Round dots on a square or a triangular lattice."""
    field = canvas.whole(1 / canvas.log_uniform(1.4, 4.5))
    stagger = torch.where(canvas.chance(0.5), 0.5, 0.0)
    y = torch.remainder(field.y, 1.0) - 0.5
    x = torch.remainder(field.x + stagger * torch.remainder(torch.floor(field.y), 2), 1.0) - 0.5
    return field.inside(torch.hypot(x, y) - canvas.uniform(0.2, 0.36))


@ink("zigzag")
def zigzag(canvas: Canvas) -> Tensor:
    """Parallel lines with sharp corners."""
    field = canvas.whole(1 / canvas.log_uniform(1.2, 3.5))
    period = canvas.uniform(0.8, 1.6)
    triangle = _from_line(field.x, period) * canvas.uniform(1.0, 1.8)
    return wave(canvas, 2 * math.pi * (field.y + triangle) * canvas.uniform(0.9, 1.5))


@ink("high-low frequency")
def high_low(canvas: Canvas) -> Tensor:
    """Fine texture on one side of an edge, coarse on the other."""
    field = canvas.whole()
    side = (field.x / canvas.uniform(0.02, 0.3) + 0.5).clamp(0, 1)
    fine = _texture(canvas, 9.0, 14.0)
    coarse = _texture(canvas, 0.4, 1.4)
    return fine * side + coarse * (1 - side)


def _texture(canvas: Canvas, low: float, high: float) -> Tensor:
    """Returns stripes, or the product of two sets of stripes, of `low` to `high` cycles per unit length."""
    field = canvas.whole(1 / canvas.log_uniform(low, high))
    one, other = (torch.cos(2 * math.pi * part) for part in (field.x, field.y))
    mixed = torch.where(canvas.chance(0.5), one, one * other)
    return 0.5 + 0.5 * mixed
