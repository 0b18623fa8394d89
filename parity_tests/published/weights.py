"""Weights: An Overview of Early Vision (2020) and Curve Circuits (2021)."""

from __future__ import annotations

import numpy as np

from lucid_port.modelzoo.vision_base import Model
from lucid_port.recipes.weights import first_layer_kernels
from parity_tests.published.checks import check, eight_bit
from parity_tests.published.files import Published, Recorder

KERNELS = "ev_conv2d012_unit_images.npz"


def _kernel_bytes(model: Model) -> np.ndarray:
    return np.round(first_layer_kernels(model, "conv2d0") * 255).astype(np.uint8)


def _record_kernels(model: Model, recorder: Recorder) -> None:
    recorder.arrays(KERNELS, {"conv2d0": _kernel_bytes(model)})


@check("first_kernels", KERNELS, record=_record_kernels)
def first_kernels(model: Model, published: Published) -> None:
    """The 64 kernels of conv2d0, each from its least to its greatest value, in bytes."""
    eight_bit("kernels of conv2d0", _kernel_bytes(model), published.arrays(KERNELS)["conv2d0"])
