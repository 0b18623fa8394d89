"""Runs of a network without numbers, which find the sizes of its values: they need no memory and hardly any time."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensor,
    FakeTensorMode,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
)
from torch.utils._pytree import tree_leaves, tree_map_only

__all__ = ["UNKNOWN", "run_without_numbers", "silent_errors", "unchanged", "uncompiled"]

Result = TypeVar("Result")

UNKNOWN = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedFakeTensorException,
    UnsupportedOperatorException,
    NotImplementedError,
)
"""Errors of a run without numbers that say nothing of a run with numbers."""

_LOG = logging.getLogger("torch._subclasses.fake_tensor")


def run_without_numbers(run: Callable[[Tensor], Result], network: object, shape: Sequence[int], like: Tensor) -> Result:
    """Runs a network on an image whose values do not exist. Only the sizes of the result are known.

    Args:
        run: the computation, a function of the image.
        network: the network, whose modules keep their attributes, buffers included.
        shape: shape of the image.
        like: a tensor of the image's dtype and device.

    Raises:
        Exception: any error of the network. Errors of the types `UNKNOWN` come from this kind of run itself.

    Example:
        >>> layer = nn.Linear(8, 2)
        >>> run_without_numbers(layer, layer, (5, 8), torch.zeros(0)).shape
        torch.Size([5, 2])
    """
    fake = _WithoutNumbers(allow_non_fake_inputs=True)
    with silent_errors(), uncompiled(), unchanged(network), torch.no_grad(), fake:
        return run(torch.empty(tuple(shape), dtype=like.dtype, device=like.device))


class _WithoutNumbers(FakeTensorMode):
    """A fake mode in which small constants keep their numbers, as networks compute shapes from them."""

    def __torch_dispatch__(
        self, func: OpOverload, types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        given = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
        fixed = not func._schema.is_mutable and torch.Tag.nondeterministic_seeded not in func.tags
        if given and fixed and all(_is_small_constant(value) for value in given):
            args, kwargs = tree_map_only(FakeTensor, lambda value: value.constant, (args, kwargs or {}))
            return func(*args, **kwargs)
        return super().__torch_dispatch__(func, types, args, kwargs or {})


_SMALL = 64
"""Most elements of a constant that a network computes a shape from."""


def _is_small_constant(value: Tensor) -> bool:
    if isinstance(value, FakeTensor):
        return value.constant is not None
    return value.numel() <= _SMALL and value.device.type == "cpu"


@contextlib.contextmanager
def unchanged(network: object) -> Iterator[None]:
    """A context that restores the attributes of all modules at its end: buffers, dictionaries and lists included.

    The values of tensors are not restored.
    """
    modules = list(network.modules()) if isinstance(network, nn.Module) else []
    before = [(part, dict(part.__dict__), _contents(part)) for part in modules]
    try:
        yield
    finally:
        for part, attributes, contents in before:
            for key in set(part.__dict__) - set(attributes):
                del part.__dict__[key]
            part.__dict__.update(attributes)
            for name, items in contents.items():
                _restore(part.__dict__[name], items)


Container = dict[Any, Any] | list[Any]


def _contents(part: nn.Module) -> dict[str, Container]:
    return {name: value.copy() for name, value in part.__dict__.items() if type(value) in (dict, list)}


def _restore(held: Any, items: Any) -> None:
    """Gives a dictionary or a list its former items. They are compared by identity, as tensors have no equality."""
    pairs = [list(one.items() if isinstance(one, dict) else enumerate(one)) for one in (held, items)]
    same = len(held) == len(items) and all(a == c and b is d for (a, b), (c, d) in zip(*pairs, strict=True))
    if not same:
        held.clear()
        held.update(items) if isinstance(held, dict) else held.extend(items)


@contextlib.contextmanager
def uncompiled() -> Iterator[None]:
    """A context in which compiled modules and functions run their own code.

    A compiled kernel reads the memory of its inputs, which tensors without numbers lack, and modes miss its calls.
    """
    if "torch._dynamo" not in sys.modules or torch.compiler.is_compiling():  # nothing is compiled
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield


@contextlib.contextmanager
def silent_errors() -> Iterator[None]:
    """Keeps torch from logging the errors of fake tensors, which the callers expect."""
    level = _LOG.level
    _LOG.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        _LOG.setLevel(level)
