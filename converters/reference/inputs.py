"""Specifications of inputs that are reproducible bit for bit on any machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

Shape = tuple[int, ...]


class ReferencesError(ValueError):
    """Reference files contradict each other, or an input cannot be reproduced."""


@dataclass(frozen=True)
class InputSpec:
    """How to make an input, bit for bit, on any machine.

    Attributes:
        kind: `noise` (uniform), `steps` (uniform over eight values, so that many are equal and zero is among them),
            `texture` (uniform at four scales, more like an image), or `photo` (a picture that ships with scikit-image,
            cropped and subsampled by whole pixels, without interpolation).
        shape: (N, H, W, C).
        low: minimum of each channel, or one minimum for all. A photo's pixel p becomes p / 255 * (high - low) + low.
        high: maximum of each channel, or one maximum for all.
        seed: seed of random inputs.
        bgr: whether a photo's channels are blue, green, red.
    """

    kind: str
    shape: Shape
    low: tuple[float, ...]
    high: tuple[float, ...]
    seed: int = 0
    bgr: bool = False

    def make(self) -> np.ndarray:
        """Returns the input, (N, H, W, C) float32.

        Raises:
            ImportError: the input is a photo and scikit-image is not installed.
            ReferencesError: the kind is unknown.
        """
        if self.kind not in _KINDS:
            raise ReferencesError(f"There is no input of kind {self.kind!r}; there are {', '.join(sorted(_KINDS))}.")
        low, high = np.array(self.low), np.array(self.high)
        return (_KINDS[self.kind](self) * (high - low) + low).astype(np.float32)


def _noise(spec: InputSpec) -> np.ndarray:
    return np.random.RandomState(spec.seed).random_sample(spec.shape)


def _steps(spec: InputSpec) -> np.ndarray:
    return np.floor(_noise(spec) * 8) / 8


def _texture(spec: InputSpec) -> np.ndarray:
    random, (count, height, width, channels) = np.random.RandomState(spec.seed), spec.shape
    total = np.zeros(spec.shape)
    for block in (1, 4, 16, 64):
        coarse = random.random_sample((count, -(-height // block), -(-width // block), channels))
        total += coarse.repeat(block, 1).repeat(block, 2)[:, :height, :width]
    return total / 4


def _photo(spec: InputSpec) -> np.ndarray:
    from skimage import data

    count, height, width, channels = spec.shape
    picture = data.astronaut()[::2, ::2][:height, :width, :channels]
    if spec.bgr:
        picture = picture[..., ::-1]
    return np.repeat(picture[None].astype(np.float64) / 255.0, count, 0)


_KINDS: Mapping[str, Callable[[InputSpec], np.ndarray]] = {
    "noise": _noise,
    "steps": _steps,
    "texture": _texture,
    "photo": _photo,
}


def array_sha256(array: np.ndarray) -> str:
    """Returns the SHA-256 of an array's bytes."""
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
