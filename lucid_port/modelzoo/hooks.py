"""What modules give in one pass of a network, read by forward hooks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from converters.network.interventions import Given, giving


class _Found(Exception):
    """Ends a forward pass when all asked layers have their values."""


class _Reading:
    """What the hooks of one pass see.

    Args:
        separate: names of the layers whose values are overwritten behind them.
        wanted: how many values are to be found before the pass ends; None for a pass that runs to its end.

    Attributes:
        found: name of a layer -> the first value that its module gave.
    """

    def __init__(self, separate: set[str], wanted: int | None) -> None:
        self.found: dict[str, Tensor] = {}
        self._separate = separate
        self._wanted = wanted
        self._versions: dict[str, int] = {}

    def hook(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        """A forward hook that reads a layer.

        Raises:
            ValueError: when it runs, the layer's value is no tensor.
        """

        def read(module: nn.Module, inputs: Any, output: Any) -> None:
            if name in self.found:
                return
            if not isinstance(output, Tensor):
                kind = type(output).__name__
                raise ValueError(f"Layer {name!r} gives a {kind}, not a tensor; ask for a layer inside it.")
            self.found[name] = self._kept(name, output)
            if len(self.found) == self._wanted:
                raise _Found

        return read

    def _kept(self, name: str, output: Tensor) -> Tensor:
        if output.is_inference():  # such tensors do not tell whether they are overwritten, and have no gradients
            return output.clone()
        if name not in self._separate:
            self._versions[name] = output._version
            return output
        kept = output.clone()
        output.copy_(kept)  # now all that reads the original, under whatever name, depends on what is handed out
        return kept

    def overwritten(self) -> set[str]:
        """The layers of which somebody overwrote what was read, so that it is not what they gave."""
        return {name for name, version in self._versions.items() if self.found[name]._version != version}


def read_by_hooks(
    run: Callable[[], object],
    modules: Mapping[str, nn.Module],
    given: Given,
    separate: set[str],
    whole: bool = False,
) -> dict[str, Tensor]:
    """The first value that each of some modules gives in a pass, with gradients with respect to those before it.

    Values are the network's own tensors, not copies, unless the pass overwrites them; then it is made again.

    Args:
        run: makes the pass.
        modules: name of a layer -> its module.
        given: modules that give another value when they first run; it is what is read of them.
        separate: names of layers that are known to be overwritten; what turns up is added.
        whole: whether the pass runs to its end, not only up to the last of the layers.

    Raises:
        ValueError: a layer's value is no tensor.
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
