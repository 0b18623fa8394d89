"""Contexts in which an attribution leaves the user's settings as they are."""

from __future__ import annotations

import contextlib
import random
import warnings
from collections.abc import Iterator

import numpy as np
import torch
from torch import nn

from converters.errors import MissingPackageError

__all__ = ["evaluating", "need_captum", "quiet", "seeded"]

_EXPECTED = (
    r"(?s)Setting (forward, )?backward hooks",
    r"(?s)Input Tensor \d+ did not already require gradients",
    r"(?s)The neuron_selector provided is a callable",
    r"(?s)Internal batch size cannot be less",
)
"""Captum's warnings about hooks that it removes, gradients that it wants, and batches that this package chose."""


def need_captum() -> None:
    """Raises MissingPackageError if Captum is not installed."""
    try:
        import captum.attr  # noqa: F401
    except ImportError:
        raise MissingPackageError("Attribution needs the package captum: pip install -e '.[captum]'.") from None


@contextlib.contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Context in which torch, NumPy and Python draw from a seed. Their states are restored."""
    devices = [device] if device.type == "cuda" else []
    of_numpy, of_python = np.random.get_state(), random.getstate()  # noqa: NPY002 (Captum draws from it)
    with torch.random.fork_rng(devices=devices):
        torch.default_generator.manual_seed(seed)
        if devices:
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        np.random.seed(seed % 2**32)  # noqa: NPY002
        random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(of_numpy)  # noqa: NPY002
            random.setstate(of_python)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Context in which all modules are in evaluation mode. Their own modes are restored."""
    training = [module for module in model.modules() if module.training]
    try:
        for module in training:
            module.training = False
        yield
    finally:
        for module in training:
            module.training = True


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Context in which Captum does not warn of its own hooks and batches."""
    with warnings.catch_warnings():
        for message in _EXPECTED:
            warnings.filterwarnings("ignore", message=message)
        yield
