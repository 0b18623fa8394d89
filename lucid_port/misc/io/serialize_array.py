"""Encoding of arrays as image files."""

from __future__ import annotations

import io
from typing import Any, TypeAlias

import numpy as np
import torch
from PIL import Image, PngImagePlugin

from converters import checks
from lucid_port.misc.tensors import ArrayLike

__all__ = ["PICTURES", "Domain", "as_picture", "normalize_array", "serialize_array", "to_array"]

Domain: TypeAlias = tuple[float, float]
"""(low, high): the values of black and white."""

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
"""File extensions of images."""

METADATA_KEY = "lucid_port"
"""Keyword of the metadata text in a PNG file. JPEG files hold the text as comment, WebP files as XMP block."""
MOST_COMMENT = 65_000  # bytes of a JPEG comment


def to_array(thing: ArrayLike) -> np.ndarray:
    """Converts an array, tensor or nested list to an array. bfloat16 becomes float32.

    Raises:
        TypeError: the tensor is sparse, or on the meta device.
        ValueError: the list is ragged.
    """
    if isinstance(thing, torch.Tensor):
        if thing.is_meta or thing.layout is not torch.strided:
            raise TypeError(f"{checks.shown(thing)} ({thing.layout}) is no array: give a dense tensor with values.")
        tensor = thing.detach().cpu()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    try:
        return np.asarray(thing)
    except ValueError:
        raise ValueError(f"{checks.shown(thing)} is no array: its rows differ in length.") from None


def as_picture(thing: ArrayLike) -> np.ndarray:
    """Converts an image to [H, W], or [H, W, C] with 2 to 4 channels.

    Batch axes of size 1 and the axis of a single channel are removed.

    Raises:
        TypeError: the values are not real numbers.
        ValueError: the shape is not that of one image.
    """
    values = to_array(thing)
    if values.dtype.kind not in "iuf":
        raise TypeError(f"A picture is an array of numbers, not {checks.shown(thing)} of {values.dtype}.")
    shape = values.shape
    while values.ndim > 3 and values.shape[0] == 1:
        values = values[0]
    if values.ndim == 3 and values.shape[-1] == 1:
        values = values[..., 0]
    elif values.ndim == 3 and values.shape[-1] > 4 and values.shape[0] == 1:
        values = values[0]
    if values.ndim not in (2, 3) or values.size == 0 or (values.ndim == 3 and values.shape[-1] > 4):
        raise ValueError(f"A picture is [height, width] or [height, width, 1 to 4 channels], not of shape {shape}.")
    return values


def normalize_array(array: ArrayLike, domain: Domain | None = (0, 1)) -> np.ndarray:
    """Converts an image to uint8. Values are truncated, not rounded, as in Lucid.

    Args:
        array: an image; see `as_picture`. Floats are mapped from `domain` to 0..255. Integers are clipped to
            `domain`, and keep their values.
        domain: range of the values; None means the minimum and maximum of the array.

    Raises:
        TypeError: the values are not real numbers.
        ValueError: the array is not an image, contains NaN, or holds integers that `domain` would clip to black.
    """
    values = as_picture(array)
    if np.isnan(values).any():
        raise ValueError("The picture contains NaN.")
    low, high = _range(values) if domain is None else _checked_domain(domain, values)
    values = values.clip(low, high)
    if np.issubdtype(values.dtype, np.inexact) and high != low:
        values = (values - low) * (255 / (high - low))
    return values.clip(0, 255).astype(np.uint8)


def _range(values: np.ndarray) -> tuple[Any, Any]:
    if not np.isfinite(values).all():
        raise ValueError("The picture contains infinite values: pass domain=(low, high) to clip them.")
    return values.min(), values.max()


def _checked_domain(domain: Domain, values: np.ndarray) -> tuple[float, float]:
    ends = checks.items(domain, "domain", "(low, high), the range of values")
    if len(ends) != 2:
        raise ValueError(f"domain is (low, high), the range of values, not {checks.shown(domain)}.")
    low, high = (checks.number(end, "Each end of domain") for end in ends)
    if low > high:
        raise ValueError(f"domain is (low, high), the smaller number first, not {checks.shown(domain)}.")
    if values.dtype.kind in "iu" and high <= 1 < values.max():
        raise ValueError(
            f"The picture holds whole numbers up to {values.max()}, which domain=({low}, {high}) would clip to black: "
            "pass domain=(0, 255), or divide the picture by 255."
        )
    return low, high


def serialize_array(
    array: ArrayLike, domain: Domain | None = (0, 1), fmt: str = "png", quality: int = 70, metadata: str | None = None
) -> bytes:
    """Encodes an image in a file format.

    Args:
        array: [H, W], [H, W, 1], [H, W, 3] or [H, W, 4].
        domain: range of the values; None means the minimum and maximum of the array.
        fmt: png, jpg, jpeg or webp.
        quality: quality of lossy formats, 0 to 100.
        metadata: text to store in the file. JPEG files store it only if it is shorter than 65,000 bytes.

    Raises:
        TypeError, ValueError: the array is not an image, or the format is unknown.
    """
    name = {"jpg": "jpeg"}.get(str(fmt).lower(), str(fmt).lower())
    Image.init()
    if name.upper() not in Image.SAVE:
        raise ValueError(f"Unknown picture format {checks.shown(fmt)}: use png, jpg or webp.")
    quality = checks.whole(quality, "quality", 0)
    picture = Image.fromarray(normalize_array(array, domain))
    if name == "jpeg" and picture.mode in ("RGBA", "LA"):
        picture = picture.convert("RGB" if picture.mode == "RGBA" else "L")
    buffer = io.BytesIO()
    options = {} if metadata is None else _metadata_options(name, metadata)
    picture.save(buffer, name, quality=quality, **options)
    return buffer.getvalue()


def _metadata_options(name: str, metadata: str) -> dict[str, Any]:
    """Options of Pillow's `save` that store a text in a file; empty if the format cannot store it."""
    encoded = metadata.encode()
    if name == "png":
        text = PngImagePlugin.PngInfo()
        text.add_itxt(METADATA_KEY, metadata, zip=True)
        return {"pnginfo": text}
    if name == "jpeg" and len(encoded) < MOST_COMMENT:
        return {"comment": encoded}
    return {"xmp": encoded} if name == "webp" else {}


_normalize_array = normalize_array  # Lucid's name
