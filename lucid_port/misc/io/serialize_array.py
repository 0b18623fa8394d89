"""Arrays as encoded pictures."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from PIL import Image

__all__ = ["normalize_array", "serialize_array", "to_array"]

Domain = tuple[float, float]


def to_array(thing: Any) -> np.ndarray:
    """An array from an array, a tensor or a nested list."""
    return thing.detach().cpu().numpy() if isinstance(thing, torch.Tensor) else np.asarray(thing)


def normalize_array(array: Any, domain: Domain | None = (0, 1)) -> np.ndarray:
    """A picture as bytes 0 to 255, truncated (not rounded) as in Lucid.

    Args:
        array: numbers of up to three axes other than 1. Floats are mapped from `domain`;
            integers are cut to it and kept.
        domain: range of values; None takes the array's own.

    Raises:
        ValueError: the array has too many axes, is not numeric, or contains NaN.
    """
    values = np.squeeze(to_array(array))
    if values.ndim > 3 or not np.issubdtype(values.dtype, np.number):
        raise ValueError(f"A picture has at most 3 axes of numbers, not {values.shape} {values.dtype}.")
    if np.isnan(values).any():
        raise ValueError("The picture contains NaN.")
    low, high = (values.min(), values.max()) if domain is None else domain
    values = values.clip(low, high)
    if np.issubdtype(values.dtype, np.inexact) and high != low:
        values = (values - low) * (255 / (high - low))
    return values.clip(0, 255).astype(np.uint8)


def serialize_array(array: Any, domain: Domain | None = (0, 1), fmt: str = "png", quality: int = 70) -> bytes:
    """A picture ([H, W], [H, W, 1], [H, W, 3] or [H, W, 4]) in a file format.

    Args:
        array: the picture.
        domain: range of values; None takes the array's own.
        fmt: png, jpg, jpeg or webp.
        quality: of lossy formats.
    """
    picture = Image.fromarray(normalize_array(array, domain))
    name = {"jpg": "jpeg"}.get(fmt.lower(), fmt.lower())
    if name == "jpeg" and picture.mode == "RGBA":
        picture = picture.convert("RGB")
    buffer = io.BytesIO()
    picture.save(buffer, name, quality=quality)
    return buffer.getvalue()
