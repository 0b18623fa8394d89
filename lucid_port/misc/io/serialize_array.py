"""Arrays as encoded pictures."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import torch
from PIL import Image, PngImagePlugin

from lucid_port.misc import checks

__all__ = ["PICTURES", "as_picture", "normalize_array", "serialize_array", "to_array"]

Domain = tuple[float, float]

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
"""How names of pictures end."""

METADATA_KEY = "lucid_port"
"""Keyword of the text that a PNG carries. In JPEG it is the comment, in WebP the XMP block."""
MOST_COMMENT = 65_000  # bytes that a JPEG's comment holds


def to_array(thing: Any) -> np.ndarray:
    """An array from an array, a tensor or a nested list.

    Raises:
        ValueError: the list is ragged.
    """
    if isinstance(thing, torch.Tensor):
        tensor = thing.detach().cpu()
        return (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    try:
        return np.asarray(thing)
    except ValueError:
        raise ValueError(f"{checks.shown(thing)} is no array: its rows differ in length.") from None


def as_picture(thing: Any) -> np.ndarray:
    """A picture [H, W], or [H, W, C] of 2 to 4 channels, without axes of a batch of one or of a single channel.

    Raises:
        TypeError: it holds something else than real numbers.
        ValueError: it has another shape.
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


def normalize_array(array: Any, domain: Domain | None = (0, 1)) -> np.ndarray:
    """A picture as bytes 0 to 255, truncated (not rounded) as in Lucid.

    Args:
        array: a picture as `as_picture` takes it. Floats are mapped from `domain`; integers are
            cut to it and kept.
        domain: range of values; None takes the array's own.

    Raises:
        TypeError: the array is not numeric.
        ValueError: it is no picture, contains NaN, or does not go with the domain.
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
        raise ValueError("The picture contains infinite values: pass the domain that they are to be cut to.")
    return values.min(), values.max()


def _checked_domain(domain: Any, values: np.ndarray) -> tuple[Any, Any]:
    ends = checks.items(domain, "domain", "(low, high), the range of values")
    if len(ends) != 2:
        raise ValueError(f"domain is (low, high), the range of values, not {checks.shown(domain)}.")
    low, high = (checks.number(end, "Each end of domain") for end in ends)
    if low > high:
        raise ValueError(f"domain is (low, high), the smaller number first, not {checks.shown(domain)}.")
    if values.dtype.kind in "iu" and high <= 1 < values.max():
        raise ValueError(
            f"The picture holds whole numbers up to {values.max()}, which domain=({low}, {high}) would cut to black: "
            "pass domain=(0, 255), or divide the picture by 255."
        )
    return low, high


def serialize_array(
    array: Any, domain: Domain | None = (0, 1), fmt: str = "png", quality: int = 70, metadata: str | None = None
) -> bytes:
    """A picture ([H, W], [H, W, 1], [H, W, 3] or [H, W, 4]) in a file format.

    Args:
        array: the picture.
        domain: range of values; None takes the array's own.
        fmt: png, jpg, jpeg or webp.
        quality: of lossy formats.
        metadata: a text for the file to carry (a JPEG only if it is shorter than 65,000 bytes).

    Raises:
        TypeError, ValueError: the array is no picture, or the format is unknown.
    """
    name = {"jpg": "jpeg"}.get(str(fmt).lower(), str(fmt).lower())
    Image.init()
    if name.upper() not in Image.SAVE:
        raise ValueError(f"Unknown picture format {fmt!r}: use png, jpg or webp.")
    quality = checks.whole(quality, "quality", 0)
    picture = Image.fromarray(normalize_array(array, domain))
    if name == "jpeg" and picture.mode in ("RGBA", "LA"):
        picture = picture.convert("RGB" if picture.mode == "RGBA" else "L")
    buffer = io.BytesIO()
    carried = _carried(name, metadata) if metadata is not None else {}
    picture.save(buffer, name, quality=quality, **carried)
    return buffer.getvalue()


def _carried(name: str, metadata: str) -> dict[str, Any]:
    """Pillow's arguments that make a file of this format carry a text; none where it cannot."""
    encoded = metadata.encode()
    if name == "png":
        text = PngImagePlugin.PngInfo()
        text.add_itxt(METADATA_KEY, metadata, zip=True)
        return {"pnginfo": text}
    if name == "jpeg" and len(encoded) < MOST_COMMENT:
        return {"comment": encoded}
    return {"xmp": encoded} if name == "webp" else {}
