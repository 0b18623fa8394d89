"""Images that are drawn anew at each evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from converters.signatures import checked
from lucid_port.misc.tensors import to_device
from lucid_port.optvis.param.base import Memo, Parameterization, deviation, parameterization
from lucid_port.optvis.param.color import to_valid_rgb
from lucid_port.optvis.param.spatial import fft_arguments, fft_to_image, rfft2d_freqs
from lucid_port.optvis.sampling import RandomSource

__all__ = ["image_sample", "rand_fft_image"]


class _RandomFFT(Parameterization):
    place: torch.Tensor  # follows the module to its device and dtype

    def __init__(self, shape: Sequence[int], sd: float, decay_power: float) -> None:
        super().__init__()
        self._shape = tuple(shape)
        self._sd, self._decay_power = sd, decay_power
        self._source = RandomSource()
        self.register_buffer("place", torch.zeros(()), persistent=False)

    def draw(self, source: RandomSource) -> None:
        self._source = source

    def compute(self, memo: Memo) -> torch.Tensor:
        batch, height, width, channels = self._shape
        size = (2, channels, *rfft2d_freqs(height, width).shape)
        noise = self._source.normal("noise", size, images=batch, axis=1)
        spectrum = to_device(noise.astype(np.float32), self.place.device, self.place.dtype)
        return fft_to_image(self._sd * spectrum, height, width, self._decay_power)


@parameterization
def rand_fft_image(shape: Sequence[int], sd: float | None = None, decay_power: float = 1) -> Parameterization:
    """Noise with a 1/f spectrum, drawn anew at each evaluation and for each image.

    Args:
        shape: [N, H, W, C].
        sd: Standard deviation of the Fourier coefficients; None means 0.01, and 0 means 0.
        decay_power: Exponent of 1/f.
    """
    sizes, power = fft_arguments(shape, decay_power, "image_sample")
    checked = deviation(sd, "image_sample")
    return _RandomFFT(sizes, 0.01 if checked is None else checked, power)


@parameterization
@checked
def image_sample(
    shape: Sequence[int],
    decorrelate: bool = True,
    sd: float | None = None,
    decay_power: float = 1,
) -> Parameterization:
    """A random image in (0, 1) with a 1/f spectrum, drawn anew at each evaluation.

    Args:
        shape: [N, H, W, C].
        decorrelate: Whether to use the color correlation of ImageNet.
        sd: Standard deviation of the Fourier coefficients; None means 0.01, and 0 means 0.
        decay_power: Exponent of 1/f.

    Raises:
        TypeError, ValueError: An argument is out of range.

    Example:
        >>> sample = image_sample((1, 16, 16, 3))
        >>> bool((sample() == sample()).all())
        False
    """
    return to_valid_rgb(rand_fft_image(shape, sd, decay_power), decorrelate=decorrelate)
