"""Images that are random anew at every evaluation."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from lucid_port.misc.tensors import to_device
from lucid_port.optvis.param.base import Memo, Parameterization, parameterization
from lucid_port.optvis.param.color import to_valid_rgb
from lucid_port.optvis.param.spatial import deviation, fft_arguments, fft_to_image, rfft2d_freqs
from lucid_port.optvis.sampling import RandomSource

__all__ = ["image_sample", "rand_fft_image"]


class _RandomFFT(Parameterization):
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
        place = self.place
        assert isinstance(place, torch.Tensor)
        spectrum = to_device(noise.astype(np.float32), place.device, place.dtype)
        return fft_to_image(self._sd * spectrum, height, width, self._decay_power)


@parameterization
def rand_fft_image(shape: Sequence[int], sd: float | None = None, decay_power: float = 1) -> Parameterization:
    """Noise with a 1/f spectrum, new at each evaluation and for each image.

    Args:
        shape: [N, H, W, C].
        sd: standard deviation of the coefficients; None means 0.01, and 0 gives zero.
        decay_power: exponent of the scale.
    """
    sizes, power = fft_arguments(shape, decay_power, "image_sample")
    checked = deviation(sd, "image_sample")
    return _RandomFFT(sizes, 0.01 if checked is None else checked, power)


@parameterization
def image_sample(
    shape: Sequence[int],
    decorrelate: bool = True,
    sd: float | None = None,
    decay_power: float = 1,
) -> Parameterization:
    """A random image in (0, 1), new at each evaluation; arguments as in `rand_fft_image`.

    Args:
        shape: [N, H, W, C].
        decorrelate: give it the colours of natural images.
        sd: standard deviation of the coefficients.
        decay_power: exponent of the scale.
    """
    return to_valid_rgb(rand_fft_image(shape, sd, decay_power), decorrelate=decorrelate)
