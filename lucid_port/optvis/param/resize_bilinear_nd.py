"""Legacy bilinear resizing of any axes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lucid_port.misc import checks
from lucid_port.optvis.resampling import resize_axis_legacy

__all__ = ["resize_bilinear_nd"]


def resize_bilinear_nd(t: torch.Tensor, target_shape: Sequence[int]) -> torch.Tensor:
    """Resize every axis that differs, by TensorFlow's legacy bilinear rule.

    Args:
        t: tensor of any rank.
        target_shape: new size of each axis, in the tensor's own order.

    Raises:
        TypeError, ValueError: the ranks differ, or a size is none.
    """
    sizes = checks.sizes(target_shape, "resize_bilinear_nd's target_shape")
    if t.ndim != len(sizes):
        raise ValueError(f"A tensor of rank {t.ndim} cannot be resized to {sizes}.")
    for axis, size in enumerate(sizes):
        t = resize_axis_legacy(t, axis, size)
    return t
