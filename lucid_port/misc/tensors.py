"""Numbers from the host to where an image is, without waiting for the device."""

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
    """An array as a tensor. A copy from ordinary memory would wait until a GPU has done all its work so far."""
    tensor = torch.from_numpy(array).to(dtype)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


@functools.lru_cache(maxsize=64)
def constant(make: Make, arguments: tuple[Any, ...], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """What a function of plain arguments gives, copied to a device once. It is shared: do not write to it."""
    with torch.inference_mode(False):  # or it could take part in no gradient later
        return torch.from_numpy(np.ascontiguousarray(make(*arguments))).to(device, dtype)
