"""Objectives of the image itself: norms, smoothness, similarity to a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F

from converters import checks
from converters.signatures import checked
from lucid_port.misc.io.pictures import check_range
from lucid_port.misc.tensors import ArrayLike, as_tensor
from lucid_port.modelzoo.layouts import channels_last
from lucid_port.optvis.objectives.base import ObjectiveFunction, Value
from lucid_port.optvis.objectives.readers import Activations, as_reader
from lucid_port.optvis.objectives.reading import as_vector, channels_at_places, check_fits_image, check_layer
from lucid_port.optvis.objectives.wrapping import wrap_objective

__all__ = [
    "L1",
    "L2",
    "blur_alpha_each_step",
    "blur_input_each_step",
    "input_diff",
    "mean_transparency",
    "penalize_boundary_complexity",
    "total_variation",
]


@wrap_objective()
@checked
def total_variation(layer: str = "input") -> ObjectiveFunction:
    """Sum of the absolute differences of neighboring pixels.

    The value has the shape [N], **one number per image**, as in Lucid.

    Args:
        layer: "input" for the image, or the name of a layer with rows and columns.

    Example:
        >>> total_variation()({"input": torch.eye(2).expand(1, 3, 2, 2)}.get)  # 4 differences, 3 channels
        tensor([12.])
    """
    check_layer(layer, "total_variation")

    def inner(T: Activations) -> Value:
        image = channels_at_places(T, layer)
        rows = (image[:, 1:] - image[:, :-1]).abs().sum((1, 2, 3))
        columns = (image[:, :, 1:] - image[:, :, :-1]).abs().sum((1, 2, 3))
        return rows + columns

    return inner


def _whole(T: Activations, layer: str, constant: object) -> torch.Tensor:
    """Returns an activation: the network's own tensor, whose channel axis need not be known, if the constant allows."""
    reader = as_reader(T)
    value: torch.Tensor = reader.raw(layer) if np.ndim(constant) == 0 else reader(layer)  # type: ignore[arg-type]
    return value


@wrap_objective()
@checked
def L1(layer: str = "input", constant: float = 0) -> ObjectiveFunction:
    """Sum of the absolute deviations from a constant.

    Args:
        layer: "input" for the image, or the name of a layer.
        constant: A number, or an array that broadcasts to NCHW or (N, C, ...).

    Example:
        >>> L1(constant=0.5)({"input": torch.ones(1, 3, 2, 2)}.get)
        tensor(6.)
    """
    check_layer(layer, "L1")
    checks.finite_values(constant, "L1's constant")
    return lambda T: (_whole(T, layer, constant) - constant).abs().sum()


@wrap_objective()
@checked
def L2(layer: str = "input", constant: float = 0, epsilon: float = 1e-6) -> ObjectiveFunction:
    """Euclidean norm of the deviation from a constant: `sqrt(epsilon + sum of squares)`.

    The sum covers the whole batch.

    Args:
        layer: "input" for the image, or the name of a layer.
        constant: A number, or an array that broadcasts to NCHW or (N, C, ...).
        epsilon: Number from 0 on, which keeps the gradient finite at 0.

    Example:
        >>> L2()({"input": 2 * torch.ones(1, 1, 2, 2)}.get).round(decimals=3)
        tensor(4.)
    """
    check_layer(layer, "L2")
    checks.finite_values(constant, "L2's constant")
    checks.number(epsilon, "L2's epsilon", 0)
    return lambda T: (epsilon + ((_whole(T, layer, constant) - constant) ** 2).sum()).sqrt()


def blur(image: torch.Tensor, w: int) -> torch.Tensor:
    """Averages with a w x w kernel that is 1 inside and 0.5 on its rim; the borders are renormalized.

    Args:
        image: NCHW.
        w: Width of the kernel, an odd number.
    """
    kernel = torch.full((w, w), 0.5, dtype=image.dtype, device=image.device)
    kernel[1:-1, 1:-1] = 1.0
    count = image.shape[1]
    kernels = kernel.expand(count, 1, w, w)

    def smooth(t: torch.Tensor) -> torch.Tensor:
        return F.conv2d(t, kernels, padding=w // 2, groups=count)

    return smooth(image) / smooth(torch.ones_like(image))


def _blur_distance(image: torch.Tensor) -> torch.Tensor:
    return 0.5 * ((image - blur(image, 3).detach()) ** 2).sum()


@wrap_objective()
def blur_input_each_step() -> ObjectiveFunction:
    """Half the squared distance of the image to its own blur, which is treated as a constant.

    **Subtract** it. With plain gradient descent on pixels, `-k *` this objective mixes a share k of
    the blurred image into the image at each step.

    Example:
        >>> blur_input_each_step()({"input": torch.ones(1, 3, 4, 4)}.get)
        tensor(0.)
    """
    return lambda T: _blur_distance(T("input"))


@wrap_objective()
def blur_alpha_each_step() -> ObjectiveFunction:
    """`blur_input_each_step` for the alpha channel only.

    Raises:
        ValueError: (on evaluation) The image does not have an alpha channel.

    Example:
        >>> blur_alpha_each_step()({"input": torch.ones(1, 4, 4, 4)}.get)
        tensor(0.)
    """

    def inner(T: Activations) -> Value:
        alpha = T("input")[:, 3:4]
        if alpha.shape[1] == 0:
            raise ValueError(
                "blur_alpha_each_step needs an image with an alpha channel: make it with param.image(..., alpha=True)."
            )
        return _blur_distance(alpha)

    return inner


@wrap_objective()
def mean_transparency() -> ObjectiveFunction:
    """Mean of 1 - alpha over the image. As a factor of another objective, it keeps opaque what the other needs.

    Raises:
        ValueError: (on evaluation) The image does not have an alpha channel.

    Example:
        >>> mean_transparency()({"input": torch.full((1, 4, 4, 4), 0.25)}.get)
        tensor(0.7500)
    """

    def inner(T: Activations) -> Value:
        alpha = T("input")[:, 3:4]
        if alpha.shape[1] == 0:
            raise ValueError(
                "mean_transparency needs an image with an alpha channel: make it with param.image(..., alpha=True)."
            )
        return 1 - alpha.mean()

    return inner


@wrap_objective()
@checked
def penalize_boundary_complexity(
    shp: Sequence[int] | None, w: int = 20, mask: ArrayLike | None = None, C: float = 0.5
) -> ObjectiveFunction:
    """Penalizes deviations of the border from its own blur and from a constant.

    The value is negative: **add** it to keep borders plain.

    Args:
        shp: Shape of the image, [N, H, W, C]. Ignored if `mask` is given.
        w: Width of the border in pixels.
        mask: Weights in place of the border, in Lucid's axis order; broadcast to the image.
        C: Value, in [0, 1], that the border should have.

    Raises:
        ValueError: `shp` is not the shape of an image batch, or (on evaluation) does not fit the image.

    Example:
        >>> plain = {"input": 0.5 * torch.ones(1, 3, 8, 8)}.get
        >>> bool(penalize_boundary_complexity((1, 8, 8, 3), w=2)(plain).abs() < 1e-6)
        True
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
        image = channels_last(T("input"))
        check_fits_image(what, shape, image)
        if mask is None:
            weight = torch.ones(shape, dtype=image.dtype, device=image.device)
            weight[:, border:-border, border:-border] = 0
        else:
            weight = as_vector(mask, image)
        blurred = channels_last(blur(T("input"), 5))
        difference = (blurred - image) ** 2 + 0.8 * (image - C) ** 2
        return -(difference * weight).sum()

    return inner


@wrap_objective()
@checked
def input_diff(orig_img: ArrayLike) -> ObjectiveFunction:
    """Root mean square difference of the image to a picture.

    Args:
        orig_img: Picture, [N, H, W, C] or [H, W, C], with the range of the image, [0, 1].

    Raises:
        ValueError: The picture contains NaN, has values far outside of [0, 1], or (on evaluation) has another size than
            the image.

    Example:
        >>> input_diff(np.zeros((2, 2, 3)))({"input": 0.5 * torch.ones(1, 3, 2, 2)}.get)
        tensor(0.5000)
    """
    checks.finite_values(orig_img, "input_diff's orig_img")
    low, high = torch.aminmax(as_tensor(orig_img))
    check_range(float(low), float(high), "input_diff's orig_img")
    shape = tuple(np.shape(orig_img))

    def inner(T: Activations) -> Value:
        image = channels_last(T("input"))
        check_fits_image("input_diff's orig_img", shape, image)
        return (image - as_vector(orig_img, image)).square().mean().sqrt()

    return inner
