"""Objectives of the image itself: norms, smoothness, likeness to a picture."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from lucid_port.misc import checks
from lucid_port.optvis.objectives.base import Activations, ObjectiveFunction, Value
from lucid_port.optvis.objectives.reading import as_vector, check_fits_image, check_layer
from lucid_port.optvis.objectives.wrapping import to_nhwc, wrap_objective

__all__ = [
    "L1",
    "L2",
    "blur_alpha_each_step",
    "blur_input_each_step",
    "input_diff",
    "penalize_boundary_complexity",
    "total_variation",
]


@wrap_objective(require_format="NHWC")
def total_variation(layer: str = "input") -> ObjectiveFunction:
    """Sum of absolute differences of neighbours, **one value per image** ([N]), as in Lucid."""
    check_layer(layer, "total_variation")

    def inner(T: Activations) -> Value:
        image = T(layer)
        rows = (image[:, 1:] - image[:, :-1]).abs().sum((1, 2, 3))
        columns = (image[:, :, 1:] - image[:, :, :-1]).abs().sum((1, 2, 3))
        return rows + columns

    return inner


@wrap_objective()
def L1(layer: str = "input", constant: float = 0) -> ObjectiveFunction:
    """Sum of absolute deviations from `constant`."""
    check_layer(layer, "L1")
    checks.finite_values(constant, "L1's constant")
    return lambda T: (T(layer) - constant).abs().sum()


@wrap_objective()
def L2(layer: str = "input", constant: float = 0, epsilon: float = 1e-6) -> ObjectiveFunction:
    """One Euclidean norm of the whole batch's deviation: `sqrt(epsilon + sum of squares)`."""
    check_layer(layer, "L2")
    checks.finite_values(constant, "L2's constant")
    checks.number(epsilon, "L2's epsilon", 0)
    return lambda T: (epsilon + ((T(layer) - constant) ** 2).sum()).sqrt()


def blur(image: torch.Tensor, w: int) -> torch.Tensor:
    """Average with a w x w kernel that is 1 inside and 0.5 on its rim, renormalised at borders.

    Args:
        image: NCHW.
        w: odd width of the kernel.
    """
    kernel = torch.full((w, w), 0.5, dtype=image.dtype, device=image.device)
    kernel[1:-1, 1:-1] = 1.0
    count = image.shape[1]
    kernels = kernel.expand(count, 1, w, w)

    def smooth(t: torch.Tensor) -> torch.Tensor:
        return F.conv2d(t, kernels, padding=w // 2, groups=count)

    return smooth(image) / smooth(torch.ones_like(image))


@wrap_objective()
def blur_input_each_step() -> ObjectiveFunction:
    """Half the squared distance of the input to its own blur.

    Minimise it: under plain gradient descent on pixels, `-k *` this mixes a share k of the
    blurred image in at each step.
    """

    def inner(T: Activations) -> Value:
        image = T("input")
        return 0.5 * ((image - blur(image, 3).detach()) ** 2).sum()

    return inner


@wrap_objective()
def blur_alpha_each_step() -> ObjectiveFunction:
    """As `blur_input_each_step`, for the alpha channel only."""

    def inner(T: Activations) -> Value:
        alpha = T("input")[:, 3:4]
        if alpha.shape[1] == 0:
            raise ValueError(
                "blur_alpha_each_step needs an image with an alpha channel: make it with param.image(..., alpha=True)."
            )
        return 0.5 * ((alpha - blur(alpha, 3).detach()) ** 2).sum()

    return inner


@wrap_objective()
def penalize_boundary_complexity(shp: Any, w: int = 20, mask: Any = None, C: float = 0.5) -> ObjectiveFunction:
    """Minus the deviation of the border from its own blur and from a constant.

    It is negative: **add** it to keep borders plain.

    Args:
        shp: [N, H, W, C] of the mask, in Lucid's axis order.
        w: width of the border.
        mask: instead of the border, in Lucid's axis order, broadcast to the image.
        C: the constant.

    Raises:
        ValueError: `shp` is no shape of an image batch, or (when evaluated) does not fit the image.
    """
    name = "penalize_boundary_complexity"
    border = checks.whole(w, f"{name}'s w", 0)
    checks.finite_values(C, f"{name}'s C")
    if mask is None:
        shape, what = checks.sizes(shp, f"{name}'s shp", 4), f"{name}'s shp"
    else:
        checks.finite_values(mask, f"{name}'s mask")
        shape, what = tuple(np.shape(mask)), f"{name}'s mask"

    def inner(T: Activations) -> Value:
        image = to_nhwc(T("input"))
        check_fits_image(what, shape, image)
        if mask is None:
            weight = torch.ones(shape, dtype=image.dtype, device=image.device)
            weight[:, border:-border, border:-border] = 0
        else:
            weight = as_vector(mask, image)
        blurred = to_nhwc(blur(T("input"), 5))
        difference = (blurred - image) ** 2 + 0.8 * (image - C) ** 2
        return -(difference * weight).sum()

    return inner


@wrap_objective()
def input_diff(orig_img: Any) -> ObjectiveFunction:
    """Root mean square difference of the input to a picture ([N, H, W, C] or [H, W, C]).

    Raises:
        ValueError: the picture holds NaN, or (when evaluated) has another size than the input.
    """
    checks.finite_values(orig_img, "input_diff's orig_img")
    shape = tuple(np.shape(orig_img))

    def inner(T: Activations) -> Value:
        image = to_nhwc(T("input"))
        check_fits_image("input_diff's orig_img", shape, image)
        return (image - as_vector(orig_img, image)).square().mean().sqrt()

    return inner
