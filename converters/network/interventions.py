"""Interventions: values that replace the outputs of layers."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

Given = Mapping[nn.Module, tuple[str, Tensor]]  # module -> (name of its layer, new output)


@contextlib.contextmanager
def giving(values: Given) -> Iterator[None]:
    """Context manager for one forward pass, in which the first outputs of some modules are replaced.

    Raises:
        ValueError: a module returns a value that is not a tensor during the pass.
    """
    handles = [module.register_forward_hook(_giving(name, value)) for module, (name, value) in values.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _giving(name: str, value: Tensor) -> Callable[[nn.Module, Any, Any], Tensor | None]:
    has_run = False

    def give(module: nn.Module, inputs: tuple[Any, ...], output: Any) -> Tensor | None:
        nonlocal has_run
        if has_run:
            return None
        if not isinstance(output, Tensor):
            raise ValueError(f"Layer {name!r} returns a {type(output).__name__}, which a tensor cannot replace.")
        has_run = True
        return value.clone()  # later layers may overwrite it in place

    return give
