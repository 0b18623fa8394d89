"""High-level parameterizations: what most renders use."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch

from lucid_port.misc import checks
from lucid_port.optvis.param.base import Derived, Parameterization, parameterization
from lucid_port.optvis.param.color import color_correlation_normalized, to_valid_rgb_tensor
from lucid_port.optvis.param.spatial import broadcast_initial, fft_image, pixel_image

__all__ = ["grayscale_image_rgb", "image", "raw_from_rgb"]


def raw_from_rgb(picture: Any, decorrelate: bool, margin: float = 1e-3) -> np.ndarray:
    """The unbounded values whose squashed (and recoloured) image is `picture`.

    Args:
        picture: [..., C] in [0, 1]; the first three channels are RGB if `decorrelate`.
        decorrelate: invert the colour correlation, too.
        margin: values are first cut to [margin, 1 - margin], where the logit is finite.

    Returns:
        float64 array of the same shape.

    Raises:
        TypeError: the picture holds something else than numbers.
        ValueError: values are NaN, or lie outside [0, 1].
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
    init: Any = None,
) -> Parameterization:
    """An image to optimise, with values in (0, 1).

    Args:
        w: width.
        h: height, the width by default.
        batch: number of images, 1 by default.
        sd: standard deviation of the initial parameters (0.01).
        decorrelate: optimise in decorrelated colours.
        fft: optimise Fourier coefficients rather than pixels.
        alpha: add a fourth channel, never decorrelated.
        channels: any number of channels instead, without decorrelation (`alpha` is ignored).
        init: start from this picture, [H, W, C] or [N, H, W, C] in [0, 1].

    Returns:
        A parameterization of shape [batch, h, w, channels] in Lucid's axis order.

    Raises:
        TypeError, ValueError: an argument makes no sense.
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
    return Derived(partial(_squash, decorrelate=decorrelate), [raw])


def _squash(raw: torch.Tensor, decorrelate: bool) -> torch.Tensor:
    rgb = to_valid_rgb_tensor(raw[:, :3], decorrelate=decorrelate, sigmoid=True)
    if raw.shape[1] == 3:
        return rgb
    return torch.cat([rgb, torch.sigmoid(raw[:, 3:])], 1)


@parameterization
def grayscale_image_rgb(
    w: int,
    h: int | None = None,
    batch: int | None = None,
    sd: float | None = None,
    decorrelate: bool = True,
    fft: bool = True,
    alpha: bool = False,
) -> Parameterization:
    """A grey image in three equal channels; arguments as in `image`."""
    grey = image(w, h, batch, sd, decorrelate, fft, alpha, channels=1)
    return Derived(_in_three_channels, [grey])


def _in_three_channels(grey: torch.Tensor) -> torch.Tensor:
    return grey.expand(-1, 3, -1, -1)
