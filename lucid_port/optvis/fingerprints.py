"""Fingerprints of networks."""

from __future__ import annotations

import hashlib

import torch

__all__ = ["fingerprint"]


def fingerprint(module: torch.nn.Module) -> str:
    """Returns a hash of a network, 16 hexadecimal digits.

    It covers the names, classes, settings (`extra_repr`) and number of hooks of the modules, and the
    names, shapes, dtypes and values of the weights.
    """
    digest = hashlib.sha256()
    for name, part in module.named_modules():
        hooks = len(part._forward_hooks) + len(part._forward_pre_hooks)
        digest.update(f"{name} {type(part).__qualname__} {part.extra_repr()} {hooks};".encode())
    for name, tensor in module.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype};".encode())
        plain = tensor.detach().cpu().flatten().clone(memory_format=torch.contiguous_format)
        digest.update(plain.view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()[:16]
