"""Parameterizations: images as functions of the optimized parameters.

Shapes and indices in arguments have Lucid's axis order (NHWC). The resulting tensors are NCHW.
"""

from __future__ import annotations

from lucid_port.optvis.param.base import (
    Parameterization,
    as_parameterization,
    constant,
    parameterization,
)
from lucid_port.optvis.param.color import to_valid_rgb
from lucid_port.optvis.param.cppn import cppn
from lucid_port.optvis.param.images import grayscale_image_rgb, image
from lucid_port.optvis.param.interpolation import multi_interpolation_basis
from lucid_port.optvis.param.lowres import laplacian_pyramid_image, lowres_tensor
from lucid_port.optvis.param.operations import concat, stack
from lucid_port.optvis.param.random import image_sample
from lucid_port.optvis.param.resize_bilinear_nd import resize_bilinear_nd
from lucid_port.optvis.param.spatial import (
    bilinearly_sampled_image,
    fft_image,
    laplacian_pyramid,
    naive,
    pixel_image,
    sample_bilinear,
)
from lucid_port.optvis.param.unit_balls import unit_ball_L2, unit_ball_L_inf

__all__ = [
    "Parameterization",
    "as_parameterization",
    "bilinearly_sampled_image",
    "concat",
    "constant",
    "cppn",
    "fft_image",
    "grayscale_image_rgb",
    "image",
    "image_sample",
    "laplacian_pyramid",
    "laplacian_pyramid_image",
    "lowres_tensor",
    "multi_interpolation_basis",
    "naive",
    "parameterization",
    "pixel_image",
    "resize_bilinear_nd",
    "sample_bilinear",
    "stack",
    "to_valid_rgb",
    "unit_ball_L2",
    "unit_ball_L_inf",
]
