"""A dispatch mode that follows the roles of axes through all operators of a forward pass."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.weak import WeakTensorKeyDictionary

from converters.tracing.axes import layer_rules  # noqa: F401  # registers its rules
from converters.tracing.axes.call import RULES, Call
from converters.tracing.axes.factors import Axes, Description, Factor, RuleError, Unknown
from converters.tracing.axes.rules import elementwise

_FRESH = frozenset(
    (
        *("zeros_like", "ones_like", "full_like", "empty_like", "rand_like", "randn_like", "randint_like"),
        *("new_zeros", "new_ones", "new_full", "new_empty", "new_empty_strided"),
    )
)  # their result depends only on the shape of their input


class AxisTracker(TorchDispatchMode):
    """Describes each tensor of a forward pass by the roles of its axes.

    Args:
        names: id of a parameter or buffer -> its name, for the names of tokens.
        images: number of images in the batch.
    """

    def __init__(self, names: Mapping[int, str], images: int) -> None:
        super().__init__()
        self._names = names
        self._images = images
        self._described: Any = WeakTensorKeyDictionary()
        self._constants: Any = WeakTensorKeyDictionary()  # constant -> name of its parameter
        self._bases: Any = WeakTensorKeyDictionary()  # view of a constant -> the constant
        self._made: list[weakref.ref[Tensor]] = []  # constants that the pass computed

    def start(self, image: Tensor, layout: str) -> None:
        """Describes the network's input by one letter an axis."""
        self._described[image] = tuple((Factor(role, size),) for role, size in zip(layout, image.shape, strict=True))

    def describe(self, value: Tensor) -> Description | None:
        """Returns the description of a tensor; None if it does not depend on the image."""
        return self._described.get(value)

    def name_of(self, constant: Tensor) -> str:
        """Returns the name of the parameter that a constant is computed from, or ""."""
        return self._names.get(id(constant)) or self._constants.get(constant, "")

    def has_survivors(self) -> bool:
        """Returns whether tensors of the pass are still alive."""
        return len(self._described) > 0 or any(constant() is not None for constant in self._made)

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func.namespace == "prim":
            return func(*args, **kwargs)
        op = _name(func)
        if op not in RULES and func._can_decompose() and _is_composite(func):
            with self:
                found = func.decompose(*args, **kwargs)
            if found is not NotImplemented:
                return found
        output = _run(func, op, args, kwargs)
        self._follow(func, op, args, kwargs, output)
        return output

    def _follow(self, func: Any, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        outputs = [output] if isinstance(output, Tensor) else list(output) if isinstance(output, (list, tuple)) else []
        outputs = [value for value in outputs if isinstance(value, Tensor)]
        inputs = list(_tensors((*args, *kwargs.values())))
        data = [value for value in inputs if value in self._described]
        if not outputs or op in _FRESH or not data:
            self._made += [weakref.ref(value) for value in outputs]
        if not outputs or op in _FRESH:
            return
        if not data:
            self._follow_constants(func, inputs, outputs)
            return
        found = self._by_rule(func, op, args, kwargs, output, outputs)
        for value, description in zip(outputs, found, strict=True):
            if description is not None:
                self._write(value, description, is_new=not any(value is one for one in inputs))

    def _by_rule(
        self, func: Any, op: str, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any, outputs: Sequence[Tensor]
    ) -> Sequence[Description | None]:
        names = [argument.name for argument in func._schema.arguments]
        arguments = {**dict(zip(names, args, strict=False)), **kwargs}
        for argument in func._schema.arguments:
            if argument.has_default_value():
                arguments.setdefault(argument.name, argument.default_value)
        call = Call(op, arguments, output, self._described.get, self.name_of, self._images)
        try:
            found = RULES.get(op, elementwise)(call)
        except RuleError as error:
            return [Unknown(str(error))] * len(outputs)
        if isinstance(found, list):
            return found
        rest: list[Description | None] = [Unknown(f"it is a further result of {op}")] * (len(outputs) - 1)
        return [_checked(found, outputs[0], op), *rest]

    def _write(self, value: Tensor, description: Description, is_new: bool) -> None:
        """Describes a result; if it is a part of a constant that was written, the constant as well."""
        self._described[value] = description
        base = self._bases.get(value)
        if is_new or base is None or base in self._described:
            return
        if isinstance(description, Unknown) or len(description) != base.ndim:
            self._described[base] = Unknown("values of the image are written into a part of a constant")
            return
        self._described[base] = tuple(
            axis if size == part else (Factor(axis[0].role if axis else "G", size),)
            for axis, size, part in zip(description, base.shape, value.shape, strict=True)
        )

    def _follow_constants(self, func: Any, inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> None:
        name = next((name for value in inputs if (name := self.name_of(value))), "")
        is_view = bool(inputs) and any(result.alias_info is not None for result in func._schema.returns)
        for value in outputs:
            if any(value is one for one in inputs):
                continue
            if name:
                self._constants[value] = name
            if is_view:
                self._bases[value] = self._bases.get(inputs[0], inputs[0])


def _run(func: Any, op: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Runs an operator. With fake tensors, norms of batches take a short way: torch decomposes them step by step."""
    is_fake = op == "native_batch_norm" and isinstance(args[0], FakeTensor)
    if not is_fake or args[5]:  # in training mode
        return func(*args, **kwargs)
    return torch.empty_like(args[0]), args[0].new_empty(0), args[0].new_empty(0)


def _name(func: Any) -> str:
    """Returns the name of an operator; those that work in place have the name of the others."""
    name: str = func._schema.name.split("::")[1]
    return name.rstrip("_") if not name.startswith("__") else name


def _is_composite(func: Any) -> bool:
    return bool(func.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd))


def _checked(axes: Axes, value: Tensor, op: str) -> Description:
    if len(axes) != value.ndim:
        return Unknown(f"the rule of {op} does not fit its result")
    return axes


def _tensors(values: Any) -> Any:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)
