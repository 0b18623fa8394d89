"""Copies of host arrays on a device, made without waiting for the device."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch

__all__ = ["ArrayLike", "constant", "to_device"]

ArrayLike: TypeAlias = np.ndarray | torch.Tensor | Sequence[Any]
"""An array, a tensor or a nested list of numbers."""

Make = Callable[..., np.ndarray]


def to_device(array: np.ndarray, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Copies an array to a device.

    Copies to a GPU use pinned memory: a copy from pageable memory would wait for all work that is queued on the GPU.
    """
    tensor = torch.from_numpy(array).to(dtype)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


@functools.lru_cache(maxsize=64)
def constant(make: Make, arguments: tuple[Any, ...], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Returns `make(*arguments)` on a device. The tensor is cached and shared: do not write to it."""
    with torch.inference_mode(False):  # inference tensors cannot be saved for a later backward pass
        return torch.from_numpy(np.ascontiguousarray(make(*arguments))).to(device, dtype)
