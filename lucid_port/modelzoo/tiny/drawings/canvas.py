"""The primitives of drawings: random draws, coordinates and soft edges.

Coordinates run from -1 to 1 along the shorter side of the image, x to the right and y upward. "Ink" is the coverage of
each pixel: a tensor (pictures, height, width) in [0, 1].
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

# Range of the width of soft edges, in pixels.
SHARPEST, SOFTEST = 1.0, 2.5


@dataclass(frozen=True)
class Field:
    """The coordinates of all pixels relative to some shapes: a shape's center is (0, 0), and its size is 1.

    Attributes:
        x, y: (shapes, height, width).
        rim: (shapes, 1, 1), width of soft edges in units of the shape's size.
        owner: (shapes,) int64, index of the image of each shape.
    """

    x: Tensor
    y: Tensor
    rim: Tensor
    owner: Tensor

    @property
    def radius(self) -> Tensor:
        """Distance from the center."""
        return torch.hypot(self.x, self.y)

    @property
    def angle(self) -> Tensor:
        """Direction from the center, -pi to pi, counterclockwise from the right."""
        return torch.atan2(self.y, self.x)

    def inside(self, distance: Tensor) -> Tensor:
        """Returns ink where a distance is negative, with a soft edge."""
        return (0.5 - distance / self.rim).clamp(0, 1)

    def line(self, distance: Tensor, width: Tensor) -> Tensor:
        """Returns ink along the zeros of a distance, in a line of a width."""
        return self.inside(distance.abs() - width / 2)


class Canvas:
    """Images of one class, and the random numbers to draw them with.

    Args:
        count: number of images.
        size: (height, width) in pixels.
        random: generator on the CPU.
    """

    def __init__(self, count: int, size: tuple[int, int], random: torch.Generator) -> None:
        self.count, self.size, self.random = count, size, random
        height, width = size
        self.pixel = 2.0 / min(size)
        rows = (torch.arange(height) + 0.5 - height / 2) * -self.pixel
        columns = (torch.arange(width) + 0.5 - width / 2) * self.pixel
        self.y, self.x = (part[None] for part in torch.meshgrid(rows, columns, indexing="ij"))

    def uniform(self, low: float, high: float, count: int | None = None) -> Tensor:
        """Draws uniform numbers, (count, 1, 1). The default count is one per image."""
        draws = torch.rand(self.count if count is None else count, 1, 1, generator=self.random)
        return draws * (high - low) + low

    def log_uniform(self, low: float, high: float, count: int | None = None) -> Tensor:
        """Draws numbers with a uniform logarithm, (count, 1, 1)."""
        return torch.exp(self.uniform(math.log(low), math.log(high), count))

    def chance(self, probability: float, count: int | None = None) -> Tensor:
        """Draws booleans that are True with a probability, (count, 1, 1)."""
        return self.uniform(0, 1, count) < probability

    def integer(self, low: int, high: int, count: int | None = None) -> Tensor:
        """Draws integers from `low` to `high` (inclusive) as floats, (count, 1, 1)."""
        return torch.floor(self.uniform(low, high + 1, count)).clamp(max=high)

    def whole(self, unit: Tensor | float = 1.0, turn: float = math.pi) -> Field:
        """Returns coordinates of one shape per image. It fills the image, and is rotated and shifted at random.

        Args:
            unit: size of the shape.
            turn: largest rotation in either direction, in radians.
        """
        place = self.uniform(-0.8, 0.8), self.uniform(-0.8, 0.8)
        tile = torch.zeros(self.count, 1, 1, dtype=torch.bool)
        return self._field(torch.arange(self.count), torch.as_tensor(unit), turn, place, tile)

    def shapes(
        self, small: float = 0.3, large: float = 0.85, turn: float = math.pi, most: int = 4, tiled: float = 0.35
    ) -> Field:
        """Returns coordinates of one to `most` shapes per image at random positions, or of a lattice of small shapes.

        Args:
            small, large: range of the size of a single shape.
            turn: largest rotation in either direction, in radians.
            most: largest number of shapes.
            tiled: probability of a lattice.
        """
        tile = self.chance(tiled).flatten()
        counts = torch.where(tile, 1, self.integer(1, most).flatten().long())
        owner = torch.arange(self.count).repeat_interleave(counts)
        tile, crowd = (part[owner].reshape(-1, 1, 1) for part in (tile, counts))
        place_x, place_y, room = self._places(owner, crowd)
        alone = self.uniform(small, large, len(owner))
        unit = torch.where(crowd > 1, room * self.uniform(0.55, 1.0, len(owner)), alone)
        unit = torch.where(tile, self.uniform(0.16, 0.32, len(owner)), unit)
        free = (1.0 - 0.85 * unit).clamp(min=0.15)
        place_x, place_y = (torch.where(crowd > 1, part, part * free) for part in (place_x, place_y))
        return self._field(owner, unit, turn, (place_x, place_y), tile)

    def _places(self, owner: Tensor, crowd: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Draws positions: anywhere for the only shape of an image; on a ring for several shapes, to keep them apart.

        Returns:
            x, y, and the largest size at which neighbors do not touch, (shapes, 1, 1) each.
        """
        first = torch.searchsorted(owner, owner).reshape(-1, 1, 1)
        turns = (torch.arange(len(owner)).reshape(-1, 1, 1) - first) / crowd
        direction = 2 * math.pi * (self.uniform(0, 1)[owner] + turns)
        ring = self.uniform(0.45, 0.7)[owner]
        x = self.uniform(-0.25, 0.25)[owner] + ring * torch.cos(direction)
        y = self.uniform(-0.25, 0.25)[owner] + ring * torch.sin(direction)
        alone_x, alone_y = self.uniform(-1, 1, len(owner)), self.uniform(-1, 1, len(owner))
        room = ring * torch.sin(math.pi / crowd)
        return torch.where(crowd > 1, x, alone_x), torch.where(crowd > 1, y, alone_y), room

    def _field(self, owner: Tensor, unit: Tensor, turn: float, place: tuple[Tensor, Tensor], tile: Tensor) -> Field:
        many = len(owner)
        x, y = self.x - place[0], self.y - place[1]
        angle = self.uniform(-turn, turn, many)
        cos, sin = torch.cos(angle) / unit, torch.sin(angle) / unit
        x, y = cos * x + sin * y, cos * y - sin * x
        cell = self.uniform(2.3, 3.0, many)
        if bool(tile.any()):
            x, y = (torch.where(tile, torch.remainder(part + cell / 2, cell) - cell / 2, part) for part in (x, y))
        rim = self.uniform(SHARPEST, SOFTEST, many) * self.pixel / unit
        return Field(x, y, rim.expand(many, 1, 1), owner)

    def gather(self, field: Field, ink: Tensor) -> Tensor:
        """Reduces the ink of shapes to the ink of images by the maximum."""
        total = torch.zeros(self.count, *self.size)
        where = field.owner[:, None, None].expand_as(ink)
        return total.scatter_reduce_(0, where, ink, "amax")


def segment_distance(field: Field, start: tuple[float, float], end: tuple[float, float]) -> Tensor:
    """Returns the distance of all pixels from a line segment."""
    (ax, ay), (bx, by) = start, end
    dx, dy = bx - ax, by - ay
    along = (((field.x - ax) * dx + (field.y - ay) * dy) / (dx * dx + dy * dy)).clamp(0, 1)
    return torch.hypot(field.x - ax - along * dx, field.y - ay - along * dy)
