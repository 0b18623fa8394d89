"""The precision of the network's part of a step.

The image, transforms, parameterization, objective and optimizer of a render are always float32. By default the network
is computed in float32 without TF32, too, as in the comparisons with Lucid. `docs/speed.md` describes how the other
precisions change the numbers, and when they are faster.
"""

from __future__ import annotations

import contextlib
import functools
import warnings
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec, TypeVar

import torch

from lucid_port.misc import checks
from lucid_port.misc.stack_level import stack_level

__all__ = ["PRECISIONS", "check_precision", "strictly", "tf32"]

PRECISIONS = ("float32", "tf32", "bf16")
"""Values of `precision`: strict float32, TF32 in convolutions and matrix products on a GPU, bfloat16 in the network."""

P = ParamSpec("P")
R = TypeVar("R")


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Context manager that allows or forbids TF32 in CUDA's convolutions and matrix products.

    The setting belongs to the process, not to the thread: do not enter the context with different values in several
    threads.
    """
    convolutions = torch.backends.cudnn
    precisions = _new_precisions()
    matmul, of_convolutions = _read(torch.get_float32_matmul_precision), _read(lambda: convolutions.allow_tf32)
    try:
        torch.set_float32_matmul_precision("high" if allowed else "highest")
        convolutions.allow_tf32 = allowed
        for owner, _ in precisions:  # unset settings would follow a global setting
            owner.fp32_precision = "tf32" if allowed else "ieee"
        yield
    finally:
        if matmul is not None:
            torch.set_float32_matmul_precision(matmul)
        if of_convolutions is not None:
            convolutions.allow_tf32 = of_convolutions
        for owner, precision in precisions:
            owner.fp32_precision = precision


def strictly(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator that disables TF32 within a function, as in renders by default."""

    @functools.wraps(function)
    def within(*args: P.args, **kwargs: P.kwargs) -> R:
        with tf32(False):
            return function(*args, **kwargs)

    return within


def _read(setting: Callable[[], R]) -> R | None:
    """Reads a setting. Returns None if torch refuses, as it does when only the newer settings below were set."""
    try:
        return setting()
    except RuntimeError:
        return None


def _new_precisions() -> list[tuple[Any, str]]:
    """Returns the settings of torch 2.9 and later with their values; the older settings change them, too."""
    cudnn = torch.backends.cudnn
    owners: tuple[Any, ...] = (torch.backends.cuda.matmul, getattr(cudnn, "conv", None), getattr(cudnn, "rnn", None))
    return [(owner, str(owner.fp32_precision)) for owner in owners if hasattr(cudnn, "conv")]


def check_precision(precision: str, device: torch.device) -> None:
    """Checks that a precision is one of `PRECISIONS`, and warns if it has no effect on a device.

    Raises:
        ValueError: The precision is unknown.
    """
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise ValueError(f"precision is one of {', '.join(map(repr, PRECISIONS))}, not {checks.shown(precision)}.")
    if precision == "tf32" and device.type != "cuda":
        warnings.warn(
            f"precision='tf32' does nothing on device {str(device)!r}: TF32 is a mode of NVIDIA GPUs.",
            stacklevel=stack_level(),
        )
