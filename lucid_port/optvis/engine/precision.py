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

from converters import checks
from converters.stack_level import stack_level

__all__ = ["PRECISIONS", "as_stated", "check_precision", "outside_inference", "strictly", "tf32"]

PRECISIONS = ("float32", "tf32", "bf16")
"""Values of `precision`: strict float32, TF32 in convolutions and matrix products on a GPU, bfloat16 in the network."""

P = ParamSpec("P")
R = TypeVar("R")


@contextlib.contextmanager
def tf32(allowed: bool) -> Iterator[None]:
    """Context manager that allows or forbids TF32 in CUDA's convolutions and matrix products.

    On a CPU, float32 is always computed as float32, not in bfloat16 or TF32 as oneDNN can.

    The setting belongs to the process, not to the thread: do not enter the context with different values in several
    threads.
    """
    convolutions = torch.backends.cudnn
    precisions = _new_precisions()
    matmul, of_convolutions = _read(torch.get_float32_matmul_precision), _read(lambda: convolutions.allow_tf32)
    try:
        torch.set_float32_matmul_precision("high" if allowed else "highest")
        convolutions.allow_tf32 = allowed
        for owner, on_cpu, _ in precisions:  # unset settings would follow a global setting
            owner.fp32_precision = "tf32" if allowed and not on_cpu else "ieee"
        yield
    finally:
        if matmul is not None:
            torch.set_float32_matmul_precision(matmul)
        if of_convolutions is not None:
            convolutions.allow_tf32 = of_convolutions
        for owner, _, precision in precisions:
            owner.fp32_precision = precision


@contextlib.contextmanager
def as_stated(device: torch.device, allows_tf32: bool = False) -> Iterator[None]:
    """Context manager in which a step has its stated precision, whatever the caller's own contexts are.

    It disables `torch.autocast` and `torch.inference_mode` of the caller, and allows or forbids TF32.

    Args:
        device: Device of the step.
        allows_tf32: Whether TF32 is allowed on a GPU.
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        for kind in {"cpu", device.type}:
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        stack.enter_context(tf32(allows_tf32))
        yield


def outside_inference(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator that disables the caller's `torch.inference_mode`, whose tensors have no gradients.

    Unlike torch's own, its frame is the port's, so that warnings name the user's line.
    """

    @functools.wraps(function)
    def within(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch.inference_mode(False):
            return function(*args, **kwargs)

    return within


def strictly(function: Callable[P, R]) -> Callable[P, R]:
    """Decorator that computes a function in strict float32, as renders by default: without TF32 and autocast."""

    @functools.wraps(function)
    def within(*args: P.args, **kwargs: P.kwargs) -> R:
        with as_stated(torch.device("cuda" if torch.cuda.is_available() else "cpu")):
            return function(*args, **kwargs)

    return within


def _read(setting: Callable[[], R]) -> R | None:
    """Reads a setting. Returns None if torch refuses, as it does when only the newer settings below were set."""
    try:
        return setting()
    except RuntimeError:
        return None


def _new_precisions() -> list[tuple[Any, bool, str]]:
    """Returns the settings of torch 2.9 and later: owner, whether it is for CPUs, value. The older change them, too."""
    cudnn, onednn = torch.backends.cudnn, torch.backends.mkldnn
    if not hasattr(cudnn, "conv"):
        return []
    owners = [(torch.backends.cuda.matmul, False), (cudnn.conv, False), (cudnn.rnn, False)]
    owners += [(getattr(onednn, name), True) for name in ("matmul", "conv", "rnn") if hasattr(onednn, name)]
    return [(owner, on_cpu, str(owner.fp32_precision)) for owner, on_cpu in owners]


STRICT = frozenset({"none", "ieee", "highest"})
"""Values of the settings below under which float32 is computed as float32."""


def settings_of_cpu() -> tuple[Callable[[], str], ...]:
    """Returns functions that read the settings on which float32 products on a CPU depend."""
    onednn = torch.backends.mkldnn
    owners = [torch.backends, onednn, *(getattr(onednn, name, None) for name in ("matmul", "conv", "rnn"))]
    newer = [functools.partial(getattr, one, "fp32_precision") for one in owners if hasattr(one, "fp32_precision")]
    return torch.get_float32_matmul_precision, *newer


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
