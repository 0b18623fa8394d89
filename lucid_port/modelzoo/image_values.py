"""Checks of the values of images, and of the numbers that map them to a network's input."""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import torch
from torch import Tensor

from converters.stack_level import stack_level
from lucid_port.misc.io.pictures import LOWEST, MOST, range_problem
from lucid_port.misc.tensors import is_traced

__all__ = ["LARGEST", "check_normalization", "warn_about_values"]

LARGEST = 2
"""Largest mean or standard deviation that is plausible for images in [0, 1], whose own are at most 1 and 0.5."""


def warn_about_values(image: Tensor) -> None:
    """Warns about an image whose values are NaN or far outside of [0, 1], for example in 0..255.

    It waits for the image's device, so that renders do not call it: they warn about their images themselves. An
    optimized image may leave [0, 1] on purpose, so that this is no error.

    Args:
        image: a batch of images.
    """
    if is_traced(image) or image.numel() == 0 or torch.compiler.is_compiling():
        return
    if image.is_cuda and torch.cuda.is_current_stream_capturing():
        return
    try:
        low, high = (float(end) for end in torch.aminmax(image.detach()))
    except (RuntimeError, NotImplementedError):  # tensors without numbers, as under torch.vmap or a fake mode
        return
    if not (low >= LOWEST and high <= MOST):
        warnings.warn(range_problem(low, high, "The image"), RuntimeWarning, stacklevel=stack_level())


def check_normalization(mean: Sequence[float], std: Sequence[float]) -> None:
    """Checks that a mean and a standard deviation are those of images in [0, 1], not in [0, 255].

    Args:
        mean, std: one number for each channel.

    Raises:
        ValueError: a number is larger than `LARGEST`.

    Example:
        >>> check_normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    """
    if max(map(abs, (*mean, *std)), default=0) > LARGEST:
        scaled = [tuple(round(number / 255, 5) for number in numbers) for numbers in (mean, std)]
        raise ValueError(
            f"mean {tuple(mean)} and std {tuple(std)} are those of images in [0, 255], and a model takes images in "
            f"[0, 1]: divide both by 255, mean={scaled[0]}, std={scaled[1]}."
        )
