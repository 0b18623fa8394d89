"""Colours: ImageNet's colour correlation and the way to valid RGB values.

The matrix is the square root of the colour covariance of natural images. Optimising in its
coordinates ("decorrelated") makes gradients of all colour directions comparable; see Olah,
Mordvintsev and Schubert, "Feature Visualization" (Distill 2017), section on preconditioning.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from lucid_port.misc.tensors import constant
from lucid_port.optvis.param.base import Derived, Parameterization, as_parameterization, parameterization
from lucid_port.optvis.param.unit_balls import constrain_L_inf

__all__ = [
    "color_correlation_normalized",
    "color_correlation_svd_sqrt",
    "color_mean",
    "correlate_colors",
    "to_valid_rgb",
    "to_valid_rgb_tensor",
]

color_correlation_svd_sqrt = np.array([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]], np.float32)
"""Square root of the covariance of RGB in ImageNet, [3, 3]."""

max_norm_svd_sqrt = float(np.max(np.linalg.norm(color_correlation_svd_sqrt, axis=0)))
"""Largest norm of a column, 0.46195: the unit of the decorrelated coordinates."""

color_correlation_normalized = color_correlation_svd_sqrt / np.float32(max_norm_svd_sqrt)
"""The matrix divided by `max_norm_svd_sqrt`."""

color_mean = [0.48, 0.46, 0.41]
"""Mean RGB of ImageNet."""


def correlate_colors(image: torch.Tensor) -> torch.Tensor:
    """From decorrelated coordinates to RGB: `rgb_i = sum_j M_ij t_j`.

    Args:
        image: [..., 3, H, W].

    Raises:
        ValueError: the image has not three channels.
    """
    if image.ndim < 3 or image.shape[-3] != 3:
        raise ValueError(
            f"Colour decorrelation needs 3 channels, which a shape of {list(image.shape)} (channels first) has not: "
            "pass decorrelate=False or slice the image."
        )
    matrix = constant(_correlation, (), image.device, image.dtype)
    flat = image.reshape(*image.shape[:-2], -1)
    return (matrix @ flat).reshape(image.shape)


def _correlation() -> np.ndarray:
    return color_correlation_normalized


def _mean() -> np.ndarray:
    return np.array(color_mean, np.float32)


def to_valid_rgb_tensor(image: torch.Tensor, decorrelate: bool = False, sigmoid: bool = True) -> torch.Tensor:
    """Map unbounded values to RGB in [0, 1]; see `to_valid_rgb`. Channels first."""
    if decorrelate:
        image = correlate_colors(image)
    if sigmoid:
        return torch.sigmoid(image)
    if decorrelate:
        mean = constant(_mean, (), image.device, image.dtype)
        image = image + mean[:, None, None]
    return constrain_L_inf(2 * image - 1) / 2 + 0.5


@parameterization
def to_valid_rgb(t: Parameterization, decorrelate: bool = False, sigmoid: bool = True) -> Parameterization:
    """Map unbounded values to RGB in [0, 1].

    Args:
        t: a parameterization of three channels.
        decorrelate: the input is in decorrelated colour coordinates.
        sigmoid: squash by the logistic function. Otherwise values are cut to [0, 1] with a
            gradient that points inwards, and ImageNet's mean is added if `decorrelate`.
    """
    return Derived(partial(to_valid_rgb_tensor, decorrelate=decorrelate, sigmoid=sigmoid), [as_parameterization(t)])
