"""Images in (0, 1): the parameterizations that most renders use."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from lucid_port.misc.tensors import ArrayLike
from lucid_port.optvis.param.base import Derived, Parameterization, parameterization
from lucid_port.optvis.param.color import color_correlation_normalized, to_valid_rgb_and_alpha
from lucid_port.optvis.param.spatial import broadcast_initial, fft_image, pixel_image

__all__ = ["grayscale_image_rgb", "image", "raw_from_rgb"]


def raw_from_rgb(picture: ArrayLike, decorrelate: bool, margin: float = 1e-3) -> np.ndarray:
    """Returns the unbounded values of a picture: the inverse of the logistic function and color correlation.

    Args:
        picture: [..., C] in [0, 1]; the first three channels are RGB if `decorrelate`.
        decorrelate: Whether to invert the color correlation as well.
        margin: Values are first clipped to [margin, 1 - margin], where the logit is finite.

    Returns:
        float64 array of the same shape.

    Raises:
        TypeError: The picture does not consist of numbers.
        ValueError: Values are NaN or outside of [0, 1].
    """
    checks.finite_values(picture, "An initial image")
    values = np.asarray(picture.detach().cpu() if isinstance(picture, torch.Tensor) else picture)
    values = values.astype(np.float64)
    if values.min() < 0 or values.max() > 1:
        raise ValueError(f"An initial image has values in [0, 1], not [{values.min():g}, {values.max():g}].")
    values = np.clip(values, margin, 1 - margin)
    raw = np.log(values) - np.log1p(-values)
    if decorrelate:
        inverse = np.linalg.inv(color_correlation_normalized.astype(np.float64))
        raw[..., :3] = raw[..., :3] @ inverse.T
    return raw


@parameterization
@checked
def image(
    w: int,
    h: int | None = None,
    batch: int | None = None,
    sd: float | None = None,
    decorrelate: bool = True,
    fft: bool = True,
    alpha: bool = False,
    channels: int | None = None,
    *,
    init: float | ArrayLike | None = None,
) -> Parameterization:
    """An image with values in (0, 1).

    Args:
        w: Width in pixels.
        h: Height in pixels, the width by default.
        batch: Number of images, 1 by default.
        sd: Standard deviation of the initial parameters, 0.01 by default.
        decorrelate: Whether to optimize in decorrelated color coordinates.
        fft: Whether to optimize Fourier coefficients (else pixels).
        alpha: Whether to add a fourth channel, which is never decorrelated.
        channels: Number of channels, without color decorrelation; `alpha` is ignored.
        init: Initial picture, [H, W, C] or [N, H, W, C] in [0, 1], in place of noise.

    Returns:
        A parameterization of shape [batch, h, w, channels] in Lucid's axis order.

    Raises:
        TypeError, ValueError: An argument is out of range.

    Example:
        >>> picture = image(32, h=24, batch=2)
        >>> picture.shape, picture().shape, bool(picture().min() > 0 and picture().max() < 1)
        ((2, 24, 32, 3), torch.Size([2, 3, 24, 32]), True)
        >>> gray = image(8, init=np.full((8, 8, 3), 0.5))
        >>> gray()[0, :, 0, 0].round(decimals=3).tolist()
        [0.5, 0.5, 0.5]
    """
    decorrelated = decorrelate and channels is None
    width = checks.whole(w, "image's w", 1)
    shape = [
        1 if batch is None else checks.whole(batch, "image's batch", 1),
        width if h is None else checks.whole(h, "image's h", 1),
        width,
        (4 if alpha else 3) if channels is None else checks.whole(channels, "image's channels", 1),
    ]
    start = None if init is None else raw_from_rgb(broadcast_initial(init, shape), decorrelated)
    if fft:
        raw = fft_image(shape, sd=sd, init_val=start)
    else:
        raw = pixel_image(shape, sd=None if init is not None else sd, init_val=start)
    if channels is not None:
        return Derived(torch.sigmoid, [raw])
    return Derived(partial(to_valid_rgb_and_alpha, decorrelate=decorrelate), [raw])


@parameterization
@checked
def grayscale_image_rgb(
    w: int,
    h: int | None = None,
    batch: int | None = None,
    sd: float | None = None,
    decorrelate: bool = True,
    fft: bool = True,
    alpha: bool = False,
) -> Parameterization:
    """A gray image with three equal channels and values in (0, 1).

    Args:
        w: Width in pixels.
        h: Height in pixels, the width by default.
        batch: Number of images, 1 by default.
        sd: Standard deviation of the initial parameters, 0.01 by default.
        decorrelate: Ignored: there is one color coordinate only.
        fft: Whether to optimize Fourier coefficients (else pixels).
        alpha: Ignored.

    Returns:
        A parameterization of shape [batch, h, w, 3] in Lucid's axis order.

    Raises:
        TypeError, ValueError: An argument is out of range.

    Example:
        >>> red, green, blue = grayscale_image_rgb(16)()[0]
        >>> bool((red == green).all() and (green == blue).all())
        True
    """
    gray = image(w, h, batch, sd, decorrelate, fft, alpha, channels=1)
    return Derived(_in_three_channels, [gray])


def _in_three_channels(gray: torch.Tensor) -> torch.Tensor:
    return gray.expand(-1, 3, -1, -1)
