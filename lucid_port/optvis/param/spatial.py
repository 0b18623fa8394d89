"""Unbounded images: Fourier and pixel parameterizations, and texture lookup."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
import torch

from converters import checks
from converters.signatures import checked
from converters.stack_level import stack_level
from lucid_port.misc.tensors import ArrayLike, as_tensor, constant
from lucid_port.optvis.param.base import (
    Memo,
    Parameterization,
    channels_first,
    channels_last,
    deviation,
    draw_normal,
    parameterization,
    shape_of,
)
from lucid_port.optvis.param.lowres import laplacian_pyramid_image
from lucid_port.optvis.sampling import RandomSource

__all__ = [
    "bilinearly_sampled_image",
    "fft_image",
    "fft_scale",
    "fft_to_image",
    "image_to_fft",
    "laplacian_pyramid",
    "laplacian_pyramid_image",
    "naive",
    "pixel_image",
    "rfft2d_freqs",
    "sample_bilinear",
]


def rfft2d_freqs(h: int, w: int) -> np.ndarray:
    """Returns the magnitudes of the frequencies of a real 2-D spectrum, [h, n] float64.

    As in Lucid, n is `w // 2 + 1` for even widths and `w // 2 + 2` for odd widths. The inverse
    transform of an odd width returns `w + 1` columns; the last is cut off.
    """
    vertical = np.fft.fftfreq(h)[:, None]
    horizontal = np.fft.fftfreq(w)[: w // 2 + (2 if w % 2 else 1)]
    return np.sqrt(horizontal * horizontal + vertical * vertical)


def fft_scale(height: int, width: int, decay_power: float = 1) -> np.ndarray:
    """Returns the scale of each frequency, `sqrt(height * width) / f^decay_power`, [h, n] float32."""
    floor = 1.0 / max(width, height)
    decay = 1.0 / np.maximum(rfft2d_freqs(height, width), floor) ** decay_power
    return (decay * np.sqrt(width * height)).astype(np.float32)


def fft_to_image(spectrum: torch.Tensor, height: int, width: int, decay_power: float = 1) -> torch.Tensor:
    """Converts a spectrum to an image.

    Args:
        spectrum: Real and imaginary part, [2, ..., h, n], with n as in `rfft2d_freqs`.
        height: Height of the image.
        width: Width of the image.
        decay_power: Exponent of 1/f.

    Returns:
        [..., height, width].
    """
    scale = constant(fft_scale, (height, width, decay_power), spectrum.device, spectrum.dtype)
    return _inverse(spectrum, scale, height, width)


def _inverse(spectrum: torch.Tensor, scale: torch.Tensor, height: int, width: int) -> torch.Tensor:
    scaled = torch.complex(spectrum[0] * scale, spectrum[1] * scale)
    columns = 2 * (spectrum.shape[-1] - 1)
    image = torch.fft.irfft2(scaled, s=(height, columns))
    return image[..., :height, :width] / 4.0


def image_to_fft(image: torch.Tensor, decay_power: float = 1) -> torch.Tensor:
    """Converts an image [..., H, W] to a spectrum: the inverse of `fft_to_image`."""
    height, width = image.shape[-2:]
    if width % 2:
        # The extra column of an odd width is arbitrary; a copy of its neighbor is smooth.
        image = torch.cat([image, image[..., -1:]], -1)
    scale = constant(fft_scale, (height, width, decay_power), image.device, image.dtype)
    spectrum = torch.fft.rfft2(image * 4.0) / scale
    return torch.stack([spectrum.real, spectrum.imag])


class _FFTImage(Parameterization):
    """Parameters: `spectrum` [2, N, C, h, n]."""

    scale: torch.Tensor

    def __init__(self, shape: Sequence[int], sd: float, decay_power: float, init: float | ArrayLike | None) -> None:
        super().__init__()
        batch, height, width, channels = shape
        self._size = (height, width)
        self._sd = sd
        columns = rfft2d_freqs(height, width).shape[1]
        self.spectrum = torch.nn.Parameter(torch.zeros(2, batch, channels, height, columns))
        scale = torch.from_numpy(fft_scale(height, width, decay_power))
        self.register_buffer("scale", scale, persistent=False)
        self._init = None if init is None else image_to_fft(_initial(init, shape), decay_power)

    def draw(self, source: RandomSource) -> None:
        _, batch, *rest = self.spectrum.shape
        value = self._init
        if value is None:
            noise = source.normal("spectrum", (2, *rest), images=batch, axis=1)
            value = torch.from_numpy((self._sd * noise).astype(np.float32))
        with torch.no_grad():
            self.spectrum.copy_(value)

    def compute(self, memo: Memo) -> torch.Tensor:
        return _inverse(self.spectrum, self.scale, *self._size)


def _initial(init: float | ArrayLike, shape: Sequence[int]) -> torch.Tensor:
    """Converts an initial value in Lucid's axis order to channels-first float32 of `shape`."""
    full = broadcast_initial(init, shape).astype(np.float32)
    return channels_first(torch.from_numpy(full)).contiguous()


def broadcast_initial(init: float | ArrayLike, shape: Sequence[int]) -> np.ndarray:
    """Broadcasts an initial value in Lucid's axis order to `shape`.

    Raises:
        TypeError: It does not consist of numbers.
        ValueError: It contains NaN, or does not fit the shape.
    """
    checks.finite_values(init, "An initial value")
    array = np.asarray(init.detach().cpu() if isinstance(init, torch.Tensor) else init)
    if not checks.broadcasts(array.shape, shape):
        raise ValueError(f"An initial value of shape {array.shape} does not fit the shape {tuple(shape)}.")
    return np.broadcast_to(array, tuple(shape)).copy()


@parameterization
@checked
def fft_image(
    shape: Sequence[int],
    sd: float | None = None,
    decay_power: float = 1,
    *,
    init_val: float | ArrayLike | None = None,
) -> Parameterization:
    """An unbounded image parameterized by Fourier coefficients that are scaled by 1/f.

    Args:
        shape: [N, H, W, C].
        sd: Standard deviation of the initial coefficients; 0 or None means 0.01.
        decay_power: Exponent of 1/f; larger values give smoother images.
        init_val: Initial image, [N, H, W, C] or broadcast to it, in place of noise.

    Raises:
        TypeError, ValueError: An argument is out of range.

    Example:
        >>> part = fft_image((1, 16, 16, 3), init_val=0.25)
        >>> part.shape, part().mean().round(decimals=3)
        ((1, 16, 16, 3), tensor(0.2500, grad_fn=<RoundBackward1>))
    """
    sizes, power = fft_arguments(shape, decay_power, "fft_image")
    return _FFTImage(sizes, deviation(sd, "fft_image") or 0.01, power, init_val)


def fft_arguments(shape: Sequence[int], decay_power: float, function: str) -> tuple[tuple[int, ...], int | float]:
    """Checks the shape and exponent of a Fourier image, and returns them."""
    sizes = checks.sizes(shape, f"{function}'s shape", 4)
    if sizes[2] < 2:
        raise ValueError(f"{function} needs a width of at least 2 pixels: use pixels (fft=False, pixel_image) for 1.")
    return sizes, checks.number(decay_power, f"{function}'s decay_power")


class _PixelImage(Parameterization):
    """Parameters: `pixels`, channels first."""

    def __init__(self, shape: Sequence[int], sd: float, init: float | ArrayLike | None) -> None:
        super().__init__()
        self._sd = sd
        self._shape = tuple(shape)
        self._init = None if init is None else _initial(init, shape)
        self.pixels = torch.nn.Parameter(channels_first(torch.zeros(self._shape)).contiguous())

    def draw(self, source: RandomSource) -> None:
        value = self._init
        if value is None:
            value = channels_first(draw_normal(source, "pixels", self._shape, self._sd))
        with torch.no_grad():
            self.pixels.copy_(value)

    def compute(self, memo: Memo) -> torch.Tensor:
        return self.pixels


@parameterization
@checked
def pixel_image(
    shape: int | Sequence[int], sd: float | None = None, init_val: float | ArrayLike | None = None
) -> Parameterization:
    """An unbounded image parameterized by its pixels.

    Args:
        shape: [N, H, W, C]; any other shape, or the size of an only axis, gives a tensor of this shape.
        sd: Standard deviation of the initial pixels; 0 or None means 0.01.
        init_val: Initial image, [N, H, W, C] or broadcast to it, in place of noise.

    Raises:
        TypeError, ValueError: An argument is out of range.

    Example:
        >>> part = pixel_image((1, 8, 8, 3), init_val=[1.0, 0.0, 0.0])  # red
        >>> part()[0, :, 4, 4].tolist()
        [1.0, 0.0, 0.0]
    """
    if sd is not None and init_val is not None:
        warnings.warn("pixel_image got both `sd` and `init_val`: `sd` is not used.", stacklevel=stack_level())
    sizes = shape_of(shape, "pixel_image")
    return _PixelImage(sizes, deviation(sd, "pixel_image") or 0.01, init_val)


@checked
def bilinearly_sampled_image(texture: ArrayLike | Parameterization, uv: ArrayLike) -> torch.Tensor:
    """Samples a texture bilinearly at texture coordinates, as OpenGL does (wrapping, v upwards).

    Args:
        texture: [height, width, channels], in Lucid's axis order.
        uv: Coordinates, [..., 2]; (0, 0) is the lower left corner, (1, 1) the upper right.

    Returns:
        Tensor [..., channels], channels last.

    Raises:
        ValueError: The texture or the coordinates have another shape.

    Example:
        >>> texture = torch.tensor([[[1.0], [2.0]], [[3.0], [4.0]]])
        >>> bilinearly_sampled_image(texture, [[0.25, 0.75], [0.5, 0.75]])  # upper row: left, middle
        tensor([[1.0000],
                [1.5000]])
    """
    if isinstance(texture, Parameterization):
        texture = channels_last(texture())
    texture = as_tensor(texture)
    coordinates = as_tensor(uv).to(texture.device, texture.dtype)
    if texture.ndim != 3 or 0 in texture.shape[:2] or coordinates.ndim < 1 or coordinates.shape[-1] != 2:
        raise ValueError(
            "bilinearly_sampled_image takes a texture [height, width, channels] and coordinates [..., 2], not "
            f"{list(texture.shape)} and {list(coordinates.shape)}."
        )
    height, width = texture.shape[:2]
    u = coordinates[..., 0] * width - 0.5
    v = (1.0 - coordinates[..., 1]) * height - 0.5
    u0, v0, u1, v1 = u.floor(), v.floor(), u.ceil(), v.ceil()
    u_fraction, v_fraction = (u - u0)[..., None], (v - v0)[..., None]

    def at(column: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
        return texture[row.long() % height, column.long() % width]

    upper = at(u0, v0) * (1.0 - u_fraction) + at(u1, v0) * u_fraction
    lower = at(u0, v1) * (1.0 - u_fraction) + at(u1, v1) * u_fraction
    return upper * (1.0 - v_fraction) + lower * v_fraction


laplacian_pyramid = laplacian_pyramid_image
"""Lucid's older name."""

naive = pixel_image
"""Lucid's older name."""

sample_bilinear = bilinearly_sampled_image
"""Lucid's older name."""
