"""Compiles the network's part of a step, once for each image size."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import torch

from converters.network.request import LayerRequest
from converters.stack_level import stack_level

__all__ = ["MOST_SIZES", "Compilation", "obstacle"]

MOST_SIZES = 16
"""Maximum number of image sizes that one render compiles; `standard_transforms` give 11."""

Compute = Callable[[torch.Tensor, LayerRequest, bool], Mapping[str, torch.Tensor]]
Compiled = Callable[[torch.Tensor], tuple[torch.Tensor, ...]]


def obstacle(device: torch.device) -> str | None:
    """Returns why torch.compile cannot work for a device on this machine, or None if it can."""
    from torch._inductor import cpp_builder, exc

    if device.type == "cuda":
        from torch.utils._triton import has_triton

        return None if has_triton() else "the package triton is missing or does not support this GPU"
    try:
        cpp_builder.get_cpp_compiler()
    except exc.InvalidCxxCompiler:
        return "no C++ compiler was found; install g++ or name one in the variable CXX"
    return None


class Compilation:
    """The network's part of a step, compiled once for each image size, so that images are not padded.

    Args:
        compute: Computes a request for an image, with the ReLU rule of later updates or without it.
        device: Device of the network.

    Attributes:
        has_cuda_graphs: Whether results are overwritten by the next call.
    """

    def __init__(self, compute: Compute, device: torch.device) -> None:
        self._compute = compute
        self.has_cuda_graphs = device.type == "cuda"
        self._mode = "reduce-overhead" if self.has_cuda_graphs else None
        self._functions: dict[tuple[Any, ...], Compiled | None] = {}
        self._warned = False

    def function(self, image: torch.Tensor, request: LayerRequest, overridden: bool) -> Compiled | None:
        """Returns the compiled function for images of this shape, or None if there are too many shapes."""
        key = (tuple(image.shape), request, overridden, torch.is_autocast_enabled(image.device.type))
        if key not in self._functions:
            self._functions[key] = None if self._is_full(key) else self._compiled(request, overridden)
        return self._functions[key]

    def _is_full(self, key: tuple[Any, ...]) -> bool:
        full = sum(other[1:] == key[1:] for other in self._functions) >= MOST_SIZES
        if full and not self._warned:
            self._warned = True
            warnings.warn(
                f"The transforms give images of more than {MOST_SIZES} sizes: those beyond are computed without "
                "compilation, as each size is compiled separately.",
                stacklevel=stack_level(),
            )
        return full

    def _compiled(self, request: LayerRequest, overridden: bool) -> Compiled:
        def compute(image: torch.Tensor) -> tuple[torch.Tensor, ...]:
            # The ReLU rule is entered in here, because a mode around a compiled function does not intercept its calls.
            return tuple(self._compute(image, request, overridden).values())

        compiled: Compiled = torch.compile(compute, dynamic=False, mode=self._mode)
        return _prepared(compute, compiled, recompile_limit=8 * MOST_SIZES)


def _prepared(function: Compiled, compiled: Compiled, recompile_limit: int) -> Compiled:
    """Wraps a compiled function; raises torch's limit of compilations per source line during its first call."""
    from torch._dynamo import config

    name = "recompile_limit" if hasattr(config, "recompile_limit") else "cache_size_limit"
    ready = False

    def call(image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        nonlocal ready
        if ready:
            return compiled(image)
        with torch.no_grad():
            function(image)  # a model may set itself up in its first call, which must not be traced
        with config.patch({name: max(recompile_limit, getattr(config, name))}):
            values = compiled(image)
        ready = True
        return values

    return call
