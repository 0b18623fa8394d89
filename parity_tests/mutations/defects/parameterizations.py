"""Defects of parameterizations."""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np
import torch

from lucid_port.optvis.param import color, lowres, spatial
from parity_tests.mutations.patching import Patches
from parity_tests.mutations.registry import NOTEBOOKS, PARAMS, mutation

# A function of this name hides the module, as in Lucid.
cppn = importlib.import_module("lucid_port.optvis.param.cppn")


@mutation(PARAMS, "fft or image")
def fft_odd_width_cropped(p: Patches) -> None:
    """Odd widths are transformed back to their own width, without Lucid's extra column."""

    def inverse(spectrum: torch.Tensor, scale: torch.Tensor, height: int, width: int) -> torch.Tensor:
        scaled = torch.complex(spectrum[0] * scale, spectrum[1] * scale)
        return torch.fft.irfft2(scaled, s=(height, width)) / 4.0

    p.everywhere(spatial._inverse, inverse)


@mutation(PARAMS, "fft or image")
def fft_without_quarter(p: Patches) -> None:
    """The division of the image by 4 is missing."""
    original = spatial._inverse
    p.everywhere(original, lambda *args: 4 * original(*args))


@mutation(PARAMS, "fft or image")
def fft_without_pixel_count(p: Patches) -> None:
    """The factor sqrt(width * height) of the spectrum is missing."""
    original = spatial.fft_scale

    def scale(height: int, width: int, decay_power: float = 1) -> np.ndarray:
        return (original(height, width, decay_power) / np.sqrt(width * height)).astype(np.float32)

    p.everywhere(original, scale)


@mutation(PARAMS, "fft or image")
def fft_floor_from_the_shorter_side(p: Patches) -> None:
    """The lowest frequency is taken from the shorter side of the image."""

    def scale(height: int, width: int, decay_power: float = 1) -> np.ndarray:
        decay = np.maximum(spatial.rfft2d_freqs(height, width), 1.0 / min(width, height)) ** decay_power
        return (np.sqrt(width * height) / decay).astype(np.float32)

    p.everywhere(spatial.fft_scale, scale)


@mutation(PARAMS, "to_valid_rgb or image")
def colour_matrix_transposed(p: Patches) -> None:
    """The colour matrix is applied from the other side."""
    matrix = color.color_correlation_normalized
    p.everywhere(matrix, np.ascontiguousarray(matrix.T))


@mutation(PARAMS, "to_valid_rgb or image")
def colour_norm_by_rows(p: Patches) -> None:
    """The colour matrix is divided by its largest row norm, not its largest column norm."""
    matrix = color.color_correlation_svd_sqrt
    norm = np.linalg.norm(matrix, axis=1).max()
    p.everywhere(color.color_correlation_normalized, (matrix / norm).astype(np.float32))


@mutation(PARAMS, "lowres")
def lowres_offset_without_the_edge(p: Patches) -> None:
    """An offset tensor mirrors without repeating its edge."""

    def shifted(tensor: torch.Tensor, offsets: Any) -> torch.Tensor:
        for axis, offset in enumerate(offsets):
            size = tensor.shape[axis]
            if offset and size > offset:
                index = torch.cat([torch.arange(1, offset + 1).flip(0), torch.arange(size)])[:size]
                tensor = tensor.index_select(axis, index)
        return tensor

    p.everywhere(lowres.offset_tensor, shifted)


@mutation(PARAMS, "cppn")
def cppn_x_and_y_swapped(p: Patches) -> None:
    """The first coordinate of a CPPN counts rows."""
    original = cppn.coordinate_grid
    p.everywhere(original, lambda width: original(width).flip(1))


@mutation(NOTEBOOKS, "cppn")
def cppn_starts_with_a_pattern(p: Patches) -> None:
    """The last layer of a CPPN does not start at zero, so that its first image is not flat."""
    original = cppn._Layer.reset
    p.attribute(cppn._Layer, "reset", lambda self, source, last: original(self, source, False))


@mutation(NOTEBOOKS, "initial")
def cppn_untruncated(p: Patches) -> None:
    """Initial weights of a CPPN are not cut at two standard deviations."""
    p.everywhere(cppn._truncated_normal, lambda source, name, size: torch.from_numpy(source.normal(name, size)))
