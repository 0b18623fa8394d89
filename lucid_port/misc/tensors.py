"""Tensors from arrays, and copies of arrays on a device, made without waiting for the device."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import fx

__all__ = ["ArrayLike", "as_tensor", "constant", "is_traced", "to_device"]

ArrayLike: TypeAlias = np.ndarray | torch.Tensor | Sequence[Any]
"""An array, a tensor or a nested list of numbers."""

Make = Callable[..., np.ndarray]


def as_tensor(array: ArrayLike | float, dtype: torch.dtype | None = None) -> torch.Tensor:
    """Converts an array, tensor or nested list to a tensor, which may share memory with it.

    Unlike `torch.from_numpy`, this function also takes arrays with negative strides or another byte order, and
    copies read-only arrays.

    Raises:
        TypeError: an array holds texts, objects or dates.

    Example:
        >>> as_tensor(np.arange(3, dtype=">f4")[::-1])
        tensor([2., 1., 0.])
    """
    if not isinstance(array, np.ndarray):
        return torch.as_tensor(array, dtype=dtype)
    if array.dtype.kind not in "biufc":
        raise TypeError(f"An array of numbers is needed, not one of {array.dtype}.")
    native = array.astype(array.dtype.newbyteorder("="), copy=False)
    needs_copy = not native.flags.writeable or any(stride < 0 for stride in native.strides)
    tensor = torch.from_numpy(native.copy() if needs_copy else native)
    return tensor if dtype is None else tensor.to(dtype)


def is_traced(value: object) -> bool:
    """Returns whether a tracer (`torch.fx`, `torch.jit.trace`) records what is computed of a value.

    Checks of values and shapes would end up in the traced graph, or fail.
    """
    return isinstance(value, fx.Proxy) or bool(torch.jit.is_tracing())


def to_device(array: np.ndarray, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Copies an array to a device.

    Copies to a GPU use pinned memory: a copy from pageable memory would wait for all work that is queued on the GPU.
    """
    tensor = as_tensor(array).to(dtype)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor.to(device)


@functools.lru_cache(maxsize=64)
def constant(make: Make, arguments: tuple[Any, ...], device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Returns `make(*arguments)` on a device. The tensor is cached and shared: do not write to it."""
    with torch.inference_mode(False):  # inference tensors cannot be saved for a later backward pass
        return as_tensor(np.ascontiguousarray(make(*arguments))).to(device, dtype)
