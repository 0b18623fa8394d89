"""Values that layers give in the place of their own."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

Given = Mapping[nn.Module, tuple[str, Tensor]]  # module -> its layer's name, and the value that it gives


@contextlib.contextmanager
def giving(values: Given) -> Iterator[None]:
    """Context for one pass of a network, in which some modules give other values than their own when they first run.

    Raises:
        ValueError: in the pass, a module gives something else than a tensor.
    """
    handles = [module.register_forward_hook(_giving(name, value)) for module, (name, value) in values.items()]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _giving(name: str, value: Tensor) -> Callable[[nn.Module, Any, Any], Tensor | None]:
    has_run = False

    def give(module: nn.Module, inputs: Any, output: Any) -> Tensor | None:
        nonlocal has_run
        if has_run:
            return None
        if not isinstance(output, Tensor):
            raise ValueError(f"Layer {name!r} gives a {type(output).__name__}, in whose place no tensor can be given.")
        has_run = True
        return value.clone()  # what follows may work on it in place

    return give
