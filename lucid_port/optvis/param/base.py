"""What parameterizations have in common: evaluation, arithmetic, initial values, plain data."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from lucid_port.misc import checks
from lucid_port.optvis import serialization
from lucid_port.optvis.sampling import RandomSource

__all__ = [
    "Derived",
    "Parameterization",
    "Wrapped",
    "as_parameterization",
    "channels_first",
    "channels_last",
    "parameterization",
]

Memo = dict[int, torch.Tensor]


def channels_first(tensor: torch.Tensor) -> torch.Tensor:
    """Move the last axis before the two spatial axes ([..., H, W, C] to [..., C, H, W])."""
    return tensor.movedim(-1, -3) if tensor.ndim >= 3 else tensor


def channels_last(tensor: torch.Tensor) -> torch.Tensor:
    """Inverse of `channels_first`."""
    return tensor.movedim(-3, -1) if tensor.ndim >= 3 else tensor


class Parameterization(torch.nn.Module):
    """An image, or a part of one, as a function of parameters.

    Calling it returns the tensor, channels first: NCHW for an image. Arithmetic, indexing,
    reshaping and stacking make new parameterizations that share the parameters. Axes in
    arguments are in Lucid's order, channels last: `p[..., :3]` are the first three channels.

    Initial values are drawn when `reset` is called (by a render, from its random source),
    or on first use from the default seed.
    """

    def __init__(self) -> None:
        super().__init__()
        self.recipe: tuple[str, dict[str, Any]] | None = None
        self._ready = False

    # evaluation

    def forward(self) -> torch.Tensor:
        """The current image, channels first."""
        if not self.ready:
            self.reset(RandomSource())
        return self.evaluate({})

    def evaluate(self, memo: Memo) -> torch.Tensor:
        """The value within one evaluation: a part that occurs twice is computed once."""
        key = id(self)
        if key not in memo:
            memo[key] = self.compute(memo)
        return memo[key]

    def compute(self, memo: Memo) -> torch.Tensor:
        """The value, from `evaluate` of the parts."""
        raise NotImplementedError

    def nhwc(self) -> torch.Tensor:
        """The current image with Lucid's axis order."""
        return channels_last(self())

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape in Lucid's axis order."""
        with torch.no_grad():
            return tuple(channels_last(self.evaluate({})).shape)

    # initial values

    @property
    def ready(self) -> bool:
        """Whether every part has its initial values."""
        return all(part._ready for part in self.leaves())

    def leaves(self) -> Iterator[Parameterization]:
        """The parts that own parameters or draws, in a fixed order, each once."""
        for module in self.modules():
            if isinstance(module, Parameterization) and module.is_leaf():
                yield module

    def is_leaf(self) -> bool:
        """Whether this part draws for itself."""
        return type(self).draw is not Parameterization.draw

    def reset(self, source: RandomSource) -> Parameterization:
        """Draw new initial values, part by part; the n-th part draws in the scope `n`."""
        for index, part in enumerate(self.leaves()):
            part.draw(source.scope(str(index)))
            part._ready = True
        return self

    def draw(self, source: RandomSource) -> None:
        """Set this part's own parameters from `source`."""

    # plain data

    def to_data(self) -> dict[str, Any]:
        """Plain-data form: `{"param": name, "args": {...}}`.

        Raises:
            NotSerialisable: it was made by something that cannot be named.
        """
        if self.recipe is None:
            raise serialization.NotSerialisable(
                f"{type(self).__name__} was made by a user's own code and has no plain-data form."
            )
        parts = [id(part) for part in _parts(self)]
        if len(set(parts)) < len(parts):
            raise serialization.NotSerialisable(
                "Two parts of the parameterization share their parameters, which its plain-data form cannot say."
            )
        name, args = self.recipe
        return {"param": name, "args": serialization.to_data(args)}

    # arithmetic, in Lucid's axis order

    def __add__(self, other: Any) -> Parameterization:
        return _binary("add", self, other)

    def __radd__(self, other: Any) -> Parameterization:
        return _binary("add", other, self)

    def __sub__(self, other: Any) -> Parameterization:
        return _binary("sub", self, other)

    def __rsub__(self, other: Any) -> Parameterization:
        return _binary("sub", other, self)

    def __mul__(self, other: Any) -> Parameterization:
        return _binary("mul", self, other)

    def __rmul__(self, other: Any) -> Parameterization:
        return _binary("mul", other, self)

    def __truediv__(self, other: Any) -> Parameterization:
        return _binary("truediv", self, other)

    def __rtruediv__(self, other: Any) -> Parameterization:
        return _binary("truediv", other, self)

    def __neg__(self) -> Parameterization:
        return _binary("mul", -1.0, self)

    __array_priority__ = 100  # so that numpy_number * parameterization comes here

    def __getitem__(self, index: Any) -> Parameterization:
        return take(self, encode_index(index))

    def reshape(self, *shape: Any) -> Parameterization:
        """Reshape in Lucid's axis order."""
        return reshape(self, shape[0] if isinstance(shape[0], (list, tuple)) else shape)

    def map(self, function: Callable[[torch.Tensor], torch.Tensor]) -> Parameterization:
        """Apply a function of the channels-first tensor; the result has no plain-data form."""
        return Derived(function, [self])


class Derived(Parameterization):
    """A function of other parameterizations.

    Args:
        function: of the parts' tensors, channels first unless `last`.
        parts: the parameterizations.
        last: give and take channels-last tensors.
    """

    def __init__(
        self,
        function: Callable[..., torch.Tensor],
        parts: Sequence[Parameterization],
        last: bool = False,
    ) -> None:
        super().__init__()
        self.parts = torch.nn.ModuleList(parts)
        self._function = function
        self._last = last

    def compute(self, memo: Memo) -> torch.Tensor:
        values = [part.evaluate(memo) for part in self.parts]  # type: ignore[operator]
        if not self._last:
            return self._function(*values)
        return channels_first(self._function(*(channels_last(v) for v in values)))


class Wrapped(Parameterization):
    """Any module without inputs, or tensor, that gives a channels-first image."""

    def __init__(self, image: torch.nn.Module | torch.Tensor) -> None:
        super().__init__()
        self.image: torch.nn.Module | torch.Tensor
        if isinstance(image, torch.Tensor) and image.is_leaf and image.requires_grad:
            if not isinstance(image, torch.nn.Parameter):
                image = torch.nn.Parameter(image.detach())
            self.image = image
        elif isinstance(image, torch.nn.Module):
            self.image = image
        else:
            self.register_buffer("image", image)

    def compute(self, memo: Memo) -> torch.Tensor:
        return self.image() if isinstance(self.image, torch.nn.Module) else self.image


class Constant(Parameterization):
    """A fixed number or array, in Lucid's axis order."""

    def __init__(self, value: Any) -> None:
        super().__init__()
        checks.finite_values(value, "A constant in a parameterization")
        array = np.asarray(value.detach().cpu() if isinstance(value, torch.Tensor) else value)
        tensor = torch.from_numpy(array.astype(np.float32))
        # Numbers and vectors broadcast in Lucid's order: against the last axis.
        if tensor.ndim in (1, 2):
            tensor = tensor.reshape((1,) * (3 - tensor.ndim) + tuple(tensor.shape))
        self.register_buffer("value", channels_first(tensor), persistent=False)
        self.recipe = ("constant", {"value": array.item() if array.ndim == 0 else array})

    def compute(self, memo: Memo) -> torch.Tensor:
        value = self.value
        assert isinstance(value, torch.Tensor)
        return value


def as_parameterization(value: Any) -> Parameterization:
    """`value` itself, or wrapped (a module or tensor giving NCHW).

    Raises:
        TypeError: it is neither.
    """
    if isinstance(value, Parameterization):
        return value
    if isinstance(value, (torch.nn.Module, torch.Tensor)):
        return Wrapped(value)
    raise TypeError(
        f"A parameterization is a param.* object, a module without inputs or a tensor that give "
        f"an NCHW image, or a function without arguments that returns one; not {checks.shown(value)}."
    )


_F = TypeVar("_F", bound=Callable[..., Parameterization])


def parameterization(factory: _F) -> _F:
    """Decorator for functions that make parameterizations: remembers the call as plain data.

    The function's name and its arguments (defaults included) become the recipe; the name is
    registered so that `lucid_port.optvis.serialization.from_data` finds it.
    """

    @functools.wraps(factory)
    def make(*args: Any, **kwargs: Any) -> Parameterization:
        made = factory(*args, **kwargs)
        made.recipe = (factory.__name__, serialization.bind(signature_of, args, kwargs))
        return made

    signature_of = factory
    make.__signature__ = inspect.signature(factory)  # type: ignore[attr-defined]
    serialization.register("param", factory.__name__, make)
    return make  # type: ignore[return-value]


_OPERATIONS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "truediv": torch.true_divide,
}


def _binary(operation: str, left: Any, right: Any) -> Parameterization:
    return arithmetic(operation, _operand(left), _operand(right))


def _combined(left: torch.Tensor, right: torch.Tensor, operation: str) -> torch.Tensor:
    pairs = zip(left.shape[::-1], right.shape[::-1], strict=False)
    if any(a != b and 1 not in (a, b) for a, b in pairs):
        shapes = " and ".join(str(list(channels_last(part).shape)) for part in (left, right))
        raise ValueError(f"Parameterizations of the shapes {shapes} cannot be combined: make them of one size.")
    return _OPERATIONS[operation](left, right)


def _operand(value: Any) -> Parameterization:
    return value if isinstance(value, Parameterization) else Constant(value)


@parameterization
def arithmetic(operation: str, left: Parameterization, right: Parameterization) -> Parameterization:
    """`left + right` and the like; made by the operators."""
    if operation not in _OPERATIONS:
        raise ValueError(f"Unknown operation {operation!r}: use one of {', '.join(_OPERATIONS)}.")
    return Derived(functools.partial(_combined, operation=operation), [_operand(left), _operand(right)])


@parameterization
def constant(value: Any) -> Parameterization:
    """A fixed number or array, in Lucid's axis order, as a part of a parameterization."""
    return Constant(value)


def encode_index(index: Any) -> list[Any]:
    """An index expression as plain data.

    Raises:
        TypeError, ValueError: it holds something else than whole numbers, slices, `...` and None.
        IndexError: it has several `...`.
    """
    items = index if isinstance(index, tuple) else (index,)
    if sum(item is Ellipsis for item in items) > 1:
        raise IndexError("An index of a parameterization has at most one `...`.")
    encoded: list[Any] = []
    for item in items:
        if item is Ellipsis:
            encoded.append("...")
        elif isinstance(item, slice):
            encoded.append({"slice": _encode_slice(item)})
        elif item is None:
            encoded.append(None)
        else:
            encoded.append(checks.whole(item, "An index of a parameterization"))
    return encoded


def _encode_slice(part: slice) -> list[int | None]:
    if part.step is not None and part.step == 0:
        raise ValueError("The step of a slice cannot be 0.")
    limits = (part.start, part.stop, part.step)
    return [None if limit is None else checks.whole(limit, "A limit or step of a slice") for limit in limits]


def _decode_index(encoded: Sequence[Any]) -> tuple[Any, ...]:
    items: list[Any] = []
    for item in encoded:
        if item == "...":
            items.append(Ellipsis)
        elif isinstance(item, dict):
            items.append(slice(*item["slice"]))
        else:
            items.append(item)
    return tuple(items)


@parameterization
def take(part: Parameterization, index: Sequence[Any]) -> Parameterization:
    """`part[index]` in Lucid's axis order; made by indexing."""
    decoded = _decode_index(index)
    return Derived(functools.partial(_indexed, index=decoded), [part], last=True)


def _indexed(tensor: torch.Tensor, index: tuple[Any, ...]) -> torch.Tensor:
    """`tensor[index]`, negative steps included, which torch lacks."""
    count = sum(item is not None and item is not Ellipsis for item in index)
    if count > tensor.ndim:
        raise IndexError(f"{count} indices are too many for a parameterization of shape {list(tensor.shape)}.")
    plain_index = list(index)
    axis = 0
    for place, item in enumerate(index):
        if item is Ellipsis:
            axis += tensor.ndim - count
        elif item is not None:
            if isinstance(item, slice) and (item.step or 1) < 0:
                plain_index[place] = _slice_of_flipped(item, tensor.shape[axis])
                tensor = tensor.flip(axis)
            axis += 1
    return tensor[tuple(plain_index)]


def _slice_of_flipped(part: slice, size: int) -> slice:
    """The slice that takes from a flipped axis what `part`, of negative step, takes from the axis itself."""
    positions = range(*part.indices(size))
    if not positions:
        return slice(0, 0)
    return slice(size - 1 - positions[0], size - positions[-1], -positions.step)


@parameterization
def reshape(part: Parameterization, shape: Sequence[int]) -> Parameterization:
    """`part` reshaped in Lucid's axis order."""
    sizes = [checks.whole(s, "A size that a parameterization is reshaped to", -1) for s in shape]
    return Derived(functools.partial(torch.reshape, shape=sizes), [part], last=True)


@parameterization
def concat(parts: Sequence[Parameterization], axis: int = 0) -> Parameterization:
    """Join parameterizations along an axis, in Lucid's axis order (as `tf.concat`)."""
    return Derived(functools.partial(_concatenated, axis=_axis(axis, "concat")), _several(parts, "concat"), last=True)


@parameterization
def stack(parts: Sequence[Parameterization], axis: int = 0) -> Parameterization:
    """Stack parameterizations along a new axis, in Lucid's axis order (as `tf.stack`)."""
    return Derived(functools.partial(_stacked, axis=_axis(axis, "stack")), _several(parts, "stack"), last=True)


def _axis(axis: Any, function: str) -> int:
    return checks.whole(axis, f"{function}'s axis")


def _several(parts: Any, function: str) -> list[Parameterization]:
    given = checks.items(parts, f"What {function} joins", "a list of parameterizations")
    if not given:
        raise ValueError(f"{function} needs at least one parameterization.")
    return [as_parameterization(part) for part in given]


def _concatenated(*tensors: torch.Tensor, axis: int) -> torch.Tensor:
    _check_alike(tensors, "concat", axis)
    return torch.cat(tensors, axis)


def _stacked(*tensors: torch.Tensor, axis: int) -> torch.Tensor:
    _check_alike(tensors, "stack", None)
    return torch.stack(tensors, axis)


def _check_alike(tensors: Sequence[torch.Tensor], function: str, free: int | None) -> None:
    """Refuses tensors whose shapes differ, one axis excepted."""
    rest = [[size for axis, size in enumerate(t.shape) if free is None or axis != free % t.ndim] for t in tensors]
    if any(sizes != rest[0] for sizes in rest):
        shapes = ", ".join(str(list(tensor.shape)) for tensor in tensors)
        raise ValueError(f"{function} cannot join parameterizations of the shapes {shapes}.")


def _parts(thing: Any) -> Iterator[Parameterization]:
    """The parameterizations with parameters of their own that a recipe is made of, each as often as it stands there."""
    if isinstance(thing, Parameterization):
        inner = list(_parts(thing.recipe[1])) if thing.recipe is not None else []
        yield from inner or [thing]
    elif isinstance(thing, dict):
        for value in thing.values():
            yield from _parts(value)
    elif isinstance(thing, (list, tuple)):
        for value in thing:
            yield from _parts(value)
