"""A renderer of texture coordinates in torch: a z-buffer over all triangles at once, for any device with float64.

Each triangle is a linear system: with the corners' (x, y, w) after the projection, where x and y are in pixels, as the
rows of a matrix M, the vector (X, Y, 1) M^-1 of a pixel's middle (X, Y) holds the barycentric coordinates divided by
the pixel's depth w. All of them are positive inside of the triangle. The interpolation is correct in perspective, and
triangles that reach behind the camera need no clipping. On a row of pixels, each condition is linear in X, so that the
covered pixels are a span.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch

__all__ = ["Fragments", "rasterize"]

AT_ONCE = 1 << 20
"""Rows of triangles, or pixels of rows, that are computed together."""

TOLERANCE = 1e-9
"""Barycentric coordinates down to minus this are inside, so that rounding opens no gap between two triangles."""


class Fragments(NamedTuple):
    """The visible triangle of each covered pixel.

    Attributes:
        pixels: int64 [P]: row * width + column, ascending.
        triangles: int64 [P]: number of the triangle.
        weights: float64 [P, 3]: barycentric coordinates.
    """

    pixels: torch.Tensor
    triangles: torch.Tensor
    weights: torch.Tensor


class _Candidates(NamedTuple):
    """Triangles that may be visible.

    Attributes:
        numbers: int64 [F]: their numbers in the mesh.
        inverse: float64 [F, 3, 3]: from (X, Y, 1) to barycentric coordinates divided by the depth.
        top, bottom: int64 [F]: first and last row.
    """

    numbers: torch.Tensor
    inverse: torch.Tensor
    top: torch.Tensor
    bottom: torch.Tensor


class _Spans(NamedTuple):
    """Runs of pixels of a row that a triangle covers.

    Attributes:
        rows: int64 [S]: index of the triangle among the candidates.
        start: int64 [S]: number of the first pixel, row * width + column.
        length: int64 [S]: number of pixels.
        inverse_depth: float64 [S]: 1 / depth at the middle of the first pixel.
        slope: float64 [S]: difference of 1 / depth from pixel to pixel.
    """

    rows: torch.Tensor
    start: torch.Tensor
    length: torch.Tensor
    inverse_depth: torch.Tensor
    slope: torch.Tensor


def rasterize(
    clip: torch.Tensor, triangles: torch.Tensor, width: int, height: int, near: float, far: float
) -> Fragments:
    """Finds the nearest triangle at the middle of each pixel. Both sides of triangles are visible.

    Args:
        clip: float64 [V, 4], positions in clip space, whose w is the depth.
        triangles: int64 [F, 3].
        width, height: Size of the picture in pixels.
        near, far: Limits of the depth.
    """
    chosen = _candidates(clip, triangles, width, height, near, far)
    none = len(chosen.numbers)
    best = torch.full((width * height,), float("inf"), dtype=torch.float64, device=clip.device)
    owner = torch.full((width * height,), none, dtype=torch.int64, device=clip.device)
    for spans in _spans(chosen, width, near, far):
        for part in _parts(spans.length):
            pixels, rows, depth = _pixels(_Spans(*(one[part] for one in spans)))
            nearest = best.scatter_reduce(0, pixels, depth, "amin")
            owner[nearest < best] = none
            first = depth == nearest[pixels]  # the lowest number wins among equal depths, in any order of the parts
            owner.scatter_reduce_(0, pixels[first], rows[first], "amin")
            best = nearest
    found = (owner < none).nonzero()[:, 0]
    inverse = chosen.inverse[owner[found]]
    x, y = (found % width + 0.5)[:, None], (found // width + 0.5)[:, None]
    shares = x * inverse[:, 0] + y * inverse[:, 1] + inverse[:, 2]
    return Fragments(found, chosen.numbers[owner[found]], shares / shares.sum(1, keepdim=True))


def _candidates(
    clip: torch.Tensor, triangles: torch.Tensor, width: int, height: int, near: float, far: float
) -> _Candidates:
    scale = torch.tensor([width / 2, -height / 2], dtype=clip.dtype, device=clip.device)
    middle = torch.tensor([width / 2, height / 2], dtype=clip.dtype, device=clip.device)
    depth = clip[:, 3:]
    corners = torch.cat([clip[:, :2] * scale + depth * middle, depth], 1)[triangles]
    low, high = corners[..., 2].amin(1), corners[..., 2].amax(1)
    adjugate = torch.stack([torch.linalg.cross(corners[:, (k + 1) % 3], corners[:, (k + 2) % 3]) for k in range(3)], -1)
    volume = (corners[:, 0] * adjugate[..., 0]).sum(1)
    lines = corners[..., 1] / corners[..., 2].clamp(min=near)
    crosses = low < near  # parts of these have no place on the screen: all rows are tried
    top = torch.where(crosses, 0.0, (lines.amin(1) - 0.5).floor().clamp(min=0))
    bottom = torch.where(crosses, height - 1.0, (lines.amax(1) - 0.5).ceil().clamp(max=height - 1))
    kept = (high >= near) & (low <= far) & (volume != 0) & (top <= bottom)
    inverse = adjugate[kept] / volume[kept, None, None]
    return _Candidates(kept.nonzero()[:, 0], inverse, top[kept].long(), bottom[kept].long())


def _parts(counts: torch.Tensor) -> list[slice]:
    """Splits items into runs whose counts add up to about `AT_ONCE`; a run has one item more at most."""
    runs = (counts.cumsum(0) - counts) // AT_ONCE
    ends = torch.unique_consecutive(runs, return_counts=True)[1].cumsum(0).tolist()
    return [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]


def _repeated(counts: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the index of each item as often as its count, and the positions 0, 1, ... within each item."""
    items = torch.repeat_interleave(torch.arange(len(counts), device=counts.device), counts)
    starts = counts.cumsum(0) - counts
    return items, torch.arange(len(items), device=counts.device) - starts[items]


def _spans(chosen: _Candidates, width: int, near: float, far: float) -> Iterator[_Spans]:
    """Yields the spans of all candidates, part by part."""
    total = chosen.inverse.sum(2)
    inside = chosen.inverse.movedim(2, 1) + TOLERANCE * total[:, None]
    one = torch.tensor([0.0, 0.0, 1.0], dtype=total.dtype, device=total.device)
    limits = torch.stack([total - one / far, one / near - total], 1)
    conditions = torch.cat([inside, limits], 1)  # [F, 5, 3]: each (X, Y, 1) product is at least 0 inside
    for part in _parts(chosen.bottom - chosen.top + 1):
        items, offset = _repeated((chosen.bottom - chosen.top + 1)[part])
        rows = items + part.start
        y = chosen.top[rows] + offset
        slope = conditions[rows, :, 0]
        rest = torch.addcmul(conditions[rows, :, 2], conditions[rows, :, 1], (y + 0.5)[:, None])
        crossing = -rest / slope
        first = torch.where(slope > 0, crossing, -torch.inf).amax(1)
        last = torch.where(slope < 0, crossing, torch.inf).amin(1)
        left = (first - 0.5).ceil().clamp(0, width).long()
        right = (last - 0.5).floor().clamp(-1, width - 1).long()
        count = (right - left + 1).clamp(min=0) * ((slope != 0) | (rest >= 0)).all(1)
        kept = count.nonzero()[:, 0]
        rows, left, y = rows[kept], left[kept], y[kept]
        sums = total[rows]
        inverse_depth = sums[:, 0] * (left + 0.5) + sums[:, 1] * (y + 0.5) + sums[:, 2]
        yield _Spans(rows, y * width + left, count[kept], inverse_depth, sums[:, 0])


def _pixels(spans: _Spans) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Returns the pixels of spans: their numbers, the indices of their triangles, and their depths."""
    items, offset = _repeated(spans.length)
    depth = 1 / torch.addcmul(spans.inverse_depth[items], spans.slope[items], offset.to(spans.slope.dtype))
    return spans.start[items] + offset, spans.rows[items], depth
