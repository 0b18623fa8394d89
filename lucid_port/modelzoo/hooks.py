"""Reads the outputs of modules in one forward pass with forward hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from converters.network.interventions import Given, giving


class _Found(Exception):
    """Raised by a hook to stop the forward pass when all requested layers have been read."""


class _Reading:
    """The values that the hooks of one forward pass read.

    Args:
        separate: names of layers whose output is overwritten in place later in the pass.
        wanted: number of values after which the pass stops; None for a complete pass.

    Attributes:
        found: layer name -> first output of its module.
    """

    def __init__(self, separate: set[str], wanted: int | None) -> None:
        self.found: dict[str, Tensor] = {}
        self._separate = separate
        self._wanted = wanted
        self._versions: dict[str, int] = {}

    def hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        """Returns a forward hook that reads a layer. The hook raises ValueError if the output is not a tensor."""

        def read(module: nn.Module, inputs: Any, output: Any) -> None:
            if name in self.found:
                return
            if not isinstance(output, Tensor):
                kind = type(output).__name__
                raise ValueError(f"Layer {name!r} returns a {kind}, not a tensor: use a layer inside it.")
            self.found[name] = self._kept(name, output)
            if len(self.found) == self._wanted:
                raise _Found

        return read

    def _kept(self, name: str, output: Tensor) -> Tensor:
        if output.is_inference():  # inference tensors have no version counter, and no gradients
            return output.clone()
        if name not in self._separate:
            self._versions[name] = output._version
            return output
        kept = output.clone()
        output.copy_(kept)  # makes the original and its aliases depend on the returned tensor, for gradients
        return kept

    def overwritten(self) -> set[str]:
        """Returns the names of the layers whose value was overwritten in place after it was read."""
        return {name for name, version in self._versions.items() if self.found[name]._version != version}


def read_by_hooks(
    run: Callable[[], object],
    modules: Mapping[str, nn.Module],
    given: Given,
    separate: set[str],
    whole: bool = False,
) -> dict[str, Tensor]:
    """Reads the first output of each module in one forward pass. Gradients flow between the outputs.

    The values are the network's own tensors. If the pass overwrites one in place, it is run again with a copy.

    Args:
        run: runs the forward pass.
        modules: layer name -> module.
        given: interventions: modules whose first output is replaced. The replacement is also the value that is read.
        separate: names of layers that are known to be overwritten in place. Further ones are added to the set.
        whole: run the complete pass instead of stopping at the last of the layers.

    Raises:
        ValueError: the output of a module is not a tensor.
    """
    while True:
        reading = _Reading(separate, None if whole else len(modules))
        handles: list[RemovableHandle] = []
        try:
            with giving(given):
                handles += [module.register_forward_hook(reading.hook(name)) for name, module in modules.items()]
                run()
        except _Found:
            pass
        finally:
            for handle in handles:
                handle.remove()
        new = reading.overwritten()
        if not new:
            return reading.found
        separate |= new
