"""Reads values of a running network in one forward pass: by forward hooks, or with the functions between modules."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from converters.network.interventions import Given, giving
from converters.network.request import ReluRule
from converters.tracing.elements import tensor_of
from converters.tracing.recording import Call, Recorder
from lucid_port.modelzoo.torch_layers import Target


class _Found(Exception):
    """Raised to stop the forward pass when all requested layers have been read."""


class _Reading:
    """The values that are read in one forward pass.

    Args:
        separate: names of layers whose output is overwritten in place later in the pass.
        wanted: number of values after which the pass stops; None for a complete pass.

    Attributes:
        found: `Target.key` -> first value of the layer.
    """

    def __init__(self, separate: set[str], wanted: int | None) -> None:
        self.found: dict[str, Tensor] = {}
        self._separate = separate
        self._wanted = wanted
        self._versions: dict[str, int] = {}

    def hook(self, target: Target) -> Callable[[nn.Module, Any, Any], None]:
        """Returns a forward hook that reads a layer. The hook raises ValueError if the output is not a tensor."""

        def read(module: nn.Module, inputs: Any, output: Any) -> None:
            self.read(target, output)

        return read

    def read(self, target: Target, output: Any) -> None:
        """Reads the value of a layer, or an element of it, if it is the first one.

        Raises:
            ValueError: the value is not a tensor.
        """
        name = target.key
        if name in self.found:
            return
        self.found[name] = self._kept(name, tensor_of(output, target.info.name, target.element))
        if len(self.found) == self._wanted:
            raise _Found

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
    modules: Mapping[Target, nn.Module],
    given: Given,
    separate: set[str],
    whole: bool = False,
) -> dict[str, Tensor]:
    """Reads the first output of each module in one forward pass. Gradients flow between the outputs.

    The values are the network's own tensors. If the pass overwrites one in place, it is run again with a copy.

    Args:
        run: runs the forward pass.
        modules: layer, or element of its value -> module.
        given: interventions: modules whose first output is replaced. The replacement is also the value that is read.
        separate: names of layers that are known to be overwritten in place. Further ones are added to the set.
        whole: run the complete pass instead of stopping at the last of the layers.

    Raises:
        ValueError: the output of a module is not a tensor.
    """

    def run_once(reading: _Reading) -> None:
        handles: list[RemovableHandle] = []
        try:
            with giving(given):
                handles += [module.register_forward_hook(reading.hook(target)) for target, module in modules.items()]
                run()
        finally:
            for handle in handles:
                handle.remove()

    return _read(run_once, separate, None if whole else len(modules))


def read_by_recording(
    run: Callable[[], object],
    recorder: Callable[[Callable[[Call, Any], Any], ReluRule], Recorder],
    targets: Sequence[Target],
    given: Mapping[str, Tensor],
    rule: ReluRule,
    separate: set[str],
) -> dict[str, Tensor]:
    """Reads layers, functions included, in one forward pass that stops at the last of them; see `read_by_hooks`.

    Args:
        run: runs the forward pass.
        recorder: makes the recorder of the network from `visit` and `relu_rule`.
        targets: layers, or elements of their values.
        given: layer name -> value that replaces the first value of the layer.
        rule: functions that replace the network's ReLUs.
        separate: names of layers that are known to be overwritten in place. Further ones are added to the set.

    Raises:
        ValueError: the value of a layer is not a tensor.
    """
    wanted: dict[str, list[Target]] = {}
    for target in targets:
        wanted.setdefault(target.info.name, []).append(target)

    def run_once(reading: _Reading) -> None:
        def visit(call: Call, value: Any) -> Any:
            if call.name in given:
                tensor_of(value, call.name)
                value = given[call.name].clone()  # later functions may overwrite it in place
            for target in wanted.get(call.name, ()):
                reading.read(target, value)
            return value

        with recorder(visit, rule):
            run()

    return _read(run_once, separate, len(targets))


def _read(run_once: Callable[[_Reading], None], separate: set[str], wanted: int | None) -> dict[str, Tensor]:
    """Runs a forward pass, and again with copies of the values that it overwrites."""
    while True:
        reading = _Reading(separate, wanted)
        with contextlib.suppress(_Found):
            run_once(reading)
        new = reading.overwritten()
        if not new:
            return reading.found
        separate |= new
