"""Contexts that restore a network, its hooks and the random state after a pass that describes it."""

from __future__ import annotations

import contextlib
import functools
import gc
import random
import sys
from collections.abc import Container, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor

_HOOKS = ("_forward_hooks", "_forward_pre_hooks")


@contextlib.contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """Restores a network's attributes, lists and dictionaries in them, buffers, and random states.

    Within the context the network's forward hooks do not run, except those that belong to the network: hooks of torch
    itself, such as that of `torch.nn.utils.prune`, and of the installed package that defines a module, such as those by
    which transformers collects hidden states.
    """
    parts = list(module.modules())
    before = [(part, dict(part.__dict__)) for part in parts]
    containers = [saved for _, attributes in before for value in attributes.values() for saved in _saved(value)]
    plain = [value for _, attributes in before for value in attributes.values() if isinstance(value, Tensor)]
    tensors = [tensor for tensor in (*module.buffers(), *plain) if not tensor.is_inference()]
    buffers = [(tensor, tensor._version, tensor.detach().clone()) for tensor in tensors]
    states = random.getstate(), np.random.get_state()  # noqa: NPY002  # the state that a network's own code may use
    has_fastpath = torch.backends.mha.get_fastpath_enabled()
    devices = {tensor.device for tensor in (*module.parameters(), *module.buffers()) if tensor.is_cuda}
    try:
        with torch.random.fork_rng(devices=[device.index for device in devices]):
            torch.backends.mha.set_fastpath_enabled(False)  # the fast path does not call the modules inside
            packages = _packages(parts)
            for part in parts:
                _suspend_hooks(part, packages)
            yield
    finally:
        for part, attributes in before:
            part.__dict__.clear()
            part.__dict__.update(attributes)
        for container, contents in containers:
            _restore(container, contents)
        with torch.no_grad():
            for buffer, version, value in buffers:
                if buffer._version != version:
                    buffer.copy_(value)
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.backends.mha.set_fastpath_enabled(has_fastpath)


def _packages(parts: Sequence[nn.Module]) -> set[str]:
    """Returns the names of the installed packages that define modules, and torch."""
    names = {type(part).__module__.partition(".")[0] for part in parts}
    files = {name: getattr(sys.modules.get(name), "__file__", None) or "" for name in names}
    return {
        "torch",
        *(name for name, file in files.items() if {"site-packages", "dist-packages"} & {*Path(file).parts}),
    }


def _suspend_hooks(part: nn.Module, packages: Container[str]) -> None:
    for attribute in _HOOKS:
        hooks = part.__dict__[attribute]
        if hooks:
            kept = {key: hook for key, hook in hooks.items() if _package_of(hook) in packages}
            part.__dict__[attribute] = type(hooks)(kept)


def _package_of(hook: object) -> str:
    home = getattr(hook, "__module__", None) or type(hook).__module__
    return str(home).partition(".")[0]


def _saved(value: object, depth: int = 2) -> list[tuple[Any, Any]]:
    """Returns the lists, dictionaries and sets in a value, each with a copy of its contents."""
    if not depth or not isinstance(value, (dict, list, set)):
        return []
    inner = value.values() if isinstance(value, dict) else value
    return [(value, value.copy()), *(saved for one in inner for saved in _saved(one, depth - 1))]


def _restore(container: Any, contents: Any) -> None:
    if isinstance(container, list):
        container[:] = contents
    else:
        container.clear()
        container.update(contents)


def forget_fake_tensors() -> None:
    """Clears the caches of functions (`functools.lru_cache`) that keep fake tensors."""
    for cache in [one for one in gc.get_objects() if type(one) is functools._lru_cache_wrapper]:
        if _keeps_fake_tensors(cache):
            cache.cache_clear()


def _keeps_fake_tensors(cache: object, depth: int = 4) -> bool:
    for one in gc.get_referents(cache):
        if isinstance(one, FakeTensor):
            return True
        is_container = isinstance(one, (dict, list, tuple)) or type(one).__name__ == "_lru_list_elem"
        if depth and is_container and not isinstance(one, Tensor) and _keeps_fake_tensors(one, depth - 1):
            return True
    return False
