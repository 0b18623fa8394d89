"""Parameterizations: images as functions of what is optimised.

Shape arguments and indices are in Lucid's order (channels last); the tensors that come out are
channels first (NCHW).
"""

from __future__ import annotations

from lucid_port.optvis.param.base import (
    Parameterization,
    as_parameterization,
    concat,
    constant,
    parameterization,
    stack,
)
from lucid_port.optvis.param.color import to_valid_rgb
from lucid_port.optvis.param.images import grayscale_image_rgb, image
from lucid_port.optvis.param.spatial import fft_image, pixel_image

__all__ = [
    "Parameterization",
    "as_parameterization",
    "concat",
    "constant",
    "fft_image",
    "grayscale_image_rgb",
    "image",
    "parameterization",
    "pixel_image",
    "stack",
    "to_valid_rgb",
]
