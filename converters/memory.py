"""Out-of-memory errors of all devices, which torch raises under several types and texts."""

from __future__ import annotations

import torch

__all__ = ["is_out_of_memory"]

_TEXTS = (
    "DefaultCPUAllocator",
    "can't allocate memory",
    "not enough memory",
    "out of memory",
    "bad_alloc",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUSOLVER_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "CUFFT_ALLOC_FAILED",
)

_ONEDNN = ("could not create a primitive", "could not execute a primitive")
"""Whole texts of oneDNN: that of an unsupported operation goes on with "descriptor"."""


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error is an out-of-memory error of any device.

    Example:
        >>> is_out_of_memory(RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate(handle)"))
        True
        >>> is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
        False
    """
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    if not isinstance(error, RuntimeError):
        return False
    return str(error) in _ONEDNN or any(text in str(error) for text in _TEXTS)
