"""Names the values of a network while it runs: the values of its modules, and of the functions between them.

It serves networks that `torch.fx` cannot trace. The names are those that a trace would give, with one exception:
arithmetic on sizes calls no function of torch, so it is not counted.
"""

from __future__ import annotations

import sys
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FrameType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, _get_current_function_mode
from torch.utils.hooks import RemovableHandle

from converters.network.request import Function, ReluRule
from converters.tracing.elements import elements_of
from converters.tracing.naming import Numbering, function_name, output_name, unpacked


@dataclass(frozen=True)
class Call:
    """A call of a module or function.

    Attributes:
        name: name of its value.
        op: class of the module, or name of the function.
        module: path of the module; empty for functions, and for the network itself.
        is_inside: whether it was called inside of a module whose functions get no names.
    """

    name: str
    op: str
    module: str
    is_inside: bool = False


Visit = Callable[[Call, Any], Any]
"""Called with each value; returns the value that the network uses from there on."""


def is_leaf(module: nn.Module, origin: str | None = None) -> bool:
    """Returns whether functions inside of a module get no names: `torch.fx`'s rule for torch's own modules.

    Args:
        module: the module.
        origin: full name of the class that it stands for; None for its own class.
    """
    home = module.__module__ if origin is None else origin
    is_sequential = isinstance(module, nn.Sequential) or (origin or "").endswith(".Sequential")
    return home.startswith(("torch.nn", "torch.ao.nn")) and not is_sequential


def class_name(module: nn.Module, origin: str | None = None) -> str:
    """Returns the name of a module's class, or of the class that it stands for."""
    return type(module).__name__ if origin is None else origin.rpartition(".")[2]


class Recorder(TorchFunctionMode):
    """Context manager in which a network calls a function with each of its values, in the order of execution.

    Values of modules include those inside of torch's own modules, of which only the first has a name. The value that
    the network returns comes last, under the name of `output_name`.

    Args:
        root: the network.
        visit: the function.
        relu_rule: functions that replace every "Relu" or "Relu6", wherever it is called.
        origins: path of a module -> full name of the class that it stands for, in exported networks.
    """

    def __init__(
        self,
        root: nn.Module,
        visit: Visit,
        relu_rule: ReluRule = (),
        origins: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self._visit, self._functions, self._origins = visit, dict(relu_rule), origins or {}
        self._modules = {part: path for path, part in root.named_modules()}
        self._root = root
        self._leaves = {part for part, path in self._modules.items() if is_leaf(part, self._origins.get(path))}
        names = set(self._modules.values())
        self._numbering, self._output = Numbering(names), output_name(names)
        self._inside: set[str] = set()
        self._stack: list[nn.Module] = []
        self._handles: list[RemovableHandle] = []
        self._is_paused = False
        self._away: nn.Module | None = None  # the module of torch's that runs without this mode
        self._thread = threading.get_ident()
        self._constants: weakref.WeakValueDictionary[int, Tensor] = weakref.WeakValueDictionary()
        for part in self._modules:
            plain = (value for value in part.__dict__.values() if isinstance(value, Tensor))
            for tensor in (*part.buffers(recurse=False), *plain):
                self._constants[id(tensor)] = tensor

    def __enter__(self) -> Recorder:
        for part in self._modules:
            self._handles.append(part.register_forward_pre_hook(self._enter_module))
            self._handles.append(part.register_forward_hook(self._leave_module, always_call=True))
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        if self._away is None:
            super().__exit__(*error)
        for handle in self._handles:
            handle.remove()
        self._handles.clear()

    def _enter_module(self, module: nn.Module, inputs: Any) -> None:
        if threading.get_ident() != self._thread:
            return
        self._stack.append(module)
        if module in self._leaves and not self._functions and _get_current_function_mode() is self:
            super().__exit__(None, None, None)  # modules of torch choose faster kernels without a mode
            self._away = module

    def _leave_module(self, module: nn.Module, inputs: Any, output: Any) -> Any:
        if threading.get_ident() != self._thread or module not in self._stack:
            return None
        left = [self._stack.pop()]
        while left[-1] is not module:  # modules that were left by an exception
            left.append(self._stack.pop())
        if self._away in left:
            self._away = None
            super().__enter__()
        if sys.exc_info()[0] is not None and output is None:
            return None
        path = self._modules[module]
        op = class_name(module, self._origins.get(path))
        if module is self._root:
            result = self._visited(Call(self._output, op, ""), output)
        elif not self._is_in_leaf():
            result = self._visited(Call(self._numbering.name(path, path), op, path), output)
            if module in self._leaves:
                result = self._elements(result, sys._getframe(1))
        elif path in self._inside:
            return None
        else:
            self._inside.add(path)
            result = self._visited(Call(path, op, path, True), output)
        return None if result is output else result

    def _is_in_leaf(self) -> bool:
        return not self._leaves.isdisjoint(self._stack)

    def _visited(self, call: Call, value: Any) -> Any:
        """Calls the function with a value; the torch functions that it calls are not recorded."""
        self._is_paused = True
        try:
            return self._visit(call, value)
        finally:
            self._is_paused = False

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if self._is_paused or not self._stack:
            return func(*args, **given)
        instead = self._instead(func, args, given)
        result = func(*args, **given) if instead is None else instead
        if self._is_in_leaf():
            return result
        sources = list(_tensors((*args, *given.values())))
        if all(id(source) in self._constants for source in sources):
            self._constants.update((id(tensor), tensor) for tensor in _tensors(result))
            return result
        path = self._modules[self._stack[-1]]
        op = function_name(func, sys._getframe(1))
        name = self._numbering.name(f"{path}.{op}".removeprefix("."))
        for tensor in _tensors(result):  # constants that the call changed in place
            self._constants.pop(id(tensor), None)
        if next(_tensors(result), None) is not None:
            result = self._visited(Call(name, op, ""), result)
        return self._elements(result, sys._getframe(1))

    def _elements(self, value: Any, frame: FrameType) -> Any:
        """Visits the elements of a tuple that its caller takes right away."""
        if not isinstance(value, (tuple, list)) or not self._stack:
            return value
        path, items = self._modules[self._stack[-1]], list(value)
        for index in unpacked(frame):
            if not -len(items) <= index < len(items):
                continue
            name = self._numbering.name(f"{path}.getitem".removeprefix("."))
            if isinstance(items[index], Tensor):
                items[index] = self._visited(Call(name, "getitem", ""), items[index])
        if all(new is old for new, old in zip(items, value, strict=True)):
            return value
        return value._make(items) if hasattr(value, "_make") else type(value)(items)

    def _instead(self, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
        """Returns the value of a ReLU by the rule; None for other functions."""
        kind = relu_call(func, args, kwargs) if self._functions else None
        function: Function | None = None if kind is None else self._functions.get(kind[0])
        if kind is None or function is None:
            return None
        x: Tensor = args[0] if args else kwargs["input"]
        return x.copy_(function(x.clone())) if kind[1] else function(x)


def relu_call(func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[str, bool] | None:
    """Returns ("Relu" or "Relu6", whether in place) if a call computes it, else None."""
    name = getattr(func, "_overloadpacket", func)
    if name in _RELUS:
        kind, is_in_place = _RELUS[name]
        places = args[1:2] or (kwargs.get("inplace", False),)
        return kind, is_in_place or places[0] is True
    if name in (F.hardtanh, F.hardtanh_):
        call = dict(zip(("input", "min_val", "max_val", "inplace"), args, strict=False)) | dict(kwargs)
        if (call.get("min_val", -1.0), call.get("max_val", 1.0)) == (0, 6):
            return "Relu6", call.get("inplace", False) is True or name is F.hardtanh_
    return None


_RELUS: Mapping[Any, tuple[str, bool]] = {
    **dict.fromkeys((F.relu, torch.relu, Tensor.relu, torch.ops.aten.relu), ("Relu", False)),
    **dict.fromkeys((torch.relu_, F.relu_, Tensor.relu_, torch.ops.aten.relu_), ("Relu", True)),
    **dict.fromkeys((F.relu6, torch._C._nn.relu6, torch.ops.aten.relu6), ("Relu6", False)),
    torch.ops.aten.relu6_: ("Relu6", True),
}


def _tensors(value: object) -> Iterator[Tensor]:
    """Yields the tensors in nested lists, tuples, mappings and dataclasses."""
    if isinstance(value, Tensor):
        yield value
        return
    for item in elements_of(value).values():
        yield from _tensors(item)
