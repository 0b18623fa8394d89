"""Restores the state that a network writes in its forward pass: buffers, attributes, and the random state."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode

from converters.stack_level import stack_level

Result = TypeVar("Result")
_Slot = tuple[dict[str, Any], str]  # a dictionary of a module, and the key of a tensor in it


class StateGuard:
    """Runs a network so that its buffers and attributes are afterwards as before.

    A pass that writes a buffer in place works on a copy, so that the write takes effect inside of the pass, and
    gradients that need the written values can be computed afterwards. The first pass finds the buffers that are
    written.

    Args:
        module: the network.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._written: set[tuple[nn.Module, str]] = set()
        self._saved: dict[tuple[nn.Module, str], tuple[Tensor, int, Tensor]] = {}

    @property
    def written(self) -> list[str]:
        """Paths of the buffers that passes were seen to write."""
        paths = {part: path for path, part in self._module.named_modules()}
        return sorted(f"{paths.get(part, '')}.{key}".removeprefix(".") for part, key in self._written)

    def run(self, function: Callable[[], Result]) -> Result:
        """Runs a function that calls the network, a second time if it was seen to write further buffers."""
        if torch.compiler.is_compiling():
            return function()
        while True:
            before = self._versions()
            try:
                with untouched(self._module):
                    self._replace_written()
                    result = function()
            finally:
                changed = self._restore(before)
            if not changed:
                return result

    def _versions(self) -> dict[tuple[nn.Module, str], tuple[Tensor, int]]:
        """Saves the values of the state, if they are new, and returns its tensors with their version counters."""
        found = {}
        for part, slots, key in _state(self._module):
            tensor, place = slots[key], (part, key)
            if self._is_copied(part, key, tensor):
                continue
            saved = self._saved.get(place)
            if saved is None or saved[0] is not tensor or saved[1] != tensor._version:
                self._saved[place] = (tensor, tensor._version, tensor.detach().clone())
            found[place] = tensor, tensor._version
        return found

    def _replace_written(self) -> None:
        for part, slots, key in _state(self._module):
            if self._is_copied(part, key, slots[key]):
                slots[key] = slots[key].clone()

    def _is_copied(self, part: nn.Module, key: str, tensor: Tensor) -> bool:
        """Returns whether passes get a copy of a tensor.

        The version counter shows no writes of batch statistics in training mode, and inference tensors have none.
        """
        return (part, key) in self._written or part.training or tensor.is_inference()

    def _restore(self, before: dict[tuple[nn.Module, str], tuple[Tensor, int]]) -> bool:
        """Restores tensors that were changed in place; returns whether there were any."""
        changed = [place for place, (tensor, version) in before.items() if tensor._version != version]
        for place in changed:
            tensor, _, value = self._saved.pop(place)
            with torch.no_grad():
                tensor.copy_(value)
            self._written.add(place)
        return bool(changed)


class NoGuard(StateGuard):
    """Runs a network as it is: for copies whose modules keep what the hooks of other tools write into them."""

    def run(self, function: Callable[[], Result]) -> Result:
        """Runs a function that calls the network."""
        return function()


class RandomGuard:
    """Runs passes of a network so that torch's random state is afterwards as before.

    The passes of a network that draws random numbers all start from the same state, so that they can be repeated. The
    first pass that draws warns. Passes of other networks cost a comparison of the random state.
    """

    def __init__(self) -> None:
        self._draws = False

    def run(self, function: Callable[[], Result], x: Tensor) -> Result:
        """Runs a pass, a second time if it is the first that draws.

        Args:
            function: runs the pass.
            x: its input.
        """
        device = x.device
        if torch.compiler.is_compiling() or isinstance(x, FakeTensor):
            return function()
        if device.type == "cuda" and torch.cuda.is_current_stream_capturing():
            return function()
        if not self._draws:
            before = _random_states(device)
            result = function()
            if all(map(torch.equal, before, _random_states(device))) or not _draws(function, device):
                return result  # other threads may have drawn meanwhile
            for generator, state in zip(_generators(device), before, strict=True):
                generator.set_state(state)
            self._draws = True
            warnings.warn(
                "The network draws random numbers in its forward pass, as dropout in training does: each pass draws "
                "the same ones, and the random state stays as it is.",
                RuntimeWarning,
                stacklevel=stack_level(),
            )
        with _seeded(device):
            return function()


class _DrawSpy(TorchDispatchMode):
    """Notes whether an operator draws random numbers."""

    draws = False

    def __torch_dispatch__(
        self, func: OpOverload, types: Sequence[type], args: Sequence[Any] = (), kwargs: Any = None
    ) -> Any:
        self.draws = self.draws or torch.Tag.nondeterministic_seeded in func.tags
        return func(*args, **(kwargs or {}))


def _draws(function: Callable[[], object], device: torch.device) -> bool:
    with _seeded(device), torch.no_grad(), _DrawSpy() as spy:
        function()
    return spy.draws


def _generators(device: torch.device) -> list[torch.Generator]:
    """Returns the generators that a network on a device draws from."""
    cuda = [torch.cuda.default_generators[device.index or 0]] if device.type == "cuda" else []
    return [torch.default_generator, *cuda]


def _random_states(device: torch.device) -> list[Tensor]:
    return [generator.get_state() for generator in _generators(device)]


@contextlib.contextmanager
def _seeded(device: torch.device) -> Iterator[None]:
    """A context in which torch draws from a fixed state; at its end the random state is as before."""
    with same_random_state(device):
        for generator in _generators(device):
            generator.manual_seed(0)
        yield


def _state(module: nn.Module) -> Iterator[tuple[nn.Module, dict[str, Any], str]]:
    """Yields the buffers and the attributes that are tensors, as keys of the dictionaries that hold them."""
    for part in module.modules():
        for slots in (part._buffers, part.__dict__):
            for key, value in slots.items():
                if isinstance(value, Tensor):
                    yield part, slots, key


@contextlib.contextmanager
def untouched(module: nn.Module) -> Iterator[None]:
    """A context that restores the attributes of all modules at its end: containers and buffers included."""
    before = [(slots, dict(slots)) for part in module.modules() for slots in (part.__dict__, part._buffers)]
    held = [(value, value.copy()) for slots, values in before for value in _containers(values)]
    try:
        yield
    finally:
        for slots, values in before:
            for key in set(slots) - set(values):
                del slots[key]
            slots.update(values)
        for container, items in held:
            _refill(container, items)


_OWN = frozenset(nn.Module().__dict__)  # attributes of every module, such as its hooks


def _containers(values: dict[str, Any]) -> list[Any]:
    """Returns the lists, dictionaries and sets among the attributes of a module."""
    return [value for key, value in values.items() if key not in _OWN and type(value) in (list, dict, set)]


def _refill(container: Any, items: Any) -> None:
    """Gives a container its former items. They are compared by identity, as tensors have no equality."""
    pairs = [list(one.items()) if isinstance(one, dict) else list(enumerate(one)) for one in (container, items)]
    if len(container) != len(items) or any(k != j or a is not b for (k, a), (j, b) in zip(*pairs, strict=True)):
        container.clear()
        (container.extend if isinstance(container, list) else container.update)(items)


@contextlib.contextmanager
def same_random_state(device: torch.device) -> Iterator[None]:
    """A context that restores torch's random state at its end."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        yield
