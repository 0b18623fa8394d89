"""Marks: the rows and columns of the image on which each element of a value depends."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

Four: TypeAlias = tuple[Tensor, Tensor, Tensor, Tensor]
"""First row, minus the last row, first column, minus the last column: float32 of the value's shape, infinite for an
element that depends on no pixel. So each union of pixels is a minimum. Axes along which marks are equal have stride 0.
"""


@dataclass(frozen=True)
class Marks:
    """The pixels on which a value depends.

    Attributes:
        field: the marks.
        local: marks in which a sum or product with values that depend on the whole image does not count, such as the
            gates of squeeze-and-excitation: the positions of the local path, for strides.
        is_exact: whether all ops on the way have exact rules.
    """

    field: Four
    local: Four
    is_exact: bool = True

    def map(self, rule: Callable[[Tensor], Tensor]) -> Marks:
        """Applies a rule to all marks."""
        field = four(map(rule, self.field))
        return Marks(field, field if self.local is self.field else four(map(rule, self.local)), self.is_exact)


def four(tensors: Iterable[Tensor]) -> Four:
    """Returns four marks as a tuple."""
    first, second, third, fourth = tensors
    return first, second, third, fourth


def image_marks(image: Tensor) -> Marks:
    """Returns the marks of an image (N, C, H, W): each pixel depends on itself."""
    height, width = image.shape[-2:]
    rows, columns = torch.arange(height, dtype=torch.float32)[:, None], torch.arange(width, dtype=torch.float32)
    field = four(mark.expand(image.shape) for mark in (rows, -rows, columns, -columns))
    return Marks(field, field)


# Rules for single marks ----------------------------------------------------------------------------


def thin(mark: Tensor) -> Tensor:
    """Returns a view with size 1 along all axes on which the marks are equal."""
    for axis, (size, stride) in enumerate(zip(mark.shape, mark.stride(), strict=True)):
        if size > 1 and stride == 0:
            mark = mark.narrow(axis, 0, 1)
    return mark


def least(mark: Tensor, axes: Iterable[int], keep: bool = True) -> Tensor:
    """Returns the minimum over some axes."""
    axes = sorted({axis % max(mark.ndim, 1) for axis in axes})
    return thin(mark).amin(axes, keepdim=keep).expand(_reduced(mark.shape, axes, keep)) if axes else mark


def _reduced(shape: Sequence[int], axes: Sequence[int], keep: bool) -> list[int]:
    sizes = [1 if axis in axes else size for axis, size in enumerate(shape)]
    return sizes if keep else [size for axis, size in enumerate(sizes) if axis not in axes]


def union(marks: Sequence[Tensor], shape: Sequence[int]) -> Tensor:
    """Returns the minimum of marks that are broadcast to a shape."""
    found: Tensor | None = None
    for mark in marks:
        one = thin(mark.expand(shape))
        found = one if found is None else torch.minimum(found, one)
    assert found is not None
    return found.expand(shape)


def windows(mark: Tensor, axis: int, kernel: int, stride: int, dilation: int, before: int, size: int) -> Tensor:
    """Returns the minimum over windows along an axis.

    Args:
        mark: the marks.
        axis: the axis.
        kernel, stride, dilation: of the windows.
        before: padding before the first element; elements outside depend on nothing.
        size: number of windows.
    """
    if mark.shape[axis] > 1 and mark.stride(axis) == 0:  # each window contains an element
        return mark.narrow(axis, 0, 1).expand([*mark.shape[:axis], size, *mark.shape[axis + 1 :]])
    wide = thin(mark).movedim(axis, -1)
    if wide.shape[-1] != mark.shape[axis]:
        wide = wide.expand(*wide.shape[:-1], mark.shape[axis])
    reach = (size - 1) * stride + (kernel - 1) * dilation + 1
    padded = F.pad(wide, (before, reach - before - wide.shape[-1]), value=math.inf)
    found = torch.stack([padded[..., k * dilation :][..., : (size - 1) * stride + 1 : stride] for k in range(kernel)])
    return found.amin(0).movedim(-1, axis).expand([*mark.shape[:axis], size, *mark.shape[axis + 1 :]])


def spread(mark: Tensor, axis: int, reads: Tensor) -> Tensor:
    """Returns the minimum over the elements that a linear function along an axis reads.

    Args:
        mark: the marks.
        axis: the axis.
        reads: bool (outputs, inputs): whether an output reads an input.
    """
    wide = thin(mark).movedim(axis, -1)
    wide = wide.expand(*wide.shape[:-1], mark.shape[axis])
    cost = torch.zeros(reads.shape).masked_fill(~reads, math.inf)
    found = (wide[..., None, :] + cost).amin(-1).movedim(-1, axis)
    return found.expand([*mark.shape[:axis], len(reads), *mark.shape[axis + 1 :]])
