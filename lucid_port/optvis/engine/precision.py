"""The precision of the network's part of a step.

The image, transforms, parameterization, objective and optimizer of a render are float32 in any case. By default the
network is computed in float32, too, without TF32: that is compared with Lucid. `docs/speed.md` says how the other
choices change the numbers, and when they pay.
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
"""Values of `precision`: strict; TF32 in convolutions and matrix products of a GPU; bfloat16 in the network."""

P = ParamSpec("P")
R = TypeVar("R")


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Context in which CUDA's convolutions and matrix products may use TF32, or may not; afterwards all is as before.

    The setting is the process's, not the thread's: do not enter it with different values in several threads.
    """
    convolutions = torch.backends.cudnn
    precisions = _new_precisions()
    matmul, of_convolutions = _read(torch.get_float32_matmul_precision), _read(lambda: convolutions.allow_tf32)
    try:
        torch.set_float32_matmul_precision("high" if allowed else "highest")
        convolutions.allow_tf32 = allowed
        for owner, _ in precisions:  # where they are not set themselves, a setting for all of them counts
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
    """Decorator for what computes with a network outside of a render: without TF32, as renders do by default."""

    @functools.wraps(function)
    def within(*args: P.args, **kwargs: P.kwargs) -> R:
        with tf32(False):
            return function(*args, **kwargs)

    return within


def _read(setting: Callable[[], Any]) -> Any:
    """A setting; None where torch refuses to read it, because only the newer settings below were made."""
    try:
        return setting()
    except RuntimeError:
        return None


def _new_precisions() -> list[tuple[Any, str]]:
    """The settings that torch has since 2.9, with their values; those above write them, too."""
    cudnn = torch.backends.cudnn
    owners: tuple[Any, ...] = (torch.backends.cuda.matmul, getattr(cudnn, "conv", None), getattr(cudnn, "rnn", None))
    return [(owner, str(owner.fp32_precision)) for owner in owners if hasattr(cudnn, "conv")]


def check_precision(precision: str, device: torch.device) -> None:
    """Refuses names that are none of `PRECISIONS`; warns where one does nothing.

    Raises:
        ValueError: another name.
    """
    if not isinstance(precision, str) or precision not in PRECISIONS:
        raise ValueError(f"precision is one of {', '.join(map(repr, PRECISIONS))}, not {checks.shown(precision)}.")
    if precision == "tf32" and device.type != "cuda":
        warnings.warn(
            f"precision='tf32' does nothing on device {str(device)!r}: TF32 is a mode of NVIDIA GPUs.",
            stacklevel=stack_level(),
        )
