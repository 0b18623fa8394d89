"""Legacy bilinear resizing of tensors of any rank."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from converters import checks
from converters.signatures import checked
from lucid_port.optvis.resampling import resize_axis_legacy

__all__ = ["resize_bilinear_nd"]


@checked
def resize_bilinear_nd(t: torch.Tensor, target_shape: Sequence[int]) -> torch.Tensor:
    """Resizes a tensor along all axes by TensorFlow's legacy bilinear rule.

    Args:
        t: Tensor of any rank.
        target_shape: New size of each axis, in the axis order of `t`.

    Raises:
        TypeError, ValueError: The ranks differ, or a size is not a positive integer.

    Example:
        >>> resize_bilinear_nd(torch.tensor([0.0, 2.0]), (4,))
        tensor([0., 1., 2., 2.])
    """
    sizes = checks.sizes(target_shape, "resize_bilinear_nd's target_shape")
    if t.ndim != len(sizes):
        raise ValueError(f"A tensor of rank {t.ndim} cannot be resized to {sizes}.")
    for axis, size in enumerate(sizes):
        t = resize_axis_legacy(t, axis, size)
    return t
