"""Follows marks through all ops of a pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten
from torch.utils.weak import WeakIdKeyDictionary

from converters.tracing.fake import silent_errors
from lucid_port.modelzoo.fields.marks import Marks, four, thin
from lucid_port.modelzoo.fields.rules import RULES, Call, NoRuleError, joined, pointwise

LARGEST = 8_000_000
"""Number of different marks of a value above which a pass is given up."""


class TooLargeError(RuntimeError):
    """Too many marks for the memory."""


class FieldMode(TorchDispatchMode):
    """A mode that follows the marks through all ops of a pass."""

    def __init__(self) -> None:
        super().__init__()
        self._known: Any = WeakIdKeyDictionary()
        # Marks of memory whose views cannot be followed. The weak references keep addresses from being used again.
        self._overwritten: dict[int, tuple[StorageWeakRef, Marks]] = {}

    def set(self, value: Tensor, marks: Marks) -> None:
        """Sets the marks of a tensor."""
        self._known[value] = marks

    def marks(self, value: Tensor) -> Marks | None:
        """Returns the marks of a tensor; None if it depends on no pixel."""
        known = self._known.get(value)
        if known is None and self._overwritten and (found := self._overwritten.get(_storage(value))) is not None:
            return found[1].map(lambda m: m.expand(value.shape))
        return known

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        is_norm = func is torch.ops.aten._native_batch_norm_legit_no_training.default
        if is_norm and isinstance(args[0], FakeTensor):  # its shapes by torch's decomposition take 20 ms
            result = (torch.empty_like(args[0]), args[0].new_empty(0), args[0].new_empty(0))
        else:
            result = func(*args, **kwargs)
        tensors = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, Tensor)]
        returns = any(isinstance(one, Tensor) for one in tree_flatten(result)[0])
        if returns and any(self.marks(one) is not None for one in tensors):
            with unset_fake_temporarily():
                self._follow(func, args, kwargs, tensors, result)
        return result

    def _follow(self, func: Any, args: Any, kwargs: Any, tensors: Sequence[Tensor], result: Any) -> None:
        name = func._schema.name.removeprefix("aten::")
        is_in_place = name.endswith("_") and not name.endswith("__")
        base = name if name in RULES else name.removesuffix("_") if is_in_place else name
        call = Call(base, args, kwargs, self.marks, result, _functional(func) if is_in_place else func)
        rule = RULES.get(base) or (pointwise if torch.Tag.pointwise in func.tags else None)
        try:
            if rule is None:
                raise NoRuleError
            found = rule(call)
        except NoRuleError:
            found = self._box(tensors, result)
        results = [result] if isinstance(result, Tensor) else list(result) if isinstance(result, (list, tuple)) else []
        marks = list(found) if isinstance(found, (list, tuple)) else [found]
        for one, mark in zip(results, marks, strict=False):
            if isinstance(one, Tensor) and mark is not None:
                if thin(mark.field[0]).numel() > LARGEST:
                    raise TooLargeError(f"A value has more than {LARGEST} marks.")
                if is_in_place and self._known.get(one) is not mark:
                    self._overwrite(one, mark)
                self._known[one] = mark

    def _box(self, tensors: Sequence[Tensor], result: Any) -> Any:
        """Returns marks of one box around the marks of all inputs, for each tensor of a result."""
        found = [marks for one in tensors if (marks := self.marks(one)) is not None]
        box = joined([(one, lambda m: thin(m).amin()) for one in found], ())

        def of(value: Any) -> Any:
            return _boxed(box, value) if isinstance(value, Tensor) else None

        return of(result) if isinstance(result, Tensor) else [of(one) for one in result or ()]

    def _overwrite(self, value: Tensor, marks: Marks) -> None:
        """Notes an in-place change for other tensors with the same memory."""
        storage = value.untyped_storage()._cdata
        before = self._known.get(value)
        others = [one for one in list(self._known.keys()) if one is not value and _storage(one) == storage]
        if before is None or others or value._is_view():
            parts = [(marks, lambda m: thin(m).amin())]
            parts += [(self._known[one], lambda m: thin(m).amin()) for one in others]
            box = joined(parts, ())
            self._overwritten[storage] = StorageWeakRef(value.untyped_storage()), Marks(box.field, box.field, False)
            for one in others:
                same = (one.shape, one.stride(), one.storage_offset())
                if same == (value.shape, value.stride(), value.storage_offset()):
                    self._known[one] = marks
                else:
                    self._known[one] = _boxed(box, one)


def _storage(value: Tensor) -> int:
    return value.untyped_storage()._cdata


def _boxed(box: Marks, value: Tensor) -> Marks:
    """Returns marks of a tensor that depends on one box of pixels, as a bound."""
    field = four(mark.expand(value.shape) for mark in box.field)
    return Marks(field, field, False)


def _functional(func: Any) -> Any:
    """Returns the op that computes the same as an op that works in place."""
    packet = getattr(torch.ops.aten, func._schema.name.removeprefix("aten::").removesuffix("_"), None)
    return packet if packet is not None else func


@contextmanager
def following(fake: bool) -> Iterator[FieldMode]:
    """A context in which marks are followed.

    Args:
        fake: whether tensors have shapes only, so that a pass takes little time and memory.
    """
    fast_path = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        # The fast path computes a whole block of attention in one op, for which there is no rule.
        torch.backends.mha.set_fastpath_enabled(False)
        stack.callback(torch.backends.mha.set_fastpath_enabled, fast_path)
        stack.enter_context(torch.no_grad())
        if fake:
            stack.enter_context(silent_errors())
            stack.enter_context(FakeTensorMode(allow_non_fake_inputs=True))
        yield stack.enter_context(FieldMode())
