"""Color decorrelation, and the conversion of unbounded values to RGB.

The matrix is the square root of the color covariance of ImageNet. In its coordinates
("decorrelated") the gradients of all color directions have similar scales. See Olah, Mordvintsev and
Schubert, "Feature Visualization" (Distill 2017), section on preconditioning.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from converters.signatures import checked
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
"""Square root of the covariance of RGB in ImageNet, [3, 3] float32."""

max_norm_svd_sqrt = float(np.max(np.linalg.norm(color_correlation_svd_sqrt, axis=0)))
"""Largest norm of a column, 0.46195."""

color_correlation_normalized = color_correlation_svd_sqrt / np.float32(max_norm_svd_sqrt)
"""`color_correlation_svd_sqrt` divided by `max_norm_svd_sqrt`."""

color_mean = [0.48, 0.46, 0.41]
"""Mean RGB of ImageNet."""


def correlate_colors(image: torch.Tensor) -> torch.Tensor:
    """Converts decorrelated coordinates to RGB: `rgb_i = sum_j M_ij t_j`.

    Args:
        image: [..., 3, H, W].

    Raises:
        ValueError: The image does not have 3 channels.
    """
    if image.ndim < 3 or image.shape[-3] != 3:
        raise ValueError(
            f"Color decorrelation needs 3 channels, but the image has the shape {list(image.shape)} (channels first): "
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
    """Converts a channels-first tensor to RGB in [0, 1]; see `to_valid_rgb`."""
    if decorrelate:
        image = correlate_colors(image)
    if sigmoid:
        return torch.sigmoid(image)
    if decorrelate:
        mean = constant(_mean, (), image.device, image.dtype)
        image = image + mean[:, None, None]
    return constrain_L_inf(2 * image - 1) / 2 + 0.5


def to_valid_rgb_and_alpha(image: torch.Tensor, decorrelate: bool) -> torch.Tensor:
    """Converts a channels-first tensor to RGB in (0, 1); the logistic function alone is applied to further channels."""
    rgb = to_valid_rgb_tensor(image[:, :3], decorrelate)
    return rgb if image.shape[1] == 3 else torch.cat([rgb, torch.sigmoid(image[:, 3:])], 1)


@parameterization
@checked
def to_valid_rgb(t: Parameterization, decorrelate: bool = False, sigmoid: bool = True) -> Parameterization:
    """Converts unbounded values to RGB in [0, 1].

    Args:
        t: Parameterization with 3 channels.
        decorrelate: Whether `t` has decorrelated color coordinates.
        sigmoid: Whether to apply the logistic function. Otherwise, values are clipped to [0, 1], with
            gradients that never point outwards; if `decorrelate`, ImageNet's mean is added first.

    Raises:
        ValueError: (on evaluation) `decorrelate`, and `t` does not have 3 channels.

    Example:
        >>> from lucid_port.optvis import param
        >>> rgb = to_valid_rgb(param.pixel_image((1, 8, 8, 3)), decorrelate=True)
        >>> rgb().shape, bool(rgb().min() > 0 and rgb().max() < 1)
        (torch.Size([1, 3, 8, 8]), True)
    """
    return Derived(partial(to_valid_rgb_tensor, decorrelate=decorrelate, sigmoid=sigmoid), [as_parameterization(t)])
